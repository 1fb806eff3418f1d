/* Every map of the data path: what it holds, how large, who deletes.
 * Sizes marked "loader" are set before load.
 */
#ifndef AGENT_BPF_MAPS_BPF_H
#define AGENT_BPF_MAPS_BPF_H

const volatile struct capture_cfg cfg SEC(".rodata.cfg");

/* Connection records. loader sizes it; the parser consumes. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ctl_ring SEC(".maps");

/* Payload. loader sizes it; the parser consumes. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} data_ring SEC(".maps");

/* One struct per possible CPU (loader sizes it). Never deleted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpf_counters);
} bpf_counters SEC(".maps");

/* The parser's opinion by slot. Written by the parser only, through its memory mapping. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct conn_ctl);
} conn_ctl SEC(".maps");

/* State of one connection. Created by connect(), by the handshake's end, by the walk over open
 * files or by the first transfer; deleted when the kernel destroys the socket. */
struct conn {
	__u64 id;	     /* ev_conn.conn */
	__u64 next[2];	     /* position expected of the next transfer */
	__u64 copied[2];     /* payload submitted, per direction */
	__u64 skipped, lost; /* as in ev_close */
	__u64 syn_ns;	     /* when connect() began, 0 unknown */
	__u64 cgroup;
	__u64 eof[2]; /* position of the FIN, ~0 none yet */
	__u32 isn[2];
	__u64 sk;   /* UNIX: address of the socket; else 0 */
	__u64 peer; /* UNIX: inode of the other end's socket, 0 not known yet */
	__u32 slot;
	__u32 tgid;
	__u16 holes[2]; /* calls over the probing budget, told as holes */
	__s32 err;	/* socket error at TCP_CLOSE */
	__u8 announced; /* EV_CONN_OPEN was told */
	__u8 initiator;
	__u8 isn_known;
	__u8 closed;  /* EV_CONN_CLOSE was told */
	__u8 ignored; /* not ours: kernel's own, denied port */
	__u8 from_state;
	__u8 located; /* isn and next are set */
	__u8 old;     /* UNIX: open before the walk was done */
	char comm[EV_COMM_LEN];
};

/* Key: address of the socket, of a UNIX socket its inode (unix.bpf.h). An address is another's after
 * tcp_destroy_sock, and a socket may be connected again: what is known under it ends as the next
 * connection begins there (on_birth()), at the latest when a transfer does not fit it
 * (conn_replaced()). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct conn);
} conns SEC(".maps");

/* Free slots; the loader pushes 0..conns_max-1, a destroyed connection gives its slot back. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_slots SEC(".maps");

/* How often a slot was used: with the slot it makes an identity that never returns. Only the owner
 * of a popped slot touches its entry. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} slot_uses SEC(".maps");

/* Tasks whose transfers are never captured: Kelpie's own. Written by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture_self);
} self_tasks SEC(".maps");

/* One record under construction: by CPU and direction, because the programs of the two directions
 * guard against re-entry separately. A value may be 32 KiB at most. */
#define FILL_MAX 8192u	/* a record with so much payload is sent before more is gathered */
#define COPY_MAX 24512u /* of one copy: FILL_MAX - 1 + COPY_MAX fit behind the header */
struct scratch {
	struct ev_data ev;
	__u8 data[FILL_MAX + COPY_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* The transfer at hand: same life as its scratch. The hook fills the job, xfer_job() takes it
 * from here: a function of its own, checked once by the verifier instead of once per path to it. */
struct job {
	__u64 sk;
	__u64 task;
	__u64 ptr;  /* user address: first byte, or array of struct iovec when vecs > 0 */
	__u64 name; /* user address of the other end's struct sockaddr; 0: none given */
	__u32 vecs;
	__u32 len;   /* bytes moved */
	__u32 after; /* bytes of the same call behind them */
	__u8 miss;   /* EV_MISS_NONE, or why there is nothing to copy */
	__u8 owned;  /* every sending path passes the hook: a jump forward means a race */
	__u8 local;  /* a UNIX socket */
	__u8 pad;
};
/* What became of the bytes that were to be copied. */
struct sent {
	__u32 bytes;
	__u32 records;
	__u32 ring_bytes;  /* not copied because the ring was full */
	__u32 fault_bytes; /* not copied because the page could not be read */
	__u32 limit_bytes; /* not copied because the steps ran out */
};
struct xfer {
	struct job job;
	/* A connection in the making: this far down, verifiers leave no stack for it. */
	struct conn fresh;
	__u64 mmsg_vec;	  /* rungs at call exit: user address of the vector of messages */
	__u32 mmsg_after; /* bytes of the messages not told yet */
	__u32 mmsg_miss;
	__u64 iov;	/* user address of the next struct iovec */
	__u64 cur;	/* user address of the next byte */
	__u64 cur_left; /* bytes left there */
	__u32 iov_left; /* vectors after this one */
	__u32 skip;	/* source bytes to pass over first */
	__u32 left;	/* bytes still to copy */
	__u32 tail;	/* bytes after those, announced but not copied */
	__u32 fill;	/* bytes in the scratch */
	struct sent sent;
	__u8 miss; /* why the tail is not copied */
	__u8 done;
	__u8 wake; /* the next record wakes the reader */
	__u8 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct xfer);
} xfers SEC(".maps");

static __always_inline struct bpf_counters *counters(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&bpf_counters, &cpu);
}

static __always_inline void count(struct bpf_counters *c, __u32 which, __u64 n)
{
	__sync_fetch_and_add(&c->v[which], n);
}

#endif
