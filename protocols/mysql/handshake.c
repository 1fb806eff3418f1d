#include "protocols/mysql/handshake.h"

#include "base/util.h"

#define VERSION_MAX	   64 /* bytes of a server's version: MariaDB's have two of them */
#define SCRAMBLE_1	   8
#define RESERVED	   10
#define LOGIN_FIXED	   32 /* bytes before the user's name; all there is of a request for TLS */
#define LOGIN_OLD_TLS	   5
#define UPPER_CAPS_SHIFT   16
#define MARIADB_CAPS_SHIFT 32

static bool is_version(struct slice v)
{
	if (v.n == 0 || v.n > VERSION_MAX || v.p[0] < '0' || v.p[0] > '9')
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < ' ' || v.p[i] > '~')
			return false;
	return slice_find(v, '.') < v.n;
}

/*	0x0a | version NUL | thread 4 | scramble 8 | 0 | caps 2 | charset 1 | status 2 | caps 2 |
 *	length of the scramble 1 | reserved 6 | MariaDB's caps 4 | scramble | plugin NUL */
bool greeting_parse(struct slice payload, uint64_t *ret_caps)
{
	struct reader r = reader_of(payload);
	uint8_t protocol = read_u8(&r), zero, scramble;
	struct slice version = read_nul_text(&r), reserved;
	uint64_t caps;

	(void)read_bytes(&r, 4 + SCRAMBLE_1);
	zero = read_u8(&r);
	caps = read_le16(&r);
	if (r.bad || protocol != 10 || zero != 0 || !is_version(version))
		return false;
	(void)read_bytes(&r, 3);
	caps |= (uint64_t)read_le16(&r) << UPPER_CAPS_SHIFT;
	scramble = read_u8(&r);
	reserved = read_bytes(&r, RESERVED);
	if (r.bad || scramble > 64 || (scramble && scramble < SCRAMBLE_1))
		return false;
	for (size_t i = 0; i < 6; i++)
		if (reserved.p[i])
			return false;
	if (!(caps & CAP_LONG_PASSWORD)) {
		r = reader_of(slice_from(reserved, 6));
		caps |= (uint64_t)read_le32(&r) << MARIADB_CAPS_SHIFT;
	}
	*ret_caps = caps;
	return true;
}

/* Too many connections, out of resources, bad host, bad handshake, shutting down, host blocked, host
 * not allowed, user limits: what is said before a greeting. */
static const uint16_t refusals[] = { 1040, 1041, 1042, 1043, 1053, 1129, 1130, 1203, 1226, 3159 };

bool refusal_parse(struct slice payload, struct err_packet *ret)
{
	bool known = false;

	if (payload.n < 4 || payload.p[0] != 0xff || !err_parse(payload, ret))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		known |= refusals[i] == ret->code;
	for (size_t i = 0; i < ret->message.n; i++)
		known &= ret->message.p[i] >= ' ';
	return known && ret->message.n > 0;
}

static void read_auth(struct reader *r, uint64_t caps)
{
	if (caps & CAP_AUTH_LENENC)
		(void)read_lenenc_text(r);
	else if (caps & CAP_SECURE_CONNECTION)
		(void)read_bytes(r, read_u8(r));
	else
		(void)read_nul_text(r);
}

static void read_names(struct reader *r, uint64_t caps, bool database, struct login *ret)
{
	ret->user = read_nul_text(r);
	ret->has_user = !r->bad;
	if (!database)
		return;
	read_auth(r, caps);
	ret->database = read_nul_text(r);
	ret->has_database = !r->bad && ret->database.n > 0;
}

/* Before 4.1: caps 2 | packet size 3 | user NUL | scramble (NUL | database NUL) */
static bool login_old_parse(struct slice payload, uint32_t len, struct login *ret)
{
	struct reader r = reader_of(payload);
	uint64_t own = read_le16(&r);

	(void)read_bytes(&r, 3);
	if (r.bad)
		return false;
	ret->caps &= own;
	ret->tls = len == LOGIN_OLD_TLS && (own & CAP_SSL);
	if (!ret->tls)
		read_names(&r, 0, own & CAP_CONNECT_WITH_DB, ret);
	return true;
}

/*	caps 4 | packet size 4 | charset 1 | filler 19 | MariaDB's caps 4 | user NUL | scramble |
 *	database NUL | ... */
bool login_parse(struct slice payload, uint32_t len, uint64_t server, struct login *ret)
{
	struct reader r = reader_of(payload);
	uint64_t own = read_le32(&r);

	*ret = (struct login){ .caps = server };
	if (r.bad || !(own & CAP_PROTOCOL_41))
		return login_old_parse(payload, len, ret);
	(void)read_bytes(&r, 24);
	own |= (uint64_t)read_le32(&r) << MARIADB_CAPS_SHIFT;
	if (r.bad)
		return false;
	if (own & CAP_LONG_PASSWORD)
		own &= UINT32_MAX;
	ret->caps &= own;
	ret->tls = len == LOGIN_FIXED && (own & CAP_SSL);
	if (!ret->tls)
		read_names(&r, own, own & CAP_CONNECT_WITH_DB, ret);
	return true;
}

/*	user NUL | what authenticates | database NUL | ...; its length is one byte whatever CAP_AUTH_LENENC
 *	says, before 4.1 it ends in NUL */
void change_user_parse(struct slice payload, uint64_t caps, struct login *ret)
{
	struct reader r = reader_of(payload);

	*ret = (struct login){ 0 };
	read_names(&r, caps & CAP_SECURE_CONNECTION, true, ret);
}
