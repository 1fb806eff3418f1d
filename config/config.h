/* The configuration of every program: one table of keys (config_keys()), read from a YAML file, the
 * environment and flags. A flag wins over KELPIE_... in the environment, that over the file, that
 * over the default; the origin of each value is kept. A file with one wrong key is refused as a
 * whole, so that a reload can keep the old values.
 *
 * struct config is plain data without pointers: copy it, compare it, keep it on the heap (about 40
 * KiB).
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/strbuf.h"

#define CONFIG_FILE	  "/etc/kelpie/kelpie.yaml" /* read when no file is named and it is there */
#define CONFIG_FILE_MAX	  (1u * MIB)		    /* bytes of a configuration file */
#define CONFIG_TEXT_MAX	  192			    /* bytes of one text value with its NUL */
#define CONFIG_PATH_MAX	  256			    /* bytes of a path with its NUL */
#define CONFIG_LIST_MAX	  48			    /* entries of one list */
#define CONFIG_SOCKET_MAX 108			    /* sizeof(sun_path) */
#define CONFIG_KEYS_MAX	  64

struct config_list {
	size_t n;
	char items[CONFIG_LIST_MAX][CONFIG_TEXT_MAX];
};

enum config_protocol {
	CONFIG_HTTP,
	CONFIG_GRPC,
	CONFIG_PGSQL,
	CONFIG_MYSQL,
	CONFIG_REDIS,
	CONFIG_KAFKA,
	CONFIG_DNS,
	CONFIG_MONGODB,
	CONFIG_CASSANDRA,
	CONFIG_AMQP,
	CONFIG_NATS,
	CONFIG_MEMCACHED,
	_CONFIG_PROTOCOL_MAX,
};

enum config_auto { CONFIG_AUTO, CONFIG_ON, CONFIG_OFF };
enum config_log_format { CONFIG_LOG_LOGFMT, CONFIG_LOG_JSON };
enum config_from { CONFIG_FROM_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_ENV, CONFIG_FROM_FLAG };

struct config_origin {
	uint8_t from;  /* enum config_from */
	uint32_t line; /* in the file; 0 otherwise */
};

struct config {
	char data_dir[CONFIG_PATH_MAX];
	char listen[CONFIG_PATH_MAX]; /* "unix:/path" or "ADDR:PORT", "[ADDR6]:PORT" */
	char node[CONFIG_TEXT_MAX];   /* "" in the file and defaults: filled in: in a pod
				     * $NODE_NAME, else the host's name */

	struct {
		char hook[CONFIG_TEXT_MAX]; /* "auto", or the name of a rung of the agent's ladder
					     */
		bool unix_sockets;
		uint64_t ring_bytes; /* power of two */
		struct config_list allow,
			deny;		    /* globs of command names; an empty allow list: all */
		uint64_t budget_millicores; /* CPU of all agent processes; 0: no budget */
		bool protocols[_CONFIG_PROTOCOL_MAX];
	} capture;
	struct {
		bool enabled;
	} tls;
	struct {
		bool bodies, headers, sql_literals;
		uint64_t max_bytes; /* of one body */
		char reason[CONFIG_TEXT_MAX];
	} payload;
	struct {
		struct config_list headers_allow; /* added to the built-in list, lower case */
		struct config_list patterns;	  /* regular expressions whose matches are masked */
	} redaction;
	struct {
		uint64_t bytes;
		uint64_t age_ns;
		uint64_t payload_bytes; /* part of bytes */
	} retention;
	struct {
		uint64_t timeout_ns;
		uint64_t memory_bytes;
		uint64_t rows;
	} query;
	struct {
		char address[CONFIG_TEXT_MAX]; /* "HOST:PORT"; "": none */
		char ca_file[CONFIG_PATH_MAX], token_file[CONFIG_PATH_MAX];
		char server_name[CONFIG_TEXT_MAX]; /* "": the host of address */
	} collector;
	struct {
		uint8_t enabled;	      /* enum config_auto */
		char server[CONFIG_TEXT_MAX]; /* "": the cluster's that this pod is in */
		char ca_file[CONFIG_PATH_MAX], token_file[CONFIG_PATH_MAX]; /* "": the pod's */
	} kubernetes;
	struct {
		uint8_t level;	/* enum log_level of base/log.h */
		uint8_t format; /* enum config_log_format, the same order as enum log_format */
	} log;

	char file[CONFIG_PATH_MAX];		       /* the file that was read, "" when none */
	struct config_origin origins[CONFIG_KEYS_MAX]; /* by position in config_keys() */
};

enum config_type {
	CONFIG_TEXT,
	CONFIG_PATH,
	CONFIG_ADDRESS,
	CONFIG_WORD, /* one of `words`, stored as its position in a uint8_t */
	CONFIG_BOOL,
	CONFIG_SIZE,
	CONFIG_DURATION,
	CONFIG_COUNT,
	CONFIG_CORES, /* decimal, stored in thousandths */
	CONFIG_LIST,
	_CONFIG_TYPE_MAX,
};

enum config_key_flag {
	CONFIG_POWER_OF_TWO = 1 << 0,
	CONFIG_LOWER = 1 << 1, /* stored in lower case */
	CONFIG_NOT_EMPTY = 1 << 2,
};

struct config_key {
	const char *name;     /* "capture.ringBytes" */
	uint8_t type;	      /* enum config_type */
	uint8_t flags;	      /* enum config_key_flag */
	uint16_t offset;      /* in struct config */
	const char *fallback; /* the default, as text */
	uint64_t min, max;    /* of numbers, in the stored unit */
	const char *words;    /* CONFIG_WORD: "debug info warn error"; TEXT: or NULL, any text */
	const char *doc;      /* one line */
};

/* The table, constant for the life of the program; *ret_n entries (<= CONFIG_KEYS_MAX). */
const struct config_key *config_keys(size_t *ret_n);
/* NULL when unknown. */
const struct config_key *config_key(const char *name);
/* Name of a protocol as in "capture.protocols.NAME.enabled". */
const char *config_protocol_name(enum config_protocol p);

struct config_diag {
	char message[512]; /* one sentence for people: "FILE:LINE: KEY: what is wrong and what is
			      right" */
	uint32_t line;	   /* in the file; 0 when it is not about the file */
	bool flag;	   /* it is about a flag */
};

struct config_flag {
	const char *key; /* a name of the table */
	const char *value;
};

struct config_opts {
	const char *file; /* --config; NULL: $KELPIE_CONFIG, else CONFIG_FILE if it is there */
	char *const *env; /* NULL-terminated; NULL: this process's environment */
	const struct config_flag *flags;
	size_t n_flags;
};

/* Fills *ret on success and leaves it untouched otherwise. 0; -EINVAL: a wrong value or key;
 * -ENOENT, -EACCES, ...: the file cannot be read; -E2BIG: it is too large. reterr: set on failure.
 */
int config_load(const struct config_opts *opts, struct config *ret, struct config_diag *reterr);

/* Appends a value as one would write it in the file ("64KiB", "[a, b]"). */
void config_format(const struct config *c, const struct config_key *key, struct strbuf *out);
/* Appends where it came from: "default", "/etc/kelpie/kelpie.yaml:7", "KELPIE_DATA_DIR", "flag". */
void config_format_origin(const struct config *c, const struct config_key *key, struct strbuf *out);
/* Appends the name of the key's environment variable: "KELPIE_CAPTURE_RING_BYTES". */
void config_env_name(const struct config_key *key, struct strbuf *out);

#endif
