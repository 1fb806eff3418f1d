/* Whether a connection speaks RESP. An array whose first word is the name of a command is a request
 * when it is the first thing said on a connection: a server does not begin. Later an answer may look
 * the same (a hash with a field `type`, what a list holds), so both directions have to agree: a
 * request in one, in the other an answer that could be no request. */
#include "protocols/redis/redis_int.h"
#include "base/util.h"

/* A line that only a server sends, whole and well-formed; or a bulk string's beginning. */
static bool is_answer(struct slice s)
{
	static const char *const errors[] = { "-ERR ",	       "-WRONGTYPE ", "-NOAUTH ",
					      "-NOPERM ",      "-MOVED ",     "-ASK ",
					      "-LOADING ",     "-READONLY ",  "-OOM ",
					      "-EXECABORT ",   "-NOSCRIPT ",  "-BUSY ",
					      "-CLUSTERDOWN ", "-MISCONF ",   "-WRONGPASS ",
					      "-CROSSSLOT ",   "-TRYAGAIN " };
	size_t nl = slice_find(s, '\n'), used;
	int64_t n;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (slice_starts(s, slice_str(errors[i])))
			return true;
	if (slice_starts(s, SLICE_LIT("+OK\r\n")) || slice_starts(s, SLICE_LIT("+PONG\r\n")) ||
	    slice_starts(s, SLICE_LIT("+QUEUED\r\n")) || slice_starts(s, SLICE_LIT("_\r\n")))
		return true;
	if (nl == s.n || nl < 2)
		return false;
	if (s.p[0] == '$' || s.p[0] == '%' || s.p[0] == '~' || s.p[0] == '>' || s.p[0] == ':')
		return resp_number(s, &n, &used) == RESP_OK;
	return slice_starts(s, SLICE_LIT("*0\r\n")) || slice_starts(s, SLICE_LIT("*-1\r\n"));
}

/* An array that could be no request: its first element is no bulk string, or no command. */
static bool is_array_answer(struct slice s)
{
	size_t used;
	int64_t n;

	return s.n > 0 && s.p[0] == '*' && resp_number(s, &n, &used) == RESP_OK && s.n > used &&
	       redis_request_look(s) == RESP_BAD && memchr("$:*+", s.p[used], 4) != NULL;
}

/* An inline command, whole. */
static bool is_inline(struct slice s)
{
	size_t nl = slice_find(s, '\n'), n;
	char name[REDIS_NAME_MAX];

	if (nl == s.n || nl < 2)
		return false;
	for (n = 0; n < nl && s.p[n] != ' ' && s.p[n] != '\r'; n++)
		;
	return resp_word(slice_head(s, n), sizeof(name), name) && command_find(slice_of(name, n));
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
	if (redis_request_look(request) == RESP_OK)
		return is_answer(answer) || is_array_answer(answer);
	return ping_pong(request, answer) ||
	       (is_inline(request) && is_answer(answer) && memchr("$:*%~_", answer.p[0], 6));
}

enum probe_result redis_probe(const struct probe_in *in)
{
	enum resp_got got = redis_request_look(in->head);

	if (!in->start || in->other.n > 0 || got == RESP_BAD)
		return PROBE_NO;
	return got == RESP_OK ? PROBE_REQUEST : PROBE_MORE;
}

/* Whether it may become one half of what agrees. */
static bool could_be(struct slice s)
{
	if (redis_request_look(s) != RESP_BAD || redis_push_look(s) != RESP_BAD)
		return true;
	return is_answer(s) || is_array_answer(s) || is_inline(s);
}

enum probe_result redis_probe_evidence(const struct probe_in *in)
{
	if (redis_push_look(in->head) == RESP_OK)
		return PROBE_RESPONSE;
	if (agree(in->head, in->other))
		return PROBE_REQUEST;
	if (agree(in->other, in->head))
		return PROBE_RESPONSE;
	return could_be(in->head) && (in->other.n == 0 || could_be(in->other)) ? PROBE_MORE
									       : PROBE_NO;
}
