/* The contract between the BPF programs and user space: every record of the two rings, the control
 * block that the parser process writes, and the counters. Included by both sides.
 *
 * Two rings (BPF_MAP_TYPE_RINGBUF): `ctl_ring` carries connection records and must not drop,
 * `data_ring` carries payload and may. A connection's records are ordered inside one ring; between
 * the rings positions decide: a reader takes ctl_ring up to a snapshot of its producer position,
 * then data_ring up to a snapshot taken after it, and applies the closes of that ctl snapshot last.
 *
 * Only fixed-width fields, explicit padding, no packed attribute, no enum members; sizes and offsets
 * are asserted below by both compilers.
 */
#ifndef AGENT_BPF_EVENTS_H
#define AGENT_BPF_EVENTS_H

#ifndef __KELPIE_BPF__
#include <linux/types.h>
#endif

#define EV_VERSION 1

#define EV_CHUNK_MAX 24576	/* bytes: the largest payload of one EV_DATA record */
#define EV_CALL_MAX  (1u << 20) /* bytes of one system call that are copied at most */
#define EV_CONNS_MAX 65536	/* connections with a control block at one time */
#define EV_NO_SLOT   0xffffffffu
#define EV_COMM_LEN  16 /* TASK_COMM_LEN */

#define EV_DGRAM_MAX   4096 /* bytes of a datagram that are copied at most */
#define EV_DGRAM_SLOTS 1024 /* entries of conn_ctl behind those of the connections */

enum ev_type {
	EV_CONN_OPEN = 1, /* struct ev_conn: a connection became known; ctl_ring */
	EV_CONN_EOF =
		2, /* struct ev_eof: one direction has ended (FIN sent or received); ctl_ring */
	EV_CONN_CLOSE = 3, /* struct ev_close: TCP_CLOSE or destroyed; ctl_ring */
	/* struct ev_conn: SYN_SENT -> CLOSE, err says why; ctl_ring. One that was told already,
	 * because bytes went with its SYN, has EV_CONN_CLOSE. */
	EV_CONN_FAILED = 4,
	EV_DATA = 5,  /* struct ev_data; data_ring */
	EV_DGRAM = 6, /* struct ev_dgram: one UDP datagram with its addresses; data_ring */
};

/* Direction as seen by the socket's owner. Index of every two-element array here. */
enum ev_dir { EV_RX = 0, EV_TX = 1 };

enum ev_flag {
	EV_F_TX = 1 << 0, /* EV_DATA, EV_CONN_EOF: direction is EV_TX; EV_CONN_CLOSE of a packet
				  * capture: this end sent the reset that err tells of */
	EV_F_UNORDERED = 1 << 1, /* EV_DATA: another transfer raced; pos is not certain */
	EV_F_MORE = 1 << 2,	 /* EV_DATA: further records of the same system call follow */
	EV_F_OLD = 1 << 3,	 /* EV_CONN_OPEN: found open by the walk, not seen being opened */
	EV_F_KNOWN =
		1 << 4, /* EV_CONN_OPEN: announced before, told again (after a parser restart) */
};

/* Why bytes that an EV_DATA record stands for are not in it (ev_data.orig_len > cap_len). */
enum ev_miss {
	EV_MISS_NONE = 0,
	EV_MISS_SKIP = 1,   /* below skip_until: the parser did not want them */
	EV_MISS_BUDGET = 2, /* over the probing budget of a connection nobody has judged */
	EV_MISS_NOPAYLOAD =
		3, /* sendfile, splice, io_uring, MSG_TRUNC, ...: not in the caller's memory */
	EV_MISS_UNTRUSTED = 4, /* the registers could not be tied to this socket */
	EV_MISS_LIMIT = 5,     /* beyond EV_CALL_MAX or the vector limit */
	EV_MISS_FAULT = 6,     /* the caller's page could not be read */
	EV_MISS_RING = 7,      /* earlier part of the same call was refused by the ring */
	EV_MISS_WINDOW = 8,    /* the reader is too far behind on this connection */
};

/* Every record starts with this. */
struct ev_hdr {
	__u32 len;    /* bytes of the record with this header */
	__u8 type;    /* enum ev_type */
	__u8 version; /* EV_VERSION */
	__u8 flags;   /* enum ev_flag */
	__u8 miss;    /* enum ev_miss, EV_DATA only */
	__u64 ts_ns;  /* CLOCK_BOOTTIME when the hook ran: completion of the system call */
};

/* EV_CONN_OPEN, EV_CONN_FAILED. IPv4 is written as ::ffff:a.b.c.d. */
struct ev_conn {
	struct ev_hdr h;
	__u64 conn;   /* identity for the life of the BPF maps: never 0, never used again */
	__u64 inode;  /* of the socket: the N of socket:[N]; 0 unknown */
	__u64 cgroup; /* cgroup v2 id of the first task seen on it; 0 unknown */
	__u64 pos[2]; /* offset from the connection's start of the next byte, per direction */
	__u32 isn[2]; /* sequence number of the first data byte, per direction; both ends agree */
	__u32 slot;   /* index into conn_ctl, EV_NO_SLOT when all were taken */
	__u32 netns;  /* inode of the network namespace; 0 unknown */
	__u32 tgid;   /* of the first task seen on it, in the agent's pid namespace; 0 unknown */
	__s32 err;    /* EV_CONN_FAILED: positive errno (ECONNREFUSED, ETIMEDOUT...), 0 unknown */
	__u8 local[16];
	__u8 remote[16];
	__u16 local_port; /* host order */
	__u16 remote_port;
	__u8 family;	  /* AF_INET or AF_INET6 as the socket has it */
	__u8 initiator;	  /* enum ev_initiator */
	__u8 isn_known;	  /* 1: isn[] can be relied on */
	__u8 tcp_state;	  /* TCP_ESTABLISHED... at that moment */
	__u64 connect_ns; /* time since the SYN was sent, when we saw it; else 0 */
	char comm[EV_COMM_LEN];
};

/* EV_CONN_OPEN of a UNIX stream socket, told by its length. Addresses, ports, netns and tcp_state of `c`
 * are 0; its positions count from where the socket was first seen; isn[] is what both ends have in
 * common: the inode of the socket that connected and 0, or both inodes of a socketpair(), the smaller
 * first. */
#define EV_NAME_MAX 112 /* 108 bytes of sun_path, in whole words */

struct ev_conn_unix {
	struct ev_conn c; /* family AF_UNIX */
	/* Bytes of name[], [0] of this end, [1] of the other: sun_path as bound, an abstract one with
	 * its leading NUL; 0: no name. */
	__u8 name_len[2];
	__u8 pad[6];
	char name[2][EV_NAME_MAX];
};

enum ev_initiator { EV_INITIATOR_UNKNOWN = 0, EV_INITIATOR_LOCAL = 1, EV_INITIATOR_REMOTE = 2 };

/* EV_CONN_EOF: no byte at or beyond pos will come in this direction. */
struct ev_eof {
	struct ev_hdr h;
	__u64 conn;
	__u64 pos;
};

/* EV_CONN_CLOSE: the last record of a connection in ctl_ring. */
struct ev_close {
	struct ev_hdr h;
	__u64 conn;
	__u64 pos[2];	     /* final positions: all bytes the socket carried */
	__u64 copied_bytes;  /* of both directions: payload submitted to data_ring */
	__u64 skipped_bytes; /* left out on purpose: skip_until, verdict, budget, no payload */
	__u64 lost_bytes;    /* left out by accident: ring full, fault, limit, untrusted */
	__u32 srtt_us;	     /* smoothed round trip, microseconds; 0 unknown */
	__u32 retransmits;   /* segments */
	__s32 err;	 /* positive errno of the socket (ECONNRESET, EPIPE, ETIMEDOUT), else 0 */
	__u8 from_state; /* TCP state it was left from */
	__u8 pad[3];
};

/* EV_DATA: stands for orig_len bytes of the stream from pos on; the first cap_len of them follow. */
struct ev_data {
	struct ev_hdr h;
	__u64 conn;
	__u64 pos;
	__u32 orig_len;
	__u32 cap_len; /* <= EV_CHUNK_MAX */
	__u32 tgid;    /* of the caller, in the agent's pid namespace; 0 unknown */
	__u32 slot;    /* as in ev_conn */
	__u8 data[];
};

/* EV_DGRAM: one UDP datagram of orig_len bytes, the first cap_len of which follow. Says all that is
 * known of its socket: there is no record of its own for that. An address of all zeros and a port of
 * 0 are not known: a socket that is bound to no address, a sender whom the caller did not ask for. */
struct ev_dgram {
	struct ev_hdr h; /* miss: why cap_len < orig_len */
	__u64 sock;	 /* identity of the socket: never 0, never used again */
	__u64 cgroup;	 /* cgroup v2 id of the caller; 0 unknown */
	__u32 orig_len;
	__u32 cap_len;	  /* <= EV_DGRAM_MAX */
	__u32 tgid;	  /* of the caller, in the agent's pid namespace */
	__u32 slot;	  /* index into conn_ctl, shared with other sockets; EV_NO_SLOT: none */
	__u32 netns;	  /* inode of the network namespace; 0 unknown */
	__u16 local_port; /* host order */
	__u16 remote_port;
	__u8 local[16]; /* as in ev_conn */
	__u8 remote[16];
	char comm[EV_COMM_LEN];
	__u8 data[];
};

/* What to copy of a connection: written by the parser process into the memory-mapped array
 * `conn_ctl`, read by the BPF programs, which believe it only when `conn` is the connection that
 * owns the slot, and check every value. */
enum ctl_verdict {
	CTL_UNJUDGED =
		0,     /* copy everything up to the probing budget, then tell holes, then nothing */
	CTL_COPY = 1,  /* copy everything from skip_until on, as far as the window allows */
	CTL_COUNT = 2, /* copy nothing: counters only */
};

struct conn_ctl {
	__u64 conn; /* 0: no opinion, as CTL_UNJUDGED */
	/* Bytes before this position are not wanted. A call whose bytes all lie below is silent
	 * (counted only), unless it reaches the position exactly or crosses it: then a record is
	 * submitted (without payload for the part below), because its time ends a message. */
	__u64 skip_until[2];
	/* Payload bytes that the reader has taken from data_ring, modulo 2^32, per direction. What was
	 * submitted beyond that fills the ring: at most CTL_COPY's window of it may be one
	 * connection's, so that a long body, unwanted as soon as the parser has seen its head, does
	 * not push everybody else's records out. */
	__u32 taken[2];
	__u32 verdict; /* enum ctl_verdict */
	__u32 pad;
};

/* A UDP socket's opinion stands in the entry that its number falls on, `conn` its ev_dgram.sock. The
 * kernel remembers it when it sees it: another socket's may take its place. */

/* Kernel-side counters: array map `bpf_counters`, BPF_F_MMAPABLE, one struct per possible CPU (added
 * to atomically: a softirq may interrupt a program on the same CPU). Bytes are stream bytes.
 *	BC_BYTES_IN = BC_BYTES_OUT + every BC_B_*
 *	BC_CALLS_IN = BC_CALLS_OUT + every BC_C_*      (a call counts once, under its first cause)
 * Over the window or the budget is by intention: what of it a parser wanted all the same is known to
 * user space only, which books that as lost (agent/stream.c).
 */
#define BPF_COUNTERS(X)                                                                            \
	X(BC_CALLS_IN, "calls", IN, 0) /* transfers of >= 1 byte on a TCP socket */                \
	X(BC_BYTES_IN, "bytes", IN, 0)                                                             \
	X(BC_CALLS_OUT, "calls", OUT, 0) /* at least one record submitted */                       \
	X(BC_BYTES_OUT, "bytes", OUT, 0) /* payload submitted */                                   \
	X(BC_C_SELF, "calls", LOSS, 1)	 /* the agent's own sockets */                             \
	X(BC_B_SELF, "bytes", LOSS, 1)                                                             \
	X(BC_C_LOCAL, "calls", LOSS, 1) /* UNIX sockets that are no streams */                     \
	X(BC_B_LOCAL, "bytes", LOSS, 1)                                                            \
	/* other cgroup subtree, pid namespace, denied port; while the hooks are being attached */ \
	X(BC_C_SCOPE, "calls", LOSS, 1)                                                            \
	X(BC_B_SCOPE, "bytes", LOSS, 1)                                                            \
	X(BC_C_VERDICT, "calls", LOSS, 1) /* CTL_COUNT */                                          \
	X(BC_B_VERDICT, "bytes", LOSS, 1)                                                          \
	X(BC_C_SKIP, "calls", LOSS, 1) /* below skip_until */                                      \
	X(BC_B_SKIP, "bytes", LOSS, 1)                                                             \
	X(BC_C_BUDGET, "calls", LOSS, 1) /* unjudged and over the probing budget */                \
	X(BC_B_BUDGET, "bytes", LOSS, 1)                                                           \
	X(BC_B_WINDOW, "bytes", LOSS,                                                              \
	  1) /* reader too far behind on the connection: hole announced */                         \
	X(BC_B_NOPAYLOAD, "bytes", LOSS,                                                           \
	  1) /* sendfile, splice, io_uring, MSG_TRUNC: hole announced */                           \
	X(BC_B_UNTRUSTED, "bytes", LOSS, 0)                                                        \
	X(BC_B_LIMIT, "bytes", LOSS, 0)                                                            \
	X(BC_B_FAULT, "bytes", LOSS, 0)                                                            \
	X(BC_C_RING, "calls", LOSS, 0) /* data ring full, nothing of the call submitted */         \
	X(BC_B_RING, "bytes", LOSS, 0)                                                             \
	X(BC_C_CONN, "calls", LOSS, 0) /* no room in the connection map */                         \
	X(BC_B_CONN, "bytes", LOSS, 0)                                                             \
	X(BC_EV_DATA, "records", OUT, 0)      /* submitted to data_ring */                         \
	X(BC_EV_CTL_IN, "records", IN, 0)     /* connection records that had to be told */         \
	X(BC_EV_CTL, "records", OUT, 0)	      /* submitted to ctl_ring */                          \
	X(BC_EV_CTL_RING, "records", LOSS, 0) /* ctl_ring full */                                  \
	/* UDP: BC_D_IN = BC_D_OUT + every BC_D_*, and the same of bytes (BC_DB_*) */              \
	X(BC_D_IN, "datagrams", IN, 0) /* of >= 1 byte, sent or received */                        \
	X(BC_DB_IN, "datagram_bytes", IN, 0)                                                       \
	X(BC_D_OUT, "datagrams", OUT, 0) /* record submitted */                                    \
	X(BC_DB_OUT, "datagram_bytes", OUT, 0)                                                     \
	X(BC_D_SELF, "datagrams", LOSS, 1) /* the agent's own sockets */                           \
	X(BC_DB_SELF, "datagram_bytes", LOSS, 1)                                                   \
	X(BC_D_SCOPE, "datagrams", LOSS, 1) /* as BC_C_SCOPE */                                    \
	X(BC_DB_SCOPE, "datagram_bytes", LOSS, 1)                                                  \
	X(BC_D_VERDICT, "datagrams", LOSS, 1) /* CTL_COUNT */                                      \
	X(BC_DB_VERDICT, "datagram_bytes", LOSS, 1)                                                \
	X(BC_D_BUDGET, "datagrams", LOSS, 1) /* unjudged and over the budget of its socket */      \
	X(BC_DB_BUDGET, "datagram_bytes", LOSS, 1)                                                 \
	X(BC_D_RING, "datagrams", LOSS, 0) /* data ring full */                                    \
	X(BC_DB_RING, "datagram_bytes", LOSS, 0)                                                   \
	X(BC_D_MAP, "datagrams", LOSS, 0) /* no room for its socket */                             \
	X(BC_DB_MAP, "datagram_bytes", LOSS, 0)                                                    \
	X(BC_DB_CUT, "datagram_bytes", LOSS, 1)	      /* behind EV_DGRAM_MAX */                    \
	X(BC_DB_NOPAYLOAD, "datagram_bytes", LOSS, 1) /* io_uring, MSG_TRUNC, ... */               \
	X(BC_DB_UNTRUSTED, "datagram_bytes", LOSS, 0)                                              \
	X(BC_DB_FAULT, "datagram_bytes", LOSS, 0)                                                  \
	X(BC_CONNS_OPENED, "connections", IN, 0)                                                   \
	X(BC_CONNS_CLOSED, "connections", OUT, 0)

enum bpf_counter {
#define X(name, unit, kind, intentional) name,
	BPF_COUNTERS(X)
#undef X
		_BC_MAX
};

struct bpf_counters {
	__u64 v[_BC_MAX];
} __attribute__((aligned(64)));

#define EV_ASSERT_OFF(type, field, off)                                                            \
	_Static_assert(__builtin_offsetof(struct type, field) == (off), #type "." #field)
_Static_assert(sizeof(struct ev_hdr) == 16, "ev_hdr");
EV_ASSERT_OFF(ev_hdr, ts_ns, 8);
_Static_assert(sizeof(struct ev_conn) == 144, "ev_conn");
EV_ASSERT_OFF(ev_conn, isn, 56);
EV_ASSERT_OFF(ev_conn, local, 80);
EV_ASSERT_OFF(ev_conn, family, 116);
EV_ASSERT_OFF(ev_conn, comm, 128);
_Static_assert(sizeof(struct ev_conn_unix) == 376, "ev_conn_unix");
EV_ASSERT_OFF(ev_conn_unix, name, 152);
_Static_assert(sizeof(struct ev_eof) == 32, "ev_eof");
_Static_assert(sizeof(struct ev_close) == 80, "ev_close");
EV_ASSERT_OFF(ev_close, srtt_us, 64);
_Static_assert(sizeof(struct ev_data) == 48, "ev_data");
EV_ASSERT_OFF(ev_data, orig_len, 32);
_Static_assert(sizeof(struct ev_dgram) == 104, "ev_dgram");
EV_ASSERT_OFF(ev_dgram, local, 56);
_Static_assert(sizeof(struct conn_ctl) == 40, "conn_ctl");

#endif
