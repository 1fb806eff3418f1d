/* One transfer of bytes over a socket: scope, position, what to copy, copying, accounting.
 *
 * A transfer of n bytes ends as exactly one cause per byte in the counters:
 *	BC_BYTES_IN = BC_BYTES_OUT + the BC_B_* it was charged to.
 */
#ifndef AGENT_BPF_XFER_BPF_H
#define AGENT_BPF_XFER_BPF_H

#define VECS_MAX   1024	 /* UIO_MAXIOV */
#define JUDGE_SOON 65536 /* bytes of a new connection's direction that do not wait for the timer */
#define HOLES_MAX  1024	 /* calls over the probing budget that are told, per direction */

#ifdef KREAD_PROBE
#define STEPS_MAX 128 /* bounded loop: 43 full records of 1 MiB, the rest for small vectors */
#else
#define STEPS_MAX 2048
#endif

/* The scratch with `fill` bytes of payload goes to the reader, who is woken when asked for or when
 * much has gathered. False: the ring is full. */
static __always_inline bool record_submit(struct scratch *s, __u64 fill, bool wake)
{
	__u64 len, unread, flags;

	if (fill > EV_CHUNK_MAX)
		fill = EV_CHUNK_MAX;
	len = sizeof(s->ev) + fill;
	s->ev.h.len = (__u32)len;
	s->ev.cap_len = (__u32)fill;
	unread = bpf_ringbuf_query(&data_ring, BPF_RB_AVAIL_DATA);
	opaque(len);
	if (len > sizeof(s->ev) + EV_CHUNK_MAX)
		return false;
	flags = wake ? BPF_RB_FORCE_WAKEUP : ring_flags(unread, (__u32)len, cfg.wake_bytes);
	return !bpf_ringbuf_output(&data_ring, s, len, flags);
}

static __always_inline void xfer_flush(struct xfer *x, struct scratch *s)
{
	__u32 fill = x->fill;

	s->ev.orig_len = fill;
	s->ev.h.miss = EV_MISS_NONE;
	s->ev.h.flags &= ~EV_F_MORE;
	if (x->left) {
		s->ev.h.flags |= EV_F_MORE;
	} else if (x->tail) {
		s->ev.orig_len += x->tail;
		s->ev.h.miss = x->miss;
	}
	if (!record_submit(s, fill, x->wake)) {
		/* The rest would only be more of the same: give the reader time. */
		x->sent.ring_bytes = fill + x->left;
		x->left = 0;
		x->done = 1;
		return;
	}
	x->sent.bytes += fill;
	x->sent.records++;
	s->ev.pos += fill;
	x->fill = 0;
	x->wake = 0;
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
		xfer_give_up(x, &x->sent.fault_bytes, EV_MISS_FAULT);
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
			xfer_give_up(x, &x->sent.fault_bytes, EV_MISS_FAULT);
		} else {
			x->cur += n;
			x->cur_left -= n;
			x->left -= (__u32)n;
			x->fill = (__u32)(at + n);
		}
	}
	if (last && x->left)
		xfer_give_up(x, &x->sent.limit_bytes, EV_MISS_LIMIT);
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

static __always_inline bool armed(void)
{
	__u32 zero = 0;
	struct capture_self *self = bpf_map_lookup_elem(&self_tasks, &zero);

	return self && self->armed;
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

#define ANCESTORS 4 /* parents of a task that are looked at */

/* Started by `kelpie run`: the collector and its workers. */
static __always_inline bool task_of_self(struct task_struct *t)
{
	__u32 zero = 0;
	struct capture_self *self = bpf_map_lookup_elem(&self_tasks, &zero);

	if (!self || !self->family)
		return false;
	for (int i = 0; i < ANCESTORS; i++) {
		t = K(t, real_parent);
		if (!t)
			return false;
		if (task_tgid(t) == self->family)
			return true;
	}
	return false;
}

/* 0, or the BC_C_* of the intentional loss; BC_B_* follows it. */
static __always_inline __u32 task_excluded(__u32 tgid)
{
	if (!tgid || !armed())
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
	__u64 cut;  /* behind, over the probing budget or the window */
	__u32 none; /* BC_C_*: nothing at all */
	__u8 miss;  /* enum ev_miss of the cut */
	bool wake;  /* much of this connection waits: the parser had better look now */
};

/* Payload of one direction that is in the ring. What a reader that began anew has read twice makes
 * it negative. */
static __always_inline __u64 in_flight(const struct conn *c, const struct conn_ctl *ctl, __u32 dir)
{
	__s32 n = (__s32)((__u32)c->copied[dir & 1] - ctl->taken[dir & 1]);

	return n > 0 ? n : 0;
}

static __always_inline void conn_wants(struct conn *c, __u32 dir, __u64 pos, __u32 len,
				       struct want *w)
{
	__u32 slot = c->slot;
	struct conn_ctl *ctl = bpf_map_lookup_elem(&conn_ctl, &slot);
	__u32 verdict = CTL_UNJUDGED;
	__u64 until, used, soon, limit, room;

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
	if (verdict == CTL_COPY && ctl) {
		used = in_flight(c, ctl, dir);
		limit = cfg.window_bytes;
		soon = limit / 2;
		w->miss = EV_MISS_WINDOW;
	} else {
		used = c->copied[dir & 1];
		limit = cfg.probe_budget_bytes;
		w->miss = EV_MISS_BUDGET;
		soon = JUDGE_SOON;
	}
	w->wake = used < soon && used + len - w->skip >= soon;
	room = limit > used ? limit - used : 0;
	if (room < len - w->skip)
		w->cut = len - w->skip - room;
	/* While the parser makes up its mind it is told where the bytes were: the time of a
	 * message's last byte may be among them. */
	if (room || w->skip || w->miss != EV_MISS_BUDGET)
		return;
	if (c->holes[dir & 1] < HOLES_MAX)
		c->holes[dir & 1]++;
	else
		w->none = BC_C_BUDGET;
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
	case EV_MISS_WINDOW:
		return BC_B_WINDOW;
	case EV_MISS_SKIP:
		return BC_B_SKIP;
	default:
		return BC_B_LIMIT;
	}
}

static __always_inline bool miss_intended(__u8 miss)
{
	return miss == EV_MISS_NOPAYLOAD || miss == EV_MISS_BUDGET || miss == EV_MISS_SKIP ||
	       miss == EV_MISS_WINDOW;
}

/* After the copying: every byte of the call to its counter. */
static __always_inline void xfer_account(struct bpf_counters *n, struct conn *c, __u32 dir,
					 const struct sent *sent, __u64 skipped, __u32 tail,
					 __u8 tail_miss)
{
	__u64 lost = (__u64)sent->ring_bytes + sent->fault_bytes + sent->limit_bytes;

	count(n, sent->records ? BC_CALLS_OUT : BC_C_RING, 1);
	if (sent->records)
		count(n, BC_EV_DATA, sent->records);
	if (sent->bytes) {
		count(n, BC_BYTES_OUT, sent->bytes);
		__sync_fetch_and_add(&c->copied[dir & 1], (__u64)sent->bytes);
	}
	if (sent->ring_bytes && !(cfg.flags & CFG_F_LEAK))
		count(n, BC_B_RING, sent->ring_bytes);
	if (sent->fault_bytes)
		count(n, BC_B_FAULT, sent->fault_bytes);
	if (sent->limit_bytes)
		count(n, BC_B_LIMIT, sent->limit_bytes);
	if (skipped)
		count(n, BC_B_SKIP, skipped);
	if (tail)
		count(n, miss_counter(tail_miss), tail);
	if (miss_intended(tail_miss))
		skipped += tail;
	else
		lost += tail;
	if (skipped)
		__sync_fetch_and_add(&c->skipped, skipped);
	if (lost)
		__sync_fetch_and_add(&c->lost, lost);
}

/* The usual case: all bytes lie in one piece and fit one record, or there are none to copy. */
static __always_inline void xfer_whole(struct scratch *s, __u64 ptr, __u64 copy, __u32 tail,
				       __u8 miss, bool wake, struct sent *sent)
{
	__u64 n = copy;

	opaque(n);
	if (n > COPY_MAX)
		return;
	if (n && bpf_probe_read_user(s->data, (__u32)n, (const void *)ptr)) {
		sent->fault_bytes = (__u32)n;
		tail += (__u32)n;
		miss = EV_MISS_FAULT;
		n = 0;
	}
	s->ev.orig_len = (__u32)n + tail;
	s->ev.h.miss = tail ? miss : EV_MISS_NONE;
	if (record_submit(s, n, wake)) {
		sent->bytes = (__u32)n;
		sent->records = 1;
	} else {
		sent->ring_bytes = (__u32)n;
	}
}

/* Anything else: in pieces. */
static __always_inline void xfer_pieces(struct xfer *x, __u32 dir, __u32 copy, __u32 tail,
					__u8 miss, __u32 skip, bool wake)
{
	__builtin_memset(&x->iov, 0, sizeof(*x) - __builtin_offsetof(struct xfer, iov));
	x->left = copy;
	x->tail = tail;
	x->miss = miss;
	x->wake = wake;
	x->skip = skip;
	if (x->job.vecs) {
		x->iov = x->job.ptr;
		x->iov_left = x->job.vecs;
	} else {
		x->cur = x->job.ptr + skip;
		x->cur_left = copy;
	}
	xfer_run(dir);
}

/* A single vector that holds the whole call is an ordinary buffer. */
static __always_inline void job_unwrap(struct job *job)
{
	struct user_iovec v = {};

	if (job->vecs != 1 || bpf_probe_read_user(&v, sizeof(v), (const void *)job->ptr) ||
	    v.len < job->len)
		return;
	job->ptr = v.base;
	job->vecs = 0;
}

static __always_inline void xfer_copy(struct bpf_counters *n, struct conn *c, struct xfer *x,
				      __u32 dir, __u64 pos, const struct want *w, __u32 tgid,
				      __u8 flags)
{
	__u32 key = dir & 1, len = x->job.len;
	__u32 copy = len - (__u32)w->skip - (__u32)w->cut, tail = (__u32)w->cut;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &key);
	__u64 skipped = w->skip;
	struct sent sent = {};
	__u8 miss = w->miss;

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
	if (copy)
		job_unwrap(&x->job);
	if (!copy || (!x->job.vecs && copy <= COPY_MAX)) {
		xfer_whole(s, x->job.ptr + w->skip, copy, tail, miss, w->wake, &sent);
	} else {
		xfer_pieces(x, dir, copy, tail, miss, (__u32)w->skip, w->wake);
		sent = x->sent;
	}
	xfer_account(n, c, dir, &sent, skipped, tail, miss);
}

#define JUMP_MAX                                                                                   \
	(16u << 20) /* bytes: a transfer that ends further behind the expected end is doubted */

/* Where the transfer ends is far from where it should: races and bytes that no hook saw make it so, or
 * the entry is of another connection than the socket's. */
static __always_inline bool conn_is_doubtful(const struct conn *c, struct tcp_sock *tp, __u32 dir)
{
	__u32 seq = dir == EV_TX ? K(tp, write_seq) : K(tp, copied_seq);

	return seq - c->isn[dir & 1] - (__u32)c->next[dir & 1] > JUMP_MAX;
}

/* Whether the doubtful entry of this CPU's transfer was of another connection; then it is gone. */
__noinline int conn_replaced(__u32 dir)
{
	__u32 key = dir & 1;
	struct xfer *x = bpf_map_lookup_elem(&xfers, &key);
	struct bpf_counters *n = counters();
	struct sock *sk;
	struct conn *c;

	if (!x || !n)
		return 0;
	sk = KCAST(sock, x->job.sk);
	c = conn_find(sk);
	if (!c || conn_is_same(c, sk, KCAST(tcp_sock, x->job.sk)))
		return 0;
	conn_retire(n, c, sk);
	return 1;
}

/* Finds or makes the connection and tells of it. NULL: the transfer is charged already. */
static __always_inline struct conn *xfer_conn(struct bpf_counters *n, struct sock *sk,
					      struct tcp_sock *tp, __u32 dir, struct xfer *x,
					      __u32 tgid)
{
	const struct job *job = &x->job;
	struct conn *c = conn_find(sk);
	bool untold = false; /* what was told of it, if anything, was not certain */

	if (c && c->located && conn_is_doubtful(c, tp, dir) && conn_replaced(dir))
		c = NULL;
	if (!c) {
		c = conn_add(n, sk, EV_INITIATOR_UNKNOWN, &x->fresh);
		if (!c) {
			charge(n, NULL, BC_C_CONN, job->len);
			return NULL;
		}
	}
	if (!c->located) {
		conn_locate(c, sk, tp, K(sk, __sk_common.skc_state) == TCP_SYN_SENT);
		c->next[dir & 1] -= job->len + job->after;
		untold = true;
	}
	if (c->ignored) {
		charge(n, c, BC_C_SCOPE, job->len);
		return NULL;
	}
	if (!c->tgid && task_of_self(KCAST(task_struct, job->task))) {
		c->ignored = 1;
		charge(n, c, BC_C_SELF, job->len);
		return NULL;
	}
	if (untold || !c->announced || !c->tgid) {
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

/* unix.bpf.h */
static __always_inline struct conn *unix_conn(struct bpf_counters *n, struct sock *sk, __u32 dir,
					      const struct job *job, __u32 tgid);
static __always_inline __u64 unix_pos(struct conn *c, struct sock *sk, __u32 dir,
				      const struct job *job);
static __always_inline bool is_unix(struct sock *sk);

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
	bool local;
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
	local = cfg.flags & CFG_F_UNIX && x->job.local;
	c = local ? unix_conn(n, sk, key, &x->job, tgid) : xfer_conn(n, sk, tp, key, x, tgid);
	if (!c)
		return 0;
	pos = local ? unix_pos(c, sk, key, &x->job) : xfer_pos(c, tp, key, &x->job, &flags);
	if (!local && K(tp, inet_conn.icsk_ulp_ops) && !x->job.miss)
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
	x->job.local = is_unix(sk);
	return &x->job;
}

#endif
