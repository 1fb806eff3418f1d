#include "tests/lib/test.h"
#include "script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

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
	script_check(c, s);
}

static void run_matrix(int family, bool mapped)
{
	struct harness h;

	script = script_new();
	ASSERT(script != NULL);
	script->family = family;
	script->mapped = mapped;
	if (!script_start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, script_matrix, NULL), 0);
	check_matrix(&h);
	script_balance(&h);
	harness_stop(&h);
}

static void test_capture__matrix_ipv4(void)
{
	run_matrix(AF_INET, false);
}
static void test_capture__matrix_ipv6(void)
{
	run_matrix(AF_INET6, false);
}
static void test_capture__matrix_mapped(void)
{
	run_matrix(AF_INET6, true);
}

/* A thread with a name of its own does all the work. */
static void *threads_work(void *arg)
{
	int client, server;

	prctl(PR_SET_NAME, "its-own-name");
	if (script_connect(&client, &server))
		return arg;
	*(int *)arg = script_move(client, server, &senders[0], &receivers[0], OP_BYTES);
	close(client);
	close(server);
	return arg;
}

static int thread_with_a_name(void *arg)
{
	pthread_t thread;
	int bad = 1;

	(void)arg;
	prctl(PR_SET_NAME, "the-process");
	if (pthread_create(&thread, NULL, threads_work, &bad) || pthread_join(thread, NULL))
		return 2;
	return bad;
}

/* capture.allow and capture.deny name processes. */
static void test_capture__name_of_the_process(void)
{
	struct harness h;
	struct side *c, *s;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, thread_with_a_name, NULL), 0);
	c = harness_side(&h, script->client_port, script->server_port);
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(c && s);
	EXPECT_STR(c->open.comm, "the-process");
	EXPECT_STR(s->open.comm, "the-process");
	harness_stop(&h);
}

/* One call each way of 1 MiB, the receive buffers large enough that the calls are single. */
#define MIB_BYTES (1u << 20)

static int one_mebibyte(void *arg)
{
	int client, server, size = 4 << 20;
	uint8_t *buf = malloc(MIB_BYTES);

	(void)arg;
	if (script_connect(&client, &server))
		return 2;
	setsockopt(server, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(client, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	script_fill(buf, 0, MIB_BYTES);
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
	if (!script_start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, one_mebibyte, NULL), 0);
	c = harness_side(&h, script->client_port, script->server_port);
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(c && s);
	EXPECT_EQ(side_state(c, EV_TX, 0, MIB_BYTES), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, 0, MIB_BYTES), BYTE_CAPTURED);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT), 2 * MIB_BYTES);
	EXPECT_EQ(harness_counter(&h, BC_CALLS_OUT), 2);
	printf("# records: %llu sent, %llu received\n", (unsigned long long)c->records[EV_TX],
	       (unsigned long long)s->records[EV_RX]);
	script_balance(&h);
	harness_stop(&h);
}

/* A connection made and used before the capture starts, in a child that waits for the word. */
struct gate {
	int ready[2], go[2];
};

static struct gate gate;
static uint64_t old_bytes;

static int old_connection(void *arg)
{
	int client, server;
	char c = 0;

	(void)arg;
	if (script_connect(&client, &server))
		return 2;
	for (int i = 0; i < 20; i++)
		if (script_move(client, server, &senders[0], &receivers[0], OP_BYTES) ||
		    script_move(server, client, &senders[0], &receivers[0], 77))
			return 3;
	script->c2s = (uint64_t)20 * OP_BYTES;
	script->n = 0;
	if (write(gate.ready[1], "r", 1) != 1 || read(gate.go[0], &c, 1) != 1)
		return 4;
	if (script_move(client, server, &senders[0], &receivers[0], OP_BYTES))
		return 5;
	close(client);
	close(server);
	return 0;
}

static void check_old(struct harness *h)
{
	struct side *c = harness_side(h, script->client_port, script->server_port);
	struct side *s = harness_side(h, script->server_port, script->client_port);

	ASSERT(c && s);
	check_ends(c, s);
	EXPECT(c->open.h.flags & EV_F_OLD);
	EXPECT(s->open.h.flags & EV_F_OLD);
	EXPECT(c->open.tgid && c->open.inode && c->open.netns && c->open.comm[0]);
	EXPECT_EQ(c->open.pos[EV_TX], old_bytes);
	EXPECT_EQ(s->open.pos[EV_RX], old_bytes);
	EXPECT_EQ(c->open.pos[EV_RX], 20 * 77);
	EXPECT_EQ(side_state(c, EV_TX, old_bytes, old_bytes + OP_BYTES), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, old_bytes, old_bytes + OP_BYTES), BYTE_CAPTURED);
}

static int wait_for_child(void *arg)
{
	int status = -1;

	return write(gate.go[1], "g", 1) == 1 && waitpid(*(pid_t *)arg, &status, 0) > 0 ? status
											: 9;
}

static void test_capture__older_connection(void)
{
	struct harness h;
	uint64_t found = 0;
	int status = -1;
	char c;
	pid_t pid;

	script = script_new();
	ASSERT(pipe(gate.ready) == 0 && pipe(gate.go) == 0);
	pid = harness_fork(old_connection, NULL);
	ASSERT(read(gate.ready[0], &c, 1) == 1);
	old_bytes = script->c2s;
	if (!script_start(&h, NULL)) {
		wait_for_child(&pid);
		return;
	}
	EXPECT_EQ(capture_walk(h.cap, &found), 0);
	EXPECT(found >= 2);
	harness_drain(&h);
	ASSERT(write(gate.go[1], "g", 1) == 1);
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
	harness_drain(&h);
	check_old(&h);
	script_balance(&h);
	harness_stop(&h);
}

static int refused(void *arg)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)arg;
	if (bind(l, (struct sockaddr *)&a, n) || getsockname(l, (struct sockaddr *)&a, &n))
		return 2;
	script->server_port = ntohs(a.sin_port); /* bound, not listening */
	return connect(fd, (struct sockaddr *)&a, n) == -1 && errno == ECONNREFUSED ? 0 : 3;
}

static void test_capture__refused(void)
{
	struct harness h;
	struct side *s = NULL;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, refused, NULL), 0);
	for (size_t i = 0; i < h.n_sides; i++)
		if (h.sides[i].failed && h.sides[i].open.remote_port == script->server_port)
			s = &h.sides[i];
	ASSERT(s);
	EXPECT_EQ(s->open.err, ECONNREFUSED);
	EXPECT_EQ(s->open.initiator, EV_INITIATOR_LOCAL);
	EXPECT(s->open.local_port != 0);
	EXPECT(s->open.tgid != 0);
	EXPECT(s->open.connect_ns > 0 && s->open.connect_ns < 1000000000ULL);
	script_balance(&h);
	harness_stop(&h);
}

/* 64 KiB of ring, nobody reading: what does not fit is counted to the byte, and nothing is torn. */
static int flood(void *arg)
{
	int client, server;

	(void)arg;
	if (script_connect(&client, &server))
		return 2;
	for (int i = 0; i < 200; i++)
		if (script_move(client, server, &senders[0], &receivers[0], 1000 + (size_t)i))
			return 3;
		else
			script->n = 0;
	close(client);
	close(server);
	return 0;
}

static uint64_t captured_bytes(const struct side *s, int dir)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < STREAM_MAX; i++) {
		n += s->bytes[dir][i] == BYTE_CAPTURED;
		EXPECT(s->bytes[dir][i] != BYTE_WRONG);
	}
	return n;
}

static void test_capture__full_ring(void)
{
	struct capture_opts o = { .data_ring_bytes = 65536 };
	struct harness h;
	struct side *c, *s;

	script = script_new();
	if (!script_start(&h, &o))
		return;
	h.lazy = true;
	EXPECT_EQ(harness_run(&h, flood, NULL), 0);
	harness_drain(&h);
	c = harness_side(&h, script->client_port, script->server_port);
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(c && s);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_IN) - harness_counter(&h, BC_B_SCOPE),
		  2 * script->c2s);
	EXPECT(harness_counter(&h, BC_B_RING) > 0);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT) + harness_counter(&h, BC_B_RING),
		  2 * script->c2s);
	EXPECT_EQ(captured_bytes(c, EV_TX) + captured_bytes(s, EV_RX),
		  harness_counter(&h, BC_BYTES_OUT));
	EXPECT_EQ(c->records[EV_TX] + s->records[EV_RX], harness_counter(&h, BC_EV_DATA));
	EXPECT_EQ(c->close.lost_bytes + s->close.lost_bytes, harness_counter(&h, BC_B_RING));
	EXPECT_EQ(c->close.copied_bytes + s->close.copied_bytes, harness_counter(&h, BC_BYTES_OUT));
	script_balance(&h);
	harness_stop(&h);
}

/* With the counter of lost chunks switched off the balance must fail: it is a real check. */
static void test_capture__leak_shows(void)
{
	struct capture_opts o = { .data_ring_bytes = 65536, .simulate_leak = true };
	struct harness h;

	script = script_new();
	if (!script_start(&h, &o))
		return;
	h.lazy = true;
	EXPECT_EQ(harness_run(&h, flood, NULL), 0);
	harness_drain(&h);
	EXPECT(harness_balance(&h, "bytes") > 0);
	harness_stop(&h);
}

/* More connections than slots: refused, counted, and a slot freed is used again. */
static int many(void *arg)
{
	int fds[40][2];

	(void)arg;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 20; i++)
			if (script_connect(&fds[i][0], &fds[i][1]) || write(fds[i][0], "x", 1) != 1)
				return 2;
		for (int i = 0; i < 20; i++) {
			close(fds[i][0]);
			close(fds[i][1]);
		}
		usleep(50000);
	}
	return 0;
}

static void test_capture__too_many_connections(void)
{
	struct capture_opts o = { .conns_max = 16 };
	struct harness h;

	script = script_new();
	if (!script_start(&h, &o))
		return;
	EXPECT_EQ(harness_run(&h, many, NULL), 0);
	EXPECT(harness_counter(&h, BC_C_CONN) > 0);
	EXPECT_EQ(harness_counter(&h, BC_CONNS_OPENED), 32);
	EXPECT_EQ(harness_counter(&h, BC_CONNS_CLOSED), 32);
	EXPECT(h.n_sides >= 16);
	script_balance(&h);
	harness_stop(&h);
}

#define WAKE_MAX_MS 5000 /* for a test that fails */

/* Waits for the control ring as the parser does: edge-triggered, so that only a forced wakeup ends it. */
static void *await_ctl(void *arg)
{
	const struct harness *h = arg;
	struct epoll_event edge = { .events = EPOLLIN | EPOLLET }, got;
	int fd = epoll_create1(EPOLL_CLOEXEC);
	intptr_t woken = -1;

	if (epoll_ctl(fd, EPOLL_CTL_ADD, capture_ctl_ring_fd(h->cap), &edge) == 0)
		woken = epoll_wait(fd, &got, 1, WAKE_MAX_MS);
	close(fd);
	return (void *)woken;
}

/* A control ring that fills up wakes its reader, though it is smaller than what the data ring gathers. */
static void test_capture__control_ring_wakes(void)
{
	struct capture_opts o = { .ctl_ring_bytes = 1u << 12 };
	pthread_t waiter;
	struct harness h;
	void *woken = NULL;

	script = script_new();
	if (!script_start(&h, &o))
		return;
	h.lazy = true;
	ASSERT(pthread_create(&waiter, NULL, await_ctl, &h) == 0);
	EXPECT_EQ(harness_run(&h, many, NULL), 0);
	pthread_join(waiter, &woken);
	EXPECT_EQ((intptr_t)woken, 1);
	EXPECT(harness_counter(&h, BC_EV_CTL) > 0);
	harness_stop(&h);
}

/* A reset with unread bytes: the reader still gets them, the end names the error. */
static int reset(void *arg)
{
	struct linger hard = { 1, 0 };
	int client, server;
	uint8_t buf[OP_BYTES];

	(void)arg;
	if (script_connect(&client, &server))
		return 2;
	script_fill(buf, 0, sizeof(buf));
	if (write(client, buf, sizeof(buf)) != sizeof(buf))
		return 3;
	usleep(20000);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(client);
	usleep(20000);
	script->c2s = sizeof(buf);
	if (read(server, buf, sizeof(buf)) == sizeof(buf))
		script->n = 1;
	close(server);
	return 0;
}

static void test_capture__reset(void)
{
	struct harness h;
	struct side *s;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, reset, NULL), 0);
	s = harness_side(&h, script->server_port, script->client_port);
	if (s && script->n)
		EXPECT_EQ(side_state(s, EV_RX, 0, OP_BYTES), BYTE_CAPTURED);
	if (s) {
		EXPECT(s->closed);
		EXPECT_EQ(s->close.err, ECONNRESET);
	}
	script_balance(&h);
	harness_stop(&h);
}

#ifdef HAVE_URING
static int late(void *arg)
{
	int client, server;
	uint8_t buf[200];

	(void)arg;
	if (script_connect(&client, &server))
		return 2;
	script_fill(buf, 0, sizeof(buf));
	script->n = uring_late(client, server, buf, 100) == 100;
	close(client);
	close(server);
	return script->n ? 0 : 3;
}

static void test_capture__registers_of_another_call(void)
{
	struct harness h;
	struct side *s;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, late, NULL), 0);
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(s);
	EXPECT_EQ(side_state(s, EV_RX, 0, 100), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, 100, 200),
		  rung == CAPTURE_RUNG_SOCKLEN ? BYTE_HOLE : BYTE_UNSEEN);
	script_balance(&h);
	harness_stop(&h);
}
#endif

/* Multipath TCP has positions of its own: neither the connection nor its paths are shown as TCP. */
static int multipath(void *arg)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), fd, peer;
	char buf[100];

	(void)arg;
	if (l < 0)
		return 77;
	fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	if (bind(l, (struct sockaddr *)&a, n) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&a, &n) || connect(fd, (struct sockaddr *)&a, n))
		return 2;
	peer = accept(l, NULL, NULL);
	for (int i = 0; i < 10; i++)
		if (write(fd, buf, sizeof(buf)) != sizeof(buf) || read(peer, buf, sizeof(buf)) <= 0)
			return 3;
	close(fd);
	close(peer);
	return 0;
}

static void test_capture__multipath(void)
{
	struct harness h;
	int r;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	r = harness_run(&h, multipath, NULL);
	if (r == 77) {
		test_skip("no MPTCP in this kernel");
	} else {
		EXPECT_EQ(r, 0);
		EXPECT_EQ(h.n_sides, 0);
		EXPECT_EQ(harness_counter(&h, BC_BYTES_IN), harness_counter(&h, BC_B_SCOPE));
	}
	harness_stop(&h);
}

static const struct test_case cases[] = {
	TEST(test_capture__matrix_ipv4),
	TEST(test_capture__matrix_ipv6),
	TEST(test_capture__matrix_mapped),
	TEST(test_capture__name_of_the_process),
	TEST(test_capture__one_mebibyte),
	TEST(test_capture__older_connection),
	TEST(test_capture__refused),
	TEST(test_capture__reset),
	TEST(test_capture__full_ring),
	TEST(test_capture__leak_shows),
	TEST(test_capture__control_ring_wakes),
	TEST(test_capture__too_many_connections),
#ifdef HAVE_URING
	TEST(test_capture__registers_of_another_call),
#endif
	TEST(test_capture__multipath),
};

/* test_capture RUNG READ [CASE]: the same cases on every rung and both ways to read. */
int main(int argc, char **argv)
{
	return script_main(cases, ARRAY_SIZE(cases), argc, argv);
}
