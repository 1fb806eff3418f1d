/* The live store's own parts: store.c (interface, clock), flush.c (rows to log), recover.c (open),
 * seal.c (log to SQLite), retain.c (what is deleted), live.c (scans), catalog.c.
 *
 * lock protects builders, the bucket list, logs' indexes and counters against scans; it is held
 * while a segment is encoded and handed to the page cache, never while a file is synced or sealed.
 */
#ifndef STORAGE_STORE_INT_H
#define STORAGE_STORE_INT_H

#include "storage/bucket.h"
#include "storage/builder.h"
#include "storage/epochs.h"
#include "storage/scan_int.h"
#include "storage/store.h"
#include "storage/syms.h"

#include <pthread.h>

#define PIECES_MAX	8 /* encoded looks at a builder before they are made into one again */
#define PIECES_NS	(5 * NSEC_PER_SEC) /* they are kept for the next look so long */
#define RETRY_NS	NSEC_PER_SEC	   /* between attempts to write to a full or failing disk */
#define CLOCK_JUMP_NS	(5 * NSEC_PER_SEC)
#define DAMAGE_TEXT_MAX 8192
#define STORE_PATH_MAX	4096

struct table_store {
	uint16_t table;
	struct builder *builder; /* NULL: this table is not stored */
	uint64_t base_row;	 /* number in the bucket of the builder's first row */
	uint32_t logged;	 /* its first so many rows are in the log as minis */
	uint64_t logged_boot_ns;
	struct memseg *pieces[PIECES_MAX]; /* of rows [0, pieced), for scans */
	size_t n_pieces;
	uint32_t pieced;
	uint64_t scanned_boot_ns; /* when somebody last asked for pieces */
	size_t memory;		  /* of the builder, as counted in store.open_bytes */
	struct bucket *open; /* in store.buckets too; NULL: made with the next write, as next_no */
	uint32_t next_no;
	struct memseg **pending; /* whole segments that found no room, oldest first */
	size_t n_pending;
	uint32_t files_bad;
};

struct store {
	struct scan_source source; /* first: store_source() */
	struct store_opts o;
	char dir[STORE_PATH_MAX];
	char node[STORE_NODE_MAX];
	int dirfd, lockfd;
	pthread_mutex_t lock;
	struct syms syms;
	struct encoder *encoder;
	struct squeezer *z;
	struct segbuf buf;
	struct table_store tables[_TABLE_MAX];
	size_t open_bytes;	 /* memory of their builders */
	struct bucket **buckets; /* by number within a table */
	size_t n_buckets, cap_buckets;
	struct sealer *sealer;
	struct bucket *sealing; /* borrowed from buckets */
	struct catalog *catalog;
	uint64_t now_ns, boot_ns; /* of the last tick */
	uint64_t run_ns; /* grows with boot_ns, over restarts too: what age is counted in */
	uint64_t synced_boot_ns, checked_boot_ns, retry_boot_ns, seal_boot_ns;
	uint64_t written_before; /* io_written at open */
	uint64_t bytes_bad;	 /* of set-aside files */
	struct epoch epoch;	 /* what this run counts */
	struct epochs earlier;	 /* what earlier ones counted; unchanged after the open */
	uint64_t ledger_boot_ns; /* of the last writing; 0: none */
	bool ledger_grew;	 /* losses that no file tells of yet */
	struct store_counters c;
	char damage[DAMAGE_TEXT_MAX];
	size_t damage_len;
};

/* store.c */
/* A line of store_damage(); with the lock held or before there are other threads. */
void store_damage_add(struct store *s, const char *file, const char *why);

/* flush.c; all with the lock held */
int flush_table(struct store *s, struct table_store *t);
int flush_minis(struct store *s, struct table_store *t);
int flush_pending(struct store *s, struct table_store *t);
/* Ends the open bucket; it is sealed later. 0, or a negative errno when rows cannot be written
 * first. */
int flush_roll(struct store *s, struct table_store *t);
bool flush_roll_due(const struct store *s, const struct table_store *t);
/* A row was appended: segments end, and their memory is given back, until all builders together have no
 * more than they may. */
void flush_for_memory(struct store *s, struct table_store *t);
void flush_drop(struct store *s, struct table_store *t); /* rows in memory become losses */
void pieces_drop(struct table_store *t);
uint64_t flush_first_in_memory(const struct table_store *t);

/* retain.c; with the lock held */
void retain_pass(struct store *s);
/* Makes room at once on a full disk: deletes the oldest thing. Whether there was any. */
bool retain_emergency(struct store *s);
void retain_all(struct store *s);
uint64_t retain_bytes(const struct store *s, uint64_t *ret_payload);
int buckets_add(struct store *s, struct bucket *b);
/* Takes it off the list and forgets its sealing; the caller owns the reference. */
void buckets_remove(struct store *s, struct bucket *b);
uint64_t bucket_rows(const struct bucket *b);

/* seal.c; without the lock */
void seal_step(struct store *s, size_t budget);
void seal_abandon(struct store *s);

/* recover.c */
int recover_check(struct store *s, struct store_diag *diag); /* touches nothing */
int recover_load(struct store *s, struct store_diag *diag);
/* Renames the files of a bucket (or one file) to NAME.bad. */
void recover_set_aside(struct store *s, struct bucket *b, const char *why);

/* live.c */
int live_open(struct scan_source *src, const struct scan_plan *plan, struct scan **ret);

/* catalog.c: what files there should be. Never authoritative, never a reason to fail. */
struct catalog;
struct catalog *catalog_open(const char *dir);
void catalog_close(struct catalog *c);
/* Calls fn for each bucket that is in the catalogue. */
void catalog_each(struct catalog *c, void (*fn)(void *ctx, const char *name), void *ctx);
/* Many changes as one write. */
void catalog_begin(struct catalog *c);
void catalog_commit(struct catalog *c);
/* 0 or -EIO */
int catalog_put(struct catalog *c, const struct bucket *b);
int catalog_del(struct catalog *c, const char *name);

#endif
