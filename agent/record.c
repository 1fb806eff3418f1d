/* `kelpie-agent --record FILE`: writes what the kernel tells for a while, unparsed and unredacted,
 * with a capture of its own beside whatever else is running.
 */
#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/kev.h"
#include "agent/ring.h"
#include "base/clock.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define RING_MS	   10
#define AGENTS_MAX (CONFIG_PATH_MAX + 16) /* path of the collector's socket for agents */

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

struct recorder {
	FILE *file;
	struct ring ctl, data;
	uint64_t opens_pos; /* of ctl: how far its opens are taken */
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

/* Puts the records of a kind up to `until`; false: not so far, because one is still being written. */
static bool take(struct recorder *r, struct ring *ring, uint64_t until,
		 bool (*wanted)(uint8_t type))
{
	const struct ev_hdr *h;
	enum ring_result got;

	while ((got = ring_next(ring, until, &h)) != RING_END)
		if (got == RING_RECORD && wanted(h->type))
			put(r, h);
	return ring->pos >= until;
}

static bool is_open(uint8_t type)
{
	return type == EV_CONN_OPEN;
}

static bool is_end(uint8_t type)
{
	return type != EV_CONN_OPEN;
}

static bool is_any(uint8_t type)
{
	(void)type;
	return true;
}

/* In the order that events.h asks of a reader: opens, data, ends. The three are looked at backwards, so
 * that none has come without the one before; what is not there yet is for the next round. */
static void drain(struct recorder *r)
{
	uint64_t ends_from = r->ctl.pos, ends_until = ring_snapshot(&r->ctl);
	uint64_t data_until = ring_snapshot(&r->data), opens_until = ring_snapshot(&r->ctl);
	bool all;

	ring_rewind(&r->ctl, MAX(r->opens_pos, ends_from));
	all = take(r, &r->ctl, opens_until, is_open);
	r->opens_pos = r->ctl.pos;
	all = all && take(r, &r->data, data_until, is_any);
	ring_rewind(&r->ctl, ends_from);
	if (all)
		(void)take(r, &r->ctl, ends_until, is_end);
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

/* NULL when no socket can have that name. */
static const char *bindable(const char *path)
{
	return strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path) ? path : NULL;
}

/* The sockets of the Kelpie that this configuration is of: what passes there is no traffic. */
static void leave_own_out(struct capture_opts *o, const struct config *cfg,
			  char agents[static AGENTS_MAX])
{
	if (strncmp(cfg->listen, "unix:", 5) == 0)
		o->deny_paths[0] = bindable(cfg->listen + 5);
	snprintf(agents, AGENTS_MAX, "%s/agent.sock", cfg->data_dir);
	o->deny_paths[1] = bindable(agents);
}

int record_main(const struct config *cfg, const char *file, uint64_t for_ns, const uint16_t *ports)
{
	struct capture_opts o = { .rung = capture_rung_parse(cfg->capture.hook),
				  .data_ring_bytes = (uint32_t)cfg->capture.ring_bytes,
				  .probe_budget_bytes = UINT64_MAX,
				  .unix_sockets = cfg->capture.unix_sockets && !ports[0] };
	_cleanup_(capture_freep) struct capture *c = NULL;
	struct recorder r = { 0 };
	char agents[AGENTS_MAX];
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), e;
	uint64_t until;

	memcpy(o.allow_ports, ports, sizeof(o.allow_ports));
	leave_own_out(&o, cfg, agents);
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
	r.err = kev_write_header(r.file, clock_unix_ns() - clock_boot_ns());
	for (until = clock_boot_ns() + for_ns; !interrupted && !r.err && clock_boot_ns() < until;) {
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
