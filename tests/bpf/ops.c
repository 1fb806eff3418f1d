#include "ops.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#ifdef HAVE_URING
#include <liburing.h>
#endif

/* Repeats one transfer until n bytes have moved. */
#define ALL(expr)                                                                                  \
	size_t done = 0;                                                                           \
	while (done < n) {                                                                         \
		uint8_t *p = buf + done;                                                           \
		size_t rest = n - done;                                                            \
		ssize_t r = (expr);                                                                \
		if (r <= 0)                                                                        \
			return -1;                                                                 \
		done += (size_t)r;                                                                 \
	}                                                                                          \
	return (ssize_t)n

static ssize_t op_write(int fd, uint8_t *buf, size_t n)
{
	ALL(write(fd, p, rest));
}
static ssize_t op_send(int fd, uint8_t *buf, size_t n)
{
	ALL(send(fd, p, rest, 0));
}
static ssize_t op_send_more(int fd, uint8_t *buf, size_t n)
{
	ALL(send(fd, p, rest, MSG_MORE));
}
static ssize_t op_read(int fd, uint8_t *buf, size_t n)
{
	ALL(read(fd, p, rest));
}
static ssize_t op_recv(int fd, uint8_t *buf, size_t n)
{
	ALL(recv(fd, p, rest, 0));
}
static ssize_t op_waitall(int fd, uint8_t *buf, size_t n)
{
	ALL(recv(fd, p, rest, MSG_WAITALL));
}
static ssize_t op_recvfrom(int fd, uint8_t *buf, size_t n)
{
	ALL(recvfrom(fd, p, rest, 0, NULL, NULL));
}
static ssize_t op_trunc(int fd, uint8_t *buf, size_t n)
{
	ALL(recv(fd, p, rest, MSG_TRUNC));
}

/* Five uneven vectors, one of them empty. */
static int vectors(struct iovec *v, uint8_t *p, size_t n)
{
	size_t a = n / 7, b = n / 3;

	v[0] = (struct iovec){ p, a };
	v[1] = (struct iovec){ p, 0 };
	v[2] = (struct iovec){ p + a, 1 };
	v[3] = (struct iovec){ p + a + 1, b };
	v[4] = (struct iovec){ p + a + 1 + b, n - a - 1 - b };
	return 5;
}

static ssize_t do_writev(int fd, uint8_t *p, size_t n)
{
	struct iovec v[5];

	return writev(fd, v, vectors(v, p, n));
}

static ssize_t do_readv(int fd, uint8_t *p, size_t n)
{
	struct iovec v[5];

	return readv(fd, v, vectors(v, p, n));
}

static ssize_t do_pwritev2(int fd, uint8_t *p, size_t n)
{
	struct iovec v[5];

	return pwritev2(fd, v, vectors(v, p, n), -1, 0);
}

static ssize_t do_preadv2(int fd, uint8_t *p, size_t n)
{
	struct iovec v[5];

	return preadv2(fd, v, vectors(v, p, n), -1, 0);
}

static ssize_t do_sendmsg(int fd, uint8_t *p, size_t n)
{
	struct iovec v[5];
	struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)vectors(v, p, n) };

	return sendmsg(fd, &m, 0);
}

static ssize_t do_recvmsg(int fd, uint8_t *p, size_t n)
{
	struct iovec v[5];
	struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)vectors(v, p, n) };

	return recvmsg(fd, &m, 0);
}

static ssize_t op_writev(int fd, uint8_t *buf, size_t n)
{
	ALL(rest < 16 ? write(fd, p, rest) : do_writev(fd, p, rest));
}
static ssize_t op_readv(int fd, uint8_t *buf, size_t n)
{
	ALL(rest < 16 ? read(fd, p, rest) : do_readv(fd, p, rest));
}
static ssize_t op_pwritev2(int fd, uint8_t *buf, size_t n)
{
	ALL(rest < 16 ? write(fd, p, rest) : do_pwritev2(fd, p, rest));
}
static ssize_t op_preadv2(int fd, uint8_t *buf, size_t n)
{
	ALL(rest < 16 ? read(fd, p, rest) : do_preadv2(fd, p, rest));
}
static ssize_t op_sendmsg(int fd, uint8_t *buf, size_t n)
{
	ALL(rest < 16 ? write(fd, p, rest) : do_sendmsg(fd, p, rest));
}
static ssize_t op_recvmsg(int fd, uint8_t *buf, size_t n)
{
	ALL(rest < 16 ? read(fd, p, rest) : do_recvmsg(fd, p, rest));
}

/* Three messages of two vectors each; the same vector of messages is used again and again, as
 * servers do. */
static void messages(struct mmsghdr *m, struct iovec *v, uint8_t *p, size_t n)
{
	size_t part = n / 3, at = 0;

	memset(m, 0, 3 * sizeof(*m));
	for (int i = 0; i < 3; i++) {
		size_t len = i == 2 ? n - at : part;

		v[2 * i] = (struct iovec){ p + at, len / 2 };
		v[2 * i + 1] = (struct iovec){ p + at + len / 2, len - len / 2 };
		m[i].msg_hdr.msg_iov = &v[2 * i];
		m[i].msg_hdr.msg_iovlen = 2;
		at += len;
	}
}

static struct mmsghdr kept[3];

static ssize_t op_sendmmsg(int fd, uint8_t *buf, size_t n)
{
	struct iovec v[6];
	ssize_t sum = 0;

	messages(kept, v, buf, n);
	if (sendmmsg(fd, kept, 3, 0) != 3)
		return -1;
	for (int i = 0; i < 3; i++)
		sum += kept[i].msg_len;
	return sum;
}

static ssize_t op_recvmmsg(int fd, uint8_t *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		struct iovec v[6];
		int got;

		if (n - done < 16)
			return op_read(fd, buf + done, n - done) < 0 ? -1 : (ssize_t)n;
		messages(kept, v, buf + done, n - done);
		/* Ends after what is there: the last call of the three often fails with EAGAIN. */
		got = recvmmsg(fd, kept, 3, MSG_WAITFORONE, NULL);
		if (got <= 0)
			return -1;
		for (int i = 0; i < got; i++) {
			/* a short message leaves a gap in the buffer, which nobody looks at */
			done += kept[i].msg_len;
		}
	}
	return (ssize_t)n;
}

static ssize_t op_peek(int fd, uint8_t *buf, size_t n)
{
	if (recv(fd, buf, n, MSG_PEEK) <= 0)
		return -1;
	return op_read(fd, buf, n);
}

static ssize_t op_failed_read(int fd, uint8_t *buf, size_t n)
{
	ssize_t r = op_read(fd, buf, n);

	if (recv(fd, buf, n, MSG_DONTWAIT) != -1 || errno != EAGAIN)
		return -1;
	return r;
}

static ssize_t op_sendfile(int fd, uint8_t *buf, size_t n)
{
	_cleanup_(closep) int file = memfd_create("body", 0);
	off_t at = 0;

	if (file < 0 || write(file, buf, n) != (ssize_t)n)
		return -1;
	while ((size_t)at < n)
		if (sendfile(fd, file, &at, n - (size_t)at) <= 0)
			return -1;
	return (ssize_t)n;
}

static ssize_t op_splice_in(int fd, uint8_t *buf, size_t n)
{
	int p[2];
	size_t done = 0;

	if (pipe(p))
		return -1;
	while (done < n) {
		ssize_t r = write(p[1], buf + done, MIN(n - done, 4096UL));

		if (r <= 0 || splice(p[0], NULL, fd, NULL, (size_t)r, 0) != r)
			break;
		done += (size_t)r;
	}
	close(p[0]);
	close(p[1]);
	return done == n ? (ssize_t)n : -1;
}

static ssize_t op_splice_out(int fd, uint8_t *buf, size_t n)
{
	int p[2];
	size_t done = 0;

	if (pipe(p))
		return -1;
	while (done < n) {
		ssize_t r = splice(fd, NULL, p[1], NULL, n - done, 0);

		if (r <= 0 || read(p[0], buf + done, (size_t)r) != r)
			break;
		done += (size_t)r;
	}
	close(p[0]);
	close(p[1]);
	return done == n ? (ssize_t)n : -1;
}

/* Loopback copies in the end; the notice in the error queue is nobody's. */
static ssize_t op_zerocopy(int fd, uint8_t *buf, size_t n)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)))
		return -1;
	ALL(send(fd, p, rest, MSG_ZEROCOPY));
}

/* The same socket under another number. */
static ssize_t op_dup_write(int fd, uint8_t *buf, size_t n)
{
	_cleanup_(closep) int other = fcntl(fd, F_DUPFD_CLOEXEC, 100);

	return op_write(other, buf, n);
}
static ssize_t op_dup_read(int fd, uint8_t *buf, size_t n)
{
	_cleanup_(closep) int other = fcntl(fd, F_DUPFD_CLOEXEC, 100);

	return op_read(other, buf, n);
}

static ssize_t op_child_write(int fd, uint8_t *buf, size_t n)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(op_write(fd, buf, n) == (ssize_t)n ? 0 : 1);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status == 0 ? (ssize_t)n : -1;
}

/* Sends fd over a UNIX socket to this process; the number that arrived. */
static int passed(int fd)
{
	int pair[2], got = -1;
	char byte = 0;
	struct iovec v = { &byte, 1 };
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)),
			     .cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS } };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	if (sendmsg(pair[0], &m, 0) == 1 && recvmsg(pair[1], &m, 0) == 1 &&
	    m.msg_controllen >= sizeof(control.h))
		memcpy(&got, CMSG_DATA(&control.h), sizeof(got));
	close(pair[0]);
	close(pair[1]);
	return got;
}

static ssize_t op_passed_write(int fd, uint8_t *buf, size_t n)
{
	_cleanup_(closep) int other = passed(fd);

	return op_write(other, buf, n);
}

static ssize_t aio(int fd, uint16_t opcode, uint8_t *buf, size_t n)
{
	aio_context_t ctx = 0;
	struct iocb cb = { .aio_fildes = (uint32_t)fd,
			   .aio_lio_opcode = opcode,
			   .aio_buf = (uintptr_t)buf,
			   .aio_nbytes = n };
	struct iocb *list = &cb;
	struct io_event ev = { 0 };
	ssize_t r = -1;

	if (syscall(SYS_io_setup, 1, &ctx))
		return -1;
	if (syscall(SYS_io_submit, ctx, 1L, &list) == 1 &&
	    syscall(SYS_io_getevents, ctx, 1L, 1L, &ev, NULL) == 1)
		r = (ssize_t)ev.res;
	syscall(SYS_io_destroy, ctx);
	return r;
}

static ssize_t op_aio_write(int fd, uint8_t *buf, size_t n)
{
	ALL(aio(fd, IOCB_CMD_PWRITE, p, rest));
}
static ssize_t op_aio_read(int fd, uint8_t *buf, size_t n)
{
	ALL(aio(fd, IOCB_CMD_PREAD, p, rest));
}

#if defined(__x86_64__)
/* write(2) the way 32-bit programs call it: other numbers, other registers. */
static ssize_t write_int80(int fd, const uint8_t *buf, size_t n)
{
	void *low = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
			 -1, 0);
	int r;

	if (low == MAP_FAILED)
		return -1;
	memcpy(low, buf, n);
	asm volatile("int $0x80" : "=a"(r) : "a"(4), "b"(fd), "c"(low), "d"(n) : "memory");
	munmap(low, n);
	return r;
}

static ssize_t op_write_compat(int fd, uint8_t *buf, size_t n)
{
	ALL(write_int80(fd, p, rest));
}
#endif

#ifdef HAVE_URING
typedef void (*uring_prep)(struct io_uring_sqe *sqe, int fd, void *buf, unsigned int n);

static void prep_send(struct io_uring_sqe *sqe, int fd, void *buf, unsigned int n)
{
	io_uring_prep_send(sqe, fd, buf, n, 0);
}
static void prep_recv(struct io_uring_sqe *sqe, int fd, void *buf, unsigned int n)
{
	io_uring_prep_recv(sqe, fd, buf, n, 0);
}
static void prep_write(struct io_uring_sqe *sqe, int fd, void *buf, unsigned int n)
{
	io_uring_prep_write(sqe, fd, buf, n, 0);
}
static void prep_read(struct io_uring_sqe *sqe, int fd, void *buf, unsigned int n)
{
	io_uring_prep_read(sqe, fd, buf, n, 0);
}

static ssize_t uring(int fd, uint8_t *buf, size_t n, uring_prep prep, unsigned int setup,
		     unsigned int sqe_flags)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe = NULL;
	struct io_uring_sqe *sqe;
	ssize_t r = -1;

	if (io_uring_queue_init(4, &ring, setup))
		return -1;
	sqe = io_uring_get_sqe(&ring);
	if (!sqe) {
		io_uring_queue_exit(&ring);
		return -1;
	}
	prep(sqe, fd, buf, (unsigned int)n);
	sqe->flags |= (uint8_t)sqe_flags;
	io_uring_submit(&ring);
	if (io_uring_wait_cqe(&ring, &cqe) == 0)
		r = cqe->res;
	io_uring_queue_exit(&ring);
	return r;
}

/* A receive that waits in the ring is finished on the way out of another system call: of a read()
 * on the same socket, whose registers still stand there. The first half goes to the read, the
 * second to the ring; only the first may be taken for what the registers say. */
ssize_t uring_late(int client, int server, uint8_t *buf, size_t half)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe = NULL;
	struct io_uring_sqe *sqe;
	ssize_t r = -1;
	pid_t pid;

	if (io_uring_queue_init(4, &ring, 0))
		return -1;
	sqe = io_uring_get_sqe(&ring);
	if (!sqe) {
		io_uring_queue_exit(&ring);
		return -1;
	}
	io_uring_prep_recv(sqe, server, buf + half, half, 0);
	io_uring_submit(&ring);
	pid = fork();
	if (pid == 0) {
		usleep(30000);
		_exit(write(client, buf, 2 * half) == (ssize_t)(2 * half) ? 0 : 1);
	}
	if (read(server, buf, half) == (ssize_t)half && io_uring_wait_cqe(&ring, &cqe) == 0)
		r = cqe->res;
	io_uring_queue_exit(&ring);
	return r;
}

static ssize_t op_uring_send(int fd, uint8_t *buf, size_t n)
{
	ALL(uring(fd, p, rest, prep_send, 0, 0));
}
static ssize_t op_uring_async(int fd, uint8_t *buf, size_t n)
{
	ALL(uring(fd, p, rest, prep_send, 0, IOSQE_ASYNC));
}
static ssize_t op_uring_sqpoll(int fd, uint8_t *buf, size_t n)
{
	ALL(uring(fd, p, rest, prep_send, IORING_SETUP_SQPOLL, 0));
}
static ssize_t op_uring_write(int fd, uint8_t *buf, size_t n)
{
	ALL(uring(fd, p, rest, prep_write, 0, 0));
}
static ssize_t op_uring_read(int fd, uint8_t *buf, size_t n)
{
	ALL(uring(fd, p, rest, prep_read, 0, 0));
}
static ssize_t op_uring_recv(int fd, uint8_t *buf, size_t n)
{
	ALL(uring(fd, p, rest, prep_recv, 0, 0));
}
#endif

const struct op senders[] = {
	{ "write", op_write, SEEN_CAPTURED },
	{ "send", op_send, SEEN_CAPTURED },
	{ "send MSG_MORE", op_send_more, SEEN_CAPTURED },
	{ "writev", op_writev, SEEN_CAPTURED },
	{ "pwritev2", op_pwritev2, SEEN_CAPTURED },
	{ "sendmsg", op_sendmsg, SEEN_CAPTURED },
	{ "sendmmsg", op_sendmmsg, SEEN_CAPTURED },
	{ "sendmmsg again", op_sendmmsg, SEEN_CAPTURED },
	{ "send MSG_ZEROCOPY", op_zerocopy, SEEN_CAPTURED },
	{ "write to a duplicate", op_dup_write, SEEN_CAPTURED },
	{ "write by a child", op_child_write, SEEN_CAPTURED },
	{ "write to a passed descriptor", op_passed_write, SEEN_CAPTURED },
	{ "sendfile", op_sendfile, SEEN_HOLE },
	{ "splice pipe to socket", op_splice_in, SEEN_HOLE },
	{ "io_submit write", op_aio_write, SEEN_HOLE_LENGTH },
#if defined(__x86_64__)
	{ "write of a 32-bit program", op_write_compat, SEEN_HOLE_LENGTH },
#endif
#ifdef HAVE_URING
	{ "io_uring send", op_uring_send, SEEN_HOLE_LENGTH },
	{ "io_uring write", op_uring_write, SEEN_HOLE_LENGTH },
	{ "io_uring send by a worker", op_uring_async, SEEN_HOLE_LENGTH },
	{ "io_uring send by SQPOLL", op_uring_sqpoll, SEEN_HOLE_LENGTH },
#endif
	{ NULL, NULL, 0 },
};

const struct op receivers[] = {
	{ "read", op_read, SEEN_CAPTURED },
	{ "recv", op_recv, SEEN_CAPTURED },
	{ "recv MSG_WAITALL", op_waitall, SEEN_CAPTURED },
	{ "recvfrom", op_recvfrom, SEEN_CAPTURED },
	{ "readv", op_readv, SEEN_CAPTURED },
	{ "preadv2", op_preadv2, SEEN_CAPTURED },
	{ "recvmsg", op_recvmsg, SEEN_CAPTURED },
	{ "recvmmsg", op_recvmmsg, SEEN_CAPTURED },
	{ "recvmmsg again", op_recvmmsg, SEEN_CAPTURED },
	{ "peek, then read", op_peek, SEEN_CAPTURED },
	{ "read from a duplicate", op_dup_read, SEEN_CAPTURED },
	{ "read, then a failed read", op_failed_read, SEEN_CAPTURED },
	{ "recv MSG_TRUNC", op_trunc, SEEN_HOLE },
	{ "splice socket to pipe", op_splice_out, SEEN_HOLE_SYSCALL },
	{ "io_submit read", op_aio_read, SEEN_HOLE_LENGTH },
#ifdef HAVE_URING
	{ "io_uring recv", op_uring_recv, SEEN_HOLE_LENGTH },
	{ "io_uring read", op_uring_read, SEEN_HOLE_LENGTH },
#endif
	{ NULL, NULL, 0 },
};
