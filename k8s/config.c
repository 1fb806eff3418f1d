/* Where a pod finds its API server, and the token that it shows there. */
#include "k8s/client_int.h"

#include "base/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

int k8s_config_in_cluster(struct k8s_config *ret)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	bool v6 = host && strchr(host, ':');
	int n;

	if (!host || !port || !host[0] || !port[0])
		return -ENOENT;
	memset(ret, 0, sizeof(*ret));
	n = snprintf(ret->server, sizeof(ret->server), "https://%s%s%s:%s", v6 ? "[" : "", host,
		     v6 ? "]" : "", port);
	if (n < 0 || (size_t)n >= sizeof(ret->server))
		return -ENOENT;
	snprintf(ret->ca_file, sizeof(ret->ca_file), K8S_ACCOUNT_DIR "ca.crt");
	snprintf(ret->token_file, sizeof(ret->token_file), K8S_ACCOUNT_DIR "token");
	return 0;
}

/* Nothing that could end the header's line. */
static bool token_ok(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}

int client_token_header(const char *path, struct strbuf *out)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) char *buf = malloc(K8S_TOKEN_MAX);
	struct slice token;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (!buf)
		return -ENOMEM;
	n = fd_read_trimmed(fd, buf, K8S_TOKEN_MAX);
	if (n < 0)
		return n == -ENODATA || n == -EMSGSIZE ? -EINVAL : (int)n;
	token = slice_of(buf, (size_t)n);
	if (!token_ok(token))
		return -EINVAL;
	strbuf_reset(out);
	strbuf_adds(out, "Authorization: Bearer ");
	strbuf_add(out, token.p, token.n);
	explicit_bzero(buf, (size_t)n);
	return out->failed ? -ENOMEM : 0;
}
