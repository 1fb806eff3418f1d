/* The list and watch machine against an API server that says anything. The input is answers:
 *
 *	byte 0      bits 0..2 status (of a table), bit 3 JSON, bits 4..5 how it ends, bit 6 in single bytes
 *	byte 1, 2   little-endian count of the body's bytes, which follow
 *
 * Checked besides what sanitizers see: what is gone was told before, and at each complete set as many
 * objects are known as were told and have not gone; what is asked for next is a path; waits are bounded;
 * work is linear in the bytes.
 */
#include "k8s/reflector.h"
#include "tests/fuzz/work.h"

#include <stdio.h>

#define MODEL_MAX    4096
#define ANSWERS_MAX  64
#define ANSWER_WORTH 64 /* bytes: an answer of none is work as well */

/* Each answer is a new object of 12 KiB and a query; a sweep looks at a table that was grown. */
static const struct work_bound bound = { "k8s_reflector", 2048, 262144 };

static struct known_uid model[MODEL_MAX];
static size_t n_model;
static struct reflector *r;

static void die(const char *what)
{
	fprintf(stderr, "fuzz_k8s_reflector: %s\n", what);
	abort();
}

static size_t find(const struct k8s_object *o)
{
	struct known_uid uid;

	if (!known_uid_parse(o->meta.uid, &uid))
		die("told an object without uid");
	for (size_t i = 0; i < n_model; i++)
		if (memcmp(&model[i], &uid, sizeof(uid)) == 0)
			return i;
	if (n_model == MODEL_MAX)
		die("more objects than bytes");
	model[n_model] = uid;
	return n_model;
}

static void on_put(void *ctx, const struct k8s_object *o)
{
	(void)ctx;
	work_pause();
	n_model += find(o) == n_model;
	work_resume();
}

static void on_gone(void *ctx, const struct k8s_object *o)
{
	size_t i;

	(void)ctx;
	work_pause();
	i = find(o);
	if (i == n_model)
		die("what was not told is gone");
	model[i] = model[--n_model];
	work_resume();
}

static void on_synced(void *ctx)
{
	(void)ctx;
	if (r->known.len != n_model)
		die("a complete set of another size");
}

static void on_condition(void *ctx, const char *text)
{
	(void)ctx;
	if (text && strlen(text) >= REFLECTOR_TEXT_MAX)
		die("a condition without end");
}

static void answer(struct slice *in)
{
	static const int statuses[] = { 200, 200, 200, 422, 410, 500, 401, 0 };
	uint8_t op = in->p[0];
	struct slice body = slice_head(slice_from(*in, 3), in->p[1] | (size_t)in->p[2] << 8);
	int status = statuses[op & 7], bad = 0;

	*in = slice_from(*in, 3 + body.n);
	if (status)
		reflector_head(r, status,
			       slice_str(op & 8 ? "application/json"
						: "application/vnd.kubernetes.protobuf"),
			       0);
	for (size_t n = op & 64 ? 1 : body.n; status && body.n > 0 && bad == 0;) {
		struct slice piece = slice_head(body, n);

		bad = reflector_body(r, piece);
		body = slice_from(body, piece.n);
	}
	reflector_end(r, bad < 0 ? REFLECTOR_BROKEN : (enum reflector_end)((op >> 4 & 3) % 3),
		      "broken", (uint64_t)(op >> 4) * NSEC_PER_SEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct reflector_ops ops = { on_put, on_gone, on_synced, on_condition };
	struct reflector_opts opts = { .kind = K8S_POD, .ops = &ops };
	struct slice in = slice_of(data, size);
	size_t answers = 0;

	n_model = 0;
	if (reflector_new(&opts, &r) < 0)
		return 0;
	work_begin();
	while (in.n >= 3 && answers++ < ANSWERS_MAX) {
		struct reflector_request q;

		reflector_next(r, in.p[0] * 0x01010101u, &q);
		if (q.url[0] != '/' || q.wait_ns > 600 * NSEC_PER_SEC)
			die("no request");
		answer(&in);
	}
	work_end(&bound, size + answers * ANSWER_WORTH);
	reflector_free(r);
	return 0;
}
