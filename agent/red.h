/* Running rate, errors, duration and bytes: a few minutes of slots of a few seconds, each with counts,
 * sums and a latency sketch per (server, client, protocol, method, resource). What `top` and live views
 * read, so that they never scan: the table kelpie_red.
 *
 * Memory: slots have the same names nearly always, so they share them; a slot that is over is packed:
 * its sketches become their serialised form, which is some fifty times smaller.
 */
#ifndef AGENT_RED_H
#define AGENT_RED_H

#include "storage/memscan.h"
#include "base/hash.h"
#include "base/hashmap.h"

#define RED_SLOT_NS  (5 * NSEC_PER_SEC)
#define RED_SLOTS    62	 /* five minutes and the slot in hand */
#define RED_KEYS_MAX 512 /* of one slot; further ones are added up as "(other)" */
/* Keys of one server: clients that make up methods leave room for the others. Further ones are added up
 * under the server's name. */
#define RED_SERVER_KEYS_MAX 256
#define RED_TEXTS	    5
#define RED_TEXT_MAX	    512 /* bytes of one; longer ones are cut */
/* Of the names of all slots; without room, what has a new one is added up as "(other)". */
#define RED_NAMES_BYTES_MAX (4 * MIB)
/* Slots before the newest that are not packed yet: rows come late. */
#define RED_OPEN_SLOTS 2

struct red_entry;

struct red_slot {
	uint64_t start_ns; /* unix; 0: empty */
	bool packed;
	struct hashmap by_key;	  /* hash of the texts -> position in entries; packed: empty */
	struct hashmap by_server; /* hash of the server's name -> its keys; packed: empty */
	struct red_entry *entries;
	size_t n, cap;
};

struct red {
	struct hash_key key;
	struct hashmap names; /* hash of the texts -> struct red_names */
	size_t names_bytes;
	struct red_slot slots[RED_SLOTS];
};

void red_init(struct red *r);
void red_done(struct red *r);

/* One finished exchange. texts: server name, client name, protocol, method, resource; borrowed.
 * latency_ns: negative when there was no answer. */
struct red_sample {
	struct slice texts[RED_TEXTS];
	uint64_t end_ns;
	int64_t latency_ns;
	uint64_t request_bytes, response_bytes;
	bool failed, client_error;
};
void red_add(struct red *r, const struct red_sample *s);

/* Bytes allocated for it all, without what malloc() adds. */
size_t red_bytes(const struct red *r);

/* Appends the rows of the slots between the two times. */
int red_rows(const struct red *r, uint64_t from_ns, uint64_t to_ns, const char *node,
	     struct mem_rows *to);

#endif
