/* The pods of a node: by both uids, told again, gone, replaced, full, hostile. */
#include "agent/pods.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

static struct pods pods;

static struct k8s_identity pod(uint32_t n)
{
	struct k8s_identity id = { 0 };

	memcpy(id.uid.bytes, "\x42", 1);
	memcpy(id.uid.bytes + 12, &n, sizeof(n));
	memcpy(id.ns, "shop", 5);
	snprintf(id.name, sizeof(id.name), "pod-%u", n);
	return id;
}

static void all_hear(void)
{
	for (unsigned int i = 0; i < PODS_LISTENERS; i++)
		for (struct pod_entry *e; (e = pods_waiting(&pods, i));)
			pods_heard(&pods, e, i);
}

static const char *name_of(const struct k8s_uid *uid)
{
	const struct k8s_identity *id = pods_find(&pods, uid);

	return id ? id->name : "";
}

static const char *service_of(const struct k8s_uid *uid)
{
	const struct k8s_identity *id = pods_find(&pods, uid);

	return id ? id->service : "none";
}

static void test_pods__put_and_gone(void)
{
	struct k8s_identity a = pod(1);

	pods_init(&pods);
	EXPECT_STR(name_of(&a.uid), "");
	EXPECT_EQ(pods_put(&pods, &a), 0);
	EXPECT_STR(name_of(&a.uid), "pod-1");
	memcpy(a.workload, "shop", 5);
	EXPECT_EQ(pods_put(&pods, &a), 0);
	EXPECT_EQ(pods.n, 1);
	EXPECT_STR(pods_find(&pods, &a.uid)->workload, "shop");
	pods_gone(&pods, &a.uid);
	EXPECT_STR(name_of(&a.uid), "pod-1"); /* rows of it may still come */
	EXPECT_EQ(pods.n_gone, 1);
	EXPECT_EQ(pods_put(&pods, &a), 0);
	EXPECT_EQ(pods.n_gone, 0);
	pods_done(&pods);
}

static void test_pods__containers(void)
{
	struct k8s_identity a = pod(1);
	const struct k8s_identity *got;

	pods_init(&pods);
	a.n_containers = 2;
	memset(a.containers[0].id, 'a', 64);
	memcpy(a.containers[0].name, "app", 4);
	memcpy(a.containers[1].name, "sidecar", 8); /* its id is not known yet */
	EXPECT_EQ(pods_put(&pods, &a), 0);
	got = pods_find(&pods, &a.uid);
	EXPECT_STR(pods_container(got, a.containers[0].id), "app");
	EXPECT_STR(pods_container(got, ""), "");
	EXPECT_STR(pods_container(got, "bbbb"), "");
	pods_done(&pods);
}

/* A static pod: cgroup paths have its hash, and its object is made anew with another uid. */
static void test_pods__static(void)
{
	struct k8s_identity a = pod(1), b = pod(2);

	pods_init(&pods);
	EXPECT(k8s_uid_parse(SLICE_LIT("0123456789abcdef0123456789abcdef"), &a.config_hash));
	b.config_hash = a.config_hash;
	memcpy(b.name, a.name, sizeof(b.name));
	memcpy(b.service, "anew", 5);
	EXPECT_EQ(pods_put(&pods, &a), 0);
	EXPECT_STR(service_of(&a.config_hash), "");
	EXPECT_EQ(pods_put(&pods, &b), 0);
	EXPECT_STR(service_of(&a.config_hash), "anew");
	pods_gone(&pods, &a.uid);
	all_hear();
	for (uint32_t i = 10; i < 10 + PODS_MAX - 1; i++) {
		struct k8s_identity more = pod(i);

		EXPECT_EQ(pods_put(&pods, &more), 0);
	}
	EXPECT_STR(name_of(&a.uid), "");
	EXPECT_STR(service_of(&a.config_hash), "anew");
	pods_done(&pods);
}

/* Whoever makes a pod writes its annotations: the hash of one takes no processes of another. */
static void test_pods__hash_of_another(void)
{
	struct k8s_identity a = pod(1), b = pod(2), thief = pod(3);

	pods_init(&pods);
	EXPECT(k8s_uid_parse(SLICE_LIT("0123456789abcdef0123456789abcdef"), &b.config_hash));
	EXPECT_EQ(pods_put(&pods, &a), 0);
	EXPECT_EQ(pods_put(&pods, &b), 0);
	thief.config_hash = a.uid;
	EXPECT_EQ(pods_put(&pods, &thief), 0);
	EXPECT_STR(name_of(&a.uid), "pod-1");
	EXPECT_STR(name_of(&thief.uid), "pod-3");
	thief.config_hash = b.config_hash;
	EXPECT_EQ(pods_put(&pods, &thief), 0);
	EXPECT_STR(name_of(&b.config_hash), "pod-2");
	EXPECT_STR(name_of(&b.uid), "pod-2");
	/* the other is first */
	thief.config_hash = pod(4).uid;
	EXPECT_EQ(pods_put(&pods, &thief), 0);
	a = pod(4);
	EXPECT_EQ(pods_put(&pods, &a), 0);
	EXPECT_STR(name_of(&a.uid), "pod-4");
	EXPECT_EQ(pods_put(&pods, &thief), 0);
	EXPECT_STR(name_of(&a.uid), "pod-4");
	pods_done(&pods);
}

static void test_pods__replaced(void)
{
	struct k8s_identity a = pod(1), b = pod(2);

	pods_init(&pods);
	EXPECT_EQ(pods_put(&pods, &a), 0);
	EXPECT_EQ(pods_put(&pods, &b), 0);
	pods_replace_begin(&pods);
	EXPECT_EQ(pods_put(&pods, &b), 0);
	pods_replace_end(&pods);
	EXPECT_EQ(pods.n_gone, 1);
	EXPECT_EQ(pods.n, 2);
	pods_done(&pods);
}

static void test_pods__full(void)
{
	struct k8s_identity first = pod(0), one_more = pod(PODS_MAX);

	pods_init(&pods);
	for (uint32_t i = 0; i < PODS_MAX; i++) {
		struct k8s_identity id = pod(i);

		EXPECT_EQ(pods_put(&pods, &id), 0);
	}
	EXPECT_EQ(pods_put(&pods, &one_more), -ENOSPC);
	EXPECT_EQ(pods.refused, 1);
	EXPECT_STR(name_of(&first.uid), "pod-0");
	pods_gone(&pods, &first.uid);
	EXPECT_EQ(pods_put(&pods, &one_more), -ENOSPC); /* that it went is not told yet */
	all_hear();
	EXPECT_EQ(pods_put(&pods, &one_more), 0);
	EXPECT_STR(name_of(&first.uid), "");
	EXPECT_STR(name_of(&one_more.uid), "pod-1024");
	pods_done(&pods);
}

static void test_pods__hostile(void)
{
	struct k8s_identity good = pod(1), bad;

	pods_init(&pods);
	good.n_containers = 1;
	memset(good.containers[0].id, 'a', 64);
	bad = good;
	memset(bad.ns, 'x', sizeof(bad.ns));
	EXPECT_EQ(pods_put(&pods, &bad), -EINVAL);
	bad = good;
	memset(bad.workload, 'x', sizeof(bad.workload));
	EXPECT_EQ(pods_put(&pods, &bad), -EINVAL);
	bad = good;
	bad.n_containers = K8S_CONTAINERS_MAX + 1;
	EXPECT_EQ(pods_put(&pods, &bad), -EINVAL);
	bad = good;
	bad.n_ips = K8S_ADDRS_MAX + 1;
	EXPECT_EQ(pods_put(&pods, &bad), -EINVAL);
	bad = good;
	memset(bad.containers[0].id, 'a', sizeof(bad.containers[0].id));
	EXPECT_EQ(pods_put(&pods, &bad), -EINVAL);
	bad = good;
	memcpy(bad.name, "a\033[2J", 6);
	EXPECT_EQ(pods_put(&pods, &bad), -EINVAL);
	bad = good;
	bad.uid = (struct k8s_uid){ { 0 } };
	EXPECT_EQ(pods_put(&pods, &bad), -EINVAL);
	bad = good;
	memset(&bad.capture_off, 7, 1);
	EXPECT_EQ(pods_put(&pods, &bad), -EINVAL);
	EXPECT_EQ(pods.n, 0);
	EXPECT_EQ(pods_put(&pods, &good), 0);
	pods_done(&pods);
}

static void test_pods__told_others(void)
{
	struct k8s_identity a = pod(1), b = pod(2);
	struct pod_entry *e;

	pods_init(&pods);
	EXPECT(!pods_waiting(&pods, 1));
	EXPECT_EQ(pods_put(&pods, &a), 0);
	EXPECT_EQ(pods_put(&pods, &b), 0);
	for (int i = 0; i < 2; i++) {
		e = pods_waiting(&pods, 1);
		ASSERT(e);
		pods_heard(&pods, e, 1);
	}
	EXPECT(!pods_waiting(&pods, 1));
	pods_gone(&pods, &b.uid);
	e = pods_waiting(&pods, 1);
	ASSERT(e);
	EXPECT(e->gone);
	EXPECT_STR(e->id->name, "pod-2");
	pods_heard(&pods, e, 1);
	EXPECT_EQ(pods_put(&pods, &a), 0);
	e = pods_waiting(&pods, 1);
	ASSERT(e);
	EXPECT_STR(e->id->name, "pod-1");
	pods_heard(&pods, e, 1);
	pods_tell_again(&pods, 1);
	EXPECT_EQ(pods.n_waiting[1], 2);
	pods_done(&pods);
	EXPECT_EQ(pods.n_waiting[1], 0);
}

TEST_MAIN(TEST(test_pods__put_and_gone), TEST(test_pods__containers), TEST(test_pods__static),
	  TEST(test_pods__hash_of_another), TEST(test_pods__replaced), TEST(test_pods__full),
	  TEST(test_pods__told_others), TEST(test_pods__hostile))
