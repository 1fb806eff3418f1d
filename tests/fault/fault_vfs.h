/* A SQLite VFS over the default one that can make writes, syncs and truncations fail. */
#ifndef TESTS_FAULT_FAULT_VFS_H
#define TESTS_FAULT_FAULT_VFS_H

enum fault_call { FAULT_WRITE, FAULT_SYNC, FAULT_TRUNCATE };

/* Asked before each call: 0 goes on, otherwise a SQLite result code (SQLITE_FULL,
 * SQLITE_IOERR_...). */
extern int (*fault_vfs_ask)(enum fault_call call);
/* Makes it the default of the process. */
void fault_vfs_install(void);

#endif
