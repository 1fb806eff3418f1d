/* What a child did with one connection, in memory that the test sees too, and whether the rings said
 * the same. */
#ifndef TESTS_BPF_SCRIPT_H
#define TESTS_BPF_SCRIPT_H

#include "harness.h"
#include "ops.h"

#define OP_BYTES 3000u
#define OPS_MAX	 64

struct script {
	uint16_t client_port, server_port; /* TCP */
	int family;
	bool mapped;
	int kind;		 /* UNIX: how the two were connected */
	uint64_t client, server; /* UNIX: inodes */
	uint64_t c2s;		 /* bytes sent so far, client to server */
	size_t n;
	struct {
		const char *sender, *receiver;
		uint64_t from, to;
		enum seen tx, rx;
		bool moved;
	} ops[OPS_MAX];
};

/* The test's arguments and the script of the case at hand. */
extern struct script *script;
extern enum capture_rung rung;
extern enum capture_read reads;

/* NULL without memory. */
struct script *script_new(void);
/* buf holds the stream's bytes from position `from` on. */
void script_fill(uint8_t *buf, uint64_t from, size_t n);
/* Sends n bytes with one op, receives them with the other. 0 or 1. */
int script_move(int client, int server, const struct op *s, const struct op *r, size_t n);
/* Every op's bytes became what the rung makes of them: c and s are the two ends. */
void script_check(const struct side *c, const struct side *s);

/* RUNG READ [CASE]: runs the cases as root, tracefs mounted where the rung needs it. The exit status. */
struct test_case;
int script_main(const struct test_case *cases, size_t n, int argc, char **argv);

/* The port that a socket is bound to. */
uint16_t script_port(int fd);
/* A connected pair over loopback; the ports go into the script. 0 or -1. */
int script_connect(int *client, int *server);
/* For harness_run(): every sender to one receiver, one sender to every receiver. */
int script_matrix(void *arg);

/* Captures with the arguments' rung; more: other wishes, or NULL. False: skipped or failed. */
bool script_start(struct harness *h, const struct capture_opts *more);
/* Every sum of the kernel's counters closes. */
void script_balance(struct harness *h);

#endif
