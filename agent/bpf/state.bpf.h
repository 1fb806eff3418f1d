/* Life of a connection, told by the kernel's own state changes. The current task is often unrelated
 * (softirq): only the socket is used, except where connect() is known to be the caller.
 */
#ifndef AGENT_BPF_STATE_BPF_H
#define AGENT_BPF_STATE_BPF_H

/* A socket begins a connection, or is made for one: whatever is known under its address was another's. */
static __always_inline void on_birth(struct bpf_counters *n, struct sock *sk)
{
	struct conn *c = conn_find(sk);

	if (c)
		conn_retire(n, c, sk);
}

static __always_inline void on_connect(struct bpf_counters *n, struct sock *sk,
				       struct task_struct *t)
{
	__u32 tgid = task_tgid(t);
	struct conn fresh, *c;

	on_birth(n, sk);
	if (task_excluded(tgid) || task_of_self(t))
		return;
	c = conn_add(n, sk, EV_INITIATOR_LOCAL, &fresh);
	if (!c)
		return;
	c->syn_ns = bpf_ktime_get_boot_ns();
	conn_owner(c, tgid, t);
}

/* The owner is known at its first transfer: told then. Where only some are wanted, a slot is not spent
 * before that. */
static __always_inline void on_accepted(struct bpf_counters *n, struct sock *sk,
					struct tcp_sock *tp)
{
	struct conn fresh, *c = conn_find(sk);

	if (c && c->located && !conn_is_same(c, sk, tp)) {
		conn_retire(n, c, sk);
		c = NULL;
	}
	if (!c && !cfg.cgroup_id && !cfg.pidns_ino && armed())
		c = conn_add(n, sk, EV_INITIATOR_REMOTE, &fresh);
	if (!c || c->announced)
		return;
	conn_locate(c, sk, tp, false);
	/* What came with the SYN may be read by now, by a call that has not been told yet. */
	c->next[EV_RX] = c->next[EV_TX] = 0;
}

/* The connection that this end has opened. What was sent with the SYN is sent by now: a call that has
 * not been told yet begins at 0 all the same. */
static __always_inline void on_connected(struct bpf_counters *n, struct conn *c, struct sock *sk,
					 struct tcp_sock *tp)
{
	__u64 sent = c->next[EV_TX];
	bool known = c->announced;

	conn_locate(c, sk, tp, false);
	c->next[EV_TX] = sent;
	c->announced = 1;
	conn_tell(n, c, sk, EV_CONN_OPEN, known ? EV_F_KNOWN : 0, 0);
}

static __always_inline void on_tcp_close(struct bpf_counters *n, struct conn *c, struct sock *sk,
					 struct tcp_sock *tp, int old)
{
	__u32 unread = K(tp, rcv_nxt) - K(tp, copied_seq);

	c->err = K(sk, sk_err);
	c->from_state = old;
	if (old == TCP_SYN_SENT) {
		/* Bytes that were told, sent with the SYN, are a connection's. */
		if (c->announced)
			conn_tell_close(n, c, tp);
		else if (!c->ignored)
			conn_tell(n, c, sk, EV_CONN_FAILED, 0, c->err);
		conn_forget(c, n, (__u64)sk);
		return;
	}
	/* Bytes that wait in the receive queue may still be read after a reset: then the end is
	 * told when the socket goes. A received FIN counts one. Nobody reads behind a close() that
	 * left them unread: it is told before the peer's end, which the reset brings about. */
	if (unread <= (c->eof[EV_RX] != NO_EOF) ||
	    (!c->err && (old == TCP_ESTABLISHED || old == TCP_CLOSE_WAIT)))
		conn_tell_close(n, c, tp);
}

/* Directions that have ended: each FIN is counted as a byte, this end's not before its first state. */
static __always_inline void on_fin(struct bpf_counters *n, struct conn *c, struct sock *sk,
				   struct tcp_sock *tp, int old, int new)
{
	__u32 sent = K(tp, write_seq);

	if (K(sk, __sk_common.skc_flags) & 1 << SOCK_DONE)
		conn_tell_eof(n, c, EV_RX, conn_pos(c, EV_RX, K(tp, rcv_nxt) - 1, c->next[EV_RX]));
	if (!state_fin_sent(new == TCP_CLOSE ? old : new))
		return;
	if (new != TCP_FIN_WAIT1 &&new != TCP_LAST_ACK)
		sent--;
	conn_tell_eof(n, c, EV_TX, conn_pos(c, EV_TX, sent, c->next[EV_TX]));
}

static __always_inline void on_state(struct sock *sk, int old, int new, struct task_struct *t)
{
	struct tcp_sock *tp = KCAST(tcp_sock, sk);
	struct bpf_counters *n = counters();
	struct conn *c;

	/* The paths of an MPTCP connection are TCP sockets too, but nobody reads or writes them. */
	if (!is_tcp(sk) || !n)
		return;
	if (bpf_core_field_exists(tp->is_mptcp) && K(tp, is_mptcp))
		return;
	if (new == TCP_SYN_SENT) {
		on_connect(n, sk, t);
		return;
	}
	if (new == TCP_SYN_RECV && old == TCP_LISTEN) {
		on_birth(n, sk);
		return;
	}
	if (new == TCP_ESTABLISHED && old == TCP_SYN_RECV) {
		on_accepted(n, sk, tp);
		return;
	}
	c = conn_find(sk);
	if (!c)
		return;
	if (new == TCP_ESTABLISHED) {
		if (!c->ignored)
			on_connected(n, c, sk, tp);
		return;
	}
	if (c->located)
		on_fin(n, c, sk, tp, old, new);
	if (new == TCP_CLOSE)
		on_tcp_close(n, c, sk, tp, old);
}

static __always_inline void on_destroy(struct sock *sk)
{
	struct bpf_counters *n = counters();
	struct conn *c = conn_find(sk);

	if (!n || !c)
		return;
	if (!c->err)
		c->err = K(sk, sk_err);
	conn_tell_close(n, c, KCAST(tcp_sock, sk));
	conn_forget(c, n, (__u64)sk);
}

SEC("?tp_btf/inet_sock_set_state")
int state_btf(__u64 *ctx)
{
	/* not bpf_get_current_task_btf(): it came with 5.11 */
	on_state((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2],
		 KCAST(task_struct, bpf_get_current_task()));
	return 0;
}

SEC("?tp_btf/tcp_destroy_sock")
int destroy_btf(__u64 *ctx)
{
	on_destroy((struct sock *)ctx[0]);
	return 0;
}

SEC("?raw_tp/inet_sock_set_state")
int state_raw(__u64 *ctx)
{
	on_state(KCAST(sock, ctx[0]), (int)ctx[1], (int)ctx[2],
		 KCAST(task_struct, bpf_get_current_task()));
	return 0;
}

SEC("?raw_tp/tcp_destroy_sock")
int destroy_raw(__u64 *ctx)
{
	on_destroy(KCAST(sock, ctx[0]));
	return 0;
}

#endif
