/* The inner table of a join is asked again for every outer row. After a few times the same question
 * with other values is answered from memory: one scan without the values that change, its rows kept
 * and indexed by the first of them. SQLite tests each row against the conditions again, so the
 * index only has to find no row too few.
 *
 * Entries live until the statement ends; cursors may stand on one that a better one has replaced.
 */
#ifndef QUERY_JOINCACHE_H
#define QUERY_JOINCACHE_H

#include "query/query_int.h"
#include "query/rowcache.h"

#define JOIN_SCANS	 3 /* real scans before rows are kept */
#define JOIN_ENTRIES_MAX 4 /* of one statement */
#define JOIN_ARGS_MAX	 32

enum join_state { JOIN_COUNTING, JOIN_BUILT, JOIN_NEVER };

struct join_entry {
	const struct sql_table *table;
	char *idx_str; /* owned: what is asked, without the values */
	int idx_num, n_args;
	sqlite3_value *args[JOIN_ARGS_MAX]; /* owned: of the first time */
	uint32_t variable;		    /* bit i: argument i changes */
	unsigned int asked;
	enum join_state state;
	int key; /* argument that the index is made of; -1: none */
	struct rowcache rows;
};

struct join_cache {
	struct join_entry entries[JOIN_ENTRIES_MAX];
	size_t n;
};

enum join_answer { JOIN_SCAN, JOIN_BUILD, JOIN_USE };

/* ops: the letters of the arguments (plan.h), four bytes apart. JOIN_SCAN: as if there were no
 * cache. JOIN_BUILD: fill (*ret)->rows from a scan without the variable arguments, then
 * joincache_ready(). JOIN_USE: its rows are complete. */
enum join_answer joincache_ask(struct query_conn *c, const struct sql_table *t, int idx_num,
			       const char *idx_str, int argc, sqlite3_value **argv,
			       struct join_entry **ret);
/* place: of stored columns in the rows. 0 or -ENOMEM. */
int joincache_ready(struct join_entry *e, const int16_t *place);
/* It does not fit. */
void joincache_refuse(struct join_entry *e);

/* The hash of the row's key for these arguments; false when all rows have to be looked at. */
bool joincache_hash(const struct join_entry *e, sqlite3_value **argv, uint64_t *ret);

void joincache_free(struct join_cache *jc);

/* "PREFIX-HEX" or "PREFIX-HEX-DECIMAL" of a computed column (text: JOINED_MAX bytes); its length, 0
 * when a part is unknown or too long. */
#define JOINED_MAX 512
size_t joined_text(struct value prefix, struct value hex, const struct value *decimal, char *text);
uint64_t value_hash(uint64_t h, struct value v);

#endif
