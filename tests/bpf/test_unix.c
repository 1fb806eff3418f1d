/* UNIX stream sockets under the programs: every way to move bytes, both ends, names, ends, ages. */
#include "script.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define MANY 20000 /* sockets of the test for leaks */

enum kind { PATH, ABSTRACT, PAIR, BOTH_NAMED };

static char dir[64];

static void begin(enum kind kind)
{
	script = script_new();
	ASSERT(script != NULL);
	script->kind = kind;
}

static uint64_t inode_of(int fd)
{
	struct stat st = { 0 };

	fstat(fd, &st);
	return st.st_ino;
}

static socklen_t address(struct sockaddr_un *a, const char *name)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (*name == '@') {
		snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "%s-%s", name + 1, dir + 5);
		return (socklen_t)(sizeof(a->sun_family) + 1 + strlen(a->sun_path + 1));
	}
	snprintf(a->sun_path, sizeof(a->sun_path), "%s/%s", dir, name);
	return sizeof(*a);
}

static int listener(const char *name, struct sockaddr_un *a, socklen_t *n)
{
	int l = socket(AF_UNIX, SOCK_STREAM, 0);

	*n = address(a, name);
	if (bind(l, (struct sockaddr *)a, *n) || listen(l, 8))
		return -1;
	return l;
}

static int connect_pair(int *client, int *server)
{
	struct sockaddr_un a, own;
	socklen_t n;
	int fds[2], l;

	if (script->kind == PAIR) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
			return -1;
		*client = fds[0];
		*server = fds[1];
	} else {
		l = listener(script->kind == ABSTRACT ? "@abstract" : "path", &a, &n);
		*client = socket(AF_UNIX, SOCK_STREAM, 0);
		if (script->kind == BOTH_NAMED &&
		    bind(*client, (struct sockaddr *)&own, address(&own, "client")))
			return -1;
		if (l < 0 || connect(*client, (struct sockaddr *)&a, n))
			return -1;
		*server = accept(l, NULL, NULL);
		/* The listener stays: while it does, its name has two owners. */
		unlink(a.sun_path);
		unlink(own.sun_path);
	}
	script->client = inode_of(*client);
	script->server = inode_of(*server);
	return *server < 0 ? -1 : 0;
}

/* The same as of TCP, but where the kernel does it differently: a notice of MSG_ZEROCOPY, which UNIX
 * sockets do not know. */
static bool possible(const struct op *o)
{
	return strcmp(o->name, "send MSG_ZEROCOPY") != 0;
}

static int plain(int client, int server, size_t n)
{
	int r = script_move(client, server, &senders[0], &receivers[0], n);

	script->n--;
	return r;
}

/* Ways that the hook at hand cannot see and whose bytes only the other end's counter tells: in a run of
 * their own, each followed by a plain transfer. */
static bool unseen(enum seen seen)
{
	return rung == CAPTURE_RUNG_SOCKLEN ? seen == SEEN_HOLE_SYSCALL : seen == SEEN_HOLE_LENGTH;
}

static int matrix(void *arg)
{
	int client, server, bad = 0;

	(void)arg;
	if (connect_pair(&client, &server))
		return 2;
	for (size_t i = 0; senders[i].name; i++)
		if (possible(&senders[i]) && !unseen(senders[i].seen))
			bad |= script_move(client, server, &senders[i], &receivers[0], OP_BYTES);
	for (size_t i = 0; receivers[i].name; i++)
		bad |= script_move(client, server, &senders[0], &receivers[i], OP_BYTES) |
		       script_move(client, server, &senders[0], &receivers[0], OP_BYTES);
	bad |= script_move(client, server, &senders[0], &receivers[0], 1);
	close(client);
	bad |= read(server, &(char){ 0 }, 1) != 0;
	close(server);
	return bad;
}

static bool start(struct harness *h, const struct capture_opts *more)
{
	struct capture_opts o = more ? *more : (struct capture_opts){ 0 };
	uint64_t found;
	int r;

	o.rung = rung;
	o.read = reads;
	o.unix_sockets = true;
	o.probe_budget_bytes = o.probe_budget_bytes ? o.probe_budget_bytes : 1ULL << 40;
	r = harness_start(h, &o);
	if (r == -ENOTSUP) {
		test_skip("this kernel has no such rung");
		return false;
	}
	if (!EXPECT_EQ(r, 0))
		return false;
	EXPECT(capture_unix_sockets(h->cap));
	EXPECT_EQ(capture_walk(h->cap, &found), 0);
	harness_drain(h);
	return true;
}

static void check_balance(struct harness *h)
{
	EXPECT_EQ(capture_sweep(h->cap), 0);
	harness_drain(h);
	EXPECT_EQ(harness_balance(h, "bytes"), 0);
	EXPECT_EQ(harness_balance(h, "calls"), 0);
	EXPECT_EQ(harness_balance(h, "records"), 0);
	EXPECT_EQ(h->unknown, 0);
	EXPECT_EQ(capture_missed_runs(h->cap).data, 0);
}

static void check_roles(const struct side *c, const struct side *s)
{
	bool pair = script->kind == PAIR;

	EXPECT(c->open.isn_known && s->open.isn_known);
	EXPECT(c->open.isn[0] == s->open.isn[0] && c->open.isn[1] == s->open.isn[1]);
	EXPECT(c->open.isn[0] != 0);
	EXPECT_EQ(c->open.family, AF_UNIX);
	EXPECT_EQ(c->open.initiator, pair ? EV_INITIATOR_UNKNOWN : EV_INITIATOR_LOCAL);
	EXPECT_EQ(s->open.initiator, pair ? EV_INITIATOR_UNKNOWN : EV_INITIATOR_REMOTE);
	EXPECT_EQ(c->open.h.flags & EV_F_OLD, 0);
	EXPECT(c->open.tgid && s->open.tgid && c->open.comm[0]);
}

static void check_names(const struct side *c, const struct side *s)
{
	struct sockaddr_un a = { 0 };
	socklen_t n = address(&a, script->kind == ABSTRACT ? "@abstract" : "path");
	const char *want = script->kind == PAIR ? (memset(&a, 0, sizeof(a)), a.sun_path)
						: a.sun_path;

	(void)n;
	EXPECT(memcmp(s->name[0], want, sizeof(a.sun_path)) == 0);
	EXPECT(memcmp(c->name[1], want, sizeof(a.sun_path)) == 0);
	memset(&a, 0, sizeof(a));
	if (script->kind == BOTH_NAMED)
		address(&a, "client");
	EXPECT(memcmp(c->name[0], a.sun_path, sizeof(a.sun_path)) == 0);
	EXPECT(memcmp(s->name[1], a.sun_path, sizeof(a.sun_path)) == 0);
}

static void check_matrix(struct harness *h)
{
	struct side *c = harness_socket(h, script->client);
	struct side *s = harness_socket(h, script->server);

	ASSERT(c && s);
	check_roles(c, s);
	check_names(c, s);
	script_check(c, s);
	EXPECT(c->closed);
	EXPECT_EQ(c->eof[EV_TX], script->c2s);
	EXPECT_EQ(s->eof[EV_RX], script->c2s);
	EXPECT_EQ(c->close.pos[EV_TX], script->c2s);
	check_balance(h);
	EXPECT(s->closed);
	EXPECT_EQ(s->close.pos[EV_RX], script->c2s);
	EXPECT_EQ(s->close.err, 0);
}

static void run_matrix(enum kind kind)
{
	struct harness h;

	begin(kind);
	if (!start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, matrix, NULL), 0);
	check_matrix(&h);
	harness_stop(&h);
}

static void test_unix__matrix_path(void)
{
	run_matrix(PATH);
}
static void test_unix__matrix_abstract(void)
{
	run_matrix(ABSTRACT);
}
static void test_unix__matrix_pair(void)
{
	run_matrix(PAIR);
}
static void test_unix__matrix_both_named(void)
{
	run_matrix(BOTH_NAMED);
}

/* One call each way of 1 MiB would not fit the buffers: a thread of the receiver's reads meanwhile. */
static int large(void *arg)
{
	int client, server, status = -1;
	uint8_t *buf = malloc(1 << 20);
	pid_t pid;

	(void)arg;
	if (connect_pair(&client, &server))
		return 2;
	script_fill(buf, 0, 1 << 20);
	pid = fork();
	if (pid == 0)
		_exit(recv(server, buf, 1 << 20, MSG_WAITALL) == 1 << 20 ? 0 : 1);
	if (write(client, buf, 1 << 20) != 1 << 20 || waitpid(pid, &status, 0) != pid)
		return 3;
	script->c2s = 1 << 20;
	close(client);
	close(server);
	return status;
}

static void test_unix__one_mebibyte(void)
{
	struct harness h;
	struct side *c, *s;

	begin(PATH);
	if (!start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, large, NULL), 0);
	c = harness_socket(&h, script->client);
	s = harness_socket(&h, script->server);
	ASSERT(c && s);
	EXPECT_EQ(side_state(c, EV_TX, 0, 1 << 20), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, 0, 1 << 20), BYTE_CAPTURED);
	EXPECT(s->open.tgid != c->open.tgid);
	check_balance(&h);
	EXPECT(c->closed && s->closed);
	harness_stop(&h);
}

/* ---- older than the agent ---- */

static struct {
	int ready[2], go[2];
} gate;

/* 500 bytes are sent and not read when capture starts. */
static int older(void *arg)
{
	int client, server;
	uint8_t buf[OP_BYTES];
	char c;

	(void)arg;
	if (connect_pair(&client, &server) || plain(client, server, OP_BYTES) ||
	    write(client, buf, 500) != 500)
		return 2;
	if (write(gate.ready[1], "r", 1) != 1 || read(gate.go[0], &c, 1) != 1)
		return 3;
	script_fill(buf, 500, 1000);
	if (write(client, buf, 1000) != 1000 || recv(server, buf, 1500, MSG_WAITALL) != 1500)
		return 4;
	script_fill(buf, 0, 100);
	if (write(server, buf, 100) != 100 || read(client, buf, 100) != 100)
		return 5;
	close(client);
	close(server);
	return 0;
}

static void check_older(struct harness *h)
{
	struct side *c = harness_socket(h, script->client);
	struct side *s = harness_socket(h, script->server);

	ASSERT(c && s);
	EXPECT(c->open.h.flags & EV_F_OLD);
	EXPECT(s->open.h.flags & EV_F_OLD);
	EXPECT_EQ(c->open.isn[0], s->open.isn[0]);
	/* Positions begin at what the receiver has read, so the ends agree. */
	EXPECT_EQ(c->open.pos[EV_TX], 500);
	EXPECT_EQ(s->open.pos[EV_RX], 0);
	EXPECT_EQ(side_state(c, EV_TX, 500, 1500), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, 500, 1500), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_TX, 0, 100), BYTE_CAPTURED);
	EXPECT_EQ(side_state(c, EV_RX, 0, 100), BYTE_CAPTURED);
}

static void test_unix__older_connection(void)
{
	struct harness h;
	int status = -1;
	bool started;
	char c;
	pid_t pid;

	begin(PATH);
	ASSERT(pipe(gate.ready) == 0 && pipe(gate.go) == 0);
	pid = harness_fork(older, NULL);
	ASSERT(read(gate.ready[0], &c, 1) == 1);
	started = start(&h, NULL);
	if (started)
		EXPECT_EQ(h.n_sides, 0); /* told when they are used */
	ASSERT(write(gate.go[1], "g", 1) == 1);
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
	if (!started)
		return;
	harness_drain(&h);
	check_older(&h);
	check_balance(&h);
	harness_stop(&h);
}

/* ---- ends ---- */

/* The peer closes with bytes unread: an error for this end. */
static int reset(void *arg)
{
	int client, server;
	char buf[100] = { 0 };

	(void)arg;
	if (connect_pair(&client, &server) || plain(client, server, 10) ||
	    write(client, buf, 100) != 100)
		return 2;
	close(server);
	if (read(client, buf, 1) != -1 || errno != ECONNRESET)
		return 3;
	close(client);
	return 0;
}

static void test_unix__reset(void)
{
	struct harness h;
	struct side *c, *s;

	begin(PATH);
	if (!start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, reset, NULL), 0);
	c = harness_socket(&h, script->client);
	s = harness_socket(&h, script->server);
	ASSERT(c && s);
	EXPECT(s->closed);
	check_balance(&h);
	EXPECT(c->closed);
	EXPECT_EQ(c->close.err, ECONNRESET);
	harness_stop(&h);
}

/* A half-closed connection goes on in the other direction; reads of nothing are no end. */
static int half_closed(void *arg)
{
	int client, server;
	char c = 0;

	(void)arg;
	if (connect_pair(&client, &server) || plain(client, server, 20) ||
	    write(server, &c, 1) != 1 || recv(client, &c, 0, 0) != 0 || read(client, &c, 1) != 1)
		return 2;
	shutdown(client, SHUT_WR);
	if (read(server, &c, 1) != 0)
		return 3;
	script_fill((uint8_t *)&c, 1, 1);
	if (write(server, &c, 1) != 1 || read(client, &c, 1) != 1)
		return 4;
	close(server);
	if (read(client, &c, 1) != 0)
		return 5;
	close(client);
	return 0;
}

static void test_unix__half_closed(void)
{
	struct harness h;
	struct side *c, *s;

	begin(PATH);
	if (!start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, half_closed, NULL), 0);
	c = harness_socket(&h, script->client);
	s = harness_socket(&h, script->server);
	ASSERT(c && s);
	EXPECT_EQ(s->eof[EV_RX], 20);
	EXPECT_EQ(c->eof[EV_TX], 20);
	EXPECT_EQ(s->eof[EV_TX], 2);
	EXPECT_EQ(c->eof[EV_RX], 2);
	EXPECT_EQ(side_state(c, EV_RX, 1, 2), BYTE_CAPTURED);
	check_balance(&h);
	harness_stop(&h);
}

/* ---- bounds ---- */

/* Each connection is used and closed without a read of its end, so that nothing tells of it. */
static int many(void *arg)
{
	struct sockaddr_un a;
	socklen_t n;
	int l = listener("many", &a, &n);
	char c = 'x';

	(void)arg;
	for (int i = 0; i < MANY / 2; i++) {
		int client = socket(AF_UNIX, SOCK_STREAM, 0), server;

		if (connect(client, (struct sockaddr *)&a, n) || (server = accept(l, 0, 0)) < 0 ||
		    write(client, &c, 1) != 1 || read(server, &c, 1) != 1)
			return 2;
		close(client);
		close(server);
	}
	unlink(a.sun_path);
	return 0;
}

static void drop_sides(struct harness *h)
{
	/* The harness keeps few: this test only counts. */
	while (h->n_sides) {
		struct side *s = &h->sides[--h->n_sides];

		free(s->bytes[0]);
		free(s->bytes[1]);
	}
}

static void test_unix__many_leave_nothing(void)
{
	struct capture_opts o = { .conns_max = 4096,
				  .data_ring_bytes = 16u << 20,
				  .ctl_ring_bytes = 32u << 20 };
	struct harness h;
	uint64_t opened;

	begin(PATH);
	if (!start(&h, &o))
		return;
	h.lazy = true;
	h.while_running = NULL;
	EXPECT_EQ(harness_run(&h, many, NULL), 0);
	opened = harness_counter(&h, BC_CONNS_OPENED);
	printf("# %llu known, %llu of them found dead before the sweep\n",
	       (unsigned long long)opened,
	       (unsigned long long)harness_counter(&h, BC_CONNS_CLOSED));
	EXPECT_EQ(harness_counter(&h, BC_C_CONN), 0);
	EXPECT(opened >= MANY);
	EXPECT_EQ(capture_sweep(h.cap), 0);
	/* What is left was open before, and still is. */
	EXPECT(harness_counter(&h, BC_CONNS_CLOSED) >= MANY);
	drop_sides(&h);
	harness_stop(&h);
}

/* A process that keeps all it opens finds half of the slots. */
static int hoard(void *arg)
{
	(void)arg;
	for (int i = 0; i < 40; i++) {
		int fds[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) || write(fds[0], "x", 1) != 1 ||
		    read(fds[1], &(char){ 0 }, 1) != 1)
			return 2;
	}
	return 0;
}

static void test_unix__half_of_the_slots(void)
{
	struct capture_opts o = { .conns_max = 64 };
	struct harness h;

	begin(PAIR);
	if (!start(&h, &o))
		return;
	EXPECT_EQ(harness_run(&h, hoard, NULL), 0);
	EXPECT_EQ(harness_counter(&h, BC_CONNS_OPENED), 32);
	EXPECT(harness_counter(&h, BC_C_CONN) > 0);
	check_balance(&h);
	harness_stop(&h);
}

/* ---- what is left alone ---- */

static int packets(void *arg)
{
	static const int types[] = { SOCK_DGRAM, SOCK_SEQPACKET };

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int fds[2];
		char buf[100] = { 0 };

		if (socketpair(AF_UNIX, types[i], 0, fds) || write(fds[0], buf, 100) != 100 ||
		    read(fds[1], buf, 100) != 100)
			return 2;
	}
	return 0;
}

static void test_unix__packets(void)
{
	struct harness h;

	begin(PAIR);
	if (!start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, packets, NULL), 0);
	EXPECT_EQ(h.n_sides, 0);
	EXPECT(harness_counter(&h, BC_B_LOCAL) >= 400);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT), 0);
	check_balance(&h);
	harness_stop(&h);
}

static int once(void *arg)
{
	int client, server, bad;

	(void)arg;
	if (connect_pair(&client, &server))
		return 2;
	bad = plain(client, server, OP_BYTES) | plain(client, server, OP_BYTES);
	close(client);
	close(server);
	return bad;
}

/* Kelpie's own: by process, by the name of the socket. */
static void test_unix__own(void)
{
	struct sockaddr_un a;
	struct harness h;

	address(&a, "path");
	begin(PATH);
	if (!start(&h, &(struct capture_opts){ .deny_paths = { "/nowhere", a.sun_path } }))
		return;
	EXPECT_EQ(harness_run(&h, once, NULL), 0);
	EXPECT_EQ(h.n_sides, 0);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT), 0);
	EXPECT(harness_counter(&h, BC_B_SELF) >= 4 * OP_BYTES);
	script->kind = PAIR;
	EXPECT_EQ(once(NULL), 0); /* by this process */
	harness_drain(&h);
	EXPECT_EQ(h.n_sides, 0);
	check_balance(&h);
	harness_stop(&h);
}

/* What Kelpie's starter has started: the collector and its workers. */
static void test_unix__own_family(void)
{
	struct harness h;

	begin(PATH);
	if (!start(&h, NULL))
		return;
	EXPECT_EQ(capture_family(h.cap, (uint32_t)getpid()), 0);
	EXPECT_EQ(harness_run(&h, once, NULL), 0);
	EXPECT_EQ(h.n_sides, 0);
	EXPECT(harness_counter(&h, BC_B_SELF) >= 4 * OP_BYTES);
	check_balance(&h);
	harness_stop(&h);
}

static void test_unix__off(void)
{
	struct capture_opts o = { .rung = rung, .read = reads };
	struct harness h;

	begin(PATH);
	if (harness_start(&h, &o) == -ENOTSUP) {
		test_skip("this kernel has no such rung");
		return;
	}
	EXPECT_EQ(harness_run(&h, matrix, NULL), 0);
	EXPECT_EQ(h.n_sides, 0);
	EXPECT_EQ(harness_counter(&h, BC_B_LOCAL), 0);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT), 0);
	harness_stop(&h);
}

static const struct test_case cases[] = {
	TEST(test_unix__matrix_path),
	TEST(test_unix__matrix_abstract),
	TEST(test_unix__matrix_pair),
	TEST(test_unix__matrix_both_named),
	TEST(test_unix__one_mebibyte),
	TEST(test_unix__older_connection),
	TEST(test_unix__reset),
	TEST(test_unix__half_closed),
	TEST(test_unix__many_leave_nothing),
	TEST(test_unix__half_of_the_slots),
	TEST(test_unix__packets),
	TEST(test_unix__own),
	TEST(test_unix__own_family),
	TEST(test_unix__off),
};

int main(int argc, char **argv)
{
	int r;

	snprintf(dir, sizeof(dir), "/tmp/kelpie-unix-%d", getpid());
	mkdir(dir, 0700);
	r = script_main(cases, ARRAY_SIZE(cases), argc, argv);
	rmdir(dir);
	return r;
}
