#include "cli/privileges.h"

#include "base/caps.h"
#include "base/strbuf.h"
#include "cli/cli.h"

#include <linux/capability.h>
#include <string.h>

/* linux/capability.h has these since 5.8 and 5.8 */
#define BIT_PERFMON 38
#define BIT_BPF	    39

/* deploy/systemd/kelpie.service.in has the same list. */
static const struct need {
	int bit;
	const char *name, *what_for;
} needs[] = {
	{ BIT_BPF, "BPF", "loads the capture programs" },
	{ BIT_PERFMON, "PERFMON", "attaches them" },
	{ CAP_SYS_PTRACE, "SYS_PTRACE", "tells whose a connection is" },
	{ CAP_DAC_READ_SEARCH, "DAC_READ_SEARCH", "reads /proc of all users" },
	{ CAP_SETUID, "SETUID", "gives up root where it is not needed" },
	{ CAP_SETGID, "SETGID", "the same for groups" },
	{ CAP_SETPCAP, "SETPCAP", "gives up capabilities" },
	{ CAP_KILL, "KILL", "stops its own processes" },
	{ CAP_CHOWN, "CHOWN", "hands the sockets to the group kelpie" },
	{ CAP_FOWNER, "FOWNER", "sets their mode" },
};

static int effective(uint64_t *ret)
{
	int err = caps_get(ret);

	if (err < 0)
		return err;
	/* What SYS_ADMIN may, includes these two. */
	if (*ret >> CAP_SYS_ADMIN & 1)
		*ret |= 1ULL << BIT_BPF | 1ULL << BIT_PERFMON;
	return 0;
}

int privileges_check(struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf missing = STRBUF_INIT(4096), give = STRBUF_INIT(4096);
	uint64_t have = 0;
	size_t n = 0;

	if (geteuid() != 0)
		return trouble_set(t, EXIT_NOT_ALLOWED,
				   "capturing needs root; run: sudo kelpie run");
	if (effective(&have) < 0)
		return 0; /* then the first step that lacks one will say so */
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		if (have >> needs[i].bit & 1)
			continue;
		strbuf_addf(&missing, "%sCAP_%s (%s)", n++ ? ", " : "", needs[i].name,
			    needs[i].what_for);
		strbuf_addf(&give, " --cap-add %s", needs[i].name);
	}
	if (!n)
		return 0;
	return trouble_set(t, EXIT_NOT_ALLOWED,
			   "capturing needs %s that this process lacks although it is root: %s; "
			   "whatever started it took %s away (a container, setpriv, systemd's "
			   "CapabilityBoundingSet): let it keep %s, in a container with%s",
			   n == 1 ? "a capability" : "capabilities", strbuf_str(&missing),
			   n == 1 ? "it" : "them", n == 1 ? "it" : "them", strbuf_str(&give));
}

int privileges_limit(void)
{
	/* NET_ADMIN, until the programs are attached: tells who sent a datagram. */
	uint64_t have,
		keep = 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_SYS_RESOURCE | 1ULL << CAP_NET_ADMIN;
	int err = caps_get(&have);

	if (err < 0)
		return err;
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		keep |= 1ULL << needs[i].bit;
	if (!(have >> BIT_BPF & have >> BIT_PERFMON & 1))
		keep |= 1ULL << CAP_SYS_ADMIN; /* instead of these two */
	err = caps_bound(keep);
	return err < 0 ? err : caps_set(have & keep);
}
