#include "agent/join.h"

#include "agent/pipeline_int.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int join_init(struct join *j)
{
	*j = (struct join){ .gen = 1 };
	hash_key_random(&j->key);
	hashmap_init(&j->procs, PROCS_MAX);
	pods_init(&j->pods);
	j->table = calloc(2 * SYM_MAX, sizeof(*j->table));
	j->arena = malloc(SYM_ARENA_MAX);
	if (!j->table || !j->arena) {
		join_done(j);
		return -ENOMEM;
	}
	return 0;
}

static void forget_procs(struct join *j)
{
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&j->procs, e));)
		free((void *)(uintptr_t)e->value);
	hashmap_done(&j->procs);
}

void join_done(struct join *j)
{
	forget_procs(j);
	pods_done(&j->pods);
	free(j->table);
	free(j->arena);
	*j = (struct join){ 0 };
}

/* ---- interned texts ---- */

void join_reset_syms(struct pipeline *p)
{
	struct join *j = &p->join;

	j->stale = !p->opts.out.reserve(p->opts.out.ctx, 0);
	if (j->stale)
		return;
	p->opts.out.commit(p->opts.out.ctx, PIPE_SYM_RESET, 0);
	memset(j->table, 0, 2 * SYM_MAX * sizeof(*j->table));
	memset(j->literals, 0, sizeof(j->literals));
	memset(j->last, 0, sizeof(j->last));
	j->n_syms = j->arena_len = 0;
	j->gen++;
}

static bool announce(struct pipeline *p, uint32_t sym, struct slice text)
{
	uint8_t *frame = p->opts.out.reserve(p->opts.out.ctx, (uint32_t)(4 + text.n));

	if (!frame)
		return false;
	memcpy(frame, &sym, 4);
	memcpy(frame + 4, text.p, text.n);
	p->opts.out.commit(p->opts.out.ctx, PIPE_SYM, (uint32_t)(4 + text.n));
	return true;
}

void join_repeat_syms(struct pipeline *p)
{
	const struct join *j = &p->join;

	for (size_t i = 0; i < 2 * SYM_MAX; i++) {
		const struct sym_entry *e = &j->table[i];

		if (e->id_plus_1 &&
		    !announce(p, e->id_plus_1 - 1, slice_of(j->arena + e->off, e->len)))
			return;
	}
}

uint32_t join_sym(struct pipeline *p, struct slice text)
{
	struct join *j = &p->join;
	uint64_t hash = hash_bytes(&j->key, text);
	size_t mask = 2 * SYM_MAX - 1, i;

	if (!text.n || text.n > SYM_TEXT_MAX)
		return SYM_NONE;
	for (i = hash & mask; j->table[i].id_plus_1; i = (i + 1) & mask) {
		struct sym_entry *e = &j->table[i];

		if (e->hash == (uint32_t)(hash >> 32) &&
		    slice_eq(slice_of(j->arena + e->off, e->len), text))
			return e->id_plus_1 - 1;
	}
	/* A full table is not emptied here: the row in hand holds numbers of it. */
	if (j->n_syms == SYM_MAX || j->arena_len + text.n > SYM_ARENA_MAX ||
	    !announce(p, j->n_syms, text)) {
		j->refused = true;
		return SYM_NONE;
	}
	memcpy(j->arena + j->arena_len, text.p, text.n);
	j->table[i] = (struct sym_entry){ (uint32_t)(hash >> 32), j->arena_len, (uint32_t)text.n,
					  ++j->n_syms };
	j->arena_len += (uint32_t)text.n;
	return j->n_syms - 1;
}

uint32_t join_text(struct pipeline *p, struct row_builder *b, uint16_t col, struct slice text)
{
	const struct column *column = schema_column(col);
	struct join_last *last = &p->join.last[col];
	uint32_t sym;

	if (!text.n)
		return SYM_NONE;
	if (last->n == text.n && memcmp(last->text, text.p, text.n) == 0) {
		row_sym(b, col, last->sym);
		return last->sym;
	}
	/* What is longer than the column's cap is cut and marked by row_text(). */
	sym = column && text.n > column->cap_bytes ? SYM_NONE : join_sym(p, text);
	if (sym == SYM_NONE) {
		row_text(b, col, text);
		return SYM_NONE;
	}
	row_sym(b, col, sym);
	if (text.n <= JOIN_LAST_MAX) {
		last->n = (uint8_t)text.n;
		last->sym = sym;
		memcpy(last->text, text.p, text.n);
	}
	return sym;
}

void join_str(struct pipeline *p, struct row_builder *b, uint16_t col, const char *text)
{
	(void)join_text(p, b, col, slice_str(text));
}

void join_literal(struct pipeline *p, struct row_builder *b, uint16_t col, const char *text)
{
	size_t slot = hash_u64((uint64_t)(uintptr_t)text) & (JOIN_LITERALS - 1);
	struct join_literal *l = &p->join.literals[slot];

	if (l->text != text) {
		uint32_t sym = join_sym(p, slice_str(text));

		if (sym == SYM_NONE) {
			row_text(b, col, slice_str(text));
			return;
		}
		*l = (struct join_literal){ text, sym };
	}
	row_sym(b, col, l->sym);
}

/* ---- processes and pods ---- */

/* The same number is another process's later, and one process may be in another cgroup. */
static uint64_t proc_key(uint32_t tgid, uint64_t cgroup)
{
	return hash_u64(cgroup) << 32 | tgid;
}

const struct proc_identity *join_find_proc(struct pipeline *p, uint32_t tgid, uint64_t cgroup)
{
	const struct proc_identity *id;
	uint64_t v, key = proc_key(tgid, cgroup);

	if (!tgid)
		return NULL;
	if (hashmap_get(&p->join.procs, key, &v)) {
		id = (const struct proc_identity *)(uintptr_t)v;
		return id && id->cgroup == cgroup ? id : NULL;
	}
	if (p->join.procs.len == PROCS_MAX)
		forget_procs(&p->join);
	if (p->opts.out.want_proc && hashmap_put(&p->join.procs, key, 0) == 0)
		p->opts.out.want_proc(p->opts.out.ctx, tgid, cgroup);
	return NULL;
}

const struct k8s_identity *join_find_pod(struct pipeline *p, const struct proc_identity *id)
{
	return pods_find(&p->join.pods, &id->pod_uid);
}

void join_pod(struct pipeline *p, const struct k8s_identity *pod, bool gone)
{
	if (gone)
		pods_gone(&p->join.pods, &pod->uid);
	else if (pods_put(&p->join.pods, pod) == 0)
		p->join.gen++;
}

bool join_opted_out(struct pipeline *p, const struct conn *c)
{
	const struct proc_identity *id = join_find_proc(p, c->tgid, c->cgroup);
	const struct k8s_identity *pod = id ? join_find_pod(p, id) : NULL;

	return pod && pod->capture_off;
}

static void emit_process(struct pipeline *p, const struct proc_identity *id)
{
	struct row_builder *b = &p->join.row;
	void *frame;
	size_t n;

	row_begin(b, TABLE_PROCESSES);
	row_int(b, COL_PID, id->tgid);
	row_text(b, COL_COMM, slice_str(id->comm));
	if (id->exe[0])
		row_text(b, COL_EXE, slice_str(id->exe));
	if (id->container[0])
		row_text(b, COL_CONTAINER, slice_str(id->container));
	if (id->unit[0])
		row_text(b, COL_SYSTEMD_UNIT, slice_str(id->unit));
	if (id->start_ns)
		row_int(b, COL_START_TIME, (int64_t)id->start_ns);
	row_text(b, COL_NODE, slice_str(p->opts.node));
	frame = p->opts.out.reserve(p->opts.out.ctx, 2048);
	n = frame ? row_end(b, 0, 0, frame, 2048) : 0;
	if (n)
		p->opts.out.commit(p->opts.out.ctx, PIPE_PROCESS, (uint32_t)n);
}

void join_proc(struct pipeline *p, const struct proc_identity *id)
{
	uint64_t v = 0, key = proc_key(id->tgid, id->cgroup);
	struct proc_identity *copy;

	if (!hashmap_get(&p->join.procs, key, &v))
		return; /* not asked for */
	copy = v ? (struct proc_identity *)(uintptr_t)v : malloc(sizeof(*copy));
	if (!copy)
		return;
	*copy = *id;
	copy->comm[sizeof(copy->comm) - 1] = 0;
	copy->container[sizeof(copy->container) - 1] = 0;
	copy->unit[sizeof(copy->unit) - 1] = 0;
	copy->exe[sizeof(copy->exe) - 1] = 0;
	(void)hashmap_put_ptr(&p->join.procs, key, copy);
	p->join.gen++;
	emit_process(p, copy);
}

/* ---- rows ---- */

uint64_t join_unix_ns(const struct pipeline *p, uint64_t boot_ns)
{
	return boot_ns ? boot_ns + p->unix_minus_boot_ns : 0;
}

void join_emit(struct pipeline *p, struct row_builder *b, uint64_t end_unix_ns,
	       enum pipe_frame type)
{
	bool stored = type == PIPE_ROW;
	uint32_t most = (uint32_t)(sizeof(struct row_hdr) + b->n_cells * sizeof(struct cell) +
				   b->text_len + 8);
	uint64_t seq = 0;
	void *frame;
	size_t n;

	if (stored) {
		count(p, L7_IN, 1);
		if (leaks(p, 7))
			return;
		if (p->join.stale) {
			/* Its numbers mean nothing to the store any more. */
			join_reset_syms(p);
			count(p, L7_QUEUE_FULL, 1);
			return;
		}
		seq = p->seq + 1;
		row_int(b, COL_SEQ, (int64_t)seq);
		row_int(b, COL_EPOCH, (int64_t)p->opts.epoch);
		most += 2 * sizeof(struct cell);
	}
	frame = most <= ROW_MAX ? p->opts.out.reserve(p->opts.out.ctx, most) : NULL;
	n = frame ? row_end(b, seq, end_unix_ns, frame, most) : 0;
	if (!n) {
		if (stored)
			count(p, most > ROW_MAX ? L7_TOO_BIG : L7_QUEUE_FULL, 1);
		return;
	}
	p->opts.out.commit(p->opts.out.ctx, type, (uint32_t)n);
	if (stored) {
		p->seq = seq;
		count(p, L7_OUT, 1);
	}
	if (p->join.n_syms > SYM_MAX - SYM_MAX / 16 || p->join.arena_len > SYM_ARENA_MAX - 65536)
		join_reset_syms(p);
}
