#include "script.h"

#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

struct script *script;
enum capture_rung rung;
enum capture_read reads;

struct script *script_new(void)
{
	void *p = mmap(NULL, sizeof(struct script), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void script_fill(uint8_t *buf, uint64_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = pattern(from + i);
}

int script_move(int client, int server, const struct op *s, const struct op *r, size_t n)
{
	size_t i = script->n++;
	uint8_t *buf = malloc(n);

	script->ops[i].sender = s->name;
	script->ops[i].receiver = r->name;
	script->ops[i].from = script->c2s;
	script->ops[i].to = script->c2s += n;
	script->ops[i].tx = s->seen;
	script->ops[i].rx = r->seen;
	script_fill(buf, script->ops[i].from, n);
	script->ops[i].moved = s->move(client, buf, n) == (ssize_t)n &&
			       r->move(server, buf, n) == (ssize_t)n;
	free(buf);
	return script->ops[i].moved ? 0 : 1;
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

void script_check(const struct side *c, const struct side *s)
{
	for (size_t i = 0; i < script->n; i++) {
		int tx = side_state(c, EV_TX, script->ops[i].from, script->ops[i].to);
		int rx = side_state(s, EV_RX, script->ops[i].from, script->ops[i].to);

		if (tx != expected(script->ops[i].tx) || rx != expected(script->ops[i].rx) ||
		    !script->ops[i].moved)
			printf("# %s, %s: moved %d, sender's end %d, receiver's end %d\n",
			       script->ops[i].sender, script->ops[i].receiver, script->ops[i].moved,
			       tx, rx);
		EXPECT_EQ(tx, expected(script->ops[i].tx));
		EXPECT_EQ(rx, expected(script->ops[i].rx));
	}
}

/* In a mount namespace of our own: the machine's mounts stay as they are. */
static void mount_tracefs(void)
{
	if (access("/sys/kernel/tracing/events", F_OK) == 0 || unshare(CLONE_NEWNS))
		return;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
}

int script_main(const struct test_case *cases, size_t n, int argc, char **argv)
{
	if (argc < 3) {
		printf("usage: %s RUNG btf|probe [CASE]\n", argv[0]);
		return 2;
	}
	rung = capture_rung_parse(argv[1]);
	reads = capture_read_parse(argv[2]);
	if (geteuid() != 0) {
		printf("skip %s: needs root\n", argv[0]);
		return 0;
	}
	if (rung == CAPTURE_RUNG_TRACEPOINT)
		mount_tracefs();
	return test_run(cases, n, argc - 2, argv + 2);
}

uint16_t script_port(int fd)
{
	struct sockaddr_in6 a = { 0 };
	socklen_t n = sizeof(a);

	getsockname(fd, (struct sockaddr *)&a, &n);
	return ntohs(a.sin6_port); /* same place as sin_port */
}

int script_connect(int *client, int *server)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
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
	script->client_port = script_port(*client);
	script->server_port = script_port(*server);
	return *server < 0 ? -1 : 0;
}

int script_matrix(void *arg)
{
	int client, server, bad = 0;

	(void)arg;
	if (script_connect(&client, &server))
		return 2;
	for (size_t i = 0; senders[i].name; i++)
		bad |= script_move(client, server, &senders[i], &receivers[0], OP_BYTES);
	for (size_t i = 0; receivers[i].name; i++)
		bad |= script_move(client, server, &senders[0], &receivers[i], OP_BYTES);
	bad |= script_move(client, server, &senders[0], &receivers[0], 1);
	close(client);
	close(server);
	return bad;
}

bool script_start(struct harness *h, const struct capture_opts *more)
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

void script_balance(struct harness *h)
{
	EXPECT_EQ(harness_balance(h, "bytes"), 0);
	EXPECT_EQ(harness_balance(h, "calls"), 0);
	EXPECT_EQ(harness_balance(h, "records"), 0);
	EXPECT_EQ(harness_balance(h, "connections"), 0);
	EXPECT_EQ(h->unknown, 0);
	EXPECT_EQ(capture_missed_runs(h->cap).data, 0);
}
