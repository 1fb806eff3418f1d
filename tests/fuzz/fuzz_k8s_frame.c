/* What cuts an answer into frames and items: the first byte's bit 0 is the format, bit 1 a list. The same
 * comes out whole and in pieces of one to seven bytes; work is linear.
 */
#include "base/hash.h"
#include "k8s/listing.h"
#include "tests/fuzz/work.h"

#include <stdio.h>

static const struct work_bound bound = { "k8s_frame", 512, 4096 };

struct told {
	uint64_t hash;
	size_t n;
	bool bad, end;
};

static void tell(struct told *t, struct frame f, unsigned int what)
{
	static const struct hash_key key = { 1, 2 };

	work_pause();
	t->hash = hash_u64(t->hash ^ hash_bytes(&key, slice_of(f.p, f.n)) ^ what);
	t->n++;
	work_resume();
}

static void feed(struct frames *f, struct listing *l, struct slice in, struct told *t)
{
	enum listing_what what = LISTING_ITEM;
	enum frame_result r;
	struct frame one;

	while ((r = l ? listing_next(l, &in, &one, &what) : frames_next(f, &in, &one)) == FRAME_ONE)
		tell(t, one, what);
	t->bad = r == FRAME_BAD;
}

static struct told play(bool list, enum frame_format format, struct slice in, size_t piece)
{
	struct told t = { 0 };
	struct listing l;
	struct frames f;
	size_t bytes = in.n;

	work_begin();
	listing_init(&l, format);
	frames_init(&f, format);
	while (in.n > 0 && !t.bad) {
		struct slice head = slice_head(in, piece);

		feed(&f, list ? &l : NULL, head, &t);
		in = slice_from(in, head.n);
	}
	t.end = !t.bad && (list ? listing_complete(&l) : frames_between(&f));
	listing_done(&l);
	frames_done(&f);
	work_end(&bound, bytes);
	return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum frame_format format = size > 0 && data[0] & 1 ? FRAME_JSON : FRAME_PB;
	bool list = size > 0 && data[0] & 2;
	struct slice in = slice_of(data + (size > 0), size - (size > 0));
	struct told whole = play(list, format, in, SIZE_MAX);
	struct told cut = play(list, format, in, 1 + size % 7);

	if (whole.hash != cut.hash || whole.n != cut.n || whole.bad != cut.bad ||
	    whole.end != cut.end) {
		fprintf(stderr, "fuzz_k8s_frame: another result when cut differently\n");
		abort();
	}
	return 0;
}
