#include "protocols/schema.h"

#include "base/slice.h"
#include "base/util.h"

#define ADDR_CAP 440 /* bytes: UNIX_ADDR_TEXT_MAX */
#define NAME_CAP 256 /* bytes: names of processes, pods, services */

#define INT(id, name, unit, flags, otel, doc)                                                      \
	{                                                                                          \
		id, flags, COL_INT, unit, 0, name, otel, doc                                       \
	}
#define TEXT(id, name, cap, flags, otel, doc)                                                      \
	{                                                                                          \
		id, flags, COL_TEXT, UNIT_NONE, cap, name, otel, doc                               \
	}
#define JSON(id, name, cap, flags, doc)                                                            \
	{                                                                                          \
		id, flags, COL_TEXT, UNIT_JSON, cap, name, NULL, doc                               \
	}

/* The Kubernetes identity of one end; both ends have the same columns at their own numbers. */
#define IDENTITY(END, end, addr_key, port_key)                                                     \
	TEXT(COL_##END##_ADDR, end "_addr", ADDR_CAP, COL_F_SYM, addr_key,                         \
	     "address of the " end                                                                 \
	     "; IPv6 as RFC 5952, mapped as IPv4; UNIX sockets as unix:/path or unix:@name"),      \
		INT(COL_##END##_PORT, end "_port", UNIT_PORT, 0, port_key,                         \
		    "port of the " end "; NULL for UNIX sockets"),                                 \
		INT(COL_##END##_PID, end "_pid", UNIT_PID, 0, NULL,                                \
		    "process of the " end " when it is on this node"),                             \
		TEXT(COL_##END##_COMM, end "_comm", 16, COL_F_SYM, NULL,                           \
		     "command name of the " end " when it is on this node"),                       \
		TEXT(COL_##END##_CONTAINER, end "_container", 80, COL_F_SYM, NULL,                 \
		     "container of the " end ": name in its pod, or id"),                          \
		TEXT(COL_##END##_NAMESPACE, end "_namespace", NAME_CAP, COL_F_SYM, NULL,           \
		     "Kubernetes namespace of the " end),                                          \
		TEXT(COL_##END##_POD, end "_pod", NAME_CAP, COL_F_SYM, NULL, "pod of the " end),   \
		TEXT(COL_##END##_WORKLOAD_KIND, end "_workload_kind", 64, COL_F_SYM, NULL,         \
		     "Deployment, StatefulSet, DaemonSet, Job, ... of the " end),                  \
		TEXT(COL_##END##_WORKLOAD, end "_workload", NAME_CAP, COL_F_SYM, NULL,             \
		     "workload of the " end),                                                      \
		TEXT(COL_##END##_SERVICE, end "_service", NAME_CAP, COL_F_SYM, NULL,               \
		     "Kubernetes service of the " end),                                            \
		TEXT(COL_##END##_NODE, end "_node", NAME_CAP, COL_F_SYM, NULL,                     \
		     "node of the " end),                                                          \
		TEXT(COL_##END##_NAME, end "_name", NAME_CAP, COL_F_SYM | COL_F_NAME, NULL,        \
		     "best name of the " end                                                       \
		     ": service, else pod, DNS name (with ? when another process asked for it), "  \
		     "node/NAME, systemd unit, container, comm:port, external")

static const struct column columns[] = {
	TEXT(COL_ID, "id", 64, COL_F_COMPUTED, NULL,
	     "this row: node, agent epoch, sequence; for `kelpie show`"),
	TEXT(COL_EXCHANGE_ID, "exchange_id", 64, COL_F_COMPUTED, NULL,
	     "equal at both ends of the exchange; NULL where that cannot be proven"),
	INT(COL_TIME, "time", UNIT_TIME_NS, COL_F_SORTED, NULL, "the request's first byte"),
	INT(COL_END_TIME, "end_time", UNIT_TIME_NS, COL_F_SORTED, NULL,
	    "the response's last byte, or when it was given up; time ranges select on this"),
	INT(COL_LATENCY_NS, "latency_ns", UNIT_DURATION_NS, 0, NULL,
	    "request's first byte to response's last byte; of a later statement of one query, from "
	    "the "
	    "answer before"),
	INT(COL_TTFB_NS, "ttfb_ns", UNIT_DURATION_NS, 0, NULL,
	    "the same to the response's first byte"),
	INT(COL_REQUEST_NS, "request_ns", UNIT_DURATION_NS, 0, NULL,
	    "first to last byte of the request"),
	TEXT(COL_PROTOCOL, "protocol", 32, COL_F_SYM, "network.protocol.name", "http, pgsql, ..."),
	TEXT(COL_KIND, "kind", 16, COL_F_SYM, NULL, "request, oneway or push"),
	TEXT(COL_ROLE, "role", 16, COL_F_SYM, NULL, "who observed it: server, client or wire"),
	INT(COL_ENCRYPTED, "encrypted", UNIT_BOOL, 0, NULL, "1 when it travelled inside TLS"),
	TEXT(COL_TLS_LIBRARY, "tls_library", 32, COL_F_SYM, NULL, "openssl, go, ktls, ..."),
	TEXT(COL_METHOD, "method", 64, COL_F_SYM, "http.request.method", "GET, SELECT, ..."),
	TEXT(COL_RESOURCE, "resource", 512, COL_F_SYM, "http.route",
	     "what was asked for, with few values: templated path, SQL fingerprint, topic"),
	TEXT(COL_STATUS, "status", 64, COL_F_SYM, NULL,
	     "result for people: HTTP code, SQLSTATE, ..."),
	INT(COL_STATUS_CODE, "status_code", UNIT_NONE, 0, "http.response.status_code",
	    "result as a number where the protocol has one"),
	INT(COL_FAILED, "failed", UNIT_BOOL, 0, NULL, "1: the service failed; NULL unknown"),
	INT(COL_CLIENT_ERROR, "client_error", UNIT_BOOL, 0, NULL,
	    "1: the caller erred; NULL unknown"),
	TEXT(COL_OUTCOME, "outcome", 32, COL_F_SYM, NULL,
	     "ok, closed_by_client, closed_by_server, reset, timed_out, agent_stopped, lost, "
	     "evicted"),
	TEXT(COL_ERROR, "error", 512, 0, "error.type",
	     "the peer's message, quoted literals removed"),
	INT(COL_REQUEST_BYTES, "request_bytes", UNIT_BYTES, 0, NULL,
	    "whole request after decryption"),
	INT(COL_RESPONSE_BYTES, "response_bytes", UNIT_BYTES, 0, NULL,
	    "whole response after decryption"),
	INT(COL_REQUEST_BODY_BYTES, "request_body_bytes", UNIT_BYTES, 0, "http.request.body.size",
	    "body of the request"),
	INT(COL_RESPONSE_BODY_BYTES, "response_body_bytes", UNIT_BYTES, 0,
	    "http.response.body.size", "body of the response"),
	INT(COL_COMPLETE, "complete", UNIT_BOOL, 0, NULL,
	    "1: both messages known from first to last byte"),
	INT(COL_TRUNCATED, "truncated", UNIT_BOOL, 0, NULL, "1: stored content was cut"),
	INT(COL_DEGRADED, "degraded", UNIT_BOOL, 0, NULL,
	    "1: some field is unknown: the connection is older than the agent or bytes were lost"),
	TEXT(COL_TRACE_ID, "trace_id", 32, 0, NULL, "from traceparent or b3"),
	TEXT(COL_SPAN_ID, "span_id", 16, 0, NULL, "from traceparent or b3"),
	TEXT(COL_PARENT_SPAN_ID, "parent_span_id", 16, 0, NULL, "from b3"),
	TEXT(COL_CONN_ID, "conn_id", 32, COL_F_SYM, NULL,
	     "keyed hash of the connection's identity, equal at both ends"),
	INT(COL_STREAM_ID, "stream_id", UNIT_NONE, 0, NULL, "HTTP/2 stream"),
	INT(COL_REQUEST_OFFSET, "request_offset", UNIT_BYTES, 0, NULL,
	    "position of the request's first byte in its direction"),
	IDENTITY(CLIENT, "client", "client.address", "client.port"),
	IDENTITY(SERVER, "server", "server.address", "server.port"),
	TEXT(COL_NODE, "node", NAME_CAP, COL_F_SYM, "k8s.node.name", "observing node"),
	INT(COL_IS_PRIMARY, "is_primary", UNIT_BOOL, 0, NULL,
	    "1: the row that stands for the exchange in `requests`"),
	INT(COL_EPOCH, "epoch", UNIT_NONE, COL_F_HIDDEN, NULL, "start of the agent"),
	INT(COL_SEQ, "seq", UNIT_NONE, COL_F_HIDDEN | COL_F_SORTED, NULL,
	    "number within the epoch"),

	TEXT(COL_HTTP_VERSION, "version", 8, COL_F_SYM, "network.protocol.version", "1.0, 1.1, 2"),
	TEXT(COL_HTTP_HOST, "host", 256, COL_F_SYM, NULL, "Host header or authority"),
	TEXT(COL_HTTP_PATH, "path", 1024, 0, "url.path",
	     "path as sent, without query, secret-looking segments masked"),
	TEXT(COL_HTTP_QUERY, "query", 1024, 0, "url.query", "query, values removed"),
	TEXT(COL_HTTP_CONTENT_TYPE, "content_type", 128, COL_F_SYM, NULL, "of the response"),
	TEXT(COL_HTTP_USER_AGENT, "user_agent", 256, COL_F_SYM, "user_agent.original",
	     "of the request"),
	JSON(COL_HTTP_REQUEST_HEADERS, "request_headers", 8192, COL_F_PAYLOAD,
	     "object of the request's headers, values outside the allow-list removed"),
	JSON(COL_HTTP_RESPONSE_HEADERS, "response_headers", 8192, COL_F_PAYLOAD,
	     "object of the response's headers, values outside the allow-list removed"),
	TEXT(COL_HTTP_REQUEST_BODY, "request_body", 16384, COL_F_PAYLOAD, NULL, "off by default"),
	TEXT(COL_HTTP_RESPONSE_BODY, "response_body", 16384, COL_F_PAYLOAD, NULL, "off by default"),

	TEXT(COL_DB_DATABASE, "database", 64, COL_F_SYM, "db.namespace", "of the session"),
	TEXT(COL_DB_USER, "user", 64, COL_F_SYM, NULL, "who the session was opened as"),
	TEXT(COL_DB_STATEMENT, "statement", 4096, COL_F_SYM, "db.query.text",
	     "as sent, without comments, literals removed; NULL: prepared before the agent came"),
	INT(COL_DB_PREPARED, "prepared", UNIT_BOOL, 0, NULL, "1: executes a prepared statement"),
	INT(COL_DB_ROWS, "rows", UNIT_COUNT, 0, "db.response.returned_rows", "rows returned"),
	TEXT(COL_DB_SQLSTATE, "sqlstate", 5, COL_F_SYM, "db.response.status_code",
	     "of the error; NULL: none"),
	TEXT(COL_DB_MESSAGE, "message", 512, 0, NULL,
	     "the server's words, quoted literals removed"),
	TEXT(COL_DB_COMMAND_TAG, "command_tag", 64, COL_F_SYM, NULL,
	     "what the server says it did, without counts"),
	TEXT(COL_DB_SEVERITY, "severity", 16, COL_F_SYM, NULL, "ERROR, FATAL, NOTICE, ..."),
	TEXT(COL_DB_COMMAND, "command", 48, COL_F_SYM, NULL,
	     "the protocol's own name of the request: COM_QUERY, HGET, ..."),
	INT(COL_DB_AFFECTED_ROWS, "affected_rows", UNIT_COUNT, 0, NULL,
	    "rows changed, as the server says"),
	TEXT(COL_DB_KEY, "key", 256, 0, NULL, "first key, secret-looking parts masked"),
	TEXT(COL_DB_ARGS, "args", 512, 0, NULL, "further arguments, values removed"),
	TEXT(COL_DB_REPLY_TYPE, "reply_type", 16, COL_F_SYM, NULL,
	     "simple, error, integer, bulk, array, ..."),

	TEXT(COL_DNS_QUESTION, "question", 256, COL_F_SYM, "dns.question.name",
	     "name that was asked for, lower case"),
	TEXT(COL_DNS_TYPE, "type", 16, COL_F_SYM, NULL, "of the question: A, AAAA, ..."),
	{ COL_DNS_ANSWERS, 0, COL_TEXT, UNIT_JSON, 4096, "answers", "dns.answers",
	  "array of the records of the answer: name, type, ttl, data" },
	TEXT(COL_DNS_RCODE, "rcode", 16, COL_F_SYM, NULL, "NOERROR, NXDOMAIN, ..."),
	TEXT(COL_DNS_RESOLVER, "resolver", 128, COL_F_SYM, NULL,
	     "address and port of who was asked"),
	TEXT(COL_DNS_TRANSPORT, "transport", 8, COL_F_SYM, "network.transport", "udp or tcp"),
	INT(COL_DNS_AUTHORITATIVE, "authoritative", UNIT_BOOL, 0, NULL, "1: the answer's AA bit"),
	INT(COL_DNS_TRUNCATED_ANSWER, "truncated_answer", UNIT_BOOL, 0, NULL,
	    "1: the answer's TC bit, to be asked again over TCP"),
	INT(COL_DNS_RECURSION_AVAILABLE, "recursion_available", UNIT_BOOL, 0, NULL,
	    "1: the answer's RA bit"),
	INT(COL_DNS_QUERY_ID, "query_id", UNIT_NONE, 0, NULL, "that ties answer to query"),
	INT(COL_DNS_RECURSION_DESIRED, "recursion_desired", UNIT_BOOL, 0, NULL,
	    "1: the query's RD bit"),
	INT(COL_DNS_EDNS_SIZE, "edns_size", UNIT_BYTES, 0, NULL,
	    "datagram that the client takes, as it says with EDNS; NULL: without EDNS"),
	TEXT(COL_DNS_CLASS, "class", 16, COL_F_SYM, NULL, "of the question, if not IN"),

	INT(COL_CONN_OPENED, "opened", UNIT_TIME_NS, 0, NULL,
	    "when it was opened; NULL: before the agent"),
	INT(COL_CONN_CLOSED, "closed", UNIT_TIME_NS, COL_F_SORTED, NULL, "NULL while it is open"),
	TEXT(COL_CONN_STATE, "state", 16, COL_F_SYM, NULL, "open, closed or failed"),
	TEXT(COL_CONN_INITIATOR, "initiator", 8, COL_F_SYM, NULL, "local, remote; NULL unknown"),
	TEXT(COL_CONN_WHY_UNREADABLE, "why_unreadable", 128, COL_F_SYM, NULL,
	     "why no requests are seen on it; NULL when they are"),
	TEXT(COL_CONN_TLS_VERSION, "tls_version", 16, COL_F_SYM, NULL, ""),
	TEXT(COL_CONN_CIPHER, "cipher", 64, COL_F_SYM, NULL, ""),
	TEXT(COL_CONN_SNI, "sni", 256, COL_F_SYM, NULL, ""),
	TEXT(COL_CONN_ALPN, "alpn", 64, COL_F_SYM, NULL, ""),
	TEXT(COL_CONN_ADDR, "local_addr", ADDR_CAP, COL_F_SYM, NULL, "this end"),
	INT(COL_CONN_PORT, "local_port", UNIT_PORT, 0, NULL, "this end"),
	TEXT(COL_CONN_PEER_ADDR, "peer_addr", ADDR_CAP, COL_F_SYM, NULL, "the other end"),
	INT(COL_CONN_PEER_PORT, "peer_port", UNIT_PORT, 0, NULL, "the other end"),
	INT(COL_CONN_PID, "pid", UNIT_PID, 0, NULL, "process that has it open"),
	TEXT(COL_CONN_COMM, "comm", 16, COL_F_SYM, NULL, "command name of that process"),
	INT(COL_CONN_BYTES_SENT, "bytes_sent", UNIT_BYTES, 0, NULL,
	    "by this end, since it was opened"),
	INT(COL_CONN_BYTES_RECEIVED, "bytes_received", UNIT_BYTES, 0, NULL, "by this end"),
	INT(COL_CONN_BYTES_COPIED, "bytes_copied", UNIT_BYTES, 0, NULL, "that reached the parser"),
	INT(COL_CONN_BYTES_SKIPPED, "bytes_skipped", UNIT_BYTES, 0, NULL, "left out on purpose"),
	INT(COL_CONN_BYTES_LOST, "bytes_lost", UNIT_BYTES, 0, NULL, "left out by accident"),
	INT(COL_CONN_REQUESTS, "requests", UNIT_COUNT, 0, NULL, "finished exchanges"),
	INT(COL_CONN_OPEN_REQUESTS, "open_requests", UNIT_COUNT, 0, NULL, "exchanges under way"),
	INT(COL_CONN_RTT_NS, "rtt_ns", UNIT_DURATION_NS, 0, NULL, "smoothed round-trip time"),
	INT(COL_CONN_RETRANSMITS, "retransmits", UNIT_COUNT, 0, NULL, "segments sent again"),
	TEXT(COL_CONN_ERROR, "error", 64, COL_F_SYM, NULL, "refused, timed out, reset, ..."),

	INT(COL_HOP, "hop", UNIT_NONE, 0, NULL, "1 to 10, see the architecture page"),
	TEXT(COL_STAGE, "stage", 32, COL_F_SYM, NULL, "part of the hop"),
	TEXT(COL_COUNTER, "counter", 48, COL_F_SYM, NULL, ""),
	TEXT(COL_LEDGER_KIND, "kind", 8, COL_F_SYM, NULL, "in, out, held or loss"),
	INT(COL_INTENTIONAL, "intentional", UNIT_BOOL, 0, NULL, "1: left out on purpose"),
	TEXT(COL_UNIT, "unit", 16, COL_F_SYM, NULL, "bytes, events, rows, ..."),
	INT(COL_VALUE, "value", UNIT_COUNT, 0, NULL, ""),
	TEXT(COL_EPOCH_TEXT, "epoch", 24, COL_F_SYM, NULL, "start of the agent, as in `id`"),
	INT(COL_PID, "pid", UNIT_PID, 0, NULL, ""),
	TEXT(COL_COMM, "comm", 16, COL_F_SYM, NULL, ""),
	TEXT(COL_EXE, "exe", 512, COL_F_SYM, NULL, "path of the program"),
	TEXT(COL_CONTAINER, "container", 80, COL_F_SYM, NULL, ""),
	TEXT(COL_SYSTEMD_UNIT, "systemd_unit", 256, COL_F_SYM, NULL, ""),
	INT(COL_START_TIME, "start_time", UNIT_TIME_NS, 0, NULL, ""),
	TEXT(COL_KEY, "key", 128, COL_F_SYM, NULL, ""),
	TEXT(COL_TEXT_VALUE, "value", 1024, 0, NULL, ""),
	INT(COL_REQUESTS, "requests", UNIT_COUNT, 0, NULL, ""),
	INT(COL_ERRORS, "errors", UNIT_COUNT, 0, NULL, "failed = 1"),
	INT(COL_CLIENT_ERRORS, "client_errors", UNIT_COUNT, 0, NULL, "client_error = 1"),
	INT(COL_TOTAL_NS, "total_ns", UNIT_DURATION_NS, 0, NULL, "sum of latency_ns"),
	INT(COL_MAX_NS, "max_ns", UNIT_DURATION_NS, 0, NULL, "largest latency_ns"),
	TEXT(COL_SKETCH, "latency_sketch", 16384, 0, NULL, "DDSketch of latency_ns, base64"),
};

/* Column lists by number; resolved once, at load. */
#define END_IDS(END)                                                                               \
	COL_##END##_ADDR, COL_##END##_PORT, COL_##END##_PID, COL_##END##_COMM,                     \
		COL_##END##_CONTAINER, COL_##END##_NAMESPACE, COL_##END##_POD,                     \
		COL_##END##_WORKLOAD_KIND, COL_##END##_WORKLOAD, COL_##END##_SERVICE,              \
		COL_##END##_NODE, COL_##END##_NAME

#define COMMON_IDS                                                                                 \
	COL_TIME, COL_END_TIME, COL_LATENCY_NS, COL_TTFB_NS, COL_REQUEST_NS, COL_PROTOCOL,         \
		COL_KIND, COL_ROLE, COL_ENCRYPTED, COL_TLS_LIBRARY, COL_METHOD, COL_RESOURCE,      \
		COL_STATUS, COL_STATUS_CODE, COL_FAILED, COL_CLIENT_ERROR, COL_OUTCOME, COL_ERROR, \
		COL_REQUEST_BYTES, COL_RESPONSE_BYTES, COL_REQUEST_BODY_BYTES,                     \
		COL_RESPONSE_BODY_BYTES, COL_COMPLETE, COL_TRUNCATED, COL_DEGRADED, COL_TRACE_ID,  \
		COL_SPAN_ID, COL_PARENT_SPAN_ID, COL_CONN_ID, COL_STREAM_ID, COL_REQUEST_OFFSET,   \
		END_IDS(CLIENT), END_IDS(SERVER), COL_NODE, COL_IS_PRIMARY, COL_ID,                \
		COL_EXCHANGE_ID, COL_EPOCH, COL_SEQ

static const uint16_t common_ids[] = { COMMON_IDS };
static const uint16_t http_ids[] = {
	COMMON_IDS,
	COL_HTTP_VERSION,
	COL_HTTP_HOST,
	COL_HTTP_PATH,
	COL_HTTP_QUERY,
	COL_HTTP_CONTENT_TYPE,
	COL_HTTP_USER_AGENT,
	COL_HTTP_REQUEST_HEADERS,
	COL_HTTP_RESPONSE_HEADERS,
	COL_HTTP_REQUEST_BODY,
	COL_HTTP_RESPONSE_BODY,
};
#define DB_IDS COMMON_IDS, COL_DB_DATABASE, COL_DB_USER
#define SQL_IDS                                                                                    \
	DB_IDS, COL_DB_STATEMENT, COL_DB_PREPARED, COL_DB_ROWS, COL_DB_SQLSTATE, COL_DB_MESSAGE

static const uint16_t pgsql_ids[] = { SQL_IDS, COL_DB_COMMAND_TAG, COL_DB_SEVERITY };
static const uint16_t mysql_ids[] = { SQL_IDS, COL_DB_COMMAND, COL_DB_AFFECTED_ROWS };
static const uint16_t redis_ids[] = { DB_IDS,	   COL_DB_COMMAND,    COL_DB_KEY,
				      COL_DB_ARGS, COL_DB_REPLY_TYPE, COL_DB_MESSAGE };
static const uint16_t dns_ids[] = {
	COMMON_IDS,
	COL_DNS_QUESTION,
	COL_DNS_TYPE,
	COL_DNS_ANSWERS,
	COL_DNS_RCODE,
	COL_DNS_RESOLVER,
	COL_DNS_TRANSPORT,
	COL_DNS_AUTHORITATIVE,
	COL_DNS_TRUNCATED_ANSWER,
	COL_DNS_RECURSION_AVAILABLE,
	COL_DNS_QUERY_ID,
	COL_DNS_RECURSION_DESIRED,
	COL_DNS_EDNS_SIZE,
	COL_DNS_CLASS,
};
static const uint16_t connections_ids[] = {
	COL_CONN_ID,
	COL_CONN_OPENED,
	COL_CONN_CLOSED,
	COL_CONN_STATE,
	COL_CONN_INITIATOR,
	COL_PROTOCOL,
	COL_CONN_WHY_UNREADABLE,
	COL_CONN_ADDR,
	COL_CONN_PORT,
	COL_CONN_PEER_ADDR,
	COL_CONN_PEER_PORT,
	COL_CONN_PID,
	COL_CONN_COMM,
	END_IDS(CLIENT),
	END_IDS(SERVER),
	COL_ENCRYPTED,
	COL_CONN_TLS_VERSION,
	COL_CONN_CIPHER,
	COL_CONN_SNI,
	COL_CONN_ALPN,
	COL_CONN_BYTES_SENT,
	COL_CONN_BYTES_RECEIVED,
	COL_CONN_BYTES_COPIED,
	COL_CONN_BYTES_SKIPPED,
	COL_CONN_BYTES_LOST,
	COL_CONN_REQUESTS,
	COL_CONN_OPEN_REQUESTS,
	COL_CONN_RTT_NS,
	COL_CONN_RETRANSMITS,
	COL_CONN_ERROR,
	COL_NODE,
	COL_END_TIME,
	COL_EPOCH,
	COL_SEQ,
};
static const uint16_t processes_ids[] = { COL_PID,	    COL_COMM,	    COL_EXE, COL_CONTAINER,
					  COL_SYSTEMD_UNIT, COL_START_TIME, COL_NODE };
static const uint16_t ledger_ids[] = { COL_NODE,	COL_EPOCH_TEXT, COL_HOP,
				       COL_STAGE,	COL_COUNTER,	COL_LEDGER_KIND,
				       COL_INTENTIONAL, COL_UNIT,	COL_VALUE };
static const uint16_t status_ids[] = { COL_NODE, COL_KEY, COL_TEXT_VALUE };
static const uint16_t red_ids[] = { COL_END_TIME,      COL_SERVER_NAME,	   COL_CLIENT_NAME,
				    COL_PROTOCOL,      COL_METHOD,	   COL_RESOURCE,
				    COL_REQUESTS,      COL_ERRORS,	   COL_CLIENT_ERRORS,
				    COL_SKETCH,	       COL_TOTAL_NS,	   COL_MAX_NS,
				    COL_REQUEST_BYTES, COL_RESPONSE_BYTES, COL_NODE };

#define LIST_MAX 96
static const struct column *by_id[_COL_MAX];
static const struct column *lists[_TABLE_MAX][LIST_MAX];

#define TABLE(tid, ver, fl, nm, ids, docs)                                                         \
	[tid] = { tid, ver, fl, nm, docs, lists[tid], ARRAY_SIZE(ids) }

static const struct table_schema tables[_TABLE_MAX] = {
	TABLE(TABLE_HTTP, 1, TABLE_F_EXCHANGES, "http", http_ids, "HTTP exchanges"),
	TABLE(TABLE_CONNECTIONS, 1, 0, "connections", connections_ids,
	      "connections, one row per end; those that failed too"),
	TABLE(TABLE_PROCESSES, 1, 0, "processes", processes_ids, "processes that own connections"),
	TABLE(TABLE_LEDGER, 1, 0, "kelpie_ledger", ledger_ids,
	      "what came in, went out, is held and was lost at each hop"),
	TABLE(TABLE_STATUS, 1, 0, "kelpie_status", status_ids, "the agent about itself"),
	TABLE(TABLE_RED, 2, 0, "kelpie_red", red_ids,
	      "running seconds of rate, errors and duration by server, client and resource"),
	TABLE(TABLE_PGSQL, 1, TABLE_F_EXCHANGES, "pgsql", pgsql_ids, "PostgreSQL statements"),
	TABLE(TABLE_MYSQL, 1, TABLE_F_EXCHANGES, "mysql", mysql_ids,
	      "MySQL and MariaDB commands and statements"),
	TABLE(TABLE_REDIS, 1, TABLE_F_EXCHANGES, "redis", redis_ids, "Redis and Valkey commands"),
	TABLE(TABLE_DNS, 1, TABLE_F_EXCHANGES, "dns", dns_ids, "DNS queries"),
};

static const uint16_t *const id_lists[_TABLE_MAX] = {
	[0] = common_ids,
	[TABLE_HTTP] = http_ids,
	[TABLE_CONNECTIONS] = connections_ids,
	[TABLE_PROCESSES] = processes_ids,
	[TABLE_LEDGER] = ledger_ids,
	[TABLE_STATUS] = status_ids,
	[TABLE_RED] = red_ids,
	[TABLE_PGSQL] = pgsql_ids,
	[TABLE_MYSQL] = mysql_ids,
	[TABLE_REDIS] = redis_ids,
	[TABLE_DNS] = dns_ids,
};

_Static_assert(ARRAY_SIZE(http_ids) <= LIST_MAX, "LIST_MAX");
_Static_assert(ARRAY_SIZE(pgsql_ids) <= LIST_MAX && ARRAY_SIZE(dns_ids) <= LIST_MAX, "LIST_MAX");
_Static_assert(ARRAY_SIZE(connections_ids) <= LIST_MAX, "LIST_MAX");

static const struct table_schema *listed[_TABLE_MAX];
static size_t n_listed;

__attribute__((constructor)) static void resolve(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		by_id[columns[i].id] = &columns[i];
	for (size_t i = 0; i < ARRAY_SIZE(common_ids); i++)
		lists[0][i] = by_id[common_ids[i]];
	for (size_t t = 1; t < _TABLE_MAX; t++) {
		if (!tables[t].name)
			continue;
		listed[n_listed++] = &tables[t];
		for (size_t i = 0; i < tables[t].n_columns; i++)
			lists[t][i] = by_id[id_lists[t][i]];
	}
}

const struct table_schema *schema_table(uint16_t id)
{
	return id < _TABLE_MAX && tables[id].name ? &tables[id] : NULL;
}

const struct table_schema *schema_table_by_name(const char *name)
{
	for (size_t i = 0; i < n_listed; i++)
		if (slice_eq_nocase(slice_str(listed[i]->name), slice_str(name)))
			return listed[i];
	return NULL;
}

const struct table_schema *const *schema_tables(size_t *ret_n)
{
	*ret_n = n_listed;
	return listed;
}

const struct column *schema_column(uint16_t id)
{
	return id < _COL_MAX ? by_id[id] : NULL;
}

const struct column *const *schema_common(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(common_ids);
	return lists[0];
}

const char *unit_name(enum col_unit unit)
{
	static const char *const names[] = {
		[UNIT_NONE] = "",	[UNIT_TIME_NS] = "unix_ns", [UNIT_DURATION_NS] = "ns",
		[UNIT_BYTES] = "bytes", [UNIT_COUNT] = "count",	    [UNIT_BOOL] = "bool",
		[UNIT_PORT] = "port",	[UNIT_PID] = "pid",	    [UNIT_JSON] = "json",
		[UNIT_US] = "us",
	};

	return (size_t)unit < ARRAY_SIZE(names) ? names[unit] : "";
}
