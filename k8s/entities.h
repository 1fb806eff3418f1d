/* What an address of the cluster stood for at a time: intervals per address, not a map. An address is
 * used again, a finished pod keeps its own in the API for hours, and a pod in its node's network has
 * none (Kubernetes API v1: PodStatus, Service, Node; discovery.k8s.io/v1: EndpointSlice).
 *
 * The table is one flat image without pointers, so that it may be memory that another process maps for
 * reading: one writer, any number of readers, which check each number they meet and copy what they
 * take. A reader never waits: while the writer is at work it is told so and asks again later.
 *
 * A name is given only where nothing that is known speaks against it: two that claim the same address
 * at the same time have no name.
 */
#ifndef K8S_ENTITIES_H
#define K8S_ENTITIES_H

#include "base/hash.h"
#include "base/slice.h"
#include "base/util.h"

#include <stdatomic.h>

#define K8S_ENTITIES_MAX   65536	   /* intervals, open and closed */
#define K8S_ENTITIES_HEADS 65536	   /* chains, power of two */
#define K8S_ENTITIES_TEXT  (2560u * 1024u) /* bytes of all names */
/* Open intervals of ports (external, node port, endpoint): whoever may make services and slices in one
 * namespace may make as many as he likes, and takes no room from pods, services and nodes; of texts neither
 * more than this share. */
#define K8S_ENTITIES_PORTS (K8S_ENTITIES_MAX / 4 * 3)
#define K8S_ENTITIES_CHAIN 64  /* intervals of one chain */
#define K8S_NAME_MAX	   253 /* bytes of a name: RFC 1123 subdomain */
/* Clocks of nodes differ: so long after its holder ended an address is nobody's. */
#define K8S_REUSE_GUARD_NS (2 * NSEC_PER_SEC)

enum k8s_entity_kind {
	/* Of an address, port 0. */
	K8S_ENTITY_POD = 1, /* in the pod network */
	K8S_ENTITY_SERVICE, /* a cluster IP; service is its name */
	K8S_ENTITY_NODE,    /* any of a node's; node is its name */
	/* Of a port there; service is the name. */
	K8S_ENTITY_EXTERNAL, /* an external or a load balancer's address */
	K8S_ENTITY_NODEPORT, /* of every node: the address is all zeros */
	K8S_ENTITY_ENDPOINT, /* of a pod, a node or elsewhere; name is the pod's, or empty */
	_K8S_ENTITY_KIND_MAX,
};

/* Who told of it: each source replaces its own and no other's. */
enum k8s_entity_source { K8S_FROM_NODE, K8S_FROM_CLUSTER, _K8S_FROM_MAX };

/* As the writer is told. Texts are copied; empty: unknown. */
struct k8s_entity {
	uint8_t addr[16];      /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;	       /* host order; 0: all */
	uint8_t proto;	       /* IPPROTO_TCP, IPPROTO_UDP; 0: all */
	uint8_t kind;	       /* enum k8s_entity_kind */
	struct slice uid;      /* of the object; tells two of one name apart */
	struct slice ns, name; /* of a pod */
	struct slice workload_kind, workload;
	/* Of a pod: what its annotation calls it (from its node), the only one it is in (from the
	 * cluster). */
	struct slice service;
	struct slice node;	 /* that a pod is on */
	uint64_t from_ns, to_ns; /* unix time; from 0: since it is known here; to 0: it goes on */
	bool covered; /* an agent observes what is called here, at this end; the cluster says so */
};

struct k8s_entities; /* the image */

/* The writer's side of an image. */
struct k8s_entities_writer {
	struct k8s_entities *image;
	uint32_t *interned;	      /* where texts are + 1, by their hash */
	uint32_t text_live;	      /* bytes that were in use when texts were last packed */
	uint32_t hand;		      /* closed intervals are looked for from here on */
	uint8_t round[_K8S_FROM_MAX]; /* grows with each replacement */
	uint32_t depth;		      /* of nested writes */
};

/* Bytes of an image: at most 8 MiB. */
size_t k8s_entities_bytes(void);
/* Makes memory (k8s_entities_bytes(), zeroed, or an image whose writer is no more) an empty image. 0 or
 * -ENOMEM. */
int k8s_entities_open(struct k8s_entities_writer *w, void *memory);
void k8s_entities_close(struct k8s_entities_writer *w);

/* Readers look away between the two: many changes are one. They nest. */
void k8s_entities_begin(struct k8s_entities_writer *w);
void k8s_entities_end(struct k8s_entities_writer *w);

/* Opens, renews or (to_ns set) closes the interval of that object at that address. 0; -EINVAL: no such
 * kind, a text that is no name; -ENOSPC: no room, counted in `refused`. now_ns: unix time. */
int k8s_entities_put(struct k8s_entities_writer *w, enum k8s_entity_source from,
		     const struct k8s_entity *e, uint64_t now_ns);
/* Closes the open intervals of an object at all addresses but these: it moved, or with none of them it is
 * gone. Looks at every interval. */
void k8s_entities_leave(struct k8s_entities_writer *w, struct slice uid, const uint8_t (*addrs)[16],
			size_t n_addrs, uint64_t to_ns);
/* Between the two all that the source knows is put; what was not has ended by now_ns. */
void k8s_entities_replace_begin(struct k8s_entities_writer *w, enum k8s_entity_source from);
void k8s_entities_replace_end(struct k8s_entities_writer *w, enum k8s_entity_source from,
			      uint64_t now_ns);

struct k8s_entities_counts {
	uint64_t version; /* grows with each change */
	uint32_t open, closed;
	uint64_t refused;
};
/* Any reader; the numbers may be of different moments. */
struct k8s_entities_counts k8s_entities_count(const struct k8s_entities *image);

struct k8s_question {
	const uint8_t *addr; /* 16 bytes */
	uint16_t port;	     /* of that end */
	uint8_t proto;	     /* IPPROTO_TCP or IPPROTO_UDP */
	bool server;	     /* it was called there: the port says something */
	uint64_t at_ns;	     /* unix time */
};

/* A copy: nothing in it points into the image. Texts are "" where unknown. */
struct k8s_answer {
	uint8_t kind; /* K8S_ENTITY_POD, _SERVICE (whatever leads to one) or _NODE; 0: none */
	char ns[K8S_NAME_MAX + 1], name[K8S_NAME_MAX + 1];
	char workload_kind[K8S_NAME_MAX + 1], workload[K8S_NAME_MAX + 1];
	char service[K8S_NAME_MAX + 1], node[K8S_NAME_MAX + 1];
	bool covered;		 /* as of struct k8s_entity */
	uint64_t from_ns, to_ns; /* it holds for these times; to 0: and on */
};

/* 0: the answer is as good as what is known, kind 0 included; -EAGAIN: the writer is at work. image:
 * k8s_entities_bytes(), of which nothing is believed. */
int k8s_entities_find(const struct k8s_entities *image, const struct k8s_question *q,
		      struct k8s_answer *ret);

/* Address from text: IPv4, IPv6, mapped, with or without a zone. False: none. */
bool k8s_addr_parse(struct slice text, uint8_t ret[16]);
/* Whether the text can be a name of Kubernetes': 1 to 253 letters, digits, '-', '.', '_', ':'. */
bool k8s_name_ok(struct slice text);

#endif
