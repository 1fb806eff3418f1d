/* Where the statements of a text end: at each `;` outside of quotes, comments, parentheses and the
 * bodies of stored programs. The text comes in pieces of any length; any cut gives the same answer.
 *
 * Parentheses: CREATE RULE ... DO (a; b) is one statement. Stored programs: PostgreSQL's BEGIN ATOMIC
 * ... END; MySQL's and MariaDB's CREATE PROCEDURE, FUNCTION, TRIGGER, EVENT with a compound statement
 * as their body, and MariaDB's compound statements outside of them.
 */
#ifndef BASE_SQL_SPLIT_H
#define BASE_SQL_SPLIT_H

#include "base/sql_lex.h"

#define SQL_SPLIT_WORD_MAX 10 /* bytes of the longest word that matters, and one */
#define SQL_BLOCKS_MAX	   32 /* blocks in one another; deeper ones are not told apart */

struct sql_split {
	struct sql_lexer lex;
	uint32_t cases;	 /* bit n: block n is a CASE within an expression */
	uint16_t parens; /* that are open */
	uint8_t blocks;	 /* that are open */
	uint8_t head;	 /* what kind of statement this is, as far as is known */
	uint8_t before;	 /* enum sql_word_id of the word just before */
	bool first;	 /* a statement within a body begins here */
	bool filled;	 /* more than white space and comments came */
	uint8_t word_n;	 /* the word that is open; longer ones end as SQL_SPLIT_WORD_MAX bytes */
	uint8_t word[SQL_SPLIT_WORD_MAX];
};

void sql_split_init(struct sql_split *s, enum sql_dialect dialect);

/* Reads on. Returns how many bytes of the piece belong to the open statement: with *ret_end, up to
 * its `;`, which is the last of them; else all. *ret_empty, set when it ends: white space and comments
 * only. Call again with what follows; a next statement begins by itself. */
size_t sql_split(struct sql_split *s, struct slice piece, bool *ret_end, bool *ret_empty);

/* After the last piece: whether what came behind the last `;` is white space and comments only. */
bool sql_split_empty(const struct sql_split *s);

#endif
