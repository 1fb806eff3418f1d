/* What the loader tells the programs before they are loaded (frozen in .rodata: branches on it cost
 * nothing), and the layout of the small maps that only those two share.
 */
#ifndef AGENT_BPF_CONFIG_H
#define AGENT_BPF_CONFIG_H

#ifndef __KELPIE_BPF__
#include <linux/types.h>
#endif

#define CFG_PORTS    8
#define CFG_SELF_MAX 16
#define CFG_NAMES    2
#define CFG_NAME_MAX 112 /* EV_NAME_MAX of events.h */

/* All zero but the sizes: no restriction. */
struct capture_cfg {
	__u64 cgroup_id;	  /* only tasks below this cgroup v2 directory; 0: all */
	__u64 probe_budget_bytes; /* copied per direction of a connection nobody has judged yet */
	__u64 window_bytes; /* of one direction of a judged connection that may wait in the ring */
	__u32 cgroup_level; /* depth of cgroup_id, root = 0 */
	__u32 pidns_ino;    /* inode of the agent's pid namespace when it is not the initial one */
	__u32 wake_bytes;   /* one forced wakeup each time so many bytes have gathered unread */
	__u32 ctl_wake_bytes; /* the same of the control ring */
	__u32 conns_max;      /* slots in use: <= EV_CONNS_MAX */
	__u32 flags;	      /* CFG_F_* */
	__u32 dgram_budget;   /* datagrams copied of a UDP socket that nobody has judged yet */
	__u16 dgram_ports[CFG_PORTS]; /* datagrams from and to these are copied, always */
	__u16 deny_ports[CFG_PORTS];  /* 0 ends the list */
	__u16 allow_ports[CFG_PORTS]; /* when not empty: only these */
	/* UNIX sockets bound to one of these (sun_path, zeros behind it) are left alone; empty ones
	 * are none. */
	__u64 deny_names[CFG_NAMES][CFG_NAME_MAX / 8];
};

#define CFG_F_LEAK (1u << 0) /* --simulate-leak hop=1: a lost chunk is not counted */
#define CFG_F_UNIX (1u << 1) /* capture.unixSockets */

/* What the loader tells while the programs run. */
struct capture_self {
	__u32 tgid[CFG_SELF_MAX]; /* 0 ends the list; as seen in the agent's pid namespace */
	__u32 family;		  /* what this process has started is Kelpie's own too; 0 nobody */
	__u32 armed; /* all hooks are attached: until then some of a connection's transfers go unseen,
		       * so none is told */
	__u32 walked; /* the open files have been looked through: a socket not known then is new */
};

#endif
