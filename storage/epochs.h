/* What each run of an agent counted, kept beside its rows, so that an answer about yesterday can
 * say what yesterday's agent lost. A run is an epoch; its file is EPOCH.ledger (epoch in
 * hexadecimal): lines of fields separated by tabs, replaced as a whole, the last line is the
 * CRC-32C of those before:
 *
 *	kelpie-ledger 1
 *	node NAME
 *	epoch NUMBER		start, unix ns
 *	range FROM TO		counted from, until
 *	ended 0|1		1: the run ended in order, nothing came after TO
 *	counter HOP STAGE COUNTER KIND INTENTIONAL UNIT VALUE
 *	lost FROM TO UNITS BYTES SAMPLED
 *	crc HEX
 *
 * A file that is damaged or of a newer format counts as absent. Where no file speaks for a time, it
 * is not known what was lost there: a run killed by force knows itself only until its last writing.
 */
#ifndef STORAGE_EPOCHS_H
#define STORAGE_EPOCHS_H

#include "base/losses.h"
#include "base/strbuf.h"
#include "storage/scan.h"

#define EPOCHS_MAX	 64  /* files kept in a directory; the oldest goes first */
#define EPOCH_LINES_MAX	 256 /* counters of one */
#define EPOCH_LOSSES_MAX 64  /* times at which one lost something; old ones are joined */
#define EPOCH_FILE_MAX	 (64 * KIB)
#define EPOCH_NODE_MAX	 256

enum epoch_kind { EPOCH_IN, EPOCH_OUT, EPOCH_HELD, EPOCH_LOSS };
extern const char *const epoch_kinds[];

/* One counter, as kelpie_ledger has them. */
struct epoch_line {
	uint8_t hop, kind, intentional; /* kind: enum epoch_kind */
	char stage[24], counter[40], unit[16];
	uint64_t value;
};

/* Losses grew by so much between two looks. */
struct epoch_loss {
	uint64_t from_ns, to_ns;
	struct losses lost;
};

struct epoch {
	char node[EPOCH_NODE_MAX];
	uint64_t epoch, from_ns, to_ns;
	bool ended;
	struct epoch_line *lines; /* owned */
	size_t n_lines;
	struct epoch_loss losses[EPOCH_LOSSES_MAX];
	size_t n_losses;
	struct losses total; /* of all losses */
};

void epoch_init(struct epoch *e, const char *node, uint64_t epoch, uint64_t from_ns);
void epoch_done(struct epoch *e);
/* The counters as they are at now_ns; what grew since the last call is booked as lost between the
 * two. Whether losses grew; -ENOMEM; -EINVAL above EPOCH_LINES_MAX. */
int epoch_count(struct epoch *e, const struct epoch_line *lines, size_t n, uint64_t now_ns);
/* Replaces the file: all of it or nothing. 0 or a negative errno. */
int epoch_write(int dirfd, const struct epoch *e);

/* All that a directory knows. */
struct epochs {
	struct epoch *v; /* by epoch */
	size_t n;
	uint64_t bytes; /* of their files */
	size_t bad;	/* files that could not be used */
};

/* 0 or a negative errno. prune: deletes files above EPOCHS_MAX and half-written ones. */
int epochs_read(int dirfd, bool prune, struct epochs *ret);
void epochs_done(struct epochs *e);

/* What is known of losses, scan.h. */
void epochs_cover(const struct epochs *e, const struct loss_times *t, struct loss_cover *ret);

/* Rows of kelpie_ledger; memscan.h. */
struct mem_rows;
int epochs_rows(const struct epochs *e, struct mem_rows *to);

#endif
