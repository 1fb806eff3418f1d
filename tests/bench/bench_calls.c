/* bench_calls MILLISECONDS: what one system call costs the calling thread.
 *
 * A thread talks HTTP to itself over a loopback TCP connection in messages of 100 bytes (send,
 * recv, send, recv), then makes calls that touch no socket. Prints CPU nanoseconds per call as
 * JSON. The difference between a run with Kelpie and one without is what capture adds.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/slice.h"
#include "base/text.h"
#include "base/util.h"

#define MESSAGE_BYTES 100
#define ROUNDS	      200

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Two ends of one TCP connection. */
static bool connected_pair(int fd[2])
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	const int one = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ok = listener >= 0 && fd[0] >= 0 &&
	     bind(listener, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(listener, 1) == 0 &&
	     getsockname(listener, (struct sockaddr *)&sa, &len) == 0 &&
	     connect(fd[0], (struct sockaddr *)&sa, sizeof(sa)) == 0;
	fd[1] = ok ? accept(listener, NULL, NULL) : -1;
	close(listener);
	if (fd[1] < 0)
		return false;
	setsockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return true;
}

/* A head padded to MESSAGE_BYTES with a field of dots. */
static void make_message(char *out, const char *start)
{
	size_t n = strlen(start);

	memset(out, '.', MESSAGE_BYTES);
	memcpy(out, start, n);
	memcpy(out + MESSAGE_BYTES - 4, "\r\n\r\n", 4);
}

static bool round_trip(const int fd[2], const char *request, const char *response)
{
	char in[MESSAGE_BYTES];

	return send(fd[0], request, MESSAGE_BYTES, 0) == MESSAGE_BYTES &&
	       recv(fd[1], in, MESSAGE_BYTES, MSG_WAITALL) == MESSAGE_BYTES &&
	       send(fd[1], response, MESSAGE_BYTES, 0) == MESSAGE_BYTES &&
	       recv(fd[0], in, MESSAGE_BYTES, MSG_WAITALL) == MESSAGE_BYTES;
}

/* CPU nanoseconds per socket call; < 0 when the connection failed. */
static double measure_sockets(uint64_t duration_ns)
{
	char request[MESSAGE_BYTES], response[MESSAGE_BYTES];
	uint64_t end, cpu, calls = 0;
	int fd[2];

	if (!connected_pair(fd))
		return -1;
	make_message(request, "GET /bench HTTP/1.1\r\nHost: bench.test\r\nX-Pad: ");
	make_message(response, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Pad: ");
	for (int i = 0; i < ROUNDS; i++)
		if (!round_trip(fd, request, response))
			return -1;
	end = clock_ns(CLOCK_MONOTONIC) + duration_ns;
	cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	do {
		for (int i = 0; i < ROUNDS; i++)
			if (!round_trip(fd, request, response))
				return -1;
		calls += 4 * ROUNDS;
	} while (clock_ns(CLOCK_MONOTONIC) < end);
	cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	close(fd[0]);
	close(fd[1]);
	return (double)cpu / (double)calls;
}

static double measure_others(uint64_t duration_ns)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + duration_ns;
	uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), calls = 0;
	char byte = 0;

	do {
		for (int i = 0; i < ROUNDS; i++) {
			if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 0)
				return -1;
			getppid();
			lseek(fd, 0, SEEK_SET);
		}
		calls += 4 * ROUNDS;
	} while (clock_ns(CLOCK_MONOTONIC) < end);
	cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	close(fd);
	return (double)cpu / (double)calls;
}

int main(int argc, char **argv)
{
	uint64_t ms = 0;
	double sockets, others;

	if (argc != 2 || parse_u64(slice_of(argv[1], strlen(argv[1])), &ms) < 0) {
		fprintf(stderr, "bench_calls MILLISECONDS\n");
		return 2;
	}
	sockets = measure_sockets(ms * NSEC_PER_MSEC);
	others = measure_others(ms * NSEC_PER_MSEC);
	printf("{\"socket_call_ns\":%.1f,\"other_call_ns\":%.1f}\n", sockets, others);
	return sockets < 0 || others < 0;
}
