#include "storage/scan_int.h"

#include <errno.h>

void scan_snapshot_done(struct scan_snapshot *s)
{
	for (size_t i = 0; i < s->n_buckets; i++) {
		struct scan_bucket *b = &s->buckets[i];

		sealed_close(b->sealed);
		rowlog_put(b->log);
		bucket_put(b->bucket);
		free(b->entries);
	}
	for (size_t i = 0; i < s->n_mems; i++)
		memseg_put(s->mems[i]);
	free(s->buckets);
	free(s->mems);
	*s = (struct scan_snapshot){ 0 };
}

int scan_snapshot_add(struct scan_snapshot *s, struct bucket *b, struct rowlog *log)
{
	struct scan_bucket *grown = realloc(s->buckets, (s->n_buckets + 1) * sizeof(*grown));
	struct scan_bucket *sb;

	if (!grown)
		return -ENOMEM;
	s->buckets = grown;
	sb = &grown[s->n_buckets];
	*sb = (struct scan_bucket){ .tmin = b->tmin, .tmax = b->tmax };
	if (log) {
		sb->tmin = log->tmin;
		sb->tmax = log->tmax;
		sb->n_entries = log->n_entries;
		sb->entries = malloc((log->n_entries + 1) * sizeof(*sb->entries));
		if (!sb->entries)
			return -ENOMEM;
		if (log->n_entries)
			memcpy(sb->entries, log->entries, log->n_entries * sizeof(*sb->entries));
		sb->log = rowlog_get(log);
	}
	sb->bucket = bucket_get(b);
	s->n_buckets++;
	return 0;
}

int scan_snapshot_add_mem(struct scan_snapshot *s, struct memseg *m)
{
	struct memseg **grown = realloc(s->mems, (s->n_mems + 1) * sizeof(struct memseg *));

	if (!grown)
		return -ENOMEM;
	s->mems = grown;
	s->mems[s->n_mems++] = memseg_get(m);
	return 0;
}
