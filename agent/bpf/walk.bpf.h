/* Connections that are open before capture starts: every open file of every process. Writes one
 * byte of iterator output per socket announced.
 */
#ifndef AGENT_BPF_WALK_BPF_H
#define AGENT_BPF_WALK_BPF_H

static __always_inline bool walk_wanted(struct sock *sk, struct tcp_sock *tp)
{
	__u8 state = K(sk, __sk_common.skc_state);

	if (!is_tcp(sk))
		return false;
	if (bpf_core_field_exists(tp->is_mptcp) && K(tp, is_mptcp))
		return false;
	return state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT || state == TCP_FIN_WAIT1 ||
	       state == TCP_FIN_WAIT2;
}

#define CGROUP_DEPTH 32

/* The same question as task_excluded() asks of the current task. */
static __always_inline bool walk_in_scope(struct cgroup *cg)
{
	if (!cfg.cgroup_id)
		return true;
	for (int i = 0; i < CGROUP_DEPTH && cg; i++) {
		struct cgroup_subsys_state *parent;
		struct kernfs_node *kn;

		if (K(cg, level) <= (int)cfg.cgroup_level) {
			kn = K(cg, kn);
			return kn && K(kn, id) == cfg.cgroup_id;
		}
		parent = K(cg, self.parent);
		cg = parent ? K(parent, cgroup) : NULL;
	}
	return false;
}

static __always_inline struct cgroup *task_cgroup(struct task_struct *t)
{
	struct css_set *set = K(t, cgroups);

	return set ? K(set, dfl_cgrp) : NULL;
}

static __always_inline __u64 cgroup_number(struct cgroup *cg)
{
	struct kernfs_node *kn = cg ? K(cg, kn) : NULL;

	return kn ? K(kn, id) : 0;
}

/* The socket is in use meanwhile: a send counts its bytes before it moves snd_nxt, and what lies between
 * looks like a SYN that is missing, or like one too many. Bytes that are under way are written but not
 * sent; with none, at one write_seq before and after, the counters were of one moment. Else who opened is
 * not known, nor where bytes are to the last: the connection's next transfer tells it once more. */
static __always_inline void walk_locate(struct conn *c, struct sock *sk, struct tcp_sock *tp)
{
	__u32 written = K(tp, write_seq);
	bool idle = written == K(tp, snd_nxt);

	barrier();
	conn_locate(c, sk, tp, false);
	barrier();
	if (!idle || written != K(tp, write_seq))
		c->isn_known = 0;
	if (c->isn_known)
		return;
	c->located = 0;
	c->initiator = EV_INITIATOR_UNKNOWN;
}

static __always_inline bool walk_announce(struct sock *sk, struct tcp_sock *tp,
					  struct task_struct *t)
{
	struct bpf_counters *n = counters();
	__u32 tgid = task_tgid(t);
	struct cgroup *cg = task_cgroup(t);
	__u8 flags = EV_F_OLD;
	struct conn fresh, *c;

	if (!n || !tgid || task_is_self(tgid) || task_of_self(t) || !walk_in_scope(cg))
		return false;
	c = conn_find(sk);
	if (!c)
		c = conn_add(n, sk, EV_INITIATOR_UNKNOWN, &fresh);
	if (!c || c->ignored)
		return false;
	if (c->announced)
		flags |= EV_F_KNOWN; /* told again: a new parser knows nothing */
	if (!c->located)
		walk_locate(c, sk, tp);
	if (!c->tgid) {
		c->tgid = tgid;
		c->cgroup = cgroup_number(cg);
		for (int i = 0; i < EV_COMM_LEN; i++)
			c->comm[i] = K(t, comm[i]);
	}
	c->announced = 1;
	conn_tell(n, c, sk, EV_CONN_OPEN, flags, 0);
	return true;
}

static __always_inline void walk_unix(struct sock *sk, struct task_struct *t)
{
	struct bpf_counters *n = counters();
	__u32 tgid = task_tgid(t);

	if (n && tgid && !task_is_self(tgid) && walk_in_scope(task_cgroup(t)))
		unix_walk(sk, t, n);
}

SEC("?iter/task_file")
int walk_files(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *t = ctx->task;
	struct file *file = ctx->file;
	struct tcp_sock *tp;
	struct sock *sk;
	char mark = '.';

	if (!t || !file)
		return 0;
	/* Threads share their descriptors: once per process is enough. */
	if (K(t, tgid) != K(t, pid))
		return 0;
	sk = file_sock(file);
	if (!sk)
		return 0;
	if (is_unix(sk)) {
		walk_unix(sk, t);
		return 0;
	}
	tp = KCAST(tcp_sock, sk);
	if (walk_wanted(sk, tp) && walk_announce(sk, tp, t))
		bpf_seq_write(seq, &mark, 1);
	return 0;
}

#endif
