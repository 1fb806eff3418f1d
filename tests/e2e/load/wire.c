#include "wire.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "text.h"

void wire_reset(struct wire *w, bool response)
{
	*w = (struct wire){ .response = response };
}

static size_t copy_text(char *out, size_t room, const char *s, size_t n)
{
	if (n >= room)
		n = room - 1;
	memcpy(out, s, n);
	out[n] = '\0';
	return n;
}

static int read_version(struct wire_msg *m, const char *s, size_t n)
{
	if (n != 8 || memcmp(s, "HTTP/1.", 7) != 0 || s[7] < '0' || s[7] > '1')
		return -EBADMSG;
	m->minor = (uint8_t)(s[7] - '0');
	m->keep_alive = m->minor == 1;
	return 0;
}

static int read_status_line(struct wire_msg *m, const char *s, size_t n)
{
	uint64_t v;

	if (n < 12 || s[8] != ' ' || text_u64(s + 9, 3, &v) < 0)
		return -EBADMSG;
	m->status = (uint16_t)v;
	return read_version(m, s, 8);
}

static int read_request_line(struct wire_msg *m, const char *s, size_t n)
{
	const char *sp = memchr(s, ' ', n);
	const char *end = s + n;
	const char *sp2;

	if (!sp)
		return -EBADMSG;
	sp2 = memchr(sp + 1, ' ', (size_t)(end - sp - 1));
	if (!sp2 || (size_t)(sp - s) >= sizeof(m->method))
		return -EBADMSG;
	copy_text(m->method, sizeof(m->method), s, (size_t)(sp - s));
	copy_text(m->target, sizeof(m->target), sp + 1, (size_t)(sp2 - sp - 1));
	return read_version(m, sp2 + 1, (size_t)(end - sp2 - 1));
}

static int on_length(struct wire_msg *m, const char *v, size_t n)
{
	m->has_length = true;
	return text_u64(v, n, &m->length);
}

static int on_encoding(struct wire_msg *m, const char *v, size_t n)
{
	m->chunked = n >= 7 && strncasecmp(v + n - 7, "chunked", 7) == 0;
	return 0;
}

static int on_connection(struct wire_msg *m, const char *v, size_t n)
{
	if (n == 5 && strncasecmp(v, "close", 5) == 0)
		m->keep_alive = false;
	else if (n == 10 && strncasecmp(v, "keep-alive", 10) == 0)
		m->keep_alive = true;
	return 0;
}

static int on_expect(struct wire_msg *m, const char *v, size_t n)
{
	m->expect_continue = n == 12 && strncasecmp(v, "100-continue", 12) == 0;
	return 0;
}

static int on_seq(struct wire_msg *m, const char *v, size_t n)
{
	m->has_seq = true;
	return text_u64(v, n, &m->seq);
}

static int on_todo(struct wire_msg *m, const char *v, size_t n)
{
	uint32_t *const field[] = { &m->todo.status, &m->todo.body_bytes, &m->todo.flags,
				    &m->todo.delay_ms };
	const char *end = v + n;

	for (size_t i = 0; i < 4; i++) {
		const char *sp = v < end ? memchr(v, ' ', (size_t)(end - v)) : NULL;
		uint64_t x = 0;

		if (!sp)
			sp = end;
		if (text_hex(v, (size_t)(sp - v), &x) < 0 || x > UINT32_MAX)
			return -EBADMSG;
		*field[i] = (uint32_t)x;
		v = sp < end ? sp + 1 : end;
	}
	m->has_do = true;
	return 0;
}

static int on_traceparent(struct wire_msg *m, const char *v, size_t n)
{
	if (n >= 35)
		copy_text(m->trace_id, sizeof(m->trace_id), v + 3, 32);
	return 0;
}

static const struct {
	const char *name;
	size_t n;
	int (*read)(struct wire_msg *m, const char *v, size_t n);
} fields[] = {
	{ "content-length", 14, on_length },
	{ "transfer-encoding", 17, on_encoding },
	{ "connection", 10, on_connection },
	{ "expect", 6, on_expect },
	{ "x-seq", 5, on_seq },
	{ "x-do", 4, on_todo },
	{ "traceparent", 11, on_traceparent },
};

static int read_field(struct wire_msg *m, const char *s, size_t n)
{
	const char *colon = memchr(s, ':', n);
	size_t name_len;
	const char *v;

	if (!colon)
		return -EBADMSG;
	name_len = (size_t)(colon - s);
	v = colon + 1;
	n -= name_len + 1;
	while (n && (*v == ' ' || *v == '\t')) {
		v++;
		n--;
	}
	while (n && (v[n - 1] == ' ' || v[n - 1] == '\t'))
		n--;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].n == name_len && strncasecmp(fields[i].name, s, name_len) == 0)
			return fields[i].read(m, v, n);
	return 0;
}

/* One line of buf[at..n) without its end. Returns its length with the end, 0 when it is not all
 * there yet. */
static size_t line_at(const char *buf, size_t n, size_t at, size_t *ret_text)
{
	const char *nl = at < n ? memchr(buf + at, '\n', n - at) : NULL;
	size_t len;

	if (!nl)
		return 0;
	len = (size_t)(nl - (buf + at));
	*ret_text = len > 0 && buf[at + len - 1] == '\r' ? len - 1 : len;
	return len + 1;
}

static void choose_framing(struct wire *w)
{
	struct wire_msg *m = &w->msg;
	bool bodiless = w->response &&
			(w->no_body || m->status < 200 || m->status == 204 || m->status == 304);

	w->left = 0;
	if (bodiless) {
		w->state = WIRE_DONE;
	} else if (m->chunked) {
		w->state = WIRE_CHUNK_SIZE;
	} else if (m->has_length) {
		w->left = m->length;
		w->state = m->length ? WIRE_LENGTH : WIRE_DONE;
	} else if (w->response) {
		w->state = WIRE_UNTIL_CLOSE;
		m->keep_alive = false;
	} else {
		w->state = WIRE_DONE;
	}
}

static int feed_head(struct wire *w, const char *buf, size_t n, size_t *ret_used)
{
	size_t at = 0, text = 0, len;
	bool start = true;
	int r;

	/* A head is read in one go: come back when its last line is there. */
	if (!memmem(buf, n, "\r\n\r\n", 4) && !memmem(buf, n, "\n\n", 2))
		return n > 60000 ? -EBADMSG : 0;
	while ((len = line_at(buf, n, at, &text)) > 0) {
		const char *line = buf + at;

		at += len;
		if (start && text == 0)
			continue;
		if (text == 0) {
			w->msg.head_bytes = at;
			*ret_used = at;
			choose_framing(w);
			return 0;
		}
		r = start ? (w->response ? read_status_line(&w->msg, line, text)
					 : read_request_line(&w->msg, line, text))
			  : read_field(&w->msg, line, text);
		if (r < 0)
			return -EBADMSG;
		start = false;
	}
	w->msg = (struct wire_msg){ 0 };
	return 0;
}

/* A line of the chunked framing: a size with extensions, the end of a chunk, a trailer field. */
static int feed_line(struct wire *w, const char *buf, size_t n, size_t *ret_used)
{
	size_t text = 0, digits = 0;
	size_t len = line_at(buf, n, 0, &text);

	if (len == 0)
		return n > 16000 ? -EBADMSG : 0;
	w->msg.framed_bytes += len;
	*ret_used = len;
	switch (w->state) {
	case WIRE_CHUNK_SIZE:
		while (digits < text && buf[digits] != ';' && buf[digits] != ' ')
			digits++;
		if (text_hex(buf, digits, &w->left) < 0)
			return -EBADMSG;
		w->state = w->left ? WIRE_CHUNK_DATA : WIRE_TRAILER;
		return 0;
	case WIRE_CHUNK_END:
		w->state = WIRE_CHUNK_SIZE;
		return text == 0 ? 0 : -EBADMSG;
	default:
		w->state = text == 0 ? WIRE_DONE : WIRE_TRAILER;
		return 0;
	}
}

static void feed_body(struct wire *w, size_t n, size_t *ret_used)
{
	size_t take = w->state == WIRE_UNTIL_CLOSE || w->left > n ? n : (size_t)w->left;

	w->msg.body_bytes += take;
	w->msg.framed_bytes += take;
	*ret_used = take;
	if (w->state == WIRE_UNTIL_CLOSE)
		return;
	w->left -= take;
	if (w->left == 0)
		w->state = w->state == WIRE_LENGTH ? WIRE_DONE : WIRE_CHUNK_END;
}

int wire_feed(struct wire *w, const char *buf, size_t n, size_t *ret_used)
{
	size_t used = 0;

	while (used < n && w->state != WIRE_DONE) {
		size_t step = 0;
		int r = 0;

		if (w->state == WIRE_HEAD)
			r = feed_head(w, buf + used, n - used, &step);
		else if (w->state == WIRE_LENGTH || w->state == WIRE_CHUNK_DATA ||
			 w->state == WIRE_UNTIL_CLOSE)
			feed_body(w, n - used, &step);
		else
			r = feed_line(w, buf + used, n - used, &step);
		if (r < 0)
			return r;
		if (step == 0)
			break;
		used += step;
	}
	*ret_used = used;
	return 0;
}

bool wire_eof(struct wire *w)
{
	if (w->state != WIRE_UNTIL_CLOSE)
		return false;
	w->state = WIRE_DONE;
	return true;
}
