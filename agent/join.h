/* Hop 7: who the two ends are, as interned texts; times converted to unix time, once; rows numbered
 * and handed to the store's queue.
 */
#ifndef AGENT_JOIN_H
#define AGENT_JOIN_H

#include "agent/pipeline.h"
#include "agent/pods.h"
#include "base/hashmap.h"
#include "k8s/entities.h"
#include "protocols/record.h"

#define SYM_MAX	       32768	  /* interned texts; then all are forgotten and numbered anew */
#define SYM_TEXT_MAX   512	  /* bytes of one; longer texts are not interned */
#define SYM_ARENA_MAX  (2u * MIB) /* bytes of all */
#define JOIN_LAST_MAX  119	  /* bytes of a text that is remembered so */
#define JOIN_LITERALS  64	  /* slots for texts of our own, power of two */
#define SYM_NONE       0xffffffffu
#define JOIN_OPTED_OUT "left out: annotation kelpie.io/capture of its pod"
#define PROCS_MAX      4096 /* processes remembered; then all are asked for anew */

struct conn;

struct sym_entry {
	uint32_t hash; /* a part of it */
	uint32_t off, len, id_plus_1;
};

struct join {
	struct hash_key key;
	struct sym_entry *table; /* 2 * SYM_MAX slots */
	char *arena;
	uint32_t n_syms, arena_len;
	/* The last text of each column and its number: the next row often has the same. */
	struct join_last {
		uint8_t n; /* bytes; 0: none */
		uint32_t sym;
		uint8_t text[JOIN_LAST_MAX];
	} last[_COL_MAX];
	struct join_literal {
		const char *text; /* a literal, known by its address */
		uint32_t sym;
	} literals[JOIN_LITERALS];
	bool stale;   /* the numbers are to begin anew, and the queue had no room to say so */
	bool refused; /* since last cleared, a text could not be announced */
	uint32_t gen; /* grows when numbers were forgotten, or more became known of who is who */
	struct hashmap procs; /* tgid, cgroup -> struct proc_identity, NULL while asked for */
	struct pods pods;     /* of this node */
	uint64_t entities;    /* version of opts.entities that gen knows */
	struct k8s_answer answers[2]; /* about the ends in hand */
	struct row_builder row;	      /* the row in hand */
};

int join_init(struct join *j);
void join_done(struct join *j);

/* Announces that all numbers begin anew: at start, when the table is full, when the store died.
 * With the queue full, join_emit() tries again and counts rows as lost until it has been said. */
void join_reset_syms(struct pipeline *p);
/* Announces every text again under its number, as far as the queue has room. */
void join_repeat_syms(struct pipeline *p);
/* The text's number, announced to the store; SYM_NONE when it cannot be (too long, queue full). */
uint32_t join_sym(struct pipeline *p, struct slice text);
/* The column's text as a number, which is returned, or in full where that is not possible. Empty
 * text: no cell. */
uint32_t join_text(struct pipeline *p, struct row_builder *b, uint16_t col, struct slice text);
void join_str(struct pipeline *p, struct row_builder *b, uint16_t col, const char *text);
/* The same for a text that lives, unchanged, as long as the program. */
void join_literal(struct pipeline *p, struct row_builder *b, uint16_t col, const char *text);

/* The identity columns of both ends as they were at that boot time, conn_id and node (join_ends.c). */
void join_ends(struct pipeline *p, struct conn *c, struct row_builder *b, uint64_t at_ns);
/* Whether the owner's pod says that it is not to be captured: annotation kelpie.io/capture "false". */
bool join_opted_out(struct pipeline *p, const struct conn *c);
/* Takes note of what has become known of addresses. */
void join_look(struct pipeline *p);
/* Whether the connection's owner is its server; from the protocol, else from who opened it. */
bool join_owner_is_server(const struct conn *c);

/* A number that stands for the server of a connection: its port, of a UNIX socket its address. */
uint64_t conn_server_number(const struct conn *c);

/* Boot time to unix time; 0 stays 0. */
uint64_t join_unix_ns(const struct pipeline *p, uint64_t boot_ns);

/* Numbers the row and queues it as a frame of that type. Counted either way. */
void join_emit(struct pipeline *p, struct row_builder *b, uint64_t end_unix_ns,
	       enum pipe_frame type);

void join_proc(struct pipeline *p, const struct proc_identity *id);
/* NULL: not known yet, and asked for. cgroup: of the process when it was seen. */
const struct proc_identity *join_find_proc(struct pipeline *p, uint32_t tgid, uint64_t cgroup);
void join_pod(struct pipeline *p, const struct k8s_identity *pod, bool gone);
/* NULL: in none, or not known yet. */
const struct k8s_identity *join_find_pod(struct pipeline *p, const struct proc_identity *id);

#endif
