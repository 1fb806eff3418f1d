/* Kelpie's own recordings (.kev): the records of agent/bpf/events.h in the order in which the
 * pipeline takes them, behind a header. They hold payload as it was on the wire, before any
 * redaction.
 *
 *	0      8         12      16              24
 *	| "KEV1\r\n\x1a\n" | version | flags | unix - boot ns | record | record | ...
 *
 * Every record begins with struct ev_hdr, whose len (rounded up to 8) leads to the next one. Host
 * byte order; a file of the other order fails on its version.
 */
#ifndef AGENT_KEV_H
#define AGENT_KEV_H

#include "agent/bpf/events.h"

#include <stdio.h>

#define KEV_MAGIC   "KEV1\r\n\x1a\n"
#define KEV_VERSION 1

struct kev_hdr {
	char magic[8];
	__u32 version; /* KEV_VERSION << 16 | EV_VERSION */
	__u32 flags;   /* 0 */
	__u64 unix_minus_boot_ns;
};

_Static_assert(sizeof(struct kev_hdr) == 24, "kev_hdr");

/* 0 or -EIO. */
int kev_write_header(FILE *f, __u64 unix_minus_boot_ns);
int kev_write(FILE *f, const struct ev_hdr *h);
/* 0; -EPROTO: no recording, or of another version. */
int kev_read_header(FILE *f, struct kev_hdr *ret);
/* 1: *buf (cap bytes, 8-aligned) holds a checked record; 0: end of file; -EBADMSG: damaged or cut
 * off. */
int kev_read(FILE *f, void *buf, size_t cap);

#endif
