/* The prepared statements of a connection: what an execution that names one by its id has executed.
 * Kept as columns need them, so that nothing of a literal stays. An id is the protocol's own number,
 * or a hash of its name that the parser made.
 */
#ifndef AGENT_STMTS_H
#define AGENT_STMTS_H

#include "base/slice.h"
#include "base/util.h"

#define STMTS_MAX	1024	   /* of one connection; what is prepared beyond is not known */
#define STMTS_BYTES_MAX (16 * MIB) /* of all connections together */

struct conn;
struct pipeline;
struct stmt_copy;

struct stmt {
	const char *verb;	  /* column `method`: static, NULL unknown */
	struct slice statement;	  /* without its literals */
	struct slice fingerprint; /* column `resource` */
};

/* A copy in one piece of memory, for free(). NULL: there is none. */
struct stmt_copy *stmt_copy_new(const struct stmt *s);
size_t stmt_copy_bytes(const struct stmt *s);
/* Borrowed from the copy. */
struct stmt stmt_copy_get(const struct stmt_copy *k);

/* Copied; replaces what had the id. Without room the id is unknown from now on. */
void stmts_put(struct pipeline *p, struct conn *c, uint64_t id, const struct stmt *s);
/* Borrowed until the statements of this connection change. False: not known. */
bool stmts_get(const struct conn *c, uint64_t id, struct stmt *ret);
void stmts_del(struct pipeline *p, struct conn *c, uint64_t id);
/* All of them. */
void stmts_clear(struct pipeline *p, struct conn *c);

#endif
