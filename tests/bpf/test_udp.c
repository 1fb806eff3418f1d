/* UDP under the real programs: every call that moves datagrams, on every rung. Each datagram carries
 * its number, so that what is captured of it can be checked one by one at both ends. */
#include "agent/features.h"
#include "base/caps.h"
#include "harness.h"
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define DGRAMS_MAX 256u
#define LEN_MAX	   9000u
#define BATCH	   3u
#define FLOOD	   50000u
#define BUDGET	   32u

/* What the child sent, in memory that both see. */
struct script {
	int family;
	uint32_t n;
	struct sent_one {
		uint16_t from, to;
		uint32_t len;
		bool sender_hidden; /* the receiver did not ask who it was */
		bool no_payload;    /* the receiver's buffer holds less than the call says */
	} sent[DGRAMS_MAX];
};

/* What the rings said of each. */
struct told {
	uint32_t records;
	struct ev_dgram ev;
	bool right; /* the payload is what was sent */
};

static struct script *script;
static struct told told[2][DGRAMS_MAX];
static enum capture_rung rung;
static enum capture_read reads;

static uint8_t byte_of(uint32_t number, uint32_t i)
{
	return i < 4 ? (uint8_t)(number >> 8 * i) : (uint8_t)(number * 7 + i * 13);
}

static void take(struct harness *h, const struct ev_dgram *e)
{
	int d = e->h.flags & EV_F_TX ? EV_TX : EV_RX;
	uint32_t number = 0;
	struct told *t;

	(void)h;
	if (e->cap_len < 4)
		return;
	memcpy(&number, e->data, 4);
	if (number >= DGRAMS_MAX)
		return;
	t = &told[d][number];
	t->records++;
	t->ev = *e;
	t->right = true;
	for (uint32_t i = 0; i < e->cap_len; i++)
		t->right &= e->data[i] == byte_of(number, i);
}

static socklen_t address(struct sockaddr_storage *ret, uint16_t port, bool any)
{
	struct sockaddr_in *a4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	ret->ss_family = (sa_family_t)script->family;
	if (script->family == AF_INET) {
		a4->sin_port = htons(port);
		a4->sin_addr.s_addr = any ? 0 : htonl(INADDR_LOOPBACK);
		return sizeof(*a4);
	}
	a6->sin6_port = htons(port);
	a6->sin6_addr = any ? in6addr_any : (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
	return sizeof(*a6);
}

/* A socket on a port of the kernel's choice; its port. */
static int open_socket(uint16_t *ret_port)
{
	struct sockaddr_storage a;
	socklen_t n = address(&a, 0, false);
	int fd = socket(script->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { 5, 0 };

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) ||
	    getsockname(fd, (struct sockaddr *)&a, &n))
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	*ret_port = ntohs(((struct sockaddr_in *)&a)->sin_port);
	return fd;
}

struct talk {
	int client, server;
	uint16_t client_port, server_port;
	uint8_t buf[LEN_MAX];
};

static uint32_t note(struct talk *t, uint32_t len)
{
	uint32_t number = script->n++;

	script->sent[number].from = t->client_port;
	script->sent[number].to = t->server_port;
	script->sent[number].len = len;
	for (uint32_t i = 0; i < len; i++)
		t->buf[i] = byte_of(number, i);
	return number;
}

static bool send_to(struct talk *t, uint32_t len)
{
	struct sockaddr_storage a;
	socklen_t n = address(&a, t->server_port, false);

	note(t, len);
	return sendto(t->client, t->buf, len, 0, (struct sockaddr *)&a, n) == (ssize_t)len;
}

/* ---- senders: unconnected first, then connected ---- */

static bool tx_sendmsg(struct talk *t)
{
	struct sockaddr_storage a;
	struct iovec v[3] = { { t->buf, 10 }, { t->buf + 10, 0 }, { t->buf + 10, 190 } };
	struct msghdr m = { &a, 0, v, 3, NULL, 0, 0 };

	note(t, 200);
	m.msg_namelen = address(&a, t->server_port, false);
	return sendmsg(t->client, &m, 0) == 200;
}

/* The second is empty. */
static bool tx_sendmmsg(struct talk *t)
{
	static uint8_t bufs[BATCH][64];
	struct sockaddr_storage a;
	struct iovec v[BATCH];
	struct mmsghdr m[BATCH] = { 0 };
	socklen_t n = address(&a, t->server_port, false);

	for (uint32_t i = 0; i < BATCH; i++) {
		if (i != 1)
			note(t, 64);
		memcpy(bufs[i], t->buf, 64);
		v[i] = (struct iovec){ bufs[i], i == 1 ? 0 : 64 };
		m[i].msg_hdr = (struct msghdr){ &a, n, &v[i], 1, NULL, 0, 0 };
	}
	return sendmmsg(t->client, m, BATCH, 0) == (int)BATCH;
}

static bool tx_write(struct talk *t)
{
	note(t, 100);
	return write(t->client, t->buf, 100) == 100;
}

static bool tx_send(struct talk *t)
{
	note(t, 4);
	return send(t->client, t->buf, 4, 0) == 4;
}

static bool tx_writev(struct talk *t)
{
	struct iovec v[2] = { { t->buf, 1 }, { t->buf + 1, 59 } };

	note(t, 60);
	return writev(t->client, v, 2) == 60;
}

static bool tx_large(struct talk *t)
{
	note(t, LEN_MAX);
	return send(t->client, t->buf, LEN_MAX, 0) == (ssize_t)LEN_MAX;
}

/* ---- receivers ---- */

static bool rx_recvfrom(struct talk *t)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);

	return recvfrom(t->server, t->buf, LEN_MAX, 0, (struct sockaddr *)&a, &n) > 0;
}

static bool rx_recvmsg(struct talk *t)
{
	struct sockaddr_storage a;
	struct iovec v[2] = { { t->buf, 7 }, { t->buf + 7, LEN_MAX - 7 } };
	struct msghdr m = { &a, sizeof(a), v, 2, NULL, 0, 0 };

	return recvmsg(t->server, &m, 0) > 0;
}

static bool rx_recvmmsg(struct talk *t)
{
	static uint8_t bufs[BATCH][2048];
	struct sockaddr_storage a[BATCH];
	struct iovec v[BATCH];
	struct mmsghdr m[BATCH] = { 0 };
	uint32_t got = 0;

	(void)t;
	while (got < BATCH) {
		int r;

		for (uint32_t i = 0; i < BATCH - got; i++) {
			v[i] = (struct iovec){ bufs[i], sizeof(bufs[i]) };
			m[i].msg_hdr = (struct msghdr){ &a[i], sizeof(a[i]), &v[i], 1, NULL, 0, 0 };
		}
		r = recvmmsg(t->server, m, BATCH - got, MSG_WAITFORONE, NULL);
		if (r <= 0)
			return false;
		got += (uint32_t)r;
	}
	return true;
}

static bool rx_hidden(struct talk *t)
{
	script->sent[script->n - 1].sender_hidden = true;
	return recv(t->server, t->buf, LEN_MAX, 0) > 0;
}

static bool rx_read(struct talk *t)
{
	script->sent[script->n - 1].sender_hidden = true;
	return read(t->server, t->buf, LEN_MAX) > 0;
}

static bool rx_peek(struct talk *t)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);

	if (recvfrom(t->server, t->buf, LEN_MAX, MSG_PEEK, (struct sockaddr *)&a, &n) <= 0)
		return false;
	return rx_hidden(t);
}

static bool rx_trunc(struct talk *t)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);

	script->sent[script->n - 1].no_payload = true;
	return recvfrom(t->server, t->buf, 8, MSG_TRUNC, (struct sockaddr *)&a, &n) > 8;
}

static const struct step {
	bool connected;
	bool (*send)(struct talk *t);
	bool (*receive)(struct talk *t);
} steps[] = {
	{ false, tx_sendmsg, rx_recvfrom },  { false, tx_sendmmsg, rx_recvmmsg },
	{ false, tx_sendmmsg, rx_recvmmsg }, { false, tx_sendmsg, rx_recvmsg },
	{ false, tx_sendmsg, rx_hidden },    { true, tx_write, rx_recvfrom },
	{ true, tx_send, rx_recvmsg },	     { true, tx_writev, rx_read },
	{ true, tx_large, rx_recvfrom },     { true, tx_send, rx_peek },
	{ true, tx_writev, rx_trunc },
};

static int open_talk(struct talk *t)
{
	t->client = open_socket(&t->client_port);
	t->server = open_socket(&t->server_port);
	return t->client < 0 || t->server < 0;
}

static int matrix(void *arg)
{
	static struct talk t;
	struct sockaddr_storage a;
	bool connected = false;

	(void)arg;
	if (open_talk(&t))
		return 2;
	if (!send_to(&t, 50) || !rx_recvfrom(&t))
		return 3;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		socklen_t n = address(&a, t.server_port, false);

		if (steps[i].connected && !connected) {
			connected = true;
			if (connect(t.client, (struct sockaddr *)&a, n))
				return 4;
		}
		if (!steps[i].send(&t) || !steps[i].receive(&t))
			return 10 + (int)i;
	}
	return 0;
}

static bool start(struct harness *h, struct capture_opts o)
{
	int r;

	memset(told, 0, sizeof(told));
	o.rung = rung;
	o.read = reads;
	r = harness_start(h, &o);
	if (r == -ENOTSUP) {
		test_skip("this kernel has no such rung");
		return false;
	}
	h->on_dgram = take;
	return EXPECT_EQ(r, 0);
}

static bool is_loopback(const uint8_t *a)
{
	static const uint8_t v4[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 }, v6[16] = { [15] = 1 };

	return memcmp(a, script->family == AF_INET ? v4 : v6, 16) == 0;
}

static void check_told(const struct told *t, const struct sent_one *s, int dir)
{
	uint16_t local = dir == EV_TX ? s->from : s->to, remote = dir == EV_TX ? s->to : s->from;
	bool hidden = dir == EV_RX && s->sender_hidden;
	uint32_t cap = s->len > EV_DGRAM_MAX ? EV_DGRAM_MAX : s->len;

	if (dir == EV_RX && s->no_payload)
		return; /* without its bytes it has no number */
	EXPECT_EQ(t->records, 1);
	EXPECT(t->right);
	EXPECT_EQ(t->ev.orig_len, s->len);
	EXPECT_EQ(t->ev.cap_len, cap);
	EXPECT_EQ(t->ev.local_port, local);
	EXPECT_EQ(t->ev.remote_port, hidden ? 0 : remote);
	EXPECT(is_loopback(t->ev.local));
	EXPECT(hidden || is_loopback(t->ev.remote));
	EXPECT(t->ev.tgid != 0 && t->ev.netns != 0);
}

static void check_balance(struct harness *h)
{
	EXPECT_EQ(harness_balance(h, "datagrams"), 0);
	EXPECT_EQ(harness_balance(h, "datagram_bytes"), 0);
	EXPECT_EQ(harness_balance(h, "bytes"), 0);
	EXPECT_EQ(capture_missed_runs(h->cap).data, 0);
}

static void run_matrix(int family)
{
	struct harness h;

	script->family = family;
	script->n = 0;
	memset(script->sent, 0, sizeof(script->sent));
	if (!start(&h, (struct capture_opts){ .dgram_budget = UINT32_MAX }))
		return;
	EXPECT_EQ(harness_run(&h, matrix, NULL), 0);
	EXPECT(script->n > ARRAY_SIZE(steps));
	for (uint32_t i = 0; i < script->n; i++)
		for (int d = 0; d < 2; d++)
			check_told(&told[d][i], &script->sent[i], d);
	EXPECT_EQ(harness_counter(&h, BC_D_OUT), 2 * script->n);
	EXPECT_EQ(harness_counter(&h, BC_DB_CUT), 2 * (LEN_MAX - EV_DGRAM_MAX));
	EXPECT_EQ(harness_counter(&h, BC_DB_NOPAYLOAD), 60);
	EXPECT_EQ(harness_counter(&h, BC_DB_FAULT) + harness_counter(&h, BC_DB_UNTRUSTED), 0);
	check_balance(&h);
	harness_stop(&h);
}

static void test_udp__matrix_ipv4(void)
{
	run_matrix(AF_INET);
}
static void test_udp__matrix_ipv6(void)
{
	run_matrix(AF_INET6);
}

/* Nobody judges the sockets. */
static int flood(void *arg)
{
	static struct talk t;

	(void)arg;
	if (open_talk(&t))
		return 2;
	for (uint32_t i = 0; i < FLOOD; i++) {
		script->n = 0;
		if (!send_to(&t, 40) || !rx_recvfrom(&t))
			return 3;
	}
	return 0;
}

static void test_udp__flood_is_counted(void)
{
	struct harness h;

	script->family = AF_INET;
	if (!start(&h, (struct capture_opts){ 0 }))
		return;
	EXPECT_EQ(harness_run(&h, flood, NULL), 0);
	EXPECT_EQ(harness_counter(&h, BC_D_OUT), 2 * BUDGET);
	EXPECT_EQ(harness_counter(&h, BC_D_BUDGET), 2 * (FLOOD - BUDGET));
	EXPECT_EQ(harness_counter(&h, BC_DB_BUDGET), 2 * 40 * (FLOOD - BUDGET));
	check_balance(&h);
	harness_stop(&h);
}

/* The parser's opinion of both sockets, as soon as they are seen. */
static uint32_t verdict;

static void judge(struct harness *h, const struct ev_dgram *e)
{
	take(h, e);
	h->conn_ctl[e->slot].verdict = verdict;
	h->conn_ctl[e->slot].conn = e->sock;
}

static int judged_talk(void *arg)
{
	static struct talk t;

	(void)arg;
	if (open_talk(&t))
		return 2;
	for (uint32_t i = 0; i < 100; i++) {
		if (!send_to(&t, 40) || !rx_recvfrom(&t))
			return 3;
		if (i == 0)
			usleep(100000); /* the verdict is written meanwhile */
	}
	return 0;
}

static void run_judged(uint32_t v, enum bpf_counter counter, uint64_t expected)
{
	struct harness h;

	script->family = AF_INET;
	script->n = 0;
	verdict = v;
	if (!start(&h, (struct capture_opts){ 0 }))
		return;
	h.on_dgram = judge;
	EXPECT_EQ(harness_run(&h, judged_talk, NULL), 0);
	EXPECT_EQ(harness_counter(&h, counter), expected);
	check_balance(&h);
	harness_stop(&h);
}

static void test_udp__verdict_copy(void)
{
	run_judged(CTL_COPY, BC_D_OUT, 200);
}

static void test_udp__verdict_count(void)
{
	run_judged(CTL_COUNT, BC_D_VERDICT, 198);
}

/* The port of multicast DNS is always copied. */
static int listed_port(void *arg)
{
	static struct talk t;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(5353) };

	(void)arg;
	if (open_talk(&t))
		return 2;
	inet_pton(AF_INET, "127.0.0.79", &a.sin_addr);
	close(t.server);
	t.server = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(t.server, (struct sockaddr *)&a, sizeof(a)) ||
	    connect(t.client, (struct sockaddr *)&a, sizeof(a)))
		return 3;
	t.server_port = 5353;
	for (int i = 0; i < 50; i++)
		if (!tx_send(&t) || !rx_recvfrom(&t))
			return 4;
	return 0;
}

static void test_udp__listed_port(void)
{
	struct harness h;

	script->family = AF_INET;
	script->n = 0;
	if (!start(&h, (struct capture_opts){ 0 }))
		return;
	EXPECT_EQ(harness_run(&h, listed_port, NULL), 0);
	EXPECT_EQ(harness_counter(&h, BC_D_OUT), 100);
	check_balance(&h);
	harness_stop(&h);
}

static void test_udp__denied_port(void)
{
	struct harness h;

	script->family = AF_INET;
	script->n = 0;
	if (!start(&h, (struct capture_opts){ .deny_ports = { 5353 } }))
		return;
	EXPECT_EQ(harness_run(&h, listed_port, NULL), 0);
	EXPECT_EQ(harness_counter(&h, BC_D_OUT), 0);
	EXPECT(harness_counter(&h, BC_D_SCOPE) >= 100);
	check_balance(&h);
	harness_stop(&h);
}

static const struct test_case cases[] = {
	TEST(test_udp__matrix_ipv4),	  TEST(test_udp__matrix_ipv6),
	TEST(test_udp__flood_is_counted), TEST(test_udp__verdict_copy),
	TEST(test_udp__verdict_count),	  TEST(test_udp__listed_port),
	TEST(test_udp__denied_port),
};

/* In a mount namespace of our own: the machine's mounts stay as they are. */
static void mount_tracefs(void)
{
	if (access("/sys/kernel/tracing/events", F_OK) == 0 || unshare(CLONE_NEWNS))
		return;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
}

/* Where function-exit probes tell who sent a datagram the capability is not needed: it is not there. */
static int give_up_net_admin(void)
{
	struct feature_state features[_FEATURE_MAX];

	features_probe(features);
	return features[FEATURE_FUNC_EXIT].present ? caps_drop(CAP_NET_ADMIN) : 0;
}

/* test_udp RUNG READ [CASE], as test_capture */
int main(int argc, char **argv)
{
	if (argc < 3) {
		printf("usage: test_udp RUNG btf|probe [CASE]\n");
		return 2;
	}
	rung = capture_rung_parse(argv[1]);
	reads = capture_read_parse(argv[2]);
	if (geteuid() != 0) {
		printf("skip test_udp: needs root\n");
		return 0;
	}
	if (rung == CAPTURE_RUNG_TRACEPOINT)
		mount_tracefs();
	script = mmap(NULL, sizeof(*script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (script == MAP_FAILED || give_up_net_admin() < 0)
		return 1;
	return test_run(cases, ARRAY_SIZE(cases), argc - 2, argv + 2);
}
