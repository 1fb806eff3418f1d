/* The bytes of an answer cut into what a decoder takes whole: the frames of a watch, the items of a
 * list. Both take any piece of the stream, down to single bytes, and hold one frame, of at most
 * K8S_FRAME_MAX bytes.
 *
 *	protobuf watch	4 bytes length, big-endian; that many bytes of WatchEvent
 *	JSON watch	one object each line
 */
#ifndef K8S_FRAME_H
#define K8S_FRAME_H

#include "base/strbuf.h"

#define K8S_FRAME_MAX  (16u * MIB) /* bytes; as client-go has it */
#define K8S_FRAME_KEPT (256 * KIB) /* bytes of memory that are kept between frames */

enum frame_format { FRAME_PB, FRAME_JSON };

enum frame_result {
	FRAME_MORE, /* all was taken, nothing is whole */
	FRAME_ONE,
	FRAME_BAD, /* no such stream, longer than the maximum, or no memory: to be given up */
};

/* Whole bytes that the decoder may write to (k8s/json.h), until the next call. */
struct frame {
	uint8_t *p;
	size_t n;
};

struct frames {
	struct strbuf held;
	enum frame_format format;
	uint32_t want; /* protobuf: bytes of the frame, once its length is known */
	uint8_t head[4], n_head;
	bool whole; /* what is held was given out */
};

void frames_init(struct frames *f, enum frame_format format);
void frames_done(struct frames *f);
/* Takes from the front of *in. */
enum frame_result frames_next(struct frames *f, struct slice *in, struct frame *ret);
/* Whether the stream could end here. */
bool frames_between(const struct frames *f);

/* Shared with k8s/listing.c: empties what was given out, and gives the memory of a large one back. */
void frame_reset(struct strbuf *held);
/* Appends, and takes as much from *in. False: there is no room for it. */
bool frame_take(struct strbuf *held, struct slice *in, size_t n);

#endif
