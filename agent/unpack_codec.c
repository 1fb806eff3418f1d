#include "agent/unpack_codec.h"

#include "base/util.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define ZLIB_BYTES	48000  /* about: a window of 32 KiB and what belongs to it */
#define ZSTD_BYTES	260000 /* about: without the window */
#define ZSTD_KEEP_BYTES 600000 /* larger ones are not kept for the next packet */

struct codec {
	enum codec_kind kind;
	uint64_t bytes; /* as counted in the pool */
	bool over;	/* its end has come, or what is none of it */
	z_stream z;
	ZSTD_DCtx *zstd;
	uint32_t seen; /* of zstd's frame header, up to ZSTD_HEADER */
	size_t hint; /* bytes that zstd asked for: up to the end of the block, and the next one's header */
};

bool codec_kind_of(uint8_t first, enum codec_kind *ret)
{
	static const struct {
		uint8_t first;
		enum codec_kind kind;
	} kinds[] = { { 0x78, CODEC_ZLIB }, { 0x28, CODEC_ZSTD } }; /* RFC 1950, RFC 8878 */

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].first == first) {
			*ret = kinds[i].kind;
			return true;
		}
	return false;
}

static void codec_free(struct codec *c)
{
	if (!c)
		return;
	if (c->kind == CODEC_ZLIB)
		inflateEnd(&c->z);
	ZSTD_freeDCtx(c->zstd);
	free(c);
}

static bool codec_start(struct codec *c)
{
	if (c->kind == CODEC_ZLIB)
		return inflateInit(&c->z) == Z_OK;
	c->zstd = ZSTD_createDCtx();
	return c->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(c->zstd, ZSTD_d_windowLogMax,
							       UNPACK_WINDOW_LOG_MAX));
}

static struct codec *codec_new(enum codec_kind kind)
{
	struct codec *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->kind = kind;
	if (codec_start(c))
		return c;
	codec_free(c);
	return NULL;
}

static uint64_t bytes_of(enum codec_kind kind, uint32_t plain_len)
{
	return kind == CODEC_ZLIB ? ZLIB_BYTES
				  : ZSTD_BYTES + MIN(plain_len, 1u << UNPACK_WINDOW_LOG_MAX);
}

struct codec *codec_take(struct unpack_pool *p, enum codec_kind kind, uint32_t plain_len)
{
	struct codec *c = p->spare[kind];
	uint64_t bytes = bytes_of(kind, plain_len);

	if (p->bytes + bytes > UNPACK_BYTES_MAX)
		return NULL;
	p->spare[kind] = NULL;
	if (!c)
		c = codec_new(kind);
	if (!c)
		return NULL;
	c->over = false;
	c->hint = c->seen = 0;
	c->bytes = bytes;
	p->bytes += bytes;
	if (kind == CODEC_ZLIB)
		inflateReset(&c->z);
	else
		ZSTD_DCtx_reset(c->zstd, ZSTD_reset_session_only);
	return c;
}

void codec_put(struct unpack_pool *p, struct codec *c)
{
	if (!c)
		return;
	p->bytes -= c->bytes;
	if (p->spare[c->kind] ||
	    (c->kind == CODEC_ZSTD && ZSTD_sizeof_DCtx(c->zstd) > ZSTD_KEEP_BYTES))
		codec_free(c);
	else
		p->spare[c->kind] = c;
}

void unpack_pool_done(struct unpack_pool *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->spare); i++) {
		codec_free(p->spare[i]);
		p->spare[i] = NULL;
	}
}

/* What came out before damage was met is sound, and is the same however the input is cut. */
static size_t zlib_run(struct codec *c, struct slice *in, uint8_t *out, size_t max)
{
	int r;

	c->z.next_in = (Bytef *)(uintptr_t)in->p; /* zlib's interface: it does not write there */
	c->z.avail_in = (uInt)in->n;
	c->z.next_out = out;
	c->z.avail_out = (uInt)max;
	r = inflate(&c->z, Z_SYNC_FLUSH);
	*in = slice_from(*in, in->n - c->z.avail_in);
	c->over = r != Z_OK && r != Z_BUF_ERROR;
	return max - c->z.avail_out;
}

/* A call of zstd that meets damage says nothing of what came out in it. So that this is the same however the
 * input is cut, each call can meet either: a block is given without its last byte, of which nothing comes out
 * but what was stored, then byte by byte, so that it comes out before the header behind it is looked at. */
#define ZSTD_APART  4
#define ZSTD_HEADER 18 /* bytes of a frame header at most (RFC 8878, section 3.1.1.1) */

/* How many bytes go with the next call; 0: no frame. A header goes byte by byte: what the library knows of
 * formats of long ago it would look for where a piece of a bad one begins. */
static size_t zstd_piece(struct codec *c, struct slice in)
{
	static const uint8_t magic[] = { 0x28, 0xb5, 0x2f, 0xfd };

	if (in.n == 0)
		return 0;
	if (c->seen < sizeof(magic) && in.p[0] != magic[c->seen]) {
		c->over = true;
		return 0;
	}
	if (c->seen < ZSTD_HEADER) {
		c->seen++;
		return 1;
	}
	return MIN(in.n, c->hint > ZSTD_APART ? c->hint - ZSTD_APART : 1);
}

static size_t zstd_run(struct codec *c, struct slice *in, uint8_t *out, size_t max)
{
	ZSTD_outBuffer to = { out, max, 0 };
	ZSTD_inBuffer from;
	size_t before;

	do {
		before = to.pos;
		from = (ZSTD_inBuffer){ in->p, zstd_piece(c, *in), 0 };
		if (c->over)
			break;
		c->hint = ZSTD_decompressStream(c->zstd, &to, &from);
		*in = slice_from(*in, from.pos);
		c->over = c->hint == 0 || ZSTD_isError(c->hint);
	} while (!c->over && to.pos < max && (from.pos > 0 || to.pos > before));
	return to.pos;
}

int64_t codec_run(struct codec *c, struct slice *in, uint8_t *out, size_t max)
{
	if (c->over)
		return -1; /* less than was said */
	return (int64_t)(c->kind == CODEC_ZLIB ? zlib_run(c, in, out, max)
					       : zstd_run(c, in, out, max));
}
