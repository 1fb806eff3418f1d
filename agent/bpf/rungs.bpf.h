/* The data hooks. Each finds the socket, the direction, the length and where the bytes are, and
 * hands over to xfer().
 */
#ifndef AGENT_BPF_RUNGS_BPF_H
#define AGENT_BPF_RUNGS_BPF_H

static __always_inline bool is_watched(struct sock *sk)
{
	return sk && (is_tcp(sk) || is_udp(sk));
}

/* The job is described: on to what its kind of socket does with it. */
static __always_inline int transfer(struct sock *sk, __u32 dir)
{
	return is_udp(sk) ? dgram_job(dir) : xfer_job(dir);
}

static __always_inline void source_msghdr(__u64 ptr, struct job *src)
{
	struct user_msghdr h = {};

	if (bpf_probe_read_user(&h, sizeof(h), (const void *)ptr)) {
		src->miss = EV_MISS_FAULT;
		return;
	}
	src->ptr = h.iov;
	src->name = h.name;
	src->vecs = h.iovlen > VECS_MAX ? VECS_MAX : (__u32)h.iovlen;
	if (!src->vecs)
		src->miss = EV_MISS_FAULT;
}

static __always_inline void source_args(const struct sysargs *a, struct job *src)
{
	switch (a->kind & SYS_KIND) {
	case SYS_BUF:
		src->ptr = a->arg[1];
		if (a->kind & SYS_FLAGS3) /* sendto, recvfrom */
			src->name = a->arg[4];
		break;
	case SYS_IOV:
		src->ptr = a->arg[1];
		src->vecs = a->arg[2] > VECS_MAX ? VECS_MAX : (__u32)a->arg[2];
		break;
	case SYS_MSG:
		source_msghdr(a->arg[1], src);
		break;
	default:
		src->miss = EV_MISS_NOPAYLOAD;
	}
}

/* Bytes asked for: an iovec array's sum is not known, so 0 = unknown. */
static __always_inline bool whole_message(const struct job *src, int ret)
{
	struct user_iovec v = {};

	if (src->miss || src->vecs != 1)
		return !src->miss;
	if (bpf_probe_read_user(&v, sizeof(v), (const void *)src->ptr))
		return false;
	return v.len == (__u64)(__u32)ret;
}

/* socklen: the socket is given, the registers are those of whatever the current task is doing. They
 * are believed only inside a native system call of the list, in the hook's direction, whose
 * descriptor is this very socket. */
static __always_inline void length_source(struct sock *sk, __u32 dir, int ret,
					  struct task_struct *t, struct job *src)
{
	struct pt_regs *r = (struct pt_regs *)bpf_task_pt_regs(t);
	struct sysargs a = {};
	__u32 tid = K(t, pid);
	int index;

	src->miss = EV_MISS_UNTRUSTED;
	if (K(t, flags) & (PF_KTHREAD | PF_IO_WORKER) || !regs_in_call(r)) {
		src->miss = EV_MISS_NOPAYLOAD;
		return;
	}
	if (task_compat(t, r))
		return;
	a.kind = sys_kind(regs_nr(r));
	if (!a.kind || (a.kind & SYS_KIND) == SYS_NOBUF || (a.kind & SYS_KIND) == SYS_SPLICE) {
		src->miss = EV_MISS_NOPAYLOAD;
		return;
	}
	if (!!(a.kind & SYS_TX) != (dir == EV_TX))
		return;
	regs_args(r, &a);
	if (fd_sock(t, a.arg[0]) != sk)
		return;
	src->miss = EV_MISS_NONE;
	if ((a.kind & SYS_KIND) != SYS_MMSG) {
		source_args(&a, src);
		return;
	}
	if ((dir == EV_RX && a.arg[4]) || (a.arg[3] & MSG_OOB)) {
		src->miss = EV_MISS_UNTRUSTED;
		return;
	}
	index = mmsg_index(tid, (__u64)sk, &a);
	if (index < 0)
		src->miss = EV_MISS_UNTRUSTED;
	else
		source_msghdr(a.arg[1] + sizeof(struct user_mmsghdr) * (__u32)index, src);
	mmsg_advance(tid, (__u64)sk, &a, index, ret, dir == EV_RX || whole_message(src, ret));
}

/* A failed message ends a sendmmsg or recvmmsg: the count starts again. */
static __always_inline void length_failed(struct sock *sk)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct pt_regs *r = (struct pt_regs *)bpf_task_pt_regs(t);
	struct mmsg_state *m;
	__u32 tid;

	if ((sys_kind(regs_nr(r)) & SYS_KIND) != SYS_MMSG)
		return;
	tid = K(t, pid);
	m = bpf_map_lookup_elem(&mmsgs, &tid);
	if (m && m->sk == (__u64)sk)
		m->next = 0;
}

static __always_inline int on_length(struct sock *sk, int ret, int flags, __u32 dir)
{
	struct task_struct *t;
	struct job *job;

	if (!is_watched(sk) && !is_unix(sk))
		return 0;
	/* An empty datagram is one of a sendmmsg's or recvmmsg's all the same. */
	if (ret < 0 || (!ret && !is_udp(sk))) {
		length_failed(sk);
		if (is_unix(sk))
			unix_end(sk, dir, ret);
		return 0;
	}
	if (is_unix(sk) && unix_left(sk, ret))
		return 0;
	/* Looked at, urgent or error-queue bytes do not move the stream. */
	t = bpf_get_current_task_btf();
	if (dir == EV_RX && flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)) {
		if (is_udp(sk))
			dgram_peeked(t);
		return 0;
	}
	job = job_begin(sk, dir, ret, t);
	if (!job)
		return 0;
	length_source(sk, dir, ret, t, job);
	job->owned = dir == EV_TX;
	if (dir == EV_RX && flags & MSG_TRUNC)
		job->miss = EV_MISS_NOPAYLOAD;
	if (dir == EV_RX)
		job->name = 0; /* not written yet */
	return transfer(sk, dir);
}

SEC("?tp_btf/sock_send_length")
int send_length(__u64 *ctx)
{
	return on_length((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2], EV_TX);
}

SEC("?tp_btf/sock_recv_length")
int recv_length(__u64 *ctx)
{
	return on_length((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2], EV_RX);
}

/* The other rungs run when the system call is done: the registers are the caller's own, the
 * descriptor leads to the socket. */

/* MSG_* flags of the call, 0 where it has none. */
static __always_inline __u64 call_flags(const struct sysargs *a)
{
	if (a->kind & SYS_FLAGS2)
		return a->arg[2];
	return a->kind & SYS_FLAGS3 ? a->arg[3] : 0;
}

/* sendmmsg and recvmmsg have written each message's length: one transfer per message. The position
 * comes from the socket's counter after the whole call, so `after` holds the messages behind. */
#define MMSG_MAX 64 /* messages of one call that are told apart; the rest is one hole */

static __always_inline __u32 mmsg_len(__u64 vec, __u32 i)
{
	__u32 len = 0;

	bpf_probe_read_user(&len, sizeof(len),
			    (const void *)(vec + sizeof(struct user_mmsghdr) * i +
					   __builtin_offsetof(struct user_mmsghdr, len)));
	return len;
}

/* Message i of the call. Returns 1 to stop. */
__noinline int mmsg_one(__u32 dir, __u32 i)
{
	__u32 key = dir & 1, len;
	struct xfer *x = bpf_map_lookup_elem(&xfers, &key);

	if (!x)
		return 1;
	len = mmsg_len(x->mmsg_vec, i);
	if (!len)
		return 0;
	if (len > x->mmsg_after)
		return 1;
	x->mmsg_after -= len;
	x->job.len = len;
	x->job.after = x->mmsg_after;
	x->job.miss = x->mmsg_miss;
	if (!x->job.miss)
		source_msghdr(x->mmsg_vec + sizeof(struct user_mmsghdr) * i, &x->job);
	return transfer(KCAST(sock, x->job.sk), dir);
}

static __always_inline void exit_mmsg(struct sock *sk, __u32 dir, __u32 msgs, struct task_struct *t,
				      const struct sysargs *a, __u8 miss)
{
	struct job *job = job_begin(sk, dir, 0, t);
	struct xfer *x = (struct xfer *)job;
	__u32 after = 0;

	if (!job)
		return;
	for (__u32 i = 0; i < MMSG_MAX && i < msgs; i++)
		after += mmsg_len(a->arg[1], i);
	x->mmsg_vec = a->arg[1];
	x->mmsg_after = after;
	x->mmsg_miss = miss;
	for (__u32 i = 0; i < MMSG_MAX && i < msgs; i++)
		if (mmsg_one(dir, i))
			break;
}

/* A socket whose bytes are followed. */
static __always_inline bool is_followed(struct sock *sk, __u32 len)
{
	return is_watched(sk) || (sk && is_unix(sk) && !unix_left(sk, len));
}

static __always_inline void exit_hole(struct sock *sk, __u32 dir, __u32 len, struct task_struct *t)
{
	struct job *job;

	if (!is_followed(sk, len))
		return;
	job = job_begin(sk, dir, len, t);
	if (!job)
		return;
	job->miss = EV_MISS_NOPAYLOAD;
	transfer(sk, dir);
}

static __always_inline int on_exit(struct pt_regs *r, long ret, struct task_struct *t)
{
	struct sysargs a = {};
	__u8 miss = EV_MISS_NONE;
	struct job *job;
	struct sock *sk;
	__u64 flags;
	__u32 dir;

	a.kind = sys_kind(regs_nr(r));
	if (!a.kind || task_compat(t, r))
		return 0;
	regs_args(r, &a);
	sk = fd_sock(t, a.arg[0]);
	if (ret <= 0) {
		if (sk && is_unix(sk))
			unix_end(sk, a.kind & SYS_TX ? EV_TX : EV_RX, ret);
		return 0;
	}
	if ((a.kind & SYS_KIND) == SYS_SPLICE) {
		exit_hole(sk, EV_RX, ret, t);
		exit_hole(fd_sock(t, a.arg[2]), EV_TX, ret, t);
		return 0;
	}
	if (!is_followed(sk, ret))
		return 0;
	dir = a.kind & SYS_TX ? EV_TX : EV_RX;
	flags = call_flags(&a);
	if (dir == EV_RX && flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE))
		return 0;
	if (dir == EV_RX && flags & MSG_TRUNC)
		miss = EV_MISS_NOPAYLOAD;
	if ((a.kind & SYS_KIND) == SYS_MMSG) {
		exit_mmsg(sk, dir, ret, t, &a, miss);
		return 0;
	}
	job = job_begin(sk, dir, ret, t);
	if (!job)
		return 0;
	job->miss = miss;
	if (!miss)
		source_args(&a, job);
	return transfer(sk, dir);
}

/* Bytes were moved, or a UNIX socket may have ended. */
static __always_inline bool exit_matters(long ret)
{
	return ret > 0 || (cfg.flags & CFG_F_UNIX && unix_end_result(ret));
}

/* The program's own filter comes first: it runs for every system call of the machine. */
SEC("?tp_btf/sys_exit")
int exit_btf(__u64 *ctx)
{
	struct pt_regs *r = (struct pt_regs *)ctx[0];

	if (!exit_matters((long)ctx[1]) || !sys_kind(regs_nr(r)))
		return 0;
	return on_exit(r, (long)ctx[1], KCAST(task_struct, bpf_get_current_task()));
}

SEC("?raw_tp/sys_exit")
int exit_raw(__u64 *ctx)
{
	struct pt_regs *r;

	if (!exit_matters((long)ctx[1]))
		return 0;
	r = KCAST(pt_regs, ctx[0]);
	if (!sys_kind(regs_nr(r)))
		return 0;
	return on_exit(r, (long)ctx[1], KCAST(task_struct, bpf_get_current_task()));
}

/* One tracepoint per system call costs nothing for the rest, but is dearer for these. The record is
 * {common fields, number, result}; the arguments still lie in the task's registers. One program,
 * which the loader attaches to each of them. */
SEC("?tracepoint/syscalls/sys_exit_read")
int exit_tracepoint(__u64 *ctx)
{
	struct task_struct *t;

	if (!exit_matters((long)ctx[2]))
		return 0;
	t = bpf_get_current_task_btf();
	return on_exit((struct pt_regs *)bpf_task_pt_regs(t), (long)ctx[2], t);
}

#endif
