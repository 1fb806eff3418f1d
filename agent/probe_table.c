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
		.progs = { "tp_read", "tp_write", "tp_readv", "tp_writev", "tp_sendto", "tp_recvfrom",
			   "tp_sendmsg", "tp_recvmsg", "tp_sendmmsg", "tp_recvmmsg", "tp_sendfile",
			   "tp_splice", "tp_preadv2", "tp_pwritev2" },
	},
};

const char *const state_progs_btf[] = { "state_btf", "destroy_btf", NULL };
const char *const state_progs_raw[] = { "state_raw", "destroy_raw", NULL };
