/* Log lines on stderr: logfmt or JSON, one write each, control bytes escaped, cut at LOG_LINE_MAX,
 * and each call site limited to LOG_BURST lines a minute (what was held back is counted in the
 * site's next line). Programs log; libraries do not, above debug.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/util.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, _LOG_LEVEL_MAX };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

#define LOG_LINE_MAX 1024 /* bytes of one line: no captured text may flood the log */
#define LOG_BURST    20	  /* lines a minute from one call site */

struct log_site {
	uint64_t window_s; /* minute of the current window */
	uint32_t count, held;
};

/* program: the "proc" field, borrowed for ever (a literal). */
void log_setup(const char *program, enum log_level least, enum log_format format);

void log_write(struct log_site *site, enum log_level level, const char *fmt, ...) __printf(3, 4);

#define LOG_AT(level, ...)                                                                         \
	do {                                                                                       \
		static struct log_site _site;                                                      \
		log_write(&_site, (level), __VA_ARGS__);                                           \
	} while (0)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)

#endif
