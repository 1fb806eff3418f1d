#include "agent/data_dir.h"

#include "base/util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One file of the data directory becomes the store's: it may be of a version, or of a time without
 * Kelpie's users, in which the store was somebody else. Root's own files (lock, address) stay. */
static int adopt_file(int dir, const char *name, const struct run_as_ids *as)
{
	_cleanup_(closep) int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	/* A second name may be that of somebody else's file. */
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid == 0 ||
	    (st.st_uid == as->uid && st.st_gid == as->gid))
		return 0;
	return fchownat(fd, "", as->uid, as->gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int adopt_files(int dir, const struct run_as_ids *as)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *e;

	if (!d)
		return -errno;
	while (r == 0 && (e = readdir(d)))
		r = adopt_file(dir, e->d_name, as);
	closedir(d);
	return r;
}

/* err, reported. */
static int complain(int err, const char *what, const char *dir, const char *hint)
{
	fprintf(stderr, "kelpie-agent: cannot %s %s: %s%s\n", what, dir, strerror(-err), hint);
	return err;
}

/* Root's, and the store's group may do all in it. */
static int hand_over(int fd, const struct run_as_ids *store)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_uid != 0 || st.st_gid != store->gid) && fchown(fd, 0, store->gid) < 0)
		return -errno;
	return (st.st_mode & 07777) != 0770 && fchmod(fd, 0770) < 0 ? -errno : 0;
}

int data_dir_make(const char *dir, const struct run_as_ids *store)
{
	_cleanup_(closep) int fd = -1;
	char hint[128];
	int err;

	if (mkdir(dir, 0770) < 0 && errno != EEXIST)
		return complain(-errno, "make the data directory", dir,
				"; choose another with --data-dir");
	/* Its owner is changed, so it is no link that somebody else may have put there. */
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return complain(-errno, "use the data directory", dir,
				"; it must be a directory and no symbolic link to one");
	err = hand_over(fd, store);
	if (err == 0)
		err = adopt_files(fd, store);
	snprintf(hint, sizeof(hint), "; that takes CAP_CHOWN, or root in the group %u",
		 (unsigned int)store->gid);
	return err < 0 ? complain(err, "hand over to the store", dir, err == -EPERM ? hint : "")
		       : 0;
}
