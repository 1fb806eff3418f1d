/* Where a secret may stand in a statement that is no literal: what PASSWORD and the like are set to. */
#ifndef BASE_SQL_SECRET_H
#define BASE_SQL_SECRET_H

#include "base/sql_lex.h"

#define SQL_NAME_MAX 128 /* bytes: PostgreSQL takes 63, MySQL 64 characters */

/* All zero at the beginning of a text. */
struct sql_secrets {
	uint8_t words; /* that came, at most 2 */
	bool settles;  /* SET, ALTER, CREATE */
	bool user;     /* ALTER USER, CREATE ROLE, ...: PASSWORD x */
	bool named;    /* the word before names a secret */
	bool set;      /* and = or TO or BY follows it */
};

/* To be asked of each token in turn that is neither white space nor a comment: whether it is what a secret
 * is set to (PASSWORD x, password = x, SET token TO x). */
bool sql_is_secret(struct sql_secrets *s, const struct sql_token *t);

/* A quoted name that no server would take. */
static inline bool sql_is_no_name(const struct sql_token *t)
{
	return t->kind == SQL_NAME && t->text.n > SQL_NAME_MAX;
}

#endif
