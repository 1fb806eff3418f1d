/* One cell as text: with units for people, exactly for programs. */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include "cli/answer.h"

struct format_clock {
	bool utc;
	uint64_t now_ns; /* times of today are shown without a date */
};

/* For a table: "12.3ms", "1.2k/s", "12:03:04.118", "-" for NULL. Escaped already (screen.h). */
void format_cell(const struct datum *d, enum shape shape, const struct format_clock *clock,
		 struct strbuf *out);
/* For JSON, CSV: RFC 3339 times, numbers exactly, booleans 0/1. No quotes, no escapes. NULL:
 * nothing.*/
void format_exact(const struct datum *d, enum shape shape, struct strbuf *out);
/* The shortest decimal that reads back as the same double. */
void format_real(double v, struct strbuf *out);

void format_duration(uint64_t ns, struct strbuf *out);
void format_count(double v, struct strbuf *out);
void format_bytes(uint64_t v, struct strbuf *out);
/* Whether cells of this shape stand at the right of their column. */
bool format_right(enum shape shape, const char *type);

#endif
