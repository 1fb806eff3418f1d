#include "storage/codec.h"

#include "base/bytes.h"

#include <errno.h>
#include <zstd.h>

#define LEVEL	    1
#define SQUEEZE_MIN 48 /* bytes: below, a frame's header eats the gain */

enum text_form { TEXTS_PLAIN = 0, TEXTS_HEX = 1 };

#define PLAIN_HEAD 6 /* form, width of the lengths, shortest length */
#define HEX_HEAD   5 /* form, length */

unsigned int codec_width(uint64_t range)
{
	if (range == 0)
		return 0;
	if (range <= UINT8_MAX)
		return 1;
	if (range <= UINT16_MAX)
		return 2;
	return range <= UINT32_MAX ? 4 : 8;
}

/* Loops of one width each, so that the compiler vectorises them. */
#define PACK(type)                                                                                 \
	for (size_t i = 0; i < n; i++) {                                                           \
		type x = (type)((uint64_t)v[i] - (uint64_t)base);                                  \
		memcpy(out + i * sizeof(x), &x, sizeof(x));                                        \
	}
#define UNPACK(type)                                                                               \
	for (size_t i = 0; i < n; i++) {                                                           \
		type x;                                                                            \
		memcpy(&x, p + i * sizeof(x), sizeof(x));                                          \
		out[i] = (int64_t)((uint64_t)x + (uint64_t)base);                                  \
	}

void codec_pack(uint8_t *out, const int64_t *v, size_t n, int64_t base, unsigned int width)
{
	if (width == 1) {
		PACK(uint8_t)
	} else if (width == 2) {
		PACK(uint16_t)
	} else if (width == 4) {
		PACK(uint32_t)
	} else if (width == 8) {
		PACK(uint64_t)
	}
}

void codec_unpack(int64_t *out, const uint8_t *p, size_t n, int64_t base, unsigned int width)
{
	if (width == 1) {
		UNPACK(uint8_t)
	} else if (width == 2) {
		UNPACK(uint16_t)
	} else if (width == 4) {
		UNPACK(uint32_t)
	} else if (width == 8) {
		UNPACK(uint64_t)
	} else {
		for (size_t i = 0; i < n; i++)
			out[i] = base;
	}
}

void codec_pack_u32(uint8_t *out, const uint32_t *v, size_t n, unsigned int width)
{
	const int base = 0;

	if (width == 1) {
		PACK(uint8_t)
	} else if (width == 2) {
		PACK(uint16_t)
	} else if (width == 4) {
		PACK(uint32_t)
	}
}

uint32_t codec_unpack_u32(uint32_t *out, const uint8_t *p, size_t n, unsigned int width)
{
	uint32_t most = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t x = 0;

		if (width == 1) {
			x = p[i];
		} else if (width == 2) {
			uint16_t half;

			memcpy(&half, p + i * 2, 2);
			x = half;
		} else if (width == 4) {
			memcpy(&x, p + i * 4, 4);
		}
		out[i] = x;
		most = MAX(most, x);
	}
	return most;
}

/* The value of a lower-case hexadecimal digit with HEX_OK added; 0 for any other byte. */
#define HEX_OK 0x10
static const uint8_t hex_value[256] = {
	['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15,
	['6'] = 0x16, ['7'] = 0x17, ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1a, ['b'] = 0x1b,
	['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e, ['f'] = 0x1f,
};

/* Appends the packed form; false (and nothing appended) when some text is not of that form. */
static bool texts_hex(struct strbuf *out, const struct slice *v, size_t n)
{
	size_t len = n ? v[0].n : 0;
	uint8_t *p;
	uint8_t ok = HEX_OK;

	if (len < 8 || len % 2 || len > 64)
		return false;
	for (size_t i = 0; i < n; i++)
		if (v[i].n != len || !hex_value[v[i].p[0]])
			return false;
	p = strbuf_reserve(out, HEX_HEAD + n * len / 2);
	if (!p)
		return true;
	p[0] = TEXTS_HEX;
	put_le(p + 1, len, 4);
	p += HEX_HEAD;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < len; k += 2) {
			uint8_t hi = hex_value[v[i].p[k]], lo = hex_value[v[i].p[k + 1]];

			ok &= hi & lo;
			*p++ = (uint8_t)(hi << 4 | (lo & 15));
		}
	}
	if (!(ok & HEX_OK))
		return false;
	out->len += HEX_HEAD + n * len / 2;
	return true;
}

void codec_texts(struct strbuf *out, const struct slice *v, size_t n, bool *ret_dense)
{
	size_t shortest = SIZE_MAX, longest = 0, total = 0;
	unsigned int width;
	uint8_t *p, *bytes;

	*ret_dense = true;
	if (texts_hex(out, v, n))
		return;
	*ret_dense = false;
	for (size_t i = 0; i < n; i++) {
		shortest = MIN(shortest, v[i].n);
		longest = MAX(longest, v[i].n);
		total += v[i].n;
	}
	shortest = n ? shortest : 0;
	width = codec_width(longest - shortest);
	p = strbuf_reserve(out, PLAIN_HEAD + n * width + total);
	if (!p)
		return;
	p[0] = TEXTS_PLAIN;
	p[1] = (uint8_t)width;
	put_le(p + 2, shortest, 4);
	bytes = p + PLAIN_HEAD + n * width;
	for (size_t i = 0; i < n; i++) {
		put_le(p + PLAIN_HEAD + i * width, v[i].n - shortest, width);
		if (v[i].n)
			memcpy(bytes, v[i].p, v[i].n);
		bytes += v[i].n;
	}
	out->len += PLAIN_HEAD + n * width + total;
}

static int read_hex(struct slice raw, size_t n, struct slice *out, uint8_t **ret_own)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = raw.p[1] | (size_t)raw.p[2] << 8;
	const uint8_t *p = raw.p + HEX_HEAD;
	uint8_t *own, *q;

	if (raw.p[3] || raw.p[4] || len < 2 || len % 2 || raw.n != HEX_HEAD + n * len / 2)
		return -EBADMSG;
	own = malloc(n * len + 1);
	if (!own)
		return -ENOMEM;
	q = own;
	for (size_t i = 0; i < n; i++) {
		out[i] = slice_of(q, len);
		for (size_t k = 0; k < len / 2; k++, p++) {
			*q++ = (uint8_t)digits[*p >> 4];
			*q++ = (uint8_t)digits[*p & 15];
		}
	}
	*ret_own = own;
	return 0;
}

static int read_plain(struct slice raw, size_t n, struct slice *out)
{
	struct reader r = reader_of(slice_from(raw, 1));
	unsigned int width = read_u8(&r);
	size_t shortest = read_le32(&r);
	struct slice lens = read_bytes(&r, n * width);
	struct slice bytes = slice_of(r.p, reader_left(&r));
	size_t at = 0;

	if (r.bad || width > 4)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		size_t len = shortest;

		for (unsigned int k = 0; k < width; k++)
			len += (size_t)lens.p[i * width + k] << (8 * k);
		if (len > bytes.n - at)
			return -EBADMSG;
		out[i] = slice_of(bytes.p + at, len);
		at += len;
	}
	return at == bytes.n ? 0 : -EBADMSG;
}

int codec_texts_read(struct slice raw, size_t n, struct slice *out, uint8_t **ret_own)
{
	*ret_own = NULL;
	if (raw.n >= HEX_HEAD && raw.p[0] == TEXTS_HEX)
		return read_hex(raw, n, out, ret_own);
	if (raw.n >= PLAIN_HEAD && raw.p[0] == TEXTS_PLAIN)
		return read_plain(raw, n, out);
	return -EBADMSG;
}

struct squeezer {
	ZSTD_CCtx *c;
	ZSTD_DCtx *d;
};

struct squeezer *squeezer_new(void)
{
	return calloc(1, sizeof(struct squeezer));
}

void squeezer_free(struct squeezer *z)
{
	if (!z)
		return;
	ZSTD_freeCCtx(z->c);
	ZSTD_freeDCtx(z->d);
	free(z);
}

size_t squeeze(struct squeezer *z, struct strbuf *out, struct slice raw)
{
	size_t bound = ZSTD_compressBound(raw.n), n = 0;
	uint8_t *p;

	if (!z->c)
		z->c = ZSTD_createCCtx();
	if (raw.n >= SQUEEZE_MIN && z->c) {
		p = strbuf_reserve(out, bound);
		if (!p)
			return 0;
		n = ZSTD_compressCCtx(z->c, p, bound, raw.p, raw.n, LEVEL);
		if (!ZSTD_isError(n) && n < raw.n - raw.n / 16) {
			out->len += n;
			return n;
		}
	}
	strbuf_add(out, raw.p, raw.n);
	return raw.n;
}

int unsqueeze(struct squeezer *z, struct slice stored, uint8_t *out, size_t raw_len)
{
	if (stored.n == raw_len) {
		if (raw_len)
			memcpy(out, stored.p, raw_len);
		return 0;
	}
	if (!z->d)
		z->d = ZSTD_createDCtx();
	if (!z->d)
		return -ENOMEM;
	return ZSTD_decompressDCtx(z->d, out, raw_len, stored.p, stored.n) == raw_len ? 0
										      : -EBADMSG;
}
