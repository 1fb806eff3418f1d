#include "k8s/reflector_int.h"

#include "k8s/json.h"
#include "k8s/pb.h"
#include "k8s/resources.h"

#include <errno.h>

#define UNREACHABLE (-1)
#define UNREADABLE  (-2)
#define ENDED_EARLY (-3)

#define WATCH_SECONDS 300 /* how long a watch is asked for: so long, and up to as long again */

int reflector_new(const struct reflector_opts *opts, struct reflector **ret)
{
	struct reflector *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->opts = *opts;
	known_init(&r->known);
	strbuf_init(&r->url, REFLECTOR_URL_MAX);
	strbuf_init(&r->cont, REFLECTOR_CONTINUE_MAX);
	strbuf_init(&r->body, REFLECTOR_STATUS_MAX);
	frames_init(&r->frames, FRAME_PB);
	listing_init(&r->listing, FRAME_PB);
	*ret = r;
	return 0;
}

void reflector_free(struct reflector *r)
{
	known_done(&r->known);
	strbuf_done(&r->url);
	strbuf_done(&r->cont);
	strbuf_done(&r->body);
	frames_done(&r->frames);
	listing_done(&r->listing);
	free(r);
}

/* The unreserved characters of RFC 3986 section 2.3, the rest as %XX. */
static void add_escaped(struct strbuf *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
			     c == '-' || c == '.' || c == '_' || c == '~';

		strbuf_addf(out, plain ? "%c" : "%%%02X", c);
	}
}

static void add_param(struct strbuf *out, const char *name, struct slice v)
{
	strbuf_addch(out, strchr(strbuf_str(out), '?') ? '&' : '?');
	strbuf_addf(out, "%s=", name);
	add_escaped(out, v);
}

static void add_watch(struct reflector *r, uint32_t random)
{
	char seconds[16];
	int n = snprintf(seconds, sizeof(seconds), "%u", WATCH_SECONDS + random % WATCH_SECONDS);

	add_param(&r->url, "watch", SLICE_LIT("1"));
	add_param(&r->url, "allowWatchBookmarks", SLICE_LIT("true"));
	add_param(&r->url, "timeoutSeconds", slice_of(seconds, (size_t)n));
}

/* A stream names the version that was seen, if one is of use; a list then "0": whatever the server has in
 * memory. Without a version the newest is meant. */
static void add_params(struct reflector *r, uint32_t random)
{
	bool version = r->seen && !r->newest;

	if (r->phase != REFLECTOR_LIST)
		add_watch(r, random);
	if (r->phase == REFLECTOR_STREAM) {
		add_param(&r->url, "sendInitialEvents", SLICE_LIT("true"));
		add_param(&r->url, "resourceVersionMatch", SLICE_LIT("NotOlderThan"));
	}
	if (r->phase == REFLECTOR_LIST && r->cont.len > 0) {
		char limit[16];
		int n = snprintf(limit, sizeof(limit), "%u", REFLECTOR_PAGE);

		add_param(&r->url, "limit", slice_of(limit, (size_t)n));
		add_param(&r->url, "continue", strbuf_slice(&r->cont));
	} else if (version) {
		add_param(&r->url, "resourceVersion", slice_str(r->version));
	} else if (r->phase == REFLECTOR_LIST && !r->newest) {
		add_param(&r->url, "resourceVersion", SLICE_LIT("0"));
	}
	if (r->opts.field_selector && r->opts.field_selector[0])
		add_param(&r->url, "fieldSelector", slice_str(r->opts.field_selector));
}

static const char *accept_of(bool metadata_only, bool list)
{
#define PARTIAL(what) ";as=" what ";g=meta.k8s.io;v=v1"
#define BOTH(what)    "application/vnd.kubernetes.protobuf" what ",application/json" what
	if (!metadata_only)
		return BOTH("");
	return list ? BOTH(PARTIAL("PartialObjectMetadataList"))
		    : BOTH(PARTIAL("PartialObjectMetadata"));
}

static uint64_t take_wait(struct reflector *r, uint32_t random)
{
	uint64_t wait = REFLECTOR_WAIT_MAX_NS;

	if (!r->slow && r->failures < 7)
		wait = MIN(REFLECTOR_WAIT_MIN_NS << (r->failures ? r->failures - 1 : 0), wait);
	if (r->away)
		wait = MIN(wait, REFLECTOR_AWAY_MAX_NS);
	wait = r->back_off ? wait + (wait >> 10) * (random >> 22) : 0;
	wait = MAX(wait, r->wait_min_ns);
	if (r->trouble_ns)
		r->trouble_ns += wait;
	r->back_off = r->slow = r->away = false;
	r->wait_min_ns = 0;
	return wait;
}

void reflector_next(struct reflector *r, uint32_t random, struct reflector_request *ret)
{
	const struct k8s_resource_names *names = k8s_resource_names(r->opts.kind);

	*ret = (struct reflector_request){
		.wait_ns = take_wait(r, random),
		.accept = accept_of(names->metadata_only, r->phase == REFLECTOR_LIST),
		.watch = r->phase != REFLECTOR_LIST,
		.fresh_token = r->fresh_token,
	};
	strbuf_reset(&r->url);
	strbuf_adds(&r->url, names->path);
	add_params(r, random);
	ret->url = strbuf_str(&r->url);
	r->fresh_token = false;
	if (r->phase == REFLECTOR_STREAM || (r->phase == REFLECTOR_LIST && r->cont.len == 0)) {
		r->round++;
		r->counts.lists++;
	}
	r->counts.requests++;
	r->status = 0;
	r->retry_after_ns = r->told = 0;
	r->listed = r->unreadable = r->refused = false;
	r->exact = r->phase == REFLECTOR_WATCH;
	strbuf_reset(&r->body);
}

void reflector_head(struct reflector *r, int status, struct slice content_type,
		    uint64_t retry_after_s)
{
	static const struct slice pb = SLICE_LIT("application/vnd.kubernetes.protobuf");

	r->status = status;
	r->format = slice_starts(content_type, pb) ? FRAME_PB : FRAME_JSON;
	r->retry_after_ns = MIN(retry_after_s, (uint64_t)600) * NSEC_PER_SEC;
	frames_done(&r->frames);
	listing_done(&r->listing);
	frames_init(&r->frames, r->format);
	listing_init(&r->listing, r->format);
	if (status == 200)
		r->token_again = false;
}

bool reflector_set_version(struct reflector *r, struct slice version)
{
	if (version.n == 0 || version.n >= sizeof(r->version))
		return false;
	if (!slice_eq_str(version, r->version))
		r->told++;
	memcpy(r->version, version.p, version.n);
	r->version[version.n] = '\0';
	return true;
}

static void tell_swept(void *ctx, const struct known_uid *uid)
{
	struct reflector *r = ctx;
	char text[KNOWN_UID_TEXT];

	known_uid_format(uid, text);
	memset(&r->object, 0, sizeof(r->object));
	r->object.kind = r->opts.kind;
	r->object.meta.uid = slice_str(text);
	r->counts.gones++;
	r->opts.ops->gone(r->opts.ctx, &r->object);
}

void reflector_complete(struct reflector *r)
{
	known_sweep(&r->known, r->round, tell_swept, r);
	r->phase = REFLECTOR_WATCH;
	r->seen = r->exact = true;
	r->newest = r->no_stream_now = false;
	r->trouble_ns = 0;
	r->counts.synced++;
	reflector_well(r);
	r->opts.ops->synced(r->opts.ctx);
}

/* The body of an error: a Status in either form, or what a proxy on the way says. */
static void read_status(struct reflector *r)
{
	struct k8s_status s = { 0 };
	struct k8s_envelope e;
	uint8_t *text = (uint8_t *)r->body.p;

	if (k8s_pb_envelope(strbuf_slice(&r->body), &e) == 0)
		k8s_pb_read(&k8s_status_fields, &s, e.raw);
	else
		k8s_json_read(&k8s_status_fields, &s, text, r->body.len);
	s.code = (uint32_t)r->status;
	reflector_refused(r, &s, false);
}

static void end_list(struct reflector *r, bool whole)
{
	if (!whole || !r->listed || !listing_complete(&r->listing)) {
		reflector_fail(r, ENDED_EARLY, false, SLICE_LIT("the list ended before its end"));
		strbuf_reset(&r->cont);
	} else if (r->cont.len == 0 && reflector_set_version(r, slice_str(r->list_version))) {
		reflector_complete(r);
	}
}

/* A watch that held for a while, or told something, is begun again at once where it ended. */
static void end_watch(struct reflector *r, bool whole, const char *why, uint64_t lasted_ns)
{
	bool too_soon = r->told == 0 && (!whole || lasted_ns < REFLECTOR_SHORT_NS);

	if (r->phase == REFLECTOR_STREAM) {
		r->no_stream_now = true;
		r->phase = REFLECTOR_LIST;
		strbuf_reset(&r->cont);
	}
	if (too_soon)
		reflector_fail(r, ENDED_EARLY, false,
			       slice_str(whole ? "the watch ended at once" : why));
}

void reflector_end(struct reflector *r, enum reflector_end how, const char *why, uint64_t lasted_ns)
{
	if (lasted_ns >= REFLECTOR_HEALTHY_NS)
		r->failures = 0;
	if (r->trouble_ns)
		r->trouble_ns += lasted_ns;
	if (r->refused)
		return;
	if (r->unreadable) {
		r->counts.bad++;
		reflector_fail(r, UNREADABLE, false, SLICE_LIT("its answer cannot be read"));
		reflector_relist(r, true);
	} else if (r->status != 0 && r->status != 200) {
		read_status(r);
	} else if (r->status == 0) {
		r->away = true;
		reflector_fail(r, UNREACHABLE, false, slice_str(why ? why : "no answer"));
	} else if (r->phase == REFLECTOR_LIST) {
		end_list(r, how == REFLECTOR_EOF);
	} else {
		end_watch(r, how == REFLECTOR_EOF, why ? why : "the watch broke", lasted_ns);
	}
}
