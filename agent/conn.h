/* Hop 3: the connections this node has, and what each hop keeps of them. One struct per end of a
 * connection; a connection inside the node has two, joined by their identity hash.
 */
#ifndef AGENT_CONN_H
#define AGENT_CONN_H

#include "agent/bpf/events.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/text.h"
#include "base/util.h"
#include "protocols/protocol.h"

#define CONN_MAX	 65536 /* ends known at one time; beyond it the idlest is evicted */
#define STREAM_BUF_MAX	 (PROTO_NEED_MAX + EV_CHUNK_MAX) /* bytes held back per direction */
#define STREAM_BYTES_MAX (64 * MIB) /* memory of the buffers of all directions */
#define INFER_CHUNKS_MAX 8	    /* looks at a direction's beginnings before giving up */
#define INFER_HOLD_MAX	 32768	    /* bytes of a direction that wait for what could decide */
#define TIME_MARKS	 8	    /* (position, time) pairs remembered per direction */
#define IDENTITY_SYMS	 12	    /* columns of one end's identity, see COL_CLIENT_ADDR.. */
#define LEGACIES	 8192 /* ends remembered that went before their other one came, power of two */

struct conn;
struct exchange;
struct session;
struct stmts;
struct unpack;

/* Addresses of a UNIX socket's two ends as texts, as long as they are. */
struct unix_names {
	const char *local, *remote; /* in text */
	char text[];
};

struct time_mark {
	uint64_t pos, ts_ns;
};

/* Hop 4, one direction. Invariants: buf holds the bytes [next, next + len); next never goes back.
 */
struct stream {
	uint64_t next;	     /* position of the next byte the parser wants */
	uint64_t skip_until; /* bytes below are not wanted, whether they come or not */
	uint64_t eof_pos;    /* valid when eof */
	uint64_t seen;	     /* highest position known to exist in this direction */
	uint64_t gap_ns;     /* when wanted bytes were last found missing, boot time; 0: never */
	uint8_t *buf;
	uint32_t len, cap;
	uint32_t taken, taken_told; /* as conn_ctl.taken; what of it the kernel knows */
	uint8_t infer_chunks;	    /* beginnings looked at */
	bool eof;
	bool waiting; /* the parser wants the other direction to advance first */
	bool eof_told;
	uint8_t n_marks;
	struct time_mark marks[TIME_MARKS]; /* ascending positions */
};

enum conn_state {
	CONN_UNKNOWN_PROTO, /* still looking */
	CONN_PARSING,
	CONN_IGNORED, /* counters only; why says so */
};

struct conn {
	uint64_t id;	    /* ev_conn.conn */
	uint64_t hash;	    /* keyed hash of the ISN pair, of a UNIX socket's inode; 0: not known */
	uint64_t last_ns;   /* boot time of the last event */
	uint64_t opened_ns; /* boot time; 0: before the agent */
	uint64_t closed_ns;
	uint64_t replaced_ns; /* another one got its slot: this one is over, told or not */
	uint64_t cgroup;
	uint64_t copied_bytes, skipped_bytes, lost_bytes;
	uint32_t slot, tgid, netns;
	uint16_t local_port, remote_port;
	uint8_t local[16], remote[16];
	struct unix_names *names; /* NULL: no UNIX socket */
	uint8_t initiator;	  /* enum ev_initiator */
	uint8_t state;		  /* enum conn_state */
	uint8_t proto;		  /* enum proto_id */
	uint8_t request_dir;	  /* enum dir, valid when parsing */
	uint8_t verdict;	  /* enum ctl_verdict last written */
	bool old;		  /* open before the agent was */
	bool closing;		  /* EV_CONN_CLOSE has come */
	bool aborted;		  /* this end reset it: left without FIN and without an error */
	bool in_parser;		  /* guards against a parser that is driven from its own sink */
	bool role_known;
	bool poisoned;	   /* it made a parser crash: never parsed again */
	bool datagram;	   /* a flow of datagrams, see dgram.h */
	uint8_t eof_first; /* 0 none, 1 + dir of the direction that ended first */
	int32_t err;
	uint32_t srtt_us, retransmits;
	const char *why_unreadable; /* literal, NULL while readable or undecided */
	char comm[EV_COMM_LEN];

	struct stream dir[2];
	const struct proto_ops *ops;
	void *parser;	       /* ops->state_size bytes */
	struct unpack *unpack; /* what comes is compressed, NULL: it is not */
	void *held;	       /* of a flow: a query that waits for its answer */

	/* hop 6: open exchanges, oldest first */
	struct exchange *open_head, *open_tail;
	uint32_t n_open;
	uint32_t n_odd;		 /* of these, begun by no request */
	uint64_t open_memory;	 /* bytes allocated for them */
	uint64_t keys_to;	 /* requests and answers below it have begun; those above are new */
	struct session *session; /* NULL: nothing known */
	struct stmts *stmts;	 /* prepared statements, NULL: none seen */
	uint64_t n_rows;
	uint64_t rows_to; /* requests that begin below this position have become rows here */
	/* Of a client: requests below it became its rows before its server was known to read them. Those
	 * rows stand for the exchange, and the server's are beside them. */
	uint64_t primary_to;
	uint64_t oldest_open_ns;
	/* The last answer's end, and from when its request is counted: see MSG_FOLLOWS. */
	uint64_t answered_ns, answer_from_ns;

	/* hop 7: interned identity of both ends, made at the first row, again when more is known */
	uint64_t names_gen;		     /* of join.gen; 0: never made */
	uint64_t names_from_ns, names_to_ns; /* unix times that they hold for; to 0: and on */
	uint32_t client_syms[IDENTITY_SYMS], server_syms[IDENTITY_SYMS];
	uint32_t conn_sym;
	uint32_t
		opt_out_gen; /* of join.gen, when it was last asked whether its pod wants to be read */
	bool server_covered; /* the server is on another node, and observed there, too */
	uint8_t ends_in_pods,
		ends_named; /* ends whose process is in a pod; of which the pod is known */

	struct conn *peer; /* the other end on this node, or NULL */
	/* What was known of it when it went away before this end. */
	bool peer_was_readable;
	uint64_t peer_rows_to;
	uint64_t peer_primary_to;
	uint64_t peer_read_to; /* requests from this position on were never read there */
	uint64_t peer_cgroup;
	uint32_t peer_tgid;
	char peer_comm[EV_COMM_LEN];
	uint32_t told; /* number of the last snapshot that has it */
	struct conn *lru_prev, *lru_next;
};

/* What an end that was alone until it went away leaves for the other one, which may come later: a server
 * reads when it has the time. As in struct conn. */
struct legacy {
	uint64_t hash, rows_to, primary_to;
};

struct conn_table {
	struct hashmap by_id;	 /* ev_conn.conn -> struct conn */
	struct hashmap by_hash;	 /* identity -> one end whose peer is not known yet */
	struct legacy *legacies; /* LEGACIES, direct-mapped; NULL until the first */
	struct conn lru;	 /* list head: lru_next is the idlest */
	struct conn *cursor;	 /* of a walk along the list that rests between rounds, or NULL */
	size_t n, max;
};

void conn_table_init(struct conn_table *t, size_t max);
void conn_table_done(struct conn_table *t);

/* A zeroed connection under its id, linked to its other end when that is here. NULL when there is
 * no memory; at the maximum the caller evicts conn_idlest() first. */
struct conn *conn_add(struct conn_table *t, const struct ev_conn *ev, uint64_t hash);
struct conn *conn_get(const struct conn_table *t, uint64_t id);
/* The identity of one that was told without, hash 0: links it to its other end. */
void conn_identify(struct conn_table *t, struct conn *c, const struct ev_conn *ev, uint64_t hash);
/* Moves it to the busy end of the list. */
void conn_touch(struct conn_table *t, struct conn *c, uint64_t now_ns);
struct conn *conn_idlest(const struct conn_table *t);
/* Unlinks and frees; the caller has emptied its streams, parser and exchanges. */
void conn_del(struct conn_table *t, struct conn *c);

/* Whether the other end is on this node and the request that begins at off is, or was, read there:
 * an end that stopped reading (an upgrade, an error) still has what came before. due: it counts as read
 * when the other end has yet to be told of it. */
static inline bool conn_peer_reads(const struct conn *c, uint64_t off, bool due)
{
	if (!c->peer)
		return off < c->peer_rows_to || (c->peer_was_readable && off < c->peer_read_to);
	/* What needs both directions to be recognised may wait there for the event that is under way. */
	if (c->peer->state == CONN_UNKNOWN_PROTO)
		return c->peer->dir[dir_other((enum dir)c->request_dir)].len > 0;
	return off < c->peer->rows_to || (c->peer->state == CONN_PARSING &&
					  (due || off < c->peer->dir[c->peer->request_dir].seen));
}

/* Whether the client's row of the request that begins at off stands for the exchange already. */
static inline bool conn_peer_claims(const struct conn *c, uint64_t off)
{
	return off < (c->peer ? c->peer->primary_to : c->peer_primary_to);
}

/* 0.0.0.0 or ::, the address of a socket that is bound to none. */
static inline bool addr_is_any(const uint8_t addr[16])
{
	static const uint8_t any4[16] = { [10] = 0xff, [11] = 0xff }, any6[16];

	return memcmp(addr, any4, 16) == 0 || memcmp(addr, any6, 16) == 0;
}

/* The address of this end or of the other one. out: UNIX_ADDR_TEXT_MAX bytes. Returns the length, 0
 * where it is not known (addr_is_any). */
size_t conn_addr(const struct conn *c, bool remote, char *out);

/* Keyed hash of what identifies a connection, the same at both ends; never 0. */
uint64_t conn_identity(const struct hash_key *key, const struct ev_conn *ev);

#endif
