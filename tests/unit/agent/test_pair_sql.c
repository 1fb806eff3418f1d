/* Hop 6, what the protocols that carry SQL share: what of a statement becomes which column. */
#include "agent/pair_sql.h"
#include "agent/pair_text.h"
#include "agent/pipeline_int.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"

static struct {
	struct ledger ledger;
	struct conn_ctl ctl[8];
	struct pipeline *p;
	struct conn c;
	struct exchange x;
	struct row_builder row;
} t;

/* Without a queue each text stands in its row in full. */
static void *reserve(void *ctx, uint32_t n)
{
	(void)ctx;
	(void)n;
	return NULL;
}

static void commit(void *ctx, enum pipe_frame type, uint32_t n)
{
	(void)ctx;
	(void)type;
	(void)n;
}

static void publish(void *ctx)
{
	(void)ctx;
}

static void next_exchange(void)
{
	strbuf_done(&t.x.bytes);
	t.x = (struct exchange){ 0 };
	strbuf_init(&t.x.bytes, 1 << 20);
	for (size_t i = 0; i < EXCHANGE_NUMS; i++)
		t.x.num[i] = -1;
}

static void start(enum proto_id proto, bool literals)
{
	struct pipeline_opts o = {
		.node = "n1",
		.ctl = t.ctl,
		.n_ctl = ARRAY_SIZE(t.ctl),
		.ledger = &t.ledger,
		.out = { NULL, reserve, commit, publish, NULL },
		.want_literals = literals,
	};

	memset(&t, 0, sizeof(t));
	t.p = pipeline_new(&o);
	t.p->pair.c = &t.c;
	t.c.proto = (uint8_t)proto;
	next_exchange();
}

static void stop(void)
{
	stmts_clear(t.p, &t.c);
	strbuf_done(&t.x.bytes);
	pipeline_free(t.p);
}

static void field(enum msg_kind kind, enum field_id f, const char *text)
{
	sql_field(t.p, &t.x, kind, f, slice_str(text));
}

/* The text of a column of the row that the exchange becomes. */
static const char *column(uint16_t col)
{
	static char text[STATEMENT_MAX + 1];
	const struct cell *c = &t.row.cells[col];

	if (!(t.row.present[col / 64] >> (col % 64) & 1))
		return "(null)";
	EXPECT_EQ(c->kind, CELL_TEXT);
	snprintf(text, sizeof(text), "%.*s", (int)c->len, t.row.text + c->v.off);
	return text;
}

static void end(void)
{
	row_begin(&t.row, TABLE_PGSQL);
	put_sql(t.p, &t.c, &t.x, &t.row);
}

static void test_pair_sql__statement(void)
{
	start(PROTO_PGSQL, false);
	field(MSG_REQUEST, FIELD_STATEMENT, "/* x */ insert into t (a) values ('se");
	field(MSG_REQUEST, FIELD_STATEMENT, "cret'), (\"b\")");
	end();
	EXPECT_STR(column(COL_METHOD), "INSERT");
	EXPECT_STR(column(COL_DB_STATEMENT), "insert into t (a) values (?), (\"b\")");
	EXPECT_STR(column(COL_RESOURCE), "INSERT INTO t (a) VALUES (?), (\"b\")");
	EXPECT_STR(column(COL_TRACE_ID), "(null)");
	stop();
	start(PROTO_MYSQL, true);
	field(MSG_REQUEST, FIELD_STATEMENT, "select 'a', 'joe@example.com' from \"b\"");
	end();
	EXPECT_STR(column(COL_DB_STATEMENT), "select 'a', '<REDACTED_EMAIL>' from \"b\"");
	EXPECT_STR(column(COL_RESOURCE), "SELECT ? FROM ?");
	next_exchange();
	field(MSG_REQUEST, FIELD_STATEMENT, "hunter2 where password=?");
	end();
	EXPECT_STR(column(COL_METHOD), "(null)");
	EXPECT_STR(column(COL_RESOURCE), "hunter2 WHERE password=?");
	stop();
}

/* GBK: the literal is one character, and over. */
static void test_pair_sql__character_sets(void)
{
	static const char *const texts[] = {
		"select a from t where b = '\xd5\\' and c = 'secret'",
		"select a from t where b = '\xd5\\', d = 'x; secret', e = \xd5` 'secret' `",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		start(PROTO_MYSQL, false);
		field(MSG_REQUEST, FIELD_STATEMENT, texts[i]);
		end();
		EXPECT_STR(column(COL_DB_STATEMENT), "select a from t where b = ?");
		EXPECT_STR(column(COL_RESOURCE), "SELECT a FROM t WHERE b = ?...");
		EXPECT(t.x.truncated);
		stop();
	}
	start(PROTO_MYSQL, false);
	field(MSG_REQUEST, FIELD_STATEMENT, "select '\xe4\xb8\xad\\'', b");
	end();
	EXPECT_STR(column(COL_DB_STATEMENT), "select ?, b");
	EXPECT(!t.x.truncated);
	stop();
}

static void test_pair_sql__secret_name(void)
{
	start(PROTO_PGSQL, false);
	field(MSG_REQUEST, FIELD_STATEMENT, "select \"joe@example.com\" from t");
	end();
	EXPECT_STR(column(COL_DB_STATEMENT), "select \"<REDACTED_EMAIL>\" from t");
	EXPECT_STR(column(COL_RESOURCE), "SELECT \"<REDACTED_EMAIL>\" FROM t");
	stop();
}

static void test_pair_sql__dialect(void)
{
	static const struct {
		enum proto_id proto;
		bool told, backslash;
		const char *want;
	} cases[] = {
		{ PROTO_PGSQL, false, false, "SELECT ?, b" },
		{ PROTO_PGSQL, true, true, "SELECT ?" },
		{ PROTO_PGSQL, true, false, "SELECT ?, b" },
		{ PROTO_MYSQL, false, false, "SELECT ?" },
		{ PROTO_MYSQL, true, false, "SELECT ?, b" },
		{ PROTO_MYSQL, true, true, "SELECT ?" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct session s = { .has_backslash = cases[i].told,
				     .backslash = cases[i].backslash };

		start(cases[i].proto, false);
		t.c.session = &s;
		field(MSG_REQUEST, FIELD_STATEMENT, "select 'a\\', b");
		end();
		EXPECT_STR(column(COL_RESOURCE), cases[i].want);
		stop();
	}
}

/* What the server says holds for the session: no literal is left in any column. */
static void test_pair_sql__dialect_hides_literals(void)
{
	static const struct {
		enum proto_id proto;
		bool backslash;
		const char *sql, *want;
	} cases[] = {
		{ PROTO_PGSQL, true, "select 'a\\', hunter2', b", "SELECT ?, b" },
		{ PROTO_MYSQL, false, "select 'a\\', 'hunter2', b", "SELECT ?, b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct session s = { .has_backslash = true, .backslash = cases[i].backslash };

		start(cases[i].proto, false);
		t.c.session = &s;
		field(MSG_REQUEST, FIELD_STATEMENT, cases[i].sql);
		end();
		EXPECT_STR(column(COL_RESOURCE), cases[i].want);
		EXPECT(!strstr(column(COL_DB_STATEMENT), "hunter2"));
		stop();
	}
}

static void test_pair_sql__trace(void)
{
	static const char *const sql = "select 1 /*action='x',traceparent='00-" TRACE "-" SPAN
				       "-01'*/";

	start(PROTO_PGSQL, false);
	field(MSG_REQUEST, FIELD_STATEMENT, sql);
	end();
	EXPECT_STR(column(COL_TRACE_ID), TRACE);
	EXPECT_STR(column(COL_SPAN_ID), SPAN);
	EXPECT_STR(column(COL_DB_STATEMENT), "select ?");
	/* What was prepared with a comment is executed in other traces. */
	sql_num(t.p, &t.x, MSG_RESPONSE, FIELD_STMT_ID, 7);
	next_exchange();
	sql_num(t.p, &t.x, MSG_REQUEST, FIELD_STMT_ID, 7);
	end();
	EXPECT_STR(column(COL_RESOURCE), "SELECT ?");
	EXPECT_STR(column(COL_TRACE_ID), "(null)");
	stop();
}

static void test_pair_sql__prepared(void)
{
	start(PROTO_MYSQL, false);
	field(MSG_REQUEST, FIELD_STATEMENT, "update t set a = ? where b = 'x'");
	sql_num(t.p, &t.x, MSG_RESPONSE, FIELD_STMT_ID, 1);
	next_exchange();
	sql_num(t.p, &t.x, MSG_REQUEST, FIELD_STMT_ID, 1);
	end();
	EXPECT_STR(column(COL_METHOD), "UPDATE");
	EXPECT_STR(column(COL_DB_STATEMENT), "update t set a = ? where b = ?");
	EXPECT(!(t.x.msg[MSG_REQUEST].flags & MSG_DEGRADED));
	next_exchange();
	sql_num(t.p, &t.x, MSG_REQUEST, FIELD_STMT_ID, 2);
	end();
	EXPECT_STR(column(COL_DB_STATEMENT), "(null)");
	EXPECT_STR(column(COL_METHOD), "(null)");
	EXPECT(t.x.msg[MSG_REQUEST].flags & MSG_DEGRADED);
	stop();
}

static void test_pair_sql__cut(void)
{
	static char sql[STATEMENT_MAX + 64];
	const char *got;

	start(PROTO_PGSQL, false);
	snprintf(sql, sizeof(sql), "select a in (%0*d", STATEMENT_MAX, 1);
	field(MSG_REQUEST, FIELD_STATEMENT, sql);
	EXPECT(t.x.truncated);
	end();
	EXPECT_STR(column(COL_RESOURCE), "SELECT a IN (?...");
	stop();
	start(PROTO_PGSQL, false);
	memset(sql, 'x', sizeof(sql) - 1);
	memcpy(sql, "select ", 7);
	field(MSG_REQUEST, FIELD_STATEMENT, sql);
	end();
	EXPECT_STR(column(COL_RESOURCE), "SELECT...");
	got = column(COL_DB_STATEMENT);
	EXPECT_MEM(got, MIN(strlen(got), (size_t)10), "select xxx", 10);
	stop();
}

static void test_pair_sql__message(void)
{
	static const char *const message = "invalid input for type integer: \"hunter2\"";

	start(PROTO_PGSQL, false);
	field(MSG_RESPONSE, FIELD_MESSAGE, message);
	field(MSG_RESPONSE, FIELD_SQLSTATE, "22P02");
	end();
	EXPECT_STR(column(COL_DB_MESSAGE), "invalid input for type integer: '?'");
	EXPECT_STR(column(COL_ERROR), "invalid input for type integer: '?'");
	EXPECT_STR(column(COL_DB_SQLSTATE), "22P02");
	stop();
	start(PROTO_PGSQL, true);
	field(MSG_RESPONSE, FIELD_MESSAGE, message);
	end();
	EXPECT_STR(column(COL_DB_MESSAGE), message);
	EXPECT_STR(column(COL_ERROR), "(null)");
	stop();
}

/* EXECUTE as SQL: its own text, the resource of what it executes. */
static void test_pair_sql__a_text_that_executes_another(void)
{
	start(PROTO_PGSQL, false);
	for (int known = 0; known < 2; known++) {
		next_exchange();
		field(MSG_REQUEST, FIELD_STATEMENT, "EXECUTE get('x')");
		sql_num(t.p, &t.x, MSG_REQUEST, FIELD_STMT_CALLS, 17);
		end();
		EXPECT_STR(column(COL_METHOD), "EXECUTE");
		EXPECT_STR(column(COL_DB_STATEMENT), "EXECUTE get(?)");
		EXPECT_STR(column(COL_RESOURCE), known ? "SELECT a FROM b WHERE c = ?" : "(null)");
		EXPECT_EQ(t.x.msg[MSG_REQUEST].flags, known ? 0 : MSG_DEGRADED);
		sql_prepare(t.p, 17, SLICE_LIT(" select a from b where c = 5"), false);
	}
	stop();
}

/* Who asked is unknown only where the login was: an empty name is one, too. */
static void test_pair_sql__login_missed(void)
{
	static const struct {
		bool session, has_user, old, lost, degraded;
	} cases[] = {
		{ .degraded = false },
		{ .old = true, .degraded = true },
		{ .lost = true, .degraded = true },
		{ .session = true, .old = true, .degraded = true },
		{ .session = true, .has_user = true, .old = true, .degraded = false },
		{ .session = true, .has_user = true, .lost = true, .degraded = false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct session s = { .has_user = cases[i].has_user };

		start(PROTO_PGSQL, false);
		t.c.session = cases[i].session ? &s : NULL;
		t.c.old = cases[i].old;
		t.c.dir[DIR_TX].gap_ns = cases[i].lost;
		end();
		EXPECT_EQ(t.x.degraded, cases[i].degraded);
		EXPECT_EQ(t.x.msg[MSG_REQUEST].flags, 0);
		stop();
	}
}

TEST_MAIN(TEST(test_pair_sql__login_missed), TEST(test_pair_sql__a_text_that_executes_another),
	  TEST(test_pair_sql__statement), TEST(test_pair_sql__character_sets),
	  TEST(test_pair_sql__secret_name), TEST(test_pair_sql__dialect),
	  TEST(test_pair_sql__dialect_hides_literals), TEST(test_pair_sql__trace),
	  TEST(test_pair_sql__prepared), TEST(test_pair_sql__cut), TEST(test_pair_sql__message))
