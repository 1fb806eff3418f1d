/* What kubectl says when it fails, told apart by the words that its versions have in common. */
#include "cli/kube.h"

#include "base/text.h"
#include "cli/lines.h"

#define OURS	 "kelpie: "	/* before what the collector itself answers */
#define POSITION " (at byte "	/* behind it: the place in the statement */
#define TOLD_MAX ((size_t)1200) /* bytes of kubectl's line that are shown */

static bool has(struct slice text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

/* The last line is the reason; those before are warnings and retries. */
static struct slice last_line(struct slice said)
{
	struct slice line = { 0 };

	for (struct slice rest = said; rest.n;) {
		struct slice next = slice_trim(line_next(&rest));

		if (next.n)
			line = next;
	}
	return slice_starts(line, SLICE_LIT("error: ")) ? slice_from(line, 7) : line;
}

static const struct {
	const char *word, * or ; /* one of them is in the line; or may be NULL */
	int code;
	const char *what; /* before kubectl's line */
	const char *fix;
	bool place; /* the collector's namespace stands behind fix */
} reasons[] = {
	{ "localhost:8080", NULL, EXIT_UNREACHABLE, "kubectl knows no cluster: ",
	  "set $KUBECONFIG or --kubeconfig; `kelpie run` needs no cluster", false },
	{ "orbidden", "cannot get resource", EXIT_NOT_ALLOWED, "the cluster does not allow it: ",
	  "ask for the ClusterRole kelpie-viewer (docs/kubernetes.md); who may not list services "
	  "names --kelpie-namespace",
	  false },
	{ "nauthorized", "must be logged in", EXIT_NOT_ALLOWED,
	  "the cluster does not know you: ", "log in again, or choose another --context", false },
	{ "no endpoints available", "error trying to reach service", EXIT_UNREACHABLE,
	  "Kelpie's collector is not ready: ", "look at: kubectl get pods -n ", true },
	{ "(ServiceUnavailable)", "(BadGateway)", EXIT_UNREACHABLE,
	  "Kelpie's collector does not answer: ", "look at: kubectl get pods -n ", true },
	{ "(NotFound)", NULL, EXIT_UNREACHABLE,
	  "Kelpie's collector is not there: ", "look at: kubectl get services -n ", true },
	{ "onnection refused", "connection to the server", EXIT_UNREACHABLE,
	  "cannot reach the cluster: ", "`kubectl cluster-info` asks the same", false },
	{ "Unable to connect", "no such host", EXIT_UNREACHABLE,
	  "cannot reach the cluster: ", "`kubectl cluster-info` asks the same", false },
	{ "timeout", "deadline exceeded", EXIT_UNREACHABLE,
	  "no answer in time: ", "--request-timeout says how long to wait", false },
	{ "context", NULL, EXIT_UNREACHABLE, "",
	  "`kubectl config get-contexts` lists what there is", false },
	{ "", NULL, EXIT_UNREACHABLE, "kubectl failed: ", "`kubectl cluster-info` asks the same",
	  false },
};

/* "Error from server (BadRequest): kelpie: no column x; did you mean y? (at byte 7)" */
static int own_answer(struct slice line, struct trouble *t)
{
	const uint8_t *at = memmem(line.p, line.n, OURS, strlen(OURS));
	struct slice text = slice_from(line, (size_t)(at - line.p) + strlen(OURS));
	const uint8_t *where = memmem(text.p, text.n, POSITION, strlen(POSITION));
	uint64_t position;
	int code = EXIT_ERROR, r;

	if (has(line, "(Forbidden)") || has(line, "(Unauthorized)"))
		code = EXIT_NOT_ALLOWED;
	else if (has(line, "(ServiceUnavailable)"))
		code = EXIT_UNREACHABLE;
	if (where) {
		struct slice number = slice_from(text, (size_t)(where - text.p) + strlen(POSITION));

		text.n = (size_t)(where - text.p);
		number = slice_head(number, slice_find(number, ')'));
		if (parse_u64(number, &position) < 0)
			where = NULL;
	}
	r = trouble_set(t, code, "%.*s", (int)MIN(text.n, TOLD_MAX), (const char *)text.p);
	if (where)
		t->position = (int64_t)position;
	return r;
}

int kube_trouble(struct slice said, const char *where, struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(4 * KIB);
	struct slice line = last_line(said);
	size_t i = 0;

	if (has(line, "): " OURS) || has(line, "server: " OURS))
		return own_answer(line, t);
	while (!has(line, reasons[i].word) && !(reasons[i].or &&has(line, reasons[i].or)))
		i++;
	strbuf_addf(&text, "%s%.*s; %s%s", reasons[i].what, (int)MIN(line.n, TOLD_MAX),
		    (const char *)line.p, reasons[i].fix,
		    !reasons[i].place ? ""
		    : where	      ? where
				      : "kelpie");
	return trouble_set(t, reasons[i].code, "%s", strbuf_str(&text));
}
