/* What this kernel lets us do, each found by trying it, never by its version. For choosing the rung
 * and for `kelpie doctor`.
 */
#ifndef AGENT_FEATURES_H
#define AGENT_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

enum feature {
	FEATURE_BTF,
	FEATURE_RINGBUF,
	FEATURE_SOCK_LENGTH,
	FEATURE_SYS_EXIT_BTF,
	FEATURE_RAW_TP,
	FEATURE_TRACEFS,
	FEATURE_STATE_BTF,
	FEATURE_RDONLY_CAST,
	FEATURE_PROBE_READ,
	FEATURE_BPF_LOOP,
	FEATURE_TASK_REGS,
	FEATURE_ITER_TASK_FILE,
	FEATURE_FUNC_EXIT,
	FEATURE_CGROUP_RECVMSG,
	FEATURE_ITER_MAP_ELEM,
	_FEATURE_MAX
};

struct feature_state {
	bool present;
	int err; /* positive errno of the trial when absent, 0 when simply not there */
};

/* Tries everything once: some 20 ms, most of it reading the kernel's BTF. Needs CAP_BPF,
 * CAP_PERFMON. ret: _FEATURE_MAX entries. */
void features_probe(struct feature_state *ret);

const char *feature_name(enum feature f); /* "sock_length" */
/* What is lost without it; for people. */
const char *feature_use(enum feature f);

#endif
