/* Nanoseconds per exchange of the HTTP/1 parser alone: both directions from memory through
 * proto_drive() into a sink that only counts, keep-alive, one exchange at a time. CPU time. */
#include "protocols/protocol.h"
#include "base/util.h"

#include <stdio.h>
#include <time.h>

#define ROUNDS 1000000

static uint64_t fields;

static void on_begin(void *ctx, enum msg_kind kind, enum dir dir, uint64_t key, uint64_t off)
{
	(void)ctx, (void)kind, (void)dir, (void)key, (void)off;
	fields++;
}

static void on_field(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, struct slice v)
{
	(void)ctx, (void)kind, (void)key, (void)f;
	fields += v.n > 0;
}

static void on_num(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, int64_t v)
{
	(void)ctx, (void)kind, (void)key, (void)f, (void)v;
	fields++;
}

static void on_end(void *ctx, enum msg_kind kind, uint64_t key, uint64_t off, uint32_t flags)
{
	(void)ctx, (void)kind, (void)key, (void)off, (void)flags;
	fields++;
}

static const struct sink_ops ops = {
	.begin = on_begin, .field = on_field, .num = on_num, .end = on_end
};

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void bench(const char *name, struct slice request, struct slice response)
{
	const struct proto_ops *http = proto_get(PROTO_HTTP1);
	_cleanup_(freep) void *st = calloc(1, http->state_size);
	struct sink sink = { .ops = &ops };
	uint64_t off[2] = { 0, 0 };
	double from = now_ns(), ns;

	http->init(st, DIR_RX, false);
	for (size_t i = 0; i < ROUNDS; i++) {
		struct parse_in in = { .buf = request, .off = off[0], .dir = DIR_RX };

		off[0] += proto_drive(http, st, in, &sink).consumed;
		in = (struct parse_in){ .buf = response, .off = off[1], .dir = DIR_TX };
		off[1] += proto_drive(http, st, in, &sink).consumed;
	}
	ns = (now_ns() - from) / ROUNDS;
	if (sink.ends != 2 * ROUNDS)
		printf("%s: wrong, %llu messages\n", name, (unsigned long long)sink.ends);
	printf("http1 %-10s %4zu + %4zu bytes: %4.0f ns per exchange, %.2f GB/s\n", name, request.n,
	       response.n, ns, (double)(request.n + response.n) / ns);
}

int main(void)
{
	bench("small", SLICE_LIT("GET /a HTTP/1.1\r\nHost: shop\r\n\r\n"),
	      SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
	bench("typical",
	      SLICE_LIT(
		      "GET /v1/orders/4711?page=2 HTTP/1.1\r\nHost: shop.example:8080\r\n"
		      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/115.0\r\n"
		      "Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\n"
		      "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
		      "Connection: keep-alive\r\n\r\n"),
	      SLICE_LIT("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 02 Jan 2006 "
			"15:04:05 GMT\r\n"
			"Content-Type: application/json\r\nContent-Length: 40\r\n"
			"Connection: keep-alive\r\n\r\n{\"id\": 4711, \"state\": \"paid\", "
			"\"total\": 1}"));
	bench("chunked",
	      SLICE_LIT("POST /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"
			"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"),
	      SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
			"chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
	return fields ? 0 : 1;
}
