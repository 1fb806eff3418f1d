/* Length-prefixed messages on a stream socket. */
#include "proto/frame.h"

#include "base/bytes.h"

#include <errno.h>
#include <protobuf-c/protobuf-c.h>
#include <sys/socket.h>

#define READ_STEP_BYTES (64 * KIB)
#define KEEP_BYTES	(256 * KIB) /* an idle buffer above this is given back */

/* Room for n more bytes at *len: moves the unread part to the front, then grows by doubling. */
static int make_room(uint8_t **buf, size_t *off, size_t *len, size_t *cap, size_t n)
{
	size_t want, unread = *len - *off;
	uint8_t *p;

	if (*cap - *len >= n)
		return 0;
	if (*off > 0) {
		memmove(*buf, *buf + *off, unread);
		*off = 0;
		*len = unread;
	}
	if (*cap - *len >= n)
		return 0;
	if (ckd_add(&want, unread, n))
		return -ENOMEM;
	want = MAX(MAX(want, 2 * *cap), KIB);
	p = realloc(*buf, want);
	if (!p)
		return -ENOMEM;
	*buf = p;
	*cap = want;
	return 0;
}

/* An emptied buffer starts at the front again, and a large one is freed. */
static void settle(uint8_t **buf, size_t *off, size_t *len, size_t *cap)
{
	if (*off < *len)
		return;
	*off = *len = 0;
	if (*cap > KEEP_BYTES) {
		free(*buf);
		*buf = NULL;
		*cap = 0;
	}
}

void frame_reader_init(struct frame_reader *r, size_t max_bytes)
{
	*r = (struct frame_reader){ .max = max_bytes };
}

void frame_reader_done(struct frame_reader *r)
{
	free(r->buf);
	*r = (struct frame_reader){ .max = r->max };
}

ssize_t frame_reader_fill(struct frame_reader *r, int fd)
{
	ssize_t n;
	int err;

	settle(&r->buf, &r->off, &r->len, &r->cap);
	err = make_room(&r->buf, &r->off, &r->len, &r->cap, READ_STEP_BYTES);
	if (err < 0)
		return err;
	do {
		n = recv(fd, r->buf + r->len, r->cap - r->len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r->len += (size_t)n;
	return n;
}

int frame_reader_feed(struct frame_reader *r, struct slice bytes)
{
	int err;

	settle(&r->buf, &r->off, &r->len, &r->cap);
	err = make_room(&r->buf, &r->off, &r->len, &r->cap, bytes.n);
	if (err < 0)
		return err;
	if (bytes.n)
		memcpy(r->buf + r->len, bytes.p, bytes.n);
	r->len += bytes.n;
	return 0;
}

int frame_reader_next(struct frame_reader *r, struct slice *ret)
{
	struct reader in = { 0 };
	struct slice body;
	uint8_t flag;
	size_t length;

	if (r->len - r->off < FRAME_HDR_BYTES)
		return 0;
	in = reader_of(slice_of(r->buf + r->off, r->len - r->off));
	flag = read_u8(&in);
	length = read_be32(&in);
	if (flag != 0)
		return -EPROTO;
	if (length > r->max)
		return -EMSGSIZE;
	if (reader_left(&in) < length)
		return 0;
	body = read_bytes(&in, length);
	r->off += FRAME_HDR_BYTES + length;
	*ret = body;
	return 1;
}

bool frame_reader_partial(const struct frame_reader *r)
{
	return r->off < r->len;
}

void frame_writer_init(struct frame_writer *w, size_t max_bytes)
{
	*w = (struct frame_writer){ .max = max_bytes };
}

void frame_writer_done(struct frame_writer *w)
{
	free(w->buf);
	*w = (struct frame_writer){ .max = w->max };
}

/* A header and room for n bytes behind it; *ret points at the room. */
static int begin_frame(struct frame_writer *w, size_t n, uint8_t **ret)
{
	int err;

	if (n > FRAME_MAX_BYTES || n + FRAME_HDR_BYTES > w->max)
		return -EMSGSIZE;
	if (frame_writer_queued(w) + FRAME_HDR_BYTES + n > w->max)
		return -ENOBUFS;
	settle(&w->buf, &w->off, &w->len, &w->cap);
	err = make_room(&w->buf, &w->off, &w->len, &w->cap, FRAME_HDR_BYTES + n);
	if (err < 0)
		return err;
	w->buf[w->len] = 0;
	put_be(w->buf + w->len + 1, n, 4);
	*ret = w->buf + w->len + FRAME_HDR_BYTES;
	w->len += FRAME_HDR_BYTES + n;
	return 0;
}

int frame_writer_push(struct frame_writer *w, struct slice message)
{
	uint8_t *body;
	int err = begin_frame(w, message.n, &body);

	if (err == 0 && message.n)
		memcpy(body, message.p, message.n);
	return err;
}

int frame_writer_flush(struct frame_writer *w, int fd)
{
	while (w->off < w->len) {
		ssize_t n = send(fd, w->buf + w->off, w->len - w->off, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 1 : -errno;
		w->off += (size_t)n;
	}
	settle(&w->buf, &w->off, &w->len, &w->cap);
	return 0;
}

int frame_writer_push_message(struct frame_writer *w, const struct ProtobufCMessage *m)
{
	uint8_t *body;
	int err = begin_frame(w, protobuf_c_message_get_packed_size(m), &body);

	if (err == 0)
		protobuf_c_message_pack(m, body);
	return err;
}

/* protobuf-c allocates a structure for each nested message, however short it was on the wire: the
 * sum is what is bounded. */
static void *bounded_alloc(void *data, size_t size)
{
	size_t *left = data;

	if (size > *left)
		return NULL;
	*left -= size;
	return malloc(size);
}

static void bounded_free(void *data, void *p)
{
	(void)data;
	free(p);
}

static bool forget_unknown(ProtobufCMessage *m);

/* Of the messages in this field. */
static bool forget_inside(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const uint8_t *base = (const uint8_t *)m;
	ProtobufCMessage *const *one = (const void *)(base + f->offset);
	ProtobufCMessage *const *many;
	bool zero = false;
	size_t n;

	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
	    *(const uint32_t *)(const void *)(base + f->quantifier_offset) != f->id)
		return false;
	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return *one && forget_unknown(*one);
	n = *(const size_t *)(const void *)(base + f->quantifier_offset);
	many = *(ProtobufCMessage *const *const *)(const void *)(base + f->offset);
	for (size_t i = 0; i < n; i++)
		zero |= forget_unknown(many[i]);
	return zero;
}

/* Fields of a later version go: nobody reads them, and a message that is kept would hold them at many
 * times what they were on the wire. True: one had number 0, which no field has. protobuf-c refuses
 * that, but not where it is written in more bytes than it needs. Our messages do not contain
 * themselves, so this ends. */
static bool forget_unknown(ProtobufCMessage *m)
{
	bool zero = false;

	for (unsigned int i = 0; i < m->n_unknown_fields; i++) {
		zero |= m->unknown_fields[i].tag == 0;
		free(m->unknown_fields[i].data);
	}
	free(m->unknown_fields);
	m->unknown_fields = NULL;
	m->n_unknown_fields = 0;
	for (unsigned int i = 0; i < m->descriptor->n_fields; i++)
		zero |= forget_inside(m, &m->descriptor->fields[i]);
	return zero;
}

int frame_message_parse(const struct ProtobufCMessageDescriptor *d, struct slice bytes,
			struct ProtobufCMessage **ret)
{
	size_t left = FRAME_DECODED_MAX;
	ProtobufCAllocator bounded = { bounded_alloc, bounded_free, &left };
	ProtobufCMessage *m = protobuf_c_message_unpack(d, &bounded, bytes.n, bytes.p);

	if (m && forget_unknown(m)) {
		frame_message_free(m);
		return -EBADMSG;
	}
	if (!m)
		return -EBADMSG;
	*ret = m;
	return 0;
}

void frame_message_free(struct ProtobufCMessage *m)
{
	protobuf_c_message_free_unpacked(m, NULL);
}
