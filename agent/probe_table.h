/* Rows of the hook ladder: which programs make a rung, and what the kernel must have for it. */
#ifndef AGENT_PROBE_TABLE_H
#define AGENT_PROBE_TABLE_H

#include "agent/capture.h"

#define RUNG_PROGS_MAX 4
#define RUNG_TPS_MAX   16

struct rung_ops {
	const char *name;
	uint32_t needs; /* bit per enum feature */
	uint32_t reads; /* bit per enum capture_read in which the programs exist */
	const char *progs[RUNG_PROGS_MAX]; /* of the data path, NULL ends */
	/* The one program of the rung is attached to each of these of group syscalls; NULL ends. */
	const char *tracepoints[RUNG_TPS_MAX];
};

/* Indexed by rung; the AUTO row is empty. Ladder order is the enum's. */
extern const struct rung_ops rung_table[_CAPTURE_RUNG_MAX];

/* Connection state: with typed arguments, or without. */
extern const char *const state_progs_btf[];
extern const char *const state_progs_raw[];

#endif
