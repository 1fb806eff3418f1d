#include "config/config.h"

#include "base/text.h"
#include "config/config_int.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

extern char **environ;

#define AT(member) ((uint16_t)offsetof(struct config, member))
#define GIB	   (1024ull * MIB)
#define DAY_NS	   (86400ull * NSEC_PER_SEC)

#define PROTOCOL(word, id)                                                                         \
	{                                                                                          \
		.name = "capture.protocols." word ".enabled", .type = CONFIG_BOOL,                 \
		.offset = AT(capture.protocols[id]), .fallback = "true",                           \
		.doc = "read " word " where it is recognised"                                      \
	}

static const struct config_key keys[] = {
	{ "dataDir", CONFIG_PATH, CONFIG_NOT_EMPTY, AT(data_dir), "/var/lib/kelpie", 0, 0, NULL,
	  "directory of everything that is stored" },
	{ "listen", CONFIG_ADDRESS, 0, AT(listen), "unix:/run/kelpie/kelpie.sock", 0, 0, NULL,
	  "address of the HTTP API: unix:PATH, or ADDR:PORT (then with a printed token)" },
	{ "node", CONFIG_TEXT, 0, AT(node), "", 0, 0, NULL,
	  "name of this node in every row; empty: in a pod $NODE_NAME, else the host's name" },
	{ "capture.hook", CONFIG_TEXT, CONFIG_NOT_EMPTY, AT(capture.hook), "auto", 0, 0,
	  "auto socklen sysexit rawtp tracepoint", "auto, or one rung of the hook ladder" },
	{ "capture.unixSockets", CONFIG_BOOL, 0, AT(capture.unix_sockets), "true", 0, 0, NULL,
	  "watch UNIX stream sockets too" },
	{ "capture.ringBytes", CONFIG_SIZE, CONFIG_POWER_OF_TWO, AT(capture.ring_bytes), "8MiB",
	  64 * KIB, 256 * MIB, NULL, "size of the data ring buffer, a power of two" },
	{ "capture.allow", CONFIG_LIST, 0, AT(capture.allow), "", 0, 0, NULL,
	  "only processes whose command name matches one of these globs; empty: all" },
	{ "capture.deny", CONFIG_LIST, 0, AT(capture.deny), "", 0, 0, NULL,
	  "never processes whose command name matches one of these globs" },
	{ "capture.budgetCores", CONFIG_CORES, 0, AT(capture.budget_millicores), "0", 0, 1024000,
	  NULL, "CPU of all agent processes in cores; 0: no budget" },
	PROTOCOL("http", CONFIG_HTTP),
	PROTOCOL("grpc", CONFIG_GRPC),
	PROTOCOL("pgsql", CONFIG_PGSQL),
	PROTOCOL("mysql", CONFIG_MYSQL),
	PROTOCOL("redis", CONFIG_REDIS),
	PROTOCOL("kafka", CONFIG_KAFKA),
	PROTOCOL("dns", CONFIG_DNS),
	PROTOCOL("mongodb", CONFIG_MONGODB),
	PROTOCOL("cassandra", CONFIG_CASSANDRA),
	PROTOCOL("amqp", CONFIG_AMQP),
	PROTOCOL("nats", CONFIG_NATS),
	PROTOCOL("memcached", CONFIG_MEMCACHED),
	{ "tls.enabled", CONFIG_BOOL, 0, AT(tls.enabled), "true", 0, 0, NULL,
	  "read inside TLS where a library is supported" },
	{ "payload.bodies", CONFIG_BOOL, 0, AT(payload.bodies), "false", 0, 0, NULL,
	  "store message bodies" },
	{ "payload.headers", CONFIG_BOOL, 0, AT(payload.headers), "true", 0, 0, NULL,
	  "store headers: values of the allow list, of the others name and length" },
	{ "payload.sqlLiterals", CONFIG_BOOL, 0, AT(payload.sql_literals), "false", 0, 0, NULL,
	  "keep the literals of SQL statements" },
	{ "payload.maxBytes", CONFIG_SIZE, 0, AT(payload.max_bytes), "4KiB", 0, 60 * KIB, NULL,
	  "stored bytes of one body" },
	{ "payload.reason", CONFIG_TEXT, 0, AT(payload.reason), "", 0, 0, NULL,
	  "why payloads are stored, for whoever reads this file later" },
	{ "redaction.headersAllow", CONFIG_LIST, CONFIG_LOWER, AT(redaction.headers_allow), "", 0,
	  0, NULL, "headers whose values are stored, beside the built-in list" },
	{ "redaction.patterns", CONFIG_LIST, 0, AT(redaction.patterns), "", 0, 0, NULL,
	  "regular expressions; what they match is masked before it is stored" },
	{ "retention.bytes", CONFIG_SIZE, 0, AT(retention.bytes), "4GiB", 16 * MIB, 1024 * GIB,
	  NULL, "bytes on disk; the oldest data goes first" },
	{ "retention.age", CONFIG_DURATION, 0, AT(retention.age_ns), "7d", 60 * NSEC_PER_SEC,
	  3650 * DAY_NS, NULL, "data older than this goes" },
	{ "retention.payloadBytes", CONFIG_SIZE, 0, AT(retention.payload_bytes), "1GiB", 0,
	  1024 * GIB, NULL, "part of retention.bytes that bodies and headers may use" },
	{ "query.timeout", CONFIG_DURATION, 0, AT(query.timeout_ns), "10s", NSEC_PER_SEC / 10,
	  3600 * NSEC_PER_SEC, NULL, "a query that takes longer is ended" },
	{ "query.memory", CONFIG_SIZE, 0, AT(query.memory_bytes), "256MiB", 16 * MIB, 64 * GIB,
	  NULL, "memory of one query" },
	{ "query.rows", CONFIG_COUNT, 0, AT(query.rows), "100000", 1, 10000000, NULL,
	  "rows of one answer" },
	{ "collector.address", CONFIG_TEXT, 0, AT(collector.address), "", 0, 0, NULL,
	  "HOST:PORT of a collector on the network that the agent answers to; empty: none" },
	{ "collector.caFile", CONFIG_PATH, 0, AT(collector.ca_file), "", 0, 0, NULL,
	  "authorities that the collector's certificate must come from; empty: the system's" },
	{ "collector.tokenFile", CONFIG_PATH, 0, AT(collector.token_file), "", 0, 0, NULL,
	  "file with the token that the agent shows; read anew for each call" },
	{ "collector.serverName", CONFIG_TEXT, 0, AT(collector.server_name), "", 0, 0, NULL,
	  "name in the collector's certificate; empty: the host of collector.address" },
	{ "kubernetes.enabled", CONFIG_WORD, 0, AT(kubernetes.enabled), "auto", 0, 0,
	  "auto true false",
	  "ask the API server for the names of this node's pods; auto: in a pod with $NODE_NAME" },
	{ "kubernetes.server", CONFIG_TEXT, 0, AT(kubernetes.server), "", 0, 0, NULL,
	  "URL of the API server; empty: the one of the cluster that the agent's pod is in" },
	{ "kubernetes.caFile", CONFIG_PATH, 0, AT(kubernetes.ca_file), "", 0, 0, NULL,
	  "authorities that its certificate must come from; empty: the pod's" },
	{ "kubernetes.tokenFile", CONFIG_PATH, 0, AT(kubernetes.token_file), "", 0, 0, NULL,
	  "file with the token to show; read anew every minute; empty: the pod's" },
	{ "log.level", CONFIG_WORD, 0, AT(log.level), "info", 0, 0, "debug info warn error",
	  "least level of a log line" },
	{ "log.format", CONFIG_WORD, 0, AT(log.format), "logfmt", 0, 0, "logfmt json",
	  "form of a log line" },
};

_Static_assert(ARRAY_SIZE(keys) <= CONFIG_KEYS_MAX, "origins hold every key");
_Static_assert(sizeof(struct config) < UINT16_MAX, "offsets fit");

static const char *const protocol_names[_CONFIG_PROTOCOL_MAX] = {
	[CONFIG_HTTP] = "http",	  [CONFIG_GRPC] = "grpc",	[CONFIG_PGSQL] = "pgsql",
	[CONFIG_MYSQL] = "mysql", [CONFIG_REDIS] = "redis",	[CONFIG_KAFKA] = "kafka",
	[CONFIG_DNS] = "dns",	  [CONFIG_MONGODB] = "mongodb", [CONFIG_CASSANDRA] = "cassandra",
	[CONFIG_AMQP] = "amqp",	  [CONFIG_NATS] = "nats",	[CONFIG_MEMCACHED] = "memcached",
};

const struct config_key *config_keys(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(keys);
	return keys;
}

const struct config_key *config_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

const char *config_protocol_name(enum config_protocol p)
{
	return protocol_names[p];
}

bool config_is_section(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strncmp(keys[i].name, name, n) == 0 && keys[i].name[n] == '.')
			return true;
	return false;
}

static size_t dots(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == '.';
	return n;
}

bool config_nearest(const char *name, char *ret)
{
	size_t best = MAX(strlen(name) / 3, (size_t)2) + 1, depth = dots(name);
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		char prefix[CONFIG_NAME_MAX] = "";
		size_t seen = 0, d;

		/* compared level by level: a mistyped section is near a section */
		for (size_t j = 0; keys[i].name[j] && j < sizeof(prefix) - 1; j++) {
			if (keys[i].name[j] == '.' && seen++ == depth)
				break;
			prefix[j] = keys[i].name[j];
		}
		d = text_distance(name, prefix);
		if (d < best) {
			best = d;
			found = true;
			memcpy(ret, prefix, sizeof(prefix));
		}
	}
	return found;
}

void config_env_name(const struct config_key *key, struct strbuf *out)
{
	strbuf_adds(out, "KELPIE_");
	for (const char *p = key->name; *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			strbuf_addch(out, '_');
		strbuf_addch(out, *p == '.' ? '_' : (char)toupper((unsigned char)*p));
	}
}

static const char *env_get(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; env && *env; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

static int set_defaults(struct config *c, struct config_diag *reterr)
{
	char why[CONFIG_WHY_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (config_value_set_flat(c, &keys[i], slice_str(keys[i].fallback), why) < 0) {
			snprintf(reterr->message, sizeof(reterr->message), "default of %s: %s",
				 keys[i].name, why);
			return -EINVAL;
		}
	return 0;
}

static int set_from_env(struct config *c, char *const *env, struct config_diag *reterr)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		_cleanup_(strbuf_done) struct strbuf name = STRBUF_INIT(256);
		char why[CONFIG_WHY_MAX];
		const char *value;

		config_env_name(&keys[i], &name);
		value = env_get(env, strbuf_str(&name));
		if (!value)
			continue;
		if (config_value_set_flat(c, &keys[i], slice_str(value), why) < 0) {
			snprintf(reterr->message, sizeof(reterr->message), "environment: %s: %s",
				 strbuf_str(&name), why);
			return -EINVAL;
		}
		c->origins[i] = (struct config_origin){ .from = CONFIG_FROM_ENV };
	}
	return 0;
}

static int set_from_flags(struct config *c, const struct config_opts *opts,
			  struct config_diag *reterr)
{
	for (size_t i = 0; i < opts->n_flags; i++) {
		const struct config_key *key = config_key(opts->flags[i].key);
		char why[CONFIG_WHY_MAX] = "no such key";

		if (!key ||
		    config_value_set_flat(c, key, slice_str(opts->flags[i].value), why) < 0) {
			snprintf(reterr->message, sizeof(reterr->message), "flag for %s: %s",
				 opts->flags[i].key, why);
			reterr->flag = true;
			return -EINVAL;
		}
		c->origins[key - keys] = (struct config_origin){ .from = CONFIG_FROM_FLAG };
	}
	return 0;
}

static int set_from_file(struct config *c, const struct config_opts *opts, char *const *env,
			 struct config_diag *reterr)
{
	const char *path = opts->file ? opts->file : env_get(env, "KELPIE_CONFIG");

	if (!path || !*path) {
		if (access(CONFIG_FILE, F_OK) < 0)
			return 0;
		path = CONFIG_FILE;
	}
	if (strlen(path) >= sizeof(c->file)) {
		snprintf(reterr->message, sizeof(reterr->message),
			 "the configuration file's path is "
			 "longer than %zu bytes",
			 sizeof(c->file) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(c->file, path, strlen(path) + 1);
	return config_yaml_read(c, path, reterr);
}

/* What no single value can be blamed for. */
static int check_together(const struct config *c, struct config_diag *reterr)
{
	if (c->retention.payload_bytes > c->retention.bytes) {
		snprintf(reterr->message, sizeof(reterr->message),
			 "retention.payloadBytes is larger than retention.bytes, of which it is a "
			 "part");
		return -EINVAL;
	}
	return 0;
}

/* The host name of a pod is the pod's. */
static void name_node(struct config *c, char *const *env)
{
	const char *node = env_get(env, "KUBERNETES_SERVICE_HOST") ? env_get(env, "NODE_NAME")
								   : NULL;

	if (c->node[0])
		return;
	if (node && *node && strlen(node) < sizeof(c->node))
		memcpy(c->node, node, strlen(node) + 1);
	else if (gethostname(c->node, sizeof(c->node) - 1) < 0)
		memcpy(c->node, "localhost", sizeof("localhost"));
}

int config_load(const struct config_opts *opts, struct config *ret, struct config_diag *reterr)
{
	_cleanup_(freep) struct config *c = calloc(1, sizeof(*c));
	char *const *env = opts->env ? opts->env : environ;
	int r;

	*reterr = (struct config_diag){ 0 };
	if (!c) {
		snprintf(reterr->message, sizeof(reterr->message), "out of memory");
		return -ENOMEM;
	}
	r = set_defaults(c, reterr);
	if (!r)
		r = set_from_file(c, opts, env, reterr);
	if (!r)
		r = set_from_env(c, env, reterr);
	if (!r)
		r = set_from_flags(c, opts, reterr);
	if (!r)
		r = check_together(c, reterr);
	if (r)
		return r;
	name_node(c, env);
	*ret = *c;
	return 0;
}

void config_format_origin(const struct config *c, const struct config_key *key, struct strbuf *out)
{
	const struct config_origin *o = &c->origins[key - keys];

	switch ((enum config_from)o->from) {
	case CONFIG_FROM_DEFAULT:
		strbuf_adds(out, "default");
		break;
	case CONFIG_FROM_FILE:
		strbuf_addf(out, "%s:%u", c->file, o->line);
		break;
	case CONFIG_FROM_ENV:
		config_env_name(key, out);
		break;
	case CONFIG_FROM_FLAG:
		strbuf_adds(out, "flag");
		break;
	}
}
