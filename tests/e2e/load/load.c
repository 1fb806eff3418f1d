/* kelpie-load: an HTTP/1 load generator that logs what it sent and what came back.
 *
 * Each thread has its own connections and epoll loop and draws sequence numbers from one counter.
 * With --rate, exchange i of a thread is due at start + i/rate whether or not earlier ones have
 * been answered, and latency counts from that moment: a stalled server shows as latency, not as a
 * pause of the measurement.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "text.h"

#define STOP_PATIENCE_NS 2000000000ULL

static volatile sig_atomic_t stopping;

struct options {
	struct client_options c, warm_c; /* of the measured exchanges, of those before */
	unsigned int threads, connections;
	uint64_t count, first_seq, rate, warm, duration_ms;
	const char *wait_file;
	int truth_fd;
};

struct worker {
	const struct options *o;
	atomic_uint_fast64_t *next_seq;
	uint64_t end_seq;
	unsigned int connections;
	struct client *clients;
	struct client **ready; /* ring of connections with room, each at most once */
	unsigned int ready_head, ready_n;
	struct client_stats stats;
	struct truth_log *log;
	int epoll_fd, timer_fd;
	uint64_t start_ns, end_ns, issued, late_max_ns;
	uint64_t stop_at_ns;
	bool exhausted, gives_up;
	int error;
	pthread_t thread;
	pthread_barrier_t *warmed, *go;
};

static void make_ready(struct worker *w, struct client *c)
{
	if (c->queued || !client_has_room(c))
		return;
	/* Refilled at half: a pipeline then goes out in few large writes. */
	if (c->fl_n > w->o->c.depth / 2)
		return;
	c->queued = true;
	w->ready[(w->ready_head + w->ready_n++) % w->connections] = c;
}

static struct client *take_ready(struct worker *w)
{
	struct client *c;

	if (w->ready_n == 0)
		return NULL;
	c = w->ready[w->ready_head];
	w->ready_head = (w->ready_head + 1) % w->connections;
	w->ready_n--;
	c->queued = false;
	return c;
}

/* A connection that ended is opened again, unless the work is over. */
static void reopen(struct worker *w, struct client *c)
{
	int r;

	if (w->exhausted && !c->pending)
		return;
	for (int attempt = 0; attempt < 200; attempt++) {
		r = client_open(c, w->epoll_fd);
		if (r == 0)
			return;
		client_close(c);
		/* Out of ports, or the listener is not there: worth a moment's patience. */
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	w->error = r;
	w->exhausted = true;
}

static bool draw_seq(struct worker *w, uint64_t *ret)
{
	if (w->exhausted)
		return false;
	*ret = atomic_fetch_add_explicit(w->next_seq, 1, memory_order_relaxed);
	if (*ret >= w->end_seq || stopping)
		w->exhausted = true;
	return !w->exhausted;
}

/* When exchange number i of this thread is due. */
static uint64_t due_at(const struct worker *w, uint64_t i)
{
	uint64_t rate = w->o->rate;

	if (rate == 0)
		return 0;
	return w->start_ns +
	       (uint64_t)((unsigned __int128)i * 1000000000ULL * w->o->threads / rate);
}

static void dispatch(struct worker *w)
{
	uint64_t now = sockio_now_ns();

	if (w->stop_at_ns && now >= w->stop_at_ns)
		w->exhausted = true;
	while (!w->exhausted && due_at(w, w->issued) <= now) {
		struct client *c = take_ready(w);
		uint64_t seq, due;

		if (!c)
			return;
		do {
			due = due_at(w, w->issued);
			if (due > now || !draw_seq(w, &seq))
				break;
			if (due && now - due > w->late_max_ns)
				w->late_max_ns = now - due;
			w->issued++;
			client_add(c, seq, due ? due : now);
		} while (client_has_room(c));
		if (!client_flush(c, w->epoll_fd))
			reopen(w, c);
		make_ready(w, c);
	}
}

static void arm_timer(struct worker *w)
{
	uint64_t due = due_at(w, w->issued);
	struct itimerspec it = { 0 };

	if (w->o->rate == 0 || w->ready_n == 0 || w->exhausted)
		return;
	it.it_value.tv_sec = (time_t)(due / 1000000000);
	it.it_value.tv_nsec = (long)(due % 1000000000);
	timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &it, NULL);
}

static bool anything_open(const struct worker *w)
{
	for (unsigned int i = 0; i < w->connections; i++)
		if (w->clients[i].fl_n > 0 || w->clients[i].pending || w->clients[i].tunnel)
			return true;
	return false;
}

static void check_times(struct worker *w)
{
	uint64_t now = sockio_now_ns();

	for (unsigned int i = 0; i < w->connections; i++) {
		if (!client_check_time(&w->clients[i], now))
			continue;
		reopen(w, &w->clients[i]);
	}
}

static void drain_timer(struct worker *w)
{
	uint64_t expirations;

	if (read(w->timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		w->error = -errno;
}

/* Until the sequence numbers are used up and everything is answered, or STOP_PATIENCE_NS after a
 * signal. */
static void run(struct worker *w)
{
	struct epoll_event ev[256];
	uint64_t patience_ns = 0;

	while (!w->exhausted || anything_open(w)) {
		int n;

		if (stopping && patience_ns == 0)
			patience_ns = sockio_now_ns() + STOP_PATIENCE_NS;
		if (patience_ns && sockio_now_ns() > patience_ns)
			break;

		dispatch(w);
		arm_timer(w);
		n = epoll_wait(w->epoll_fd, ev, 256, 20);
		for (int i = 0; i < n; i++) {
			struct client *c = ev[i].data.ptr;

			if (!c)
				drain_timer(w);
			else if (!client_on_event(c, w->epoll_fd, ev[i].events))
				reopen(w, c);
			if (c)
				make_ready(w, c);
		}
		if (w->gives_up)
			check_times(w);
	}
}

static int worker_init(struct worker *w)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	w->clients = calloc(w->connections, sizeof(*w->clients));
	w->ready = calloc(w->connections, sizeof(struct client *));
	w->log = truth_log_new(w->o->truth_fd);
	if (w->epoll_fd < 0 || w->timer_fd < 0 || !w->clients || !w->ready || !w->log)
		return -ENOMEM;
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->timer_fd, &ev) < 0)
		return -errno;
	for (unsigned int i = 0; i < w->connections; i++)
		if (client_init(&w->clients[i], &w->o->c, &w->stats, w->log) < 0)
			return -ENOMEM;
	for (unsigned int i = 0; i < w->connections && !w->exhausted; i++)
		reopen(w, &w->clients[i]);
	return w->error;
}

/* Exchanges before the file appears: small ones, with numbers far above the measured ones, and not
 * part of the truth. */
static void warm_up(struct worker *w)
{
	struct truth_log *log = truth_log_new(-1);
	uint64_t count = w->o->warm * w->connections;
	atomic_uint_fast64_t seq = UINT64_C(1) << 36; /* longer numbers may be taken for a card's */
	atomic_uint_fast64_t *measured = w->next_seq;
	uint64_t end_seq = w->end_seq;

	for (unsigned int i = 0; i < w->connections; i++) {
		w->clients[i].log = log;
		w->clients[i].o = &w->o->warm_c;
	}
	w->next_seq = &seq;
	w->end_seq = seq + count;
	w->start_ns = sockio_now_ns();
	run(w);
	w->next_seq = measured;
	w->end_seq = end_seq;
	w->exhausted = false;
	w->issued = 0;
	memset(&w->stats, 0, sizeof(w->stats));
	for (unsigned int i = 0; i < w->connections; i++) {
		w->clients[i].log = w->log;
		w->clients[i].o = &w->o->c;
		if (w->clients[i].fd < 0)
			reopen(w, &w->clients[i]);
	}
	truth_log_free(log);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	w->error = worker_init(w);
	if (w->error == 0 && w->o->warm)
		warm_up(w);
	pthread_barrier_wait(w->warmed);
	pthread_barrier_wait(w->go);
	w->start_ns = sockio_now_ns();
	w->stop_at_ns = w->o->duration_ms ? w->start_ns + w->o->duration_ms * 1000000 : 0;
	if (w->error == 0)
		run(w);
	w->end_ns = sockio_now_ns();
	for (unsigned int i = 0; w->clients && i < w->connections; i++)
		client_done(&w->clients[i]);
	if (truth_log_free(w->log) < 0)
		w->error = -EIO;
	free(w->clients);
	free(w->ready);
	return NULL;
}

static uint64_t quantile_ns(const struct client_stats *s, uint64_t total, double q)
{
	uint64_t want = (uint64_t)((double)total * q), seen = 0;

	for (size_t i = 0; i < sizeof(s->latency) / sizeof(s->latency[0]); i++) {
		seen += s->latency[i];
		if (seen > want)
			return (64 + i % 64) << (i / 64 - 6);
	}
	return s->latency_max_ns;
}

static void add_stats(struct client_stats *a, const struct client_stats *b)
{
	a->done += b->done;
	a->failed += b->failed;
	a->planned_failures += b->planned_failures;
	a->connections += b->connections;
	a->tunnel_bytes += b->tunnel_bytes;
	a->wrong_seq += b->wrong_seq;
	a->wrong_status += b->wrong_status;
	a->wrong_body += b->wrong_body;
	a->bad += b->bad;
	for (size_t i = 0; i < sizeof(a->latency) / sizeof(a->latency[0]); i++)
		a->latency[i] += b->latency[i];
	if (b->latency_max_ns > a->latency_max_ns)
		a->latency_max_ns = b->latency_max_ns;
}

static int report(const struct options *o, struct worker *w)
{
	struct client_stats s = { 0 };
	uint64_t start = UINT64_MAX, end = 0, late = 0, answered = 0;
	int error = 0;
	double seconds;

	for (unsigned int i = 0; i < o->threads; i++) {
		add_stats(&s, &w[i].stats);
		start = w[i].start_ns < start ? w[i].start_ns : start;
		end = w[i].end_ns > end ? w[i].end_ns : end;
		late = w[i].late_max_ns > late ? w[i].late_max_ns : late;
		error = w[i].error ? w[i].error : error;
	}
	for (size_t i = 0; i < sizeof(s.latency) / sizeof(s.latency[0]); i++)
		answered += s.latency[i];
	seconds = (double)(end - start) / 1e9;
	printf("{\"exchanges\":%llu,\"answered\":%llu,\"failed\":%llu,\"planned_failures\":%llu,"
	       "\"wrong_seq\":%llu,\"wrong_status\":%llu,\"wrong_body\":%llu,\"bad\":%llu,"
	       "\"connections\":%llu,\"tunnel_bytes\":%llu,\"seconds\":%.3f,\"per_second\":%.0f,"
	       "\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,"
	       "\"late_max_us\":%.1f}\n",
	       (unsigned long long)s.done, (unsigned long long)answered,
	       (unsigned long long)s.failed, (unsigned long long)s.planned_failures,
	       (unsigned long long)s.wrong_seq, (unsigned long long)s.wrong_status,
	       (unsigned long long)s.wrong_body, (unsigned long long)s.bad,
	       (unsigned long long)s.connections, (unsigned long long)s.tunnel_bytes, seconds,
	       (double)s.done / seconds, (double)quantile_ns(&s, answered, 0.5) / 1e3,
	       (double)quantile_ns(&s, answered, 0.9) / 1e3,
	       (double)quantile_ns(&s, answered, 0.99) / 1e3,
	       (double)quantile_ns(&s, answered, 0.999) / 1e3, (double)s.latency_max_ns / 1e3,
	       (double)late / 1e3);
	if (error)
		fprintf(stderr, "stopped early: %s\n", strerror(-error));
	return error || s.failed || s.wrong_seq || s.wrong_status || s.wrong_body || s.bad ? 1 : 0;
}

static void wait_for_file(const char *path)
{
	puts("warm");
	fflush(stdout);
	while (access(path, F_OK) < 0 && !stopping)
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

static void usage(void)
{
	puts("kelpie-load --connect ADDR:PORT [--count N | --duration MS] [--rate PER_SECOND]\n"
	     "            [--connections N] [--threads N] [--depth N] [--per-conn N] [--mix MIX]\n"
	     "            [--truth FILE.csv] [--first-seq N] [--seed N] [--bind ADDR:0] "
	     "[--foreign]\n"
	     "            [--send HOW] [--recv HOW] [--recv-size BYTES] [--split BYTES]\n"
	     "            [--warm N --wait-start FILE] [--give-up MS] [--list-kinds]\n"
	     "Prints one line of JSON; exits with 1 when an exchange failed or got a wrong "
	     "answer.\n"
	     "--foreign: the server is not kelpie-echo, its answers are logged, not judged.\n"
	     "--warm: N small exchanges per connection, unlogged, then wait until FILE exists.");
}

enum { OPT_FIRST = 256, OPT_SEED, OPT_WARM, OPT_GIVE_UP, OPT_LIST, OPT_FOREIGN, OPT_BIND };

static int number_option(struct options *o, int opt, const char *v)
{
	switch (opt) {
	case 'n':
		o->count = text_option("--count", v, UINT64_C(1) << 35);
		return 1;
	case 'D':
		o->duration_ms = text_option("--duration", v, 86400000);
		return 1;
	case 'r':
		o->rate = text_option("--rate", v, 100000000);
		return 1;
	case 'c':
		o->connections = (unsigned int)text_option("--connections", v, 200000);
		return 1;
	case 'T':
		o->threads = (unsigned int)text_option("--threads", v, 64);
		return 1;
	case 'd':
		o->c.depth = (unsigned int)text_option("--depth", v, 4096);
		return 1;
	case 'k':
		o->c.per_conn = (unsigned int)text_option("--per-conn", v, 1u << 30);
		return 1;
	case 'R':
		o->c.recv_bytes = (size_t)text_option("--recv-size", v, 16u << 20);
		return 1;
	case 'S':
		o->c.split = (size_t)text_option("--split", v, 1u << 20);
		return 1;
	case OPT_FIRST:
		o->first_seq = text_option("--first-seq", v, UINT64_C(1) << 35);
		return 1;
	case OPT_SEED:
		o->c.mix.seed = text_option("--seed", v, UINT64_MAX);
		return 1;
	case OPT_WARM:
		o->warm = text_option("--warm", v, 1000000);
		return 1;
	case OPT_GIVE_UP:
		o->c.give_up_ns = text_option("--give-up", v, 3600000) * 1000000;
		return 1;
	default:
		return 0;
	}
}

static int text_options(struct options *o, int opt, const char *v)
{
	int r = 0;

	switch (opt) {
	case 'C':
		return sockio_address(v, &o->c.addr, &o->c.addr_len);
	case OPT_BIND:
		return sockio_address(v, &o->c.bind, &o->c.bind_len);
	case 'm':
		return plan_mix_read(&o->c.mix, v);
	case 't':
		r = truth_file_open(v, &o->truth_fd);
		if (r < 0)
			fprintf(stderr, "%s: %s\n", v, strerror(-r));
		return r;
	case 's':
		r = sockio_send_how(v);
		o->c.send = (enum send_how)r;
		return r;
	case 'v':
		r = sockio_recv_how(v);
		o->c.recv = (enum recv_how)r;
		return r;
	case 'w':
		o->wait_file = v;
		return 0;
	case OPT_FOREIGN:
		o->c.foreign = true;
		return 0;
	case OPT_LIST:
		plan_mix_help();
		exit(0);
	default:
		usage();
		exit(opt == 'h' ? 0 : 2);
	}
}

static void read_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "connect", 1, 0, 'C' },
		{ "count", 1, 0, 'n' },
		{ "duration", 1, 0, 'D' },
		{ "rate", 1, 0, 'r' },
		{ "connections", 1, 0, 'c' },
		{ "threads", 1, 0, 'T' },
		{ "depth", 1, 0, 'd' },
		{ "per-conn", 1, 0, 'k' },
		{ "mix", 1, 0, 'm' },
		{ "truth", 1, 0, 't' },
		{ "send", 1, 0, 's' },
		{ "recv", 1, 0, 'v' },
		{ "recv-size", 1, 0, 'R' },
		{ "split", 1, 0, 'S' },
		{ "wait-start", 1, 0, 'w' },
		{ "first-seq", 1, 0, OPT_FIRST },
		{ "seed", 1, 0, OPT_SEED },
		{ "warm", 1, 0, OPT_WARM },
		{ "give-up", 1, 0, OPT_GIVE_UP },
		{ "list-kinds", 0, 0, OPT_LIST },
		{ "foreign", 0, 0, OPT_FOREIGN },
		{ "bind", 1, 0, OPT_BIND },
		{ "help", 0, 0, 'h' },
		{ 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (!number_option(o, opt, optarg) && text_options(o, opt, optarg) < 0) {
			fprintf(stderr, "cannot use '%s', see --help\n", optarg);
			exit(2);
		}
	}
	if (!o->c.addr_len || !o->threads || o->connections < o->threads || !o->c.depth ||
	    o->c.recv_bytes < 4096) {
		usage();
		exit(2);
	}
	if (o->duration_ms && !o->count)
		o->count = UINT64_C(1) << 35;
}

int main(int argc, char **argv)
{
	struct options o = { .threads = 1, .connections = 16, .first_seq = 1, .truth_fd = -1 };
	struct sigaction stop = { .sa_handler = on_signal };
	atomic_uint_fast64_t next_seq;
	pthread_barrier_t warmed, go;
	struct rlimit nofile;
	struct worker *w;
	int r;

	o.c.depth = 1;
	o.c.recv_bytes = 65536;
	o.c.give_up_ns = 100000000;
	plan_mix_read(&o.c.mix, "basic");
	read_options(argc, argv, &o);
	o.warm_c = o.c;
	plan_mix_read(&o.warm_c.mix, "basic");
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &nofile) == 0) {
		nofile.rlim_cur = nofile.rlim_max;
		setrlimit(RLIMIT_NOFILE, &nofile);
	}
	w = calloc(o.threads, sizeof(*w));
	if (!w)
		return 1;
	atomic_init(&next_seq, o.first_seq);
	pthread_barrier_init(&warmed, NULL, o.threads + 1);
	pthread_barrier_init(&go, NULL, o.threads + 1);
	for (unsigned int i = 0; i < o.threads; i++) {
		w[i].o = &o;
		w[i].next_seq = &next_seq;
		w[i].end_seq = o.first_seq + o.count;
		w[i].connections = o.connections / o.threads;
		w[i].gives_up = plan_mix_has(&o.c.mix, "giveup");
		w[i].warmed = &warmed;
		w[i].go = &go;
		pthread_create(&w[i].thread, NULL, worker_main, &w[i]);
	}
	pthread_barrier_wait(&warmed);
	if (o.wait_file)
		wait_for_file(o.wait_file);
	pthread_barrier_wait(&go);
	for (unsigned int i = 0; i < o.threads; i++)
		pthread_join(w[i].thread, NULL);
	r = report(&o, w);
	free(w);
	return r;
}
