/* Reading CSV (RFC 4180) that lies in memory, one record at a time, without copying it. */
#ifndef TESTS_E2E_LOAD_CSV_H
#define TESTS_E2E_LOAD_CSV_H

#include <stdbool.h>
#include <stddef.h>

#define CSV_FIELDS_MAX 64

struct csv_field {
	const char *s; /* borrowed; between the quotes for a quoted field */
	size_t n;
	bool quoted; /* two quotes in a row stand for one */
};

struct csv_record {
	struct csv_field field[CSV_FIELDS_MAX];
	size_t n;
};

/* Splits the record that starts at text[0..n). Returns the bytes it takes with its line end, 0 at
 * the end of the text or when there are more than CSV_FIELDS_MAX fields. */
size_t csv_next(const char *text, size_t n, struct csv_record *ret);

/* Position of the column called name, or -1. */
int csv_column(const struct csv_record *header, const char *name);

bool csv_equal(const struct csv_field *a, const struct csv_field *b);

#endif
