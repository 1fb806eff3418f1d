/* Any bytes as a configuration file: loaded or refused with a message that stays within its bounds,
 * and what was loaded can be written and read again. */
#include "config/config.h"
#include "tests/fuzz/work.h"

#include <stdio.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Our part; the events come from the foreign YAML library. A file sets each key once, and a key not
 * known is compared with all of them. */
static const struct work_bound load_bound = { "config_load", 512, 262144 };

static char *const no_env[] = { NULL };

static int load(const void *data, size_t size, struct config *ret, struct config_diag *diag)
{
	int fd = memfd_create("config", MFD_CLOEXEC), r;
	char path[64];
	struct config_opts opts = { .file = path, .env = no_env };

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	work_begin();
	r = config_load(&opts, ret, diag);
	work_end(&load_bound, size);
	close(fd);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(4 * MIB);
	static struct config a, b;
	struct config_diag diag;
	size_t n;
	const struct config_key *keys = config_keys(&n);

	if (load(data, size, &a, &diag) < 0) {
		if (!diag.message[0] || memchr(diag.message, 0, sizeof(diag.message)) == NULL)
			abort();
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		strbuf_addf(&text, "%s: ", keys[i].name);
		config_format(&a, &keys[i], &text);
		strbuf_addch(&text, '\n');
	}
	if (load(strbuf_str(&text), text.len, &b, &diag) < 0) {
		fprintf(stderr, "%s\n%s", diag.message, strbuf_str(&text));
		abort();
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_(strbuf_done) struct strbuf x = STRBUF_INIT(MIB), y = STRBUF_INIT(MIB);

		config_format(&a, &keys[i], &x);
		config_format(&b, &keys[i], &y);
		if (!slice_eq(strbuf_slice(&x), strbuf_slice(&y)))
			abort();
	}
	return 0;
}
