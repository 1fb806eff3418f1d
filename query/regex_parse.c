#include "query/regex_int.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>

/* Recursive descent into a tree of nodes, then the program out of the tree: {m,n} writes its
 * operand several times. Both are bounded by the pattern's length and REGEX_PROGRAM_MAX. */
enum node_kind { N_EMPTY, N_INST, N_THEN, N_EITHER, N_REPEAT };

struct node {
	uint8_t kind;  /* enum node_kind */
	uint32_t a, b; /* operands: nodes */
	struct regex_inst inst;
	uint32_t least, most; /* of N_REPEAT; most 0: no bound */
	size_t at;	      /* in the pattern */
};

#define NODES_MAX (4 * REGEX_PATTERN_MAX + 16)
#define UNBOUNDED 0

struct parser {
	struct slice in;
	size_t at;
	bool fold; /* (?i) */
	unsigned int depth;
	struct node *nodes;
	uint32_t n_nodes;
	struct regex_program *prog;
	struct regex_error *error;
};

static int fail(struct parser *p, size_t at, const char *what)
{
	snprintf(p->error->message, sizeof(p->error->message), "%s", what);
	p->error->position = at;
	return -EINVAL;
}

static bool more(const struct parser *p)
{
	return p->at < p->in.n;
}

static uint8_t peek(const struct parser *p)
{
	return more(p) ? p->in.p[p->at] : 0;
}

static bool take(struct parser *p, char c)
{
	if (!more(p) || p->in.p[p->at] != (uint8_t)c)
		return false;
	p->at++;
	return true;
}

static int add_node(struct parser *p, enum node_kind kind, uint32_t a, uint32_t b, uint32_t *ret)
{
	if (p->n_nodes >= NODES_MAX)
		return fail(p, p->at, "the pattern is too long");
	p->nodes[p->n_nodes] = (struct node){ .kind = (uint8_t)kind, .a = a, .b = b, .at = p->at };
	*ret = p->n_nodes++;
	return 0;
}

static int add_inst(struct parser *p, enum regex_op op, uint32_t x, uint32_t *ret)
{
	int r = add_node(p, N_INST, 0, 0, ret);

	if (r == 0)
		p->nodes[*ret].inst = (struct regex_inst){ .op = op, .x = x };
	return r;
}

static void class_add(struct regex_class *c, unsigned int from, unsigned int to)
{
	for (unsigned int b = from; b <= to; b++)
		c->bits[b >> 6] |= 1ULL << (b & 63);
}

static void class_invert(struct regex_class *c)
{
	for (size_t i = 0; i < 4; i++)
		c->bits[i] = ~c->bits[i];
}

static void class_fold(struct regex_class *c)
{
	for (unsigned int b = 'a'; b <= 'z'; b++) {
		unsigned int upper = b - 32;

		if (c->bits[b >> 6] >> (b & 63) & 1)
			class_add(c, upper, upper);
		else if (c->bits[upper >> 6] >> (upper & 63) & 1)
			class_add(c, b, b);
	}
}

/* \d, \w, \s and their capitals; false when the letter names none. */
static bool named_class(uint8_t letter, struct regex_class *ret)
{
	struct regex_class c = { 0 };

	switch (letter | 0x20) {
	case 'd':
		class_add(&c, '0', '9');
		break;
	case 'w':
		class_add(&c, '0', '9');
		class_add(&c, 'A', 'Z');
		class_add(&c, 'a', 'z');
		class_add(&c, '_', '_');
		break;
	case 's':
		class_add(&c, '\t', '\r');
		class_add(&c, ' ', ' ');
		break;
	default:
		return false;
	}
	if (!(letter & 0x20))
		class_invert(&c);
	*ret = c;
	return true;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that an escape means; the backslash was taken. */
static int parse_escape(struct parser *p, uint8_t *ret)
{
	static const char letters[] = "nrtfv", bytes[] = "\n\r\t\f\v";
	size_t start = p->at - 1;
	const char *hit;
	uint8_t c;

	if (!more(p))
		return fail(p, start, "a backslash at the end");
	c = p->in.p[p->at++];
	hit = c ? strchr(letters, c) : NULL;
	if (hit) {
		*ret = (uint8_t)bytes[hit - letters];
		return 0;
	}
	if (c == 'x') {
		int high = hex_digit(peek(p)), low = -1;

		if (high >= 0 && p->at + 1 < p->in.n)
			low = hex_digit(p->in.p[p->at + 1]);
		if (low < 0)
			return fail(p, start, "\\x needs two hexadecimal digits");
		p->at += 2;
		*ret = (uint8_t)(high << 4 | low);
		return 0;
	}
	if (c >= '1' && c <= '9')
		return fail(p, start, "back references are not supported");
	if (c >= 0x80 || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
		return fail(p, start, "unknown escape");
	*ret = c;
	return 0;
}

/* One member of a class: a named class was added, or *ret_byte is set to a single byte (>= 0). */
static int class_member(struct parser *p, struct regex_class *c, int *ret_byte)
{
	struct regex_class named;
	uint8_t b = p->in.p[p->at++];
	int r;

	*ret_byte = -1;
	if (b >= 0x80)
		return fail(p, p->at - 1, "a class holds only ASCII characters");
	if (b == '[' && peek(p) == ':')
		return fail(p, p->at - 1, "[:name:] is not supported, use \\d \\w \\s or ranges");
	if (b == '\\') {
		if (more(p) && named_class(p->in.p[p->at], &named)) {
			p->at++;
			for (size_t i = 0; i < 4; i++)
				c->bits[i] |= named.bits[i];
			return 0;
		}
		r = parse_escape(p, &b);
		if (r < 0)
			return r;
	}
	*ret_byte = b;
	return 0;
}

static int add_class(struct parser *p, struct regex_class c, uint32_t *ret)
{
	struct regex_program *prog = p->prog;

	if (prog->n_classes >= REGEX_CLASSES_MAX)
		return fail(p, p->at, "too many classes");
	prog->classes[prog->n_classes] = c;
	return add_inst(p, RE_CLASS, prog->n_classes++, ret);
}

/* After '['. */
static int parse_class(struct parser *p, uint32_t *ret)
{
	struct regex_class c = { 0 };
	size_t start = p->at - 1;
	bool invert = take(p, '^');

	for (bool first = true;; first = false) {
		int from, to, r;

		if (!more(p))
			return fail(p, start, "[ without ]");
		if (!first && take(p, ']'))
			break;
		r = class_member(p, &c, &from);
		if (r < 0)
			return r;
		to = from;
		if (peek(p) == '-' && p->at + 1 < p->in.n && p->in.p[p->at + 1] != ']') {
			size_t dash = p->at++;

			r = class_member(p, &c, &to);
			if (r < 0)
				return r;
			if (from < 0 || to < from)
				return fail(p, dash, "a range that ends before it starts");
		}
		if (from >= 0)
			class_add(&c, (unsigned int)from, (unsigned int)to);
	}
	if (p->fold)
		class_fold(&c);
	if (invert)
		class_invert(&c);
	return add_class(p, c, ret);
}

static int parse_byte(struct parser *p, uint8_t b, uint32_t *ret)
{
	struct regex_class c = { 0 };
	uint8_t lower = b | 0x20;

	if (!p->fold || lower < 'a' || lower > 'z')
		return add_inst(p, RE_BYTE, b, ret);
	class_add(&c, lower, lower);
	class_fold(&c);
	return add_class(p, c, ret);
}

/* All bytes of one character, so that a quantifier after it means the character. */
static int parse_character(struct parser *p, uint32_t *ret)
{
	size_t n = utf8_len(slice_from(p->in, p->at));
	int r = parse_byte(p, p->in.p[p->at++], ret);

	for (size_t i = 1; r == 0 && i < n; i++) {
		uint32_t next;

		r = add_inst(p, RE_BYTE, p->in.p[p->at++], &next);
		if (r == 0)
			r = add_node(p, N_THEN, *ret, next, ret);
	}
	return r;
}

static int parse_either(struct parser *p, uint32_t *ret);

/* After '('. */
static int parse_group(struct parser *p, uint32_t *ret)
{
	size_t start = p->at - 1;
	int r;

	if (peek(p) == '?') {
		p->at++;
		if (!take(p, ':'))
			return fail(p, start, "only (?:...) and, at the start, (?i) are supported");
	}
	if (++p->depth > REGEX_DEPTH_MAX)
		return fail(p, start, "groups are nested too deeply");
	r = parse_either(p, ret);
	if (r < 0)
		return r;
	p->depth--;
	return take(p, ')') ? 0 : fail(p, start, "( without )");
}

static int parse_backslash(struct parser *p, uint32_t *ret)
{
	struct regex_class named;
	uint8_t b = 0;
	int r;

	if (take(p, 'b'))
		return add_inst(p, RE_WORD, 0, ret);
	if (take(p, 'B'))
		return add_inst(p, RE_NOT_WORD, 0, ret);
	if (more(p) && named_class(peek(p), &named)) {
		p->at++;
		return add_class(p, named, ret);
	}
	r = parse_escape(p, &b);
	return r < 0 ? r : parse_byte(p, b, ret);
}

static int parse_atom(struct parser *p, uint32_t *ret)
{
	switch (peek(p)) {
	case '*':
	case '+':
	case '?':
		return fail(p, p->at, "nothing to repeat");
	case '(':
		p->at++;
		return parse_group(p, ret);
	case '[':
		p->at++;
		return parse_class(p, ret);
	case '.':
		p->at++;
		return add_inst(p, RE_ANY, 0, ret);
	case '^':
		p->at++;
		return add_inst(p, RE_BEGIN, 0, ret);
	case '$':
		p->at++;
		return add_inst(p, RE_END, 0, ret);
	case '\\':
		p->at++;
		return parse_backslash(p, ret);
	default:
		return parse_character(p, ret);
	}
}

static bool parse_number(struct parser *p, uint32_t *ret)
{
	size_t start = p->at;
	uint64_t v;

	while (more(p) && peek(p) >= '0' && peek(p) <= '9')
		p->at++;
	if (parse_u64(slice_of(p->in.p + start, p->at - start), &v) < 0 || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* {m}, {m,} or {m,n}; false, and nothing taken, when the brace starts none: then it is a literal.
 */
static bool parse_braces(struct parser *p, uint32_t *least, uint32_t *most, bool *empty)
{
	size_t start = p->at;

	*empty = false;
	if (!take(p, '{') || !parse_number(p, least))
		goto literal;
	*most = *least;
	*empty = *least == 0;
	if (take(p, ',')) {
		*most = UNBOUNDED;
		*empty = false;
		if (peek(p) != '}') {
			if (!parse_number(p, most))
				goto literal;
			*empty = *most == 0;
		}
	}
	if (take(p, '}'))
		return true;
literal:
	p->at = start;
	return false;
}

/* The quantifier after an atom, if there is one. */
static int parse_repeat(struct parser *p, uint32_t *node)
{
	size_t start = p->at;
	uint32_t least = 0, most = UNBOUNDED;
	bool empty = false;
	int r;

	if (take(p, '+')) {
		least = 1;
	} else if (take(p, '?')) {
		most = 1;
	} else if (!take(p, '*')) {
		if (!parse_braces(p, &least, &most, &empty))
			return 0;
		if (least > REGEX_REPEAT_MAX || most > REGEX_REPEAT_MAX)
			return fail(p, start, "at most 255 repetitions");
		if (most && most < least)
			return fail(p, start, "{m,n} with n below m");
	}
	take(p, '?'); /* lazy: the same answer to "does it match" */
	if (peek(p) == '*' || peek(p) == '+' || peek(p) == '?')
		return fail(p, p->at, "a repetition of a repetition");
	if (empty)
		return add_node(p, N_EMPTY, 0, 0, node);
	r = add_node(p, N_REPEAT, *node, 0, node);
	if (r == 0) {
		p->nodes[*node].least = least;
		p->nodes[*node].most = most;
	}
	return r;
}

static int parse_then(struct parser *p, uint32_t *ret)
{
	int r = add_node(p, N_EMPTY, 0, 0, ret);

	while (r == 0 && more(p) && peek(p) != '|' && peek(p) != ')') {
		uint32_t atom = 0;

		r = parse_atom(p, &atom);
		if (r == 0)
			r = parse_repeat(p, &atom);
		if (r == 0)
			r = add_node(p, N_THEN, *ret, atom, ret);
	}
	return r;
}

static int parse_either(struct parser *p, uint32_t *ret)
{
	int r = parse_then(p, ret);

	while (r == 0 && take(p, '|')) {
		uint32_t right = 0;

		r = parse_then(p, &right);
		if (r == 0)
			r = add_node(p, N_EITHER, *ret, right, ret);
	}
	return r;
}

static int emit(struct parser *p, size_t at, struct regex_inst inst, uint32_t *ret)
{
	struct regex_program *prog = p->prog;

	if (prog->n >= REGEX_PROGRAM_MAX)
		return fail(p, at, "the pattern is too large when its repetitions are written out");
	prog->inst[prog->n] = inst;
	*ret = prog->n++;
	return 0;
}

static int emit_node(struct parser *p, uint32_t node);

/* x|y:  split L1, L2; L1: x; jump L3; L2: y; L3: */
static int emit_either(struct parser *p, const struct node *n)
{
	struct regex_program *prog = p->prog;
	uint32_t split, jump = 0;
	int r = emit(p, n->at, (struct regex_inst){ .op = RE_SPLIT }, &split);

	if (r < 0)
		return r;
	prog->inst[split].x = prog->n;
	r = emit_node(p, n->a);
	if (r == 0)
		r = emit(p, n->at, (struct regex_inst){ .op = RE_JUMP }, &jump);
	if (r < 0)
		return r;
	prog->inst[split].y = prog->n;
	r = emit_node(p, n->b);
	prog->inst[jump].x = prog->n;
	return r;
}

/* x*:  L1: split L2, L3; L2: x; jump L1; L3: */
static int emit_star(struct parser *p, const struct node *n)
{
	struct regex_program *prog = p->prog;
	uint32_t split, jump;
	int r = emit(p, n->at, (struct regex_inst){ .op = RE_SPLIT }, &split);

	if (r < 0)
		return r;
	prog->inst[split].x = prog->n;
	r = emit_node(p, n->a);
	if (r == 0)
		r = emit(p, n->at, (struct regex_inst){ .op = RE_JUMP, .x = split }, &jump);
	prog->inst[split].y = prog->n;
	return r;
}

/* least times x, then x* or up to most - least times "x, or out". */
static int emit_repeat(struct parser *p, const struct node *n)
{
	struct regex_program *prog = p->prog;
	uint32_t splits[REGEX_REPEAT_MAX] = { 0 }, n_splits = 0;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < n->least; i++)
		r = emit_node(p, n->a);
	if (r == 0 && n->most == UNBOUNDED)
		return emit_star(p, n);
	for (uint32_t i = n->least; r == 0 && i < n->most; i++) {
		r = emit(p, n->at, (struct regex_inst){ .op = RE_SPLIT, .x = prog->n + 1 },
			 &splits[n_splits]);
		if (r == 0) {
			n_splits++;
			r = emit_node(p, n->a);
		}
	}
	for (uint32_t i = 0; i < n_splits; i++)
		prog->inst[splits[i]].y = prog->n;
	return r;
}

static int emit_node(struct parser *p, uint32_t node)
{
	const struct node *n = &p->nodes[node];
	uint32_t at;
	int r;

	switch (n->kind) {
	case N_INST:
		return emit(p, n->at, n->inst, &at);
	case N_THEN:
		r = emit_node(p, n->a);
		return r < 0 ? r : emit_node(p, n->b);
	case N_EITHER:
		return emit_either(p, n);
	case N_REPEAT:
		return emit_repeat(p, n);
	default:
		return 0;
	}
}

int regex_compile(struct slice pattern, struct regex_program *ret, struct regex_error *ret_error)
{
	_cleanup_(freep) struct node *nodes = calloc(NODES_MAX, sizeof(*nodes));
	struct parser p = { .in = pattern, .nodes = nodes, .prog = ret, .error = ret_error };
	uint32_t root = 0, end;
	int r;

	ret->inst = calloc(REGEX_PROGRAM_MAX + 1, sizeof(*ret->inst));
	ret->classes = calloc(REGEX_CLASSES_MAX, sizeof(*ret->classes));
	if (!nodes || !ret->inst || !ret->classes)
		return -ENOMEM;
	if (pattern.n > REGEX_PATTERN_MAX)
		return fail(&p, REGEX_PATTERN_MAX, "the pattern is longer than 1024 bytes");
	if (pattern.n >= 4 && memcmp(pattern.p, "(?i)", 4) == 0) {
		p.fold = true;
		p.at = 4;
	}
	r = parse_either(&p, &root);
	if (r < 0)
		return r;
	if (more(&p))
		return fail(&p, p.at, ") without (");
	r = emit_node(&p, root);
	if (r == 0)
		r = emit(&p, pattern.n, (struct regex_inst){ .op = RE_MATCH }, &end);
	return r;
}
