/* What capture costs the captured program: a getppid() loop and a loopback echo in one thread, with
 * no capture and with each rung, interleaved; the 10th percentile of short slices, medians over
 * rounds.
 *
 *	bench_capture [ROUNDS [RUNG [OVER]]]   prints one line per rung: ns per call, ns added per
 *					       captured event
 *
 * OVER: tcp, unix, unix-off (capture.unixSockets is off), unix-counted (nobody wants the bytes).
 */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define SLICES		150
#define CALLS		200 /* of one slice */
#define ROUNDS_MAX	32
#define EVENTS_PER_TRIP 4

static const struct {
	enum capture_rung rung;
	enum capture_read read;
} configs[] = {
	{ CAPTURE_RUNG_AUTO, CAPTURE_READ_AUTO }, /* none */
	{ CAPTURE_RUNG_SOCKLEN, CAPTURE_READ_BTF }, { CAPTURE_RUNG_SOCKLEN, CAPTURE_READ_PROBE },
	{ CAPTURE_RUNG_SYSEXIT, CAPTURE_READ_BTF }, { CAPTURE_RUNG_SYSEXIT, CAPTURE_READ_PROBE },
	{ CAPTURE_RUNG_RAWTP, CAPTURE_READ_BTF },   { CAPTURE_RUNG_TRACEPOINT, CAPTURE_READ_BTF },
};

static const size_t sizes[] = { 0, 100, 4000, 16000 }; /* 0: getppid */
#define N_SIZES ARRAY_SIZE(sizes)

static const char *over = "tcp";

static double (*result)[N_SIZES]; /* shared with the worker */

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void pair(int *a, int *b)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(addr);
	int l, one = 1, ends[2];

	if (strncmp(over, "unix", 4) == 0) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
			exit(2);
		*a = ends[0];
		*b = ends[1];
		return;
	}
	l = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (struct sockaddr *)&addr, n) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&addr, &n))
		exit(2);
	*a = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(*a, (struct sockaddr *)&addr, n))
		exit(2);
	*b = accept(l, NULL, NULL);
	setsockopt(*a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(*b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(l);
}

static void trip(int a, int b, char *buf, size_t n)
{
	if (send(a, buf, n, 0) < 0 || recv(b, buf, n, MSG_WAITALL) < 0 || send(b, buf, n, 0) < 0 ||
	    recv(a, buf, n, MSG_WAITALL) < 0)
		exit(3);
}

static double measure(int a, int b, size_t n)
{
	static double slice[SLICES];
	static char buf[16000];

	for (int s = 0; s < SLICES; s++) {
		int calls = n ? CALLS / 10 : CALLS;
		double from = now_ns();

		for (int i = 0; i < calls; i++) {
			if (n)
				trip(a, b, buf, n);
			else
				(void)syscall(SYS_getppid);
		}
		slice[s] = (now_ns() - from) / calls;
		if (n)
			usleep(200);
	}
	qsort(slice, SLICES, sizeof(slice[0]), compare);
	return slice[SLICES / 10];
}

static int worker(void *arg)
{
	int a, b;

	pair(&a, &b);
	for (size_t i = 0; i < N_SIZES; i++)
		(*result)[i] = measure(a, b, sizes[i]);
	(void)arg;
	return 0;
}

static void discard(struct ring *r)
{
	const struct ev_hdr *e;
	uint64_t end = ring_snapshot(r);

	while (ring_next(r, end, &e) != RING_END)
		;
	ring_release(r);
}

/* One configuration once. False: the kernel has it not. */
static bool run(size_t config)
{
	struct capture_opts o = { .rung = configs[config].rung,
				  .read = configs[config].read,
				  .probe_budget_bytes = strcmp(over, "unix-counted") ? 1ULL << 40
										     : 1,
				  .unix_sockets = strcmp(over, "tcp") && strcmp(over, "unix-off") };
	struct harness h = { 0 };
	pid_t pid;

	if (config && harness_start(&h, &o))
		return false;
	pid = harness_fork(worker, NULL);
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (config) {
			discard(&h.ctl);
			discard(&h.data);
		}
		usleep(10000);
	}
	if (config)
		harness_stop(&h);
	return true;
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), compare);
	return v[n / 2];
}

int main(int argc, char **argv)
{
	static double all[ARRAY_SIZE(configs)][N_SIZES][ROUNDS_MAX];
	static bool have[ARRAY_SIZE(configs)];
	enum capture_rung only = argc > 2 ? capture_rung_parse(argv[2]) : CAPTURE_RUNG_AUTO;
	int rounds = argc > 1 && argv[1][0] >= '1' && argv[1][0] <= '9' ? argv[1][0] - '0' : 5;

	over = argc > 3 ? argv[3] : over;
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (result == MAP_FAILED)
		return 1;
	for (int r = 0; r < rounds; r++)
		for (size_t c = 0; c < ARRAY_SIZE(configs); c++) {
			if (c && only && configs[c].rung != only)
				continue;
			have[c] = run(c);
			for (size_t i = 0; have[c] && i < N_SIZES; i++)
				all[c][i][r] = (*result)[i];
		}
	printf("%-18s %12s %12s %12s %12s\n", "rung", "getppid", "echo 100 B", "4000 B", "16000 B");
	for (size_t c = 0; c < ARRAY_SIZE(configs); c++) {
		printf("%-10s %-7s", c ? capture_rung_name(configs[c].rung) : "none",
		       c ? capture_read_name(configs[c].read) : "");
		for (size_t i = 0; have[c] && i < N_SIZES; i++) {
			double base = median(all[0][i], rounds), v = median(all[c][i], rounds);

			if (c)
				printf(" %6.0f +%4.0f", v,
				       (v - base) / (sizes[i] ? EVENTS_PER_TRIP : 1));
			else
				printf(" %12.0f", v);
		}
		printf("%s\n", have[c] ? "" : " not here");
	}
	return 0;
}
