#include "base/run_as.h"

#include <grp.h>
#include <pwd.h>
#include <stddef.h>

static const struct {
	const char *name;
	unsigned int id;
} users[_RUN_AS_MAX] = {
	[RUN_AS_PARSER] = { "kelpie-parser", RUN_AS_PARSER_ID },
	[RUN_AS_STORE] = { "kelpie-store", RUN_AS_STORE_ID },
	[RUN_AS_COLLECTOR] = { "kelpie-collector", RUN_AS_COLLECTOR_ID },
	[RUN_AS_QUERY] = { "kelpie-query", RUN_AS_QUERY_ID },
	[RUN_AS_GATE] = { "kelpie-gate", RUN_AS_GATE_ID },
	[RUN_AS_SHIPPER] = { "kelpie-shipper", RUN_AS_SHIPPER_ID },
	[RUN_AS_WATCHER] = { "kelpie-cluster", RUN_AS_WATCHER_ID },
};

void run_as_find(enum run_as who, struct run_as_ids *ret)
{
	const struct passwd *pw = getpwnam(users[who].name);
	const struct group *g;

	*ret = pw ? (struct run_as_ids){ pw->pw_uid, pw->pw_gid }
		  : (struct run_as_ids){ users[who].id, users[who].id };
	g = who == RUN_AS_STORE ? getgrnam(KELPIE_GROUP) : NULL;
	if (g)
		ret->gid = g->gr_gid;
}
