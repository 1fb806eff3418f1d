/* Hop 1, the kernel's side: every transfer of a TCP or UNIX stream socket becomes records in data_ring,
 * every connection's life records in ctl_ring, every datagram somebody wants a record in data_ring. The
 * rungs of the ladder are separate optional programs;
 * the loader picks one.
 *
 *	socklen      tp_btf/sock_{send,recv}_length       since 6.3, no cost for other system calls
 *	sysexit      tp_btf/sys_exit                      typed arguments
 *	rawtp        raw_tp/sys_exit
 *	tracepoint   tracepoint/syscalls/sys_exit_NAME
 */
#define __KELPIE_BPF__ 1
#include "kernel.bpf.h"
#include "events.h"
#include "config.h"
#include "maps.bpf.h"
#include "sysargs.bpf.h"
#include "conn.bpf.h"
#include "xfer.bpf.h"
#include "unix.bpf.h"
#include "udp.bpf.h"
#include "mmsg.bpf.h"
#include "rungs.bpf.h"
#include "state.bpf.h"
#include "walk.bpf.h"

char LICENSE[] SEC("license") = "GPL";
