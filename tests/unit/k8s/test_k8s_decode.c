/* tests/golden/k8s: each object as JSON and as protobuf (written by tests/k8s/k8spb.py; _recorded: both by
 * an API server 1.37) reads as the one line of its .txt. */
#include "k8s/json.h"
#include "k8s/pb.h"
#include "tests/k8s/show.h"
#include "tests/lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#define GOLDEN "tests/golden/k8s/"

static bool load(const char *stem, const char *suffix, struct strbuf *out)
{
	char path[300];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), GOLDEN "%s.%s", stem, suffix);
	f = fopen(path, "rb");
	if (!EXPECT(f != NULL))
		return false;
	strbuf_init(out, MIB);
	n = fread(strbuf_reserve(out, MIB - 1), 1, MIB - 1, f);
	out->len += n;
	out->p[out->len] = 0;
	fclose(f);
	return true;
}

static int read_pb(enum k8s_kind kind, struct slice bytes, struct k8s_object *ret)
{
	struct k8s_envelope e;
	int r = k8s_pb_envelope(bytes, &e);

	return r < 0 ? r : k8s_pb_object(kind, e.raw, ret);
}

static struct k8s_object object;

static void expect_shown(const struct strbuf *want)
{
	struct strbuf got = STRBUF_INIT(MIB);

	show_object(&got, &object);
	strbuf_addch(&got, '\n');
	EXPECT_STR(strbuf_str(&got), strbuf_str(want));
	strbuf_done(&got);
}

/* Cut anywhere it is an error or less of the same; with every byte turned it is no crash. */
static void damage(enum k8s_kind kind, struct strbuf *pb, struct strbuf *json)
{
	for (size_t n = 0; n < pb->len; n++) {
		char *copy = memcpy(malloc(n + 1), pb->p, n);

		read_pb(kind, slice_of(copy, n), &object);
		free(copy);
		pb->p[n] = (char)~pb->p[n];
		read_pb(kind, strbuf_slice(pb), &object);
		pb->p[n] = (char)~pb->p[n];
	}
	for (size_t n = 0; n < json->len - 1; n++) {
		uint8_t *copy = memcpy(malloc(n + 1), json->p, n);

		EXPECT_EQ(k8s_json_object(kind, copy, n, &object), -EBADMSG);
		free(copy);
	}
}

static void one(const char *stem)
{
	struct strbuf pb = { 0 }, json = { 0 }, want = { 0 }, copy = { 0 };
	enum k8s_kind kind = show_kind_named(slice_str(stem));

	if (!kind || !load(stem, "pb", &pb) || !load(stem, "json", &json) ||
	    !load(stem, "json", &copy) || !load(stem, "txt", &want)) {
		EXPECT(!"all of it is there");
		return;
	}
	if (EXPECT_EQ(read_pb(kind, strbuf_slice(&pb), &object), 0))
		expect_shown(&want);
	if (EXPECT_EQ(k8s_json_object(kind, (uint8_t *)copy.p, copy.len, &object), 0))
		expect_shown(&want);
	damage(kind, &pb, &json);
	strbuf_done(&pb);
	strbuf_done(&json);
	strbuf_done(&copy);
	strbuf_done(&want);
}

static void test_k8s_decode__golden(void)
{
	DIR *dir = opendir(GOLDEN);
	size_t n = 0;

	ASSERT(dir != NULL);
	for (struct dirent *e; (e = readdir(dir));) {
		char *dot = strrchr(e->d_name, '.');

		if (!dot || strcmp(dot, ".pb") != 0)
			continue;
		*dot = '\0';
		one(e->d_name);
		n++;
	}
	closedir(dir);
	EXPECT(n >= 14);
}

/* A list longer than its bound is cut, and what is left out is counted. */
static void test_k8s_decode__cut(void)
{
	struct strbuf json = STRBUF_INIT(MIB);

	strbuf_adds(&json, "{\"spec\":{\"containers\":[");
	for (int i = 0; i < K8S_CONTAINERS_MAX + 3; i++)
		strbuf_addf(&json, "%s{\"name\":\"c%d\"}", i ? "," : "", i);
	strbuf_adds(&json, "]},\"status\":{\"podIPs\":[");
	for (int i = 0; i < K8S_ADDRS_MAX + 2; i++)
		strbuf_addf(&json, "%s{\"ip\":\"10.0.0.%d\"}", i ? "," : "", i);
	strbuf_adds(&json, "]}}");
	ASSERT_EQ(k8s_json_object(K8S_POD, (uint8_t *)json.p, json.len, &object), 0);
	EXPECT_EQ(object.pod.n_containers, K8S_CONTAINERS_MAX);
	EXPECT_EQ(object.pod.n_ips, K8S_ADDRS_MAX);
	EXPECT_EQ(object.cut, 5);
	strbuf_reset(&json);
	strbuf_adds(&json, "{\"ports\":[");
	for (int i = 0; i < K8S_PORTS_MAX + 1; i++)
		strbuf_adds(&json, i ? ",{}" : "{}");
	strbuf_adds(&json, "],\"endpoints\":[");
	for (int i = 0; i < K8S_ENDPOINTS_MAX + 4; i++)
		strbuf_addf(&json, "%s{\"addresses\":[\"%d\"]}", i ? "," : "", i);
	strbuf_adds(&json, "]}");
	ASSERT_EQ(k8s_json_object(K8S_ENDPOINT_SLICE, (uint8_t *)json.p, json.len, &object), 0);
	EXPECT_EQ(object.slice.n_endpoints, K8S_ENDPOINTS_MAX);
	EXPECT_EQ(object.slice.n_ports, K8S_PORTS_MAX);
	EXPECT_EQ(object.cut, 5);
	strbuf_done(&json);
}

/* The status of a container may come before its spec: names join them. */
static void test_k8s_decode__status_first(void)
{
	char json[] =
		"{\"status\":{\"initContainerStatuses\":[{\"name\":\"a\",\"restartCount\":2,"
		"\"image\":\"x\"}]},\"spec\":{\"initContainers\":[{\"name\":\"a\",\"image\":\"y\","
		"\"restartPolicy\":\"Always\"}]}}";

	ASSERT_EQ(k8s_json_object(K8S_POD, (uint8_t *)json, sizeof(json) - 1, &object), 0);
	ASSERT_EQ(object.pod.n_containers, 1);
	EXPECT_EQ(object.pod.containers[0].kind, K8S_SIDECAR);
	EXPECT_EQ(object.pod.containers[0].restarts, 2);
	EXPECT(slice_eq_str(object.pod.containers[0].image, "y"));
}

/* Types that are not the field's change nothing; what does not fit is nothing. */
static void test_k8s_decode__other_types(void)
{
	static const char *const texts[] = {
		"{\"metadata\":null}",
		"{\"metadata\":{\"name\":5,\"uid\":[],\"labels\":{\"pod-template-hash\":{}},"
		"\"ownerReferences\":[[],5,null,{\"controller\":1,\"kind\":\"K\"}],"
		"\"creationTimestamp\":true}}",
		"{\"status\":{\"podIPs\":{},\"podIP\":7,\"startTime\":\"yesterday\","
		"\"containerStatuses\":[]}}",
		"{\"spec\":[],\"status\":\"x\"}",
	};
	static const uint8_t wire[] = { 0x08, 0x01, 0x11, 1, 2, 3, 4,	 5,    6,   7,
					8,    0x1d, 1,	  2, 3, 4, 0x20, 0xff, 0x7f };
	struct k8s_object zero = { .kind = K8S_POD };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		uint8_t copy[300];

		memcpy(copy, texts[i], strlen(texts[i]));
		EXPECT_EQ(k8s_json_object(K8S_POD, copy, strlen(texts[i]), &object), 0);
		EXPECT_MEM(&object, sizeof(object), &zero, sizeof(zero));
	}
	EXPECT_EQ(k8s_pb_object(K8S_POD, slice_of(wire, sizeof(wire)), &object), 0);
	EXPECT_MEM(&object, sizeof(object), &zero, sizeof(zero));
}

static void test_k8s_decode__no_protobuf(void)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {
		{ "\x03", 1 },	    /* a group */
		{ "\x06", 1 },	    /* no wire type */
		{ "\x02\x00", 2 },  /* field 0 */
		{ "\x0a\x02x", 3 }, /* longer than there is */
		{ "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },
		{ "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11 },
		{ "\x0d\x01", 2 },
		{ "\x80", 1 },
	};
	struct k8s_envelope e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(k8s_pb_object(K8S_POD, slice_of(bad[i].p, bad[i].n), &object), -EBADMSG);
	EXPECT_EQ(k8s_pb_envelope(SLICE_LIT("k8s"), &e), -EBADMSG);
	EXPECT_EQ(k8s_pb_envelope(SLICE_LIT("k8s\1"), &e), -EBADMSG);
	EXPECT_EQ(k8s_pb_envelope(SLICE_LIT("k8s\0"), &e), 0);
	EXPECT_EQ(k8s_pb_envelope(SLICE_LIT("k8s\0\x1a\x04gzip"), &e), -EBADMSG);
}

static void test_k8s_decode__status(void)
{
	char json[] =
		"{\"kind\":\"Status\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"m\","
		"\"reason\":\"Timeout\",\"details\":{\"causes\":[{\"reason\":"
		"\"ResourceVersionTooLarge\"}],\"retryAfterSeconds\":1},\"code\":504}";
	struct k8s_status s = { 0 };

	EXPECT_EQ(k8s_json_read(&k8s_status_fields, &s, (uint8_t *)json, sizeof(json) - 1), 0);
	EXPECT_EQ(s.code, 504);
	EXPECT_EQ(s.retry_after_s, 1);
	EXPECT(s.too_large && slice_eq_str(s.reason, "Timeout") && slice_eq_str(s.message, "m"));
}

TEST_MAIN(TEST(test_k8s_decode__golden), TEST(test_k8s_decode__cut),
	  TEST(test_k8s_decode__status_first), TEST(test_k8s_decode__other_types),
	  TEST(test_k8s_decode__no_protobuf), TEST(test_k8s_decode__status))
