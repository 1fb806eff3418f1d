#include "collector/audit.h"

#include "base/text.h"
#include "base/clock.h"

/* Text literals and numbers may be secrets: one '?' each. White space folds. */
static void add_normalised(struct strbuf *out, struct slice sql)
{
	bool in_word = false;

	for (size_t i = 0; i < sql.n && out->len < AUDIT_SQL_MAX; i++) {
		uint8_t c = sql.p[i];

		if (c == '\'') {
			for (i++; i < sql.n &&
				  !(sql.p[i] == '\'' && !(i + 1 < sql.n && sql.p[i + 1] == '\''));)
				i += sql.p[i] == '\'' ? 2 : 1;
			strbuf_addch(out, '?');
			in_word = false;
		} else if (c >= '0' && c <= '9' && !in_word) {
			while (i + 1 < sql.n && ((sql.p[i + 1] >= '0' && sql.p[i + 1] <= '9') ||
						 sql.p[i + 1] == '.'))
				i++;
			strbuf_addch(out, '?');
		} else if (c <= ' ') {
			if (out->len && out->p[out->len - 1] != ' ')
				strbuf_addch(out, ' ');
			in_word = false;
		} else {
			strbuf_addch(out, (char)c);
			in_word = (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? true
				  : c == '_' || (c >= '0' && c <= '9')	 ? in_word || c == '_'
									 : c >= 0x80;
		}
	}
}

static void begin(struct strbuf *line, const struct request *r, const char *verb)
{
	char now[36];

	format_time_utc(clock_unix_ns(), now);
	strbuf_addf(line, "audit time=%s verb=%s source=%s", now, verb,
		    r->cfg->service_proxy	? "service-proxy"
		    : r->cfg->listener->is_unix ? "unix"
						: "tcp");
	if (r->cfg->service_proxy)
		strbuf_adds(line, " user=unknown");
	else if (r->user == UINT64_MAX)
		strbuf_adds(line, " user=token");
	else
		strbuf_addf(line, " uid=%llu pid=%d", (unsigned long long)r->user, (int)r->pid);
}

static void end(struct strbuf *line, const struct request *r)
{
	strbuf_addch(line, '\n');
	if (!line->failed && r->cfg->audit_fd >= 0 &&
	    write(r->cfg->audit_fd, line->p, line->len) < 0)
		line->failed = true; /* nobody is left to tell */
	strbuf_done(line);
}

void audit_query(const struct request *r, struct slice sql, const char *result, uint64_t rows,
		 uint64_t bytes, uint64_t took_ns)
{
	struct strbuf line = STRBUF_INIT(16 * KIB), text = STRBUF_INIT(2 * AUDIT_SQL_MAX);

	begin(&line, r, "query");
	strbuf_addf(&line, " result=%s rows=%llu bytes=%llu ms=%llu sql=", result,
		    (unsigned long long)rows, (unsigned long long)bytes,
		    (unsigned long long)(took_ns / NSEC_PER_MSEC));
	add_normalised(&text, sql);
	strbuf_add_json(&line, strbuf_slice(&text));
	strbuf_done(&text);
	end(&line, r);
}

void audit_verb(const struct request *r, const char *verb, const char *result, uint64_t rows,
		uint64_t took_ns)
{
	struct strbuf line = STRBUF_INIT(4 * KIB);

	begin(&line, r, verb);
	strbuf_addf(&line, " result=%s rows=%llu ms=%llu", result, (unsigned long long)rows,
		    (unsigned long long)(took_ns / NSEC_PER_MSEC));
	end(&line, r);
}
