#include "agent/features.h"
#include "base/util.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>

/* A trial gets the kernel's types (NULL when it has none): 0 present, else negative errno. */
struct feature_ops {
	const char *name;
	const char *use;
	int (*trial)(const struct btf *btf);
};

static int load_insns(enum bpf_prog_type type, const struct bpf_insn *insns, size_t n,
		      const struct bpf_prog_load_opts *opts)
{
	_cleanup_(closep) int fd = bpf_prog_load(type, NULL, "GPL", insns, n, opts);

	return fd < 0 ? fd : 0;
}

static const struct bpf_insn just_return[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

/* libbpf_find_vmlinux_btf_id() would parse the kernel's types again on every call. */
static int typed_hook(const struct btf *btf, const char *name, enum bpf_attach_type attach)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
	bool tracepoint = attach == BPF_TRACE_RAW_TP;
	const char *prefix = attach == BPF_TRACE_ITER ? "bpf_iter_" : "";
	char type[64];
	int id;

	if (!btf)
		return -ENOENT;
	snprintf(type, sizeof(type), "%s%s", tracepoint ? "btf_trace_" : prefix, name);
	id = btf__find_by_name_kind(btf, type, tracepoint ? BTF_KIND_TYPEDEF : BTF_KIND_FUNC);
	if (id < 0)
		return id;
	opts.attach_btf_id = (uint32_t)id;
	return load_insns(BPF_PROG_TYPE_TRACING, just_return, ARRAY_SIZE(just_return), &opts);
}

/* r1..r3 set to zero, one helper call: the verifier says whether it exists and is allowed. */
static int helper_call(int helper)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_STX | BPF_MEM | BPF_DW,
		  .dst_reg = BPF_REG_10,
		  .src_reg = BPF_REG_1,
		  .off = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X,
		  .dst_reg = BPF_REG_1,
		  .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3 },
		{ .code = BPF_JMP | BPF_CALL, .imm = helper },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return load_insns(BPF_PROG_TYPE_RAW_TRACEPOINT, insns, ARRAY_SIZE(insns), NULL);
}

static int helper_known(enum bpf_func_id helper)
{
	int r = libbpf_probe_bpf_helper(BPF_PROG_TYPE_RAW_TRACEPOINT, helper, NULL);

	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

static int trial_btf(const struct btf *btf)
{
	return btf ? 0 : -ENOENT;
}

static int trial_ringbuf(const struct btf *btf)
{
	_cleanup_(closep) int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0, 4096, NULL);

	(void)btf;
	return fd < 0 ? fd : 0;
}

static int trial_sock_length(const struct btf *btf)
{
	int r = typed_hook(btf, "sock_send_length", BPF_TRACE_RAW_TP);

	return r ? r : typed_hook(btf, "sock_recv_length", BPF_TRACE_RAW_TP);
}

static int trial_sys_exit(const struct btf *btf)
{
	return typed_hook(btf, "sys_exit", BPF_TRACE_RAW_TP);
}

static int trial_raw_tp(const struct btf *btf)
{
	_cleanup_(closep) int prog = -1;
	_cleanup_(closep) int link = -1;

	(void)btf;
	prog = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, NULL, "GPL", just_return,
			     ARRAY_SIZE(just_return), NULL);
	if (prog < 0)
		return prog;
	link = bpf_raw_tracepoint_open("tcp_destroy_sock", prog);
	return link < 0 ? link : 0;
}

static int trial_tracefs(const struct btf *btf)
{
	(void)btf;
	if (access("/sys/kernel/tracing/events/syscalls", F_OK) == 0 ||
	    access("/sys/kernel/debug/tracing/events/syscalls", F_OK) == 0)
		return 0;
	return -errno;
}

static int trial_state(const struct btf *btf)
{
	int r = typed_hook(btf, "inet_sock_set_state", BPF_TRACE_RAW_TP);

	return r ? r : typed_hook(btf, "tcp_destroy_sock", BPF_TRACE_RAW_TP);
}

static int trial_rdonly_cast(const struct btf *btf)
{
	if (!btf)
		return -ENOENT;
	return btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0 ? 0 : -ENOENT;
}

static int trial_probe_read(const struct btf *btf)
{
	(void)btf;
	return helper_call(BPF_FUNC_probe_read_kernel);
}

static int trial_loop(const struct btf *btf)
{
	(void)btf;
	return helper_known(BPF_FUNC_loop);
}

static int trial_task_regs(const struct btf *btf)
{
	(void)btf;
	return helper_known(BPF_FUNC_task_pt_regs);
}

static int trial_iter(const struct btf *btf)
{
	return typed_hook(btf, "task_file", BPF_TRACE_ITER);
}

/* Of both functions that give a datagram to its receiver. */
static int trial_func_exit(const struct btf *btf)
{
	int r = typed_hook(btf, "udp_recvmsg", BPF_TRACE_FEXIT);

	return r ? r : typed_hook(btf, "udpv6_recvmsg", BPF_TRACE_FEXIT);
}

/* Needs CAP_NET_ADMIN. Programs of this hook may only say yes. */
static int trial_sender(const struct btf *btf)
{
	static const struct bpf_insn yes[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_UDP6_RECVMSG);

	(void)btf;
	return load_insns(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, yes, ARRAY_SIZE(yes), &opts);
}

static int trial_iter_map(const struct btf *btf)
{
	return typed_hook(btf, "bpf_map_elem", BPF_TRACE_ITER);
}

static const struct feature_ops table[_FEATURE_MAX] = {
	[FEATURE_BTF] = { "btf", "typed hooks; without it nothing can be relocated", trial_btf },
	[FEATURE_RINGBUF] = { "ringbuf", "every record (kernel 5.8)", trial_ringbuf },
	[FEATURE_SOCK_LENGTH] = { "sock_length",
				  "capture without a cost for other system calls, io_uring seen "
				  "(6.3)",
				  trial_sock_length },
	[FEATURE_SYS_EXIT_BTF] = { "sys_exit_btf", "capture at system call exit (5.5)",
				   trial_sys_exit },
	[FEATURE_RAW_TP] = { "raw_tp", "capture at system call exit, untyped (4.17)",
			     trial_raw_tp },
	[FEATURE_TRACEFS] = { "tracefs", "capture by one tracepoint per system call",
			      trial_tracefs },
	[FEATURE_STATE_BTF] = { "state_btf", "connection state with typed arguments", trial_state },
	[FEATURE_RDONLY_CAST] = { "rdonly_cast", "cheap reads that lockdown allows (6.2)",
				  trial_rdonly_cast },
	[FEATURE_PROBE_READ] = { "probe_read",
				 "reads on kernels before 6.2; lockdown=confidentiality refuses it",
				 trial_probe_read },
	[FEATURE_BPF_LOOP] = { "bpf_loop", "calls with more than 128 small vectors (5.17)",
			       trial_loop },
	[FEATURE_TASK_REGS] = { "task_regs", "arguments on the socket-length hook (5.15)",
				trial_task_regs },
	[FEATURE_ITER_TASK_FILE] = { "iter_task_file",
				     "connections older than the agent shown before their next "
				     "byte (5.8)",
				     trial_iter },
	[FEATURE_FUNC_EXIT] = { "func_exit", "on the socket-length hook, who sent a datagram (5.5)",
				trial_func_exit },
	[FEATURE_CGROUP_RECVMSG] = { "cgroup_recvmsg",
				     "the same where func_exit is refused (5.2, CAP_NET_ADMIN)",
				     trial_sender },
	[FEATURE_ITER_MAP_ELEM] = { "iter_map_elem",
				    "UNIX sockets: nothing else tells when one was closed (5.9)",
				    trial_iter_map },
};

void features_probe(struct feature_state *ret)
{
	struct btf *btf = btf__load_vmlinux_btf();

	for (size_t i = 0; i < _FEATURE_MAX; i++) {
		int r = table[i].trial(btf);

		ret[i].present = r == 0;
		ret[i].err = r == 0 ? 0 : -r;
	}
	btf__free(btf);
}

const char *feature_name(enum feature f)
{
	return f < _FEATURE_MAX ? table[f].name : "unknown";
}

const char *feature_use(enum feature f)
{
	return f < _FEATURE_MAX ? table[f].use : "";
}
