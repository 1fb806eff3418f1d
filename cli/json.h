/* A reader of JSON texts (RFC 8259): the answers of the API. Bounded depth and size; strings are
 * decoded to UTF-8. A document is one allocation of nodes and one of decoded text.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include "base/strbuf.h"

#define JSON_DEPTH_MAX 64
#define JSON_TEXT_MAX  (64u * MIB)

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_node {
	uint8_t kind; /* enum json_kind */
	int64_t i;    /* JSON_INT; JSON_BOOL 0/1 */
	double d;     /* JSON_REAL */
	struct slice
		text;	  /* JSON_STRING: decoded. Number: as written. Array, object: source text */
	struct slice key; /* of a member */
	uint32_t next;	  /* index of the next sibling, 0: none */
	uint32_t child;	  /* index of the first, 0: none */
	uint32_t n;	  /* children */
};

struct json {
	struct json_node *nodes; /* nodes[0] is the root */
	size_t n, cap;
	uint8_t *strings;
};

/* text is borrowed as long as the document (for numbers, arrays and objects). 0, -EBADMSG, -ENOMEM;
 * may be called again on the same document: memory is kept. */
int json_parse(struct json *j, struct slice text);
void json_done(struct json *j);

/* NULL when absent, or when at is NULL or no object. */
const struct json_node *json_get(const struct json *j, const struct json_node *at, const char *key);
/* Walks an array or object: first NULL, then the node before. NULL at the end. */
const struct json_node *json_each(const struct json *j, const struct json_node *in,
				  const struct json_node *before);
/* Values with a fallback for absent or other kinds. */
struct slice json_text(const struct json_node *n);
int64_t json_int(const struct json_node *n, int64_t fallback);
bool json_true(const struct json_node *n);

/* A JSON string literal: valid UTF-8, and nothing in it that a terminal obeys or reorders: what
 * screen.h does not print is written as \uXXXX (the same text for every reader), bytes that are no
 * UTF-8 as the text \xNN. */
void json_add_string(struct strbuf *out, struct slice s);

/* Writes a node and all below it again, compact, with json_add_string()'s strings. */
void json_add_node(struct strbuf *out, const struct json *j, const struct json_node *n);

#endif
