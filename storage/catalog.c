/* catalog.db: one row per sealed bucket, so that a file that vanished is noticed and people can
 * look at the directory with one query. It is written after the fact and can be deleted at any
 * time.
 */
#include "storage/store_int.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

struct catalog {
	sqlite3 *db;
};

#define CREATE                                                                                     \
	"PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-256; "        \
	"CREATE TABLE IF NOT EXISTS bucket(name TEXT PRIMARY KEY, tbl TEXT, rows INTEGER, "        \
	"from_ns INTEGER, to_ns INTEGER, meta_bytes INTEGER, payload_bytes INTEGER) WITHOUT "      \
	"ROWID;"

static sqlite3 *try_open(const char *path)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
			    NULL) == SQLITE_OK &&
	    sqlite3_exec(db, CREATE "PRAGMA quick_check", NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, "SELECT name, rows FROM bucket", NULL, NULL, NULL) == SQLITE_OK)
		return db;
	sqlite3_close(db);
	return NULL;
}

struct catalog *catalog_open(const char *dir)
{
	struct catalog *c = calloc(1, sizeof(*c));
	char path[STORE_PATH_MAX + 32];

	if (!c)
		return NULL;
	snprintf(path, sizeof(path), "%s/catalog.db", dir);
	c->db = try_open(path);
	if (!c->db) { /* damaged: made again from the files */
		(void)unlink(path);
		c->db = try_open(path);
	}
	return c;
}

void catalog_close(struct catalog *c)
{
	if (!c)
		return;
	sqlite3_close(c->db);
	free(c);
}

void catalog_each(struct catalog *c, void (*fn)(void *ctx, const char *name), void *ctx)
{
	struct strbuf names = STRBUF_INIT(MIB);
	sqlite3_stmt *st = NULL;

	if (!c || !c->db)
		return;
	/* fn may delete rows: the names are read first */
	if (sqlite3_prepare_v2(c->db, "SELECT name FROM bucket", -1, &st, NULL) == SQLITE_OK) {
		while (sqlite3_step(st) == SQLITE_ROW) {
			strbuf_add(&names, sqlite3_column_text(st, 0),
				   (size_t)sqlite3_column_bytes(st, 0));
			strbuf_addch(&names, 0);
		}
	}
	sqlite3_finalize(st);
	for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1)
		fn(ctx, names.p + at);
	strbuf_done(&names);
}

int catalog_put(struct catalog *c, const struct bucket *b)
{
	sqlite3_stmt *st = NULL;
	int rc;

	if (!c || !c->db ||
	    sqlite3_prepare_v2(c->db, "INSERT OR REPLACE INTO bucket VALUES(?, ?, ?, ?, ?, ?, ?)",
			       -1, &st, NULL) != SQLITE_OK)
		return -EIO;
	sqlite3_bind_text(st, 1, b->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, schema_table(b->table)->name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, (int64_t)b->rows);
	sqlite3_bind_int64(st, 4, (int64_t)b->tmin);
	sqlite3_bind_int64(st, 5, (int64_t)b->tmax);
	sqlite3_bind_int64(st, 6, (int64_t)b->meta_bytes);
	sqlite3_bind_int64(st, 7, (int64_t)b->payload_bytes);
	rc = sqlite3_step(st);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : -EIO;
}

int catalog_del(struct catalog *c, const char *name)
{
	sqlite3_stmt *st = NULL;
	int rc;

	if (!c || !c->db ||
	    sqlite3_prepare_v2(c->db, "DELETE FROM bucket WHERE name = ?", -1, &st, NULL) !=
		    SQLITE_OK)
		return -EIO;
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : -EIO;
}

void catalog_begin(struct catalog *c)
{
	if (c && c->db)
		(void)sqlite3_exec(c->db, "BEGIN", NULL, NULL, NULL);
}

void catalog_commit(struct catalog *c)
{
	if (c && c->db)
		(void)sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL);
}
