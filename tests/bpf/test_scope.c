/* Whose connections are captured: not Kelpie's own, not other families', not those of denied ports; those
 * of the agent's own pid namespace under their numbers there.
 */
#include "tests/lib/test.h"
#include "script.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Kelpie's own bytes are counted and nothing else. */
static void test_scope__self(void)
{
	struct harness h;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	EXPECT_EQ(script_matrix(NULL), 0);
	harness_drain(&h);
	EXPECT_EQ(h.n_sides, 0);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT), 0);
	EXPECT(harness_counter(&h, BC_B_SELF) > 0);
	script_balance(&h);
	harness_stop(&h);
}

/* Whatever number of children was started anew: the list holds who lives. */
static void test_scope__self_after_restarts(void)
{
	struct harness h;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	capture_drop_self(h.cap, (uint32_t)getpid());
	for (uint32_t pid = 1u << 30; pid < (1u << 30) + 100; pid++) {
		EXPECT_EQ(capture_add_self(h.cap, pid), 0);
		EXPECT_EQ(capture_add_self(h.cap, pid + 1000), 0);
		capture_drop_self(h.cap, pid);
		capture_drop_self(h.cap, pid + 1000);
		capture_drop_self(h.cap, pid); /* twice: nobody else's place */
	}
	EXPECT_EQ(capture_add_self(h.cap, (uint32_t)getpid()), 0);
	EXPECT_EQ(script_matrix(NULL), 0);
	harness_drain(&h);
	EXPECT_EQ(h.n_sides, 0);
	EXPECT(harness_counter(&h, BC_B_SELF) > 0);
	script_balance(&h);
	harness_stop(&h);
}

/* What the family's head has started, and what that starts, is Kelpie's own over TCP too. */
static void test_scope__family(void)
{
	struct harness h;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	EXPECT_EQ(capture_family(h.cap, (uint32_t)getpid()), 0);
	EXPECT_EQ(harness_run(&h, script_matrix, NULL), 0);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT), 0);
	EXPECT(harness_counter(&h, BC_B_SELF) > 0);
	script_balance(&h);
	harness_stop(&h);
}

/* Sockets whose protocol has TCP's number and which are none. */
static int number_six(void *arg)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct nlmsghdr noop = { .nlmsg_len = sizeof(noop), .nlmsg_type = NLMSG_NOOP };
	int raw = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	int xfrm = socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
	uint8_t segment[20] = { 0 };

	(void)arg;
	if (raw < 0 ||
	    sendto(raw, segment, sizeof(segment), 0, (struct sockaddr *)&a, sizeof(a)) < 0)
		return 2;
	if (xfrm >= 0) /* not in every kernel */
		(void)send(xfrm, &noop, sizeof(noop), 0);
	close(raw);
	close(xfrm);
	return 0;
}

static void test_scope__other_families(void)
{
	struct harness h;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	EXPECT_EQ(harness_run(&h, number_six, NULL), 0);
	EXPECT_EQ(h.n_sides, 0);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT), 0);
	script_balance(&h);
	harness_stop(&h);
}

static void test_scope__denied_port(void)
{
	struct capture_opts o = { .deny_ports = { 9 }, .allow_ports = { 9 } };
	struct harness h;

	script = script_new();
	if (!script_start(&h, &o)) /* only port 9, and not port 9: nothing */
		return;
	EXPECT_EQ(harness_run(&h, script_matrix, NULL), 0);
	EXPECT_EQ(h.n_sides, 0);
	EXPECT(harness_counter(&h, BC_B_SCOPE) > 0);
	EXPECT_EQ(harness_counter(&h, BC_BYTES_OUT), 0);
	script_balance(&h);
	harness_stop(&h);
}

/* An agent in a pid namespace of its own: it sees its processes under their numbers there. */
static int nested_agent(void *arg)
{
	struct harness h;
	struct side *s;
	int r = 0;

	(void)arg;
	if (getpid() != 1 || !script_start(&h, NULL))
		return 2;
	if (harness_run(&h, script_matrix, NULL))
		r = 3;
	s = harness_side(&h, script->server_port, script->client_port);
	if (!s)
		r = 4;
	else if (s->open.tgid < 2 || s->open.tgid > 50)
		r = 5;
	else if (harness_balance(&h, "bytes"))
		r = 6;
	harness_stop(&h);
	return r;
}

static int nesting(void *arg)
{
	int status = -1;
	pid_t pid;

	(void)arg;
	if (unshare(CLONE_NEWPID))
		return 77;
	pid = harness_fork(nested_agent, NULL);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 9;
}

static void test_scope__pid_namespace(void)
{
	int status = -1;
	struct harness h;

	script = script_new();
	if (!script_start(&h, NULL)) /* only to skip where the rung is missing */
		return;
	harness_stop(&h);
	waitpid(harness_fork(nesting, NULL), &status, 0);
	EXPECT_EQ(WEXITSTATUS(status), 0);
}

static const struct test_case cases[] = {
	TEST(test_scope__self),	       TEST(test_scope__self_after_restarts),
	TEST(test_scope__family),      TEST(test_scope__other_families),
	TEST(test_scope__denied_port), TEST(test_scope__pid_namespace),
};

int main(int argc, char **argv)
{
	return script_main(cases, ARRAY_SIZE(cases), argc, argv);
}
