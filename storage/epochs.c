#include "storage/epochs.h"

#include "base/crc32c.h"
#include "base/text.h"
#include "storage/io.h"
#include "storage/memscan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#define MAGIC	   "kelpie-ledger\t1\n"
#define SUFFIX	   ".ledger"
#define NAME_MAX_  40
#define FIELDS_MAX 8

const char *const epoch_kinds[] = { "in", "out", "held", "loss" };

void epoch_init(struct epoch *e, const char *node, uint64_t epoch, uint64_t from_ns)
{
	*e = (struct epoch){ .epoch = epoch, .from_ns = from_ns, .to_ns = from_ns };
	snprintf(e->node, sizeof(e->node), "%s", node);
	/* A tab or a line's end in a name would be another field. */
	for (char *p = e->node; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = '?';
}

void epoch_done(struct epoch *e)
{
	free(e->lines);
	e->lines = NULL;
	e->n_lines = 0;
}

/* ---- counting ---- */

static struct losses sum_of(const struct epoch_line *lines, size_t n)
{
	struct losses sum = { 0 };

	for (size_t i = 0; i < n; i++)
		if (lines[i].kind == EPOCH_LOSS)
			losses_count(&sum, lines[i].counter, lines[i].intentional, lines[i].unit,
				     lines[i].value);
	return sum;
}

/* The two oldest become one: the time they name gets coarser, nothing is forgotten. */
static void add_loss(struct epoch *e, const struct epoch_loss *l)
{
	if (e->n_losses == EPOCH_LOSSES_MAX) {
		struct epoch_loss *a = &e->losses[0], *b = &e->losses[1];

		b->from_ns = MIN(a->from_ns, b->from_ns);
		b->to_ns = MAX(a->to_ns, b->to_ns);
		losses_add(&b->lost, &a->lost);
		memmove(a, b, (EPOCH_LOSSES_MAX - 1) * sizeof(*a));
		e->n_losses--;
	}
	e->losses[e->n_losses++] = *l;
	losses_add(&e->total, &l->lost);
}

int epoch_count(struct epoch *e, const struct epoch_line *lines, size_t n, uint64_t now_ns)
{
	struct epoch_loss grown;
	struct losses sum;
	bool grew;

	if (n > EPOCH_LINES_MAX)
		return -EINVAL;
	sum = sum_of(lines, n);
	grown = (struct epoch_loss){ .from_ns = MIN(e->to_ns, now_ns),
				     .to_ns = MAX(e->to_ns, now_ns),
				     .lost = losses_growth(&sum, &e->total) };
	grew = losses_any(&grown.lost);
	if (!e->lines)
		e->lines = calloc(EPOCH_LINES_MAX, sizeof(*lines));
	if (!e->lines)
		return -ENOMEM;
	if (n)
		memcpy(e->lines, lines, n * sizeof(*lines));
	e->n_lines = n;
	if (grew)
		add_loss(e, &grown);
	e->to_ns = MAX(e->to_ns, now_ns);
	return grew;
}

/* ---- writing ---- */

static void file_name(uint64_t epoch, const char *suffix, char name[NAME_MAX_])
{
	snprintf(name, NAME_MAX_, "%" PRIx64 "%s", epoch, suffix);
}

static void encode(const struct epoch *e, struct strbuf *b)
{
	strbuf_adds(b, MAGIC);
	strbuf_addf(b, "node\t%s\nepoch\t%" PRIu64 "\nrange\t%" PRIu64 "\t%" PRIu64 "\nended\t%d\n",
		    e->node, e->epoch, e->from_ns, e->to_ns, e->ended);
	for (size_t i = 0; i < e->n_lines; i++) {
		const struct epoch_line *l = &e->lines[i];

		strbuf_addf(b, "counter\t%u\t%s\t%s\t%s\t%u\t%s\t%" PRIu64 "\n", l->hop, l->stage,
			    l->counter, epoch_kinds[l->kind], l->intentional, l->unit, l->value);
	}
	for (size_t i = 0; i < e->n_losses; i++) {
		const struct epoch_loss *l = &e->losses[i];

		strbuf_addf(b,
			    "lost\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
			    "\n",
			    l->from_ns, l->to_ns, l->lost.units, l->lost.bytes, l->lost.sampled);
	}
	strbuf_addf(b, "crc\t%08x\n", crc32c(0, strbuf_str(b), b->len));
}

int epoch_write(int dirfd, const struct epoch *e)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(EPOCH_FILE_MAX);
	char name[NAME_MAX_], tmp[NAME_MAX_];
	_cleanup_(closep) int fd = -1;
	int err;

	encode(e, &text);
	if (text.failed)
		return -ENOMEM;
	file_name(e->epoch, SUFFIX, name);
	file_name(e->epoch, SUFFIX ".tmp", tmp);
	fd = io_open(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	if (fd < 0)
		return fd;
	err = io_write(fd, &(struct iovec){ text.p, text.len }, 1, 0);
	/* Before the rename: after a power failure there is the old file or the new one. */
	err = err ?: io_sync(fd);
	err = err ?: io_rename(dirfd, tmp, name);
	if (err < 0)
		(void)io_unlink(dirfd, tmp);
	return err;
}

/* ---- reading ---- */

static size_t split(struct slice line, struct slice fields[FIELDS_MAX])
{
	size_t n = 0;

	while (n < FIELDS_MAX) {
		size_t at = slice_find(line, '\t');

		fields[n++] = slice_head(line, at);
		if (at >= line.n)
			return n;
		line = slice_from(line, at + 1);
	}
	return FIELDS_MAX + 1;
}

static int numbers(const struct slice *fields, size_t n, uint64_t *ret)
{
	for (size_t i = 0; i < n; i++)
		if (parse_u64(fields[i], &ret[i]) < 0)
			return -EBADMSG;
	return 0;
}

static int take_text(char *to, size_t size, struct slice s)
{
	if (s.n >= size)
		return -EBADMSG;
	memcpy(to, s.p, s.n);
	to[s.n] = 0;
	return 0;
}

static int take_counter(struct epoch *e, const struct slice *f)
{
	struct epoch_line *l = &e->lines[e->n_lines];
	uint64_t hop, intentional;
	size_t kind = 0;

	if (e->n_lines == EPOCH_LINES_MAX || parse_u64(f[1], &hop) < 0 || hop > UINT8_MAX ||
	    parse_u64(f[5], &intentional) < 0 || intentional > 1 ||
	    parse_u64(f[7], &l->value) < 0 || take_text(l->stage, sizeof(l->stage), f[2]) < 0 ||
	    take_text(l->counter, sizeof(l->counter), f[3]) < 0 ||
	    take_text(l->unit, sizeof(l->unit), f[6]) < 0)
		return -EBADMSG;
	while (kind < 4 && !slice_eq_str(f[4], epoch_kinds[kind]))
		kind++;
	if (kind == 4)
		return -EBADMSG;
	l->hop = (uint8_t)hop;
	l->intentional = (uint8_t)intentional;
	l->kind = (uint8_t)kind;
	e->n_lines++;
	return 0;
}

static int take_line(struct epoch *e, struct slice line)
{
	struct slice f[FIELDS_MAX];
	uint64_t v[FIELDS_MAX];
	size_t n = split(line, f);

	if (n == 2 && slice_eq_str(f[0], "node"))
		return take_text(e->node, sizeof(e->node), f[1]);
	if (n == 8 && slice_eq_str(f[0], "counter"))
		return take_counter(e, f);
	if (n < 2 || n > FIELDS_MAX || numbers(f + 1, n - 1, v) < 0)
		return -EBADMSG;
	if (n == 2 && slice_eq_str(f[0], "epoch")) {
		e->epoch = v[0];
	} else if (n == 3 && slice_eq_str(f[0], "range")) {
		e->from_ns = v[0];
		e->to_ns = v[1];
	} else if (n == 2 && slice_eq_str(f[0], "ended")) {
		e->ended = v[0] == 1;
	} else if (n == 6 && slice_eq_str(f[0], "lost") && e->n_losses < EPOCH_LOSSES_MAX) {
		add_loss(e, &(struct epoch_loss){ v[0], v[1], { v[2], v[3], v[4] } });
	} else {
		return -EBADMSG;
	}
	return 0;
}

/* Also the proof that the file is whole: its last line is the sum of all before. */
static int decode(struct slice text, struct epoch *e)
{
	struct slice magic = slice_str(MAGIC), last;
	char sum[24];
	size_t at;

	if (!slice_starts(text, magic) || text.p[text.n - 1] != '\n')
		return -EBADMSG;
	for (at = text.n - 1; at > 0 && text.p[at - 1] != '\n';)
		at--;
	last = slice_from(text, at);
	snprintf(sum, sizeof(sum), "crc\t%08x\n", crc32c(0, text.p, at));
	if (!slice_eq_str(last, sum))
		return -EBADMSG;
	text = slice_from(slice_head(text, at), magic.n);
	e->lines = calloc(EPOCH_LINES_MAX, sizeof(*e->lines));
	if (!e->lines)
		return -ENOMEM;
	while (text.n) {
		size_t end = slice_find(text, '\n');
		int err = take_line(e, slice_head(text, end));

		if (err < 0)
			return err;
		text = slice_from(text, end + 1);
	}
	return e->epoch && e->from_ns <= e->to_ns ? 0 : -EBADMSG;
}

static int read_file(int dirfd, const char *name, struct epoch *ret, uint64_t *ret_bytes)
{
	_cleanup_(freep) uint8_t *text = malloc(EPOCH_FILE_MAX);
	int fd = io_open(dirfd, name, O_RDONLY, 0);
	size_t n = 0;
	ssize_t got = 1;
	int err;

	if (fd < 0 || !text) {
		closep(&fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	while (got > 0 && n < EPOCH_FILE_MAX) {
		got = read(fd, text + n, EPOCH_FILE_MAX - n);
		n += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	*ret = (struct epoch){ 0 };
	err = got < 0 || n == 0 || n == EPOCH_FILE_MAX ? -EBADMSG : decode(slice_of(text, n), ret);
	if (err < 0)
		epoch_done(ret);
	*ret_bytes = n;
	return err;
}

/* Whether it is a file of ours; *ret_tmp: half-written. */
static bool is_ledger(const char *name, uint64_t *ret_epoch, bool *ret_tmp)
{
	size_t digits = strspn(name, "0123456789abcdef");

	*ret_tmp = strcmp(name + digits, SUFFIX ".tmp") == 0;
	if (digits == 0 || digits > 16 || (!*ret_tmp && strcmp(name + digits, SUFFIX) != 0))
		return false;
	*ret_epoch = 0;
	for (size_t i = 0; i < digits; i++)
		*ret_epoch = *ret_epoch << 4 |
			     (uint64_t)(name[i] <= '9' ? name[i] - '0' : name[i] - 'a' + 10);
	return true;
}

static int descending(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x < *y) - (*x > *y);
}

/* The names there are, newest first, at most EPOCHS_MAX. A crowded directory is read in one go all
 * the same: what does not fit is older than all that is kept, or deleted. */
static int list_files(int dirfd, bool prune, uint64_t list[EPOCHS_MAX], size_t *ret_n)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char oldest[NAME_MAX_];
	struct dirent *e;
	uint64_t epoch;
	bool tmp;

	if (!d) {
		int err = -errno;

		closep(&fd);
		return err;
	}
	*ret_n = 0;
	while ((e = readdir(d))) {
		if (!is_ledger(e->d_name, &epoch, &tmp))
			continue;
		if (tmp) {
			if (prune)
				(void)io_unlink(dirfd, e->d_name);
			continue;
		}
		if (*ret_n == EPOCHS_MAX) {
			uint64_t drop = MIN(epoch, list[EPOCHS_MAX - 1]);

			file_name(drop, SUFFIX, oldest);
			if (prune)
				(void)io_unlink(dirfd, oldest);
			if (drop == epoch)
				continue;
			--*ret_n;
		}
		list[(*ret_n)++] = epoch;
		qsort(list, *ret_n, sizeof(*list), descending);
	}
	closedir(d);
	return 0;
}

int epochs_read(int dirfd, bool prune, struct epochs *ret)
{
	struct epochs all = { .v = calloc(EPOCHS_MAX, sizeof(*all.v)) };
	uint64_t list[EPOCHS_MAX], bytes = 0;
	char name[NAME_MAX_];
	size_t n = 0;
	int err = all.v ? list_files(dirfd, prune, list, &n) : -ENOMEM;

	for (size_t i = err ? 0 : n; i-- > 0 && !err;) {
		int r;

		file_name(list[i], SUFFIX, name);
		r = read_file(dirfd, name, &all.v[all.n], &bytes);
		if (r == 0 && all.v[all.n].epoch != list[i]) {
			epoch_done(&all.v[all.n]);
			r = -EBADMSG;
		}
		if (r == -ENOMEM)
			err = r;
		else if (r == -EBADMSG)
			all.bad++;
		else if (r == 0)
			all.n++;
		all.bytes += r == 0 || r == -EBADMSG ? bytes : 0;
	}
	if (err < 0) {
		epochs_done(&all);
		return err;
	}
	*ret = all;
	return 0;
}

void epochs_done(struct epochs *e)
{
	for (size_t i = 0; i < e->n; i++)
		epoch_done(&e->v[i]);
	free(e->v);
	*e = (struct epochs){ 0 };
}

/* ---- questions ---- */

static void add_losses(const struct epoch *e, const struct loss_times *t, struct loss_cover *ret)
{
	for (size_t k = 0; k < e->n_losses; k++) {
		const struct epoch_loss *l = &e->losses[k];

		if (l->to_ns < t->from_ns || l->from_ns > t->to_ns)
			continue;
		losses_add(&ret->lost, &l->lost);
	}
}

/* Runs may overlap where a clock was set back: the end of what is known is the furthest one. */
void epochs_cover(const struct epochs *e, const struct loss_times *t, struct loss_cover *ret)
{
	uint64_t known_to = t->known_from_ns, next = t->known_to_ns;
	size_t i = 0;

	*ret = (struct loss_cover){ 0 };
	for (; i < e->n; i++)
		add_losses(&e->v[i], t, ret);
	for (i = 0; i < e->n; i++) {
		if (e->v[i].to_ns < known_to)
			continue;
		if (e->v[i].from_ns > known_to) {
			next = MIN(next, e->v[i].from_ns);
			break;
		}
		known_to = e->v[i].to_ns;
	}
	if (known_to < next) {
		ret->unknown_from_ns = known_to;
		ret->unknown_to_ns = next;
	}
}

static int add_row(const struct epoch *e, const struct epoch_line *l, struct row_builder *b,
		   struct mem_rows *to)
{
	char epoch[20];

	snprintf(epoch, sizeof(epoch), "%" PRIx64, e->epoch);
	row_begin(b, TABLE_LEDGER);
	row_text(b, COL_NODE, slice_str(e->node));
	row_text(b, COL_EPOCH_TEXT, slice_str(epoch));
	row_int(b, COL_HOP, l->hop);
	row_text(b, COL_STAGE, slice_str(l->stage));
	row_text(b, COL_COUNTER, slice_str(l->counter));
	row_text(b, COL_LEDGER_KIND, slice_str(epoch_kinds[l->kind]));
	row_int(b, COL_INTENTIONAL, l->intentional);
	row_text(b, COL_UNIT, slice_str(l->unit));
	row_int(b, COL_VALUE, (int64_t)l->value);
	return mem_rows_add(to, b, 0);
}

int epochs_rows(const struct epochs *e, struct mem_rows *to)
{
	_cleanup_(freep) struct row_builder *b = calloc(1, sizeof(*b));
	int err = b ? 0 : -ENOMEM;

	for (size_t i = 0; i < e->n && !err; i++)
		for (size_t k = 0; k < e->v[i].n_lines && !err; k++)
			err = add_row(&e->v[i], &e->v[i].lines[k], b, to);
	return err;
}
