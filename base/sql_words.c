#include "base/sql_words.h"
#include "base/util.h"

#define W(word, flags, id)                                                                         \
	{                                                                                          \
		sizeof(word) - 1, flags, id, word                                                  \
	}

static const struct sql_word words_a[] = {
	W("ABORT", SQL_VERB, 0),
	W("ACCESS_KEY", SQL_SECRET, 0),
	W("ADD", SQL_CAPITALS, 0),
	W("AGGREGATE", 0, SQL_IS_AGGREGATE),
	W("ALL", SQL_CAPITALS, 0),
	W("ALTER", SQL_CAPITALS | SQL_VERB, SQL_IS_ALTER),
	W("ANALYZE", SQL_CAPITALS | SQL_VERB, 0),
	W("AND", SQL_CAPITALS, 0),
	W("ANY", SQL_CAPITALS, 0),
	W("APIKEY", SQL_SECRET, 0),
	W("API_KEY", SQL_SECRET, 0),
	W("ARRAY", SQL_CAPITALS, 0),
	W("AS", SQL_CAPITALS, 0),
	W("ASC", SQL_CAPITALS, 0),
	W("ATOMIC", 0, SQL_IS_ATOMIC),
	W("ATTACH", SQL_VERB, 0),
};
static const struct sql_word words_b[] = {
	W("BASE_BACKUP", SQL_VERB, 0),	  W("BEGIN", SQL_CAPITALS | SQL_VERB, SQL_IS_BEGIN),
	W("BETWEEN", SQL_CAPITALS, 0),	  W("BINLOG", SQL_VERB, 0),
	W("BY", SQL_CAPITALS, SQL_IS_BY),
};
static const struct sql_word words_c[] = {
	W("CACHE", SQL_VERB, 0),
	W("CALL", SQL_CAPITALS | SQL_VERB, SQL_IS_CALL),
	W("CASCADE", SQL_CAPITALS, 0),
	W("CASE", SQL_CAPITALS, SQL_IS_CASE),
	W("CAST", SQL_CAPITALS, 0),
	W("CHANGE", SQL_VERB, 0),
	W("CHECK", SQL_VERB, 0),
	W("CHECKPOINT", SQL_VERB, 0),
	W("CHECKSUM", SQL_VERB, 0),
	W("CLONE", SQL_VERB, 0),
	W("CLOSE", SQL_VERB, 0),
	W("CLUSTER", SQL_VERB, 0),
	W("COALESCE", SQL_CAPITALS, 0),
	W("COLUMN", SQL_CAPITALS, 0),
	W("COMMENT", SQL_VERB, 0),
	W("COMMIT", SQL_CAPITALS | SQL_VERB, 0),
	W("CONFLICT", SQL_CAPITALS, 0),
	W("COPY", SQL_CAPITALS | SQL_VERB, 0),
	W("COUNT", SQL_CAPITALS, 0),
	W("CREATE", SQL_CAPITALS | SQL_VERB, SQL_IS_CREATE),
	W("CREATE_REPLICATION_SLOT", SQL_VERB, 0),
	W("CREDENTIAL", SQL_SECRET, 0),
	W("CREDENTIALS", SQL_SECRET, 0),
	W("CROSS", SQL_CAPITALS, 0),
};
static const struct sql_word words_d[] = {
	W("DATABASE", SQL_CAPITALS, 0),
	W("DEALLOCATE", SQL_CAPITALS | SQL_VERB, 0),
	W("DECLARE", SQL_CAPITALS | SQL_VERB, 0),
	W("DEFAULT", SQL_CAPITALS | SQL_CONSTANT, 0),
	W("DEFINER", 0, SQL_IS_DEFINER),
	W("DELETE", SQL_CAPITALS | SQL_VERB | SQL_QUERY, 0),
	W("DESC", SQL_CAPITALS | SQL_VERB, 0),
	W("DESCRIBE", SQL_CAPITALS | SQL_VERB, 0),
	W("DETACH", SQL_VERB, 0),
	W("DISCARD", SQL_VERB, 0),
	W("DISTINCT", SQL_CAPITALS, 0),
	W("DO", SQL_CAPITALS | SQL_VERB, SQL_IS_DO),
	W("DROP", SQL_CAPITALS | SQL_VERB, 0),
	W("DROP_REPLICATION_SLOT", SQL_VERB, 0),
	W("DUPLICATE", SQL_CAPITALS, 0),
};
static const struct sql_word words_e[] = {
	W("ELSE", SQL_CAPITALS, SQL_IS_ELSE),
	W("END", SQL_CAPITALS | SQL_VERB, SQL_IS_END),
	W("EVENT", 0, SQL_IS_EVENT),
	W("EXCEPT", SQL_CAPITALS, 0),
	W("EXECUTE", SQL_CAPITALS | SQL_VERB, 0),
	W("EXISTS", SQL_CAPITALS, 0),
	W("EXPLAIN", SQL_CAPITALS | SQL_VERB, 0),
};
static const struct sql_word words_f[] = {
	W("FALSE", SQL_CAPITALS | SQL_CONSTANT, 0),
	W("FETCH", SQL_CAPITALS | SQL_VERB, 0),
	W("FLUSH", SQL_VERB, 0),
	W("FOR", SQL_CAPITALS, SQL_IS_FOR),
	W("FOREIGN", SQL_CAPITALS, 0),
	W("FROM", SQL_CAPITALS, SQL_IS_FROM),
	W("FULL", SQL_CAPITALS, 0),
	W("FUNCTION", SQL_CAPITALS, SQL_IS_FUNCTION),
};
static const struct sql_word words_g[] = {
	W("GET", SQL_VERB, 0),
	W("GRANT", SQL_CAPITALS | SQL_VERB, 0),
	W("GROUP", SQL_CAPITALS, 0),
};
static const struct sql_word words_h[] = {
	W("HANDLER", SQL_VERB, 0),
	W("HAVING", SQL_CAPITALS, 0),
	W("HELP", SQL_VERB, 0),
};
static const struct sql_word words_i[] = {
	W("IDENTIFIED", SQL_SECRET, 0),	  W("IDENTIFY_SYSTEM", SQL_VERB, 0),
	W("IF", SQL_CAPITALS, SQL_IS_IF), W("IGNORE", SQL_CAPITALS, 0),
	W("ILIKE", SQL_CAPITALS, 0),	  W("IMPORT", SQL_VERB, 0),
	W("IN", SQL_CAPITALS, 0),	  W("INDEX", SQL_CAPITALS, 0),
	W("INNER", SQL_CAPITALS, 0),	  W("INSERT", SQL_CAPITALS | SQL_VERB | SQL_QUERY, 0),
	W("INSTALL", SQL_VERB, 0),	  W("INTERSECT", SQL_CAPITALS, 0),
	W("INTERVAL", SQL_CAPITALS, 0),	  W("INTO", SQL_CAPITALS, SQL_IS_INTO),
	W("IS", SQL_CAPITALS, 0),
};
static const struct sql_word words_j[] = {
	W("JOIN", SQL_CAPITALS, 0),
};
static const struct sql_word words_k[] = {
	W("KEY", SQL_CAPITALS, 0),
	W("KILL", SQL_VERB, 0),
};
static const struct sql_word words_l[] = {
	W("LATERAL", SQL_CAPITALS, 0),
	W("LEFT", SQL_CAPITALS, 0),
	W("LIKE", SQL_CAPITALS, 0),
	W("LIMIT", SQL_CAPITALS, 0),
	W("LISTEN", SQL_VERB, 0),
	W("LOAD", SQL_VERB, 0),
	W("LOCK", SQL_CAPITALS | SQL_VERB, 0),
	W("LOOP", 0, SQL_IS_LOOP),
};
static const struct sql_word words_m[] = {
	W("MAX", SQL_CAPITALS, 0),
	W("MERGE", SQL_CAPITALS | SQL_VERB | SQL_QUERY, 0),
	W("MIN", SQL_CAPITALS, 0),
	W("MOVE", SQL_VERB, 0),
};
static const struct sql_word words_n[] = {
	W("NATURAL", SQL_CAPITALS, 0),
	W("NOT", SQL_CAPITALS, SQL_IS_NOT),
	W("NOTHING", SQL_CAPITALS, 0),
	W("NOTIFY", SQL_CAPITALS | SQL_VERB, 0),
	W("NULL", SQL_CAPITALS | SQL_CONSTANT, 0),
	W("NULLS", SQL_CAPITALS, 0),
};
static const struct sql_word words_o[] = {
	W("OFFSET", SQL_CAPITALS, 0),	  W("ON", SQL_CAPITALS, 0),    W("OPTIMIZE", SQL_VERB, 0),
	W("OR", SQL_CAPITALS, SQL_IS_OR), W("ORDER", SQL_CAPITALS, 0), W("OUTER", SQL_CAPITALS, 0),
	W("OVER", SQL_CAPITALS, 0),
};
static const struct sql_word words_p[] = {
	W("PARTITION", SQL_CAPITALS, 0),
	W("PASSPHRASE", SQL_SECRET, 0),
	W("PASSWD", SQL_SECRET, 0),
	W("PASSWORD", SQL_SECRET, 0),
	W("PAUSE", SQL_VERB, 0),
	W("PRAGMA", SQL_VERB, 0),
	W("PREPARE", SQL_CAPITALS | SQL_VERB, 0),
	W("PRIMARY", SQL_CAPITALS, 0),
	W("PROCEDURE", SQL_CAPITALS, SQL_IS_PROCEDURE),
	W("PURGE", SQL_VERB, 0),
	W("PWD", SQL_SECRET, 0),
};
static const struct sql_word words_r[] = {
	W("READ_REPLICATION_SLOT", SQL_VERB, 0),
	W("REASSIGN", SQL_VERB, 0),
	W("RECONNECT", SQL_VERB, 0),
	W("RECURSIVE", SQL_CAPITALS, 0),
	W("REFERENCES", SQL_CAPITALS, 0),
	W("REFRESH", SQL_VERB, 0),
	W("REINDEX", SQL_VERB, 0),
	W("RELEASE", SQL_CAPITALS | SQL_VERB, 0),
	W("RELOAD", SQL_VERB, 0),
	W("RENAME", SQL_VERB, 0),
	W("REPAIR", SQL_VERB, 0),
	W("REPEAT", 0, SQL_IS_REPEAT),
	W("REPLACE", SQL_CAPITALS | SQL_VERB | SQL_QUERY, SQL_IS_REPLACE),
	W("RESET", SQL_VERB, 0),
	W("RESIGNAL", SQL_VERB, 0),
	W("RESTART", SQL_VERB, 0),
	W("RESUME", SQL_VERB, 0),
	W("RETURN", 0, SQL_IS_RETURN),
	W("RETURNING", SQL_CAPITALS, 0),
	W("REVOKE", SQL_CAPITALS | SQL_VERB, 0),
	W("RIGHT", SQL_CAPITALS, 0),
	W("ROLE", 0, SQL_IS_ROLE),
	W("ROLLBACK", SQL_CAPITALS | SQL_VERB, 0),
	W("ROW", SQL_CAPITALS, 0),
	W("ROWS", SQL_CAPITALS, 0),
};
static const struct sql_word words_s[] = {
	W("SAVEPOINT", SQL_CAPITALS | SQL_VERB, 0),
	W("SECRET", SQL_SECRET, 0),
	W("SECRET_KEY", SQL_SECRET, 0),
	W("SECURITY", SQL_VERB, 0),
	W("SELECT", SQL_CAPITALS | SQL_VERB | SQL_QUERY, SQL_IS_SELECT),
	W("SET", SQL_CAPITALS | SQL_VERB, SQL_IS_SET),
	W("SHOW", SQL_CAPITALS | SQL_VERB, 0),
	W("SHUTDOWN", SQL_VERB, 0),
	W("SIGNAL", SQL_VERB, 0),
	W("SKIP", SQL_CAPITALS, 0),
	W("START", SQL_CAPITALS | SQL_VERB, SQL_IS_START),
	W("START_REPLICATION", SQL_VERB, 0),
	W("STOP", SQL_VERB, 0),
	W("SUM", SQL_CAPITALS, 0),
	W("SUSPEND", SQL_VERB, 0),
};
static const struct sql_word words_t[] = {
	W("TABLE", SQL_CAPITALS | SQL_VERB | SQL_QUERY, 0),
	W("THEN", SQL_CAPITALS, SQL_IS_THEN),
	W("TIMELINE_HISTORY", SQL_VERB, 0),
	W("TO", SQL_CAPITALS, SQL_IS_TO),
	W("TOKEN", SQL_SECRET, 0),
	W("TRANSACTION", SQL_CAPITALS, SQL_IS_TRANSACTION),
	W("TRIGGER", SQL_CAPITALS, SQL_IS_TRIGGER),
	W("TRUE", SQL_CAPITALS | SQL_CONSTANT, 0),
	W("TRUNCATE", SQL_CAPITALS | SQL_VERB, 0),
};
static const struct sql_word words_u[] = {
	W("UNINSTALL", SQL_VERB, 0),
	W("UNION", SQL_CAPITALS, 0),
	W("UNIQUE", SQL_CAPITALS, 0),
	W("UNLISTEN", SQL_VERB, 0),
	W("UNLOCK", SQL_CAPITALS | SQL_VERB, 0),
	W("UPDATE", SQL_CAPITALS | SQL_VERB | SQL_QUERY, 0),
	W("USE", SQL_CAPITALS | SQL_VERB, 0),
	W("USER", 0, SQL_IS_USER),
	W("USING", SQL_CAPITALS, 0),
};
static const struct sql_word words_v[] = {
	W("VACUUM", SQL_CAPITALS | SQL_VERB, 0),
	W("VALUES", SQL_CAPITALS | SQL_VERB | SQL_QUERY, SQL_IS_VALUES),
	W("VIEW", SQL_CAPITALS, SQL_IS_VIEW),
};
static const struct sql_word words_w[] = {
	W("WHEN", SQL_CAPITALS, 0),
	W("WHERE", SQL_CAPITALS, 0),
	W("WHILE", 0, SQL_IS_WHILE),
	W("WINDOW", SQL_CAPITALS, 0),
	W("WITH", SQL_CAPITALS | SQL_VERB, SQL_IS_WITH),
};
static const struct sql_word words_x[] = {
	W("XA", SQL_VERB, SQL_IS_XA),
};
static const struct {
	const struct sql_word *words;
	size_t n;
} letters[] = {
	['A' - 'A'] = { words_a, ARRAY_SIZE(words_a) },
	['B' - 'A'] = { words_b, ARRAY_SIZE(words_b) },
	['C' - 'A'] = { words_c, ARRAY_SIZE(words_c) },
	['D' - 'A'] = { words_d, ARRAY_SIZE(words_d) },
	['E' - 'A'] = { words_e, ARRAY_SIZE(words_e) },
	['F' - 'A'] = { words_f, ARRAY_SIZE(words_f) },
	['G' - 'A'] = { words_g, ARRAY_SIZE(words_g) },
	['H' - 'A'] = { words_h, ARRAY_SIZE(words_h) },
	['I' - 'A'] = { words_i, ARRAY_SIZE(words_i) },
	['J' - 'A'] = { words_j, ARRAY_SIZE(words_j) },
	['K' - 'A'] = { words_k, ARRAY_SIZE(words_k) },
	['L' - 'A'] = { words_l, ARRAY_SIZE(words_l) },
	['M' - 'A'] = { words_m, ARRAY_SIZE(words_m) },
	['N' - 'A'] = { words_n, ARRAY_SIZE(words_n) },
	['O' - 'A'] = { words_o, ARRAY_SIZE(words_o) },
	['P' - 'A'] = { words_p, ARRAY_SIZE(words_p) },
	['R' - 'A'] = { words_r, ARRAY_SIZE(words_r) },
	['S' - 'A'] = { words_s, ARRAY_SIZE(words_s) },
	['T' - 'A'] = { words_t, ARRAY_SIZE(words_t) },
	['U' - 'A'] = { words_u, ARRAY_SIZE(words_u) },
	['V' - 'A'] = { words_v, ARRAY_SIZE(words_v) },
	['W' - 'A'] = { words_w, ARRAY_SIZE(words_w) },
	['X' - 'A'] = { words_x, ARRAY_SIZE(words_x) },
};

const struct sql_word *sql_word_find(struct slice word)
{
	size_t letter = word.n ? (size_t)(word.p[0] | 0x20) - 'a' : SIZE_MAX;
	uint8_t second;

	if (letter >= ARRAY_SIZE(letters) || word.n < SQL_WORD_MIN || word.n > SQL_WORD_MAX)
		return NULL;
	second = word.p[1] & 0xdf;
	for (size_t i = 0; i < letters[letter].n; i++) {
		const struct sql_word *w = &letters[letter].words[i];

		if (w->n == word.n && (uint8_t)w->text[1] == second &&
		    slice_eq_nocase(word, slice_of(w->text, w->n)))
			return w;
	}
	return NULL;
}
