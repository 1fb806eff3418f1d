/* A small file by which others, such as a container's probes, see that the agent captures and goes round
 * its loop: the time of its last round, CLOCK_BOOTTIME in nanoseconds, as text. Empty until it captures.
 */
#ifndef AGENT_HEARTBEAT_H
#define AGENT_HEARTBEAT_H

#include "base/util.h"

#define HEARTBEAT_DEAD_NS (15 * NSEC_PER_SEC) /* a round takes a second at most */

/* Makes the file, or empties it. Its descriptor or negative errno. */
int heartbeat_open(const char *path);
/* Now. Nobody is told when the disk is full: then the file says that the agent is not well. */
void heartbeat_beat(int fd);
/* `kelpie-agent --alive FILE`: 0 when the last beat is younger than HEARTBEAT_DEAD_NS; else 1, with a
 * sentence on standard output. */
int heartbeat_main(const char *path);

#endif
