/* Protocol ids: fixed values, used by the registry, the schemas and stored data. No includes. */
#ifndef PROTOCOLS_PROTO_ID_H
#define PROTOCOLS_PROTO_ID_H

enum proto_id {
	PROTO_UNKNOWN = 0,
	PROTO_HTTP1 = 1,
	/* Recognised, not parsed yet: a known id without an entry in the registry. */
	PROTO_TLS = 2,
	PROTO_HTTP2 = 3,
	PROTO_WEBSOCKET = 4,
	PROTO_PGSQL = 5,
	PROTO_MYSQL = 6,
	PROTO_REDIS = 7,
	PROTO_DNS = 8,
	_PROTO_MAX = 32,
};

#endif
