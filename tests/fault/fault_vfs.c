#include "fault_vfs.h"

#include <sqlite3.h>
#include <stddef.h>

int (*fault_vfs_ask)(enum fault_call call);

static sqlite3_vfs *below;
static sqlite3_vfs ours;

struct fault_file {
	sqlite3_file base;
	sqlite3_file *below; /* in the bytes behind this struct */
};

static sqlite3_file *real(sqlite3_file *f)
{
	return ((struct fault_file *)(void *)f)->below;
}

static int ask(enum fault_call call)
{
	return fault_vfs_ask ? fault_vfs_ask(call) : SQLITE_OK;
}

static int f_close(sqlite3_file *f)
{
	return real(f)->pMethods->xClose(real(f));
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off)
{
	return real(f)->pMethods->xRead(real(f), p, n, off);
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 off)
{
	int rc = ask(FAULT_WRITE);

	return rc ? rc : real(f)->pMethods->xWrite(real(f), p, n, off);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = ask(FAULT_TRUNCATE);

	return rc ? rc : real(f)->pMethods->xTruncate(real(f), size);
}

static int f_sync(sqlite3_file *f, int flags)
{
	int rc = ask(FAULT_SYNC);

	return rc ? rc : real(f)->pMethods->xSync(real(f), flags);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return real(f)->pMethods->xFileSize(real(f), ret);
}

static int f_lock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xLock(real(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xUnlock(real(f), level);
}

static int f_reserved(sqlite3_file *f, int *ret)
{
	return real(f)->pMethods->xCheckReservedLock(real(f), ret);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
	return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
	return real(f)->pMethods->xSectorSize(real(f));
}

static int f_character(sqlite3_file *f)
{
	return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = f_close,
	.xRead = f_read,
	.xWrite = f_write,
	.xTruncate = f_truncate,
	.xSync = f_sync,
	.xFileSize = f_size,
	.xLock = f_lock,
	.xUnlock = f_unlock,
	.xCheckReservedLock = f_reserved,
	.xFileControl = f_control,
	.xSectorSize = f_sector,
	.xDeviceCharacteristics = f_character,
};

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct fault_file *f = (struct fault_file *)(void *)file;
	int rc;

	(void)v;
	f->below = (sqlite3_file *)(void *)(f + 1);
	rc = below->xOpen(below, name, f->below, flags, ret_flags);
	f->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
	return rc;
}

void fault_vfs_install(void)
{
	if (below)
		return;
	below = sqlite3_vfs_find(NULL);
	ours = *below;
	ours.zName = "fault";
	ours.szOsFile = (int)sizeof(struct fault_file) + below->szOsFile;
	ours.xOpen = v_open;
	sqlite3_vfs_register(&ours, 1);
}
