/* Whether a connection speaks RESP. An array whose first word is the name of a command is a request
 * when it is the first thing said on a connection: a server does not begin. Later an answer may look
 * the same (a hash with a field `type`, what a list holds), so both directions have to agree: a
 * request in one, in the other an answer that could be no request. */
#include "protocols/redis/redis_int.h"
#include "protocols/redis/value.h"
#include "base/util.h"

/* Bytes of a line as a person or a program writes it; the line may end with CR. */
static bool is_line_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' && s.p[i] != '\t' && (s.p[i] != '\r' || i + 1 < s.n))
			return false;
	return true;
}

/* Passes over values, an aggregate and its elements one behind another. RESP_OK: there was nothing else;
 * RESP_MORE: as far as it goes; RESP_BAD: what is left of s begins with none. *ret_n: how many are whole. */
static enum resp_got values_pass(struct slice *s, size_t *ret_n)
{
	for (*ret_n = 0; s->n > 0; ++*ret_n) {
		struct value v;
		enum resp_got got = value_get(*s, &v);
		struct slice left = slice_from(*s, v.used);
		size_t n = v.shape == SHAPE_BULK ? (size_t)v.n : 0;

		if (got == RESP_BAD || !is_line_text(got == RESP_OK ? v.text : *s))
			return RESP_BAD;
		if (got == RESP_MORE || v.n == RESP_STREAMED)
			return RESP_MORE;
		if (v.shape == SHAPE_BULK) {
			if ((left.n > n && left.p[n] != '\r') ||
			    (left.n > n + 1 && left.p[n + 1] != '\n'))
				return RESP_BAD;
			if (left.n < n + 2)
				return RESP_MORE;
			left = slice_from(left, n + 2);
		}
		*s = left;
	}
	return RESP_OK;
}

static enum resp_got values_look(struct slice s, size_t *ret_n)
{
	return values_pass(&s, ret_n);
}

/* An array that could be no request: its first element is no bulk string, or no command. */
static bool is_array_answer(struct slice s)
{
	size_t used;
	int64_t n;

	return s.p[0] == '*' && resp_number(s, &n, &used) == RESP_OK && s.n > used &&
	       redis_request_look(s) == RESP_BAD && memchr("$:*+", s.p[used], 4) != NULL;
}

/* Begins with what only a server says. */
static bool is_answer(struct slice s)
{
	static const char *const lines[] = {
		"-ERR ",       "-WRONGTYPE ", "-NOAUTH ",      "-NOPERM ",  "-MOVED ",
		"-ASK ",       "-LOADING ",   "-READONLY ",    "-OOM ",	    "-EXECABORT ",
		"-NOSCRIPT ",  "-BUSY ",      "-CLUSTERDOWN ", "-MISCONF ", "-WRONGPASS ",
		"-CROSSSLOT ", "-TRYAGAIN ",  "+OK\r\n",       "+PONG\r\n", "+QUEUED\r\n",
		"_\r\n",       "*0\r\n",      "*-1\r\n",
	};
	size_t used;
	int64_t n;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (slice_starts(s, slice_str(lines[i])))
			return true;
	if (memchr("$%~>:", s.p[0], 5))
		return resp_number(s, &n, &used) == RESP_OK;
	return is_array_answer(s);
}

/* RESP_OK: an answer, and whatever follows it may be some, too. */
static enum resp_got answer_look(struct slice s)
{
	size_t n;

	if (s.n == 0)
		return RESP_MORE;
	if (values_look(s, &n) == RESP_BAD)
		return RESP_BAD;
	return is_answer(s) ? RESP_OK : redis_push_look(s) == RESP_BAD ? RESP_BAD : RESP_MORE;
}

/* Lines, each of which begins with a command, and nothing else. RESP_MORE: the last one is not all
 * there. *ret_n: of those that are whole. */
static enum resp_got lines_look(struct slice s, size_t *ret_n)
{
	for (*ret_n = 0; s.n > 0; ++*ret_n) {
		size_t nl = slice_find(s, '\n'), n;
		char name[REDIS_NAME_MAX];

		if (!is_line_text(slice_head(s, nl)))
			return RESP_BAD;
		if (nl == s.n)
			return RESP_MORE;
		for (n = 0; n < nl && s.p[n] != ' ' && s.p[n] != '\r'; n++)
			;
		if (!resp_word(slice_head(s, n), sizeof(name), name) ||
		    !command_find(slice_of(name, n)))
			return RESP_BAD;
		s = slice_from(s, nl + 1);
	}
	return RESP_OK;
}

/* RESP_OK: a request as programs send it, and whatever follows may be some, too. */
static enum resp_got array_look(struct slice s)
{
	enum resp_got got = redis_request_look(s);
	size_t n;

	if (got != RESP_OK || values_pass(&s, &n) != RESP_BAD)
		return got;
	/* A line behind it. */
	return (s.p[0] | 0x20) >= 'a' && (s.p[0] | 0x20) <= 'z' ? lines_look(s, &n) : RESP_BAD;
}

/* RESP_OK: requests on lines. */
static enum resp_got inline_look(struct slice s)
{
	size_t n;
	enum resp_got got = lines_look(s, &n);

	return n > 0 ? got : RESP_BAD;
}

/* Words on a line are what many protocols send, and a line or a length is what many answer: nothing
 * may be cut off, and an answer that says how long it is, or of how many elements, must be so. */
static bool is_plain_answer(struct slice s)
{
	size_t n;

	if (answer_look(s) != RESP_OK || (values_look(s, &n) != RESP_OK && s.n < PROBE_MAX))
		return false;
	return s.p[0] == '$' || s.p[0] == ':' || s.p[0] == '_' ||
			       slice_starts(s, SLICE_LIT("*0")) || slice_starts(s, SLICE_LIT("*-1"))
		       ? n > 0
		       : memchr("*%~", s.p[0], 3) && n > 1;
}

static bool ping_pong(struct slice request, struct slice answer)
{
	return request.n >= 6 && slice_eq_nocase(slice_head(request, 4), SLICE_LIT("PING")) &&
	       slice_starts(slice_from(request, 4), SLICE_LIT("\r\n")) &&
	       slice_starts(answer, SLICE_LIT("+PONG\r\n"));
}

/* Of a request and its answer. "+OK" alone says little where words stand on a line: mail speaks so. */
static bool agree(struct slice request, struct slice answer)
{
	if (array_look(request) == RESP_OK)
		return answer_look(answer) == RESP_OK;
	if (inline_look(request) != RESP_OK)
		return false;
	return is_plain_answer(answer) ||
	       (ping_pong(request, answer) && answer_look(answer) == RESP_OK);
}

enum probe_result redis_probe(const struct probe_in *in)
{
	enum resp_got got = array_look(in->head);

	if (!in->start || in->other.n > 0 || got == RESP_BAD)
		return PROBE_NO;
	return got == RESP_OK ? PROBE_REQUEST : PROBE_MORE;
}

static bool may_request(struct slice s)
{
	return s.n == 0 || array_look(s) != RESP_BAD || inline_look(s) != RESP_BAD;
}

static bool may_answer(struct slice s)
{
	return s.n == 0 || answer_look(s) != RESP_BAD;
}

/* What names itself: nothing else may be there, and nobody who says something else. */
static bool is_push(struct slice s, struct slice requests)
{
	size_t n;

	return redis_push_look(s) == RESP_OK && values_look(s, &n) != RESP_BAD &&
	       may_request(requests);
}

enum probe_result redis_probe_evidence(const struct probe_in *in)
{
	if (is_push(in->head, in->other))
		return PROBE_RESPONSE;
	if (agree(in->head, in->other))
		return PROBE_REQUEST;
	if (agree(in->other, in->head))
		return PROBE_RESPONSE;
	return (may_request(in->head) && may_answer(in->other)) ||
			       (may_answer(in->head) && may_request(in->other))
		       ? PROBE_MORE
		       : PROBE_NO;
}
