/* The ground truth: one CSV line for each exchange, as one end saw it. */
#ifndef TESTS_E2E_LOAD_TRUTHLOG_H
#define TESTS_E2E_LOAD_TRUTHLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "sockio.h"

struct truth_row {
	uint64_t seq;
	const char *kind, *method, *path;
	uint8_t minor;	 /* HTTP/1.minor of the request */
	uint16_t status; /* 0: no answer */
	const struct sockio_name *client, *server;
	uint64_t request_bytes, request_body_bytes, request_framed_bytes;
	uint64_t response_bytes, response_body_bytes, response_framed_bytes; /* final response */
	uint64_t interim_bytes;						     /* 1xx before it */
	bool has_response_seq;
	uint64_t response_seq;
	const char *trace_id; /* "" without */
	bool keep_alive;      /* the connection was to be used again */
	const char *outcome;
	uint64_t start_unix_ns, end_unix_ns;
};

struct truth_log; /* one per thread; lines of several logs of one file never interleave */

/* Creates the file and writes the header. fd is shared by the logs of all threads. */
int truth_file_open(const char *path, int *ret_fd);

/* NULL without memory. fd -1: rows are counted only. */
struct truth_log *truth_log_new(int fd);
void truth_log_put(struct truth_log *t, const struct truth_row *row);
/* Writes what is buffered and frees. Returns 0 or the negative errno of any write that failed. */
int truth_log_free(struct truth_log *t);

#endif
