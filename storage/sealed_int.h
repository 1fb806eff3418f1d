/* Shared by sealed.c (reading), sealer.c (writing) and catalog.c: SQLite and the bucket's head. */
#ifndef STORAGE_SEALED_INT_H
#define STORAGE_SEALED_INT_H

#include "storage/sealed.h"

#include <sqlite3.h>

#define SEALED_PATH_MAX 4352

/* A negative errno that says what SQLite's result code says. */
int errno_of_sqlite(int rc);
void head_write(struct strbuf *out, const struct sealed_head *h);
/* 0, -EBADMSG, -EPROTONOSUPPORT, -ENOMEM. */
int head_parse(struct slice bytes, struct sealed_head *ret);

static inline int64_t chunk_id(uint32_t seg_no, enum seg_part part, uint16_t col)
{
	return (int64_t)seg_no << 10 | (int64_t)part << 8 | col;
}

#endif
