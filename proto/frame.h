/* gRPC's message framing (grpc/doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message) over a non-blocking
 * stream descriptor, and protobuf messages in bounded memory.
 *
 *	0      1                    5                  5 + length
 *	| flag | length, big endian | message bytes .. |
 *
 * flag 0: plain; 1 (compressed) is not spoken here and ends the stream. Both directions are
 * bounded: a peer that announces or sends more than the maximum gets an error, never memory.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "base/slice.h"
#include "base/util.h"

#include <sys/types.h>

#define FRAME_HDR_BYTES	      5
#define FRAME_MAX_BYTES	      (4 * MIB)	 /* gRPC's customary maximum of one message */
#define FRAME_DECODED_MAX     (16 * MIB) /* heap of one decoded message: 2 bytes may become 100 */
#define BATCH_COST_BYTES      8192 /* that a batch takes of a scan's credit beside its own bytes */
#define FRAME_WRITE_MAX_BYTES (8 * MIB) /* queued and unsent */

/* Takes bytes as they come. Memory grows with what arrived, not with what was announced. */
struct frame_reader {
	uint8_t *buf;
	size_t off, len, cap; /* unread bytes are buf[off..len) */
	size_t max;	      /* bytes of one message */
};

void frame_reader_init(struct frame_reader *r, size_t max_bytes);
void frame_reader_done(struct frame_reader *r);
/* One read from fd. Bytes read; 0 at end of stream; -EAGAIN; -ENOMEM; another negative errno.
 * Invalidates the last message of frame_reader_next(). */
ssize_t frame_reader_fill(struct frame_reader *r, int fd);
/* The same from memory. 0 or -ENOMEM. */
int frame_reader_feed(struct frame_reader *r, struct slice bytes);
/* 1: *ret is a whole message, borrowed until the next fill or feed; 0: more bytes are needed;
 * -EMSGSIZE: announced length above the maximum; -EPROTO: unknown flag. After an error the stream
 * cannot be resynchronised: close it. */
int frame_reader_next(struct frame_reader *r, struct slice *ret);
/* Whether a part of a message is waiting for its rest. */
bool frame_reader_partial(const struct frame_reader *r);

/* A bounded queue of framed bytes. */
struct frame_writer {
	uint8_t *buf;
	size_t off, len, cap; /* unsent bytes are buf[off..len) */
	size_t max;	      /* unsent bytes at most */
};

void frame_writer_init(struct frame_writer *w, size_t max_bytes);
void frame_writer_done(struct frame_writer *w);
static inline size_t frame_writer_queued(const struct frame_writer *w)
{
	return w->len - w->off;
}
/* Queues a copy. 0; -EMSGSIZE when it can never be sent; -ENOBUFS when the queue is full now;
 * -ENOMEM. */
int frame_writer_push(struct frame_writer *w, struct slice message);
/* Writes what fd takes (MSG_NOSIGNAL; fd is a socket). 0: all sent; 1: some is left; negative
 * errno. */
int frame_writer_flush(struct frame_writer *w, int fd);

/* The base of a generated message or its description, as protobuf-c declares them. */
struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;

/* frame_writer_push() of a message, packed in place. */
int frame_writer_push_message(struct frame_writer *w, const struct ProtobufCMessage *m);
/* Decodes within FRAME_DECODED_MAX bytes of heap; fields that are not known are left out. 0;
 * -EBADMSG when the bytes are no such message or would take more. Free with frame_message_free(). */
int frame_message_parse(const struct ProtobufCMessageDescriptor *d, struct slice bytes,
			struct ProtobufCMessage **ret);
void frame_message_free(struct ProtobufCMessage *m);

#endif
