#include "transport/h2conn.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/epoll.h>

#define RECORD_BYTES (16 * KIB) /* of a TLS record at most (RFC 8446, section 5.1) */

static int expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	/* An address is looked for among the certificate's addresses, and is no server name. */
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return 0;
	if (X509_VERIFY_PARAM_set1_host(param, host, 0) != 1 ||
	    SSL_set_tlsext_host_name(ssl, host) != 1)
		return -EINVAL;
	return 0;
}

static int start_tls(struct h2_conn *c, struct ssl_ctx_st *tls, const char *host)
{
	c->ssl = SSL_new(tls);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
		return -ENOMEM;
	if (!host) {
		SSL_set_accept_state(c->ssl);
		return 0;
	}
	SSL_set_connect_state(c->ssl);
	return expect_host(c->ssl, host);
}

int h2_conn_open(struct h2_conn *c, int epoll_fd, int fd, struct ssl_ctx_st *tls, const char *host,
		 void (*ready)(struct watch *w, uint32_t events))
{
	struct epoll_event ev = { .events = EPOLLIN | (host ? EPOLLOUT : 0),
				  .data.ptr = &c->watch };
	int err;

	*c = (struct h2_conn){
		.watch = { ready }, .epoll_fd = epoll_fd, .fd = fd, .events = ev.events
	};
	err = start_tls(c, tls, host);
	if (err == 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		err = -errno;
	if (err < 0)
		h2_conn_close(c);
	return err;
}

static int wait_for(struct h2_conn *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = &c->watch };

	if (events == c->events)
		return 0;
	c->events = events;
	return epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) < 0 ? -errno : 0;
}

/* 0: the call is to be made again once the socket is ready. */
static int tls_error(struct h2_conn *c, int ret)
{
	int error = SSL_get_error(c->ssl, ret);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return 0;
	if (error == SSL_ERROR_ZERO_RETURN)
		return -ESHUTDOWN;
	if (error == SSL_ERROR_SSL)
		return -EPROTO;
	return errno ? -errno : -ECONNRESET;
}

static int handshake(struct h2_conn *c)
{
	const unsigned char *alpn;
	unsigned int n;
	int ret, err;

	ERR_clear_error();
	ret = SSL_do_handshake(c->ssl);
	if (ret != 1) {
		err = tls_error(c, ret);
		return err == -EPROTO ? -EKEYREJECTED : err;
	}
	SSL_get0_alpn_selected(c->ssl, &alpn, &n);
	if (n != 2 || alpn[0] != 'h' || alpn[1] != '2')
		return -EPROTONOSUPPORT;
	c->handshaken = true;
	return 0;
}

static bool has_room(const struct h2_conn *c)
{
	return nghttp2_session_get_outbound_queue_size(c->session) <= H2_QUEUE_MAX;
}

static int receive(struct h2_conn *c)
{
	uint8_t buf[RECORD_BYTES];
	size_t done = 0;

	/* What TLS has decrypted already will not show up in epoll. */
	while (has_room(c) && (done < H2_TURN_BYTES || SSL_pending(c->ssl) > 0)) {
		int n;

		ERR_clear_error();
		n = SSL_read(c->ssl, buf, sizeof(buf));
		if (n <= 0)
			return tls_error(c, n);
		done += (size_t)n;
		c->bytes_in += (uint64_t)n;
		if (nghttp2_session_mem_recv(c->session, buf, (size_t)n) != n)
			return -EPROTO;
		if (!nghttp2_session_want_read(c->session))
			return 0;
	}
	return 0;
}

static int transmit(struct h2_conn *c)
{
	for (;;) {
		int n;

		if (c->n_out == 0) {
			ssize_t got = nghttp2_session_mem_send(c->session, &c->out);

			if (got < 0)
				return got == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
			c->n_out = (size_t)got;
		}
		if (c->n_out == 0)
			return 0;
		ERR_clear_error();
		n = SSL_write(c->ssl, c->out, (int)MIN(c->n_out, (size_t)RECORD_BYTES));
		if (n <= 0)
			return tls_error(c, n);
		c->out += n;
		c->n_out -= (size_t)n;
	}
}

static int send_queued(struct h2_conn *c)
{
	uint32_t events = 0;
	int err = transmit(c);

	if (err < 0)
		return err;
	if (c->n_out == 0 && !nghttp2_session_want_read(c->session) &&
	    !nghttp2_session_want_write(c->session))
		return -ESHUTDOWN;
	if (nghttp2_session_want_read(c->session) && has_room(c))
		events |= EPOLLIN;
	if (c->n_out > 0)
		events |= EPOLLOUT;
	return wait_for(c, events);
}

int h2_conn_turn(struct h2_conn *c)
{
	int err = 0, sent;

	if (!c->handshaken) {
		err = handshake(c);
		if (err < 0)
			return err;
		if (!c->handshaken)
			return wait_for(c, EPOLLIN | (SSL_want_write(c->ssl) ? EPOLLOUT : 0));
	}
	do {
		err = receive(c);
		/* A peer that broke the protocol is told so. */
		sent = send_queued(c);
		/* What TLS holds back of a connection that had too much to say shows up nowhere. */
	} while (err == 0 && sent == 0 && SSL_pending(c->ssl) > 0 && c->n_out == 0);
	return err < 0 ? err : sent;
}

void h2_conn_close(struct h2_conn *c)
{
	if (c->session)
		nghttp2_session_del(c->session);
	if (c->ssl) {
		ERR_clear_error();
		if (c->handshaken)
			SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
	}
	closep(&c->fd);
	c->session = NULL;
	c->ssl = NULL;
	c->fd = -1;
}

const char *h2_conn_trouble(const struct h2_conn *c)
{
	long verdict = c->ssl ? SSL_get_verify_result(c->ssl) : X509_V_OK;
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (verdict != X509_V_OK)
		return X509_verify_cert_error_string(verdict);
	return reason ? reason : "the connection ended";
}
