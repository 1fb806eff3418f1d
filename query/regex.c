#include "query/regex.h"

#include "query/regex_int.h"

#include <errno.h>

/* Running: all states of the program move over the text together. A set of states is a list plus,
 * for membership, the index of each instruction in it (Briggs and Torczon 1993), so emptying it
 * costs nothing and one byte of text costs at most one visit of each instruction. */
struct set {
	uint32_t *dense, *sparse;
	uint32_t n;
};

struct regex {
	struct regex_program prog;
	struct set now, next;
	uint32_t *stack;
	uint32_t *memory; /* of the sets and the stack */
	uint64_t steps;
};

static bool is_word(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '_';
}

/* before, after: the bytes around the place, -1 at the ends of the text. */
static bool holds(enum regex_op op, int before, int after)
{
	switch (op) {
	case RE_BEGIN:
		return before < 0;
	case RE_END:
		return after < 0;
	case RE_WORD:
		return is_word(before) != is_word(after);
	default:
		return is_word(before) == is_word(after);
	}
}

static bool set_has(const struct set *s, uint32_t pc)
{
	return s->sparse[pc] < s->n && s->dense[s->sparse[pc]] == pc;
}

/* Adds pc and all that is reached from it without a byte. The stack holds each instruction once. */
static void follow(struct regex *re, struct set *s, uint32_t pc, int before, int after)
{
	uint32_t depth = 0;

	re->stack[depth++] = pc;
	while (depth > 0) {
		const struct regex_inst *in;

		pc = re->stack[--depth];
		if (set_has(s, pc))
			continue;
		s->sparse[pc] = s->n;
		s->dense[s->n++] = pc;
		re->steps++;
		in = &re->prog.inst[pc];
		if (in->op == RE_JUMP) {
			re->stack[depth++] = in->x;
		} else if (in->op == RE_SPLIT) {
			re->stack[depth++] = in->x;
			re->stack[depth++] = in->y;
		} else if (in->op >= RE_BEGIN && holds(in->op, before, after)) {
			re->stack[depth++] = pc + 1;
		}
	}
}

static bool takes(const struct regex_program *prog, const struct regex_inst *in, uint8_t c)
{
	switch (in->op) {
	case RE_BYTE:
		return in->x == c;
	case RE_ANY:
		return c != '\n';
	case RE_CLASS:
		return prog->classes[in->x].bits[c >> 6] >> (c & 63) & 1;
	default:
		return false;
	}
}

/* Whether the set holds the end of the program. */
static bool matched(const struct regex *re)
{
	return set_has(&re->now, re->prog.n - 1);
}

static void advance(struct regex *re, uint8_t c, int after)
{
	struct set swap = re->now;

	re->next.n = 0;
	for (uint32_t i = 0; i < re->now.n; i++) {
		uint32_t pc = re->now.dense[i];

		re->steps++;
		if (takes(&re->prog, &re->prog.inst[pc], c))
			follow(re, &re->next, pc + 1, c, after);
	}
	re->now = re->next;
	re->next = swap;
}

static size_t find_literal(const struct regex *re, struct slice text, size_t from)
{
	const uint8_t *hit;

	if (!re->prog.literal_n)
		return from;
	hit = memmem(text.p + from, text.n - from, re->prog.literal, re->prog.literal_n);
	return hit ? (size_t)(hit - text.p) : SIZE_MAX;
}

bool regex_match(struct regex *re, struct slice text)
{
	re->now.n = 0;
	if (!text.n)
		text.p = (const uint8_t *)"";
	for (size_t i = 0;; i++) {
		int before = i > 0 ? text.p[i - 1] : -1;
		int after;

		if (re->now.n == 0) {
			if (re->prog.anchored && i > 0)
				return false;
			i = find_literal(re, text, i);
			if (i == SIZE_MAX)
				return false;
			before = i > 0 ? text.p[i - 1] : -1;
		}
		after = i < text.n ? text.p[i] : -1;
		if (!re->prog.anchored || i == 0)
			follow(re, &re->now, 0, before, after);
		if (matched(re))
			return true;
		if (i >= text.n)
			return false;
		advance(re, text.p[i], i + 1 < text.n ? text.p[i + 1] : -1);
		if (matched(re))
			return true;
	}
}

struct slice regex_literal(const struct regex *re)
{
	return slice_of(re->prog.literal, re->prog.literal_n);
}

uint64_t regex_steps(const struct regex *re)
{
	return re->steps;
}

void regex_free(struct regex *re)
{
	if (!re)
		return;
	free(re->prog.inst);
	free(re->prog.classes);
	free(re->memory);
	free(re);
}

/* The bytes with which each match has to begin: those before the first choice. */
static void find_prefix(struct regex_program *prog)
{
	uint32_t pc = 0;

	while (pc < prog->n && prog->inst[pc].op == RE_BYTE &&
	       prog->literal_n < sizeof(prog->literal))
		prog->literal[prog->literal_n++] = (uint8_t)prog->inst[pc++].x;
	prog->anchored = prog->inst[0].op == RE_BEGIN;
}

int regex_new(struct slice pattern, struct regex **ret, struct regex_error *ret_error)
{
	_cleanup_(regex_freep) struct regex *re = calloc(1, sizeof(*re));
	size_t n;
	int r;

	if (!re)
		return -ENOMEM;
	r = regex_compile(pattern, &re->prog, ret_error);
	if (r < 0)
		return r;
	find_prefix(&re->prog);
	n = re->prog.n;
	/* Two sets of two lists and a stack; an instruction pushes at most two others. */
	re->memory = calloc(n * 6 + 2, sizeof(*re->memory));
	if (!re->memory)
		return -ENOMEM;
	re->now = (struct set){ re->memory, re->memory + n, 0 };
	re->next = (struct set){ re->memory + 2 * n, re->memory + 3 * n, 0 };
	re->stack = re->memory + 4 * n;
	*ret = TAKE_PTR(re);
	return 0;
}
