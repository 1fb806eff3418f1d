/* `kelpie-agent --replay FILE`: recorded traffic through the same hops as live events. */
#include "agent/agent.h"

#include <stdio.h>

int replay_main(const struct config *cfg, const char *file)
{
	(void)cfg;
	fprintf(stderr, "kelpie-agent: cannot replay %s: not built yet\n", file);
	return 1;
}
