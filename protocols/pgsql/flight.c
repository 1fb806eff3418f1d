#include "protocols/pgsql/flight.h"

static struct flight_entry *at(struct flight *f, unsigned int i)
{
	return &f->q[(f->head + i) % FLIGHT_MAX];
}

static struct flight_entry *youngest(struct flight *f)
{
	return f->n ? at(f, f->n - 1u) : NULL;
}

static bool has_key(uint8_t unit)
{
	return unit >= UNIT_STATEMENT;
}

struct flight_entry flight_head(const struct flight *f)
{
	return f->n ? f->q[f->head] : (struct flight_entry){ .unit = UNIT_NONE };
}

bool flight_head_open(const struct flight *f)
{
	return f->open && f->n == 1 && f->q[f->head].count == 1;
}

bool flight_full(const struct flight *f)
{
	return f->n > FLIGHT_MAX - FLIGHT_RESERVED;
}

/* Without room (what is reserved was not enough) nothing can be told any more. */
static struct flight_entry *push(struct flight *f, enum unit unit, uint8_t parts)
{
	struct flight_entry *e;

	if (f->n == FLIGHT_MAX) {
		f->hopeless = true;
		return NULL;
	}
	e = at(f, f->n++);
	*e = (struct flight_entry){ .unit = (uint8_t)unit, .parts = parts, .count = 1 };
	return e;
}

/* The youngest joins its neighbour when they are alike. */
static void merge(struct flight *f)
{
	struct flight_entry *last = youngest(f), *before;

	if (f->n < 2)
		return;
	before = at(f, f->n - 2u);
	if (last->unit != before->unit || last->parts != before->parts ||
	    before->count > UINT32_MAX - last->count)
		return;
	before->count += last->count;
	f->n--;
}

bool flight_must_drop(struct flight *f, bool whole)
{
	bool lossy = flight_lossy(f);

	f->hopeless |= lossy && f->pipelined;
	/* Behind a loss all that is older goes, also what came after it. */
	f->over = f->n > 0 && (f->hopeless || (whole && (f->over || lossy)));
	return f->over || (f->n > 0 && f->stale > 0);
}

uint64_t flight_add(struct flight *f, enum unit unit)
{
	push(f, unit, 0);
	f->open = unit == UNIT_GROUP;
	if (!f->open)
		merge(f);
	return f->next_key++;
}

void flight_part(struct flight *f, enum part part)
{
	if (f->open && f->n)
		youngest(f)->parts |= (uint8_t)part;
}

void flight_close(struct flight *f)
{
	if (f->open && f->n)
		merge(f);
	f->open = false;
}

void flight_barrier(struct flight *f)
{
	struct flight_entry *last = youngest(f);

	flight_close(f);
	last = youngest(f);
	f->barriers++;
	if (!last || !has_key(last->unit) || last->parts & PART_END) {
		push(f, UNIT_SYNC, PART_END);
		merge(f);
		return;
	}
	if (last->count > 1) {
		last->count--;
		last = push(f, (enum unit)last->unit, last->parts);
	}
	if (!last)
		return;
	last->parts |= PART_END;
	merge(f);
}

void flight_swallow(struct flight *f)
{
	while (f->n > 1 && youngest(f)->unit == UNIT_SYNC) {
		f->barriers -= youngest(f)->count;
		f->n--;
	}
	if (f->n != 1 || at(f, 0)->count != 1 || !(at(f, 0)->parts & PART_END))
		return;
	at(f, 0)->parts &= (uint8_t)~PART_END;
	f->barriers--;
}

void flight_pop(struct flight *f)
{
	struct flight_entry *e = at(f, 0);

	if (!f->n)
		return;
	if (has_key(e->unit) && !f->answered)
		f->first_key++;
	if (e->parts & PART_END) {
		f->barriers--;
		f->stale -= f->stale > 0;
	}
	if (e->unit == UNIT_LOSS)
		f->losses--;
	f->open &= !flight_head_open(f);
	f->answered = false;
	if (--e->count > 0)
		return;
	f->head = (uint16_t)((f->head + 1u) % FLIGHT_MAX);
	f->n--;
	if (f->n == 0)
		f->answers_lost = f->doubt = false;
}

void flight_answered(struct flight *f)
{
	if (!(flight_head(f).parts & PART_END)) {
		flight_pop(f);
		return;
	}
	f->answered = true;
	f->first_key++;
}

void flight_lose_requests(struct flight *f)
{
	flight_close(f);
	if (f->n && youngest(f)->unit == UNIT_LOSS)
		return;
	if (push(f, UNIT_LOSS, 0))
		f->losses++;
}

bool flight_single(const struct flight *f)
{
	return !f->doubt && flight_waiting(f) == 1 && !f->answered && f->losses == 0;
}

void flight_lose_answers(struct flight *f, uint64_t lost)
{
	bool unfinished = f->n && !(youngest(f)->parts & PART_END);
	uint32_t older = f->barriers - (f->barriers > 0 && !unfinished);

	if (f->n == 0)
		return;
	f->answers_lost = true;
	f->doubt |= lost == 0;
	if (older == 0 || lost == 0)
		return;
	f->stale = older;
	f->hopeless |= f->pipelined || lost / ANSWER_MIN < older;
}
