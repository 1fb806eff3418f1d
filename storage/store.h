/* The event store of one node (hop 8): rows go in, columnar segments in files come out, scans read
 * them back. The directory belongs to one store at a time; docs/internals/segment.md draws the
 * files.
 *
 * Threads: store_append(), store_sym(), store_sym_reset(), store_tick(), store_flush(),
 * store_purge() and store_close() belong to one writer thread. The scan source, its scans and
 * store_counters() may be used by any thread at the same time; one scan object belongs to one
 * thread at a time. Every scan must be closed before store_close() or store_reader_close().
 *
 * A row that store_append() took can be scanned at once. It is safe from kill -9 when the next
 * store_tick() or store_flush() has returned, from power loss one sync interval later.
 *
 * Laws, exact at every moment (struct store_counters):
 *	rows_in                  = rows_written + rows_held + rows_rejected + rows_lost
 *	rows_found + rows_written = rows_stored + rows_expired + rows_damaged
 */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include "base/slice.h"
#include "protocols/record.h"
#include "storage/epochs.h"
#include "storage/scan.h"

#define STORE_SYMS_MAX	      (1u << 16) /* numbers of interned texts are below this */
#define STORE_SYM_TEXT_MAX    4096	 /* bytes of one interned text */
#define STORE_SYM_BYTES_MAX   (8u << 20) /* bytes of all of them */
#define STORE_FLUSH_ROWS_MAX  16384
#define STORE_NODE_MAX	      256 /* bytes of a node's name with NUL */
#define STORE_RESERVE_DEFAULT UINT64_MAX

struct store_diag {
	char text[512]; /* what failed, why, what to do; one line, always terminated */
};

struct store_opts {
	const char *dir; /* made when absent (one level), mode 0770 */
	const char
		*node; /* fills COL_NODE of rows that have none; at most STORE_NODE_MAX - 1 bytes */
	uint64_t epoch; /* fills COL_EPOCH */

	uint64_t retention_bytes;  /* all files of the directory */
	uint64_t payload_bytes;	   /* of these, files of the payload class */
	uint64_t retention_age_ns; /* 0: no limit. Counted in time that the store ran, see
				      store_tick() */
	uint64_t reserve_bytes; /* left free on the filesystem; default: 5 % of it, at most 1 GiB */
	uint64_t floor_bytes; /* a full disk never makes the store drop below this; 0: an eighth of
				 retention_bytes */

	uint64_t bucket_bytes; /* a bucket ends at this size, 0: 64 MiB, less in a small budget */
	uint64_t bucket_ns;    /* or at this age, 0: an hour when it has 4 MiB, else four hours */

	uint32_t flush_rows;  /* a segment ends at so many rows */
	uint64_t flush_bytes; /* or so many bytes of values in memory */
	uint64_t
		open_bytes; /* memory of all tables' rows under way: beyond it a segment ends early */
	uint64_t tick_ns;   /* rows that are older than this reach a file at the next tick */
	uint64_t sync_ns;   /* fdatasync of the open files so often; 0: never */
	uint64_t held_bytes; /* memory for segments that found no room on disk */

	/* Called every fraction of a millisecond while a segment is made, with the store's lock
	 * held: the caller may let other processes have the CPU. NULL: nobody. */
	void (*between)(void *ctx);
	void *between_ctx;
};

/* Defaults for everything but dir, node and epoch. */
void store_opts_init(struct store_opts *o);

struct store;

/* Opens or makes the directory, recovers what a dead writer left and becomes its only writer. Both
 * clocks as in store_tick(). 0, else *diag says why and nothing in the directory was touched:
 * -EBUSY another instance (diag names its pid), -EPROTONOSUPPORT files of a newer format, -EACCES,
 * -ENOTDIR, -ENOSPC, -ENOMEM, ... Damaged files are set aside as NAME.bad and counted, they are no
 * reason to fail. */
int store_open(const struct store_opts *o, uint64_t now_ns, uint64_t boot_ns, struct store **ret,
	       struct store_diag *diag);
/* Writes what is held, seals nothing (the next open goes on), releases the directory. NULL is fine.
 */
void store_close(struct store *s);

/* Announces the text of an interned number; the text is copied. A number may be announced again
 * with another text: rows appended later have the new one. 0, -ERANGE (number or text too large, or
 * all texts too large: the number stays unknown), -ENOMEM. */
int store_sym(struct store *s, uint32_t sym, struct slice text);
/* The text of a number, empty when it is unknown. The writer thread's, until its next store_sym(). */
struct slice store_sym_text(const struct store *s, uint32_t sym);
/* Forgets all numbers (their writer was restarted). Rows already appended keep their texts. */
void store_sym_reset(struct store *s);

/* Takes a copy of a row that row_check() accepted. 0; -EINVAL: counted as rejected: a table that is
 * not stored, a cell whose kind is not its column's type, an unknown column or number, no end time.
 * Never blocks on anything but the file system; when that fails, the row is held or counted as lost
 * and the call still returns 0. */
int store_append(struct store *s, const struct row *r);

/* To be called at least once a second: writes rows older than tick_ns, seals and expires buckets,
 * retries failed writes, keeps the reserve. One call does a bounded piece of work (a few MiB).
 * now_ns: unix time; boot_ns: a clock that never jumps (CLOCK_BOOTTIME). Age is counted on the
 * second: when the first one jumps, clock_jumps grows, the bucket ends and nothing is deleted. */
void store_tick(struct store *s, uint64_t now_ns, uint64_t boot_ns);

/* Writes every appended row to a file now and syncs it. 0, or the negative errno of what is held.
 */
int store_flush(struct store *s);

/* Deletes every stored and held row (counted as expired). */
int store_purge(struct store *s);

/* What this run has counted so far (storage/epochs.h), to be called at least once a second by the
 * writer: kept in a file, at once when losses grew, else every few seconds. last: the run ends in
 * order. 0; -EINVAL, -ENOMEM; or why the file could not be written: it is tried again. */
int store_ledger(struct store *s, const struct epoch_line *lines, size_t n, uint64_t now_ns,
		 bool last);
/* What earlier runs have left in the directory; unchanged after store_open(), any thread. */
const struct epochs *store_earlier(const struct store *s);

struct store_counters {
	/* rows of this run */
	uint64_t rows_in;	/* store_append() calls */
	uint64_t rows_written;	/* are or were in a file */
	uint64_t rows_held;	/* in memory only */
	uint64_t rows_rejected; /* malformed */
	uint64_t rows_lost;	/* no room on disk nor in memory, or no memory */
	/* rows of the directory */
	uint64_t rows_found;   /* at open */
	uint64_t rows_stored;  /* in files now */
	uint64_t rows_expired; /* deleted by retention, purge or a full disk */
	uint64_t rows_damaged; /* in segments and files found to be damaged, as far as known */

	uint64_t rows_expired_full; /* of rows_expired: because the disk was full */
	uint64_t payload_expired;   /* payload files deleted while their rows stay */
	uint64_t bytes_in;	    /* of appended rows, as encoded by the parser process */
	uint64_t bytes_disk;	    /* all files of the directory */
	uint64_t bytes_payload;	    /* of these, payload class in sealed buckets */
	uint64_t bytes_appended;    /* written to files by this run */
	uint64_t bytes_held;	    /* memory of segments that wait for room on disk */
	uint64_t bytes_open;	    /* of rows on their way into segments */
	uint64_t bytes_pieces;	    /* of these as scans see them */
	uint64_t files, buckets, segments;
	uint64_t files_bad, segments_bad; /* found so far: set aside, or unreadable */
	uint64_t files_missing;		  /* known to the catalogue, not in the directory */
	uint64_t write_errors;		  /* failed writes, syncs, renames */
	uint64_t clock_jumps;
	uint64_t oldest_ns, newest_ns; /* end_time of the rows held; 0: none */
	bool disk_full;		       /* the last write found no room */
};

void store_counters(struct store *s, struct store_counters *ret);

/* One line for each damaged or missing file found so far, "NAME: why\n", at most cap bytes with
 * NUL. */
size_t store_damage(struct store *s, char *out, size_t cap);

/* What scans of the live store are opened with; borrowed until store_close(). Rows appended before
 * the scan was opened are in the answer, none of those appended later. */
struct scan_source *store_source(struct store *s);

/* A directory read without becoming its writer: another process may be writing to it, nothing in it
 * is locked, touched or created. Sees what had reached a file when a scan is opened. 0, -ENOENT,
 * -EPROTONOSUPPORT, -EACCES, ... with *diag set. */
struct store_reader;
int store_reader_open(const char *dir, struct store_reader **ret, struct store_diag *diag);
void store_reader_close(struct store_reader *r);
struct scan_source *store_reader_source(struct store_reader *r);
/* What the runs that wrote here know of losses. Number of runs that left a ledger, or a negative
 * errno. */
int store_reader_cover(struct store_reader *r, const struct loss_times *t, struct loss_cover *ret);
/* Whether a living store holds the directory (ask its socket rather than its files). */
bool store_reader_is_live(const struct store_reader *r);

#endif
