/* Who a pod is: uids in every spelling, owners, what does not fit. */
#include "k8s/identity.h"
#include "tests/lib/test.h"

static struct k8s_object object(void)
{
	return (struct k8s_object){
		.kind = K8S_POD,
		.meta = { .name = SLICE_LIT("cart-7d9f8c6b5-abcde"),
			  .ns = SLICE_LIT("shop"),
			  .uid = SLICE_LIT("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9") },
		.pod = { .node = SLICE_LIT("n1"), .started_ns = 5 },
	};
}

static void test_identity__uids(void)
{
	struct k8s_uid a, b;

	EXPECT(k8s_uid_parse(SLICE_LIT("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"), &a));
	EXPECT_EQ(a.bytes[0], 0x0a);
	EXPECT_EQ(a.bytes[15], 0xf9);
	EXPECT(k8s_uid_parse(SLICE_LIT("0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9"), &b));
	EXPECT(k8s_uid_is(&a, &b));
	EXPECT(k8s_uid_parse(SLICE_LIT("0a1b2c3d4e5f60718293a4b5c6d7e8f9"), &b));
	EXPECT(k8s_uid_is(&a, &b));
	EXPECT(!k8s_uid_parse(SLICE_LIT(""), &b));
	EXPECT(!k8s_uid_parse(SLICE_LIT("0a1b2c3d4e5f60718293a4b5c6d7e8f"), &b));
	EXPECT(!k8s_uid_parse(SLICE_LIT("0a1b2c3d4e5f60718293a4b5c6d7e8f9a"), &b));
	EXPECT(!k8s_uid_parse(SLICE_LIT("0a1b2c3d4e5f60718293a4b5c6d7e8fx"), &b));
}

static void expect_workload(const char *kind, const char *version, const char *name,
			    const char *hash, const char *want_kind, const char *want_name)
{
	struct k8s_object o = object();
	struct k8s_identity id;

	o.meta.owner = (struct k8s_owner){ slice_str(kind), slice_str(name), slice_str(version) };
	o.meta.template_hash = slice_str(hash);
	EXPECT(k8s_identity_of(&o, 9, &id));
	EXPECT_STR(id.workload_kind, want_kind);
	EXPECT_STR(id.workload, want_name);
}

static void test_identity__workloads(void)
{
	expect_workload("ReplicaSet", "apps/v1", "cart-7d9f8c6b5", "7d9f8c6b5", "Deployment",
			"cart");
	/* Without the hash, or with another's, it is the ReplicaSet's. */
	expect_workload("ReplicaSet", "apps/v1", "cart-7d9f8c6b5", "", "ReplicaSet",
			"cart-7d9f8c6b5");
	expect_workload("ReplicaSet", "apps/v1", "cart-7d9f8c6b5", "x", "ReplicaSet",
			"cart-7d9f8c6b5");
	expect_workload("ReplicaSet", "argoproj.io/v1", "cart-7d9", "7d9", "ReplicaSet",
			"cart-7d9");
	expect_workload("ReplicaSet", "apps/v1", "-7d9", "7d9", "ReplicaSet", "-7d9");
	expect_workload("StatefulSet", "apps/v1", "db", "", "StatefulSet", "db");
	expect_workload("Job", "batch/v1", "pi-28", "", "Job", "pi-28");
	expect_workload("Node", "v1", "n1", "", "Node", "n1");
	expect_workload("Workflow", "argoproj.io/v1alpha1", "w-1", "", "Workflow", "w-1");
	expect_workload("", "", "", "", "", "");
}

static void test_identity__addresses(void)
{
	struct k8s_object o = object();
	struct k8s_identity id;

	o.pod.n_ips = 3;
	o.pod.ips[0] = SLICE_LIT("10.0.0.5");
	o.pod.ips[1] = SLICE_LIT("nonsense");
	o.pod.ips[2] = SLICE_LIT("fd00::5");
	EXPECT(k8s_identity_of(&o, 9, &id));
	EXPECT_EQ(id.n_ips, 2);
	EXPECT_EQ(id.ips[1][0], 0xfd);
	EXPECT_EQ(id.from_ns, 5);
	EXPECT_EQ(id.to_ns, 0);
	o.pod.phase = SLICE_LIT("Succeeded");
	EXPECT(k8s_identity_of(&o, 9, &id));
	EXPECT_EQ(id.to_ns, 9);
	o.pod.host_network = true;
	EXPECT(k8s_identity_of(&o, 9, &id));
	EXPECT_EQ(id.n_ips, 0);
	EXPECT(id.host_network);
}

static void test_identity__what_does_not_fit(void)
{
	static uint8_t longest[300];
	struct k8s_object o = object();
	struct k8s_identity id;

	memset(longest, 'a', sizeof(longest));
	o.meta.service_name = slice_of(longest, 254);
	o.meta.capture = SLICE_LIT("false");
	o.pod.n_containers = 2;
	o.pod.containers[0].name = SLICE_LIT("app");
	o.pod.containers[0].id = slice_of(longest, 64);
	o.pod.containers[1].name = SLICE_LIT("other");
	o.pod.containers[1].id = slice_of(longest, 63);
	EXPECT(k8s_identity_of(&o, 9, &id));
	EXPECT(k8s_identity_ok(&id));
	EXPECT(id.capture_off);
	EXPECT_STR(id.service, "");
	EXPECT_EQ(id.n_containers, 2);
	EXPECT_EQ(strlen(id.containers[0].id), 64);
	EXPECT_STR(id.containers[1].id, "");
	o.meta.service_name = SLICE_LIT("my service");
	EXPECT(k8s_identity_of(&o, 9, &id));
	EXPECT_STR(id.service, "");
	o.meta.name = slice_of(longest, 254);
	EXPECT(!k8s_identity_of(&o, 9, &id));
	o = object();
	o.meta.uid = SLICE_LIT("not-a-uid");
	EXPECT(!k8s_identity_of(&o, 9, &id));
	o = object();
	o.kind = K8S_NODE;
	EXPECT(!k8s_identity_of(&o, 9, &id));
}

TEST_MAIN(TEST(test_identity__uids), TEST(test_identity__workloads), TEST(test_identity__addresses),
	  TEST(test_identity__what_does_not_fit))
