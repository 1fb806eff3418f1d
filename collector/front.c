#include "collector/front.h"

#include "collector/complain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define PEM_MAX (64 * KIB)

static int read_pem(const char *path, char **ret)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_(freep) char *text = calloc(1, PEM_MAX);
	ssize_t n;

	if (!text)
		return -ENOMEM;
	n = fd < 0 ? -1 : read(fd, text, PEM_MAX);
	if (n < 0)
		return complain(path, strerrordesc_np(errno));
	if (n == PEM_MAX || !strstr(text, "-----BEGIN "))
		return complain(path, "is no PEM file of less than 64 KiB");
	*ret = TAKE_PTR(text);
	return 0;
}

int front_open(const struct front_config *cfg, struct front *ret)
{
	const struct listen_opts opts = { .uid = (uid_t)-1,
					  .gid = (gid_t)-1,
					  .dir_uid = (uid_t)-1 };
	char why[512] = "";
	int err;

	if (!cfg->address)
		return 0;
	err = read_pem(cfg->cert_file, &ret->cert);
	if (err == 0)
		err = read_pem(cfg->key_file, &ret->key);
	if (err < 0)
		return err;
	if (listener_open(cfg->address, &opts, &ret->listener, why, sizeof(why)) < 0)
		return complain("the service proxy's listener", why);
	return 0;
}

int front_start(struct front *f, const struct http_config *like)
{
	struct http_config cfg = *like;
	int err;

	if (f->listener.fd < 0)
		return 0;
	cfg.listener = &f->listener;
	cfg.service_proxy = true;
	cfg.tls_cert = f->cert;
	cfg.tls_key = f->key;
	cfg.token[0] = '\0';
	err = http_start(&cfg, &f->http);
	if (err < 0)
		complain("the service proxy's listener", "certificate and key are not usable");
	explicit_bzero(f->key, strlen(f->key));
	free(f->key);
	free(f->cert);
	f->cert = f->key = NULL;
	return err;
}

void front_reconfigure(struct front *f, const struct http_config *like)
{
	if (f->http)
		http_reconfigure(f->http, like);
}

bool front_stop(struct front *f, uint64_t until_ns)
{
	bool quiet = !f->http || http_stop(f->http, until_ns);

	listener_close(&f->listener);
	return quiet;
}
