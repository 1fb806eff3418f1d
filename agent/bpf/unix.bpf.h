/* UNIX stream sockets: identity, position, end. Why it is so: docs/decisions/0009.
 *
 *	key       inode of the socket: unlike its address not used again soon
 *	identity  inode of the socket that connected: the only thing that both ends know from their
 *		  first byte on (the other socket has no inode before accept())
 *	position  bytes counted by the hook, from 0 at the first sight of the socket
 *	end       nothing tells of close(): a read of 0 bytes, and looks at the sockets that are known,
 *		  some with each new one, all of them when user space asks (sweep)
 */
#ifndef AGENT_BPF_UNIX_BPF_H
#define AGENT_BPF_UNIX_BPF_H

/* include/net/sock.h */
enum { RCV_SHUTDOWN = 1 };
enum { EPIPE = 32, ECONNRESET = 104 };

#define QUEUE_LOOK 32 /* buffers of a receive queue that are counted when a socket becomes known */
#define REAP_SLOTS 8  /* looked at for dead sockets when one becomes known */
#define NAME_WORDS (EV_NAME_MAX / 8)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	refcount_t refcnt;
	int len; /* of name[], with the family */
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct unix_skb_parms {
	__u32 consumed;
};

struct timespec64 {
	__s64 tv_sec;
};

struct sk_buff {
	struct sk_buff *next;
	unsigned int len;
	char cb[48];
};

#pragma clang attribute pop

struct unix_state {
	__u64 live; /* entries of UNIX sockets in conns */
	__u32 hand; /* next slot to look at for a dead socket */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unix_state);
} unix_state SEC(".maps");

/* Which UNIX socket (key of conns) has a slot, 0 none. loader sizes it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} unix_slots SEC(".maps");

static __always_inline bool is_unix(struct sock *sk)
{
	return cfg.flags & CFG_F_UNIX && K(sk, __sk_common.skc_family) == AF_UNIX;
}

static __always_inline struct unix_state *unix_all(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&unix_state, &zero);
}

/* The other end; NULL once this end is closed. It stays allocated as long as this end is open. */
static __always_inline struct sock *unix_peer(struct sock *sk)
{
	return K(KCAST(unix_sock, sk), peer);
}

static __always_inline struct unix_address *unix_addr(struct sock *sk)
{
	return sk ? K(KCAST(unix_sock, sk), addr) : NULL;
}

/* Bytes that wait to be read. */
static __always_inline __u64 unix_queued(struct sock *sk)
{
	__u64 head = (__u64)sk + bpf_core_field_offset(struct sock, sk_receive_queue);
	__u64 at = (__u64)K(sk, sk_receive_queue.next), bytes = 0;

	for (int i = 0; i < QUEUE_LOOK && at && at != head; i++) {
		struct sk_buff *skb = KCAST(sk_buff, at);
		struct unix_skb_parms *read = KCAST(unix_skb_parms,
						    at + bpf_core_field_offset(struct sk_buff, cb));

		bytes += K(skb, len) - K(read, consumed);
		at = (__u64)K(skb, next);
	}
	return bytes;
}

/* ---- names ---- */

static __always_inline __u32 name_len(struct unix_address *addr)
{
	__u32 len = addr ? (__u32)K(addr, len) - 2 : 0;

	return len <= sizeof(((struct sockaddr_un *)0)->sun_path) ? len : 0;
}

/* Word i of the name, zeros behind its end. */
static __always_inline __u64 name_word(struct unix_address *addr, __u32 len, __u32 i)
{
	__u64 at = (__u64)addr + bpf_core_field_offset(struct unix_address, name) +
		   bpf_core_field_offset(struct sockaddr_un, sun_path) + 8 * i;
	__u64 word;

	if (8 * i >= len)
		return 0;
	/* Any struct that starts with a word will do to read one without a helper. */
	word = (__u64)K(KCAST(timespec64, at), tv_sec);
	return len - 8 * i >= 8 ? word : word & ((1ULL << 8 * (len & 7)) - 1);
}

/* Kelpie's own sockets. */
static __always_inline bool name_denied(struct unix_address *addr)
{
	__u32 len = name_len(addr);
	bool same[CFG_NAMES];

	for (int n = 0; n < CFG_NAMES; n++)
		same[n] = len && cfg.deny_names[n][0];
	for (__u32 i = 0; i < NAME_WORDS && (same[0] || same[1]); i++) {
		__u64 word = name_word(addr, len, i);

		for (int n = 0; n < CFG_NAMES; n++)
			same[n] = same[n] && word == cfg.deny_names[n][i];
	}
	return same[0] || same[1];
}

static __always_inline void name_copy(struct unix_address *addr, __u8 *len, char *to)
{
	__u32 bytes = name_len(addr);

	*len = (__u8)bytes;
	for (__u32 i = 0; i < NAME_WORDS; i++)
		((__u64 *)to)[i] = name_word(addr, bytes, i);
}

/* The accepted socket shares the listener's name; one that connected may have bound a name of its
 * own, which nobody shares. A socketpair() has no names. */
static __always_inline __u8 unix_role(struct unix_address *own, struct unix_address *other)
{
	bool shares, other_shares;

	if (!own || !other)
		return own ? EV_INITIATOR_REMOTE
			   : (other ? EV_INITIATOR_LOCAL : EV_INITIATOR_UNKNOWN);
	shares = K(own, refcnt.refs.counter) > 1;
	other_shares = K(other, refcnt.refs.counter) > 1;
	if (shares == other_shares)
		return EV_INITIATOR_UNKNOWN;
	return shares ? EV_INITIATOR_REMOTE : EV_INITIATOR_LOCAL;
}

/* ---- what is told ---- */

/* EV_CONN_OPEN. Filled in the ring: it is too large for the stack. */
static __always_inline void unix_tell(struct bpf_counters *n, struct conn *c, struct sock *sk,
				      __u64 inode, __u8 flags)
{
	__u64 unread = bpf_ringbuf_query(&ctl_ring, BPF_RB_AVAIL_DATA);
	struct ev_conn_unix *e = ctl_reserve(n, sizeof(*e), EV_CONN_OPEN,
					     flags | (c->old ? EV_F_OLD : 0));

	if (!e)
		return;
	e->c.conn = c->id;
	e->c.inode = inode;
	e->c.cgroup = c->cgroup;
	e->c.pos[0] = c->next[0];
	e->c.pos[1] = c->next[1];
	e->c.isn[0] = c->isn[0];
	e->c.isn[1] = c->isn[1];
	e->c.isn_known = c->isn_known;
	e->c.slot = c->slot;
	e->c.tgid = c->tgid;
	e->c.family = AF_UNIX;
	e->c.initiator = c->initiator;
	__builtin_memcpy(e->c.comm, c->comm, sizeof(e->c.comm));
	name_copy(unix_addr(sk), &e->name_len[0], e->name[0]);
	name_copy(unix_addr(unix_peer(sk)), &e->name_len[1], e->name[1]);
	ctl_submit(n, &e->c.h, unread);
}

/* A record that stands on the stack. */
static __always_inline void ctl_output(struct bpf_counters *n, void *rec, __u32 len)
{
	__u64 unread = bpf_ringbuf_query(&ctl_ring, BPF_RB_AVAIL_DATA);

	count(n, BC_EV_CTL_IN, 1);
	if (bpf_ringbuf_output(&ctl_ring, rec, len, ring_flags(unread, len, cfg.ctl_wake_bytes)))
		count(n, BC_EV_CTL_RING, 1);
	else
		count(n, BC_EV_CTL, 1);
}

/* A closed socket has lost its file, and its memory may be anybody's: whatever lies there, it does not
 * lead to the same inode any more. */
static __always_inline bool unix_alive(const struct conn *c, __u64 key)
{
	struct sock *sk = KCAST(sock, c->sk);

	return K(sk, __sk_common.skc_family) == AF_UNIX && sock_inode(sk) == key;
}

/* Of two ends the one that is gone while the other is there has ended what it sends. Before unix_close(),
 * not in it: the stack. */
__noinline int unix_end_first(__u64 key)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &key), *other;
	struct bpf_counters *n = counters();
	__u64 other_key;

	if (!c || !n)
		return 0;
	other_key = c->peer;
	other = other_key ? bpf_map_lookup_elem(&conns, &other_key) : NULL;
	if (other && unix_alive(other, other_key))
		conn_tell_eof(n, c, EV_TX, c->next[EV_TX]);
	return 0;
}

/* The socket is gone. Whoever deletes the entry tells. */
__noinline int unix_close(__u64 key)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &key);
	struct bpf_counters *n = counters();
	struct unix_state *all = unix_all();
	struct ev_close e = {};
	__u64 none = 0;
	bool announced;
	__u32 slot;

	if (!c || !n || !all)
		return 0;
	slot = c->slot;
	announced = c->announced;
	e.h.len = sizeof(e);
	e.h.type = EV_CONN_CLOSE;
	e.h.version = EV_VERSION;
	e.h.ts_ns = bpf_ktime_get_boot_ns();
	e.conn = c->id;
	e.pos[EV_RX] = c->next[EV_RX];
	e.pos[EV_TX] = c->next[EV_TX];
	e.copied_bytes = c->copied[EV_RX] + c->copied[EV_TX];
	e.skipped_bytes = c->skipped;
	e.lost_bytes = c->lost;
	e.err = c->err;
	if (bpf_map_delete_elem(&conns, &key))
		return 0;
	bpf_map_update_elem(&unix_slots, &slot, &none, BPF_ANY);
	slot_give_back(slot);
	__sync_fetch_and_add(&all->live, -1ULL);
	count(n, BC_CONNS_CLOSED, 1);
	if (announced)
		ctl_output(n, &e, sizeof(e));
	return 0;
}

/* A function of its own, beside unix_open(), for its stack. */
__noinline int unix_reap(void)
{
	struct unix_state *all = unix_all();

	if (!all)
		return 0;
	for (int i = 0; i < REAP_SLOTS; i++) {
		__u32 slot = all->hand;
		__u64 *has, key;
		struct conn *c;

		if (slot >= cfg.conns_max)
			slot = 0;
		all->hand = slot + 1;
		has = bpf_map_lookup_elem(&unix_slots, &slot);
		if (!has || !*has)
			continue;
		key = *has;
		c = bpf_map_lookup_elem(&conns, &key);
		if (!c || unix_alive(c, key))
			continue;
		unix_end_first(key);
		unix_close(key);
	}
	return 0;
}

/* ---- a socket becomes known ---- */

/* len bytes of the direction have been moved already by the call at hand: the positions are those
 * before it. What a socket has sent is what its peer has read and what waits there, whichever of them
 * was seen first; the peer's counter is read first, so that it is never too much. */
static __always_inline void unix_locate(struct conn *c, struct sock *sk, struct sock *peer,
					__u32 dir, __u32 len)
{
	__u64 key = c->peer;
	struct conn *other = key ? bpf_map_lookup_elem(&conns, &key) : NULL;
	__u64 tx = other ? other->next[EV_RX] : 0, rx = other ? other->next[EV_TX] : 0, waits;

	barrier();
	tx += peer ? unix_queued(peer) : 0;
	waits = other ? unix_queued(sk) : 0;
	if (dir == EV_TX)
		tx = tx > len ? tx - len : 0;
	else
		waits += len;
	c->next[EV_TX] = tx;
	c->next[EV_RX] = rx > waits ? rx - waits : 0;
	c->located = 1;
}

/* What both ends have in common; false: this end does not know it. */
static __always_inline bool unix_identity(struct conn *c, __u64 inode)
{
	__u64 a = inode, b = 0;

	if (c->initiator == EV_INITIATOR_REMOTE)
		a = c->peer;
	else if (c->initiator == EV_INITIATOR_UNKNOWN) {
		a = inode < c->peer ? inode : c->peer;
		b = inode < c->peer ? c->peer : inode;
	}
	c->isn[0] = (__u32)a;
	c->isn[1] = (__u32)b;
	return a != 0;
}

/* Half of the slots at most: a flood of local sockets leaves room for the rest. */
static __always_inline bool unix_room(const struct unix_state *all, __u32 share)
{
	return all->live < cfg.conns_max / share;
}

static __always_inline bool unix_old(void)
{
	__u32 zero = 0;
	struct capture_self *self = bpf_map_lookup_elem(&self_tasks, &zero);

	return self && !self->walked;
}

static __always_inline bool unix_unwanted(struct sock *sk, struct task_struct *t)
{
	return KBIT(sk, sk_kern_sock) || name_denied(unix_addr(sk)) ||
	       name_denied(unix_addr(unix_peer(sk))) || task_of_self(t);
}

static __always_inline void unix_add(struct bpf_counters *n, struct unix_state *all, struct conn *c,
				     struct sock *sk, __u64 key, bool ignored, __u32 dir, __u32 len)
{
	struct sock *peer = unix_peer(sk);

	__builtin_memset(c, 0, sizeof(*c));
	if (!slot_take(c))
		return;
	c->sk = (__u64)sk;
	c->peer = peer ? sock_inode(peer) : 0;
	c->initiator = unix_role(unix_addr(sk), unix_addr(peer));
	c->isn_known = unix_identity(c, key);
	c->old = unix_old();
	c->ignored = ignored;
	unix_locate(c, sk, peer, dir, len);
	if (bpf_map_update_elem(&conns, &key, c, BPF_NOEXIST)) {
		slot_give_back(c->slot);
		return;
	}
	count(n, BC_CONNS_OPENED, 1);
	__sync_fetch_and_add(&all->live, 1);
	bpf_map_update_elem(&unix_slots, &c->slot, &key, BPF_ANY);
}

/* For the job of this CPU and direction: whether its socket is to be left alone, and its entry. Functions
 * of their own for their stacks. */
__noinline int unix_judge(__u32 dir)
{
	__u32 key = dir & 1;
	struct xfer *x = bpf_map_lookup_elem(&xfers, &key);

	if (!x)
		return 1;
	return unix_unwanted(KCAST(sock, x->job.sk), KCAST(task_struct, x->job.task));
}

__noinline int unix_open(__u32 dir, __u32 ignored)
{
	__u32 key = dir & 1;
	struct xfer *x = bpf_map_lookup_elem(&xfers, &key);
	struct bpf_counters *n = counters();
	struct unix_state *all = unix_all();
	struct sock *sk;
	__u64 inode;

	if (!x || !n || !all)
		return 0;
	sk = KCAST(sock, x->job.sk);
	inode = sock_inode(sk);
	if (inode && unix_room(all, 2))
		unix_add(n, all, &x->fresh, sk, inode, ignored & 1, key, x->job.len + x->job.after);
	return 0;
}

/* ---- transfers ---- */

/* As xfer_conn(). */
static __always_inline struct conn *unix_conn(struct bpf_counters *n, struct sock *sk, __u32 dir,
					      const struct job *job, __u32 tgid)
{
	__u64 key = sock_inode(sk);
	struct conn *c = bpf_map_lookup_elem(&conns, &key);

	if (!c) {
		unix_reap();
		unix_open(dir, unix_judge(dir));
		c = bpf_map_lookup_elem(&conns, &key);
	}
	if (!c) {
		charge(n, NULL, BC_C_CONN, job->len);
		return NULL;
	}
	if (c->ignored) {
		charge(n, c, BC_C_SELF, job->len);
		return NULL;
	}
	if (!c->announced) {
		conn_owner(c, tgid, KCAST(task_struct, job->task));
		unix_tell(n, c, sk, key, 0);
		c->announced = 1;
	}
	return c;
}

/* Where the transfer begins. An empty queue says that everything the peer has been seen to send is
 * read: what of it was not seen here went where no hook is (splice to a pipe). */
static __always_inline __u64 unix_pos(struct conn *c, struct sock *sk, __u32 dir,
				      const struct job *job)
{
	__u32 len = job->len + job->after; /* of the whole call */
	__u64 pos = c->next[dir & 1], sent, key;
	struct conn *other;
	struct sock *peer;

	if (!c->peer) {
		peer = unix_peer(sk);
		c->peer = peer ? sock_inode(peer) : 0;
	}
	key = c->peer;
	if (dir == EV_RX && key) {
		other = bpf_map_lookup_elem(&conns, &key);
		sent = other ? other->next[EV_TX] : 0;
		barrier(); /* read before the queue: what comes meanwhile is in neither */
		if (sent > pos + len && !K(sk, sk_receive_queue.qlen))
			pos = sent - len;
	}
	c->next[dir & 1] = pos + job->len;
	return pos;
}

/* ---- the end ---- */

/* Nothing came, or the peer is gone: the direction's end, for both; and the peer's own when it is
 * closed. Of the job of this CPU and direction. */
__noinline int unix_end_job(__u32 dir, int ret)
{
	__u32 at = dir & 1;
	struct xfer *x = bpf_map_lookup_elem(&xfers, &at);
	struct bpf_counters *n = counters();
	struct sock *sk, *peer;
	__u64 key, other_key;
	struct conn *c, *other;

	if (!x || !n)
		return 0;
	sk = KCAST(sock, x->job.sk);
	peer = unix_peer(sk);
	key = sock_inode(sk);
	c = bpf_map_lookup_elem(&conns, &key);
	if (!c || c->ignored)
		return 0;
	if (ret < 0)
		c->err = -ret;
	else if (!(K(sk, sk_shutdown) & RCV_SHUTDOWN) || K(sk, sk_receive_queue.qlen))
		return 0; /* nothing was asked for */
	else
		conn_tell_eof(n, c, EV_RX, c->next[EV_RX]);
	other_key = c->peer;
	other = other_key ? bpf_map_lookup_elem(&conns, &other_key) : NULL;
	if (!other)
		return 0;
	if (!ret)
		conn_tell_eof(n, other, EV_TX, other->next[EV_TX]);
	if (!peer || K(peer, sk_socket))
		return 0;
	unix_end_first(other_key);
	unix_close(other_key);
	return 0;
}

/* The results of a call that end something. */
static __always_inline bool unix_end_result(long ret)
{
	return ret == 0 || ret == -ECONNRESET || ret == -EPIPE;
}

static __always_inline void unix_end(struct sock *sk, __u32 dir, long ret)
{
	if (unix_end_result(ret) && (ret || dir == EV_RX) && job_begin(sk, dir, 0, NULL))
		unix_end_job(dir, (int)ret);
}

/* Datagrams and sequenced packets are left alone. */
static __always_inline bool unix_left(struct sock *sk, __u32 len)
{
	struct bpf_counters *n;

	if (K(sk, sk_type) == SOCK_STREAM)
		return false;
	n = counters();
	if (n) {
		count(n, BC_CALLS_IN, 1);
		count(n, BC_BYTES_IN, len);
		charge(n, NULL, BC_C_LOCAL, len);
	}
	return true;
}

/* ---- before the agent, and after the connection ---- */

/* An open socket is remembered as older than the agent; it is told when it is used, because most never
 * are again. */
static __always_inline void unix_walk(struct sock *sk, struct task_struct *t,
				      struct bpf_counters *n)
{
	struct unix_state *all = unix_all();
	__u64 key = sock_inode(sk);
	struct conn fresh, *c; /* not the scratch: a walk may be preempted */

	if (K(sk, sk_type) != SOCK_STREAM || K(sk, __sk_common.skc_state) != TCP_ESTABLISHED ||
	    !key || !all)
		return;
	c = bpf_map_lookup_elem(&conns, &key);
	if (!c && unix_room(all, 4))
		unix_add(n, all, &fresh, sk, key, unix_unwanted(sk, t), EV_TX, 0);
	else if (c && c->announced)
		unix_tell(n, c, sk, key, EV_F_KNOWN); /* a new parser knows nothing */
}

SEC("?iter/bpf_map_elem")
int sweep_conns(struct bpf_iter__bpf_map_elem *ctx)
{
	const __u64 *key = ctx->key;
	const struct conn *c = ctx->value;

	/* Other keys are addresses of the kernel. */
	if (!key || !c || *key >> 63)
		return 0;
	if (unix_alive(c, *key))
		return 0;
	unix_end_first(*key);
	unix_close(*key);
	return 0;
}

#endif
