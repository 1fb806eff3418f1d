#include "truthlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

#define BUFFER_BYTES   (256u * 1024u)
#define LINE_MAX_BYTES 1024u
#define TEXT_MAX_BYTES 160u

struct truth_log {
	int fd;
	int error;
	size_t n;
	char buf[BUFFER_BYTES];
};

static const char header[] =
	"seq,kind,method,path,version,status,client_addr,client_port,server_addr,server_port,"
	"request_bytes,request_body_bytes,request_framed_bytes,response_bytes,response_body_bytes,"
	"response_framed_bytes,interim_bytes,response_seq,trace_id,keep_alive,outcome,start_ns,"
	"end_ns\n";

static int write_all(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t r = write(fd, s, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		s += r;
		n -= (size_t)r;
	}
	return 0;
}

int truth_file_open(const char *path, int *ret_fd)
{
	/* O_APPEND: each thread's flush is one write of whole lines. */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, header, sizeof(header) - 1);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

struct truth_log *truth_log_new(int fd)
{
	struct truth_log *t = malloc(sizeof(*t));

	if (t) {
		t->fd = fd;
		t->error = 0;
		t->n = 0;
	}
	return t;
}

static void flush(struct truth_log *t)
{
	int r = t->n ? write_all(t->fd, t->buf, t->n) : 0;

	if (r < 0 && t->error == 0)
		t->error = r;
	t->n = 0;
}

static void put_text(struct truth_log *t, const char *s)
{
	size_t n = strlen(s);

	if (n > TEXT_MAX_BYTES)
		n = TEXT_MAX_BYTES;
	memcpy(t->buf + t->n, s, n);
	t->n += n;
	t->buf[t->n++] = ',';
}

static void put_number(struct truth_log *t, uint64_t v)
{
	t->n += text_put_u64(t->buf + t->n, v);
	t->buf[t->n++] = ',';
}

static void put_number_if(struct truth_log *t, bool known, uint64_t v)
{
	if (known)
		put_number(t, v);
	else
		put_text(t, "");
}

void truth_log_put(struct truth_log *t, const struct truth_row *r)
{
	if (t->fd < 0)
		return;
	if (BUFFER_BYTES - t->n < LINE_MAX_BYTES)
		flush(t);
	put_number(t, r->seq);
	put_text(t, r->kind);
	put_text(t, r->method);
	put_text(t, r->path);
	put_text(t, r->minor ? "1.1" : "1.0");
	put_number_if(t, r->status != 0, r->status);
	put_text(t, r->client->addr);
	put_number_if(t, r->client->port != 0, r->client->port);
	put_text(t, r->server->addr);
	put_number_if(t, r->server->port != 0, r->server->port);
	put_number(t, r->request_bytes);
	put_number(t, r->request_body_bytes);
	put_number(t, r->request_framed_bytes);
	put_number(t, r->response_bytes);
	put_number(t, r->response_body_bytes);
	put_number(t, r->response_framed_bytes);
	put_number(t, r->interim_bytes);
	put_number_if(t, r->has_response_seq, r->response_seq);
	put_text(t, r->trace_id);
	put_number(t, r->keep_alive);
	put_text(t, r->outcome);
	put_number(t, r->start_unix_ns);
	put_number(t, r->end_unix_ns);
	t->buf[t->n - 1] = '\n';
}

int truth_log_free(struct truth_log *t)
{
	int r;

	if (!t)
		return 0;
	flush(t);
	r = t->error;
	free(t);
	return r;
}
