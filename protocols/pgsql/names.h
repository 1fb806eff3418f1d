/* The names of prepared statements and portals, as numbers. */
#ifndef PROTOCOLS_PGSQL_NAMES_H
#define PROTOCOLS_PGSQL_NAMES_H

#include "protocols/pgsql/pgsql.h"

#define NAME_EMPTY 0xcbf29ce484222325ULL /* hash of a name before its first byte */

/* The hash with more bytes of the name; *n: bytes so far. What servers cut off does not count. */
uint64_t name_add(uint64_t hash, uint8_t *n, struct slice s);
/* As FIELD_STMT_ID has it: 0 for the empty name, below 2^63. */
uint64_t name_id(uint64_t hash, uint8_t n);

/* Which statement a portal executes. Bounded: the oldest is forgotten, and so unknown. */
struct portals {
	uint64_t portal[PGSQL_PORTALS], stmt[PGSQL_PORTALS];
	uint8_t n, next;
};

void portals_put(struct portals *p, uint64_t portal, uint64_t stmt);
bool portals_get(const struct portals *p, uint64_t portal, uint64_t *ret_stmt);
void portals_del(struct portals *p, uint64_t portal);

/* What a statement is, by its first bytes. */
enum sql_about {
	ABOUT_OTHER,
	ABOUT_COPY,
	ABOUT_CLOSES,	/* DEALLOCATE name */
	ABOUT_PREPARES, /* PREPARE name */
	ABOUT_EXECUTES, /* EXECUTE name */
};

/* A name as the server compares it: folded when it is not quoted, and cut. */
struct sql_name {
	uint64_t id;
	uint8_t n;
	char text[PGSQL_NAME_MAX];
};

/* *ret: set when a name is part of it. */
enum sql_about sql_about(struct slice head, struct sql_name *ret);
/* What PREPARE prepares: the statement behind its AS; empty when that is not there. */
struct slice sql_prepared(struct slice text);

#endif
