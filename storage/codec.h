/* Byte-level codecs of column parts: integers in fixed widths, runs of texts, zstd where it helps.
 * No allocation but in the given buffers. Decoders trust no length.
 */
#ifndef STORAGE_CODEC_H
#define STORAGE_CODEC_H

#include "base/slice.h"
#include "base/strbuf.h"

#define CODEC_RAW_MAX (64u << 20) /* bytes of one part before compression; more is damage */

/* Bytes that hold every number from 0 to range: 0, 1, 2, 4 or 8. */
unsigned int codec_width(uint64_t range);

/* Writes v[i] - base, n times width bytes, little-endian. */
void codec_pack(uint8_t *out, const int64_t *v, size_t n, int64_t base, unsigned int width);
/* The reverse; p holds n * width bytes. */
void codec_unpack(int64_t *out, const uint8_t *p, size_t n, int64_t base, unsigned int width);
/* The same for codes of a dictionary, base 0. Returns the largest, 0 when n is 0. */
void codec_pack_u32(uint8_t *out, const uint32_t *v, size_t n, unsigned int width);
uint32_t codec_unpack_u32(uint32_t *out, const uint8_t *p, size_t n, unsigned int width);

/* Appends n texts: their lengths and bytes, or half the bytes when all are lower-case hexadecimal
 * of one even length (identifiers). *ret_dense: compression is not worth trying. */
void codec_texts(struct strbuf *out, const struct slice *v, size_t n, bool *ret_dense);

/* Reads n texts from raw into out[0..n). Hexadecimal ones need memory: *ret_own, to be freed by the
 * caller (NULL otherwise); the others point into raw. 0, -EBADMSG, -ENOMEM. */
int codec_texts_read(struct slice raw, size_t n, struct slice *out, uint8_t **ret_own);

/* One compressor and one decompressor, used by one thread at a time. */
struct squeezer;
struct squeezer *squeezer_new(void);
void squeezer_free(struct squeezer *z);
DEFINE_CLEANUP(struct squeezer, squeezer_free)

/* Appends raw, compressed when that saves a sixteenth at least. Returns the bytes appended; equal
 * to raw.n means not compressed. out->failed on lack of memory. */
size_t squeeze(struct squeezer *z, struct strbuf *out, struct slice raw);
/* 0: out holds exactly raw_len bytes. -EBADMSG otherwise. */
int unsqueeze(struct squeezer *z, struct slice stored, uint8_t *out, size_t raw_len);

#endif
