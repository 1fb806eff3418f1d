/* The packets that open a connection: the server's greeting, the client's answer. */
#ifndef PROTOCOLS_MYSQL_HANDSHAKE_H
#define PROTOCOLS_MYSQL_HANDSHAKE_H

#include "protocols/mysql/packet.h"

/* Protocol 10. False when it is none; *ret_caps: what the server offers. */
bool greeting_parse(struct slice payload, uint64_t *ret_caps);

/* An error that a server sends instead of a greeting, without having been asked: it accepts no
 * connection, or not this one. payload: all of it. */
bool refusal_parse(struct slice payload, struct err_packet *ret);

struct login {
	uint64_t caps;		     /* what both sides have */
	struct slice user, database; /* borrowed; not known when the packet was cut before them */
	bool has_user, has_database;
	bool tls; /* a request for TLS: no login follows before that */
};

/* payload: what is there of len bytes. server: see greeting_parse(). False when it is none. */
bool login_parse(struct slice payload, uint32_t len, uint64_t server, struct login *ret);

/* The same of COM_CHANGE_USER, behind its command byte. */
void change_user_parse(struct slice payload, uint64_t caps, struct login *ret);

#endif
