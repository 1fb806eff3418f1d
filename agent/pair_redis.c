/* Hop 6 for Redis and Valkey: which of a command is kept (its name, its key and the key's shape, its
 * option words), what the prefix of an error means, and the columns of a finished exchange.
 */
#include "agent/pair_text.h"
#include "agent/pipeline_int.h"
#include "protocols/redis/redis.h"

#include <string.h>

#define ARGS_MAX   256
#define PREFIX_MAX 24 /* bytes of what an error begins with */

/* What is kept of an exchange. */
enum redis_text { TEXT_METHOD, TEXT_KEY, TEXT_ARGS, TEXT_MESSAGE, _REDIS_TEXT_MAX };
enum redis_num { NUM_REPLY_TYPE, _REDIS_NUM_MAX };

_Static_assert(_REDIS_TEXT_MAX <= EXCHANGE_TEXTS, "texts");
_Static_assert(_REDIS_NUM_MAX <= EXCHANGE_NUMS, "numbers");

static void redis_field(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
			struct slice v)
{
	(void)p;
	(void)kind;
	switch (f) {
	case FIELD_METHOD:
		exchange_keep(x, TEXT_METHOD, v, 2 * REDIS_NAME_MAX + 1);
		break;
	case FIELD_KEY:
		exchange_keep(x, TEXT_KEY, v, REDIS_KEY_MAX);
		break;
	case FIELD_ARG:
		if (x->text[TEXT_ARGS].n)
			exchange_keep(x, TEXT_ARGS, SLICE_LIT(" "), ARGS_MAX);
		exchange_keep(x, TEXT_ARGS, v, ARGS_MAX);
		break;
	case FIELD_MESSAGE:
		exchange_keep(x, TEXT_MESSAGE, v, REDIS_MESSAGE_MAX);
		break;
	default:
		break;
	}
}

static void redis_num(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
		      int64_t v)
{
	(void)p;
	(void)kind;
	if (f == FIELD_REPLY_TYPE)
		x->num[NUM_REPLY_TYPE] = v;
}

/* ---- errors ---- */

enum blame { BLAME_CLIENT, BLAME_SERVER, BLAME_NOBODY };

/* Whose fault an error is, by its prefix; the caller's, for those that are not here. */
static const struct {
	const char *prefix;
	uint8_t blame;
} prefixes[] = {
	{ "MOVED", BLAME_NOBODY },	  { "ASK", BLAME_NOBODY },
	{ "REDIRECT", BLAME_NOBODY },	  { "OOM", BLAME_SERVER },
	{ "LOADING", BLAME_SERVER },	  { "BUSY", BLAME_SERVER },
	{ "MASTERDOWN", BLAME_SERVER },	  { "CLUSTERDOWN", BLAME_SERVER },
	{ "READONLY", BLAME_SERVER },	  { "MISCONF", BLAME_SERVER },
	{ "TRYAGAIN", BLAME_SERVER },	  { "NOREPLICAS", BLAME_SERVER },
	{ "NOMASTERLINK", BLAME_SERVER }, { "NOGOODSLAVE", BLAME_SERVER },
	{ "INPROG", BLAME_SERVER },	  { "IOERR", BLAME_SERVER },
	{ "UNKILLABLE", BLAME_SERVER },
};

/* The word in capitals that an error begins with; ERR when there is none. */
static struct slice prefix_of(struct slice message)
{
	struct slice s = slice_head(message, slice_find(message, ' '));

	if (s.n == 0 || s.n > PREFIX_MAX)
		return SLICE_LIT("ERR");
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < 'A' || s.p[i] > 'Z') && s.p[i] != '_')
			return SLICE_LIT("ERR");
	return s;
}

static enum blame blame_of(struct slice prefix)
{
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (slice_eq_str(prefix, prefixes[i].prefix))
			return (enum blame)prefixes[i].blame;
	return BLAME_CLIENT;
}

/* The message without what it quotes, which is what the client has sent: everything from the first
 * quote to the last one of its kind. out: REDIS_MESSAGE_MAX bytes. */
static struct slice without_quoted(struct slice s, bool cut, char *out)
{
	size_t from = 0, to = s.n, n;

	while (from < s.n && !memchr("'\"`", s.p[from], 3))
		from++;
	if (from == s.n)
		return s;
	while (to > from + 1 && s.p[to - 1] != s.p[from])
		to--;
	if (to == from + 1 && !cut)
		return s; /* an apostrophe */
	if (to == from + 1 || cut)
		to = s.n;
	if (to - from < 3)
		return s;
	n = from + 1;
	memcpy(out, s.p, n);
	out[n++] = '?';
	out[n++] = (char)s.p[from];
	memcpy(out + n, s.p + to, s.n - to);
	return slice_of(out, n + s.n - to);
}

static void put_error(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	struct slice message = exchange_text(x, TEXT_MESSAGE), prefix = prefix_of(message);
	enum blame blame = blame_of(prefix);
	char text[REDIS_MESSAGE_MAX];
	uint8_t buf[REDACT_BUF];
	bool cut = x->msg[MSG_RESPONSE].flags & MSG_TRUNCATED;

	join_text(p, b, COL_STATUS, prefix);
	row_int(b, COL_FAILED, blame == BLAME_SERVER);
	row_int(b, COL_CLIENT_ERROR, blame == BLAME_CLIENT);
	message = text_redacted(p, COL_DB_MESSAGE, without_quoted(message, cut, text), buf);
	row_text(b, COL_DB_MESSAGE, message);
	row_text(b, COL_ERROR, message);
}

static void put_answer(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	int64_t type = x->num[NUM_REPLY_TYPE];
	const char *name = redis_type_name(type);

	if (!name)
		return;
	join_literal(p, b, COL_DB_REPLY_TYPE, name);
	if (x->kind == EXCHANGE_PUSH)
		return;
	if (type == REDIS_ERROR) {
		put_error(p, x, b);
		return;
	}
	join_literal(p, b, COL_STATUS, type == REDIS_QUEUED ? "QUEUED" : "OK");
	row_int(b, COL_FAILED, 0);
	row_int(b, COL_CLIENT_ERROR, 0);
}

static void put_key(struct pipeline *p, struct conn *c, struct exchange *x, struct row_builder *b)
{
	uint64_t server = conn_server_number(c);
	struct slice key = exchange_text(x, TEXT_KEY);
	char shape[PATH_TEMPLATE_MAX];
	uint8_t buf[REDACT_BUF];

	if (!key.n)
		return;
	key = text_redacted(p, COL_DB_KEY, key, buf);
	row_text(b, COL_DB_KEY, key);
	join_text(p, b, COL_RESOURCE,
		  slice_of(shape, path_guard_key(&p->paths, server, key, shape)));
}

static void redis_columns(struct pipeline *p, struct conn *c, struct exchange *x,
			  struct row_builder *b)
{
	struct slice method = exchange_text(x, TEXT_METHOD), args = exchange_text(x, TEXT_ARGS);

	put_session(p, c, b);
	put_redacted(p, b, COL_METHOD, method);
	if (x->kind != EXCHANGE_PUSH)
		put_redacted(p, b, COL_DB_COMMAND, method);
	put_key(p, c, x, b);
	if (args.n)
		row_text(b, COL_DB_ARGS, args);
	put_answer(p, x, b);
}

const struct pair_ops pair_redis_ops = {
	.table = TABLE_REDIS,
	.field = redis_field,
	.num = redis_num,
	.columns = redis_columns,
};
