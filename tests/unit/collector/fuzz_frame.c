/* The bytes of the stream between agent and collector, both directions, in pieces of any size. What
 * decodes has to survive being packed and decoded again.
 */
#include "base/util.h"
#include "proto/frame.h"
#include "tests/fuzz/work.h"

#include <kelpie.pb-c.h>

/* The cutting into frames; unpacking is the foreign library's. */
static const struct work_bound frame_bound = { "frame_reader", 64, 1024 };
#define PIECE_BYTES_WORTH 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct ProtobufCMessageDescriptor *d, struct slice bytes)
{
	struct ProtobufCMessage *m = NULL, *copy = NULL;
	struct frame_writer w;
	struct frame_reader r;
	struct slice got;

	if (frame_message_parse(d, bytes, &m) < 0)
		return;
	frame_writer_init(&w, FRAME_WRITE_MAX_BYTES);
	frame_reader_init(&r, FRAME_MAX_BYTES);
	if (frame_writer_push_message(&w, m) == 0) {
		if (frame_reader_feed(&r, slice_of(w.buf + w.off, w.len - w.off)) < 0 ||
		    frame_reader_next(&r, &got) != 1 || frame_message_parse(d, got, &copy) < 0)
			abort();
		frame_message_free(copy);
	}
	frame_reader_done(&r);
	frame_writer_done(&w);
	frame_message_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size), message;
	struct frame_reader r;
	size_t step, pieces = 1;
	int have = 0;

	if (size < 1)
		return 0;
	step = data[0] + 1u;
	rest = slice_from(rest, 1);
	frame_reader_init(&r, FRAME_MAX_BYTES);
	work_begin();
	while (rest.n && have >= 0) {
		if (frame_reader_feed(&r, slice_head(rest, step)) < 0)
			break;
		rest = slice_from(rest, step);
		pieces++;
		while ((have = frame_reader_next(&r, &message)) == 1) {
			work_pause();
			again(&kelpie__agent_message__descriptor, message);
			again(&kelpie__collector_message__descriptor, message);
			work_resume();
		}
	}
	work_end(&frame_bound, size + PIECE_BYTES_WORTH * pieces);
	frame_reader_done(&r);
	return 0;
}
