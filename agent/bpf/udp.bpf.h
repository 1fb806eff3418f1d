/* UDP: each datagram of a socket becomes a record with both addresses, as far as somebody wants it.
 *
 * Copied are datagrams from and to a few ports, those of sockets that the parser has found to speak
 * something it reads, and the first ones of every other socket, so that it can find out. All the rest
 * (media, QUIC) is counted and costs a look-up.
 *
 * No hook tells of a UDP socket's end (there is none without kprobes), so what is known of sockets is
 * a table of the least recently used; the address of a socket that went is used again, the number of
 * its file is not.
 */
#ifndef AGENT_BPF_UDP_BPF_H
#define AGENT_BPF_UDP_BPF_H

#define DGRAM_SOCKS_MAX 4096
#define DGRAM_FROM_MAX	1024
#define DGRAM_VECS_MAX	8 /* pieces of a datagram that are put together */

struct dgram_sock {
	__u64 id;    /* ev_dgram.sock */
	__u64 inode; /* of the socket's file */
	__u32 seen;  /* datagrams copied without a verdict */
	__u16 verdict;
	__u16 port; /* its own, when it was added */
};

/* Key: address of the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, DGRAM_SOCKS_MAX);
	__type(key, __u64);
	__type(value, struct dgram_sock);
} dgram_socks SEC(".maps");

/* How many sockets this CPU has numbered, per direction (each has programs of its own). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} dgram_ids SEC(".maps");

/* Who sent the datagram that a thread is receiving: the socket-length hook runs before the kernel has
 * told the caller. Key: kernel thread id. */
struct dgram_from {
	__u64 sk;
	__u8 addr[16];
	__u16 port;
	__u16 pad[3];
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, DGRAM_FROM_MAX);
	__type(key, __u32);
	__type(value, struct dgram_from);
} dgram_froms SEC(".maps");

/* The record under construction, by CPU and direction. */
struct dgram_scratch {
	struct ev_dgram ev;
	__u8 data[2 * EV_DGRAM_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct dgram_scratch);
} dgram_scratches SEC(".maps");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct msghdr {
	void *msg_name; /* in the kernel: NULL when the caller did not ask */
};

struct in_addr {
	__be32 s_addr;
};

struct sockaddr_in {
	unsigned short sin_family;
	__be16 sin_port;
	struct in_addr sin_addr;
};

struct sockaddr_in6 {
	unsigned short sin6_family;
	__be16 sin6_port;
	struct in6_addr sin6_addr;
};

#pragma clang attribute pop

/* struct sockaddr_in and sockaddr_in6 up to the address. */
struct user_sockaddr {
	__u16 family;
	__be16 port;
	__be32 addr4; /* IPv6: flow label */
	__be32 addr6[4];
};

static __always_inline bool is_udp(struct sock *sk)
{
	__u16 family = K(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) && K(sk, sk_protocol) == IPPROTO_UDP;
}

static __always_inline struct dgram_sock *dgram_add(__u64 key, __u64 inode, __u16 port, __u32 dir)
{
	__u32 which = dir & 1;
	struct dgram_sock d = { .inode = inode, .port = port };
	__u64 *ids = bpf_map_lookup_elem(&dgram_ids, &which);

	if (!ids)
		return NULL;
	d.id = 1ULL << 63 | (__u64)bpf_get_smp_processor_id() << 48 | (__u64)which << 47 | ++*ids;
	bpf_map_update_elem(&dgram_socks, &key, &d, BPF_ANY);
	return bpf_map_lookup_elem(&dgram_socks, &key);
}

static __always_inline struct dgram_sock *dgram_find(struct sock *sk, __u16 port, __u32 dir)
{
	__u64 key = (__u64)sk, inode = sock_inode(sk);
	struct dgram_sock *d = bpf_map_lookup_elem(&dgram_socks, &key);

	return d && d->inode == inode ? d : dgram_add(key, inode, port, dir);
}

static __always_inline __u32 dgram_slot(const struct dgram_sock *d)
{
	return cfg.conns_max + (__u32)(d->id * 0x9e3779b97f4a7c15ULL >> 54) % EV_DGRAM_SLOTS;
}

/* The parser's opinion, once it has one. */
static __always_inline __u32 dgram_verdict(struct dgram_sock *d)
{
	__u32 slot = dgram_slot(d);
	struct conn_ctl *ctl;

	if (d->verdict != CTL_UNJUDGED)
		return d->verdict;
	ctl = bpf_map_lookup_elem(&conn_ctl, &slot);
	if (ctl && ctl->conn == d->id)
		d->verdict = ctl->verdict;
	return d->verdict;
}

/* Whether a datagram between these ports is copied; otherwise the BC_D_* of the loss. */
static __always_inline __u32 dgram_unwanted(struct dgram_sock *d, __u16 local, __u16 remote)
{
	__u32 verdict;

	if (port_listed(cfg.dgram_ports, local, remote))
		return 0;
	verdict = dgram_verdict(d);
	if (verdict == CTL_COPY)
		return 0;
	if (verdict == CTL_COUNT)
		return BC_D_VERDICT;
	if (d->seen >= cfg.dgram_budget)
		return BC_D_BUDGET;
	d->seen++;
	return 0;
}

static __always_inline void dgram_remote(struct ev_dgram *e, const struct user_sockaddr *a)
{
	if (a->family == AF_INET)
		addr4(e->remote, a->addr4);
	else if (a->family == AF_INET6)
		addr6(e->remote, a->addr6);
	else
		return;
	e->remote_port = __builtin_bswap16(a->port);
}

/* The other end: named in the call, else told by the kernel meanwhile, else the connected one. */
static __always_inline void dgram_peer(struct ev_dgram *e, struct sock *sk, const struct job *job,
				       __u32 dir)
{
	struct task_struct *t = KCAST(task_struct, job->task);
	struct user_sockaddr a = {};
	struct dgram_from *from;
	__u32 tid;

	if (job->name) {
		if (!bpf_probe_read_user(&a, 8, (const void *)job->name) && a.family == AF_INET6)
			bpf_probe_read_user(&a, sizeof(a), (const void *)job->name);
		dgram_remote(e, &a);
		return;
	}
	if (dir != EV_RX)
		return;
	tid = K(t, pid);
	from = bpf_map_lookup_elem(&dgram_froms, &tid);
	if (!from)
		return;
	if (from->sk == (__u64)sk) {
		__builtin_memcpy(e->remote, from->addr, sizeof(e->remote));
		e->remote_port = from->port;
	}
	bpf_map_delete_elem(&dgram_froms, &tid);
}

/* Both addresses as the socket has them; a connected one has both. */
static __always_inline void dgram_own(struct ev_dgram *e, struct sock *sk)
{
	struct ev_conn c = {};

	sock_addrs(sk, &c);
	e->local_port = c.local_port;
	e->remote_port = c.remote_port;
	__builtin_memcpy(e->local, c.local, sizeof(e->local));
	__builtin_memcpy(e->remote, c.remote, sizeof(e->remote));
}

static __always_inline bool dgram_denied(struct sock *sk, __u16 local, __u16 remote)
{
	if (KBIT(sk, sk_kern_sock) || port_listed(cfg.deny_ports, local, remote))
		return true;
	return cfg.allow_ports[0] && !port_listed(cfg.allow_ports, local, remote);
}

/* `want` bytes from the caller's memory; fewer when a page cannot be read. */
static __always_inline __u32 dgram_copy(struct dgram_scratch *s, const struct job *job, __u32 want)
{
	__u64 at = 0, n = want;

	if (!job->vecs) {
		opaque(n);
		if (n > EV_DGRAM_MAX ||
		    bpf_probe_read_user(s->data, (__u32)n, (const void *)job->ptr))
			return 0;
		return (__u32)n;
	}
	for (__u32 i = 0; i < DGRAM_VECS_MAX && i < job->vecs && at < want; i++) {
		struct user_iovec v = {};

		if (bpf_probe_read_user(&v, sizeof(v), (const void *)(job->ptr + sizeof(v) * i)))
			break;
		n = v.len < want - at ? v.len : want - at;
		opaque(n);
		if (n > EV_DGRAM_MAX)
			break;
		opaque(at);
		at &= EV_DGRAM_MAX - 1;
		if (n && bpf_probe_read_user(s->data + at, (__u32)n, (const void *)v.base))
			break;
		at += n;
	}
	return (__u32)at;
}

/* After the copying: every byte that is not in the record to its cause. */
static __always_inline void dgram_account(struct bpf_counters *n, struct ev_dgram *e)
{
	__u32 cut = e->orig_len > EV_DGRAM_MAX ? e->orig_len - EV_DGRAM_MAX : 0;
	__u32 missing = e->orig_len - e->cap_len;

	if (e->h.miss == EV_MISS_NOPAYLOAD || e->h.miss == EV_MISS_UNTRUSTED) {
		count(n, e->h.miss == EV_MISS_NOPAYLOAD ? BC_DB_NOPAYLOAD : BC_DB_UNTRUSTED,
		      missing);
		return;
	}
	if (cut)
		count(n, BC_DB_CUT, cut);
	if (missing > cut)
		count(n, BC_DB_FAULT, missing - cut);
}

static __always_inline void dgram_submit(struct bpf_counters *n, struct dgram_scratch *s)
{
	__u64 len = sizeof(s->ev) + (__u64)s->ev.cap_len, unread;

	s->ev.h.len = (__u32)len;
	unread = bpf_ringbuf_query(&data_ring, BPF_RB_AVAIL_DATA);
	opaque(len);
	if (len > sizeof(s->ev) + EV_DGRAM_MAX)
		return;
	if (bpf_ringbuf_output(&data_ring, s, len,
			       ring_flags(unread, (__u32)len, cfg.wake_bytes))) {
		charge(n, NULL, BC_D_RING, s->ev.orig_len);
		return;
	}
	count(n, BC_D_OUT, 1);
	count(n, BC_DB_OUT, s->ev.cap_len);
	dgram_account(n, &s->ev);
}

static __always_inline void dgram_fill(struct dgram_scratch *s, const struct job *job,
				       const struct dgram_sock *d, struct sock *sk, __u32 dir,
				       __u32 tgid)
{
	struct task_struct *t = KCAST(task_struct, job->task);
	struct task_struct *leader = K(t, group_leader);
	__u32 want = job->len < EV_DGRAM_MAX ? job->len : EV_DGRAM_MAX;

	s->ev.h.type = EV_DGRAM;
	s->ev.h.version = EV_VERSION;
	s->ev.h.flags = dir == EV_TX ? EV_F_TX : 0;
	s->ev.h.miss = job->miss;
	s->ev.h.ts_ns = bpf_ktime_get_boot_ns();
	s->ev.sock = d->id;
	s->ev.cgroup = bpf_get_current_cgroup_id();
	s->ev.orig_len = job->len;
	s->ev.tgid = tgid;
	s->ev.slot = dgram_slot(d);
	s->ev.netns = sock_netns(sk);
	for (int i = 0; i < EV_COMM_LEN; i++)
		s->ev.comm[i] = K(leader, comm[i]);
	s->ev.cap_len = job->miss ? 0 : dgram_copy(s, job, want);
	if (!job->miss && s->ev.cap_len < job->len)
		s->ev.h.miss = s->ev.cap_len < want ? EV_MISS_FAULT : EV_MISS_LIMIT;
}

/* The datagram described by the job of this CPU and direction has been sent or received. */
__noinline int dgram_job(__u32 dir)
{
	__u32 key = dir & 1, tgid, out;
	struct xfer *x = bpf_map_lookup_elem(&xfers, &key);
	struct dgram_scratch *s = bpf_map_lookup_elem(&dgram_scratches, &key);
	struct bpf_counters *n = counters();
	struct dgram_sock *d;
	struct sock *sk;

	if (!n || !x || !s || !x->job.len)
		return 0;
	sk = KCAST(sock, x->job.sk);
	tgid = task_tgid(KCAST(task_struct, x->job.task));
	count(n, BC_D_IN, 1);
	count(n, BC_DB_IN, x->job.len);
	dgram_own(&s->ev, sk);
	dgram_peer(&s->ev, sk, &x->job, key);
	out = task_excluded(tgid);
	if (out || dgram_denied(sk, s->ev.local_port, s->ev.remote_port)) {
		charge(n, NULL, out == BC_C_SELF ? BC_D_SELF : BC_D_SCOPE, x->job.len);
		return 0;
	}
	d = dgram_find(sk, s->ev.local_port, key);
	if (!d) {
		charge(n, NULL, BC_D_MAP, x->job.len);
		return 0;
	}
	out = dgram_unwanted(d, s->ev.local_port, s->ev.remote_port);
	if (out) {
		charge(n, NULL, out, x->job.len);
		return 0;
	}
	dgram_fill(s, &x->job, d, sk, key, tgid);
	dgram_submit(n, s);
	return 0;
}

/* A look at a datagram is no receiving; what was kept of its sender would be taken for another's. */
static __always_inline void dgram_peeked(struct task_struct *t)
{
	__u32 tid = K(t, pid);

	bpf_map_delete_elem(&dgram_froms, &tid);
}

/* linux/bpf.h: what a program of these hooks is given. */
struct bpf_sock {
	__u32 bound_dev_if, family, type, protocol, mark, priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port; /* host order */
};
struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port;
	__u32 family, type, protocol;
	__u32 msg_src_ip4;
	__u32 msg_src_ip6[4];
	struct bpf_sock *sk __attribute__((aligned(8)));
};

/* Whether nobody would look at what comes from that port: then its sender is not kept either. */
static __always_inline bool from_unwanted(__u64 sk, __u16 local, __u16 port)
{
	struct dgram_sock *d = bpf_map_lookup_elem(&dgram_socks, &sk);

	/* What is known may be of a socket that had the same place in memory before. */
	if (!d || d->port != local || port_listed(cfg.dgram_ports, local, port))
		return false;
	return d->verdict == CTL_COUNT || (d->verdict != CTL_COPY && d->seen >= cfg.dgram_budget);
}

static __always_inline void from_keep(struct dgram_from *f, __u64 sk)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();

	f->sk = sk;
	bpf_map_update_elem(&dgram_froms, &tid, f, BPF_ANY);
}

/* Who sent it is known when the kernel's own function returns; the socket-length hook follows. */
static __always_inline int sender(struct sock *sk, struct msghdr *msg)
{
	__u64 name = (__u64)K(msg, msg_name);
	struct sockaddr_in *a4 = KCAST(sockaddr_in, name);
	struct sockaddr_in6 *a6 = KCAST(sockaddr_in6, name);
	struct dgram_from f = {};
	__be32 w[4];

	if (!name)
		return 0;
	f.port = __builtin_bswap16(K(a4, sin_port));
	if (from_unwanted((__u64)sk, K(sk, __sk_common.skc_num), f.port))
		return 0;
	if (K(a4, sin_family) == AF_INET) {
		addr4(f.addr, K(a4, sin_addr.s_addr));
	} else {
		w[0] = K(a6, sin6_addr.in6_u.u6_addr32[0]);
		w[1] = K(a6, sin6_addr.in6_u.u6_addr32[1]);
		w[2] = K(a6, sin6_addr.in6_u.u6_addr32[2]);
		w[3] = K(a6, sin6_addr.in6_u.u6_addr32[3]);
		addr6(f.addr, w);
	}
	from_keep(&f, (__u64)sk);
	return 0;
}

/* A receiver that failed has no sender: what lies there is not the kernel's. */
static __always_inline bool received(void *ctx)
{
	__u64 ret = 0;

	return !bpf_get_func_ret(ctx, &ret) && (int)ret >= 0;
}

SEC("?fexit/udp_recvmsg")
int sender4(__u64 *ctx)
{
	return received(ctx) ? sender((struct sock *)ctx[0], (struct msghdr *)ctx[1]) : 0;
}

SEC("?fexit/udpv6_recvmsg")
int sender6(__u64 *ctx)
{
	return received(ctx) ? sender((struct sock *)ctx[0], (struct msghdr *)ctx[1]) : 0;
}

/* The same where the kernel refuses those; they need CAP_NET_ADMIN. */
SEC("?cgroup/recvmsg4")
int from4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sock = ctx->sk;
	__u64 sk = (__u64)sock;
	struct dgram_from f = {};

	f.port = __builtin_bswap16((__u16)ctx->user_port);
	if (!sock || from_unwanted(sk, (__u16)sock->src_port, f.port))
		return 1;
	addr4(f.addr, ctx->user_ip4);
	from_keep(&f, sk);
	return 1;
}

SEC("?cgroup/recvmsg6")
int from6(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sock = ctx->sk;
	__u64 sk = (__u64)sock;
	struct dgram_from f = {};
	__be32 w[4];

	f.port = __builtin_bswap16((__u16)ctx->user_port);
	if (!sock || from_unwanted(sk, (__u16)sock->src_port, f.port))
		return 1;
	w[0] = ctx->user_ip6[0];
	w[1] = ctx->user_ip6[1];
	w[2] = ctx->user_ip6[2];
	w[3] = ctx->user_ip6[3];
	addr6(f.addr, w);
	from_keep(&f, sk);
	return 1;
}

#endif
