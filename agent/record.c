/* `kelpie-agent --record FILE`: writes what the kernel tells for a while, unparsed and unredacted,
 * with a capture of its own beside whatever else is running.
 */
#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/kev.h"
#include "agent/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define RING_MS 10

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

struct recorder {
	FILE *file;
	struct ring ctl, data;
	uint64_t records, bytes;
	int err;
};

static void put(struct recorder *r, const struct ev_hdr *h)
{
	if (!r->err)
		r->err = kev_write(r->file, h);
	r->records++;
	r->bytes += h->len;
}

/* In the order that events.h asks of a reader: opens, data, ends. */
static void drain(struct recorder *r)
{
	uint64_t from = r->ctl.pos, until = ring_snapshot(&r->ctl), data_until;
	const struct ev_hdr *h;
	enum ring_result got;

	while ((got = ring_next(&r->ctl, until, &h)) != RING_END)
		if (got == RING_RECORD && h->type == EV_CONN_OPEN)
			put(r, h);
	until = r->ctl.pos;
	data_until = ring_snapshot(&r->data);
	while ((got = ring_next(&r->data, data_until, &h)) != RING_END)
		if (got == RING_RECORD)
			put(r, h);
	ring_rewind(&r->ctl, from);
	while ((got = ring_next(&r->ctl, until, &h)) != RING_END)
		if (got == RING_RECORD && h->type != EV_CONN_OPEN)
			put(r, h);
	ring_release(&r->ctl);
	ring_release(&r->data);
}

static int start(struct recorder *r, struct capture *c)
{
	uint64_t found;
	int e = capture_load(c);

	if (e < 0 ||
	    (e = ring_open(&r->ctl, capture_ctl_ring_fd(c), capture_ctl_ring_bytes(c))) < 0 ||
	    (e = ring_open(&r->data, capture_data_ring_fd(c), capture_data_ring_bytes(c))) < 0)
		return e;
	(void)capture_add_self(c, (uint32_t)getppid());
	e = capture_attach(c);
	if (e == 0)
		(void)capture_walk(c, &found);
	return e;
}

int record_main(const struct config *cfg, const char *file, uint64_t for_ns, const uint16_t *ports)
{
	struct capture_opts o = { .rung = capture_rung_parse(cfg->capture.hook),
				  .data_ring_bytes = (uint32_t)cfg->capture.ring_bytes,
				  .probe_budget_bytes = UINT64_MAX,
				  .unix_sockets = cfg->capture.unix_sockets && !ports[0] };
	_cleanup_(capture_freep) struct capture *c = NULL;
	struct recorder r = { 0 };
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), e;
	uint64_t until;

	memcpy(o.allow_ports, ports, sizeof(o.allow_ports));
	if (fd < 0 || fchmod(fd, 0600) < 0 || !(r.file = fdopen(fd, "w"))) {
		fprintf(stderr, "kelpie-agent: cannot write %s: %s\n", file, strerror(errno));
		return 1;
	}
	fprintf(stderr,
		"recording to %s for %.0f s: the bytes of every connection of this machine as they "
		"are, "
		"passwords and tokens included; readable by you alone\n",
		file, (double)for_ns / 1e9);
	e = capture_new(&o, &c);
	if (e == 0)
		e = start(&r, c);
	if (e < 0) {
		fprintf(stderr, "kelpie-agent: cannot capture: %s %s\n", c ? capture_why(c) : "",
			strerror(-e));
		return 1;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	r.err = kev_write_header(r.file, unix_now_ns() - boot_now_ns());
	for (until = boot_now_ns() + for_ns; !interrupted && !r.err && boot_now_ns() < until;) {
		struct timespec pause = { 0, RING_MS * (long)NSEC_PER_MSEC };

		drain(&r);
		nanosleep(&pause, NULL);
	}
	capture_detach(c);
	drain(&r);
	if (fclose(r.file) != 0 || r.err) {
		fprintf(stderr, "kelpie-agent: %s is incomplete: %s\n", file, strerror(errno));
		return 1;
	}
	fprintf(stderr, "%llu records, %llu bytes in %s\n", (unsigned long long)r.records,
		(unsigned long long)r.bytes, file);
	return 0;
}
