#include "k8s/cgroup.h"
#include "tests/lib/test.h"

#include "base/util.h"

#define UID	   "0f5a2c1e-77b3-4d10-9a4e-3c2b1a0f9e8d"
#define UID_SYSTEM "0f5a2c1e_77b3_4d10_9a4e_3c2b1a0f9e8d"
#define UID_OTHER  "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
#define HASH	   "9e107d9d372bb6826bd81d3542a419d6"
#define ID	   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NODE_ID	   "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define DEEP                                                                                       \
	"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice"                   \
	"/kubelet-kubepods-burstable-pod" UID_SYSTEM ".slice/cri-containerd-" ID ".scope"

struct row {
	const char *path, *pod, *container;
};

static void expect_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct k8s_cgroup c;
		bool known = rows[i].pod[0] || rows[i].container[0];

		if (!EXPECT_EQ(k8s_cgroup_parse(slice_str(rows[i].path), &c), known) ||
		    !EXPECT_STR(c.pod_uid, rows[i].pod) ||
		    !EXPECT_STR(c.container, rows[i].container))
			printf("# %s\n", rows[i].path);
	}
}

static void test_cgroup__drivers_and_runtimes(void)
{
	static const struct row rows[] = {
		{ "/kubepods/burstable/pod" UID "/" ID, UID, ID },
		{ "/kubepods/besteffort/pod" UID "/" ID, UID, ID },
		{ "/kubepods/pod" UID "/" ID, UID, ID },
		{ "/kubepods/burstable/pod" UID "/crio-" ID, UID, ID },
		{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SYSTEM
		  ".slice/cri-containerd-" ID ".scope",
		  UID, ID },
		{ "/kubepods.slice/kubepods-pod" UID_SYSTEM ".slice/cri-containerd-" ID ".scope",
		  UID, ID },
		{ "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_SYSTEM
		  ".slice/crio-" ID ".scope/container",
		  UID, ID },
		{ "/kubepods.slice/kubepods-pod" UID_SYSTEM ".slice/docker-" ID ".scope", UID, ID },
		{ "/system.slice/containerd.service/kubepods-besteffort-pod" UID_SYSTEM
		  ".slice:cri-containerd:" ID,
		  UID, ID },
		{ "/docker/" NODE_ID DEEP, UID, ID },
		{ "/system.slice/docker-" NODE_ID ".scope" DEEP, UID, ID },
		{ "/docker/" ID, "", ID },
		{ "/system.slice/docker-" ID ".scope", "", ID },
		{ "/machine.slice/libpod-" ID ".scope/container", "", ID },
		{ "/user.slice/user-0.slice/libpod-" ID ".scope", "", ID },
		{ "/../../kubepods-besteffort-pod" UID_SYSTEM ".slice/cri-containerd-" ID ".scope",
		  UID, ID },
		{ "/../../pod" UID "/" ID, UID, ID },
	};

	expect_rows(rows, ARRAY_SIZE(rows));
}

/* Static pods have a hash for an uid; groups below the container are the container's. */
static void test_cgroup__static_and_nested(void)
{
	static const struct row rows[] = {
		{ "/kubepods/burstable/pod" HASH "/" ID, HASH, ID },
		{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" HASH
		  ".slice/cri-containerd-" ID ".scope",
		  HASH, ID },
		{ "/kubepods/pod" UID "/" ID "/init.scope", UID, ID },
		{ "/kubepods/pod" UID "/" ID "/syscont-cgroup-root/system.slice/a.service", UID,
		  ID },
		{ "/kubepods/pod" UID "/" ID "/docker/" NODE_ID, UID, ID },
		{ "/kubepods/pod" UID "/" ID " (deleted)", UID, ID },
	};

	expect_rows(rows, ARRAY_SIZE(rows));
}

static void test_cgroup__no_container(void)
{
	static const struct row rows[] = {
		{ "/kubepods/burstable/pod" UID, UID, "" },
		{ "/kubepods/burstable/pod" UID "/", UID, "" },
		{ "/kubepods/burstable/pod" UID "/crio-conmon-" ID, UID, "" },
		{ "/kubepods.slice/kubepods-pod" UID_SYSTEM ".slice", UID, "" },
		{ "/kubepods.slice/kubepods-pod" UID_SYSTEM ".slice:bad:" ID, UID, "" },
		{ "/kubepods/pod" UID "/init.scope/" ID, UID, "" },
		{ "/kubepods", "", "" },
		{ "/kubepods.slice/kubepods-burstable.slice", "", "" },
		{ "/system.slice/ssh.service", "", "" },
		{ "/machine.slice/crio-conmon-" ID ".scope", "", "" },
		{ "/", "", "" },
		{ "", "", "" },
	};

	expect_rows(rows, ARRAY_SIZE(rows));
}

/* Whoever runs in a pod may name the groups below its own; outside, nearly right is wrong. */
static void test_cgroup__hostile(void)
{
	static const struct row rows[] = {
		{ "/kubepods/pod" UID "/" ID "/kubepods/pod" UID_OTHER "/" NODE_ID, UID, ID },
		{ "/kubepods/pod" UID "/" ID "/kubepods-pod" UID_SYSTEM ".slice:docker:" NODE_ID,
		  UID, ID },
		{ "/podx" UID "/a", "", "" },
		{ "/pod" UID "0/a", "", "" },
		{ "/pod0f5a2c1e-77b3_4d10-9a4e-3c2b1a0f9e8d/a", "", "" },
		{ "/pod0F5A2C1E-77B3-4D10-9A4E-3C2B1A0F9E8D/a", "", "" },
		{ "/user-pod" UID_SYSTEM ".slice/a", "", "" },
		{ "/kubepods-guaranteed-pod" UID_SYSTEM ".slice/a", "", "" },
		{ "/kubepods-pod" UID_SYSTEM "/a", "", "" },
		{ "/kubepods-pod.slice", "", "" },
		{ "/-pod.slice", "", "" },
		{ ".slice", "", "" },
		{ ":", "", "" },
		{ "/evil-" ID ".scope", "", "" },
		{ "/" ID "0", "", "" },
		{ "/cri-containerd-" ID ".scope.scope", "", "" },
	};

	expect_rows(rows, ARRAY_SIZE(rows));
}

static void test_cgroup__bounds(void)
{
	char path[K8S_CGROUP_PATH_MAX + 1], whole[] = "/kubepods/pod" UID "/" ID;
	struct k8s_cgroup c;

	memset(path, '/', sizeof(path));
	memcpy(path, whole, strlen(whole));
	EXPECT(k8s_cgroup_parse(slice_of(path, K8S_CGROUP_PATH_MAX), &c));
	EXPECT(!k8s_cgroup_parse(slice_of(path, K8S_CGROUP_PATH_MAX + 1), &c));
	for (size_t n = 0; n <= strlen(whole); n++) {
		bool pod = k8s_cgroup_parse(slice_of(whole, n), &c);

		EXPECT_EQ(pod, n >= strlen("/kubepods/pod" UID));
		EXPECT_EQ(strlen(c.container), n == strlen(whole) ? 64 : 0);
	}
	EXPECT(!k8s_cgroup_parse(slice_of("/a\0b/\xff\n", 7), &c));
}

static void test_cgroup__of_process(void)
{
	static const char *const texts[] = {
		"0::/kubepods/pod" UID "/" ID "\n",
		"12:pids:/user\n11:memory:/kubepods/pod" UID "/" ID "\n0::/\n",
		"5:cpu,cpuacct:/kubepods/pod" UID "/" ID "\n1:name=systemd:/docker/" NODE_ID
		"\n0::/docker/" NODE_ID,
		"1:name=systemd:/kubepods/pod" UID "/" ID,
	};
	struct k8s_cgroup c;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		EXPECT(k8s_cgroup_of_process(slice_str(texts[i]), &c));
		EXPECT_STR(c.pod_uid, UID);
		EXPECT_STR(c.container, ID);
	}
	EXPECT(k8s_cgroup_of_process(slice_str("2:memory:/docker/" NODE_ID "\n0::/docker/" ID "\n"),
				     &c));
	EXPECT_STR(c.pod_uid, "");
	EXPECT_STR(c.container, ID);
	EXPECT(!k8s_cgroup_of_process(slice_str("3:hugetlb:/kubepods/pod" UID "/" ID "\n0::/\n"),
				      &c));
	EXPECT(!k8s_cgroup_of_process(slice_str("::\n:\n\n0:memory\n"), &c));
	EXPECT_STR(c.container, "");
}

TEST_MAIN(TEST(test_cgroup__drivers_and_runtimes), TEST(test_cgroup__static_and_nested),
	  TEST(test_cgroup__no_container), TEST(test_cgroup__hostile), TEST(test_cgroup__bounds),
	  TEST(test_cgroup__of_process))
