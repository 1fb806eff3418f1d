/* Hop 7: who the two ends of a connection are. Of a process on this node its pod, by the uid in its
 * cgroup's path; of the other end what its address stands for at that time; of both the name that a
 * process knew the other by.
 */
#include "agent/join.h"
#include "agent/pipeline_int.h"
#include "k8s/entities.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Order of the identity columns; both ends have the same at consecutive numbers. */
enum {
	ID_ADDR,
	ID_PORT,
	ID_PID,
	ID_COMM,
	ID_CONTAINER,
	ID_NAMESPACE,
	ID_POD,
	ID_WORKLOAD_KIND,
	ID_WORKLOAD,
	ID_SERVICE,
	ID_NODE,
	ID_NAME
};
_Static_assert(COL_CLIENT_NAME - COL_CLIENT_ADDR == ID_NAME, "client columns");
_Static_assert(COL_SERVER_NAME - COL_SERVER_ADDR == ID_NAME, "server columns");
_Static_assert(IDENTITY_SYMS == ID_NAME + 1, "identity columns");

#define NAME_TEXT_MAX (EV_COMM_LEN + 1 + UNIX_ADDR_TEXT_MAX + DNS_NAME_KEPT)

struct end {
	const struct conn *conn;
	bool remote;	  /* the end of that connection which is not its owner's */
	uint16_t port;	  /* 0: a UNIX socket's */
	uint32_t tgid;	  /* 0: not on this node, or unknown */
	uint64_t cgroup;  /* of that process; 0: unknown */
	const char *comm; /* "" unknown; not longer than EV_COMM_LEN, perhaps without NUL */
	bool here;	  /* on this node */
	struct slice dns; /* name that the other end knows it by, not on this node */
	bool dns_shared;  /* not asked for by that process itself */
	bool server;	  /* it was called */
	const struct proc_identity *proc; /* NULL: unknown */
	const struct k8s_identity *pod;	  /* of that process, or NULL */
	struct k8s_answer *at;		  /* what its address stands for */
};

bool join_owner_is_server(const struct conn *c)
{
	return c->role_known ? c->request_dir == DIR_RX : c->initiator == EV_INITIATOR_REMOTE;
}

/* An end on this node. */
static struct end end_here(const struct conn *c, bool remote, uint32_t tgid, uint64_t cgroup,
			   const char *comm)
{
	return (struct end){ .conn = c,
			     .remote = remote,
			     .port = remote ? c->remote_port : c->local_port,
			     .tgid = tgid,
			     .cgroup = cgroup,
			     .comm = comm,
			     .here = true };
}

static struct end own_end(const struct conn *c)
{
	return end_here(c, false, c->tgid, c->cgroup, c->comm);
}

/* Of a connection that the owner opened, the name it had for where it went. */
static struct end far_end(struct pipeline *p, const struct conn *c)
{
	struct end e = { .conn = c,
			 .remote = true,
			 .port = c->remote_port,
			 .comm = "",
			 .here = c->names != NULL };
	struct dns_asker who = { c->netns, c->tgid };

	if (!c->names && c->initiator == EV_INITIATOR_LOCAL && c->opened_ns)
		e.dns = dns_names_find(&p->names, &who, c->remote, c->opened_ns, &e.dns_shared);
	return e;
}

static struct end other_end(struct pipeline *p, const struct conn *c)
{
	if (c->peer)
		return end_here(c, true, c->peer->tgid, c->peer->cgroup, c->peer->comm);
	if (c->peer_tgid)
		return end_here(c, true, c->peer_tgid, c->peer_cgroup, c->peer_comm);
	return far_end(p, c);
}

static struct slice end_addr(const struct end *e, char *out)
{
	return slice_of(out, conn_addr(e->conn, e->remote, out));
}

uint64_t conn_server_number(const struct conn *c)
{
	static const struct hash_key key;
	bool remote = !join_owner_is_server(c);
	const char *name;

	if (!c->names)
		return remote ? c->remote_port : c->local_port;
	name = remote ? c->names->remote : c->names->local;
	return hash_bytes(&key, slice_str(name)) | 1 << 16; /* no port */
}

static struct slice comm_of(const char *comm)
{
	return slice_of(comm, strnlen(comm, EV_COMM_LEN));
}

/* ---- Kubernetes ---- */

/* What the end's address stands for. The answer holds for times of its own, which bound those of the
 * connection's names. */
static void ask_address(struct pipeline *p, struct conn *c, struct end *e, uint64_t at_unix_ns)
{
	const struct k8s_question q = {
		.addr = e->remote ? c->remote : c->local,
		.port = e->port,
		.proto = c->datagram ? IPPROTO_UDP : IPPROTO_TCP,
		.server = e->server,
		.at_ns = at_unix_ns,
	};

	e->at->kind = 0;
	if (!p->opts.entities || c->names)
		return;
	if (k8s_entities_find(p->opts.entities, &q, e->at) < 0) {
		p->join.refused = true; /* asked again with the next row */
		return;
	}
	c->names_from_ns = MAX(c->names_from_ns, e->at->from_ns);
	if (e->at->to_ns)
		c->names_to_ns = c->names_to_ns ? MIN(c->names_to_ns, e->at->to_ns) : e->at->to_ns;
}

static void keep(char *to, const char *from)
{
	snprintf(to, K8S_NAME_MAX + 1, "%s", from);
}

/* The process knows its pod; the address only which of the pod's services was called. */
static void settle_own(struct pipeline *p, struct end *e)
{
	const struct k8s_identity *pod = e->pod;
	bool same = pod && e->at->kind == K8S_ENTITY_POD && strcmp(e->at->name, pod->name) == 0 &&
		    strcmp(e->at->ns, pod->ns) == 0;

	if (!pod) {
		/* Of a process that is in no pod, or not known to be in one, an address that a node
		 * shares, or that leads on to somebody else, says nothing. */
		if (e->proc || e->at->kind != K8S_ENTITY_POD)
			e->at->kind = 0;
		return;
	}
	if (!same)
		memset(e->at, 0, sizeof(*e->at));
	if (pod->service[0])
		keep(e->at->service, pod->service);
	e->at->kind = K8S_ENTITY_POD;
	keep(e->at->ns, pod->ns);
	keep(e->at->name, pod->name);
	/* The cluster knows a Job's CronJob. */
	if (!e->at->workload[0]) {
		keep(e->at->workload_kind, pod->workload_kind);
		keep(e->at->workload, pod->workload);
	}
	keep(e->at->node, p->opts.node);
}

/* Who the end is. */
static void identify(struct pipeline *p, struct conn *c, struct end *e, uint64_t at_unix_ns)
{
	e->proc = join_find_proc(p, e->tgid, e->cgroup);
	e->pod = e->proc ? join_find_pod(p, e->proc) : NULL;
	ask_address(p, c, e, at_unix_ns);
	if (e->here)
		settle_own(p, e);
}

/* ---- texts ---- */

static struct slice container_text(const struct end *e)
{
	const char *name = e->pod && e->proc ? pods_container(e->pod, e->proc->container) : "";

	if (name[0])
		return slice_str(name);
	return e->proc ? slice_str(e->proc->container) : slice_of(NULL, 0);
}

/* The command, with what a server is reached at. out: NAME_TEXT_MAX bytes. */
static struct slice command_name(const struct end *e, struct slice comm, char *out)
{
	int n = snprintf(out, NAME_TEXT_MAX, "%.*s", (int)comm.n, (const char *)comm.p);
	char text[UNIX_ADDR_TEXT_MAX];

	/* A client's port is different every time and names nothing. */
	if (e->server && e->conn->names) {
		struct slice addr = end_addr(e, text);

		if (addr.n > 5) /* a name behind "unix:" */
			n += snprintf(out + n, NAME_TEXT_MAX - (size_t)n, ":%s", text + 5);
	} else if (e->server) {
		n += snprintf(out + n, NAME_TEXT_MAX - (size_t)n, ":%u", e->port);
	}
	return slice_of(out, (size_t)n);
}

/* The best name there is for an end. out: NAME_TEXT_MAX bytes. */
static struct slice best_name(const struct end *e, char *out)
{
	const struct proc_identity *id = e->proc;
	struct slice comm = comm_of(e->comm);
	int n;

	if (e->at->kind && e->at->service[0])
		return slice_str(e->at->service);
	if (e->at->kind == K8S_ENTITY_POD)
		return slice_str(e->at->name);
	if (e->dns.n) {
		n = snprintf(out, NAME_TEXT_MAX, "%.*s%s", (int)e->dns.n, (const char *)e->dns.p,
			     e->dns_shared ? "?" : "");
		return slice_of(out, (size_t)n);
	}
	if (e->at->kind == K8S_ENTITY_NODE) {
		n = snprintf(out, NAME_TEXT_MAX, "node/%s", e->at->node);
		return slice_of(out, (size_t)n);
	}
	if (id && id->unit[0])
		return slice_str(id->unit);
	if (id && id->container[0])
		return slice_head(slice_str(id->container), 12);
	if (!comm.n)
		return slice_str(e->here ? "unknown" : "external");
	return command_name(e, comm, out);
}

static uint32_t sym_of(struct pipeline *p, const char *text)
{
	return text[0] ? join_sym(p, slice_str(text)) : SYM_NONE;
}

static void intern_end(struct pipeline *p, const struct end *e, uint32_t *syms)
{
	char addr[UNIX_ADDR_TEXT_MAX], name[NAME_TEXT_MAX];

	for (size_t i = 0; i < IDENTITY_SYMS; i++)
		syms[i] = SYM_NONE;
	syms[ID_ADDR] = join_sym(p, end_addr(e, addr));
	syms[ID_COMM] = join_sym(p, comm_of(e->comm));
	syms[ID_CONTAINER] = join_sym(p, container_text(e));
	if (e->here)
		syms[ID_NODE] = join_sym(p, slice_str(p->opts.node));
	if (e->at->kind) {
		syms[ID_NAMESPACE] = sym_of(p, e->at->ns);
		syms[ID_POD] = sym_of(p, e->at->name);
		syms[ID_WORKLOAD_KIND] = sym_of(p, e->at->workload_kind);
		syms[ID_WORKLOAD] = sym_of(p, e->at->workload);
		syms[ID_SERVICE] = sym_of(p, e->at->service);
		if (!e->here)
			syms[ID_NODE] = sym_of(p, e->at->node);
	}
	syms[ID_NAME] = join_sym(p, best_name(e, name));
}

static void put_end(struct row_builder *b, uint16_t first_col, const struct end *e,
		    const uint32_t *syms)
{
	char addr[UNIX_ADDR_TEXT_MAX];

	if (e->port)
		row_int(b, (uint16_t)(first_col + ID_PORT), e->port);
	if (e->tgid)
		row_int(b, (uint16_t)(first_col + ID_PID), e->tgid);
	for (uint16_t i = 0; i < IDENTITY_SYMS; i++)
		if (syms[i] != SYM_NONE)
			row_sym(b, (uint16_t)(first_col + i), syms[i]);
	if (syms[ID_ADDR] == SYM_NONE) {
		struct slice text = end_addr(e, addr);

		if (text.n)
			row_text(b, first_col, text);
	}
}

static void put_conn_id(struct pipeline *p, struct conn *c, struct row_builder *b)
{
	char hex[17];

	if (!c->hash)
		return;
	if (c->conn_sym != SYM_NONE) {
		row_sym(b, COL_CONN_ID, c->conn_sym);
		return;
	}
	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)c->hash);
	/* One row on most connections of some clients: worth a number from the second row on. Of
	 * datagrams it is the exchange's. */
	if (c->n_rows > 1 && !c->datagram)
		c->conn_sym = join_sym(p, slice_str(hex));
	if (c->conn_sym != SYM_NONE)
		row_sym(b, COL_CONN_ID, c->conn_sym);
	else
		row_text(b, COL_CONN_ID, slice_str(hex));
}

static bool in_pod(const struct end *e)
{
	return e->proc && !k8s_uid_none(&e->proc->pod_uid);
}

/* Names of both ends at that time, as far as they are known now. */
static void name_ends(struct pipeline *p, struct conn *c, struct end *client, struct end *server,
		      uint64_t at_ns)
{
	uint64_t unix_ns = join_unix_ns(p, at_ns);

	p->join.refused = false;
	c->names_from_ns = c->names_to_ns = 0;
	client->at = &p->join.answers[0];
	server->at = &p->join.answers[1];
	server->server = true;
	identify(p, c, client, unix_ns);
	identify(p, c, server, unix_ns);
	intern_end(p, client, c->client_syms);
	intern_end(p, server, c->server_syms);
	/* On this node it is known better than by what the cluster says. */
	c->server_covered = !server->here && server->at->kind && server->at->covered &&
			    strcmp(server->at->node, p->opts.node) != 0;
	c->ends_in_pods = (uint8_t)(in_pod(client) + in_pod(server));
	c->ends_named = (uint8_t)((client->pod != NULL) + (server->pod != NULL));
}

/* Whether the names that it has hold for a row of that time. */
static bool names_hold(const struct conn *c, uint64_t gen, uint64_t unix_ns)
{
	return c->names_gen == gen && unix_ns >= c->names_from_ns &&
	       (!c->names_to_ns || unix_ns < c->names_to_ns);
}

void join_ends(struct pipeline *p, struct conn *c, struct row_builder *b, uint64_t at_ns)
{
	bool server_here = join_owner_is_server(c);
	struct end own = own_end(c), other = other_end(p, c);
	struct end *client = server_here ? &other : &own;
	struct end *server = server_here ? &own : &other;
	uint64_t gen = (uint64_t)p->join.gen << 1 | (c->peer || c->peer_tgid);

	if (!names_hold(c, gen, join_unix_ns(p, at_ns))) {
		name_ends(p, c, client, server, at_ns);
		if (c->names_gen >> 1 != gen >> 1)
			c->conn_sym = SYM_NONE;
		/* What had no room in the queue is interned again with the next row. */
		c->names_gen = p->join.refused ? 0 : gen;
	}
	count(p, L7_PODS_IN, c->ends_in_pods);
	count(p, L7_PODS_OUT, c->ends_named);
	count(p, L7_PODS_UNKNOWN, (uint64_t)c->ends_in_pods - c->ends_named);
	put_end(b, COL_CLIENT_ADDR, client, c->client_syms);
	put_end(b, COL_SERVER_ADDR, server, c->server_syms);
	join_literal(p, b, COL_NODE, p->opts.node);
	put_conn_id(p, c, b);
}

void join_look(struct pipeline *p)
{
	uint64_t version;

	if (!p->opts.entities)
		return;
	version = k8s_entities_count(p->opts.entities).version;
	if (version == p->join.entities)
		return;
	p->join.entities = version;
	p->join.gen++;
}
