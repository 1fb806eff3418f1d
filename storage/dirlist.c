#include "storage/dirlist.h"

#include "storage/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

void dirlist_done(struct dirlist *l)
{
	free(l->v);
	*l = (struct dirlist){ 0 };
}

static struct dir_bucket *entry_for(struct dirlist *l, const char *name)
{
	struct dir_bucket *p;

	for (size_t i = l->n; i-- > 0;)
		if (strcmp(l->v[i].name, name) == 0)
			return &l->v[i];
	p = realloc(l->v, (l->n + 1) * sizeof(*p));
	if (!p)
		return NULL;
	l->v = p;
	p = &l->v[l->n++];
	*p = (struct dir_bucket){ 0 };
	memcpy(p->name, name, strlen(name) + 1);
	return p;
}

static int take_file(struct dirlist *l, int dirfd, const char *file, bool remove_tmp)
{
	struct dir_bucket *b, parsed = { 0 };
	enum bucket_file kind;
	struct stat st;
	uint64_t bytes;

	kind = bucket_file_of(file, parsed.name, &parsed.table, &parsed.no, &parsed.start_s);
	if (kind == FILE_OTHER || fstatat(dirfd, file, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode))
		return 0;
	bytes = (uint64_t)st.st_size;
	l->top_no[parsed.table] = MAX(l->top_no[parsed.table], parsed.no);
	if (kind == FILE_TMP) {
		if (remove_tmp)
			(void)io_unlink(dirfd, file);
		return 0;
	}
	if (kind == FILE_BAD) {
		l->files_bad[parsed.table]++;
		l->bytes_bad += bytes;
		return 0;
	}
	b = entry_for(l, parsed.name);
	if (!b)
		return -ENOMEM;
	b->table = parsed.table;
	b->no = parsed.no;
	b->start_s = parsed.start_s;
	b->log |= kind == FILE_LOG;
	b->meta |= kind == FILE_META;
	b->payload |= kind == FILE_PAYLOAD;
	if (kind == FILE_LOG)
		b->log_bytes = bytes;
	else if (kind == FILE_META)
		b->meta_bytes = bytes;
	else
		b->payload_bytes = bytes;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct dir_bucket *x = a, *y = b;

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	return x->no < y->no ? -1 : x->no > y->no;
}

int dirlist_read(int dirfd, bool remove_tmp, struct dirlist *ret)
{
	struct dirlist l = { 0 };
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (e = readdir(d)))
		err = take_file(&l, dirfd, e->d_name, remove_tmp);
	closedir(d);
	if (err < 0) {
		dirlist_done(&l);
		return err;
	}
	if (l.n)
		qsort(l.v, l.n, sizeof(*l.v), by_number);
	*ret = l;
	return 0;
}

static bool is_newer(const struct dir_bucket *d, const char *dir, int dirfd)
{
	struct sealed_head head = { 0 };
	char file[BUCKET_NAME_MAX + 16];
	int err;

	if (d->meta) {
		snprintf(file, sizeof(file), "%s.meta.db", d->name);
		err = sealed_head_read(dir, file, &head);
		sealed_head_done(&head);
	} else {
		snprintf(file, sizeof(file), "%s.log", d->name);
		err = d->log ? rowlog_version_check(dirfd, file) : 0;
	}
	return err == -EPROTONOSUPPORT;
}

const struct dir_bucket *dirlist_newer(const struct dirlist *l, const char *dir, int dirfd)
{
	for (size_t i = 0; i < l->n; i++)
		if (is_newer(&l->v[i], dir, dirfd))
			return &l->v[i];
	return NULL;
}
