/* Objects of a cluster in, names of addresses out: asked of a table that was fed with what was told. */
#include "k8s/cluster.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define T0 (1000 * NSEC_PER_SEC)

struct fixture {
	struct k8s_cluster *cluster;
	struct k8s_entities_writer w;
	void *memory;
	uint64_t now;
	size_t told, ended;
	struct k8s_answer got;
};

static void on_changed(void *ctx, const struct k8s_entity *e)
{
	struct fixture *f = ctx;

	f->told++;
	f->ended += e->to_ns != 0;
	EXPECT_EQ(k8s_entities_put(&f->w, K8S_FROM_CLUSTER, e, f->now), 0);
}

static void setup(struct fixture *f)
{
	*f = (struct fixture){ .now = T0 };
	f->memory = mmap(NULL, k8s_entities_bytes(), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(k8s_entities_open(&f->w, f->memory), 0);
	EXPECT_EQ(k8s_cluster_new(on_changed, f, &f->cluster), 0);
}

static void teardown(struct fixture *f)
{
	k8s_cluster_free(f->cluster);
	k8s_entities_close(&f->w);
	munmap(f->memory, k8s_entities_bytes());
}

static void ask(struct fixture *f, const char *addr, uint16_t port, bool server, uint64_t at)
{
	uint8_t bytes[16];
	struct k8s_question q = {
		.addr = bytes, .port = port, .proto = IPPROTO_TCP, .server = server, .at_ns = at
	};

	EXPECT(k8s_addr_parse(slice_str(addr), bytes));
	memset(&f->got, 0, sizeof(f->got));
	EXPECT_EQ(k8s_entities_find((const struct k8s_entities *)f->memory, &q, &f->got), 0);
}

static struct k8s_object object(enum k8s_kind kind, const char *name, const char *uid)
{
	return (struct k8s_object){
		.kind = kind,
		.meta = { .ns = SLICE_LIT("shop"), .name = slice_str(name), .uid = slice_str(uid) }
	};
}

static struct k8s_object pod(const char *name, const char *addr)
{
	struct k8s_object o = object(K8S_POD, name, name);

	o.pod.node = SLICE_LIT("n1");
	o.pod.phase = SLICE_LIT("Running");
	o.pod.ips[0] = slice_str(addr);
	o.pod.n_ips = 1;
	return o;
}

static struct k8s_object slice(const char *name, const char *service, const char *pod_name,
			       const char *addr)
{
	struct k8s_object o = object(K8S_ENDPOINT_SLICE, name, name);

	o.meta.slice_service = slice_str(service);
	o.slice.n_endpoints = pod_name ? 1 : 0;
	o.slice.endpoints[0] = (struct k8s_endpoint){ .addr = slice_str(addr),
						      .pod_name = slice_str(pod_name),
						      .pod_uid = slice_str(pod_name),
						      .ready = true };
	o.slice.n_ports = 1;
	o.slice.ports[0] = (struct k8s_port){ .port = 8080, .protocol = SLICE_LIT("TCP") };
	return o;
}

static void put(struct fixture *f, struct k8s_object o)
{
	EXPECT_EQ(k8s_cluster_put(f->cluster, &o, f->now), 0);
}

static void test_cluster__a_pod_and_its_service_in_either_order(void)
{
	for (int slice_first = 0; slice_first < 2; slice_first++) {
		struct fixture f;

		setup(&f);
		if (slice_first)
			put(&f, slice("web-1", "web", "web-a", "10.0.0.1"));
		put(&f, pod("web-a", "10.0.0.1"));
		if (!slice_first)
			put(&f, slice("web-1", "web", "web-a", "10.0.0.1"));
		ask(&f, "10.0.0.1", 40000, false, T0 + 1);
		EXPECT_EQ(f.got.kind, K8S_ENTITY_POD);
		EXPECT_STR(f.got.name, "web-a");
		EXPECT_STR(f.got.service, "web");
		EXPECT_STR(f.got.node, "n1");
		teardown(&f);
	}
}

/* Which of two services a pod stands for is not known where only its address is. */
static void test_cluster__a_pod_of_two_services_has_none(void)
{
	struct fixture f;

	setup(&f);
	put(&f, pod("web-a", "10.0.0.1"));
	put(&f, slice("web-1", "web", "web-a", "10.0.0.1"));
	put(&f, slice("web-6", "web", "web-a", "fd00::1")); /* the other family: the same service */
	ask(&f, "10.0.0.1", 40000, false, T0 + 1);
	EXPECT_STR(f.got.service, "web");
	put(&f, slice("all-1", "all", "web-a", "10.0.0.1"));
	ask(&f, "10.0.0.1", 40000, false, T0 + 1);
	EXPECT_STR(f.got.service, "");
	k8s_cluster_gone(f.cluster, SLICE_LIT("all-1"), T0 + 1);
	ask(&f, "10.0.0.1", 40000, false, T0 + 2);
	EXPECT_STR(f.got.service, "web");
	k8s_cluster_gone(f.cluster, SLICE_LIT("web-1"), T0 + 1);
	ask(&f, "10.0.0.1", 40000, false, T0 + 2);
	EXPECT_STR(f.got.service, "web");
	put(&f, slice("web-6", "web", NULL, "fd00::1"));
	ask(&f, "10.0.0.1", 40000, false, T0 + 2);
	EXPECT_STR(f.got.service, "");
	teardown(&f);
}

static void test_cluster__an_annotation_is_stronger_than_slices(void)
{
	struct fixture f;
	struct k8s_object o = pod("web-a", "10.0.0.1");

	setup(&f);
	o.meta.service_name = SLICE_LIT("shop-web");
	put(&f, slice("web-1", "web", "web-a", "10.0.0.1"));
	put(&f, o);
	ask(&f, "10.0.0.1", 40000, false, T0 + 1);
	EXPECT_STR(f.got.service, "shop-web");
	teardown(&f);
}

static void test_cluster__workloads(void)
{
	static const struct {
		const char *kind, *api, *owner, *hash, *want_kind, *want;
	} cases[] = {
		{ "ReplicaSet", "apps/v1", "web-5d4f", "5d4f", "Deployment", "web" },
		{ "ReplicaSet", "argoproj.io/v1", "web-5d4f", "5d4f", "ReplicaSet", "web-5d4f" },
		{ "StatefulSet", "apps/v1", "db", "", "StatefulSet", "db" },
		{ "Job", "batch/v1", "once", "", "Job", "once" },
		{ "Job", "batch/v1", "nightly-1", "", "CronJob", "nightly" },
		{ "", "", "", "", "", "" },
	};

	for (int job_first = 0; job_first < 2; job_first++)
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			struct k8s_object o = pod("p", "10.0.0.1"),
					  job = object(K8S_JOB, "nightly-1", "j");
			struct fixture f;

			setup(&f);
			o.meta.owner = (struct k8s_owner){ .kind = slice_str(cases[i].kind),
							   .name = slice_str(cases[i].owner),
							   .api_version = slice_str(cases[i].api) };
			o.meta.template_hash = slice_str(cases[i].hash);
			job.meta.owner = (struct k8s_owner){ .kind = SLICE_LIT("CronJob"),
							     .name = SLICE_LIT("nightly") };
			if (job_first)
				put(&f, job);
			put(&f, o);
			if (!job_first)
				put(&f, job);
			ask(&f, "10.0.0.1", 40000, false, T0 + 1);
			EXPECT_STR(f.got.workload_kind, cases[i].want_kind);
			EXPECT_STR(f.got.workload, cases[i].want);
			/* the Job is cleaned up before its pod */
			k8s_cluster_gone(f.cluster, SLICE_LIT("j"), T0 + 1);
			put(&f, o);
			ask(&f, "10.0.0.1", 40000, false, T0 + 1);
			EXPECT_STR(f.got.workload, cases[i].want);
			teardown(&f);
		}
}

static void test_cluster__services(void)
{
	struct k8s_object o = object(K8S_SERVICE, "web", "s");
	struct fixture f;

	setup(&f);
	o.service.cluster_ips[0] = SLICE_LIT("10.96.0.7");
	o.service.cluster_ips[1] = SLICE_LIT("fd01::7");
	o.service.n_cluster_ips = 2;
	o.service.other_ips[0] = SLICE_LIT("192.0.2.1");
	o.service.n_other_ips = 1;
	o.service.ports[0] =
		(struct k8s_port){ .port = 80, .node_port = 30080, .protocol = SLICE_LIT("TCP") };
	o.service.n_ports = 1;
	put(&f, o);
	o = object(K8S_NODE, "n1", "n");
	o.node.addrs[0] = SLICE_LIT("10.200.0.11");
	o.node.n_addrs = 1;
	put(&f, o);

	ask(&f, "10.96.0.7", 80, true, T0 + 1);
	EXPECT_EQ(f.got.kind, K8S_ENTITY_SERVICE);
	EXPECT_STR(f.got.service, "web");
	ask(&f, "fd01::7", 80, true, T0 + 1);
	EXPECT_STR(f.got.service, "web");
	ask(&f, "192.0.2.1", 80, true, T0 + 1);
	EXPECT_STR(f.got.service, "web");
	ask(&f, "192.0.2.1", 81, true, T0 + 1);
	EXPECT_STR(f.got.service, "");
	ask(&f, "10.200.0.11", 30080, true, T0 + 1);
	EXPECT_STR(f.got.service, "web");
	ask(&f, "10.200.0.11", 22, true, T0 + 1);
	EXPECT_STR(f.got.service, "");
	EXPECT_STR(f.got.node, "n1");
	teardown(&f);
}

static void test_cluster__an_address_goes_from_pod_to_pod(void)
{
	struct fixture f;
	struct k8s_object a = pod("a", "10.0.0.1");

	setup(&f);
	put(&f, a);
	f.now = T0 + 100 * NSEC_PER_SEC;
	a.pod.phase = SLICE_LIT("Succeeded"); /* the API shows its address for hours */
	put(&f, a);
	EXPECT_EQ(f.ended, 1);
	f.now = T0 + 200 * NSEC_PER_SEC;
	put(&f, pod("b", "10.0.0.1"));
	ask(&f, "10.0.0.1", 1, false, T0 + 50 * NSEC_PER_SEC);
	EXPECT_STR(f.got.name, "a");
	ask(&f, "10.0.0.1", 1, false, T0 + 250 * NSEC_PER_SEC);
	EXPECT_STR(f.got.name, "b");
	k8s_cluster_gone(f.cluster, SLICE_LIT("a"), f.now);
	k8s_cluster_gone(f.cluster, SLICE_LIT("b"), T0 + 300 * NSEC_PER_SEC);
	EXPECT_EQ(f.ended, 2);
	ask(&f, "10.0.0.1", 1, false, T0 + 400 * NSEC_PER_SEC);
	EXPECT_EQ(f.got.kind, 0);
	EXPECT_EQ(k8s_cluster_count(f.cluster).objects, 0);
	EXPECT_EQ(k8s_cluster_count(f.cluster).entities, 0);
	teardown(&f);
}

static void test_cluster__a_pod_in_its_nodes_network_has_no_address(void)
{
	struct fixture f;
	struct k8s_object o = pod("proxy", "10.200.0.11");

	setup(&f);
	o.pod.host_network = true;
	put(&f, o);
	EXPECT_EQ(f.told, 0);
	EXPECT_EQ(k8s_cluster_count(f.cluster).pods, 1);
	teardown(&f);
}

static void count_told(void *ctx, const struct k8s_entity *e)
{
	EXPECT_EQ(e->to_ns, 0);
	++*(size_t *)ctx;
}

/* What has not changed is not told; one who is new is told what holds. */
static void test_cluster__tells_changes_only(void)
{
	struct k8s_object none = object(K8S_POD, "x", "");
	struct fixture f;
	size_t n = 0;

	setup(&f);
	for (int i = 0; i < 3; i++) {
		put(&f, pod("web-a", "10.0.0.1"));
		put(&f, slice("web-1", "web", "web-a", "10.0.0.1"));
	}
	EXPECT_EQ(f.told, 3); /* the pod, its endpoint, the pod with its service */
	EXPECT_EQ(f.ended, 0);
	k8s_cluster_each(f.cluster, count_told, &n);
	EXPECT_EQ(n, 2);
	EXPECT_EQ(k8s_cluster_put(f.cluster, &none, T0), -EINVAL);
	k8s_cluster_gone(f.cluster, SLICE_LIT("never heard of"), T0);
	put(&f, pod("web-a", "10.0.0.2"));
	EXPECT_EQ(f.told, 5);
	EXPECT_EQ(f.ended, 1);
	teardown(&f);
}

static void cover(struct fixture *f, const char *first, const char *second)
{
	const struct slice nodes[] = { slice_str(first), slice_str(second) };

	k8s_cluster_cover(f->cluster, nodes, first ? second ? 2 : 1 : 0);
}

static bool covered(struct fixture *f, const char *addr, uint16_t port)
{
	ask(f, addr, port, true, f->now + 1);
	return f->got.covered;
}

static void put_service(struct fixture *f)
{
	struct k8s_object o = object(K8S_SERVICE, "web", "s");

	o.service.cluster_ips[0] = SLICE_LIT("10.96.0.7");
	o.service.n_cluster_ips = 1;
	o.service.ports[0] =
		(struct k8s_port){ .port = 80, .node_port = 30080, .protocol = SLICE_LIT("TCP") };
	o.service.n_ports = 1;
	put(f, o);
}

/* A pod by its node; a service by all its endpoints; in whatever order they are told. */
static void test_cluster__what_is_observed_at_its_own_end(void)
{
	for (int order = 0; order < 4; order++) {
		struct k8s_object a = slice("web-1", "web", "a", "10.0.0.1"),
				  b = slice("web-2", "web", "b", "10.0.1.1"),
				  pod_b = pod("b", "10.0.1.1");
		struct fixture f;

		setup(&f);
		a.slice.endpoints[0].node = SLICE_LIT("n1");
		b.slice.endpoints[0].node = SLICE_LIT("n2");
		pod_b.pod.node = SLICE_LIT("n2");
		if (order & 1)
			cover(&f, "n1", NULL);
		if (order & 2)
			put_service(&f);
		put(&f, pod("a", "10.0.0.1"));
		put(&f, pod_b);
		put(&f, a);
		put(&f, b);
		if (!(order & 2))
			put_service(&f);
		if (!(order & 1))
			cover(&f, "n1", NULL);
		EXPECT(covered(&f, "10.0.0.1", 8080));
		EXPECT(!covered(&f, "10.0.1.1", 8080));
		EXPECT(!covered(&f, "10.96.0.7", 80));
		cover(&f, "n2", "n1");
		EXPECT(covered(&f, "10.0.1.1", 8080));
		EXPECT(covered(&f, "10.96.0.7", 80));
		cover(&f, "n1", NULL);
		EXPECT(!covered(&f, "10.96.0.7", 80));
		k8s_cluster_gone(f.cluster, SLICE_LIT("web-2"), f.now); /* only n1's is left */
		EXPECT(covered(&f, "10.96.0.7", 80));
		k8s_cluster_gone(f.cluster, SLICE_LIT("web-1"), f.now);
		EXPECT(!covered(&f, "10.96.0.7", 80)); /* nobody is behind it */
		cover(&f, NULL, NULL);
		EXPECT(!covered(&f, "10.0.0.1", 8080));
		teardown(&f);
	}
}

/* An agent runs there, and leaves this pod alone. */
static void test_cluster__a_pod_that_opts_out_is_not_observed(void)
{
	struct k8s_object o = pod("a", "10.0.0.1");
	struct fixture f;

	setup(&f);
	o.meta.capture = SLICE_LIT("false");
	cover(&f, "n1", NULL);
	put(&f, o);
	EXPECT(!covered(&f, "10.0.0.1", 8080));
	o.meta.capture = SLICE_LIT("true");
	put(&f, o);
	EXPECT(covered(&f, "10.0.0.1", 8080));
	teardown(&f);
}

/* A service is covered by what its endpoints are, not by what is written in a slice; in whatever order. */
static void test_cluster__an_endpoint_is_covered_as_its_pod(void)
{
	for (int pod_first = 0; pod_first < 2; pod_first++) {
		struct k8s_object a = pod("a", "10.0.0.1"),
				  s = slice("web-1", "web", "a", "10.0.0.1"),
				  away = slice("x-1", "away", NULL, "192.0.2.1");
		struct fixture f;

		setup(&f);
		cover(&f, "n1", NULL);
		put_service(&f);
		if (pod_first)
			put(&f, a);
		put(&f, s);
		if (!pod_first)
			put(&f, a);
		EXPECT(covered(&f, "10.96.0.7", 80));
		a.meta.capture = SLICE_LIT("false");
		put(&f, a);
		EXPECT(!covered(&f, "10.96.0.7", 80));
		a.meta.capture = SLICE_LIT("");
		put(&f, a);
		EXPECT(covered(&f, "10.96.0.7", 80));
		cover(&f, "n2", NULL);
		EXPECT(!covered(&f, "10.96.0.7", 80));
		cover(&f, "n1", NULL);
		EXPECT(covered(&f, "10.96.0.7", 80));
		k8s_cluster_gone(f.cluster, SLICE_LIT("a"), f.now);
		EXPECT(!covered(&f, "10.96.0.7", 80));
		put(&f, a);
		EXPECT(covered(&f, "10.96.0.7", 80));
		s.slice.endpoints[0].addr = SLICE_LIT("10.0.0.2"); /* which is not the pod's */
		put(&f, s);
		EXPECT(!covered(&f, "10.96.0.7", 80));

		away.slice.n_endpoints = 1;
		away.slice.endpoints[0].node = SLICE_LIT("n1");
		put(&f, away);
		EXPECT(!covered(&f, "192.0.2.1", 8080));
		EXPECT_STR(f.got.service, "away");
		away.slice.endpoints[0].pod_name = SLICE_LIT("a");
		put(&f, away);
		EXPECT(!covered(&f, "192.0.2.1", 8080));
		teardown(&f);
	}
}

static void test_cluster__a_pod_in_its_nodes_network_covers_its_service(void)
{
	struct k8s_object o = pod("proxy", "10.200.0.11");
	struct fixture f;

	setup(&f);
	o.pod.host_network = true;
	cover(&f, "n1", NULL);
	put_service(&f);
	put(&f, o);
	put(&f, slice("web-1", "web", "proxy", "10.200.0.11"));
	EXPECT(covered(&f, "10.96.0.7", 80));
	teardown(&f);
}

/* 120 endpoints of 32 ports are more than one object may say. */
static void test_cluster__an_object_is_bounded(void)
{
	static struct k8s_object o;
	static char addrs[120][16];
	struct fixture f;

	setup(&f);
	o = slice("big", "web", "p", "10.0.0.1");
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		snprintf(addrs[i], sizeof(addrs[i]), "10.1.0.%zu", i + 1);
		o.slice.endpoints[i].addr = slice_str(addrs[i]);
	}
	o.slice.n_endpoints = ARRAY_SIZE(addrs);
	for (uint16_t i = 0; i < K8S_PORTS_MAX; i++)
		o.slice.ports[i].port = (uint16_t)(8000 + i);
	o.slice.n_ports = K8S_PORTS_MAX;
	put(&f, o);
	EXPECT_EQ(f.told, K8S_THING_ENTITIES_MAX);
	EXPECT_EQ(k8s_cluster_count(f.cluster).refused,
		  ARRAY_SIZE(addrs) * K8S_PORTS_MAX - K8S_THING_ENTITIES_MAX);
	teardown(&f);
}

static void ignore(void *ctx, const struct k8s_entity *e)
{
	(void)ctx;
	(void)e;
}

/* Any number of slices: pods are told all the same. */
static void test_cluster__ports_are_bounded(void)
{
	static struct k8s_object o;
	static char addrs[64][16];
	const size_t each = ARRAY_SIZE(addrs) * K8S_PORTS_MAX, n = K8S_CLUSTER_PORTS_MAX / each + 1;
	_cleanup_(k8s_cluster_freep) struct k8s_cluster *c = NULL;
	struct k8s_object p = pod("web-a", "10.0.0.1");
	char name[32];

	EXPECT_EQ(k8s_cluster_new(ignore, NULL, &c), 0);
	for (size_t k = 0; k < n; k++) {
		snprintf(name, sizeof(name), "s-%zu", k);
		o = slice(name, "web", "p", "10.0.0.1");
		for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
			snprintf(addrs[i], sizeof(addrs[i]), "10.1.0.%zu", i + 1);
			o.slice.endpoints[i].addr = slice_str(addrs[i]);
		}
		o.slice.n_endpoints = ARRAY_SIZE(addrs);
		for (uint16_t i = 0; i < K8S_PORTS_MAX; i++)
			o.slice.ports[i].port = (uint16_t)(8000 + i);
		o.slice.n_ports = K8S_PORTS_MAX;
		EXPECT_EQ(k8s_cluster_put(c, &o, T0), 0);
	}
	EXPECT_EQ(k8s_cluster_count(c).entities, K8S_CLUSTER_PORTS_MAX);
	EXPECT_EQ(k8s_cluster_count(c).refused, n * each - K8S_CLUSTER_PORTS_MAX);
	EXPECT_EQ(k8s_cluster_put(c, &p, T0), 0);
	EXPECT_EQ(k8s_cluster_count(c).entities, K8S_CLUSTER_PORTS_MAX + 1);
	k8s_cluster_gone(c, SLICE_LIT("s-0"), T0);
	EXPECT_EQ(k8s_cluster_put(c, &o, T0), 0);
	EXPECT_EQ(k8s_cluster_count(c).entities, K8S_CLUSTER_PORTS_MAX + 1);
	k8s_cluster_gone(c, o.meta.uid, T0);
	EXPECT_EQ(k8s_cluster_count(c).entities, K8S_CLUSTER_PORTS_MAX + 1 - each);
}

/* Whoever may make slices in one namespace says nothing of the pods of another. */
static void test_cluster__a_slice_of_another_namespace_names_no_pod(void)
{
	static const char *const pods[] = { "web-a", NULL };

	for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
		struct k8s_object other = slice("x-1", "bait", "web-a", "10.0.0.1");
		struct fixture f;

		setup(&f);
		other.meta.ns = SLICE_LIT("elsewhere");
		other.slice.endpoints[0].pod_name = slice_str(pods[i]);
		put(&f, pod("web-a", "10.0.0.1"));
		put(&f, other);
		ask(&f, "10.0.0.1", 8080, true, T0 + 1);
		EXPECT_STR(f.got.service, "");
		put(&f, slice("web-1", "web", "web-a", "10.0.0.1"));
		ask(&f, "10.0.0.1", 40000, false, T0 + 1);
		EXPECT_STR(f.got.service, "web");
		/* in two, of which the called port tells */
		other = slice("all-1", "all", "web-a", "10.0.0.1");
		other.slice.ports[0].port = 9090;
		put(&f, other);
		ask(&f, "10.0.0.1", 8080, true, T0 + 1);
		EXPECT_STR(f.got.service, "web");
		teardown(&f);
	}
}

/* Texts that the API server takes at any length: the object counts without them. */
static void test_cluster__what_is_no_name_is_left_out(void)
{
	static char text[100000];
	const struct slice bad[] = { SLICE_LIT("a b"), SLICE_LIT("a\nb"),
				     slice_of(text, sizeof(text)) };

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct k8s_object o = pod("web-a", "10.0.0.1"), job = object(K8S_JOB, "once", "j"),
				  s = slice("web-1", "web", NULL, "192.0.2.1");
		struct fixture f;

		setup(&f);
		o.meta.service_name = bad[i];
		o.meta.owner = (struct k8s_owner){ .kind = bad[i], .name = bad[i] };
		put(&f, o);
		s.slice.n_endpoints = 1;
		s.slice.endpoints[0].node = bad[i];
		s.slice.endpoints[0].pod_name = s.slice.endpoints[0].pod_uid = bad[i];
		put(&f, s);
		job.meta.owner = (struct k8s_owner){ .kind = SLICE_LIT("CronJob"), .name = bad[i] };
		put(&f, job);
		o.meta.owner = (struct k8s_owner){ .kind = SLICE_LIT("Job"),
						   .name = SLICE_LIT("once") };
		put(&f, o);
		ask(&f, "10.0.0.1", 1, false, T0 + 1);
		EXPECT_STR(f.got.name, "web-a");
		EXPECT_STR(f.got.service, "");
		EXPECT_STR(f.got.workload, "once");
		ask(&f, "192.0.2.1", 8080, true, T0 + 1);
		EXPECT_STR(f.got.service, "web");
		teardown(&f);
	}
}

TEST_MAIN(TEST(test_cluster__a_pod_and_its_service_in_either_order),
	  TEST(test_cluster__a_pod_of_two_services_has_none),
	  TEST(test_cluster__an_annotation_is_stronger_than_slices), TEST(test_cluster__workloads),
	  TEST(test_cluster__services), TEST(test_cluster__an_address_goes_from_pod_to_pod),
	  TEST(test_cluster__a_pod_in_its_nodes_network_has_no_address),
	  TEST(test_cluster__tells_changes_only),
	  TEST(test_cluster__what_is_observed_at_its_own_end),
	  TEST(test_cluster__a_pod_that_opts_out_is_not_observed),
	  TEST(test_cluster__an_endpoint_is_covered_as_its_pod),
	  TEST(test_cluster__a_pod_in_its_nodes_network_covers_its_service),
	  TEST(test_cluster__an_object_is_bounded), TEST(test_cluster__ports_are_bounded),
	  TEST(test_cluster__a_slice_of_another_namespace_names_no_pod),
	  TEST(test_cluster__what_is_no_name_is_left_out))
