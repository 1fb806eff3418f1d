/* Whom each process becomes that needs nothing of root: one user per process, so that none can
 * signal, trace or read what belongs to another. deploy/systemd/kelpie.sysusers makes the users; on
 * a machine without them the numbers below serve, which no distribution hands out (systemd's and
 * Debian's tables leave 65520 to 65533 unused) and every container of 65536 numbers has.
 */
#ifndef BASE_RUN_AS_H
#define BASE_RUN_AS_H

#include <sys/types.h>

#define KELPIE_GROUP "kelpie" /* may ask, and read what is stored */

#define RUN_AS_PARSER_ID    65521
#define RUN_AS_STORE_ID	    65522
#define RUN_AS_COLLECTOR_ID 65523
#define RUN_AS_QUERY_ID	    65524 /* the processes in which strangers' SQL runs */
#define RUN_AS_GATE_ID	    65525 /* the collector's door to the network */
#define RUN_AS_SHIPPER_ID   65526 /* the agent's */
#define RUN_AS_WATCHER_ID   65527 /* watches the API server for the collector */

enum run_as {
	RUN_AS_PARSER,
	RUN_AS_STORE,
	RUN_AS_COLLECTOR,
	RUN_AS_QUERY,
	RUN_AS_GATE,
	RUN_AS_SHIPPER,
	RUN_AS_WATCHER,
	_RUN_AS_MAX
};

struct run_as_ids {
	uid_t uid;
	gid_t gid;
};

/* By name where the user exists, else by number. The store's group is KELPIE_GROUP where that
 * exists. Not for threads (getpwnam). */
void run_as_find(enum run_as who, struct run_as_ids *ret);

#endif
