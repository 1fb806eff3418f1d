/* One resource listed and watched, as a machine without clock, socket or thread: it says what to ask the
 * API server, is told what came back, and tells the objects. Who drives it (k8s/watch.c) waits and
 * carries the bytes:
 *
 *	reflector_next() -> wait wait_ns, then send the request -> reflector_head() -> reflector_body() … ->
 *	reflector_end() -> reflector_next() …
 *
 *	       ┌────────── STREAM ──────────┐	first choice: a watch that begins with all objects
 *	 start ┤  refused, ended early ↓    ├─▶ WATCH ◀─┐ ended: again from the last version
 *	       └────────── LIST, pages ─────┘	  │  └───┘
 *		    ▲ 410, "too large", a minute of 500s │
 *		    └────────────────────────────────────┘
 *
 * Rules: the Kubernetes API's "Efficient detection of changes" and KEP-3157 (watch-list). Versions are
 * opaque texts; as numbers they are compared only to drop what was told before.
 */
#ifndef K8S_REFLECTOR_H
#define K8S_REFLECTOR_H

#include "k8s/frame.h"
#include "k8s/known.h"
#include "k8s/listing.h"
#include "k8s/objects.h"

#define REFLECTOR_VERSION_MAX  64	  /* bytes of a resourceVersion with NUL */
#define REFLECTOR_CONTINUE_MAX (4 * KIB)  /* bytes of a continue token */
#define REFLECTOR_URL_MAX      (16 * KIB) /* bytes of path and query */
#define REFLECTOR_STATUS_MAX   (64 * KIB) /* bytes of an error's body */
#define REFLECTOR_TEXT_MAX     400	  /* bytes of a condition with NUL */
#define REFLECTOR_PAGE	       500	  /* objects of a page, where the server pages */

#define REFLECTOR_WAIT_MIN_NS (800 * NSEC_PER_MSEC) /* back-off: doubles up to … */
#define REFLECTOR_WAIT_MAX_NS (30 * NSEC_PER_SEC) /* … and is stretched by up to as much again */
/* The same while the server cannot be reached: names are to be right soon after it is back. */
#define REFLECTOR_AWAY_MAX_NS (4 * NSEC_PER_SEC)
#define REFLECTOR_HEALTHY_NS  (120 * NSEC_PER_SEC) /* a watch that held so long resets it */
#define REFLECTOR_SHORT_NS    NSEC_PER_SEC /* a watch that ends so soon with nothing failed */
#define REFLECTOR_TROUBLE_NS                                                                       \
	(60 * NSEC_PER_SEC) /* of failures of the server until it is listed anew */

enum reflector_end {
	REFLECTOR_EOF,	  /* the answer ended as HTTP says */
	REFLECTOR_BROKEN, /* it ended otherwise: reset, silence, what reflector_body() refused */
};

enum reflector_phase { REFLECTOR_STREAM, REFLECTOR_LIST, REFLECTOR_WATCH };

struct reflector_ops {
	/* o is valid inside the call. */
	void (*put)(void *ctx, const struct k8s_object *o);
	void (*gone)(void *ctx, const struct k8s_object *o);
	void (*synced)(void *ctx);
	void (*condition)(void *ctx, const char *text); /* NULL: it is well again */
};

struct reflector_opts {
	enum k8s_kind kind;
	const char *field_selector; /* "" or NULL: all; borrowed */
	const struct reflector_ops *ops;
	void *ctx;
};

struct reflector_counts {
	uint64_t requests, lists, bytes, events, puts, gones, stale, synced, failed, bad, nameless;
};

struct reflector_request {
	uint64_t wait_ns;   /* before it is sent */
	const char *url;    /* path and query, until the next call */
	const char *accept; /* of the header */
	bool watch;	    /* an answer that may take minutes to say the next thing */
	bool fresh_token;   /* the token is to be read again before */
};

struct reflector {
	struct reflector_opts opts;
	struct known known;
	struct reflector_counts counts;
	struct strbuf url, cont, body; /* body: of an error */
	char version[REFLECTOR_VERSION_MAX], list_version[REFLECTOR_VERSION_MAX];
	enum reflector_phase phase;
	bool seen;		       /* `version` is one that was complete */
	bool newest;		       /* the version is of no use: ask for the newest */
	bool no_stream;		       /* this server has no such watch */
	bool no_stream_now;	       /* not until the next complete set */
	bool token_again, fresh_token; /* a token that was just read was shown; read it again */
	uint32_t failures;	       /* in a row, for the back-off */
	bool slow;		       /* the longest wait: only somebody's hand will mend it */
	bool away;		       /* nothing answered */
	uint64_t wait_min_ns, trouble_ns;
	bool back_off;
	int condition; /* code of what was told, 0: it is well */
	uint32_t round;
	/* the request under way */
	int status;
	uint64_t retry_after_ns, told; /* told: events that moved the version */
	enum frame_format format;
	struct frames frames;
	struct listing listing;
	bool listed;		  /* the metadata of the page was there */
	bool unreadable, refused; /* what ended it; refused: it was dealt with */
	bool exact;		  /* ADDED comes in the order of versions */
	struct k8s_object object;
};

/* 0 or -ENOMEM. opts is copied. */
int reflector_new(const struct reflector_opts *opts, struct reflector **ret);
void reflector_free(struct reflector *r);
DEFINE_CLEANUP(struct reflector, reflector_free)

/* random: any number; spreads waits and the length of watches. */
void reflector_next(struct reflector *r, uint32_t random, struct reflector_request *ret);
/* status: of HTTP. content_type: the header, "" when absent. retry_after_s: the header, 0 when absent. */
void reflector_head(struct reflector *r, int status, struct slice content_type,
		    uint64_t retry_after_s);
/* 0; -EBADMSG: the connection is to be given up, then reflector_end(REFLECTOR_BROKEN). */
int reflector_body(struct reflector *r, struct slice bytes);
/* why: for people, of BROKEN. lasted_ns: since the request was sent. */
void reflector_end(struct reflector *r, enum reflector_end how, const char *why,
		   uint64_t lasted_ns);

#endif
