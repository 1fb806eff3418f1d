/* Record types: the single source of columns for storage, SQL catalogue, API and command line, with
 * the OpenTelemetry name of each. What of a text is masked is decided where the row is made (hop 6).
 *
 * A column is known by its number, everywhere and for ever; names may be added to, numbers are
 * never used again. The tables of exchanges share the common columns (1..99) and add their own
 * (100..).
 */
#ifndef PROTOCOLS_SCHEMA_H
#define PROTOCOLS_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum col_type { COL_INT, COL_TEXT };

/* How a cell is shown and documented; the stored value is always a plain integer or text. */
enum col_unit {
	UNIT_NONE,
	UNIT_TIME_NS, /* unix nanoseconds */
	UNIT_DURATION_NS,
	UNIT_BYTES,
	UNIT_COUNT,
	UNIT_BOOL,
	UNIT_PORT,
	UNIT_PID,
	UNIT_JSON, /* text that is a JSON object */
	UNIT_US,
};

enum col_flag {
	COL_F_SYM = 1 << 0, /* few distinct values: interned by the agent, dictionary in segments */
	COL_F_PAYLOAD = 1 << 1,	 /* own files, own retention, not in SELECT * */
	COL_F_COMPUTED = 1 << 2, /* not stored: made by the query layer from other columns */
	COL_F_HIDDEN = 1 << 3,	 /* stored, but no SQL column */
	COL_F_NAME = 1 << 4,	 /* never empty: filled from a chain of fallbacks */
	COL_F_SORTED = 1 << 5,	 /* nearly ascending in arrival order: delta coded */
};

struct column {
	uint16_t id;
	uint16_t flags;	    /* enum col_flag */
	uint8_t type;	    /* enum col_type */
	uint8_t unit;	    /* enum col_unit */
	uint16_t cap_bytes; /* longest text that is stored; longer is cut and marks the row
			       truncated */
	const char *name;
	const char *otel; /* OpenTelemetry attribute, or NULL */
	const char *doc;  /* one line */
};

/* Common columns. */
enum col_id {
	COL_ID = 1,
	COL_EXCHANGE_ID = 2,
	COL_TIME = 3,
	COL_END_TIME = 4,
	COL_LATENCY_NS = 5,
	COL_TTFB_NS = 6,
	COL_REQUEST_NS = 7,
	COL_PROTOCOL = 8,
	COL_KIND = 9,
	COL_ROLE = 10,
	COL_ENCRYPTED = 11,
	COL_TLS_LIBRARY = 12,
	COL_METHOD = 13,
	COL_RESOURCE = 14,
	COL_STATUS = 15,
	COL_STATUS_CODE = 16,
	COL_FAILED = 17,
	COL_CLIENT_ERROR = 18,
	COL_OUTCOME = 19,
	COL_ERROR = 20,
	COL_REQUEST_BYTES = 21,
	COL_RESPONSE_BYTES = 22,
	COL_REQUEST_BODY_BYTES = 23,
	COL_RESPONSE_BODY_BYTES = 24,
	COL_COMPLETE = 25,
	COL_TRUNCATED = 26,
	COL_DEGRADED = 27,
	COL_TRACE_ID = 28,
	COL_SPAN_ID = 29,
	COL_PARENT_SPAN_ID = 30,
	COL_CONN_ID = 31,
	COL_STREAM_ID = 32,
	COL_REQUEST_OFFSET = 33,
	COL_CLIENT_ADDR = 34,
	COL_CLIENT_PORT = 35,
	COL_CLIENT_PID = 36,
	COL_CLIENT_COMM = 37,
	COL_CLIENT_CONTAINER = 38,
	COL_CLIENT_NAMESPACE = 39,
	COL_CLIENT_POD = 40,
	COL_CLIENT_WORKLOAD_KIND = 41,
	COL_CLIENT_WORKLOAD = 42,
	COL_CLIENT_SERVICE = 43,
	COL_CLIENT_NODE = 44,
	COL_CLIENT_NAME = 45,
	COL_SERVER_ADDR = 46,
	COL_SERVER_PORT = 47,
	COL_SERVER_PID = 48,
	COL_SERVER_COMM = 49,
	COL_SERVER_CONTAINER = 50,
	COL_SERVER_NAMESPACE = 51,
	COL_SERVER_POD = 52,
	COL_SERVER_WORKLOAD_KIND = 53,
	COL_SERVER_WORKLOAD = 54,
	COL_SERVER_SERVICE = 55,
	COL_SERVER_NODE = 56,
	COL_SERVER_NAME = 57,
	COL_NODE = 58,
	COL_IS_PRIMARY = 59,
	COL_EPOCH = 60, /* hidden: the agent's start; with COL_SEQ the identity of a row */
	COL_SEQ = 61,	/* hidden: number of the row within the epoch, from 1 */

	/* http */
	COL_HTTP_VERSION = 100,
	COL_HTTP_HOST = 101,
	COL_HTTP_PATH = 102,
	COL_HTTP_QUERY = 103,
	COL_HTTP_CONTENT_TYPE = 104,
	COL_HTTP_USER_AGENT = 105,
	COL_HTTP_REQUEST_HEADERS = 106,
	COL_HTTP_RESPONSE_HEADERS = 107,
	COL_HTTP_REQUEST_BODY = 108,
	COL_HTTP_RESPONSE_BODY = 109,

	/* pgsql, mysql, redis: the same name is the same column */
	COL_DB_DATABASE = 110,
	COL_DB_USER = 111,
	COL_DB_STATEMENT = 112,
	COL_DB_PREPARED = 113,
	COL_DB_ROWS = 114,
	COL_DB_SQLSTATE = 115,
	COL_DB_MESSAGE = 116,
	COL_DB_COMMAND_TAG = 117,
	COL_DB_SEVERITY = 118,
	COL_DB_COMMAND = 119,
	COL_DB_AFFECTED_ROWS = 120,
	COL_DB_KEY = 121,
	COL_DB_ARGS = 122,
	COL_DB_REPLY_TYPE = 123,

	/* dns */
	COL_DNS_QUESTION = 130,
	COL_DNS_TYPE = 131,
	COL_DNS_ANSWERS = 132,
	COL_DNS_RCODE = 133,
	COL_DNS_RESOLVER = 134,
	COL_DNS_TRANSPORT = 135,
	COL_DNS_AUTHORITATIVE = 136,
	COL_DNS_TRUNCATED_ANSWER = 137,
	COL_DNS_RECURSION_AVAILABLE = 138,
	COL_DNS_QUERY_ID = 139,
	COL_DNS_RECURSION_DESIRED = 140,
	COL_DNS_EDNS_SIZE = 141,
	COL_DNS_CLASS = 142,

	/* connections */
	COL_CONN_OPENED = 200,
	COL_CONN_CLOSED = 201,
	COL_CONN_STATE = 202,
	COL_CONN_INITIATOR = 203,
	COL_CONN_WHY_UNREADABLE = 204,
	COL_CONN_TLS_VERSION = 205,
	COL_CONN_CIPHER = 206,
	COL_CONN_SNI = 207,
	COL_CONN_ALPN = 208,
	COL_CONN_BYTES_SENT = 209,
	COL_CONN_BYTES_RECEIVED = 210,
	COL_CONN_BYTES_COPIED = 211,
	COL_CONN_BYTES_SKIPPED = 212,
	COL_CONN_BYTES_LOST = 213,
	COL_CONN_REQUESTS = 214,
	COL_CONN_OPEN_REQUESTS = 215,
	COL_CONN_RTT_NS = 216,
	COL_CONN_RETRANSMITS = 217,
	COL_CONN_ERROR = 218,
	COL_CONN_ADDR = 219, /* local and remote, as this end has them */
	COL_CONN_PORT = 220,
	COL_CONN_PEER_ADDR = 221,
	COL_CONN_PEER_PORT = 222,
	COL_CONN_PID = 223,
	COL_CONN_COMM = 224,

	/* small tables; name, value and the like are shared between them */
	COL_HOP = 230,
	COL_STAGE = 231,
	COL_COUNTER = 232,
	COL_LEDGER_KIND = 233,
	COL_INTENTIONAL = 234,
	COL_UNIT = 235,
	COL_VALUE = 236,
	COL_PID = 237,
	COL_COMM = 238,
	COL_EXE = 239,
	COL_CONTAINER = 240,
	COL_SYSTEMD_UNIT = 241,
	COL_START_TIME = 242,
	COL_KEY = 243,
	COL_TEXT_VALUE = 244,
	COL_REQUESTS = 245,
	COL_ERRORS = 246,
	COL_SKETCH = 247, /* DDSketch of latency_ns, base64 */
	COL_CLIENT_ERRORS = 248,
	COL_EPOCH_TEXT = 249,
	COL_TOTAL_NS = 250,
	COL_MAX_NS = 251,

	_COL_MAX = 256, /* numbers are below this */
};

enum table_id {
	TABLE_HTTP = 1,
	TABLE_CONNECTIONS = 2,
	/* Small tables that the store makes up when asked; never in segments. */
	TABLE_PROCESSES = 3,
	TABLE_LEDGER = 4, /* kelpie_ledger */
	TABLE_STATUS = 5, /* kelpie_status */
	TABLE_RED = 6,	  /* kelpie_red: the running seconds behind `top` */
	TABLE_PGSQL = 7,
	TABLE_MYSQL = 8,
	TABLE_REDIS = 9,
	TABLE_DNS = 10,
	_TABLE_MAX = 16,
};

enum table_flag {
	/* Has all common columns; part of `requests` and `observations`. */
	TABLE_F_EXCHANGES = 1 << 0,
};

struct table_schema {
	uint16_t id;
	uint16_t version; /* grows when columns are added */
	uint32_t flags;	  /* enum table_flag */
	const char *name;
	const char *doc;
	const struct column *const *columns; /* in the order of SELECT * */
	size_t n_columns;
};

/* NULL when unknown. All returned objects are constant for the life of the program. */
const struct table_schema *schema_table(uint16_t id);
const struct table_schema *schema_table_by_name(const char *name);
/* All tables in id order; *ret_n entries. */
const struct table_schema *const *schema_tables(size_t *ret_n);
/* The column with this number in any table; NULL when unknown. */
const struct column *schema_column(uint16_t id);
/* The common columns in order (the columns of `requests`). */
const struct column *const *schema_common(size_t *ret_n);

const char *unit_name(enum col_unit unit); /* "ns", "bytes", "", ... */

#endif
