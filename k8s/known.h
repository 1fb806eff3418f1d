/* The objects of one resource that were told and are there, by uid: what a new listing lacks has gone, and
 * what it has in the version that was told is no news. Grows to K8S_KNOWN_MAX entries of 32 bytes.
 */
#ifndef K8S_KNOWN_H
#define K8S_KNOWN_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define K8S_KNOWN_MAX  (1u << 19) /* objects of one resource */
#define KNOWN_UID_TEXT 37	  /* bytes with NUL */

struct known_uid {
	uint8_t b[16];
};

struct known_slot {
	struct known_uid uid;
	uint64_t version; /* resourceVersion; 0: it is no number */
	uint32_t round;	  /* of the listing that had it last */
	bool used;
};

struct known {
	struct known_slot *slots;
	size_t cap, len; /* cap: 0 or a power of two */
	struct hash_key key;
};

/* 8-4-4-4-12 hexadecimal digits, as the API server makes them. */
bool known_uid_parse(struct slice text, struct known_uid *ret);
void known_uid_format(const struct known_uid *uid, char out[KNOWN_UID_TEXT]);

void known_init(struct known *k);
void known_done(struct known *k);
/* NULL: it is not there. Valid until the next put or delete. */
struct known_slot *known_find(const struct known *k, const struct known_uid *uid);
/* One that is not there. 0, -ENOSPC, -ENOMEM. */
int known_add(struct known *k, const struct known_uid *uid, uint64_t version, uint32_t round);
void known_del(struct known *k, struct known_slot *slot);
/* Deletes what is not of the round; each is told before. */
void known_sweep(struct known *k, uint32_t round,
		 void (*gone)(void *ctx, const struct known_uid *uid), void *ctx);

#endif
