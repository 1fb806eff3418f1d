#include "storage/scan.h"

#include "base/util.h"

#include <errno.h>

/* The columns of a table that segments hold. */
static bool column_stored(const struct table_schema *t, uint16_t col)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (t->columns[i]->id == col)
			return !(t->columns[i]->flags & COL_F_COMPUTED);
	return false;
}

static bool pred_ok(const struct table_schema *t, const struct scan_pred *p)
{
	size_t least = 1, most = 1;

	if (p->op >= _PRED_MAX || !column_stored(t, p->col))
		return false;
	if (p->op == PRED_IS_NULL || p->op == PRED_NOT_NULL)
		least = most = 0;
	if (p->op == PRED_IN) {
		least = 0;
		most = SCAN_IN_MAX;
	}
	if (p->n_values < least || p->n_values > most || (p->n_values && !p->values))
		return false;
	for (size_t i = 0; i < p->n_values; i++)
		if (p->values[i].kind > VALUE_TEXT)
			return false;
	return true;
}

int scan_plan_check(const struct scan_plan *plan)
{
	const struct table_schema *t = schema_table(plan->table);

	if (!t || plan->n_cols > SCAN_COLS_MAX || plan->n_preds > SCAN_PREDS_MAX)
		return -EINVAL;
	if ((plan->n_cols && !plan->cols) || (plan->n_preds && !plan->preds))
		return -EINVAL;
	for (size_t i = 0; i < plan->n_cols; i++)
		if (!column_stored(t, plan->cols[i]))
			return -EINVAL;
	for (size_t i = 0; i < plan->n_preds; i++)
		if (!pred_ok(t, &plan->preds[i]))
			return -EINVAL;
	return 0;
}
