#include "reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plan.h"
#include "text.h"

__attribute__((format(printf, 2, 3))) static size_t put_format(struct outq *q, const char *fmt, ...)
{
	char *p = outq_reserve(q, 512);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(p, 512, fmt, ap);
	va_end(ap);
	q->tail += (size_t)n;
	return (size_t)n;
}

static const char *reason(unsigned int status)
{
	switch (status / 100) {
	case 1:
		return "Switching Protocols";
	case 2:
		return status == 204 ? "No Content" : "OK";
	case 3:
		return "Elsewhere";
	case 4:
		return "Refused";
	default:
		return "";
	}
}

size_t reply_put_continue(struct outq *q)
{
	return put_format(q, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* Sizes vary from chunk to chunk; large bodies get large chunks. */
static size_t chunk_bytes(uint64_t seq, size_t done, size_t left)
{
	size_t most = left > 65536 ? 65536 : 3000;
	size_t n = 1 + (size_t)(text_mix(seq + done) % most);

	return n < left ? n : left;
}

static void put_chunks(struct outq *q, const struct wire_msg *req, struct reply *r)
{
	size_t total = req->todo.body_bytes;
	bool extras = req->todo.flags & PLAN_CHUNK_EXTRAS;

	for (size_t done = 0; done < total;) {
		size_t n = chunk_bytes(req->seq, done, total - done);

		r->framed_bytes += put_format(q, extras ? "%zX;part=\"a;b\";last\r\n" : "%zx\r\n",
					      n);
		outq_put_pattern(q, n);
		r->framed_bytes += n + put_format(q, "\r\n");
		done += n;
	}
	r->body_bytes += total;
	r->framed_bytes += put_format(q, extras ? "000;end\r\nX-Sum: 12ab\r\nX-Done: yes, 0\r\n\r\n"
						: "0\r\n\r\n");
}

static void put_body(struct outq *q, const struct wire_msg *req, bool use_file, struct reply *r)
{
	size_t n = req->todo.body_bytes;

	if (req->todo.flags & PLAN_RESP_CHUNKED) {
		if (!(req->todo.flags & PLAN_EVENTS))
			put_chunks(q, req, r);
		return;
	}
	r->body_bytes = r->framed_bytes = n;
	if (use_file && n > 0) {
		q->file_at = 0;
		q->file_left = n;
		r->by_file = true;
	} else {
		outq_put_pattern(q, n);
	}
}

void reply_put(struct outq *q, const struct wire_msg *req, bool use_file, struct reply *r)
{
	uint32_t flags = req->todo.flags;
	unsigned int status = req->todo.status;
	bool tunnel = flags & PLAN_TUNNEL;
	bool bodiless = tunnel || (flags & PLAN_BODILESS) || strcmp(req->method, "HEAD") == 0;
	size_t head;

	*r = (struct reply){ .keep_alive = req->keep_alive && !(flags & PLAN_UNTIL_CLOSE) };
	if (flags & PLAN_EARLY_HINTS)
		r->interim_bytes = put_format(
			q, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
	head = put_format(q,
			  "HTTP/1.%u %u %s\r\nServer: kelpie-echo\r\n"
			  "Content-Type: application/x-seq.%llu\r\nX-Seq: %llu\r\n",
			  req->minor, status, reason(status), (unsigned long long)req->seq,
			  (unsigned long long)req->seq);
	if (tunnel && status == 101)
		head += put_format(q, "Connection: Upgrade\r\nUpgrade: kelpie-echo\r\n");
	else if (!r->keep_alive && !tunnel)
		head += put_format(q, "Connection: close\r\n");
	else if (req->minor == 0)
		head += put_format(q, "Connection: keep-alive\r\n");
	if (flags & PLAN_RESP_CHUNKED)
		head += put_format(q, "Transfer-Encoding: chunked\r\n%s",
				   flags & PLAN_CHUNK_EXTRAS ? "Trailer: X-Sum, X-Done\r\n" : "");
	else if (!tunnel && status != 204 && !(flags & PLAN_UNTIL_CLOSE))
		head += put_format(q, "Content-Length: %u\r\n", req->todo.body_bytes);
	head += put_format(q, "\r\n");
	if (!bodiless)
		put_body(q, req, use_file, r);
	r->bytes = head + r->framed_bytes;
}

void reply_put_event(struct outq *q, struct reply *r, uint64_t seq, unsigned int number)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "id: %u\ndata: event %u of %llu\n\n", number, number,
			 (unsigned long long)seq);
	size_t framed = put_format(q, "%x\r\n%s\r\n", (unsigned int)n, text);

	r->body_bytes += (size_t)n;
	r->framed_bytes += framed;
	r->bytes += framed;
}

void reply_put_event_end(struct outq *q, struct reply *r)
{
	size_t framed = put_format(q, "0\r\n\r\n");

	r->framed_bytes += framed;
	r->bytes += framed;
}
