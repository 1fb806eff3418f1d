/* Who the ends of a connection are: processes in pods, addresses of the cluster, what comes late. */
#include "agent/pipeline_int.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <sys/mman.h>

#define S      NSEC_PER_SEC
#define UNIX_0 (5000 * S) /* unix time when boot time is BOOT_0 */
#define BOOT_0 (1000 * S)
#define POD_A  100 /* cgroup numbers */
#define POD_B  101

static struct {
	struct ledger ledger;
	struct pipeline *p;
	_Alignas(8) uint8_t frame[ROW_MAX];
	char syms[4096][272];
	uint32_t asked;
	uint32_t asked_tgid;
	uint64_t asked_cgroup;
	void *image;
	struct k8s_entities_writer w;
} t;

static void *reserve(void *ctx, uint32_t n)
{
	(void)ctx;
	return n <= sizeof(t.frame) ? t.frame : NULL;
}

static void commit(void *ctx, enum pipe_frame type, uint32_t n)
{
	uint32_t sym;

	(void)ctx;
	if (type != PIPE_SYM)
		return;
	memcpy(&sym, t.frame, 4);
	if (sym < ARRAY_SIZE(t.syms))
		snprintf(t.syms[sym], sizeof(t.syms[sym]), "%.*s", (int)(n - 4), t.frame + 4);
}

static void publish(void *ctx)
{
	(void)ctx;
}

static void want_proc(void *ctx, uint32_t tgid, uint64_t cgroup)
{
	(void)ctx;
	t.asked++;
	t.asked_tgid = tgid;
	t.asked_cgroup = cgroup;
}

static void setup(void)
{
	struct pipeline_opts o = {
		.node = "n1",
		.ledger = &t.ledger,
		.out = { NULL, reserve, commit, publish, want_proc },
	};

	memset(&t, 0, sizeof(t));
	t.image = mmap(NULL, k8s_entities_bytes(), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(k8s_entities_open(&t.w, t.image), 0);
	o.entities = t.image;
	t.p = pipeline_new(&o);
	pipeline_tick(t.p, BOOT_0, UNIX_0);
}

static void teardown(void)
{
	pipeline_free(t.p);
	k8s_entities_close(&t.w);
	munmap(t.image, k8s_entities_bytes());
}

static void addr(uint8_t *to, const char *text)
{
	EXPECT(k8s_addr_parse(slice_str(text), to));
}

/* A client's connection from 10.0.0.1 to there. */
static struct conn client_conn(uint32_t tgid, uint64_t cgroup, const char *server)
{
	struct conn c = { .id = 1,
			  .tgid = tgid,
			  .cgroup = cgroup,
			  .local_port = 40000,
			  .remote_port = 80,
			  .initiator = EV_INITIATOR_LOCAL,
			  .role_known = true,
			  .request_dir = DIR_TX,
			  .comm = "curl" };

	addr(c.local, "10.0.0.1");
	addr(c.remote, server);
	return c;
}

static struct conn server_conn(uint32_t tgid, uint64_t cgroup, const char *client)
{
	struct conn c = { .id = 2,
			  .tgid = tgid,
			  .cgroup = cgroup,
			  .local_port = 80,
			  .remote_port = 40000,
			  .initiator = EV_INITIATOR_REMOTE,
			  .role_known = true,
			  .request_dir = DIR_RX,
			  .comm = "nginx" };

	addr(c.local, "10.0.0.2");
	addr(c.remote, client);
	return c;
}

static const char *cell(uint16_t col)
{
	const struct row_builder *b = &t.p->join.row;

	if (!(b->present[col / 64] >> col % 64 & 1))
		return "-";
	return t.syms[b->cells[col].v.off % ARRAY_SIZE(t.syms)];
}

/* "namespace pod kind/workload service node container name" of one end, as a row at that boot time has
 * them. */
static const char *end_at(struct conn *c, bool server, uint64_t at_ns)
{
	static char text[4][600];
	static int turn;
	char *out = text[turn++ % 4];
	uint16_t d = server ? COL_SERVER_ADDR - COL_CLIENT_ADDR : 0;

	row_begin(&t.p->join.row, TABLE_HTTP);
	join_ends(t.p, c, &t.p->join.row, at_ns);
	snprintf(out, sizeof(text[0]), "%s %s %s/%s %s %s %s %s",
		 cell((uint16_t)(COL_CLIENT_NAMESPACE + d)), cell((uint16_t)(COL_CLIENT_POD + d)),
		 cell((uint16_t)(COL_CLIENT_WORKLOAD_KIND + d)),
		 cell((uint16_t)(COL_CLIENT_WORKLOAD + d)),
		 cell((uint16_t)(COL_CLIENT_SERVICE + d)), cell((uint16_t)(COL_CLIENT_NODE + d)),
		 cell((uint16_t)(COL_CLIENT_CONTAINER + d)), cell((uint16_t)(COL_CLIENT_NAME + d)));
	return out;
}

static const char *client(struct conn *c)
{
	return end_at(c, false, BOOT_0);
}

static const char *server(struct conn *c)
{
	return end_at(c, true, BOOT_0);
}

static struct k8s_identity pod(uint8_t n, const char *name)
{
	struct k8s_identity id = { .uid = { { 1, n } }, .n_containers = 1 };

	memcpy(id.ns, "shop", 5);
	snprintf(id.name, sizeof(id.name), "%s", name);
	memcpy(id.workload_kind, "Deployment", 11);
	memcpy(id.workload, "work", 5);
	memset(id.containers[0].id, 'a' + n, 64);
	memcpy(id.containers[0].name, "app", 4);
	return id;
}

static void proc_in(uint32_t tgid, uint64_t cgroup, uint8_t n)
{
	struct proc_identity id = { .tgid = tgid,
				    .cgroup = cgroup,
				    .pod_uid = { { n ? 1 : 0, n } } };

	if (n)
		memset(id.container, 'a' + n, 64);
	pipeline_proc(t.p, &id);
}

static void put(uint8_t kind, const char *address, uint16_t port, const char *name,
		const char *service, uint64_t from_ns, uint64_t to_ns)
{
	struct k8s_entity e = { .kind = kind,
				.port = port,
				.uid = slice_str(name[0] ? name : service) };

	if (address)
		addr(e.addr, address);
	e.ns = SLICE_LIT("far");
	if (kind == K8S_ENTITY_NODE)
		e.node = slice_str(name);
	else
		e.name = slice_str(name);
	e.service = slice_str(service);
	e.from_ns = from_ns;
	e.to_ns = to_ns;
	EXPECT_EQ(k8s_entities_put(&t.w, K8S_FROM_CLUSTER, &e, UNIX_0), 0);
	pipeline_tick(t.p, BOOT_0, UNIX_0);
}

static void test_join__pod_of_a_process(void)
{
	struct conn c = client_conn(10, POD_A, "192.0.2.1");
	struct k8s_identity a = pod(1, "cart-1");

	setup();
	EXPECT_STR(client(&c), "- - -/- - n1 - curl");
	EXPECT_EQ(t.asked, 1);
	EXPECT_EQ(t.asked_tgid, 10);
	EXPECT_EQ(t.asked_cgroup, POD_A);
	pipeline_pod(t.p, &a, false);
	proc_in(10, POD_A, 1);
	EXPECT_STR(client(&c), "shop cart-1 Deployment/work - n1 app cart-1");
	EXPECT_STR(server(&c), "- - -/- - - - external");
	EXPECT_EQ(t.asked, 1);
	teardown();
}

/* The pod is told later than its process: the container's id stands there until then. */
static void test_join__late_pod(void)
{
	struct conn c = client_conn(10, POD_A, "192.0.2.1");
	struct k8s_identity a = pod(1, "cart-1");
	char want[200];

	setup();
	(void)client(&c);
	proc_in(10, POD_A, 1);
	snprintf(want, sizeof(want), "- - -/- - n1 %.64s %.12s", a.containers[0].id,
		 a.containers[0].id);
	EXPECT_STR(client(&c), want);
	pipeline_commit(t.p);
	EXPECT_EQ(ledger_get(&t.ledger, L7_PODS_UNKNOWN), 1);
	/* Its container's id comes later still. */
	a.containers[0].id[0] = 0;
	pipeline_pod(t.p, &a, false);
	snprintf(want, sizeof(want), "shop cart-1 Deployment/work - n1 %.64s cart-1",
		 pod(1, "").containers[0].id);
	EXPECT_STR(client(&c), want);
	a = pod(1, "cart-1");
	pipeline_pod(t.p, &a, false);
	EXPECT_STR(client(&c), "shop cart-1 Deployment/work - n1 app cart-1");
	/* Rows of its last exchanges. */
	pipeline_pod(t.p, &a, true);
	EXPECT_STR(client(&c), "shop cart-1 Deployment/work - n1 app cart-1");
	pipeline_commit(t.p);
	EXPECT_EQ(ledger_get(&t.ledger, L7_PODS_IN),
		  ledger_get(&t.ledger, L7_PODS_OUT) + ledger_get(&t.ledger, L7_PODS_UNKNOWN));
	teardown();
}

/* The same process number in another control group is another process. */
static void test_join__number_used_again(void)
{
	struct conn c = client_conn(10, POD_A, "192.0.2.1"),
		    d = client_conn(10, POD_B, "192.0.2.1");
	struct k8s_identity a = pod(1, "cart-1"), b = pod(2, "web-1");

	setup();
	pipeline_pod(t.p, &a, false);
	pipeline_pod(t.p, &b, false);
	(void)client(&c);
	proc_in(10, POD_A, 1);
	EXPECT_STR(client(&d), "- - -/- - n1 - curl");
	EXPECT_EQ(t.asked, 2);
	proc_in(10, POD_B, 2);
	EXPECT_STR(client(&d), "shop web-1 Deployment/work - n1 app web-1");
	EXPECT_STR(client(&c), "shop cart-1 Deployment/work - n1 app cart-1");
	teardown();
}

static void test_join__address_of_the_other_end(void)
{
	struct conn c = client_conn(10, POD_A, "10.96.0.1"), s = server_conn(11, POD_B, "10.0.1.7");

	setup();
	EXPECT_STR(server(&c), "- - -/- - - - external");
	put(K8S_ENTITY_SERVICE, "10.96.0.1", 0, "", "cart", 0, 0);
	put(K8S_ENTITY_POD, "10.0.1.7", 0, "web-9", "", UNIX_0 - 100 * S, 0);
	EXPECT_STR(server(&c), "far - -/- cart - - cart");
	EXPECT_STR(client(&s), "far web-9 -/- - - - web-9");
	put(K8S_ENTITY_NODE, "10.0.9.9", 0, "n2", "", 0, 0);
	s = server_conn(11, POD_B, "10.0.9.9");
	EXPECT_STR(client(&s), "- - -/- - n2 - node/n2");
	teardown();
}

/* Who had the address when the request was made, not who has it now. */
static void test_join__name_of_that_time(void)
{
	struct conn s = server_conn(11, POD_B, "10.0.1.7");

	setup();
	put(K8S_ENTITY_POD, "10.0.1.7", 0, "old", "", UNIX_0 - 100 * S, UNIX_0 - 50 * S);
	put(K8S_ENTITY_POD, "10.0.1.7", 0, "new", "", UNIX_0 - 40 * S, 0);
	EXPECT_STR(end_at(&s, false, BOOT_0 - 60 * S), "far old -/- - - - old");
	EXPECT_STR(end_at(&s, false, BOOT_0 - 45 * S), "- - -/- - - - external");
	EXPECT_STR(end_at(&s, false, BOOT_0 - 10 * S), "far new -/- - - - new");
	EXPECT_STR(end_at(&s, false, BOOT_0 - 60 * S), "far old -/- - - - old");
	teardown();
}

/* The process says which pod, the address which of its services was called. */
static void test_join__service_of_a_server(void)
{
	struct conn s = server_conn(11, POD_B, "192.0.2.1");
	struct k8s_identity b = pod(2, "web-1");
	struct k8s_entity e = { .kind = K8S_ENTITY_ENDPOINT,
				.port = 80,
				.uid = SLICE_LIT("s"),
				.ns = SLICE_LIT("shop"),
				.name = SLICE_LIT("web-1"),
				.service = SLICE_LIT("web") };

	setup();
	pipeline_pod(t.p, &b, false);
	(void)server(&s);
	proc_in(11, POD_B, 2);
	EXPECT_STR(server(&s), "shop web-1 Deployment/work - n1 app web-1");
	put(K8S_ENTITY_POD, "10.0.0.2", 0, "web-1", "", 1,
	    0); /* of another namespace: not this one */
	EXPECT_STR(server(&s), "shop web-1 Deployment/work - n1 app web-1");
	teardown();
	setup();
	pipeline_pod(t.p, &b, false);
	(void)server(&s);
	s.names_gen = 0;
	(void)server(&s);
	proc_in(11, POD_B, 2);
	addr(e.addr, "10.0.0.2");
	EXPECT_EQ(k8s_entities_put(&t.w, K8S_FROM_CLUSTER, &e, UNIX_0), 0);
	e = (struct k8s_entity){ .kind = K8S_ENTITY_POD,
				 .uid = SLICE_LIT("p"),
				 .ns = SLICE_LIT("shop"),
				 .name = SLICE_LIT("web-1"),
				 .from_ns = 1 };
	addr(e.addr, "10.0.0.2");
	EXPECT_EQ(k8s_entities_put(&t.w, K8S_FROM_CLUSTER, &e, UNIX_0), 0);
	pipeline_tick(t.p, BOOT_0, UNIX_0);
	EXPECT_STR(server(&s), "shop web-1 Deployment/work web n1 app web");
	/* An annotation says how it wants to be called. */
	memcpy(b.service, "front", 6);
	pipeline_pod(t.p, &b, false);
	EXPECT_STR(server(&s), "shop web-1 Deployment/work front n1 app front");
	teardown();
}

/* A process of the host at an address that leads on to a pod is not that pod. */
static void test_join__host_process(void)
{
	struct conn s = server_conn(11, 1, "192.0.2.1");

	setup();
	put(K8S_ENTITY_POD, "10.0.0.2", 0, "web-1", "", 1, 0);
	put(K8S_ENTITY_NODE, "10.0.0.1", 0, "n1", "", 0, 0);
	(void)server(&s);
	proc_in(11, 1, 0);
	EXPECT_STR(server(&s), "- - -/- - n1 - nginx:80");
	teardown();
}

/* While the table is written nothing is known, and it is asked for again. */
static void test_join__table_in_work(void)
{
	struct conn c = client_conn(10, POD_A, "10.96.0.1");

	setup();
	put(K8S_ENTITY_SERVICE, "10.96.0.1", 0, "", "cart", 0, 0);
	k8s_entities_begin(&t.w);
	EXPECT_STR(server(&c), "- - -/- - - - external");
	k8s_entities_end(&t.w);
	EXPECT_STR(server(&c), "far - -/- cart - - cart");
	teardown();
}

static void test_join__opted_out(void)
{
	struct conn c = client_conn(10, POD_A, "192.0.2.1"),
		    d = client_conn(12, POD_B, "192.0.2.1");
	struct k8s_identity a = pod(1, "quiet-1"), b = pod(2, "web-1");

	setup();
	a.capture_off = true;
	pipeline_pod(t.p, &a, false);
	pipeline_pod(t.p, &b, false);
	EXPECT(!join_opted_out(t.p, &c)); /* not known yet */
	proc_in(10, POD_A, 1);
	EXPECT(join_opted_out(t.p, &c));
	EXPECT(!join_opted_out(t.p, &d));
	proc_in(12, POD_B, 2);
	EXPECT(!join_opted_out(t.p, &d));
	teardown();
}

static void test_join__hostile_pod(void)
{
	struct conn c = client_conn(10, POD_A, "192.0.2.1");
	struct k8s_identity a = pod(1, "cart-1");

	setup();
	a.n_containers = 255;
	pipeline_pod(t.p, &a, false);
	(void)client(&c);
	proc_in(10, POD_A, 1);
	EXPECT_EQ(t.p->join.pods.n, 0);
	teardown();
}

/* Another node's agent has the server's row, which is the one that counts; where this node's own does not
 * know the server's end, it is not read here. */
static void test_join__a_server_that_another_agent_observes(void)
{
	static const struct {
		const char *node;
		bool covered, want;
	} cases[] = {
		{ "n2", true, true },
		{ "n2", false, false },
		{ "n1", true, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct k8s_entity e = { .kind = K8S_ENTITY_POD,
					.uid = SLICE_LIT("u"),
					.ns = SLICE_LIT("shop"),
					.name = SLICE_LIT("web"),
					.node = slice_str(cases[i].node),
					.covered = cases[i].covered };
		struct conn c = client_conn(0, 0, "10.0.1.9"), back = server_conn(0, 0, "10.0.1.9");

		setup();
		addr(e.addr, "10.0.1.9");
		EXPECT_EQ(k8s_entities_put(&t.w, K8S_FROM_CLUSTER, &e, UNIX_0), 0);
		join_look(t.p);
		end_at(&c, true, BOOT_0 + S);
		EXPECT_EQ(c.server_covered, cases[i].want);
		end_at(&back, true, BOOT_0 + S); /* it is the server itself */
		EXPECT_EQ(back.server_covered, false);
		/* the agent there went away: rows from now on */
		e.covered = false;
		EXPECT_EQ(k8s_entities_put(&t.w, K8S_FROM_CLUSTER, &e, UNIX_0), 0);
		join_look(t.p);
		end_at(&c, true, BOOT_0 + S);
		EXPECT_EQ(c.server_covered, false);
		teardown();
	}
}

TEST_MAIN(TEST(test_join__pod_of_a_process), TEST(test_join__late_pod),
	  TEST(test_join__number_used_again), TEST(test_join__address_of_the_other_end),
	  TEST(test_join__name_of_that_time), TEST(test_join__service_of_a_server),
	  TEST(test_join__host_process), TEST(test_join__table_in_work), TEST(test_join__opted_out),
	  TEST(test_join__hostile_pod), TEST(test_join__a_server_that_another_agent_observes))
