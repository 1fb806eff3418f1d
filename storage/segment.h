/* A segment: up to STORE_FLUSH_ROWS_MAX rows of one table, column by column, sorted by end_time
 * (rows of equal time in the order of arrival). Bytes: a descriptor, then the parts it lists.
 * Everything is covered by a CRC-32C: the descriptor by its own, each part by one in the
 * descriptor. docs/internals/segment.md draws the layout.
 */
#ifndef STORAGE_SEGMENT_H
#define STORAGE_SEGMENT_H

#include "base/slice.h"
#include "base/strbuf.h"
#include "storage/codec.h"

#define SEG_VERSION    1
#define SEG_ROWS_MAX   16384
#define SEG_COLS_MAX   128
#define SEG_DATA_MAX   (96u << 20) /* bytes of all parts; more is damage */
#define SEG_DESC_MAX   (1u << 20)
#define SEG_HEAD_BYTES 76 /* of the descriptor, before its columns */

enum seg_enc {
	ENC_CONST_INT = 1, /* every value is min; no values stored */
	ENC_FOR,	   /* value - min in width bytes */
	ENC_DELTA,	   /* base, then value[i] - value[i-1] - step in width bytes */
	ENC_CONST_TEXT,	   /* every value is the descriptor's text */
	ENC_DICT,	   /* codes in width bytes; texts in PART_DICT */
	ENC_TEXT,	   /* texts */
	ENC_NEAR,	   /* plus - minus - value - near_min in width bytes, see seg_near() */
	ENC_MAP_INT,  /* a function of the dictionary column `ref`: one value per code of it, the */
	ENC_MAP_DICT, /* last one for its NULL; as ENC_FOR and ENC_DICT with so many rows */
	_ENC_MAX,
};

enum seg_part {
	PART_DATA, /* with NULLs: a bit per row first, 1 = has a value. ENC_MAP_*: always, a bit per
		      code */
	PART_DICT,
	PART_BLOOM, /* of the column's distinct texts */
	_PART_MAX,
};

struct part_desc {
	uint32_t off;	 /* from the first part */
	uint32_t stored; /* bytes; less than raw: zstd */
	uint32_t raw;
	uint32_t crc; /* of the stored bytes */
};

struct col_desc {
	uint16_t col; /* enum col_id */
	uint8_t enc, width;
	uint8_t parts;	   /* bit of each enum seg_part that is there */
	uint32_t n_values; /* rows that are not NULL, at least 1 */
	uint32_t n_dict;
	int64_t min, max; /* integers, of the values */
	int64_t base, step;
	int64_t near_min;  /* ENC_NEAR */
	uint16_t ref;	   /* ENC_MAP_*: a smaller column number */
	uint32_t n_map;	   /* ENC_MAP_*: codes of ref, and one */
	struct slice text; /* ENC_CONST_TEXT, borrowed from the descriptor's bytes */
	struct part_desc part[_PART_MAX];
};

struct seg_desc {
	uint16_t table, schema_version;
	uint32_t seg_no; /* in the bucket */
	uint32_t rows;
	uint64_t tmin, tmax; /* end_time */
	uint64_t epoch, seq_min, seq_max;
	uint64_t first_row; /* number, in the bucket and by arrival, of its first row */
	uint32_t data_len;  /* bytes of all parts */
	uint16_t n_cols;
	struct col_desc cols[SEG_COLS_MAX]; /* ascending */
};

/* Appends a descriptor whose fields are set; part offsets follow from the order of the columns. */
void seg_desc_write(struct strbuf *out, const struct seg_desc *d);
/* 0 or -EBADMSG. Texts of *ret point into bytes. */
int seg_desc_parse(struct slice bytes, struct seg_desc *ret);
/* NULL: the column is NULL in every row. */
const struct col_desc *seg_desc_find(const struct seg_desc *d, uint16_t col);

/* Blocked into nothing: a plain Bloom filter, 10 bits and 7 probes per text (1 % false positives).
 */
size_t bloom_bytes(size_t n_texts);
void bloom_add(uint8_t *bits, size_t n_bytes, struct slice text);
bool bloom_may_have(const uint8_t *bits, size_t n_bytes, struct slice text);

/* The columns that predict another one nearly always: value = plus - minus, NULL counting as 0.
 * False: there are none. A minus of 0 is none. */
bool seg_near(uint16_t col, uint16_t *ret_plus, uint16_t *ret_minus);
/* Dictionary columns that may determine another one (its name's address, its connection). Returns
 * how many, best first; each has a smaller number. */
#define SEG_REFS_MAX 2
size_t seg_refs(uint16_t col, uint16_t ret[SEG_REFS_MAX]);
/* Whether some column may refer to this one. */
bool seg_is_ref(uint16_t col);

/* Columns whose texts are mostly distinct and are looked up one at a time. */
bool seg_wants_bloom(uint16_t col);

#endif
