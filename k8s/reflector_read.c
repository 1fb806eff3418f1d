#include "k8s/reflector_int.h"

#include "base/text.h"
#include "k8s/json.h"
#include "k8s/pb.h"
#include "k8s/resources.h"

#include <errno.h>

/* An object in either form. */
struct payload {
	enum frame_format format;
	uint8_t *p;
	size_t n;
};

static int decode(const struct fields *t, void *base, const struct payload *in)
{
	return in->format == FRAME_PB ? k8s_pb_read(t, base, slice_of(in->p, in->n))
				      : k8s_json_read(t, base, in->p, in->n);
}

static int decode_object(struct reflector *r, const struct payload *in)
{
	memset(&r->object, 0, sizeof(r->object));
	r->object.kind = r->opts.kind;
	return decode(k8s_object_fields(r->opts.kind), &r->object, in);
}

static uint64_t version_of(const struct k8s_object *o)
{
	uint64_t v = 0;

	parse_u64(o->meta.resource_version, &v);
	return v;
}

/* A listing may have any version of what was told, but not the same; a watch only later ones. */
static bool is_news(const struct reflector *r, const struct known_slot *slot, uint64_t version)
{
	if (version == 0 || slot->version == 0)
		return true;
	return r->phase == REFLECTOR_WATCH ? version > slot->version : version != slot->version;
}

/* An object that finds no room among the known ones is told all the same. */
static void put(struct reflector *r)
{
	struct k8s_object *o = &r->object;
	uint64_t version = version_of(o);
	struct known_uid uid;
	struct known_slot *slot;

	if (!known_uid_parse(o->meta.uid, &uid)) {
		r->counts.nameless++;
		return;
	}
	slot = known_find(&r->known, &uid);
	if (slot) {
		slot->round = r->round;
		if (!is_news(r, slot, version)) {
			r->counts.stale++;
			return;
		}
		slot->version = version;
	} else {
		known_add(&r->known, &uid, version, r->round);
	}
	r->counts.puts++;
	r->opts.ops->put(r->opts.ctx, o);
}

static void gone(struct reflector *r)
{
	struct k8s_object *o = &r->object;
	struct known_uid uid;
	struct known_slot *slot;
	uint64_t version = version_of(o);

	if (!known_uid_parse(o->meta.uid, &uid)) {
		r->counts.nameless++;
		return;
	}
	slot = known_find(&r->known, &uid);
	if (slot ? version && version < slot->version : r->known.len < K8S_KNOWN_MAX) {
		r->counts.stale++;
		return;
	}
	if (slot)
		known_del(&r->known, slot);
	r->counts.gones++;
	r->opts.ops->gone(r->opts.ctx, o);
}

static int on_added(struct reflector *r, const struct payload *in)
{
	if (decode_object(r, in) < 0 ||
	    (r->exact && !reflector_set_version(r, r->object.meta.resource_version)))
		return -EBADMSG;
	put(r);
	return 0;
}

static int on_modified(struct reflector *r, const struct payload *in)
{
	if (decode_object(r, in) < 0 || !reflector_set_version(r, r->object.meta.resource_version))
		return -EBADMSG;
	put(r);
	return 0;
}

static int on_deleted(struct reflector *r, const struct payload *in)
{
	if (decode_object(r, in) < 0 || !reflector_set_version(r, r->object.meta.resource_version))
		return -EBADMSG;
	gone(r);
	return 0;
}

static int on_bookmark(struct reflector *r, const struct payload *in)
{
	struct k8s_bookmark mark = { 0 };

	if (decode(&k8s_bookmark_fields, &mark, in) < 0 ||
	    !reflector_set_version(r, mark.resource_version))
		return -EBADMSG;
	if (r->phase == REFLECTOR_STREAM && mark.initial_end)
		reflector_complete(r);
	return 0;
}

static int on_error(struct reflector *r, const struct payload *in)
{
	struct k8s_status s = { 0 };

	if (decode(&k8s_status_fields, &s, in) < 0)
		return -EBADMSG;
	reflector_refused(r, &s, true);
	return 0;
}

/* The object inside, and that it is of the kind that was asked for, where it says its kind. */
static int open_event(struct reflector *r, struct frame f, struct slice *ret_type,
		      struct payload *ret)
{
	const struct k8s_resource_names *names = k8s_resource_names(r->opts.kind);
	struct k8s_watch_event event = { 0 };
	struct k8s_envelope e;

	*ret = (struct payload){ r->format, f.p, f.n };
	if (decode(&k8s_watch_event_fields, &event, ret) < 0 || event.object.n == 0)
		return -EBADMSG;
	*ret_type = event.type;
	if (r->format == FRAME_PB) {
		if (k8s_pb_envelope(event.object, &e) < 0)
			return -EBADMSG;
		if (!slice_eq_str(e.kind,
				  names->metadata_only ? "PartialObjectMetadata" : names->kind) &&
		    !slice_eq_str(event.type, "ERROR"))
			return -EBADMSG;
		event.object = e.raw;
	}
	/* the bytes of the frame, which may be written to */
	ret->n = event.object.n;
	ret->p = ret->n ? f.p + (event.object.p - f.p) : f.p;
	return 0;
}

static int on_event(struct reflector *r, struct frame f)
{
	static const struct {
		const char *type;
		int (*fn)(struct reflector *r, const struct payload *in);
	} types[] = {
		{ "ADDED", on_added },	     { "MODIFIED", on_modified }, { "DELETED", on_deleted },
		{ "BOOKMARK", on_bookmark }, { "ERROR", on_error },
	};
	struct payload in;
	struct slice type;

	if (open_event(r, f, &type, &in) < 0)
		return -EBADMSG;
	r->counts.events++;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (slice_eq_str(type, types[i].type)) {
			if (types[i].fn != on_error && r->phase == REFLECTOR_WATCH)
				reflector_well(r);
			return types[i].fn(r, &in);
		}
	return -EBADMSG;
}

static int read_watch(struct reflector *r, struct slice bytes)
{
	enum frame_result got;
	struct frame f;

	while ((got = frames_next(&r->frames, &bytes, &f)) == FRAME_ONE)
		if (on_event(r, f) < 0 || r->refused)
			return -EBADMSG;
	return got == FRAME_BAD ? -EBADMSG : 0;
}

static int on_list_meta(struct reflector *r, const struct payload *in)
{
	struct k8s_list_meta m = { 0 };

	if (decode(&k8s_list_meta_fields, &m, in) < 0 || m.resource_version.n == 0 ||
	    m.resource_version.n >= sizeof(r->list_version))
		return -EBADMSG;
	memcpy(r->list_version, m.resource_version.p, m.resource_version.n);
	r->list_version[m.resource_version.n] = '\0';
	strbuf_reset(&r->cont);
	strbuf_add(&r->cont, m.cont.p, m.cont.n);
	r->listed = true;
	return r->cont.failed ? -EBADMSG : 0;
}

static int read_list(struct reflector *r, struct slice bytes)
{
	enum listing_what what;
	enum frame_result got;
	struct frame f;

	while ((got = listing_next(&r->listing, &bytes, &f, &what)) == FRAME_ONE) {
		struct payload in = { r->format, f.p, f.n };

		if (what == LISTING_META) {
			if (on_list_meta(r, &in) < 0)
				return -EBADMSG;
		} else {
			if (decode_object(r, &in) < 0)
				return -EBADMSG;
			put(r);
		}
	}
	return got == FRAME_BAD ? -EBADMSG : 0;
}

int reflector_body(struct reflector *r, struct slice bytes)
{
	int e = 0;

	r->counts.bytes += bytes.n;
	if (r->refused || r->unreadable)
		return -EBADMSG;
	if (r->status != 200) {
		strbuf_add(&r->body, bytes.p, MIN(bytes.n, r->body.max - r->body.len));
		return 0;
	}
	e = r->phase == REFLECTOR_LIST ? read_list(r, bytes) : read_watch(r, bytes);
	if (e < 0 && !r->refused)
		r->unreadable = true;
	return e;
}
