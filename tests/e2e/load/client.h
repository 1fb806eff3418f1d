/* One connection of the load generator: requests out, answers in, in order. */
#ifndef TESTS_E2E_LOAD_CLIENT_H
#define TESTS_E2E_LOAD_CLIENT_H

#include "plan.h"
#include "sockio.h"
#include "truthlog.h"
#include "wire.h"

struct client_options {
	struct sockaddr_storage addr, bind;
	socklen_t addr_len, bind_len; /* bind_len 0: not bound */
	struct plan_mix mix;
	unsigned int depth;    /* requests on the way per connection */
	unsigned int per_conn; /* exchanges per connection, 0: no limit */
	enum send_how send;
	enum recv_how recv;
	size_t recv_bytes, split;
	uint64_t give_up_ns;
	bool foreign; /* not kelpie-echo: answers are not checked against the plan */
};

/* Sums of a thread. */
struct client_stats {
	uint64_t done, failed, planned_failures, connections, tunnel_bytes;
	uint64_t wrong_seq, wrong_status, wrong_body, bad;
	uint64_t latency[64 * 64]; /* of ns: 64 steps per power of two */
	uint64_t latency_max_ns;
};

struct inflight {
	uint64_t seq, due_ns, start_unix_ns;
	uint64_t request_bytes, request_body_bytes, request_framed_bytes;
	bool last; /* nothing follows on this connection */
};

struct client {
	const struct client_options *o;
	struct client_stats *stats;
	struct truth_log *log;
	int fd; /* -1: not connected */
	bool connecting, last_sent, tunnel, held;
	uint32_t events_watched;
	struct wire in;
	char *ibuf;
	size_t ilen;
	struct outq out;
	struct sockio_name own, peer;
	struct inflight *fl; /* ring of depth entries */
	unsigned int fl_head, fl_n, used;
	uint64_t interim_bytes, give_up_at_ns;
	uint64_t tunnel_left;
	bool pending; /* a planned exchange waits until it is alone on a connection */
	uint64_t pending_seq, pending_due_ns;
	bool queued; /* the thread's business: in its ready queue */
	unsigned int turn;
};

int client_init(struct client *c, const struct client_options *o, struct client_stats *stats,
		struct truth_log *log);
void client_done(struct client *c);

/* Starts to connect and registers with epoll. Returns 0 or negative errno. */
int client_open(struct client *c, int epoll_fd);
void client_close(struct client *c);

/* True when another request may be added now. */
bool client_has_room(const struct client *c);

/* Adds exchange seq; due_ns is when it was to start (latency counts from there). */
void client_add(struct client *c, uint64_t seq, uint64_t due_ns);

/* Sends what is queued and adjusts what epoll reports. Returns false when the connection died: it
 * is closed then, what was on the way is logged. */
bool client_flush(struct client *c, int epoll_fd);

/* Handles epoll's events. Returns false as client_flush() does. */
bool client_on_event(struct client *c, int epoll_fd, uint32_t events);

/* Closes a connection whose planned patience is over. Returns true when it did. */
bool client_check_time(struct client *c, uint64_t now_ns);

#endif
