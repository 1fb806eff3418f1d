#include "protocols/mysql/packed.h"

#include "base/bytes.h"

#define ZLIB_FIRST 0x78	      /* with the byte behind it a multiple of 31 (RFC 1950) */
#define ZSTD_MAGIC 0xfd2fb528 /* RFC 8878 */

bool packed_header_read(struct slice s, struct packed_header *ret)
{
	struct reader r = reader_of(s);

	ret->wire = (uint32_t)read_le(&r, 3);
	ret->seq = read_u8(&r);
	ret->plain = (uint32_t)read_le(&r, 3);
	return !r.bad;
}

static bool begins_packed(struct slice body)
{
	struct reader r = reader_of(body);

	if (body.p[0] == ZLIB_FIRST)
		return (ZLIB_FIRST << 8 | body.p[1]) % 31 == 0;
	return read_le32(&r) == ZSTD_MAGIC;
}

bool packed_plausible(struct slice s, bool client)
{
	struct slice body = slice_from(s, PACKED_HEADER);
	struct reader r = reader_of(body);
	uint32_t len = (uint32_t)read_le(&r, 3), seq = read_u8(&r);
	struct packed_header h;

	if (!packed_header_read(s, &h) || (client && h.seq != 0))
		return false;
	if (h.plain)
		return h.plain > h.wire && begins_packed(body);
	if (client)
		return h.wire == len + 4 && len > 0 && seq == 0;
	return len > 0 && h.wire >= len + 4 && seq > 0;
}

struct slice packed_stored(struct slice s, uint8_t seq)
{
	struct packed_header h;

	if (!packed_header_read(s, &h) || h.plain || h.seq != seq)
		return slice_head(s, 0);
	return slice_head(slice_from(s, PACKED_HEADER), h.wire);
}
