#include "transport/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

static const unsigned char alpn[] = { 2, 'h', '2' };

static int choose_h2(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
		     const unsigned char *offered, unsigned int n, void *ctx)
{
	(void)ssl;
	(void)ctx;
	for (unsigned int i = 0; i < n && i + offered[i] < n; i += offered[i] + 1u) {
		if (offered[i] == 2 && memcmp(offered + i + 1, "h2", 2) == 0) {
			*ret = offered + i + 1;
			*ret_n = 2;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* -EINVAL, with what OpenSSL has to say. */
static int refuse(const char *what, const char *file, char *why, size_t cap)
{
	unsigned long error = ERR_peek_error();
	const char *reason = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
						     : ERR_reason_error_string(error);

	snprintf(why, cap, "%s %s: %s", what, file, reason ? reason : "not usable");
	ERR_clear_error();
	return -EINVAL;
}

static SSL_CTX *context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (!ctx)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* An idle connection keeps no buffers: thousands of them are cheap then. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return ctx;
}

int tls_server_new(const char *cert_file, const char *key_file, struct ssl_ctx_st **ret, char *why,
		   size_t cap)
{
	_cleanup_(tls_freep) SSL_CTX *ctx = context(TLS_server_method());

	if (!ctx)
		return refuse("TLS", "", why, cap);
	if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
		return refuse("certificate", cert_file, why, cap);
	if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
		return refuse("private key", key_file, why, cap);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return refuse("private key does not belong to the certificate:", key_file, why,
			      cap);
	SSL_CTX_set_alpn_select_cb(ctx, choose_h2, NULL);
	*ret = TAKE_PTR(ctx);
	return 0;
}

int tls_client_new(const char *ca_file, struct ssl_ctx_st **ret, char *why, size_t cap)
{
	_cleanup_(tls_freep) SSL_CTX *ctx = context(TLS_client_method());
	int ok;

	if (!ctx)
		return refuse("TLS", "", why, cap);
	ok = *ca_file ? SSL_CTX_load_verify_locations(ctx, ca_file, NULL)
		      : SSL_CTX_set_default_verify_paths(ctx);
	if (ok != 1)
		return refuse("authorities", ca_file, why, cap);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn)) != 0)
		return refuse("TLS", "ALPN", why, cap);
	*ret = TAKE_PTR(ctx);
	return 0;
}

void tls_free(struct ssl_ctx_st *ctx)
{
	SSL_CTX_free(ctx);
}
