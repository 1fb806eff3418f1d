#include "k8s/known.h"

#include <errno.h>
#include <stdlib.h>

#define CAP_MIN 64

static int digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool known_uid_parse(struct slice text, struct known_uid *ret)
{
	struct known_uid uid;
	size_t n = 0;

	if (text.n != KNOWN_UID_TEXT - 1)
		return false;
	for (size_t i = 0; i < text.n;) {
		int high = digit(text.p[i]), low;

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text.p[i++] != '-')
				return false;
			continue;
		}
		low = digit(text.p[i + 1]);
		if (high < 0 || low < 0)
			return false;
		uid.b[n++] = (uint8_t)(high << 4 | low);
		i += 2;
	}
	*ret = uid;
	return true;
}

void known_uid_format(const struct known_uid *uid, char out[KNOWN_UID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	for (size_t i = 0; i < sizeof(uid->b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[at++] = '-';
		out[at++] = digits[uid->b[i] >> 4];
		out[at++] = digits[uid->b[i] & 15];
	}
	out[at] = '\0';
}

void known_init(struct known *k)
{
	*k = (struct known){ 0 };
	hash_key_random(&k->key);
}

void known_done(struct known *k)
{
	free(k->slots);
	k->slots = NULL;
	k->cap = k->len = 0;
}

static size_t home(const struct known *k, const struct known_uid *uid)
{
	return hash_bytes(&k->key, slice_of(uid->b, sizeof(uid->b))) & (k->cap - 1);
}

/* Its place, or the free one where it would be put. There is always a free one. */
static struct known_slot *place(const struct known *k, const struct known_uid *uid)
{
	size_t i = home(k, uid);

	while (k->slots[i].used && memcmp(&k->slots[i].uid, uid, sizeof(*uid)) != 0)
		i = (i + 1) & (k->cap - 1);
	return &k->slots[i];
}

struct known_slot *known_find(const struct known *k, const struct known_uid *uid)
{
	struct known_slot *s = k->cap ? place(k, uid) : NULL;

	return s && s->used ? s : NULL;
}

static int grow(struct known *k)
{
	struct known bigger = *k;

	bigger.cap = k->cap ? k->cap * 2 : CAP_MIN;
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < k->cap; i++)
		if (k->slots[i].used)
			*place(&bigger, &k->slots[i].uid) = k->slots[i];
	free(k->slots);
	*k = bigger;
	return 0;
}

int known_add(struct known *k, const struct known_uid *uid, uint64_t version, uint32_t round)
{
	int r;

	if (k->len >= K8S_KNOWN_MAX)
		return -ENOSPC;
	if (k->len + 1 > k->cap / 4 * 3) {
		r = grow(k);
		if (r < 0)
			return r;
	}
	*place(k, uid) = (struct known_slot){ *uid, version, round, true };
	k->len++;
	return 0;
}

/* Those behind that would not be found over the gap move up. */
void known_del(struct known *k, struct known_slot *slot)
{
	size_t mask = k->cap - 1, hole = (size_t)(slot - k->slots);

	for (size_t i = (hole + 1) & mask; k->slots[i].used; i = (i + 1) & mask) {
		size_t want = home(k, &k->slots[i].uid);

		if (((i - want) & mask) >= ((i - hole) & mask)) {
			k->slots[hole] = k->slots[i];
			hole = i;
		}
	}
	k->slots[hole].used = false;
	k->len--;
}

/* What known_del() moves into the place is looked at again; from the beginning to the end it moves only
 * what was kept. */
void known_sweep(struct known *k, uint32_t round,
		 void (*gone)(void *ctx, const struct known_uid *uid), void *ctx)
{
	for (size_t i = 0; i < k->cap;) {
		if (!k->slots[i].used || k->slots[i].round == round) {
			i++;
			continue;
		}
		gone(ctx, &k->slots[i].uid);
		known_del(k, &k->slots[i]);
	}
}
