#include "agent/probe_table.h"

#define BIT(f)	 (1u << (f))
#define READ_ANY (BIT(CAPTURE_READ_BTF) | BIT(CAPTURE_READ_PROBE))

const struct rung_ops rung_table[_CAPTURE_RUNG_MAX] = {
	[CAPTURE_RUNG_AUTO] = { .name = "auto" },
	[CAPTURE_RUNG_SOCKLEN] = {
		.name = "socklen",
		.needs = BIT(FEATURE_BTF) | BIT(FEATURE_RINGBUF) | BIT(FEATURE_SOCK_LENGTH) |
			 BIT(FEATURE_TASK_REGS),
		.reads = READ_ANY,
		.progs = { "send_length", "recv_length" },
	},
	[CAPTURE_RUNG_SYSEXIT] = {
		.name = "sysexit",
		.needs = BIT(FEATURE_BTF) | BIT(FEATURE_RINGBUF) | BIT(FEATURE_SYS_EXIT_BTF),
		.reads = READ_ANY,
		.progs = { "exit_btf" },
	},
	[CAPTURE_RUNG_RAWTP] = {
		.name = "rawtp",
		.needs = BIT(FEATURE_BTF) | BIT(FEATURE_RINGBUF) | BIT(FEATURE_RAW_TP),
		.reads = READ_ANY,
		.progs = { "exit_raw" },
	},
	[CAPTURE_RUNG_TRACEPOINT] = {
		.name = "tracepoint",
		.needs = BIT(FEATURE_BTF) | BIT(FEATURE_RINGBUF) | BIT(FEATURE_TRACEFS) |
			 BIT(FEATURE_TASK_REGS),
		.reads = READ_ANY,
		.progs = { "exit_tracepoint" },
		.tracepoints = { "sys_exit_read", "sys_exit_write", "sys_exit_readv", "sys_exit_writev",
				 "sys_exit_sendto", "sys_exit_recvfrom", "sys_exit_sendmsg",
				 "sys_exit_recvmsg", "sys_exit_sendmmsg", "sys_exit_recvmmsg",
				 "sys_exit_splice", "sys_exit_preadv2", "sys_exit_pwritev2",
				 "sys_exit_sendfile64" },
	},
};

const char *const state_progs_btf[] = { "state_btf", "destroy_btf", NULL };
const char *const state_progs_raw[] = { "state_raw", "destroy_raw", NULL };
