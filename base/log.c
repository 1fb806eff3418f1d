#include "base/log.h"

#include "base/strbuf.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>

static struct {
	const char *program;
	enum log_level least;
	enum log_format format;
} setup = { "kelpie", LOG_INFO, LOG_FORMAT_LOGFMT };

static const char *const level_names[_LOG_LEVEL_MAX] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};

void log_setup(const char *program, enum log_level least, enum log_format format)
{
	setup.program = program;
	setup.least = least;
	setup.format = format;
}

/* Whether the site may speak now; counts what it holds back. */
static bool site_allows(struct log_site *site, uint64_t now_s, uint32_t *ret_held)
{
	uint64_t window = now_s / 60;

	*ret_held = 0;
	if (site->window_s != window) {
		*ret_held = site->held;
		*site = (struct log_site){ .window_s = window };
	}
	if (site->count >= LOG_BURST) {
		site->held++;
		return false;
	}
	site->count++;
	return true;
}

void log_write(struct log_site *site, enum log_level level, const char *fmt, ...)
{
	char text[LOG_LINE_MAX], when[36];
	struct strbuf line = STRBUF_INIT(8 * LOG_LINE_MAX);
	int saved_errno = errno, n;
	struct timespec now;
	uint32_t held;
	va_list ap;

	if (level < setup.least)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if (!site_allows(site, (uint64_t)now.tv_sec, &held))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		text[0] = 0;
	format_time_utc((uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec, when);
	strbuf_addf(
		&line,
		setup.format == LOG_FORMAT_JSON
			? "{\"time\":\"%s\",\"level\":\"%s\",\"proc\":\"%s\",\"pid\":%d,\"msg\":"
			: "time=%s level=%s proc=%s pid=%d msg=",
		when, level_names[level], setup.program, (int)getpid());
	strbuf_add_json(&line, slice_str(text));
	if (held)
		strbuf_addf(&line,
			    setup.format == LOG_FORMAT_JSON ? ",\"held_back\":%u" : " held_back=%u",
			    held);
	strbuf_adds(&line, setup.format == LOG_FORMAT_JSON ? "}\n" : "\n");
	if (!line.failed) {
		ssize_t n_written = write(STDERR_FILENO, line.p, line.len);

		(void)n_written; /* nowhere left to say that the log cannot be written */
	}
	strbuf_done(&line);
	errno = saved_errno;
}
