/* What an address stood for at a time: each case that a cluster has. */
#include "k8s/entities.h"
#include "k8s/entities_int.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/mman.h>

#define S    NSEC_PER_SEC
#define NODE K8S_FROM_NODE
#define WIDE K8S_FROM_CLUSTER
#define T0   (1000 * S) /* "now" of a test that does not say */

struct fixture {
	struct k8s_entities_writer w;
	struct k8s_answer got;
	uint64_t now;
};

static void *memory;

static void setup(struct fixture *f)
{
	memory = mmap(NULL, k8s_entities_bytes(), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*f = (struct fixture){ .now = T0 };
	EXPECT_EQ(k8s_entities_open(&f->w, memory), 0);
}

static void teardown(struct fixture *f)
{
	k8s_entities_close(&f->w);
	munmap(memory, k8s_entities_bytes());
}

static struct k8s_entity entity(uint8_t kind, const char *addr, uint16_t port, const char *uid)
{
	struct k8s_entity e = { .kind = kind, .port = port, .uid = slice_str(uid) };

	if (addr)
		EXPECT(k8s_addr_parse(slice_str(addr), e.addr));
	return e;
}

static int put_pod(struct fixture *f, int from, const char *addr, const char *name, uint64_t start,
		   uint64_t end)
{
	struct k8s_entity e = entity(K8S_ENTITY_POD, addr, 0, name);

	e.ns = SLICE_LIT("shop");
	e.name = slice_str(name);
	e.workload_kind = SLICE_LIT("Deployment");
	e.workload = SLICE_LIT("work");
	e.node = SLICE_LIT("n1");
	e.from_ns = start;
	e.to_ns = end;
	return k8s_entities_put(&f->w, (enum k8s_entity_source)from, &e, f->now);
}

static int put_service(struct fixture *f, uint8_t kind, const char *addr, uint16_t port,
		       uint8_t proto, const char *name, const char *pod)
{
	struct k8s_entity e = entity(kind, addr, port, name);

	e.proto = proto;
	e.ns = SLICE_LIT("shop");
	e.service = slice_str(name);
	e.name = slice_str(pod);
	return k8s_entities_put(&f->w, WIDE, &e, f->now);
}

static int put_node(struct fixture *f, const char *addr, const char *name)
{
	struct k8s_entity e = entity(K8S_ENTITY_NODE, addr, 0, name);

	e.node = slice_str(name);
	return k8s_entities_put(&f->w, WIDE, &e, f->now);
}

/* "kind ns/name service" of a server there, or of a client where the port is 0. */
static const char *ask_proto(struct fixture *f, const char *addr, uint16_t port, uint8_t proto,
			     uint64_t at)
{
	static const char *const kinds[] = { "", "pod", "service", "node" };
	static char text[4][800];
	static int turn;
	uint8_t bytes[16];
	struct k8s_question q = { bytes, port, proto, port != 0, at };
	char *out = text[turn++ % 4];

	EXPECT(k8s_addr_parse(slice_str(addr), bytes));
	EXPECT_EQ(k8s_entities_find(memory, &q, &f->got), 0);
	if (!f->got.kind)
		return "";
	snprintf(out, sizeof(text[0]), "%s %s/%s %s", kinds[f->got.kind], f->got.ns, f->got.name,
		 f->got.kind == K8S_ENTITY_NODE ? f->got.node : f->got.service);
	return out;
}

static const char *ask(struct fixture *f, const char *addr, uint16_t port, uint64_t at)
{
	return ask_proto(f, addr, port, IPPROTO_TCP, at);
}

static void test_entities__pod_over_its_life(void)
{
	struct fixture f;

	setup(&f);
	EXPECT_EQ(put_pod(&f, NODE, "10.0.0.5", "cart-1", 900 * S, 0), 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 80, 899 * S), "");
	EXPECT_EQ(f.got.to_ns, 900 * S); /* and is known from then on */
	EXPECT_STR(ask(&f, "10.0.0.5", 80, 900 * S), "pod shop/cart-1 ");
	EXPECT_STR(f.got.workload_kind, "Deployment");
	EXPECT_STR(f.got.workload, "work");
	EXPECT_STR(f.got.node, "n1");
	EXPECT_EQ(f.got.from_ns, 900 * S);
	EXPECT_EQ(f.got.to_ns, 0);
	EXPECT_STR(ask(&f, "10.0.0.6", 80, 950 * S), "");
	f.now = 2000 * S;
	EXPECT_EQ(put_pod(&f, NODE, "10.0.0.5", "cart-1", 900 * S, 1500 * S), 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 80, 1499 * S), "pod shop/cart-1 ");
	EXPECT_STR(ask(&f, "10.0.0.5", 80, 1500 * S), "");
	teardown(&f);
}

/* A finished job's pod keeps its address in the API for hours, and another one has it. */
static void test_entities__address_used_again(void)
{
	struct fixture f;

	setup(&f);
	put_pod(&f, NODE, "10.0.0.5", "job-a", 100 * S, 0);
	f.now = 200 * S;
	put_pod(&f, NODE, "10.0.0.5", "job-a", 100 * S, 190 * S);
	put_pod(&f, NODE, "10.0.0.5", "job-b", 150 * S, 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 189 * S), "pod shop/job-a ");
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 191 * S), ""); /* clocks differ */
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 192 * S), "pod shop/job-b ");
	f.now = 300 * S;
	put_pod(&f, NODE, "10.0.0.5", "job-a", 100 * S, 190 * S); /* told again, long over */
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 300 * S), "pod shop/job-b ");
	teardown(&f);
}

/* The end of the one before was missed: what lies between is nobody's. */
static void test_entities__claimed(void)
{
	struct fixture f;

	setup(&f);
	put_pod(&f, WIDE, "10.0.0.5", "old", 100 * S, 0);
	f.now = 500 * S;
	put_pod(&f, WIDE, "10.0.0.5", "new", 400 * S, 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 399 * S), "pod shop/old ");
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 450 * S), "");
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 500 * S), "pod shop/new ");
	teardown(&f);
}

/* Known as over only: two that had the place at one time have no name there. */
static void test_entities__two_at_once(void)
{
	struct fixture f;

	setup(&f);
	put_pod(&f, WIDE, "10.0.0.5", "b", 150 * S, 0);
	put_pod(&f, WIDE, "10.0.0.5", "a", 100 * S, 200 * S);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 120 * S), "pod shop/a ");
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 170 * S), "");
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 210 * S), "pod shop/b ");
	teardown(&f);
}

static void test_entities__cluster_ip(void)
{
	struct fixture f;

	setup(&f);
	put_service(&f, K8S_ENTITY_SERVICE, "10.96.0.1", 0, 0, "cart", "");
	EXPECT_STR(ask(&f, "10.96.0.1", 80, T0), "service shop/ cart");
	EXPECT_STR(ask(&f, "10.96.0.1", 81, T0), "service shop/ cart");
	teardown(&f);
}

static void test_entities__node_port(void)
{
	struct fixture f;

	setup(&f);
	put_node(&f, "192.168.1.1", "n1");
	put_node(&f, "192.168.1.2", "n2");
	put_service(&f, K8S_ENTITY_NODEPORT, NULL, 30080, IPPROTO_TCP, "web", "");
	put_service(&f, K8S_ENTITY_NODEPORT, NULL, 30053, IPPROTO_UDP, "dns", "");
	EXPECT_STR(ask(&f, "192.168.1.1", 30080, T0), "service shop/ web");
	EXPECT_STR(f.got.node, ""); /* the pod may be on another */
	EXPECT_STR(ask(&f, "192.168.1.2", 30080, T0), "service shop/ web");
	EXPECT_STR(ask(&f, "192.168.1.2", 30053, T0), "node / n2");
	EXPECT_STR(ask_proto(&f, "192.168.1.2", 30053, IPPROTO_UDP, T0), "service shop/ dns");
	EXPECT_STR(ask(&f, "10.0.0.5", 30080, T0), ""); /* no node's address */
	/* Who comes from a node's address is the node: a pod behind it, or its kubelet. */
	EXPECT_STR(ask(&f, "192.168.1.1", 0, T0), "node / n1");
	teardown(&f);
}

static void test_entities__external_address(void)
{
	struct fixture f;

	setup(&f);
	put_service(&f, K8S_ENTITY_EXTERNAL, "203.0.113.9", 443, IPPROTO_TCP, "web", "");
	put_service(&f, K8S_ENTITY_EXTERNAL, "203.0.113.9", 25, IPPROTO_TCP, "mail", "");
	EXPECT_STR(ask(&f, "203.0.113.9", 443, T0), "service shop/ web");
	EXPECT_STR(ask(&f, "203.0.113.9", 25, T0), "service shop/ mail");
	EXPECT_STR(ask(&f, "203.0.113.9", 26, T0), "");
	EXPECT_STR(ask(&f, "203.0.113.9", 0, T0), "");
	teardown(&f);
}

/* A headless service is its pods' addresses; a pod may be in several. */
static void test_entities__endpoints(void)
{
	struct fixture f;

	setup(&f);
	put_pod(&f, WIDE, "10.0.0.5", "db-0", 900 * S, 0);
	put_service(&f, K8S_ENTITY_ENDPOINT, "10.0.0.5", 5432, IPPROTO_TCP, "db", "db-0");
	put_service(&f, K8S_ENTITY_ENDPOINT, "10.0.0.5", 9187, IPPROTO_TCP, "metrics", "db-0");
	EXPECT_STR(ask(&f, "10.0.0.5", 5432, T0), "pod shop/db-0 db");
	EXPECT_STR(ask(&f, "10.0.0.5", 9187, T0), "pod shop/db-0 metrics");
	EXPECT_STR(ask(&f, "10.0.0.5", 22, T0), "pod shop/db-0 ");
	/* Two services of one port: which one was called is not known. */
	put_service(&f, K8S_ENTITY_ENDPOINT, "10.0.0.5", 5432, IPPROTO_TCP, "db-ro", "db-0");
	EXPECT_STR(ask(&f, "10.0.0.5", 5432, T0), "pod shop/db-0 ");
	/* A slice that has not followed yet. */
	put_service(&f, K8S_ENTITY_ENDPOINT, "10.0.0.5", 80, IPPROTO_TCP, "web", "web-7");
	EXPECT_STR(ask(&f, "10.0.0.5", 80, T0), "pod shop/db-0 ");
	/* Without a selector: an address outside. */
	put_service(&f, K8S_ENTITY_ENDPOINT, "203.0.113.1", 3306, IPPROTO_TCP, "legacy", "");
	EXPECT_STR(ask(&f, "203.0.113.1", 3306, T0), "service shop/ legacy");
	teardown(&f);
}

/* Pods in their node's network share its address: only a port that says so names one. */
static void test_entities__host_network(void)
{
	struct fixture f;

	setup(&f);
	put_node(&f, "192.168.1.1", "n1");
	put_service(&f, K8S_ENTITY_ENDPOINT, "192.168.1.1", 9100, IPPROTO_TCP, "exporter", "exp-x");
	EXPECT_STR(ask(&f, "192.168.1.1", 9100, T0), "pod shop/exp-x exporter");
	EXPECT_STR(f.got.node, "n1");
	EXPECT_STR(ask(&f, "192.168.1.1", 9101, T0), "node / n1");
	EXPECT_STR(ask(&f, "192.168.1.1", 0, T0), "node / n1");
	teardown(&f);
}

static void test_entities__dual_stack_and_spellings(void)
{
	uint8_t a[16], b[16];
	struct fixture f;

	setup(&f);
	put_pod(&f, WIDE, "10.0.0.5", "dual", 1 * S, 0);
	put_pod(&f, WIDE, "fd00::5", "dual", 1 * S, 0);
	EXPECT_STR(ask(&f, "::ffff:10.0.0.5", 0, T0), "pod shop/dual ");
	EXPECT_STR(ask(&f, "fd00:0:0::5", 0, T0), "pod shop/dual ");
	EXPECT_STR(ask(&f, "fd00::5%eth0", 0, T0), "pod shop/dual ");
	EXPECT(k8s_addr_parse(SLICE_LIT("10.0.0.5"), a) &&
	       k8s_addr_parse(SLICE_LIT("::ffff:10.0.0.5"), b));
	EXPECT_MEM(a, 16, b, 16);
	EXPECT(!k8s_addr_parse(SLICE_LIT(""), a));
	EXPECT(!k8s_addr_parse(SLICE_LIT("None"), a));
	EXPECT(!k8s_addr_parse(SLICE_LIT("10.0.0.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21"),
			       a));
	teardown(&f);
}

/* The node knows the annotation and the end, the cluster the services: neither undoes the other's. */
static void test_entities__two_sources(void)
{
	struct fixture f;
	struct k8s_entity e;

	setup(&f);
	put_pod(&f, NODE, "10.0.0.5", "cart-1", 900 * S, 0);
	e = entity(K8S_ENTITY_POD, "10.0.0.5", 0, "cart-1");
	e.ns = SLICE_LIT("shop");
	e.name = SLICE_LIT("cart-1");
	e.service = SLICE_LIT("cart");
	e.workload_kind = SLICE_LIT("CronJob");
	e.workload = SLICE_LIT("nightly");
	EXPECT_EQ(k8s_entities_put(&f.w, WIDE, &e, T0), 0);
	put_pod(&f, NODE, "10.0.0.5", "cart-1", 900 * S, 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, T0), "pod shop/cart-1 cart");
	EXPECT_STR(f.got.workload_kind, "CronJob");
	EXPECT_STR(f.got.workload, "nightly");
	e.service = SLICE_LIT("said-so");
	EXPECT_EQ(k8s_entities_put(&f.w, NODE, &e, T0), 0);
	e.service = SLICE_LIT("cart");
	EXPECT_EQ(k8s_entities_put(&f.w, WIDE, &e, T0), 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, T0), "pod shop/cart-1 said-so");
	e.service = SLICE_LIT("");
	EXPECT_EQ(k8s_entities_put(&f.w, NODE, &e, T0), 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, T0), "pod shop/cart-1 ");
	/* The cluster's list without it: the node knows better. */
	k8s_entities_replace_begin(&f.w, WIDE);
	k8s_entities_replace_end(&f.w, WIDE, 1100 * S);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 1200 * S), "pod shop/cart-1 ");
	k8s_entities_replace_begin(&f.w, NODE);
	k8s_entities_replace_end(&f.w, NODE, 1100 * S);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 1099 * S), "pod shop/cart-1 ");
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 1200 * S), "");
	teardown(&f);
}

static void test_entities__moves_and_leaves(void)
{
	uint8_t addr[1][16];
	struct fixture f;

	setup(&f);
	put_pod(&f, NODE, "10.0.0.5", "a", 900 * S, 0);
	put_pod(&f, NODE, "10.0.0.6", "a", 900 * S, 0);
	put_pod(&f, NODE, "10.0.0.7", "b", 900 * S, 0);
	EXPECT(k8s_addr_parse(SLICE_LIT("10.0.0.6"), addr[0]));
	k8s_entities_leave(&f.w, SLICE_LIT("a"), addr, 1, 1100 * S);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 1200 * S), "");
	EXPECT_STR(ask(&f, "10.0.0.6", 0, 1200 * S), "pod shop/a ");
	k8s_entities_leave(&f.w, SLICE_LIT("a"), NULL, 0, 1300 * S);
	EXPECT_STR(ask(&f, "10.0.0.6", 0, 1200 * S), "pod shop/a ");
	EXPECT_STR(ask(&f, "10.0.0.6", 0, 1400 * S), "");
	EXPECT_STR(ask(&f, "10.0.0.7", 0, 1400 * S), "pod shop/b ");
	teardown(&f);
}

static void test_entities__replaced(void)
{
	struct fixture f;

	setup(&f);
	put_pod(&f, WIDE, "10.0.0.5", "a", 900 * S, 0);
	put_pod(&f, WIDE, "10.0.0.6", "b", 900 * S, 0);
	f.now = 1100 * S;
	k8s_entities_replace_begin(&f.w, WIDE);
	put_pod(&f, WIDE, "10.0.0.6", "b", 900 * S, 0);
	put_pod(&f, WIDE, "10.0.0.7", "c", 1050 * S, 0);
	k8s_entities_replace_end(&f.w, WIDE, f.now);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 1200 * S), "");
	EXPECT_STR(ask(&f, "10.0.0.6", 0, 1200 * S), "pod shop/b ");
	EXPECT_STR(ask(&f, "10.0.0.7", 0, 1200 * S), "pod shop/c ");
	f.now = 1300 * S;
	put_pod(&f, WIDE, "10.0.0.5", "a", 900 * S, 0); /* back: between is not known */
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 1250 * S), "");
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 1300 * S), "pod shop/a ");
	teardown(&f);
}

/* Told again when there is no room for a name more: it goes on. */
static void test_entities__replaced_while_full(void)
{
	struct fixture f;
	char addr[40], name[K8S_NAME_MAX + 1];
	uint32_t n = 0;
	int r = 0;

	setup(&f);
	for (; r == 0; n++) {
		snprintf(addr, sizeof(addr), "fd00::%x", n);
		snprintf(name, sizeof(name), "%0200u", n);
		r = put_pod(&f, WIDE, addr, name, 900 * S, 0);
	}
	EXPECT_EQ(r, -ENOSPC);
	k8s_entities_replace_begin(&f.w, WIDE);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(addr, sizeof(addr), "fd00::%x", i);
		snprintf(name, sizeof(name), "%0200u", i);
		put_pod(&f, WIDE, addr, name, 900 * S, 0);
	}
	k8s_entities_replace_end(&f.w, WIDE, f.now);
	EXPECT_EQ(k8s_entities_count(memory).open, n - 1);
	(void)ask(&f, "fd00::1", 0, T0 + S);
	snprintf(name, sizeof(name), "%0200u", 1);
	EXPECT_STR(f.got.name, name);
	teardown(&f);
}

static void test_entities__refused(void)
{
	struct fixture f;
	struct k8s_entity e;
	char longest[300];

	setup(&f);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	EXPECT_EQ(put_pod(&f, WIDE, "10.0.0.5", longest, 1 * S, 0), -EINVAL);
	EXPECT_EQ(put_pod(&f, WIDE, "10.0.0.5", "a b", 1 * S, 0), -EINVAL);
	EXPECT_EQ(put_pod(&f, WIDE, "10.0.0.5", "a\033[1m", 1 * S, 0), -EINVAL);
	EXPECT_EQ(put_pod(&f, WIDE, "10.0.0.5", "", 1 * S, 0), -EINVAL);
	e = entity(99, "10.0.0.5", 0, "u");
	EXPECT_EQ(k8s_entities_put(&f.w, WIDE, &e, T0), -EINVAL);
	EXPECT_EQ(put_service(&f, K8S_ENTITY_ENDPOINT, "10.0.0.5", 0, 0, "s", ""), -EINVAL);
	EXPECT_EQ(put_service(&f, K8S_ENTITY_SERVICE, "10.0.0.5", 80, 0, "s", ""), -EINVAL);
	EXPECT_EQ(k8s_entities_count(memory).open, 0);
	teardown(&f);
}

static void address(char *out, size_t cap, uint32_t n)
{
	snprintf(out, cap, "fd00::%x:%x", n >> 16, n & 0xffff);
}

/* Full: closed ones go first, open ones never; what has no room is counted. */
static void test_entities__full(void)
{
	struct fixture f;
	char addr[40], name[40];

	setup(&f);
	EXPECT(k8s_entities_bytes() <= 8 * MIB);
	for (uint32_t i = 0; i < K8S_ENTITIES_MAX; i++) {
		address(addr, sizeof(addr), i);
		snprintf(name, sizeof(name), "p-%u", i);
		EXPECT_EQ(put_pod(&f, WIDE, addr, name, 900 * S, i % 2 ? 950 * S : 0), 0);
	}
	EXPECT_EQ(k8s_entities_count(memory).open, K8S_ENTITIES_MAX / 2);
	EXPECT_EQ(k8s_entities_count(memory).closed, K8S_ENTITIES_MAX / 2);
	for (uint32_t i = 0; i < K8S_ENTITIES_MAX / 2; i++) {
		address(addr, sizeof(addr), i + 0x20000);
		snprintf(name, sizeof(name), "p-%u", i);
		EXPECT_EQ(put_pod(&f, WIDE, addr, name, 900 * S, 0), 0);
	}
	EXPECT_EQ(k8s_entities_count(memory).open, K8S_ENTITIES_MAX);
	EXPECT_EQ(put_pod(&f, WIDE, "10.0.0.1", "one-more", 900 * S, 0), -ENOSPC);
	EXPECT_EQ(k8s_entities_count(memory).refused, 1);
	address(addr, sizeof(addr), 2);
	EXPECT_STR(ask(&f, addr, 0, T0), "pod shop/p-2 ");
	address(addr, sizeof(addr), 0x20000);
	EXPECT_STR(ask(&f, addr, 0, T0), "pod shop/p-0 ");
	teardown(&f);
}

/* However many endpoints, and however long their names: pods find room. */
static void test_entities__ports_leave_room(void)
{
	struct fixture f;
	char addr[40], name[240];
	int took = 0;

	setup(&f);
	for (uint32_t i = 0; i < K8S_ENTITIES_MAX; i++) {
		address(addr, sizeof(addr), i);
		took += put_service(&f, K8S_ENTITY_ENDPOINT, addr, 80, IPPROTO_TCP, "s", "p") == 0;
	}
	EXPECT_EQ(took, K8S_ENTITIES_PORTS);
	EXPECT_EQ(put_pod(&f, WIDE, "10.0.0.5", "a", 900 * S, 0), 0);
	EXPECT_EQ(put_service(&f, K8S_ENTITY_SERVICE, "10.96.0.1", 0, 0, "t", ""), 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, T0), "pod shop/a ");
	teardown(&f);

	setup(&f);
	took = 0;
	for (uint32_t i = 0; i < K8S_ENTITIES_PORTS; i++) {
		memset(name, 'a', sizeof(name) - 1);
		snprintf(name + 220, sizeof(name) - 220, "%u", i);
		address(addr, sizeof(addr), i);
		took += put_service(&f, K8S_ENTITY_ENDPOINT, addr, 80, IPPROTO_TCP, "s", name) == 0;
	}
	EXPECT(took > 5000 && took < (int)K8S_ENTITIES_PORTS);
	for (uint32_t i = 0; i < 2000; i++) {
		address(addr, sizeof(addr), i + 0x20000);
		snprintf(name, sizeof(name), "pod-%u", i);
		EXPECT_EQ(put_pod(&f, WIDE, addr, name, 900 * S, 0), 0);
	}
	EXPECT_STR(ask(&f, addr, 0, T0), "pod shop/pod-1999 ");
	teardown(&f);
}

/* Names of those that are gone make room: many times what fits. */
static void test_entities__texts_come_and_go(void)
{
	struct fixture f;
	char addr[40], name[240];
	int refused = 0;

	setup(&f);
	put_pod(&f, WIDE, "10.0.0.1", "stays", 900 * S, 0);
	for (uint32_t i = 0; i < 150000; i++) {
		memset(name, 'a', sizeof(name));
		snprintf(name, sizeof(name), "%.*s-%u", 60,
			 "a-very-long-name-of-a-pod-that-comes-and-goes-every-second", i);
		address(addr, sizeof(addr), i % 4096);
		f.now += S;
		refused += put_pod(&f, WIDE, addr, name, f.now - S / 2, 0) != 0;
	}
	EXPECT_EQ(refused, 0);
	EXPECT_STR(ask(&f, "10.0.0.1", 0, f.now), "pod shop/stays ");
	address(addr, sizeof(addr), 149999 % 4096);
	EXPECT_STR(ask(&f, addr, 0, f.now),
		   "pod shop/a-very-long-name-of-a-pod-that-comes-and-goes-every-second-149999 ");
	teardown(&f);
}

/* A short history of one address is kept, a long one costs nothing. */
static void test_entities__one_address_again_and_again(void)
{
	struct fixture f;
	char name[40];

	setup(&f);
	for (uint32_t i = 0; i < 10000; i++) {
		f.now = (uint64_t)(i + 1) * 10 * S;
		snprintf(name, sizeof(name), "job-%u", i);
		EXPECT_EQ(put_pod(&f, WIDE, "10.0.0.5", name, f.now, 0), 0);
		f.now += S;
		EXPECT_EQ(put_pod(&f, WIDE, "10.0.0.5", name, f.now - S, f.now), 0);
	}
	EXPECT(k8s_entities_count(memory).closed <= K8S_ENTITIES_CHAIN);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, 9990 * 10 * S), "pod shop/job-9989 ");
	teardown(&f);
}

static void test_entities__reader_does_not_wait(void)
{
	uint8_t addr[16];
	struct k8s_question q = { addr, 0, IPPROTO_TCP, false, T0 };
	struct fixture f;

	setup(&f);
	put_pod(&f, WIDE, "10.0.0.5", "a", 1 * S, 0);
	EXPECT(k8s_addr_parse(SLICE_LIT("10.0.0.5"), addr));
	k8s_entities_begin(&f.w);
	EXPECT_EQ(k8s_entities_find(memory, &q, &f.got), -EAGAIN);
	EXPECT_EQ(f.got.kind, 0);
	k8s_entities_end(&f.w);
	EXPECT_EQ(k8s_entities_find(memory, &q, &f.got), 0);
	EXPECT_EQ(f.got.kind, K8S_ENTITY_POD);
	/* The writer died at work; the next one begins anew. */
	k8s_entities_begin(&f.w);
	k8s_entities_close(&f.w);
	EXPECT_EQ(k8s_entities_open(&f.w, memory), 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, T0), "");
	put_pod(&f, WIDE, "10.0.0.5", "b", 1 * S, 0);
	EXPECT_STR(ask(&f, "10.0.0.5", 0, T0), "pod shop/b ");
	teardown(&f);
}

/* Whoever writes the image may mean harm: the reader ends, and takes only what is a name. */
static void test_entities__hostile_image(void)
{
	struct fixture f;
	struct k8s_entities *m;
	uint64_t x = 88172645463325252ull;

	setup(&f);
	m = memory;
	put_pod(&f, WIDE, "10.0.0.5", "a", 1 * S, 0);
	put_service(&f, K8S_ENTITY_ENDPOINT, "10.0.0.5", 80, 0, "s", "a");
	m->slots[0].next = 1; /* a ring */
	(void)ask(&f, "10.0.0.5", 80, T0);
	m->slots[0].next = K8S_ENTITIES_MAX + 1;
	(void)ask(&f, "10.0.0.5", 80, T0);
	m->slots[0].text[TEXT_NAME] = K8S_ENTITIES_TEXT;
	m->texts[K8S_ENTITIES_TEXT - 1] = 200;
	EXPECT_STR(ask(&f, "10.0.0.5", 80, T0), "pod shop/ ");
	m->slots[0].text[TEXT_NAME] = UINT32_MAX;
	EXPECT_STR(ask(&f, "10.0.0.5", 80, T0), "pod shop/ ");
	memcpy(m->texts + 1000, "\003a\nb", 4);
	m->slots[0].text[TEXT_NAME] = 1001;
	EXPECT_STR(ask(&f, "10.0.0.5", 80, T0), "pod shop/ ");
	for (int round = 0; round < 2000; round++) {
		for (size_t i = 0; i < 64; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			((uint8_t *)&m->slots[0])[x % (3 * sizeof(m->slots[0]))] = (uint8_t)(x >>
											     32);
		}
		(void)ask(&f, "10.0.0.5", 80, x);
	}
	teardown(&f);
}

TEST_MAIN(TEST(test_entities__pod_over_its_life), TEST(test_entities__address_used_again),
	  TEST(test_entities__claimed), TEST(test_entities__two_at_once),
	  TEST(test_entities__cluster_ip), TEST(test_entities__node_port),
	  TEST(test_entities__external_address), TEST(test_entities__endpoints),
	  TEST(test_entities__host_network), TEST(test_entities__dual_stack_and_spellings),
	  TEST(test_entities__two_sources), TEST(test_entities__replaced),
	  TEST(test_entities__replaced_while_full), TEST(test_entities__moves_and_leaves),
	  TEST(test_entities__refused), TEST(test_entities__full),
	  TEST(test_entities__ports_leave_room), TEST(test_entities__texts_come_and_go),
	  TEST(test_entities__one_address_again_and_again),
	  TEST(test_entities__reader_does_not_wait), TEST(test_entities__hostile_image))
