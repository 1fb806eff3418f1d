/* kelpie-resp --connect ADDRESS --count N [--depth D] [--connections C] [--first N] [--window W]
 * [--rate R] [--truth FILE] [--hold]: Redis commands with ground truth.
 *
 * Each connection sends COUNT commands, DEPTH of them in one call, and reads their answers. With a
 * window a thread of its own reads while another one writes, at most WINDOW calls ahead: an answer
 * may be there before the call that asked for it has returned. --hold: connects, says so, and goes
 * on when a line comes on stdin. --rate: at most so many commands a second on each connection.
 *
 * Command n carries its number in its key, and so does its answer, in its text or its length: four
 * forms in turn, see put_command(). Numbers of the connections follow one another from FIRST on.
 *
 * A line of the truth: port,offset,method,key,request bytes,answer's bytes,status,type,message
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sockio.h"
#include "text.h"

#define COMMAND_MAX 512
#define FORMS	    4
#define IN_BYTES    65536

static const char script[] = "return redis.error_reply('SEQ '..KEYS[1])";

struct options {
	struct sockaddr_storage address;
	socklen_t address_n;
	uint64_t count, depth, connections, first, window, rate;
	bool hold;
	const char *truth;
};

/* One connection. The writer's, then the reader's, then what both use. */
struct client {
	const struct options *o;
	struct outq out;
	char in[IN_BYTES];
	size_t in_at, in_n;
	FILE *truth;
	uint64_t *offset; /* of command i, by i modulo what may be open, and how long it is */
	uint32_t *size;
	uint64_t first, sent_bytes, ring, start_ns;
	uint16_t port;
	int fd;
	sem_t room;    /* calls that may be written ahead of the answers */
	sem_t written; /* commands whose place is noted */
	pthread_t thread;
};

static void die(const char *what)
{
	fprintf(stderr, "kelpie-resp: %s\n", what);
	exit(1);
}

/* ---- commands ---- */

static void put_word(struct outq *q, const char *s, size_t n)
{
	char head[32];

	outq_put(q, head, (size_t)snprintf(head, sizeof(head), "$%zu\r\n", n));
	outq_put(q, s, n);
	outq_put(q, "\r\n", 2);
}

static void put_text(struct outq *q, const char *s)
{
	put_word(q, s, strlen(s));
}

/* n in the key; in the answer as its length (a part of `v`), or as the text of an error. */
static void put_command(struct outq *q, uint64_t n)
{
	static const char *const heads[FORMS] = { "*4\r\n", "*3\r\n", "*4\r\n", "*2\r\n" };
	char key[32], end[32], value[COMMAND_MAX];

	snprintf(key, sizeof(key), "seq:%llu", (unsigned long long)n);
	snprintf(end, sizeof(end), "%llu", (unsigned long long)(n % 509));
	outq_put(q, heads[n % FORMS], 4);
	switch (n % FORMS) {
	case 0:
		put_text(q, "GETRANGE");
		put_text(q, "seq:value");
		put_text(q, "0");
		put_text(q, end);
		break;
	case 1:
		put_text(q, "SET");
		put_text(q, key);
		memset(value, 'v', sizeof(value));
		put_word(q, value, n % 311);
		break;
	case 2:
		put_text(q, "EVAL");
		put_text(q, script);
		put_text(q, "1");
		put_text(q, key);
		break;
	default:
		put_text(q, "GET");
		put_text(q, key);
	}
}

/* ---- answers ---- */

static void fill(struct client *c)
{
	ssize_t n;

	memmove(c->in, c->in + c->in_at, c->in_n - c->in_at);
	c->in_n -= c->in_at;
	c->in_at = 0;
	n = read(c->fd, c->in + c->in_n, sizeof(c->in) - c->in_n);
	if (n <= 0)
		die(n ? strerror(errno) : "the server has closed");
	c->in_n += (size_t)n;
}

/* A line without its end; borrowed until the next call. */
static char *line(struct client *c, size_t *ret_n)
{
	for (;;) {
		char *at = c->in + c->in_at, *end = memchr(at, '\n', c->in_n - c->in_at);

		if (end) {
			*ret_n = (size_t)(end - at) + 1;
			end[-1] = '\0';
			c->in_at += *ret_n;
			return at;
		}
		fill(c);
	}
}

static void pass(struct client *c, size_t n)
{
	while (c->in_n - c->in_at < n)
		fill(c);
	c->in_at += n;
}

/* Reads the answer to n, which must be n's own, and writes the line. */
static void take_answer(struct client *c, uint64_t n, uint64_t offset, uint32_t request)
{
	static const char *const methods[FORMS] = { "GETRANGE", "SET", "EVAL", "GET" };
	char key[32] = "seq:value", want[64];
	const char *status = "OK", *type = "bulk", *message = "";
	size_t size, form = n % FORMS;
	char *text = line(c, &size);
	bool right;

	if (form)
		snprintf(key, sizeof(key), "seq:%llu", (unsigned long long)n);
	snprintf(want, sizeof(want), "-SEQ %s", key);
	if (form == 0)
		snprintf(want, sizeof(want), "$%llu", (unsigned long long)(n % 509 + 1));
	right = strcmp(text, form == 1 ? "+OK" : form == 3 ? "$-1" : want) == 0;
	if (!right) {
		fprintf(stderr, "kelpie-resp: %s is answered %s\n", key, text);
		exit(1);
	}
	if (form == 0) {
		pass(c, n % 509 + 3);
		size += n % 509 + 3;
	} else if (form == 1) {
		type = "simple";
	} else if (form == 2) {
		status = "SEQ";
		type = "error";
		message = want + 1;
	} else {
		type = "null";
	}
	if (c->truth)
		fprintf(c->truth, "%u,%llu,%s,%s,%u,%zu,%s,%s,%s\n", c->port,
			(unsigned long long)offset, methods[form], key, request, size, status, type,
			message);
}

/* ---- both threads ---- */

/* Waits until command i is due. */
static void wait_due(const struct client *c, uint64_t i)
{
	uint64_t due = c->start_ns, now = sockio_now_ns();

	if (!c->o->rate)
		return;
	due += i * 1000000000ULL / c->o->rate;
	if (due > now)
		usleep((useconds_t)((due - now) / 1000));
}

/* Writes the commands i to i + n with one call. */
static void write_batch(struct client *c, uint64_t i, uint64_t n)
{
	unsigned int turn = 0;

	wait_due(c, i);
	for (uint64_t k = i; k < i + n; k++) {
		size_t before = c->out.tail - c->out.head;

		put_command(&c->out, c->first + k);
		c->offset[k % c->ring] = c->sent_bytes;
		c->size[k % c->ring] = (uint32_t)(c->out.tail - c->out.head - before);
		c->sent_bytes += c->size[k % c->ring];
		sem_post(&c->written);
	}
	while (!outq_empty(&c->out))
		if (outq_flush(&c->out, c->fd, SEND_WRITE, 0, &turn) < 0)
			die("the server takes nothing");
}

static void read_one(struct client *c, uint64_t i)
{
	sem_wait(&c->written);
	take_answer(c, c->first + i, c->offset[i % c->ring], c->size[i % c->ring]);
}

static void *writes(void *arg)
{
	struct client *c = arg;

	for (uint64_t i = 0; i < c->o->count; i += c->o->depth) {
		sem_wait(&c->room);
		write_batch(c, i, c->o->count - i < c->o->depth ? c->o->count - i : c->o->depth);
	}
	return NULL;
}

static void *runs(void *arg)
{
	struct client *c = arg;
	const struct options *o = c->o;
	pthread_t writer;

	c->start_ns = sockio_now_ns();
	if (o->window && pthread_create(&writer, NULL, writes, c))
		die("no thread");
	for (uint64_t i = 0; i < o->count; i++) {
		if (!o->window && i % o->depth == 0)
			write_batch(c, i, o->count - i < o->depth ? o->count - i : o->depth);
		read_one(c, i);
		if (o->window && (i + 1) % o->depth == 0)
			sem_post(&c->room);
	}
	if (o->window)
		pthread_join(writer, NULL);
	return NULL;
}

static void open_client(struct client *c, const struct options *o, uint64_t number, FILE *truth)
{
	struct sockio_name name;

	c->o = o;
	c->truth = truth;
	c->first = o->first + number * o->count;
	c->ring = o->depth * (o->window + 1);
	c->offset = calloc(c->ring, sizeof(*c->offset));
	c->size = calloc(c->ring, sizeof(*c->size));
	c->fd = socket(o->address.ss_family, SOCK_STREAM, 0);
	sem_init(&c->room, 0, (unsigned int)o->window);
	sem_init(&c->written, 0, 0);
	if (!c->offset || !c->size || c->fd < 0 ||
	    connect(c->fd, (const struct sockaddr *)&o->address, o->address_n) < 0)
		die("cannot connect");
	if (sockio_own_name(c->fd, &name) == 0)
		c->port = name.port;
}

static void run(const struct options *o)
{
	struct client *clients = calloc(o->connections, sizeof(*clients));
	FILE *truth = o->truth ? fopen(o->truth, "w") : NULL;
	char go[16];

	if (!clients || (o->truth && !truth))
		die("no memory, or no file for the truth");
	for (uint64_t i = 0; i < o->connections; i++)
		open_client(&clients[i], o, i, truth);
	if (o->hold) {
		puts("connected");
		fflush(stdout);
		if (!fgets(go, sizeof(go), stdin))
			die("told nothing");
	}
	for (uint64_t i = 0; i < o->connections; i++)
		if (pthread_create(&clients[i].thread, NULL, runs, &clients[i]))
			die("no thread");
	for (uint64_t i = 0; i < o->connections; i++) {
		pthread_join(clients[i].thread, NULL);
		close(clients[i].fd);
	}
	if (truth && fclose(truth))
		die("the truth cannot be written");
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "connect", 1, NULL, 'c' }, { "count", 1, NULL, 'n' },
		{ "depth", 1, NULL, 'd' },   { "connections", 1, NULL, 'k' },
		{ "first", 1, NULL, 'f' },   { "window", 1, NULL, 'w' },
		{ "rate", 1, NULL, 'r' },    { "truth", 1, NULL, 't' },
		{ "hold", 0, NULL, 'h' },    { 0 },
	};
	struct options o = { .depth = 1, .connections = 1 };
	uint64_t *const numbers[128] = {
		['n'] = &o.count, ['d'] = &o.depth,  ['k'] = &o.connections,
		['f'] = &o.first, ['w'] = &o.window, ['r'] = &o.rate
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (opt == 'c' && sockio_address(optarg, &o.address, &o.address_n) < 0)
			die("--connect takes an address");
		else if (opt == 't')
			o.truth = optarg;
		else if (opt == 'h')
			o.hold = true;
		else if (opt == '?')
			return 2;
		else if (numbers[opt])
			*numbers[opt] = text_option("a number", optarg, UINT32_MAX);
	}
	if (!o.address_n || !o.count || !o.depth || !o.connections)
		die("--connect and --count are needed");
	run(&o);
	return 0;
}
