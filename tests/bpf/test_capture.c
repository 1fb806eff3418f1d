#include "harness.h"
#include "tests/lib/test.h"
#include "ops.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define OP_BYTES 3000u
#define OPS_MAX	 64

/* What the child did, in memory that both see. */
struct script {
	uint16_t client_port, server_port;
	int family;
	bool mapped;
	uint64_t c2s;  /* bytes sent so far, client to server */
	size_t n;
	struct {
		const char *sender, *receiver;
		uint64_t from, to;
		enum seen tx, rx;
		bool moved;
	} ops[OPS_MAX];
};

static struct script *script;
static enum capture_rung rung;
static enum capture_read reads;

static struct script *script_new(void)
{
	void *p = mmap(NULL, sizeof(struct script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 a = { 0 };
	socklen_t n = sizeof(a);

	getsockname(fd, (struct sockaddr *)&a, &n);
	return ntohs(a.sin6_port); /* same place as sin_port */
}

/* A connected pair over loopback; the ports go into the script. */
static int connect_pair(int *client, int *server)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	bool v6 = script->family == AF_INET6;
	struct sockaddr *a = v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
	socklen_t n = v6 ? sizeof(a6) : sizeof(a4);
	int l = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

	if (script->mapped)
		inet_pton(AF_INET6, "::ffff:127.0.0.1", &a6.sin6_addr);
	if (bind(l, a, n) || listen(l, 4) || getsockname(l, a, &n))
		return -1;
	*client = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	if (connect(*client, a, n))
		return -1;
	*server = accept(l, NULL, NULL);
	close(l);
	script->client_port = port_of(*client);
	script->server_port = port_of(*server);
	return *server < 0 ? -1 : 0;
}

static void fill(uint8_t *buf, uint64_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = pattern(from + i);
}

/* Sends with one op, receives with the other. */
static int move(int client, int server, const struct op *s, const struct op *r, size_t n)
{
	size_t i = script->n++;
	uint8_t *buf = malloc(n);

	script->ops[i].sender = s->name;
	script->ops[i].receiver = r->name;
	script->ops[i].from = script->c2s;
	script->ops[i].to = script->c2s += n;
	script->ops[i].tx = s->seen;
	script->ops[i].rx = r->seen;
	fill(buf, script->ops[i].from, n);
	script->ops[i].moved = s->move(client, buf, n) == (ssize_t)n &&
			       r->move(server, buf, n) == (ssize_t)n;
	free(buf);
	return script->ops[i].moved ? 0 : 1;
}

static int matrix(void *arg)
{
	int client, server, bad = 0;

	(void)arg;
	if (connect_pair(&client, &server))
		return 2;
	for (size_t i = 0; senders[i].name; i++)
		bad |= move(client, server, &senders[i], &receivers[0], OP_BYTES);
	for (size_t i = 0; receivers[i].name; i++)
		bad |= move(client, server, &senders[0], &receivers[i], OP_BYTES);
	bad |= move(client, server, &senders[0], &receivers[0], 1);
	close(client);
	close(server);
	return bad;
}

static int expected(enum seen seen)
{
	bool length = rung == CAPTURE_RUNG_SOCKLEN;

	switch (seen) {
	case SEEN_CAPTURED:
		return BYTE_CAPTURED;
	case SEEN_HOLE:
		return BYTE_HOLE;
	case SEEN_HOLE_LENGTH:
		return length ? BYTE_HOLE : BYTE_UNSEEN;
	case SEEN_HOLE_SYSCALL:
	default:
		return length ? BYTE_UNSEEN : BYTE_HOLE;
	}
}

static bool start(struct harness *h, const struct capture_opts *more)
{
	struct capture_opts o = more ? *more : (struct capture_opts){ 0 };
	int r;

	o.rung = rung;
	o.read = reads;
	o.probe_budget_bytes = o.probe_budget_bytes ? o.probe_budget_bytes : 1ULL << 40;
	r = harness_start(h, &o);
	if (r == -ENOTSUP) {
		test_skip("this kernel has no such rung");
		return false;
	}
	return EXPECT_EQ(r, 0);
}

static void check_balance(struct harness *h)
{
	EXPECT_EQ(harness_balance(h, "bytes"), 0);
	EXPECT_EQ(harness_balance(h, "calls"), 0);
	EXPECT_EQ(harness_balance(h, "records"), 0);
	EXPECT_EQ(harness_balance(h, "connections"), 0);
	EXPECT_EQ(h->unknown, 0);
	EXPECT_EQ(capture_missed_runs(h->cap), 0);
}

static void check_ends(const struct side *c, const struct side *s)
{
	EXPECT(c->open.isn_known && s->open.isn_known);
	EXPECT_EQ(c->open.isn[EV_TX], s->open.isn[EV_RX]);
	EXPECT_EQ(c->open.isn[EV_RX], s->open.isn[EV_TX]);
	EXPECT_EQ(c->open.initiator, EV_INITIATOR_LOCAL);
	EXPECT_EQ(s->open.initiator, EV_INITIATOR_REMOTE);
	EXPECT(c->closed && s->closed);
	EXPECT_EQ(c->close.pos[EV_TX], script->c2s);
	EXPECT_EQ(s->close.pos[EV_RX], script->c2s);
	EXPECT_EQ(c->unordered + s->unordered, 0);
}

static void check_matrix(struct harness *h)
{
	struct side *c = harness_side(h, script->client_port, script->server_port);
	struct side *s = harness_side(h, script->server_port, script->client_port);

	ASSERT(c && s);
	check_ends(c, s);
	for (size_t i = 0; i < script->n; i++) {
		int tx = side_state(c, EV_TX, script->ops[i].from, script->ops[i].to);
		int rx = side_state(s, EV_RX, script->ops[i].from, script->ops[i].to);

		if (tx != expected(script->ops[i].tx) || rx != expected(script->ops[i].rx) ||
		    !script->ops[i].moved)
			printf("# %s, %s: moved %d, sender's end %d, receiver's end %d\n",
			       script->ops[i].sender, script->ops[i].receiver, script->ops[i].moved, tx, rx);
		EXPECT_EQ(tx, expected(script->ops[i].tx));
		EXPECT_EQ(rx, expected(script->ops[i].rx));
	}
}

static void run_matrix(int family, bool mapped)
{
	struct harness h;

	script = script_new();
	script->family = family;
	script->mapped = mapped;
	if (!start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, matrix, NULL), 0);
	check_matrix(&h);
	check_balance(&h);
	harness_stop(&h);
}

static void test_capture__matrix_ipv4(void) { run_matrix(AF_INET, false); }
static void test_capture__matrix_ipv6(void) { run_matrix(AF_INET6, false); }
static void test_capture__matrix_mapped(void) { run_matrix(AF_INET6, true); }

/* One call each way of 1 MiB, the receive buffers large enough that the calls are single. */
#define MIB_BYTES (1u << 20)

static int one_mebibyte(void *arg)
{
	int client, server, size = 4 << 20;
	uint8_t *buf = malloc(MIB_BYTES);

	(void)arg;
	if (connect_pair(&client, &server))
		return 2;
	setsockopt(server, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(client, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	fill(buf, 0, MIB_BYTES);
	if (write(client, buf, MIB_BYTES) != MIB_BYTES)
		return 3;
	usleep(100000);
	script->c2s = MIB_BYTES;
	if (recv(server, buf, MIB_BYTES, MSG_WAITALL) != MIB_BYTES)
		return 4;
	close(client);
	close(server);
	return 0;
}

static void test_capture__one_mebibyte(void)
{
	struct harness h;
	struct side *c, *s;

	script = script_new();
	if (!start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, one_mebibyte, NULL), 0);
	c = harness_side(&h, script->client_port, script->server_port);
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(c && s);
	EXPECT_EQ(side_state(c, EV_TX, 0, MIB_BYTES), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, 0, MIB_BYTES), BYTE_CAPTURED);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT), 2 * MIB_BYTES);
	EXPECT_EQ(harness_counter(&h, BC_CALLS_IN), 2);
	printf("# records: %llu sent, %llu received\n", (unsigned long long)c->records[EV_TX],
	       (unsigned long long)s->records[EV_RX]);
	check_balance(&h);
	harness_stop(&h);
}

static const struct test_case cases[] = {
	TEST(test_capture__matrix_ipv4),
	TEST(test_capture__matrix_ipv6),
	TEST(test_capture__matrix_mapped),
	TEST(test_capture__one_mebibyte),
};

/* test_capture RUNG READ [CASE]: the same cases on every rung and both ways to read. */
int main(int argc, char **argv)
{
	if (argc < 3) {
		printf("usage: test_capture RUNG btf|probe [CASE]\n");
		return 2;
	}
	rung = capture_rung_parse(argv[1]);
	reads = capture_read_parse(argv[2]);
	if (geteuid() != 0) {
		printf("skip test_capture: needs root\n");
		return 0;
	}
	return test_run(cases, ARRAY_SIZE(cases), argc - 2, argv + 2);
}
