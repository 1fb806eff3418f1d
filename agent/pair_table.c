/* What becomes of each protocol's exchanges: an entry for every parser of protocols/registry.c. */
#include "agent/pair.h"

static const struct pair_ops *const table[_PROTO_MAX] = {
	[PROTO_HTTP1] = &pair_http_ops,	 [PROTO_PGSQL] = &pair_pgsql_ops,
	[PROTO_MYSQL] = &pair_mysql_ops, [PROTO_REDIS] = &pair_redis_ops,
	[PROTO_DNS] = &pair_dns_ops,
};

const struct pair_ops *pair_ops_of(enum proto_id id)
{
	return (unsigned int)id < _PROTO_MAX ? table[id] : NULL;
}
