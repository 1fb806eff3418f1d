/* TLS contexts for HTTP/2 between agents and collector: TLS 1.2 or later, ALPN "h2" (RFC 9113,
 * section 3.2 and 9.2).
 */
#ifndef TRANSPORT_TLS_H
#define TRANSPORT_TLS_H

#include "base/util.h"

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* A server's, from PEM files: the certificate with its chain, and its private key. 0; -EINVAL: *why
 * (cap bytes) is a sentence for people that names the file. */
int tls_server_new(const char *cert_file, const char *key_file, struct ssl_ctx_st **ret, char *why,
		   size_t cap);
/* A client's. ca_file: PEM file of the authorities to trust; "": the system's. Returns as above. */
int tls_client_new(const char *ca_file, struct ssl_ctx_st **ret, char *why, size_t cap);
/* NULL is fine. Connections that were made from it go on. */
void tls_free(struct ssl_ctx_st *ctx);

DEFINE_CLEANUP(struct ssl_ctx_st, tls_free)

#endif
