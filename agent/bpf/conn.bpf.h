/* Connections: identity, position and the records that tell of them.
 *
 * Position and identity come from TCP's own counters (include/linux/tcp.h), so they are exact on
 * connections older than the agent:
 *	sequence of the first byte sent     = snd_una - bytes_acked      (+ 1 for who sent the SYN,
 *								    which bytes_acked counts)
 *	sequence of the first byte received = rcv_nxt - bytes_received
 */
#ifndef AGENT_BPF_CONN_BPF_H
#define AGENT_BPF_CONN_BPF_H

#define NO_EOF (~0ULL)

/* Protocol numbers mean something else in other families (6 is XFRM to netlink), and a raw socket may
 * have TCP's. */
static __always_inline bool is_tcp(struct sock *sk)
{
	__u16 family;

	if (K(sk, sk_protocol) != IPPROTO_TCP)
		return false;
	family = K(sk, __sk_common.skc_family);
	return (family == AF_INET || family == AF_INET6) && K(sk, sk_type) == SOCK_STREAM;
}

/* The counters of one moment. */
struct snap {
	__u64 acked, received;
	__u32 una, write, nxt, rcv, copied;
	__u8 state;
};

/* An ACK in softirq may move snd_una and bytes_acked between two loads: read until they agree. */
static __always_inline bool snap_read(struct sock *sk, struct tcp_sock *tp, struct snap *s)
{
	bool stable = false;

	for (int i = 0; i < 3 && !stable; i++) {
		s->una = K(tp, snd_una);
		s->acked = K(tp, bytes_acked);
		s->rcv = K(tp, rcv_nxt);
		s->received = K(tp, bytes_received);
		barrier();
		stable = s->una == K(tp, snd_una) && s->acked == K(tp, bytes_acked) &&
			 s->rcv == K(tp, rcv_nxt) && s->received == K(tp, bytes_received);
	}
	s->write = K(tp, write_seq);
	s->nxt = K(tp, snd_nxt);
	s->copied = K(tp, copied_seq);
	s->state = K(sk, __sk_common.skc_state);
	return stable;
}

static __always_inline bool state_fin_sent(__u8 state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
	       state == TCP_LAST_ACK || state == TCP_TIME_WAIT;
}

/* Who opened: the SYN is acknowledged but is not in bytes_sent, so what was acknowledged or is in
 * flight exceeds what was sent by one at the end that connected. Anything but 0 or 1 (a local drop
 * counts twice in bytes_sent) is not known. */
static __always_inline __u8 who_opened(struct tcp_sock *tp, const struct snap *s)
{
	__u64 sent = K(tp, bytes_sent) - K(tp, bytes_retrans);
	__u64 extra = s->acked + (__u32)(s->nxt - s->una) - sent;

	if (state_fin_sent(s->state) && s->nxt == s->write)
		extra--;
	if (extra == 1)
		return EV_INITIATOR_LOCAL;
	return extra == 0 ? EV_INITIATOR_REMOTE : EV_INITIATOR_UNKNOWN;
}

/* SYN that this end sent and that bytes_acked and write_seq count. */
static __always_inline __u32 syn_sent(const struct conn *c)
{
	return c->initiator == EV_INITIATOR_LOCAL;
}

static __always_inline __u64 pos_min(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/* Where the directions end that have ended already: each FIN is counted as a byte. */
static __always_inline void conn_locate_ends(struct conn *c, struct sock *sk, const struct snap *s)
{
	if (K(sk, __sk_common.skc_flags) & 1 << SOCK_DONE)
		c->eof[EV_RX] = pos_min(c->eof[EV_RX], s->received - 1);
	if (state_fin_sent(s->state) && c->eof[EV_TX] == NO_EOF)
		c->eof[EV_TX] = c->next[EV_TX] - 1;
	c->next[EV_RX] = pos_min(c->next[EV_RX], c->eof[EV_RX]);
	c->next[EV_TX] = pos_min(c->next[EV_TX], c->eof[EV_TX]);
}

/* Fills the identity and both positions from the socket's counters. early: no answer to the SYN has
 * come yet (TCP Fast Open sends data with it). */
static __always_inline void conn_locate(struct conn *c, struct sock *sk, struct tcp_sock *tp,
					bool early)
{
	struct snap s = {};
	bool stable = snap_read(sk, tp, &s);

	/* Nothing was sent, not even a SYN: a connection that was restored (TCP_REPAIR). */
	if (s.acked == 0 && s.write == s.una && c->initiator == EV_INITIATOR_LOCAL)
		c->initiator = EV_INITIATOR_UNKNOWN;
	else if (c->initiator == EV_INITIATOR_UNKNOWN)
		c->initiator = who_opened(tp, &s);
	c->isn[EV_TX] = s.una - (__u32)s.acked + syn_sent(c);
	c->isn[EV_RX] = s.rcv - (__u32)s.received;
	c->isn_known = stable && c->initiator != EV_INITIATOR_UNKNOWN && !early;
	c->next[EV_TX] = s.acked + (__u32)(s.write - s.una) - syn_sent(c);
	c->next[EV_RX] = early ? 0 : s.received - (__u32)(s.rcv - s.copied);
	conn_locate_ends(c, sk, &s);
	c->located = 1;
}

/* Whether the socket's counters still begin where the entry's connection began: a socket may be
 * connected again, and its memory becomes another's. */
static __always_inline bool conn_is_same(const struct conn *c, struct sock *sk, struct tcp_sock *tp)
{
	struct snap s = {};

	if (!snap_read(sk, tp, &s))
		return true; /* not to be said */
	return c->isn[EV_TX] == s.una - (__u32)s.acked + syn_sent(c) &&
	       c->isn[EV_RX] == s.rcv - (__u32)s.received;
}

/* 64-bit position of a sequence number near `near`. */
static __always_inline __u64 conn_pos(const struct conn *c, __u32 dir, __u32 seq, __u64 near)
{
	__u32 off = seq - c->isn[dir & 1];

	return near + (__u64)(__s64)(__s32)(off - (__u32)near);
}

static __always_inline void addr4(__u8 *to, __be32 a)
{
	__builtin_memset(to, 0, 10);
	to[10] = 0xff;
	to[11] = 0xff;
	__builtin_memcpy(to + 12, &a, 4);
}

static __always_inline void addr6(__u8 *to, const __be32 *w)
{
	__builtin_memcpy(to, w, 16);
}

static __always_inline __u16 sock_lport(struct sock *sk)
{
	__u16 port = K(sk, __sk_common.skc_num);

	/* skc_num is 0 again when a refused socket reaches TCP_CLOSE; inet_sport stays. */
	if (!port)
		port = __builtin_bswap16(K(KCAST(inet_sock, sk), inet_sport));
	return port;
}

static __always_inline __u64 sock_inode(struct sock *sk)
{
	struct socket *socket = K(sk, sk_socket);
	struct file *file = socket ? K(socket, file) : NULL;
	struct inode *inode = file ? K(file, f_inode) : NULL;

	return inode ? K(inode, i_ino) : 0;
}

static __always_inline __u32 sock_netns(struct sock *sk)
{
	struct net *net = K(sk, __sk_common.skc_net.net);

	return net ? K(net, ns.inum) : 0;
}

static __always_inline void sock_addrs(struct sock *sk, struct ev_conn *e)
{
	__be32 w[4];

	e->family = (__u8)K(sk, __sk_common.skc_family);
	e->local_port = sock_lport(sk);
	e->remote_port = __builtin_bswap16(K(sk, __sk_common.skc_dport));
	if (e->family == AF_INET) {
		addr4(e->local, K(sk, __sk_common.skc_rcv_saddr));
		addr4(e->remote, K(sk, __sk_common.skc_daddr));
		return;
	}
	w[0] = K(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[0]);
	w[1] = K(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[1]);
	w[2] = K(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[2]);
	w[3] = K(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[3]);
	addr6(e->local, w);
	w[0] = K(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[0]);
	w[1] = K(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[1]);
	w[2] = K(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[2]);
	w[3] = K(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[3]);
	addr6(e->remote, w);
}

/* One wakeup each time the unread bytes pass another multiple of `per`: the reader polls on a timer,
 * a wakeup (an interrupt to the own CPU) costs more than the record. */
static __always_inline __u64 ring_flags(__u64 unread, __u32 len, __u32 per)
{
	if (per && unread / per != (unread + len) / per)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

/* Room for a record of the control ring, all zero but its header. NULL: there is none, counted. */
static __always_inline void *ctl_reserve(struct bpf_counters *n, __u32 len, __u8 type, __u8 flags)
{
	struct ev_hdr *h = bpf_ringbuf_reserve(&ctl_ring, len, 0);

	count(n, BC_EV_CTL_IN, 1);
	if (!h) {
		count(n, BC_EV_CTL_RING, 1);
		return NULL;
	}
	__builtin_memset(h, 0, len);
	h->len = len;
	h->type = type;
	h->version = EV_VERSION;
	h->flags = flags;
	h->ts_ns = bpf_ktime_get_boot_ns();
	return h;
}

/* unread: of the control ring, from before the record. */
static __always_inline void ctl_submit(struct bpf_counters *n, struct ev_hdr *h, __u64 unread)
{
	bpf_ringbuf_submit(h, ring_flags(unread, h->len, cfg.ctl_wake_bytes));
	count(n, BC_EV_CTL, 1);
}

static __always_inline void eof_tell(struct bpf_counters *n, const struct conn *c, __u32 dir)
{
	__u64 unread = bpf_ringbuf_query(&ctl_ring, BPF_RB_AVAIL_DATA);
	struct ev_eof *e = ctl_reserve(n, sizeof(*e), EV_CONN_EOF, dir == EV_TX ? EV_F_TX : 0);

	if (!e)
		return;
	e->conn = c->id;
	e->pos = c->eof[dir & 1];
	ctl_submit(n, &e->h, unread);
}

/* Tells EV_CONN_OPEN or EV_CONN_FAILED. */
static __always_inline void conn_tell(struct bpf_counters *n, struct conn *c, struct sock *sk,
				      __u8 type, __u8 flags, __s32 err)
{
	__u64 unread = bpf_ringbuf_query(&ctl_ring, BPF_RB_AVAIL_DATA);
	struct ev_conn *e = ctl_reserve(n, sizeof(*e), type, flags);

	if (!e)
		return;
	e->conn = c->id;
	e->inode = sock_inode(sk);
	e->cgroup = c->cgroup;
	e->pos[0] = c->next[0];
	e->pos[1] = c->next[1];
	e->isn[0] = c->isn[0];
	e->isn[1] = c->isn[1];
	e->slot = c->slot;
	e->netns = sock_netns(sk);
	e->tgid = c->tgid;
	e->err = err;
	sock_addrs(sk, e);
	e->initiator = c->initiator;
	e->isn_known = c->isn_known;
	e->tcp_state = K(sk, __sk_common.skc_state);
	e->connect_ns = c->syn_ns ? e->h.ts_ns - c->syn_ns : 0;
	__builtin_memcpy(e->comm, c->comm, sizeof(e->comm));
	ctl_submit(n, &e->h, unread);
	/* Ends from before anybody was told of the connection. */
	for (__u32 dir = 0; dir < 2 && type == EV_CONN_OPEN; dir++)
		if (c->eof[dir] != NO_EOF)
			eof_tell(n, c, dir);
}

static __always_inline bool port_listed(const volatile __u16 *list, __u16 a, __u16 b)
{
#pragma unroll
	for (int i = 0; i < CFG_PORTS; i++)
		if (list[i] && (list[i] == a || list[i] == b))
			return true;
	return false;
}

/* Connections that are not to be shown, whoever uses them. */
static __always_inline bool conn_unwanted(struct sock *sk)
{
	__u16 lport = sock_lport(sk);
	__u16 rport = __builtin_bswap16(K(sk, __sk_common.skc_dport));

	if (KBIT(sk, sk_kern_sock))
		return true;
	if (port_listed(cfg.deny_ports, lport, rport))
		return true;
	return cfg.allow_ports[0] && !port_listed(cfg.allow_ports, lport, rport);
}

static __always_inline struct conn *conn_find(struct sock *sk)
{
	__u64 key = (__u64)sk;

	return bpf_map_lookup_elem(&conns, &key);
}

static __always_inline void slot_give_back(__u32 slot)
{
	bpf_map_push_elem(&free_slots, &slot, BPF_ANY);
}

/* Gives a new connection its slot and identity. False: all slots are taken. */
static __always_inline bool slot_take(struct conn *c)
{
	__u32 *uses;

	if (bpf_map_pop_elem(&free_slots, &c->slot))
		return false;
	uses = bpf_map_lookup_elem(&slot_uses, &c->slot);
	if (!uses)
		return false;
	*uses += 1;
	c->id = (__u64)*uses << 32 | (c->slot + 1);
	c->eof[0] = NO_EOF;
	c->eof[1] = NO_EOF;
	return true;
}

/* A new entry for the socket, without position yet; c: where it is made. NULL: all slots are taken. */
static __always_inline struct conn *conn_add(struct bpf_counters *n, struct sock *sk,
					     __u8 initiator, struct conn *c)
{
	__u64 key = (__u64)sk;

	__builtin_memset(c, 0, sizeof(*c));
	if (!slot_take(c))
		return NULL;
	c->initiator = initiator;
	c->ignored = conn_unwanted(sk);
	if (bpf_map_update_elem(&conns, &key, c, BPF_NOEXIST)) {
		slot_give_back(c->slot);
		return bpf_map_lookup_elem(&conns, &key);
	}
	count(n, BC_CONNS_OPENED, 1);
	return bpf_map_lookup_elem(&conns, &key);
}

/* The process has its first thread's name, as in /proc: others have names of their own. */
static __always_inline void conn_owner(struct conn *c, __u32 tgid, struct task_struct *t)
{
	struct task_struct *leader;

	if (c->tgid)
		return;
	leader = K(t, group_leader);
	c->tgid = tgid;
	c->cgroup = bpf_get_current_cgroup_id();
	for (int i = 0; i < EV_COMM_LEN; i++)
		c->comm[i] = K(leader, comm[i]);
}

static __always_inline void conn_tell_eof(struct bpf_counters *n, struct conn *c, __u32 dir,
					  __u64 pos)
{
	if (c->eof[dir & 1] != NO_EOF)
		return;
	c->eof[dir & 1] = pos;
	if (c->announced)
		eof_tell(n, c, dir);
}

/* End of the bytes in a direction: at most up to the FIN. */
static __always_inline __u64 conn_end(const struct conn *c, __u32 dir, __u32 seq)
{
	__u64 pos = conn_pos(c, dir, seq, c->next[dir & 1]);

	return pos > c->eof[dir & 1] ? c->eof[dir & 1] : pos;
}

/* tp: NULL when the socket's counters are another connection's by now. */
static __always_inline void conn_tell_close(struct bpf_counters *n, struct conn *c,
					    struct tcp_sock *tp)
{
	__u64 unread = bpf_ringbuf_query(&ctl_ring, BPF_RB_AVAIL_DATA);
	struct ev_close *e;

	/* One that is told of later ends later, too. */
	if (c->closed || !c->announced)
		return;
	c->closed = 1;
	e = ctl_reserve(n, sizeof(*e), EV_CONN_CLOSE, 0);
	if (!e)
		return;
	e->conn = c->id;
	e->pos[EV_RX] = tp ? conn_end(c, EV_RX, K(tp, copied_seq)) : c->next[EV_RX];
	e->pos[EV_TX] = tp ? conn_end(c, EV_TX, K(tp, write_seq)) : c->next[EV_TX];
	e->copied_bytes = c->copied[EV_RX] + c->copied[EV_TX];
	e->skipped_bytes = c->skipped;
	e->lost_bytes = c->lost;
	e->srtt_us = tp ? K(tp, srtt_us) >> 3 : 0;
	e->retransmits = tp ? K(tp, total_retrans) : 0;
	e->err = c->err;
	e->from_state = c->from_state;
	ctl_submit(n, &e->h, unread);
}

static __always_inline void conn_forget(struct conn *c, struct bpf_counters *n, __u64 key)
{
	__u32 slot = c->slot;

	if (bpf_map_delete_elem(&conns, &key))
		return;
	slot_give_back(slot);
	count(n, BC_CONNS_CLOSED, 1);
}

/* The entry's connection is over, its socket has begun another. */
static __always_inline void conn_retire(struct bpf_counters *n, struct conn *c, struct sock *sk)
{
	conn_tell_close(n, c, NULL);
	conn_forget(c, n, (__u64)sk);
}

#endif
