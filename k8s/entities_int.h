/* The image's layout, shared by its writer (entities.c) and its readers (entities_find.c). */
#ifndef K8S_ENTITIES_INT_H
#define K8S_ENTITIES_INT_H

#include "k8s/entities.h"

#define INTERNED_MAX 131072 /* power of two, above the texts that fit */

enum entity_text {
	TEXT_NS,
	TEXT_NAME,
	TEXT_KIND,
	TEXT_WORKLOAD,
	TEXT_SERVICE,
	TEXT_NODE,
	_TEXT_MAX
};

enum entity_flag {
	ENTITY_NAMED_BY_NODE = 1 << 0, /* its service is what its annotation says */
	ENTITY_COVERED = 1 << 1,
};

struct entity_slot {
	uint8_t addr[16];
	uint64_t from_ns, to_ns; /* to 0: open */
	uint64_t uid;		 /* hash */
	uint32_t next;		 /* slot + 1 of the same chain; of a free slot, the next free one */
	uint32_t text[_TEXT_MAX]; /* place + 1; 0: empty */
	uint16_t port;
	uint8_t proto;
	uint8_t kind; /* 0: free */
	uint8_t source, round, flags;
	uint8_t pad[5];
};

struct k8s_entities {
	_Atomic uint32_t seq; /* odd: the writer is at work */
	uint32_t n_ports;     /* open intervals of ports */
	_Atomic uint64_t version;
	struct hash_key key;
	_Atomic uint32_t n_open, n_closed;
	_Atomic uint64_t refused;
	uint32_t free;			    /* slot + 1 */
	uint32_t n_used;		    /* slots from here on were never used */
	uint32_t text_len;		    /* bytes used */
	uint32_t heads[K8S_ENTITIES_HEADS]; /* slot + 1 */
	struct entity_slot slots[K8S_ENTITIES_MAX];
	uint8_t texts[K8S_ENTITIES_TEXT]; /* a length of one byte before each */
};

_Static_assert(sizeof(struct entity_slot) == 80, "entity_slot");
_Static_assert(sizeof(struct k8s_entities) <= 8 * MIB, "K8S_ENTITIES_MAX addresses in 8 MiB");

/* The chain of an address, or of one port there. */
static inline uint32_t entity_chain(const struct hash_key *key, const uint8_t addr[16],
				    uint16_t port)
{
	uint8_t bytes[18];

	memcpy(bytes, addr, 16);
	memcpy(bytes + 16, &port, 2);
	return (uint32_t)hash_bytes(key, slice_of(bytes, sizeof(bytes))) & (K8S_ENTITIES_HEADS - 1);
}

#endif
