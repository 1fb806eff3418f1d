/* `kelpie-agent --replay FILE --data-dir DIR`: recorded traffic through the same hops as live
 * events, into a directory that `kelpie sql --data-dir` can read. One process, confined once its
 * files are open: the recording is hostile bytes too.
 */
#include "agent/agent.h"
#include "agent/join.h"
#include "agent/kev.h"
#include "agent/pcap.h"
#include "agent/sandbox.h"
#include "base/clock.h"
#include "base/log.h"
#include "storage/store.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD_MAX     65536
#define REPLAY_PARTIAL 3   /* exit status: the recording is damaged, its beginning was replayed */
#define ROUND	       256 /* records between commits */

struct replay {
	struct pipeline *pipe;
	struct store *store;
	struct ledger ledger;
	uint64_t offset_ns; /* unix - boot of the recording */
	uint64_t records, last_ns;
	uint64_t size, good; /* bytes of the recording, and how many of them were usable */
	bool is_kev;
	_Alignas(8) uint8_t frame[ROW_MAX + 64];
	_Alignas(8) uint8_t record[RECORD_MAX];
};

static void *out_reserve(void *ctx, uint32_t n)
{
	struct replay *r = ctx;

	return n <= sizeof(r->frame) ? r->frame : NULL;
}

static void out_commit(void *ctx, enum pipe_frame type, uint32_t n)
{
	struct replay *r = ctx;
	struct row row;
	uint32_t sym;

	if (type == PIPE_SYM_RESET) {
		store_sym_reset(r->store);
	} else if (type == PIPE_SYM && n > 4) {
		memcpy(&sym, r->frame, 4);
		(void)store_sym(r->store, sym, slice_of(r->frame + 4, n - 4));
	} else if (type == PIPE_ROW && row_check(slice_of(r->frame, n), &row) == 0) {
		(void)store_append(r->store, &row);
	}
}

static void out_publish(void *ctx)
{
	struct replay *r = ctx;

	store_tick(r->store, r->last_ns + r->offset_ns, r->last_ns);
}

static int open_store(struct replay *r, const struct config *cfg)
{
	struct store_opts o;
	struct store_diag diag = { 0 };
	int e;

	store_opts_init(&o);
	o.dir = cfg->data_dir;
	o.node = cfg->node;
	o.epoch = 1;
	o.retention_bytes = cfg->retention.bytes;
	o.payload_bytes = cfg->retention.payload_bytes;
	e = store_open(&o, clock_unix_ns(), clock_boot_ns(), &r->store, &diag);
	if (e < 0)
		fprintf(stderr, "kelpie-agent: %s\n", diag.text);
	return e;
}

static int open_pipeline(struct replay *r, const struct config *cfg)
{
	struct pipeline_opts o = {
		.node = cfg->node,
		.epoch = 1,
		.cfg = cfg,
		.ledger = &r->ledger,
		.wire = !r->is_kev,
		.want_headers = cfg->payload.headers,
		.want_bodies = cfg->payload.bodies,
		.want_literals = cfg->payload.sql_literals,
		.body_max_bytes = (uint32_t)MIN(cfg->payload.max_bytes, (uint64_t)16384),
		.out = { r, out_reserve, out_commit, out_publish, NULL },
	};

	hash_key_random(&o.id_key);
	r->pipe = pipeline_new(&o);
	return r->pipe ? 0 : -ENOMEM;
}

static void take(struct replay *r, const struct ev_hdr *h)
{
	r->last_ns = MAX(r->last_ns, h->ts_ns);
	if (r->records++ % ROUND == 0) {
		pipeline_tick(r->pipe, r->last_ns, r->last_ns + r->offset_ns);
		pipeline_commit(r->pipe);
	}
	pipeline_event(r->pipe, h);
}

static int replay_kev(struct replay *r, FILE *f)
{
	struct kev_hdr h;
	int e = kev_read_header(f, &h);

	if (e < 0)
		return e;
	r->good = sizeof(h);
	r->offset_ns = h.unix_minus_boot_ns;
	while ((e = kev_read(f, r->record, sizeof(r->record))) > 0) {
		const struct ev_hdr *ev = (const struct ev_hdr *)(const void *)r->record;

		r->good += (ev->len + 7u) & ~7u;
		take(r, ev);
	}
	return e;
}

static void on_packet_record(void *ctx, const struct ev_hdr *h)
{
	take(ctx, h);
}

/* What of the packets did not become records; silent when all did. */
static void report_packets(const struct pcap_stats *s)
{
	uint64_t other = s->other + s->malformed + s->unknown_link + s->fragments_dropped;

	if (other)
		fprintf(stderr,
			"%llu packets: %llu neither TCP nor UDP, %llu malformed, %llu of an "
			"unknown link "
			"layer, "
			"%llu fragments without the rest\n",
			(unsigned long long)s->packets, (unsigned long long)s->other,
			(unsigned long long)s->malformed, (unsigned long long)s->unknown_link,
			(unsigned long long)s->fragments_dropped);
	if (s->cut_packets)
		fprintf(stderr,
			"%llu packets were recorded cut off; capture with -s 0 to have all\n",
			(unsigned long long)s->cut_packets);
}

static int replay_pcap(struct replay *r, FILE *f)
{
	struct pcap *p = pcap_new(on_packet_record, r);
	size_t n;
	int e = 0;

	if (!p)
		return -ENOMEM;
	while (e == 0 && (n = fread(r->record, 1, sizeof(r->record), f)) > 0)
		e = pcap_push(p, slice_of(r->record, n));
	e = pcap_finish(p);
	r->good = e == -EPROTO ? 0 : pcap_stats(p)->good_bytes;
	report_packets(pcap_stats(p));
	pcap_free(p);
	return e;
}

/* Looked at before the sandbox closes: it has no lseek(). */
static bool starts_like_kev(FILE *f)
{
	char magic[sizeof(KEV_MAGIC) - 1];
	bool is = fread(magic, 1, sizeof(magic), f) == sizeof(magic) &&
		  memcmp(magic, KEV_MAGIC, sizeof(magic)) == 0;

	rewind(f);
	return is;
}

static void report(const struct replay *r, const char *file, int e)
{
	const struct ledger *l = &r->ledger;
	uint64_t missing = ledger_get(l, L4_GAP_LOST) + ledger_get(l, L4_GAP_WINDOW);

	if (e == -EPROTO) {
		fprintf(stderr,
			"kelpie-agent: %s is %s; write one with `tcpdump -s 0 -w` or `kelpie "
			"record "
			"-w`\n",
			file,
			r->size ? "no .pcap, .pcapng or .kev file of a known version" : "empty");
		return;
	}
	if (e < 0)
		fprintf(stderr,
			"kelpie-agent: %s is damaged or cut off at byte %llu of %llu; what came "
			"before was replayed\n",
			file, (unsigned long long)r->good, (unsigned long long)r->size);
	fprintf(stderr, "%llu records, %llu rows, %llu bytes missing, %llu bytes not understood\n",
		(unsigned long long)r->records, (unsigned long long)ledger_get(l, L7_OUT),
		(unsigned long long)missing, (unsigned long long)ledger_get(l, L5_RESYNCED));
}

static struct epoch_line counter(const struct ledger_counter *c, uint64_t value)
{
	struct epoch_line l = {
		.hop = c->hop, .kind = c->kind, .intentional = c->intentional, .value = value
	};

	snprintf(l.stage, sizeof(l.stage), "%s", c->stage);
	snprintf(l.counter, sizeof(l.counter), "%s", c->counter);
	snprintf(l.unit, sizeof(l.unit), "%s", c->unit);
	return l;
}

/* A recording speaks for all of its time, and there is no other: answers over it are complete
 * unless something was lost in the recording or in reading it. */
static void keep_ledger(struct replay *r)
{
	static const struct ledger_counter recording[] = {
		{ 1, LEDGER_IN, 0, "recording", "file", "bytes" },
		{ 1, LEDGER_OUT, 0, "recording", "read", "bytes" },
		{ 1, LEDGER_LOSS, 0, "recording", "damaged", "bytes" },
	};
	struct epoch_line lines[_LEDGER_MAX + ARRAY_SIZE(recording)];
	uint64_t good = MIN(r->good, r->size);
	size_t n = 0;
	int e;

	lines[n++] = counter(&recording[0], r->size);
	lines[n++] = counter(&recording[1], good);
	lines[n++] = counter(&recording[2], r->size - good);
	/* Rows go to the store directly here: what they would have passed on the way has no
	 * numbers. */
	for (size_t i = 0; i < L8_IN; i++)
		lines[n++] = counter(&ledger_counters[i],
				     ledger_get(&r->ledger, (enum ledger_id)i));
	e = store_ledger(r->store, lines, n, UINT64_MAX, true);
	if (e < 0)
		fprintf(stderr, "kelpie-agent: cannot write the ledger: %s\n", strerror(-e));
}

int replay_main(const struct config *cfg, const char *file)
{
	_cleanup_(freep) struct replay *r = calloc(1, sizeof(*r));
	struct sandbox box = { .name = "replay", .writable_dir = cfg->data_dir };
	FILE *f = fopen(file, "re");
	struct stat st;
	const char *what;
	int e;

	if (!r || !f) {
		fprintf(stderr, "kelpie-agent: cannot read %s: %s\n", file, strerror(errno));
		return 1;
	}
	if (mkdir(cfg->data_dir, 0700) < 0 && errno != EEXIST) {
		fprintf(stderr, "kelpie-agent: cannot make %s: %s\n", cfg->data_dir,
			strerror(errno));
		return 1;
	}
	r->is_kev = starts_like_kev(f);
	r->size = fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	e = sandbox_enter(&box, &what);
	if (e < 0) {
		fprintf(stderr, "kelpie-agent: %s: %s\n", what, strerror(-e));
		return 1;
	}
	if (open_store(r, cfg) < 0 || open_pipeline(r, cfg) < 0)
		return 1;
	e = r->is_kev ? replay_kev(r, f) : replay_pcap(r, f);
	(void)pipeline_stop(r->pipe, SIZE_MAX);
	pipeline_free(r->pipe);
	(void)store_flush(r->store);
	keep_ledger(r);
	store_close(r->store);
	report(r, file, e);
	fclose(f);
	if (e == -EBADMSG)
		return REPLAY_PARTIAL;
	return e < 0 ? 1 : 0;
}
