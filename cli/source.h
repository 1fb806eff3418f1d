/* Who answers: the collector's API, or the files of a data directory read in this process. */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/question.h"
#include "cli/trouble.h"

#define SOURCE_LOCK    "run.lock"    /* in the data directory: locked while `kelpie run` uses it */
#define SOURCE_ADDRESS "api.address" /* beside it: where that instance listens */

struct source;

/* Whether a cluster is asked: as kubectl kelpie, or with one of kubectl's flags, or as kelpie where
 * nothing else is there to be asked. */
bool source_is_cluster(const struct options *o);
/* A command of a kubectl plug-in is about one namespace, the context's, unless it says another: as one
 * more filter. 0 or -EIO with *t set. */
int source_scope(struct options *o, struct trouble *t);
/* --server, --data-dir (the socket of a live instance on it, else its files), $KELPIE_SERVER, the
 * local socket, kubectl's context. 0 or -EIO with *t set. */
int source_open(const struct options *o, struct source **ret, struct trouble *t);
void source_free(struct source *s);
DEFINE_CLEANUP(struct source, source_free)
/* For footers: "unix:/run/kelpie/kelpie.sock", "/var/lib/kelpie", "context prod, ...". Borrowed. */
const char *source_name(const struct source *s);
/* NULL when it is a directory that is read in this process. */
struct client *source_client(const struct source *s);

/* One statement. 0; -EINTR; -EIO with *t set; else what the sink returned. */
int source_ask(struct source *s, const struct question *q, const struct answer_sink *sink,
	       struct trouble *t);
/* A stream of typed lines (schema, row, coverage, error), as GET of a path. Returns as
 * source_ask(). */
int source_stream(struct source *s, const char *path, const struct answer_sink *sink,
		  struct trouble *t);

/* Bare files; local.c. */
struct local;
int local_open(const char *data_dir, struct local **ret, struct trouble *t);
void local_free(struct local *l);
int local_ask(struct local *l, const struct question *q, const struct answer_sink *sink,
	      struct trouble *t);

#endif
