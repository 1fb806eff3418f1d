/* Predicates of a plan over decoded columns, and what a segment's zone map can rule out. */
#ifndef STORAGE_PREDICATE_H
#define STORAGE_PREDICATE_H

#include "storage/column.h"
#include "storage/scan.h"

/* SQL's three-valued "does v satisfy it", NULL counting as no. kind is enum value_kind. */
bool pred_value(const struct scan_pred *p, uint8_t kind, int64_t i, struct slice text);

/* Keeps the rows of sel[0..n) that satisfy p; returns how many. */
uint32_t pred_filter(const struct scan_pred *p, const struct column_data *c, uint32_t *sel,
		     uint32_t n);

/* Whether no row of the segment can satisfy p, as its descriptor tells without any part. */
bool pred_excludes(const struct scan_pred *p, const struct seg_desc *seg);

/* A deep copy of predicates, values and texts in one allocation; NULL: no memory. */
struct scan_pred *preds_copy(const struct scan_pred *preds, size_t n);

#endif
