#include "strain_end.h"

#include "strains.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

const uint8_t *strain_bytes(void)
{
	static uint8_t bytes[STRAIN_BYTES_MAX];

	/* From the end: the first is there when all are. */
	for (uint64_t i = STRAIN_BYTES_MAX / 8; !bytes[1] && i-- > 0;) {
		uint64_t word = (i + 1) * 0x9e3779b97f4a7c15ull;

		word ^= word >> 29;
		memcpy(bytes + i * 8, &word, 8);
	}
	return bytes;
}

struct end end_new(int type_flags)
{
	struct timeval t = { 1, 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type_flags, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	return (struct end){ .fd = fd };
}

struct sockaddr_in address(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

int dial(struct end *e, uint16_t port)
{
	struct sockaddr_in a = address(port);

	e->sent = e->got = 0;
	return connect(e->fd, (struct sockaddr *)&a, sizeof(a));
}

int undial(struct end *e)
{
	struct sockaddr a = { .sa_family = AF_UNSPEC };

	e->sent = e->got = 0;
	return connect(e->fd, &a, sizeof(a));
}

bool put(struct end *e, size_t n)
{
	ssize_t r = send(e->fd, strain_bytes() + e->sent, n, MSG_NOSIGNAL);

	if (r > 0)
		e->sent += (uint64_t)r;
	return r == (ssize_t)n;
}

bool take(struct end *e, size_t n)
{
	uint8_t buf[PIECE_MAX];
	ssize_t r = recv(e->fd, buf, MIN(n, sizeof(buf)), 0);

	if (r > 0 && memcmp(buf, strain_bytes() + e->got, (size_t)r) != 0)
		return false;
	e->got += r > 0 ? (uint64_t)r : 0;
	return r > 0;
}

bool take_all(struct end *e, uint64_t n)
{
	for (uint64_t upto = e->got + n; e->got < upto;)
		if (!take(e, upto - e->got))
			return false;
	return true;
}

void drop(struct end *e, bool reset)
{
	struct linger at_once = { 1, 0 };

	if (reset)
		setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(e->fd);
}
