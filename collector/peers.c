#include "collector/peers.h"

struct peer *peers_enter(struct peers *p, uint64_t user)
{
	struct peer *own = NULL, *unused = NULL;

	for (size_t i = 0; i < PEERS_MAX && !own; i++) {
		struct peer *one = &p->of[i];

		if (one->n && one->user == user)
			own = one;
		else if (!one->n && !unused)
			unused = one;
	}
	own = own ? own : unused;
	if (!own || own->n == PEERS_USER_MAX)
		return NULL;
	own->user = user;
	own->n++;
	return own;
}

void peers_leave(struct peer *peer)
{
	if (peer)
		peer->n--;
}
