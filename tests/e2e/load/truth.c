/* kelpie-truth: are these rows the exchanges that took place?
 *
 * Joins CSV rows (a SELECT's output) with ground truth on column seq and counts what is missing,
 * extra, there twice, different in a field, or paired with the answer to another request (column
 * response_seq). Every column that both sides have is compared unless told otherwise, so the SELECT
 * chooses what is checked by naming its columns like the truth's.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csv.h"
#include "text.h"

#define TRUTHS_MAX	 64
#define HEADER_BYTES_MAX 4096

struct input {
	const char *path;
	const char *text;
	size_t n;
	size_t first; /* offset of the first record */
	struct csv_record header;
	int seq, kind, outcome, interim;
};

struct entry {
	uint64_t seq;
	uint64_t at; /* offset in the truth file; 0: free */
	uint32_t file;
	bool seen;
};

struct field {
	char name[64];
	int rows_column;
	bool bytes; /* known only for exchanges that were answered in full */
	uint64_t differing;
};

struct options {
	const char *truths[TRUTHS_MAX];
	unsigned int n_truths;
	const char *rows, *fields, *missing_out, *skip_kinds;
	unsigned int examples;
	uint64_t expect_missing;
	bool interim_counts;
};

struct compare {
	struct options o;
	struct input truth[TRUTHS_MAX];
	struct input rows;
	struct entry *table;
	size_t mask;
	uint64_t n_truth, n_rows, matched, missing, extra, duplicate, crossed;
	struct field field[CSV_FIELDS_MAX];
	size_t n_fields;
	unsigned int shown;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "kelpie-truth: %s: %s\n", what, why);
	exit(2);
}

/* Standard input may be a pipe: read it whole. */
static void slurp(struct input *in)
{
	size_t room = 1u << 20;
	char *p = malloc(room);
	ssize_t r = 0;

	while (p && (r = read(STDIN_FILENO, p + in->n, room - in->n)) > 0) {
		in->n += (size_t)r;
		if (in->n == room)
			p = realloc(p, room *= 2);
	}
	if (!p || r < 0)
		die("standard input", strerror(errno));
	in->text = p;
}

static void map_file(struct input *in)
{
	int fd = open(in->path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p = NULL;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(in->path, strerror(errno));
	if (st.st_size > 0)
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		die(in->path, strerror(errno));
	close(fd);
	in->text = p;
	in->n = (size_t)st.st_size;
}

static void input_open(struct input *in, const char *path)
{
	*in = (struct input){ .path = path };
	if (strcmp(path, "-") == 0)
		slurp(in);
	else
		map_file(in);
	in->first = csv_next(in->text, in->n, &in->header);
	in->seq = csv_column(&in->header, "seq");
	in->kind = csv_column(&in->header, "kind");
	in->outcome = csv_column(&in->header, "outcome");
	in->interim = csv_column(&in->header, "interim_bytes");
	if (in->seq < 0)
		die(path, in->n ? "has no column seq" : "is empty");
}

static bool in_list(const char *list, const char *s, size_t n)
{
	while (list && *list) {
		size_t len = strcspn(list, ",");

		if (len == n && memcmp(list, s, n) == 0)
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}

static struct entry *lookup(struct compare *c, uint64_t seq)
{
	size_t i = (size_t)text_mix(seq) & c->mask;

	while (c->table[i].at && c->table[i].seq != seq)
		i = (i + 1) & c->mask;
	return &c->table[i];
}

static bool read_seq(const struct input *in, const struct csv_record *r, uint64_t *ret)
{
	return (size_t)in->seq < r->n &&
	       text_u64(r->field[in->seq].s, r->field[in->seq].n, ret) == 0;
}

static void index_truth(struct compare *c, uint32_t file)
{
	const struct input *in = &c->truth[file];
	struct csv_record r;
	size_t step;

	for (size_t at = in->first; (step = csv_next(in->text + at, in->n - at, &r)) > 0;
	     at += step) {
		struct entry *e;
		uint64_t seq;

		if (in->kind >= 0 && (size_t)in->kind < r.n &&
		    in_list(c->o.skip_kinds, r.field[in->kind].s, r.field[in->kind].n))
			continue;
		if (!read_seq(in, &r, &seq))
			die(in->path, "a record without a number in seq");
		e = lookup(c, seq);
		if (e->at)
			die(in->path, "the same seq twice in the truth");
		*e = (struct entry){ .seq = seq, .at = at, .file = file };
		c->n_truth++;
	}
}

static void open_truths(struct compare *c)
{
	size_t lines = 0, room = 1024;

	for (unsigned int i = 0; i < c->o.n_truths; i++) {
		input_open(&c->truth[i], c->o.truths[i]);
		for (size_t at = 0; at < c->truth[i].n; at++)
			lines += c->truth[i].text[at] == '\n';
	}
	while (room < lines * 2)
		room *= 2;
	c->mask = room - 1;
	c->table = calloc(room, sizeof(*c->table));
	if (!c->table)
		die("memory", strerror(ENOMEM));
	for (uint32_t i = 0; i < c->o.n_truths; i++)
		index_truth(c, i);
}

/* Fields to compare: those asked for, else all that both sides have and that mean the same. */
static void choose_fields(struct compare *c)
{
	static const char never[] = "seq,kind,start_ns,end_ns,keep_alive,response_seq";
	const struct csv_record *h = &c->truth[0].header;

	for (size_t i = 0; i < h->n; i++) {
		struct field *f = &c->field[c->n_fields];
		size_t n = h->field[i].n;

		if (n >= sizeof(f->name) || in_list(never, h->field[i].s, n) ||
		    (c->o.fields && !in_list(c->o.fields, h->field[i].s, n)))
			continue;
		memcpy(f->name, h->field[i].s, n);
		f->name[n] = '\0';
		f->rows_column = csv_column(&c->rows.header, f->name);
		f->bytes = n > 6 && strcmp(f->name + n - 6, "_bytes") == 0;
		if (f->rows_column >= 0)
			c->n_fields++;
		else if (c->o.fields)
			die(f->name, "is no column of the rows");
	}
	if (c->n_fields == 0)
		die(c->rows.path, "shares no column with the truth");
}

static void show(struct compare *c, const char *what, uint64_t seq, const struct csv_field *want,
		 const struct csv_field *got)
{
	if (c->shown++ >= c->o.examples)
		return;
	printf("  seq %llu: %s", (unsigned long long)seq, what);
	if (want)
		printf(": truth '%.*s'", (int)want->n, want->s);
	if (got)
		printf(", row '%.*s'", (int)got->n, got->s);
	putchar('\n');
}

static bool field_is(const struct csv_record *r, int column, const char *s)
{
	return column >= 0 && (size_t)column < r->n && r->field[column].n == strlen(s) &&
	       memcmp(r->field[column].s, s, strlen(s)) == 0;
}

/* response_bytes with the interim responses in front added, where rows count them. */
static struct csv_field with_interim(const struct compare *c, const struct input *in,
				     const struct csv_record *t, const struct field *f,
				     char text[24])
{
	struct csv_field v = t->field[csv_column(&in->header, f->name)];
	uint64_t a, b;

	if (!c->o.interim_counts || strcmp(f->name, "response_bytes") != 0 || in->interim < 0)
		return v;
	if (text_u64(v.s, v.n, &a) < 0 ||
	    text_u64(t->field[in->interim].s, t->field[in->interim].n, &b) < 0)
		return v;
	return (struct csv_field){ .s = text, .n = text_put_u64(text, a + b) };
}

static void compare_row(struct compare *c, const struct entry *e, const struct csv_record *row)
{
	const struct input *in = &c->truth[e->file];
	int answer = csv_column(&c->rows.header, "response_seq");
	struct csv_record t;
	bool answered;
	uint64_t seq;

	csv_next(in->text + e->at, in->n - e->at, &t);
	answered = in->outcome < 0 || field_is(&t, in->outcome, "ok");
	if (answer >= 0 && (size_t)answer < row->n && row->field[answer].n &&
	    (text_u64(row->field[answer].s, row->field[answer].n, &seq) < 0 || seq != e->seq)) {
		c->crossed++;
		show(c, "has another's answer", e->seq, NULL, &row->field[answer]);
	}
	for (size_t i = 0; i < c->n_fields; i++) {
		struct field *f = &c->field[i];
		struct csv_field want, got = { 0 };
		char text[24];

		if (f->bytes && !answered)
			continue;
		want = with_interim(c, in, &t, f, text);
		if ((size_t)f->rows_column < row->n)
			got = row->field[f->rows_column];
		if (csv_equal(&want, &got))
			continue;
		f->differing++;
		show(c, f->name, e->seq, &want, &got);
	}
}

static void compare_all(struct compare *c)
{
	struct csv_record r;
	size_t step;

	for (size_t at = c->rows.first;
	     (step = csv_next(c->rows.text + at, c->rows.n - at, &r)) > 0; at += step) {
		struct entry *e;
		uint64_t seq;

		c->n_rows++;
		if (!read_seq(&c->rows, &r, &seq) || !(e = lookup(c, seq))->at) {
			c->extra++;
			show(c, "no such exchange", c->n_rows, NULL, &r.field[c->rows.seq]);
			continue;
		}
		if (e->seen) {
			c->duplicate++;
			show(c, "there twice", seq, NULL, NULL);
			continue;
		}
		e->seen = true;
		c->matched++;
		compare_row(c, e, &r);
	}
}

static void find_missing(struct compare *c)
{
	FILE *out = c->o.missing_out ? fopen(c->o.missing_out, "w") : NULL;

	if (c->o.missing_out && !out)
		die(c->o.missing_out, strerror(errno));
	for (size_t i = 0; i <= c->mask; i++) {
		const struct entry *e = &c->table[i];
		const struct input *in;
		struct csv_record t;

		if (!e->at || e->seen)
			continue;
		c->missing++;
		in = &c->truth[e->file];
		csv_next(in->text + e->at, in->n - e->at, &t);
		if (c->missing <= c->o.examples)
			show(c, "missing", e->seq, in->kind < 0 ? NULL : &t.field[in->kind], NULL);
		if (out)
			fprintf(out, "%llu\n", (unsigned long long)e->seq);
	}
	if (out && fclose(out) != 0)
		die(c->o.missing_out, strerror(errno));
}

/* Prints the table; returns whether truth and rows agree. */
static bool report(const struct compare *c)
{
	const struct {
		const char *name;
		uint64_t n;
	} lines[] = { { "exchanges in truth", c->n_truth },
		      { "rows", c->n_rows },
		      { "matched", c->matched },
		      { "missing", c->missing },
		      { "extra", c->extra },
		      { "duplicate", c->duplicate },
		      { "another's answer", c->crossed } };
	bool ok = c->extra + c->duplicate + c->crossed == 0 && c->n_truth > 0;

	ok = ok && c->missing == c->o.expect_missing;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		printf("%-28s %10llu\n", lines[i].name, (unsigned long long)lines[i].n);
	for (size_t i = 0; i < c->n_fields; i++) {
		printf("differ in %-18s %10llu\n", c->field[i].name,
		       (unsigned long long)c->field[i].differing);
		ok = ok && c->field[i].differing == 0;
	}
	if (c->o.expect_missing)
		printf("missing expected             %10llu\n",
		       (unsigned long long)c->o.expect_missing);
	puts(ok ? "equal" : "NOT EQUAL");
	return ok;
}

static void usage(void)
{
	puts("kelpie-truth --truth FILE.csv [--truth ...] --rows FILE.csv|- [--fields A,B,...]\n"
	     "             [--skip-kinds A,B] [--expect-missing N] [--missing-out FILE]\n"
	     "             [--interim-counts] [--examples N]\n"
	     "Exits with 0 when the rows are the truth (short of exactly N rows), 1 when not.\n"
	     "--interim-counts: rows count 1xx responses into response_bytes.");
}

static void read_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "truth", 1, 0, 't' },		 { "rows", 1, 0, 'r' },
		{ "fields", 1, 0, 'f' },	 { "skip-kinds", 1, 0, 'k' },
		{ "expect-missing", 1, 0, 'e' }, { "missing-out", 1, 0, 'm' },
		{ "interim-counts", 0, 0, 'i' }, { "examples", 1, 0, 'x' },
		{ "help", 0, 0, 'h' },		 { 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 't':
			if (o->n_truths == TRUTHS_MAX)
				die("--truth", "given too often");
			o->truths[o->n_truths++] = optarg;
			break;
		case 'r':
			o->rows = optarg;
			break;
		case 'f':
			o->fields = optarg;
			break;
		case 'k':
			o->skip_kinds = optarg;
			break;
		case 'e':
			o->expect_missing = text_option("--expect-missing", optarg, UINT64_MAX);
			break;
		case 'm':
			o->missing_out = optarg;
			break;
		case 'i':
			o->interim_counts = true;
			break;
		case 'x':
			o->examples = (unsigned int)text_option("--examples", optarg, 1000000);
			break;
		default:
			usage();
			exit(opt == 'h' ? 0 : 2);
		}
	}
	if (!o->rows || o->n_truths == 0) {
		usage();
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct compare c = { .o.examples = 10 };

	read_options(argc, argv, &c.o);
	open_truths(&c);
	input_open(&c.rows, c.o.rows);
	choose_fields(&c);
	compare_all(&c);
	find_missing(&c);
	return report(&c) ? 0 : 1;
}
