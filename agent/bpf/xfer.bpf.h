/* One transfer of bytes over a socket: scope, position, what to copy, copying, accounting.
 *
 * A transfer of n bytes ends as exactly one cause per byte in the counters:
 *	BC_BYTES_IN = BC_BYTES_OUT + the BC_B_* it was charged to.
 */
#ifndef AGENT_BPF_XFER_BPF_H
#define AGENT_BPF_XFER_BPF_H

#define VECS_MAX 1024 /* UIO_MAXIOV */

#ifdef KREAD_PROBE
#define STEPS_MAX 128 /* bounded loop: 43 full records of 1 MiB, the rest for small vectors */
#else
#define STEPS_MAX 2048
#endif

static __always_inline void xfer_flush(struct xfer *x, struct scratch *s)
{
	__u64 fill = x->fill, len, unread;

	if (fill > EV_CHUNK_MAX)
		fill = EV_CHUNK_MAX;
	len = sizeof(s->ev) + fill;
	s->ev.h.len = (__u32)len;
	s->ev.cap_len = (__u32)fill;
	s->ev.orig_len = (__u32)fill;
	s->ev.h.miss = EV_MISS_NONE;
	s->ev.h.flags &= ~EV_F_MORE;
	if (x->left) {
		s->ev.h.flags |= EV_F_MORE;
	} else if (x->tail) {
		s->ev.orig_len += x->tail;
		s->ev.h.miss = x->miss;
	}
	unread = bpf_ringbuf_query(&data_ring, BPF_RB_AVAIL_DATA);
	opaque(len);
	if (len > sizeof(s->ev) + EV_CHUNK_MAX)
		return;
	if (bpf_ringbuf_output(&data_ring, s, len, ring_flags(unread, (__u32)len))) {
		/* The rest would only be more of the same: give the reader time. */
		x->ring_bytes = (__u32)fill + x->left;
		x->left = 0;
		x->done = 1;
		return;
	}
	x->sent_bytes += (__u32)fill;
	x->sent_records++;
	s->ev.pos += fill;
	x->fill = 0;
	x->done = !x->left;
}

/* The next vector: its address and length from the caller's array. */
static __always_inline bool xfer_next_vec(struct xfer *x)
{
	struct user_iovec v = {};
	__u64 pass;

	if (!x->iov_left || bpf_probe_read_user(&v, sizeof(v), (const void *)x->iov))
		return false;
	x->iov += sizeof(v);
	x->iov_left--;
	pass = x->skip < v.len ? x->skip : v.len;
	x->skip -= (__u32)pass;
	x->cur = v.base + pass;
	x->cur_left = v.len - pass;
	return true;
}

/* The rest is announced, not copied. */
static __always_inline void xfer_give_up(struct xfer *x, __u32 *bytes, __u8 miss)
{
	*bytes = x->left;
	x->tail += x->left;
	x->left = 0;
	x->miss = miss;
}

/* One copy. Returns 1 when the transfer is finished. */
__noinline int xfer_step(__u32 dir, __u32 last)
{
	__u32 key = dir & 1;
	struct xfer *x = bpf_map_lookup_elem(&xfers, &key);
	struct scratch *s = bpf_map_lookup_elem(&scratch, &key);
	__u64 at, n; /* 64 bits: the verifier loses the bounds of narrower registers */

	if (!x || !s)
		return 1;
	if (!x->cur_left && !xfer_next_vec(x))
		xfer_give_up(x, &x->fault_bytes, EV_MISS_FAULT);
	at = x->fill;
	n = x->left;
	if (x->cur_left < n)
		n = x->cur_left;
	if (n > EV_CHUNK_MAX - at)
		n = EV_CHUNK_MAX - at;
	if (n > COPY_MAX)
		n = COPY_MAX;
	opaque(n);
	if (n > COPY_MAX)
		return 1;
	opaque(at);
	at &= FILL_MAX - 1;
	if (n) {
		if (bpf_probe_read_user(s->data + at, (__u32)n, (const void *)x->cur)) {
			xfer_give_up(x, &x->fault_bytes, EV_MISS_FAULT);
		} else {
			x->cur += n;
			x->cur_left -= n;
			x->left -= (__u32)n;
			x->fill = (__u32)(at + n);
		}
	}
	if (last && x->left)
		xfer_give_up(x, &x->limit_bytes, EV_MISS_LIMIT);
	if (x->fill >= FILL_MAX || !x->left)
		xfer_flush(x, s);
	return x->done;
}

#ifndef KREAD_PROBE
static long xfer_loop(__u32 i, void *ctx)
{
	return xfer_step(*(__u32 *)ctx, i == STEPS_MAX - 1) ? 1 : 0;
}
#endif

static __always_inline void xfer_run(__u32 dir)
{
#ifdef KREAD_PROBE
	for (int i = 0; i < STEPS_MAX; i++)
		if (xfer_step(dir, i == STEPS_MAX - 1))
			break;
#else
	bpf_loop(STEPS_MAX, xfer_loop, &dir, 0);
#endif
}

#define PIDNS_DEPTH 8 /* pid namespaces in one another that are looked through */

/* The task's process in the agent's pid namespace; 0: it is not in there. A task has a number in
 * its own namespace and in each one above. */
static __always_inline __u32 task_tgid(struct task_struct *t)
{
	struct task_struct *leader;
	struct pid *pid;
	__u64 up;

	if (!cfg.pidns_ino)
		return K(t, tgid);
	leader = K(t, group_leader);
	pid = K(leader, thread_pid);
	if (!pid)
		return 0;
	up = (__u64)pid + bpf_core_field_offset(struct pid, numbers);
	for (__u32 i = 0; i < PIDNS_DEPTH && i <= K(pid, level); i++) {
		struct upid *number = KCAST(upid, up);
		struct pid_namespace *ns = K(number, ns);

		if (ns && K(ns, ns.inum) == cfg.pidns_ino)
			return K(number, nr);
		up += bpf_core_type_size(struct upid);
	}
	return 0;
}

static __always_inline bool task_is_self(__u32 tgid)
{
	__u32 zero = 0;
	struct capture_self *self = bpf_map_lookup_elem(&self_tasks, &zero);

	for (int i = 0; self && i < CFG_SELF_MAX && self->tgid[i]; i++)
		if (self->tgid[i] == tgid)
			return true;
	return false;
}

/* 0, or the BC_C_* of the intentional loss; BC_B_* follows it. */
static __always_inline __u32 task_excluded(__u32 tgid)
{
	if (!tgid)
		return BC_C_SCOPE;
	if (task_is_self(tgid))
		return BC_C_SELF;
	if (cfg.cgroup_id &&
	    (__u64)bpf_get_current_ancestor_cgroup_id(cfg.cgroup_level) != cfg.cgroup_id)
		return BC_C_SCOPE;
	return 0;
}

/* What the parser wants of [pos, pos + len): how many bytes to leave out in front and behind. */
struct want {
	__u64 skip; /* in front, below skip_until */
	__u64 cut;  /* behind, over the probing budget */
	__u32 none; /* BC_C_*: nothing at all */
};

static __always_inline void conn_wants(struct conn *c, __u32 dir, __u64 pos, __u32 len,
				       struct want *w)
{
	__u32 slot = c->slot;
	struct conn_ctl *ctl = bpf_map_lookup_elem(&conn_ctl, &slot);
	__u32 verdict = CTL_UNJUDGED;
	__u64 until, room, rest;

	if (ctl && ctl->conn == c->id) {
		verdict = ctl->verdict;
		until = ctl->skip_until[dir & 1];
		if (verdict == CTL_COUNT) {
			w->none = BC_C_VERDICT;
			return;
		}
		if (until > pos)
			w->skip = until - pos < len ? until - pos : len;
		/* The call that completes the unwanted stretch is still told, for its time. */
		if (until > pos + len) {
			w->none = BC_C_SKIP;
			return;
		}
	}
	if (verdict == CTL_COPY)
		return;
	rest = len - w->skip;
	room = cfg.probe_budget_bytes > c->used[dir & 1] ? cfg.probe_budget_bytes - c->used[dir & 1]
							 : 0;
	if (room >= rest)
		return;
	if (!room && !w->skip)
		w->none = BC_C_BUDGET;
	w->cut = rest - room;
}

static __always_inline void charge(struct bpf_counters *n, struct conn *c, __u32 call, __u32 len)
{
	if (c)
		__sync_fetch_and_add(&c->skipped, (__u64)len);
	count(n, call, 1);
	count(n, call + 1, len);
}

_Static_assert(BC_B_SELF == BC_C_SELF + 1 && BC_B_SCOPE == BC_C_SCOPE + 1 &&
		       BC_B_VERDICT == BC_C_VERDICT + 1 && BC_B_SKIP == BC_C_SKIP + 1 &&
		       BC_B_BUDGET == BC_C_BUDGET + 1 && BC_B_RING == BC_C_RING + 1 &&
		       BC_B_CONN == BC_C_CONN + 1,
	       "charge() counts the bytes after the call");

static __always_inline __u32 miss_counter(__u8 miss)
{
	switch (miss) {
	case EV_MISS_NOPAYLOAD:
		return BC_B_NOPAYLOAD;
	case EV_MISS_UNTRUSTED:
		return BC_B_UNTRUSTED;
	case EV_MISS_FAULT:
		return BC_B_FAULT;
	case EV_MISS_BUDGET:
		return BC_B_BUDGET;
	case EV_MISS_SKIP:
		return BC_B_SKIP;
	default:
		return BC_B_LIMIT;
	}
}

static __always_inline bool miss_intended(__u8 miss)
{
	return miss == EV_MISS_NOPAYLOAD || miss == EV_MISS_BUDGET || miss == EV_MISS_SKIP;
}

/* After the copying: every byte of the call to its counter. */
static __always_inline void xfer_account(struct bpf_counters *n, struct conn *c, struct xfer *x,
					 __u64 skipped, __u32 tail, __u8 tail_miss)
{
	__u64 lost = (__u64)x->ring_bytes + x->fault_bytes + x->limit_bytes;

	count(n, BC_EV_DATA, x->sent_records);
	count(n, BC_BYTES_OUT, x->sent_bytes);
	count(n, x->sent_records ? BC_CALLS_OUT : BC_C_RING, 1);
	if (x->ring_bytes && !(cfg.flags & CFG_F_LEAK))
		count(n, BC_B_RING, x->ring_bytes);
	if (x->fault_bytes)
		count(n, BC_B_FAULT, x->fault_bytes);
	if (x->limit_bytes)
		count(n, BC_B_LIMIT, x->limit_bytes);
	if (skipped)
		count(n, BC_B_SKIP, skipped);
	if (tail)
		count(n, miss_counter(tail_miss), tail);
	if (miss_intended(tail_miss))
		skipped += tail;
	else
		lost += tail;
	__sync_fetch_and_add(&c->copied, (__u64)x->sent_bytes);
	if (skipped)
		__sync_fetch_and_add(&c->skipped, skipped);
	if (lost)
		__sync_fetch_and_add(&c->lost, lost);
}

static __always_inline void xfer_copy(struct bpf_counters *n, struct conn *c, struct xfer *x,
				      __u32 dir, __u64 pos, const struct want *w, __u32 tgid,
				      __u8 flags)
{
	__u32 key = dir & 1, len = x->job.len;
	__u32 copy = len - (__u32)w->skip - (__u32)w->cut, tail = (__u32)w->cut;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &key);
	__u8 miss = EV_MISS_BUDGET;
	__u64 skipped = w->skip;

	if (!s)
		return;
	if (x->job.miss) {
		miss = x->job.miss;
		tail += copy;
		copy = 0;
	} else if (copy > EV_CALL_MAX) {
		miss = EV_MISS_LIMIT;
		tail += copy - EV_CALL_MAX;
		copy = EV_CALL_MAX;
	}
	s->ev.pos = pos + w->skip;
	if (w->skip == len) { /* told as a hole */
		s->ev.pos = pos;
		tail = len;
		miss = EV_MISS_SKIP;
		skipped = 0;
	}
	s->ev.h.type = EV_DATA;
	s->ev.h.version = EV_VERSION;
	s->ev.h.flags = flags | (dir == EV_TX ? EV_F_TX : 0);
	s->ev.h.ts_ns = bpf_ktime_get_boot_ns();
	s->ev.conn = c->id;
	s->ev.tgid = tgid;
	s->ev.slot = c->slot;
	__builtin_memset(&x->iov, 0, sizeof(*x) - __builtin_offsetof(struct xfer, iov));
	x->left = copy;
	x->tail = tail;
	x->miss = miss;
	x->skip = (__u32)w->skip;
	if (x->job.vecs) {
		x->iov = x->job.ptr;
		x->iov_left = x->job.vecs;
	} else {
		x->cur = x->job.ptr + w->skip;
		x->cur_left = copy;
	}
	if (copy)
		xfer_run(dir);
	else
		xfer_flush(x, s);
	c->used[dir & 1] += x->sent_bytes;
	xfer_account(n, c, x, skipped, tail, miss);
}

/* Finds or makes the connection and tells of it. NULL: the transfer is charged already. */
static __always_inline struct conn *xfer_conn(struct bpf_counters *n, struct sock *sk,
					      struct tcp_sock *tp, __u32 dir, const struct job *job,
					      __u32 tgid)
{
	struct conn *c = conn_find(sk);

	if (!c) {
		c = conn_add(n, sk, EV_INITIATOR_UNKNOWN);
		if (!c) {
			charge(n, NULL, BC_C_CONN, job->len);
			return NULL;
		}
	}
	if (!c->located) {
		conn_locate(c, sk, tp, K(sk, __sk_common.skc_state) == TCP_SYN_SENT);
		c->next[dir & 1] -= job->len + job->after;
	}
	if (c->ignored) {
		charge(n, c, BC_C_SCOPE, job->len);
		return NULL;
	}
	if (!c->announced || !c->tgid) {
		conn_owner(c, tgid, KCAST(task_struct, job->task));
		conn_tell(n, c, sk, EV_CONN_OPEN, c->announced ? EV_F_KNOWN : 0, 0);
		c->announced = 1;
	}
	return c;
}

/* Where the transfer begins, from the counter that it has just moved; flags get EV_F_UNORDERED when
 * another transfer moved it too. */
static __always_inline __u64 xfer_pos(struct conn *c, struct tcp_sock *tp, __u32 dir,
				      const struct job *job, __u8 *flags)
{
	__u32 seq = dir == EV_TX ? K(tp, write_seq) : K(tp, copied_seq);
	__u64 next = c->next[dir & 1];
	__u64 end = conn_pos(c, dir, seq, next + job->len + job->after);
	__u64 pos;

	if (end > c->eof[dir & 1])
		end = c->eof[dir & 1];
	end -= job->after;
	pos = end - job->len;
	if (pos < next || (pos > next && job->owned))
		*flags |= EV_F_UNORDERED;
	if (end > next)
		c->next[dir & 1] = end;
	return pos;
}

/* The transfer described by the job of this CPU and direction has ended. */
__noinline int xfer_job(__u32 dir)
{
	__u32 key = dir & 1, tgid, out;
	struct xfer *x = bpf_map_lookup_elem(&xfers, &key);
	struct bpf_counters *n = counters();
	struct want w = {};
	struct tcp_sock *tp;
	struct conn *c;
	struct sock *sk;
	__u8 flags = 0;
	__u64 pos;

	if (!n || !x)
		return 0;
	sk = KCAST(sock, x->job.sk);
	tp = KCAST(tcp_sock, x->job.sk);
	tgid = task_tgid(KCAST(task_struct, x->job.task));
	count(n, BC_CALLS_IN, 1);
	count(n, BC_BYTES_IN, x->job.len);
	out = task_excluded(tgid);
	if (out) {
		charge(n, NULL, out, x->job.len);
		return 0;
	}
	c = xfer_conn(n, sk, tp, key, &x->job, tgid);
	if (!c)
		return 0;
	pos = xfer_pos(c, tp, key, &x->job, &flags);
	if (K(tp, inet_conn.icsk_ulp_ops) && !x->job.miss)
		x->job.miss = EV_MISS_NOPAYLOAD; /* kernel TLS: positions count its records */
	conn_wants(c, key, pos, x->job.len, &w);
	if (w.none)
		charge(n, c, w.none, x->job.len);
	else
		xfer_copy(n, c, x, key, pos, &w, tgid, flags);
	return 0;
}

/* The job to fill for a transfer; NULL never happens but the verifier does not know. */
static __always_inline struct job *job_begin(struct sock *sk, __u32 dir, __u32 len,
					     struct task_struct *t)
{
	__u32 key = dir & 1;
	struct xfer *x = bpf_map_lookup_elem(&xfers, &key);

	if (!x)
		return NULL;
	__builtin_memset(&x->job, 0, sizeof(x->job));
	x->job.sk = (__u64)sk;
	x->job.task = (__u64)t;
	x->job.len = len;
	return &x->job;
}

#endif
