/* Hop 5: the loop around a parser. The parsers are handwritten code over hostile bytes, so what
 * they promise is checked here after each call, in every build; one that breaks its word is not
 * called again for this connection. */
#include "protocols/protocol.h"
#include "base/util.h"

struct drive {
	const struct proto_ops *ops;
	void *st;
	struct sink *out;
	struct parse_in in; /* what is left of the buffer */
	struct drive_result ret;
	uint64_t lost_at; /* where the last PARSE_RESYNC was answered */
	bool lost;
};

static void pass(struct drive *d, size_t n)
{
	d->in.buf = slice_from(d->in.buf, n);
	d->in.off += n;
	d->ret.consumed += n;
}

/* What is wrong with an answer; ends: messages that ended during the call. */
static bool broken(const struct drive *d, const struct parse_result *r, uint64_t ends)
{
	if (r->consumed > d->in.buf.n || ends > 1)
		return true;
	if (r->skip && (r->st != PARSE_OK || r->skip > PARSE_SKIP_ALL))
		return true;
	switch (r->st) {
	case PARSE_OK:
		return d->in.buf.n > 0 && r->consumed == 0 && r->skip == 0 && ends == 0;
	case PARSE_NEED:
		return r->consumed != 0 || r->need <= d->in.buf.n || r->need > d->ops->max_need ||
		       d->in.eof;
	case PARSE_WAIT:
		return d->in.force;
	case PARSE_RESYNC:
	case PARSE_SWITCH:
	case PARSE_UNPACK:
	case PARSE_STOP:
		return false;
	}
	return true;
}

/* Skips to the next plausible start. A parser that is lost twice at one place is moved on by a
 * byte. */
static bool drive_resync(struct drive *d)
{
	bool stuck = d->lost && d->lost_at == d->in.off;
	size_t step = stuck && d->in.buf.n > 0 ? 1 : 0;
	struct slice rest = slice_from(d->in.buf, step);
	size_t at = d->ops->resync(d->st, rest, d->in.dir);

	if (at > rest.n)
		return false;
	d->ret.resynced += step + at;
	pass(d, step + at);
	d->lost = true;
	d->lost_at = d->in.off;
	return true;
}

/* Applies one answer. Whether the parser is to be called again at once. */
static bool drive_step(struct drive *d, const struct parse_result *r)
{
	uint64_t skip;

	pass(d, r->consumed);
	d->ret.st = r->st;
	switch (r->st) {
	case PARSE_OK:
		if (!r->skip)
			return d->in.buf.n > 0;
		skip = MIN(r->skip, (uint64_t)d->in.buf.n);
		pass(d, (size_t)skip);
		d->ret.skip = r->skip - skip;
		return d->ret.skip == 0;
	case PARSE_NEED:
		d->ret.need = r->need;
		return false;
	case PARSE_RESYNC:
		d->ret.st = PARSE_OK;
		if (!drive_resync(d)) {
			d->ret.violated = true;
			return false;
		}
		return d->in.buf.n > 0;
	case PARSE_SWITCH:
		d->ret.next = r->next;
		return false;
	case PARSE_STOP:
		d->ret.why = r->why;
		return false;
	case PARSE_UNPACK:
	case PARSE_WAIT:
		return false;
	}
	return false;
}

static bool drive_once(struct drive *d)
{
	uint64_t ends = d->out->ends;
	struct parse_result r = d->ops->parse(d->st, &d->in, d->out);

	if (broken(d, &r, d->out->ends - ends)) {
		d->ret.violated = true;
		return false;
	}
	return drive_step(d, &r);
}

struct drive_result proto_drive(const struct proto_ops *ops, void *st, struct parse_in in,
				struct sink *out)
{
	struct drive d = { .ops = ops, .st = st, .out = out, .in = in };

	while (drive_once(&d))
		;
	if (in.eof && d.in.buf.n == 0 && in.buf.n > 0 && d.ret.st == PARSE_OK && !d.ret.violated &&
	    !d.ret.skip)
		drive_once(&d);
	if (d.ret.violated)
		d.ret.st = PARSE_STOP;
	return d.ret;
}
