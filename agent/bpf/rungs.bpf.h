/* The data hooks. Each finds the socket, the direction, the length and where the bytes are, and hands
 * over to xfer().
 */
#ifndef AGENT_BPF_RUNGS_BPF_H
#define AGENT_BPF_RUNGS_BPF_H

static __always_inline void source_msghdr(__u64 ptr, struct source *src)
{
	struct user_msghdr h = {};

	if (bpf_probe_read_user(&h, sizeof(h), (const void *)ptr)) {
		src->miss = EV_MISS_FAULT;
		return;
	}
	src->ptr = h.iov;
	src->vecs = h.iovlen > VECS_MAX ? VECS_MAX : (__u32)h.iovlen;
	if (!src->vecs)
		src->miss = EV_MISS_FAULT;
}

static __always_inline void source_args(const struct sysargs *a, struct source *src)
{
	switch (a->kind & SYS_KIND) {
	case SYS_BUF:
		src->ptr = a->arg[1];
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
static __always_inline bool whole_message(const struct source *src, int ret)
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
static __always_inline void length_source(struct sock *sk, __u32 dir, int ret, struct task_struct *t,
					  struct source *src)
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
	__u32 tid = K(t, pid);
	struct mmsg_state *m = bpf_map_lookup_elem(&mmsgs, &tid);

	if (m && m->sk == (__u64)sk)
		m->next = 0;
}

static __always_inline int on_length(struct sock *sk, int ret, int flags, __u32 dir)
{
	struct task_struct *t;
	struct source src = {};

	if (K(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (ret <= 0) {
		length_failed(sk);
		return 0;
	}
	/* Looked at, urgent or error-queue bytes do not move the stream. */
	if (dir == EV_RX && flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE))
		return 0;
	t = bpf_get_current_task_btf();
	length_source(sk, dir, ret, t, &src);
	if (dir == EV_RX && flags & MSG_TRUNC)
		src.miss = EV_MISS_NOPAYLOAD;
	xfer(sk, dir, ret, &src, t, dir == EV_TX);
	return 0;
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

#endif
