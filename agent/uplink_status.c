/* The answer to a status request: the store fills in fields and ledger lines through callbacks. */
#include "agent/uplink_int.h"

#include <errno.h>

struct uplink_status {
	Kelpie__Status msg;
	Kelpie__StatusField *fields[UPLINK_FIELDS_MAX];
	Kelpie__LedgerLine *ledger[UPLINK_FIELDS_MAX];
	Kelpie__LossSpan *earlier[UPLINK_FIELDS_MAX];
};

static Kelpie__StatusField *add_field(struct uplink_status *s, const char *key)
{
	Kelpie__StatusField *f;

	if (s->msg.n_fields == UPLINK_FIELDS_MAX)
		return NULL;
	f = malloc(sizeof(*f));
	if (!f)
		return NULL;
	kelpie__status_field__init(f);
	f->key = strdup(key);
	if (!f->key) {
		free(f);
		return NULL;
	}
	s->fields[s->msg.n_fields++] = f;
	return f;
}

void uplink_status_text(struct uplink_status *s, const char *key, const char *text)
{
	char *copy = strdup(text);
	Kelpie__StatusField *f = copy ? add_field(s, key) : NULL;

	if (!f) {
		free(copy);
		return;
	}
	f->value_case = KELPIE__STATUS_FIELD__VALUE_TEXT;
	f->text = copy;
}

void uplink_status_int(struct uplink_status *s, const char *key, int64_t value)
{
	Kelpie__StatusField *f = add_field(s, key);

	if (!f)
		return;
	f->value_case = KELPIE__STATUS_FIELD__VALUE_NUMBER;
	f->number = value;
}

void uplink_status_bool(struct uplink_status *s, const char *key, bool value)
{
	Kelpie__StatusField *f = add_field(s, key);

	if (!f)
		return;
	f->value_case = KELPIE__STATUS_FIELD__VALUE_FLAG;
	f->flag = value;
}

void uplink_status_ledger(struct uplink_status *s, const struct uplink_ledger_line *line)
{
	Kelpie__LedgerLine *l;

	if (s->msg.n_ledger == UPLINK_FIELDS_MAX)
		return;
	l = malloc(sizeof(*l));
	if (!l)
		return;
	kelpie__ledger_line__init(l);
	l->hop = line->hop;
	l->stage = strdup(line->stage);
	l->counter = strdup(line->counter);
	l->kind = strdup(line->kind);
	l->unit = strdup(line->unit);
	l->intentional = line->intentional;
	l->value = line->value;
	if (!l->stage || !l->counter || !l->kind || !l->unit) {
		free(l->stage);
		free(l->counter);
		free(l->kind);
		free(l->unit);
		free(l);
		return;
	}
	s->ledger[s->msg.n_ledger++] = l;
}

void uplink_status_span(struct uplink_status *s, const struct uplink_span *span)
{
	Kelpie__LossSpan *l = s->msg.n_earlier < UPLINK_FIELDS_MAX ? malloc(sizeof(*l)) : NULL;

	if (!l)
		return;
	kelpie__loss_span__init(l);
	l->from_ns = span->from_ns;
	l->to_ns = span->to_ns;
	l->unknown = span->unknown;
	l->units = span->units;
	l->bytes = span->bytes;
	l->sampled = span->sampled;
	s->earlier[s->msg.n_earlier++] = l;
}

static void status_free(struct uplink_status *s)
{
	for (size_t i = 0; i < s->msg.n_fields; i++) {
		if (s->fields[i]->value_case == KELPIE__STATUS_FIELD__VALUE_TEXT)
			free(s->fields[i]->text);
		free(s->fields[i]->key);
		free(s->fields[i]);
	}
	for (size_t i = 0; i < s->msg.n_ledger; i++) {
		free(s->ledger[i]->stage);
		free(s->ledger[i]->counter);
		free(s->ledger[i]->kind);
		free(s->ledger[i]->unit);
		free(s->ledger[i]);
	}
	for (size_t i = 0; i < s->msg.n_earlier; i++)
		free(s->earlier[i]);
	free(s);
}
DEFINE_CLEANUP(struct uplink_status, status_free)

void uplink_status_request(struct uplink *u, uint64_t id)
{
	_cleanup_(status_freep) struct uplink_status *s = calloc(1, sizeof(*s));
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;

	if (!s)
		return;
	kelpie__status__init(&s->msg);
	s->msg.id = id;
	s->msg.fields = s->fields;
	s->msg.ledger = s->ledger;
	s->msg.earlier = s->earlier;
	if (u->cfg.ops->status)
		u->cfg.ops->status(u->cfg.ctx, s);
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_STATUS;
	m.status = &s->msg;
	uplink_push(u, 0, &m, SIZE_MAX);
}
