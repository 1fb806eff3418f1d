/* URL paths with a star in place of their variable segments, so that they can be grouped: the 42 of
 * /users/42 is one, in /v1/users none is.
 *
 * A segment is variable when it is a number, a UUID, eight or more hexadecimal digits with a
 * decimal one, mostly digits, long with digits in it, over 64 bytes, or has one of % @ = : ; < in
 * it. `v1` and a file extension stay. Query and fragment are left out; so are scheme and host of a
 * whole URL. What does not start with a slash (a star alone, host:port) stays as it is.
 */
#ifndef BASE_PATH_TEMPLATE_H
#define BASE_PATH_TEMPLATE_H

#include "base/hash.h"
#include "base/slice.h"

#define PATH_SEGMENTS_MAX 32  /* more are written as /... */
#define PATH_TEMPLATE_MAX 512 /* bytes: enough room for any answer; longer ones end in /... */

/* By form alone: the same text for the same path, always. out: PATH_TEMPLATE_MAX bytes, no NUL.
 * Returns the length. */
size_t path_template(struct slice path, char *out);

#define PATH_GUARD_NODES    8192 /* distinct segments remembered, of all servers together */
#define PATH_GUARD_CHILDREN 100	 /* different segments at one place before they become `*` */
/* Different templates of one server; further ones are cut to /... */
#define PATH_GUARD_TEMPLATES 500
/* Of one server: whoever asks it for made-up paths leaves room for the others. */
#define PATH_GUARD_SERVER_NODES 1024

struct path_node {
	uint64_t key;	    /* hash of parent and segment; 0 free */
	uint16_t templates; /* of a server's root: templates that end below it */
	uint16_t nodes;	    /* of a server's root: nodes below it */
	uint16_t children;
	bool collapsed, ends;
};

/* What keeps names, slugs and other unformatted ids from flooding the set of templates: where a
 * server shows too many different segments at one place, they become `*` from then on; so do
 * targets that are no paths, among themselves. About 128 KiB; what finds no room is cut to /... .
 * The answers depend only on the paths seen before, in their order. Single-threaded. */
struct path_guard {
	struct hash_key key;
	struct path_node nodes[PATH_GUARD_NODES];
	uint32_t n;
};

void path_guard_init(struct path_guard *g);
/* As path_template(), with the guard. server: any number that stands for the server. */
size_t path_guard_template(struct path_guard *g, uint64_t server, struct slice path, char *out);

/* The same for names that are put together with colons and the like, as keys of caches and channels
 * are: user:42:cart is user:*:cart, user42 is user*. Separators are : / . | # , ; @ = { } - _ and
 * blanks; a piece with bytes in it that are no printable ASCII is variable too. Cut to ... . */
size_t path_guard_key(struct path_guard *g, uint64_t server, struct slice key, char *out);

#endif
