/* Peers that want to be remembered: how much of what they send is kept, at both ends of the stream. */
#include "agent/uplink.h"
#include "base/log.h"
#include "base/clock.h"
#include "collector/hub.h"
#include "collector/listen.h"
#include "proto/frame.h"
#include "query/wire.h"
#include "tests/lib/test.h"
#include "tests/unit/collector/memsource.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/un.h>

static struct {
	char dir[64], path[100];
	struct listener listener;
} t;

static bool begin(void)
{
	const struct listen_opts opts = { 0600, (uid_t)-1, (gid_t)-1, (uid_t)-1 };
	char why[200];

	log_setup("test", LOG_ERROR, LOG_FORMAT_LOGFMT);
	snprintf(t.dir, sizeof(t.dir), "/tmp/kelpie-test-hoards-XXXXXX");
	if (!EXPECT(mkdtemp(t.dir) != NULL))
		return false;
	snprintf(t.path, sizeof(t.path), "unix:%s/s", t.dir);
	return EXPECT_EQ(listener_open(t.path, &opts, &t.listener, why, sizeof(why)), 0);
}

static void end(void)
{
	listener_close(&t.listener);
	rmdir(t.dir);
}

static void flush(struct frame_writer *out, int fd)
{
	while (frame_writer_flush(out, fd) == 1)
		poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 1000);
	frame_writer_done(out);
}

/* ---- a hub and its agents ---- */

static int dial_as(const char *node)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__Hello hello = KELPIE__HELLO__INIT;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct frame_writer out;

	hello.node = (char *)(uintptr_t)node;
	hello.proto_version = 1;
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_HELLO;
	m.hello = &hello;
	memcpy(un.sun_path, t.path + strlen("unix:"), strlen(t.path) + 1 - strlen("unix:"));
	EXPECT_EQ(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	frame_writer_init(&out, FRAME_WRITE_MAX_BYTES);
	EXPECT_EQ(frame_writer_push_message(&out, &m.base), 0);
	flush(&out, fd);
	return fd;
}

/* The beginning of a message of n bytes and more. */
static void send_torn(int fd, size_t n)
{
	static const uint8_t head[] = { 0, 0, 0x3f, 0xff, 0xff };
	static const uint8_t body[64 * KIB];
	ssize_t sent = send(fd, head, sizeof(head), MSG_NOSIGNAL);

	while (sent > 0 && n > 0) {
		sent = send(fd, body, MIN(n, sizeof(body)), MSG_NOSIGNAL);
		n -= sent > 0 ? (size_t)sent : 0;
	}
}

static bool is_hung_up(int fd)
{
	char answer[4096];
	ssize_t n;

	while ((n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

/* Messages without an end take no more than HUB_INPUT_BYTES together, and others are heard. */
static void test_hoards__endless_messages(void)
{
	enum { EACH = 3 * MIB, N = HUB_INPUT_BYTES / EACH + 2 };
	struct hub_config cfg = { .news_fd = -1 };
	size_t dropped = 0;
	int fds[N], heard;
	struct hub *hub;

	ASSERT(begin());
	cfg.listen_fd = t.listener.fd;
	ASSERT_EQ(hub_new(&cfg, &hub), 0);
	for (int i = 0; i < N; i++) {
		char name[24];

		snprintf(name, sizeof(name), "mallory%d", i);
		fds[i] = dial_as(name);
		send_torn(fds[i], EACH);
	}
	heard = dial_as("alpha");
	EXPECT_EQ(poll(&(struct pollfd){ .fd = heard, .events = POLLIN }, 1, 5000), 1);
	EXPECT(!is_hung_up(heard));
	close(heard);
	for (int i = 0; i < N; i++) {
		dropped += is_hung_up(fds[i]);
		close(fds[i]);
	}
	EXPECT(dropped > 0);
	EXPECT(dropped < N);
	hub_free(hub);
	end();
}

/* ---- an agent and its collector ---- */

static void push_scan(struct frame_writer *out, uint64_t id, struct slice plan)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;
	Kelpie__Scan scan = KELPIE__SCAN__INIT;

	scan.id = id;
	scan.plan.data = (uint8_t *)(uintptr_t)plan.p;
	scan.plan.len = plan.n;
	scan.plan_version = WIRE_VERSION;
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_SCAN;
	m.scan = &scan;
	EXPECT_EQ(frame_writer_push_message(out, &m.base), 0);
}

static bool is_busy(struct slice bytes)
{
	struct ProtobufCMessage *base;
	const Kelpie__AgentMessage *m;
	bool busy;

	if (frame_message_parse(&kelpie__agent_message__descriptor, bytes, &base) < 0)
		return false;
	m = (const Kelpie__AgentMessage *)base;
	busy = m->kind_case == KELPIE__AGENT_MESSAGE__KIND_SCAN_DONE &&
	       m->scan_done->status == KELPIE__SCAN_STATUS__SCAN_BUSY;
	frame_message_free(base);
	return busy;
}

static bool says_busy(int fd)
{
	uint64_t until_ns = clock_mono_ns() + 5 * NSEC_PER_SEC;
	struct frame_reader in;
	struct slice bytes;
	bool busy = false;

	frame_reader_init(&in, FRAME_MAX_BYTES);
	while (!busy && clock_mono_ns() < until_ns) {
		if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 100) == 1 &&
		    frame_reader_fill(&in, fd) <= 0)
			break;
		while (frame_reader_next(&in, &bytes) == 1)
			busy |= is_busy(bytes);
	}
	frame_reader_done(&in);
	return busy;
}

/* Plans that wait behind scans that get no credit: few bytes of them are kept. */
static void test_hoards__plans(void)
{
	static const uint8_t junk[MIB];
	static const uint16_t cols[] = { COL_METHOD };
	const struct scan_plan all = {
		.table = TABLE_HTTP, .to_ns = UINT64_MAX, .cols = cols, .n_cols = 1
	};
	static const struct uplink_ops ops = { 0 };
	struct uplink_config cfg = { .node = "alpha", .epoch = 1, .ops = &ops };
	struct strbuf plan = STRBUF_INIT(64 * KIB);
	struct frame_writer out;
	struct memsource source;
	struct uplink *u = NULL;
	uint64_t id = 0;
	int fd;

	ASSERT(begin());
	memsource_init(&source, "alpha", 10, 1, 1);
	cfg.source = &source.source;
	cfg.socket_path = t.path;
	ASSERT_EQ(uplink_start(&cfg, &u), 0);
	ASSERT_EQ(poll(&(struct pollfd){ .fd = t.listener.fd, .events = POLLIN }, 1, 5000), 1);
	fd = accept4(t.listener.fd, NULL, NULL, SOCK_CLOEXEC);
	ASSERT_EQ(wire_put_plan(&plan, &all), 0);
	frame_writer_init(&out, FRAME_WRITE_MAX_BYTES);
	while (id < UPLINK_SCANS_MAX)
		push_scan(&out, id++, strbuf_slice(&plan));
	while (id < UPLINK_SCANS_MAX + UPLINK_PLANS_BYTES / sizeof(junk))
		push_scan(&out, id++, slice_of(junk, sizeof(junk)));
	flush(&out, fd);
	EXPECT(says_busy(fd));
	strbuf_done(&plan);
	close(fd);
	uplink_stop(u);
	end();
}

TEST_MAIN(TEST(test_hoards__endless_messages), TEST(test_hoards__plans))
