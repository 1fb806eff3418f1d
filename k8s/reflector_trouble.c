#include "k8s/reflector_int.h"
#include "k8s/resources.h"

#include <stdio.h>

#define TELL_AFTER 3 /* failures in a row: those before are nobody's business */

void reflector_well(struct reflector *r)
{
	if (r->condition == 0)
		return;
	r->condition = 0;
	r->opts.ops->condition(r->opts.ctx, NULL);
}

static void tell(struct reflector *r, int code, struct slice why)
{
	char text[REFLECTOR_TEXT_MAX], status[24] = "";

	if (r->condition == code)
		return;
	r->condition = code;
	if (code > 0)
		snprintf(status, sizeof(status), "HTTP %d: ", code);
	snprintf(text, sizeof(text), "%s: %s%.*s; asked again %s",
		 k8s_resource_names(r->opts.kind)->plural, status, (int)MIN(why.n, (size_t)240),
		 (const char *)why.p, r->slow ? "every minute" : "with growing pauses");
	for (char *c = text; *c; c++)
		if ((uint8_t)*c < ' ')
			*c = ' ';
	r->opts.ops->condition(r->opts.ctx, text);
}

void reflector_fail(struct reflector *r, int code, bool at_once, struct slice why)
{
	r->counts.failed++;
	r->failures++;
	r->back_off = true;
	if (at_once || r->failures >= TELL_AFTER)
		tell(r, code, why);
}

void reflector_relist(struct reflector *r, bool newest)
{
	r->newest |= newest;
	r->phase = r->no_stream || r->no_stream_now ? REFLECTOR_LIST : REFLECTOR_STREAM;
	strbuf_reset(&r->cont);
}

/* How each error is answered; `why` is for people. */
struct refusal {
	const struct k8s_status *s;
	int code;
	bool in_stream;
	struct slice why;
};

static void expired(struct reflector *r, const struct refusal *f)
{
	reflector_fail(r, f->code, false, f->why);
	reflector_relist(r, true);
}

/* The version lies in the future of a server that was restored, or lags: it has the newest. */
static void too_large(struct reflector *r, const struct refusal *f)
{
	r->wait_min_ns = MAX(r->wait_min_ns, NSEC_PER_SEC);
	expired(r, f);
}

static void later(struct reflector *r, const struct refusal *f)
{
	reflector_fail(r, f->code, false, f->why);
}

/* A token that was rotated: the file has the next one. Twice in a row it is not that. */
static void unauthorized(struct reflector *r, const struct refusal *f)
{
	r->fresh_token = true;
	if (r->token_again)
		reflector_fail(r, f->code, true, f->why);
	r->token_again = true;
}

/* Rights and whole APIs may come later, by somebody's hand. */
static void forbidden(struct reflector *r, const struct refusal *f)
{
	r->slow = true;
	reflector_fail(r, f->code, true, f->why);
}

/* What refuses the stream by its form will always do so; a server in trouble only now. */
static void no_stream(struct reflector *r, const struct refusal *f)
{
	bool never = f->in_stream || f->code < 500;

	r->no_stream |= never;
	r->no_stream_now = true;
	if (!never)
		reflector_fail(r, f->code, false, f->why);
	reflector_relist(r, false);
}

static void server_trouble(struct reflector *r, const struct refusal *f)
{
	r->trouble_ns = MAX(r->trouble_ns, (uint64_t)1);
	reflector_fail(r, f->code, false, f->why);
	if (r->phase == REFLECTOR_WATCH && r->trouble_ns > REFLECTOR_TROUBLE_NS)
		reflector_relist(r, false);
}

static void odd(struct reflector *r, const struct refusal *f)
{
	reflector_fail(r, f->code, true, f->why);
	reflector_relist(r, true);
}

static bool says(struct slice text, const char *word)
{
	return text.n > 0 && memmem(text.p, text.n, word, strlen(word)) != NULL;
}

typedef void (*answer_fn)(struct reflector *r, const struct refusal *f);

static answer_fn answer_to(const struct reflector *r, const struct refusal *f)
{
	static const struct {
		int code;
		answer_fn fn;
	} answers[] = {
		{ 401, unauthorized }, { 403, forbidden }, { 404, forbidden },
		{ 410, expired },      { 429, later },
	};

	if (slice_eq_str(f->s->reason, "Expired") || slice_eq_str(f->s->reason, "Gone"))
		return expired;
	if (f->s->too_large ||
	    (f->code == 504 && says(f->s->message, "Too large resource version")))
		return too_large;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		if (answers[i].code == f->code)
			return answers[i].fn;
	if (r->phase == REFLECTOR_STREAM)
		return no_stream;
	return f->code >= 500 ? server_trouble : odd;
}

void reflector_refused(struct reflector *r, const struct k8s_status *s, bool in_stream)
{
	struct refusal f = {
		.s = s,
		.code = (int)MIN(s->code, 999u),
		.in_stream = in_stream,
		.why = s->message.n > 0 ? s->message : s->reason,
	};
	uint64_t after_ns = MIN(s->retry_after_s, 600u) * NSEC_PER_SEC;

	r->refused = true;
	r->wait_min_ns = MAX(after_ns, r->retry_after_ns);
	answer_to(r, &f)(r, &f);
}
