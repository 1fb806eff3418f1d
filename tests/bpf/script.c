#include "script.h"

#include "tests/lib/test.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>

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
