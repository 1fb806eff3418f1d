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

/* Fills the identity and both positions from the socket's counters. early: no answer to the SYN has
 * come yet (TCP Fast Open sends data with it). */
static __always_inline void conn_locate(struct conn *c, struct sock *sk, struct tcp_sock *tp,
					bool early)
{
	struct snap s = {};
	bool stable = snap_read(sk, tp, &s);
	__u32 syn;

	if (c->initiator == EV_INITIATOR_UNKNOWN)
		c->initiator = who_opened(tp, &s);
	syn = c->initiator == EV_INITIATOR_LOCAL;
	c->isn[EV_TX] = s.una - (__u32)s.acked + syn;
	c->isn[EV_RX] = s.rcv - (__u32)s.received;
	c->isn_known = stable && c->initiator != EV_INITIATOR_UNKNOWN && !early;
	c->next[EV_TX] = s.acked + (__u32)(s.write - s.una) - syn;
	c->next[EV_RX] = s.received - (__u32)(s.rcv - s.copied);
	if (early)
		c->next[EV_RX] = 0;
	c->located = 1;
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

static __always_inline void ctl_submit(struct bpf_counters *n, void *rec, __u32 len)
{
	__u64 unread = bpf_ringbuf_query(&ctl_ring, BPF_RB_AVAIL_DATA);

	count(n, BC_EV_CTL_IN, 1);
	if (bpf_ringbuf_output(&ctl_ring, rec, len, ring_flags(unread, len, cfg.ctl_wake_bytes)))
		count(n, BC_EV_CTL_RING, 1);
	else
		count(n, BC_EV_CTL, 1);
}

/* Tells EV_CONN_OPEN or EV_CONN_FAILED. */
static __always_inline void conn_tell(struct bpf_counters *n, struct conn *c, struct sock *sk,
				      __u8 type, __u8 flags, __s32 err)
{
	__u64 unread = bpf_ringbuf_query(&ctl_ring, BPF_RB_AVAIL_DATA);
	struct ev_conn *e = bpf_ringbuf_reserve(&ctl_ring, sizeof(*e), 0);

	count(n, BC_EV_CTL_IN, 1);
	if (!e) {
		count(n, BC_EV_CTL_RING, 1);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->h.len = sizeof(*e);
	e->h.type = type;
	e->h.version = EV_VERSION;
	e->h.flags = flags;
	e->h.ts_ns = bpf_ktime_get_boot_ns();
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
	bpf_ringbuf_submit(e, ring_flags(unread, sizeof(*e), cfg.ctl_wake_bytes));
	count(n, BC_EV_CTL, 1);
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
	struct ev_eof e = {};

	if (c->eof[dir & 1] != NO_EOF)
		return;
	c->eof[dir & 1] = pos;
	if (!c->announced)
		return;
	e.h.len = sizeof(e);
	e.h.type = EV_CONN_EOF;
	e.h.version = EV_VERSION;
	e.h.flags = dir == EV_TX ? EV_F_TX : 0;
	e.h.ts_ns = bpf_ktime_get_boot_ns();
	e.conn = c->id;
	e.pos = pos;
	ctl_submit(n, &e, sizeof(e));
}

/* End of the bytes in a direction: at most up to the FIN. */
static __always_inline __u64 conn_end(const struct conn *c, __u32 dir, __u32 seq)
{
	__u64 pos = conn_pos(c, dir, seq, c->next[dir & 1]);

	return pos > c->eof[dir & 1] ? c->eof[dir & 1] : pos;
}

static __always_inline void conn_tell_close(struct bpf_counters *n, struct conn *c,
					    struct tcp_sock *tp)
{
	struct ev_close e = {};

	if (c->closed)
		return;
	c->closed = 1;
	if (!c->announced)
		return;
	e.h.len = sizeof(e);
	e.h.type = EV_CONN_CLOSE;
	e.h.version = EV_VERSION;
	e.h.ts_ns = bpf_ktime_get_boot_ns();
	e.conn = c->id;
	e.pos[EV_RX] = conn_end(c, EV_RX, K(tp, copied_seq));
	e.pos[EV_TX] = conn_end(c, EV_TX, K(tp, write_seq));
	e.copied_bytes = c->copied[EV_RX] + c->copied[EV_TX];
	e.skipped_bytes = c->skipped;
	e.lost_bytes = c->lost;
	e.srtt_us = K(tp, srtt_us) >> 3;
	e.retransmits = K(tp, total_retrans);
	e.err = c->err;
	e.from_state = c->from_state;
	ctl_submit(n, &e, sizeof(e));
}

#endif
