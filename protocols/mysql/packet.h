/* The shapes of MySQL's packets.
 *
 *	0      3     4                4 + length
 *	| length | seq | payload ...    |		length: little-endian
 *
 * A payload of 0xffffff bytes goes on in the packet behind it. seq counts the packets of a command
 * and its reply, of both directions, from 0; it wraps.
 */
#ifndef PROTOCOLS_MYSQL_PACKET_H
#define PROTOCOLS_MYSQL_PACKET_H

#include "base/bytes.h"

#define PACKET_HEADER 4
#define PACKET_FULL   0xffffffu /* payload bytes of a packet that is not the last of its payload */

/* Capabilities, as both sides must have them. MariaDB's own are in the upper half. */
#define CAP_LONG_PASSWORD     (UINT64_C(1) << 0) /* MariaDB: unset says that its own are told */
#define CAP_CONNECT_WITH_DB   (UINT64_C(1) << 3)
#define CAP_COMPRESS	      (UINT64_C(1) << 5)
#define CAP_PROTOCOL_41	      (UINT64_C(1) << 9)
#define CAP_SSL		      (UINT64_C(1) << 11)
#define CAP_SECURE_CONNECTION (UINT64_C(1) << 15)
#define CAP_MULTI_STATEMENTS  (UINT64_C(1) << 16)
#define CAP_PLUGIN_AUTH	      (UINT64_C(1) << 19)
#define CAP_AUTH_LENENC	      (UINT64_C(1) << 21)
#define CAP_SESSION_TRACK     (UINT64_C(1) << 23)
#define CAP_DEPRECATE_EOF     (UINT64_C(1) << 24)
#define CAP_ZSTD	      (UINT64_C(1) << 26)
#define CAP_QUERY_ATTRIBUTES  (UINT64_C(1) << 27)

/* Flags of a server's status. */
#define STATUS_MORE_RESULTS  (1u << 3)
#define STATUS_CURSOR_EXISTS (1u << 6)
#define STATUS_LAST_ROW_SENT (1u << 7)
#define STATUS_NO_BACKSLASH  (1u << 9) /* \ does not escape (NO_BACKSLASH_ESCAPES) */
#define STATUS_PS_OUT_PARAMS (1u << 12)
#define STATUS_STATE_CHANGED (1u << 14)

struct packet {
	uint32_t len;
	uint8_t seq;
};

/* A length-encoded integer. NULL's mark and anything else that is none make r bad. */
uint64_t read_lenenc(struct reader *r);
struct slice read_lenenc_text(struct reader *r);
/* Up to a NUL, which is passed; bad without one. */
struct slice read_nul_text(struct reader *r);

/* Of an OK packet, or of an EOF packet, which has no more than the status. */
struct ok_packet {
	uint64_t affected;
	uint32_t status;
	bool has_status;
	bool has_affected;
	bool has_schema;     /* the default database has become `schema` */
	struct slice schema; /* borrowed from the payload */
};

/* payload: what is there of len bytes, with the first. cap41: CAP_PROTOCOL_41. What lies behind the
 * part that is there is not told. */
void ok_parse(struct slice payload, uint32_t len, bool cap41, struct ok_packet *ret);

struct err_packet {
	uint16_t code;
	struct slice sqlstate; /* empty: has none */
	struct slice message;
};

/* False when it is too short for one. */
bool err_parse(struct slice payload, struct err_packet *ret);

/* Whether a packet that begins with 0xfe is an EOF packet and no OK packet. */
static inline bool is_eof_length(uint32_t len)
{
	return len == 5 || len == 1;
}

/* Passes over the attributes of a query (CAP_QUERY_ATTRIBUTES) behind its command byte. */
void read_query_attributes(struct reader *r);

#endif
