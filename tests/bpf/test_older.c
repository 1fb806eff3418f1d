/* Connections that are in use while the walk finds them: which connection each end is, and where its bytes
 * are, must be right all the same, at once or with the next transfer. */
#include "tests/lib/test.h"
#include "script.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PAIRS	 20
#define SEND_MAX 3 /* bytes; one looks like a SYN that is missing */
#define LAST	 1000

/* What the child and the test tell each other. */
struct older {
	atomic_bool ready, stop;
	struct pair {
		int fd[2];	  /* client, server */
		uint16_t port[2]; /* theirs */
		uint64_t sent[2];
	} pairs[PAIRS];
};

static struct older *older;

static bool older_new(void)
{
	void *p = mmap(NULL, sizeof(*older), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);

	script = script_new();
	older = p;
	return script && p != MAP_FAILED;
}

static void nap(void)
{
	usleep(1000);
}

/* Blocks until they are there. */
static bool take(int fd, size_t n)
{
	uint8_t buf[4096];

	while (n) {
		ssize_t got = recv(fd, buf, MIN(n, sizeof(buf)), 0);

		if (got <= 0)
			return false;
		n -= (size_t)got;
	}
	return true;
}

/* n bytes from one end to the other. */
static bool move(struct pair *p, int from, size_t n)
{
	uint8_t buf[LAST];

	script_fill(buf, p->sent[from], n);
	if (send(p->fd[from], buf, n, 0) != (ssize_t)n)
		return false;
	p->sent[from] += n;
	return take(p->fd[!from], n);
}

static bool pair_open(struct pair *p)
{
	if (script_connect(&p->fd[0], &p->fd[1]))
		return false;
	p->port[0] = script->client_port;
	p->port[1] = script->server_port;
	return true;
}

static bool pair_end(struct pair *p)
{
	bool moved = move(p, 0, LAST) && move(p, 1, LAST);

	close(p->fd[0]);
	close(p->fd[1]);
	return moved;
}

/* Bytes go to and fro without a break, on all connections in turn. */
static int busy(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < PAIRS; i++)
		if (!pair_open(&older->pairs[i]))
			return 2;
	for (unsigned int n = 0; !older->stop; n++) {
		if (!move(&older->pairs[n % PAIRS], n / PAIRS & 1, 1 + n % SEND_MAX))
			return 3;
		older->ready = true;
	}
	for (size_t i = 0; i < PAIRS; i++)
		if (!pair_end(&older->pairs[i]))
			return 4;
	return 0;
}

/* More is written than the other end takes: it waits to be sent. */
static int backlog(void *arg)
{
	struct pair *p = &older->pairs[0];
	uint8_t buf[LAST];
	ssize_t n;

	(void)arg;
	if (!pair_open(p))
		return 2;
	for (;;) {
		script_fill(buf, p->sent[0], sizeof(buf));
		n = send(p->fd[0], buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0)
			break;
		p->sent[0] += (uint64_t)n;
	}
	if (errno != EAGAIN)
		return 3;
	for (older->ready = true; !older->stop;)
		nap();
	return take(p->fd[1], p->sent[0]) && pair_end(p) ? 0 : 4;
}

static bool none_wrong(const struct side *s, int dir)
{
	for (uint64_t i = 0; i < MIN(s->end[dir] - s->base[dir], (uint64_t)STREAM_MAX); i++)
		if (s->bytes[dir][i] == BYTE_WRONG)
			return false;
	return true;
}

/* sent[]: by this end, by the other. */
static void check_side(const struct side *s, uint8_t initiator, uint64_t tx, uint64_t rx)
{
	EXPECT(s->open.isn_known);
	EXPECT_EQ(s->open.initiator, initiator);
	EXPECT(s->closed);
	EXPECT_EQ(s->close.pos[EV_TX], tx);
	EXPECT_EQ(s->close.pos[EV_RX], rx);
	EXPECT(none_wrong(s, EV_TX) && none_wrong(s, EV_RX));
	EXPECT_EQ(side_state(s, EV_TX, tx - LAST, tx), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, rx - LAST, rx), BYTE_CAPTURED);
}

static void check_pair(struct harness *h, const struct pair *p)
{
	struct side *c = harness_side(h, p->port[0], p->port[1]);
	struct side *s = harness_side(h, p->port[1], p->port[0]);

	ASSERT(c && s);
	check_side(c, EV_INITIATOR_LOCAL, p->sent[0], p->sent[1]);
	check_side(s, EV_INITIATOR_REMOTE, p->sent[1], p->sent[0]);
	EXPECT_EQ(c->open.isn[EV_TX], s->open.isn[EV_RX]);
	EXPECT_EQ(c->open.isn[EV_RX], s->open.isn[EV_TX]);
}

/* Captures what the child does from some moment on: until it has been walked, and to its end. */
static void run(int (*child)(void *arg), size_t pairs)
{
	uint64_t found = 0;
	struct harness h;
	int status = -1;
	bool started;
	pid_t pid;

	ASSERT(older_new());
	pid = harness_fork(child, NULL);
	while (!older->ready && waitpid(pid, &status, WNOHANG) == 0)
		nap();
	started = script_start(&h, NULL);
	if (started) {
		EXPECT_EQ(capture_walk(h.cap, &found), 0);
		EXPECT_EQ(found, 2 * pairs);
		harness_drain(&h);
	}
	older->stop = true;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (started)
			harness_drain(&h);
		nap();
	}
	if (!started)
		return;
	EXPECT_EQ(status, 0);
	harness_drain(&h);
	for (size_t i = 0; i < pairs; i++)
		check_pair(&h, &older->pairs[i]);
	script_balance(&h);
	harness_stop(&h);
}

static void test_older__in_use(void)
{
	run(busy, PAIRS);
}

static void test_older__with_a_backlog(void)
{
	run(backlog, 1);
}

static const struct test_case cases[] = {
	TEST(test_older__in_use),
	TEST(test_older__with_a_backlog),
};

/* test_older RUNG READ [CASE]: the same cases on every rung and both ways to read. */
int main(int argc, char **argv)
{
	return script_main(cases, ARRAY_SIZE(cases), argc, argv);
}
