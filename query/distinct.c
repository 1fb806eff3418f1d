#include "query/distinct.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/util.h"

#include <errno.h>
#include <math.h>

#define FORMAT_EXACT	 1
#define FORMAT_REGISTERS 2
#define REGISTERS	 (1u << DISTINCT_BITS)
#define RANK_MAX	 (64 - DISTINCT_BITS + 1)
#define SET_CAP_MIN	 64u
/* Constant: states from different nodes are merged. */
static const struct hash_key KEY = { 0x6b656c7069652d64ULL, 0x697374696e637421ULL };

void distinct_init(struct distinct *d)
{
	memset(d, 0, sizeof(*d));
}

void distinct_done(struct distinct *d)
{
	free(d->set);
	free(d->registers);
	distinct_init(d);
}

static void register_add(uint8_t *registers, uint64_t hash)
{
	uint64_t rest = hash << DISTINCT_BITS;
	uint8_t rank = rest ? (uint8_t)(__builtin_clzll(rest) + 1) : RANK_MAX;
	uint8_t *at = &registers[hash >> (64 - DISTINCT_BITS)];

	if (rank > *at)
		*at = rank;
}

/* Whether it is new. There is always a free slot. */
static bool set_insert(uint64_t *set, uint32_t cap, uint64_t hash)
{
	uint32_t at = (uint32_t)(hash_u64(hash) & (cap - 1));

	while (set[at] && set[at] != hash)
		at = (at + 1) & (cap - 1);
	if (set[at])
		return false;
	set[at] = hash;
	return true;
}

static int set_grow(struct distinct *d)
{
	uint32_t cap = d->cap ? d->cap * 2 : SET_CAP_MIN;
	uint64_t *set = calloc(cap, sizeof(*set));

	if (!set)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->cap; i++)
		if (d->set[i])
			set_insert(set, cap, d->set[i]);
	free(d->set);
	d->set = set;
	d->cap = cap;
	return 0;
}

static int to_registers(struct distinct *d)
{
	uint8_t *registers = calloc(REGISTERS, 1);

	if (!registers)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->cap; i++)
		if (d->set[i])
			register_add(registers, d->set[i]);
	if (d->has_zero)
		register_add(registers, 0);
	distinct_done(d);
	d->registers = registers;
	return 0;
}

int distinct_add_hash(struct distinct *d, uint64_t hash)
{
	int r;

	if (!d->registers && d->len + d->has_zero >= DISTINCT_EXACT_MAX) {
		/* One more may be a known one: the set stays exact until it is proven too small. */
		uint32_t at = (uint32_t)(hash_u64(hash) & (d->cap - 1));

		while (hash && d->set[at] && d->set[at] != hash)
			at = (at + 1) & (d->cap - 1);
		if (hash ? d->set[at] != 0 : d->has_zero)
			return 0;
		r = to_registers(d);
		if (r < 0)
			return r;
	}
	if (d->registers) {
		register_add(d->registers, hash);
		return 0;
	}
	if (!hash) {
		d->has_zero = true;
		return 0;
	}
	if (d->len >= d->cap - d->cap / 4) {
		r = set_grow(d);
		if (r < 0)
			return r;
	}
	d->len += set_insert(d->set, d->cap, hash);
	return 0;
}

int distinct_add_int(struct distinct *d, int64_t v)
{
	return distinct_add_hash(d, hash_u64((uint64_t)v ^ KEY.k0));
}

int distinct_add_real(struct distinct *d, double v)
{
	uint64_t bits;

	if (v >= -9.2e18 && v <= 9.2e18 && v == floor(v))
		return distinct_add_int(d, (int64_t)v);
	memcpy(&bits, &v, sizeof(bits));
	return distinct_add_hash(d, hash_u64(hash_u64(bits) ^ KEY.k1));
}

int distinct_add_text(struct distinct *d, struct slice v)
{
	return distinct_add_hash(d, hash_bytes(&KEY, v));
}

int distinct_merge(struct distinct *d, const struct distinct *other)
{
	int r = 0;

	if (other->registers) {
		if (!d->registers)
			r = to_registers(d);
		for (uint32_t i = 0; r == 0 && i < REGISTERS; i++)
			if (d->registers[i] < other->registers[i])
				d->registers[i] = other->registers[i];
		return r;
	}
	if (other->has_zero)
		r = distinct_add_hash(d, 0);
	for (uint32_t i = 0; r == 0 && i < other->cap; i++)
		if (other->set[i])
			r = distinct_add_hash(d, other->set[i]);
	return r;
}

/* The two series of Ertl's estimator (arXiv:1702.01284, section 2.3), which needs neither the bias
 * tables nor the switch to linear counting of the original. */
static double sigma(double x)
{
	double y = 1, z = x, before;

	if (x == 1.0)
		return (double)INFINITY;
	do {
		x *= x;
		before = z;
		z += x * y;
		y += y;
	} while (z != before);
	return z;
}

static double tau(double x)
{
	double y = 1, z = 1 - x, before;

	if (x == 0.0 || x == 1.0)
		return 0;
	do {
		x = sqrt(x);
		before = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (z != before);
	return z / 3;
}

uint64_t distinct_count(const struct distinct *d)
{
	uint32_t histogram[RANK_MAX + 1] = { 0 };
	const double m = REGISTERS;
	double z;

	if (!d->registers)
		return (uint64_t)d->len + d->has_zero;
	for (uint32_t i = 0; i < REGISTERS; i++)
		histogram[d->registers[i]]++;
	z = m * tau(1.0 - (double)histogram[RANK_MAX] / m);
	for (int k = RANK_MAX - 1; k >= 1; k--)
		z = 0.5 * (z + (double)histogram[k]);
	z += m * sigma((double)histogram[0] / m);
	return (uint64_t)llround(m * m / (2 * log(2.0) * z));
}

void distinct_put(struct strbuf *out, const struct distinct *d)
{
	uint8_t bytes[10];

	strbuf_addch(out, d->registers ? FORMAT_REGISTERS : FORMAT_EXACT);
	if (d->registers) {
		strbuf_add(out, d->registers, REGISTERS);
		return;
	}
	strbuf_add(out, bytes, put_varint(bytes, d->len + d->has_zero));
	put_le(bytes, 0, 8);
	if (d->has_zero)
		strbuf_add(out, bytes, 8);
	for (uint32_t i = 0; i < d->cap; i++) {
		if (!d->set[i])
			continue;
		put_le(bytes, d->set[i], 8);
		strbuf_add(out, bytes, 8);
	}
}

static int get_exact(struct reader *in, struct distinct *d)
{
	uint64_t n = read_varint(in);

	if (in->bad || n > DISTINCT_EXACT_MAX || reader_left(in) != n * 8)
		return -EBADMSG;
	for (uint64_t i = 0; i < n; i++) {
		int r = distinct_add_hash(d, read_le64(in));

		if (r < 0)
			return r;
	}
	return d->len + d->has_zero == n ? 0 : -EBADMSG;
}

static int get_registers(struct reader *in, struct distinct *d)
{
	struct slice s = read_bytes(in, REGISTERS);

	if (in->bad || reader_left(in))
		return -EBADMSG;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] > RANK_MAX)
			return -EBADMSG;
	d->registers = malloc(REGISTERS);
	if (!d->registers)
		return -ENOMEM;
	memcpy(d->registers, s.p, REGISTERS);
	return 0;
}

int distinct_get(struct slice in, struct distinct *ret)
{
	struct reader r = reader_of(in);
	uint8_t format = read_u8(&r);
	struct distinct d;
	int err = -EBADMSG;

	distinct_init(&d);
	if (format == FORMAT_EXACT)
		err = get_exact(&r, &d);
	else if (format == FORMAT_REGISTERS)
		err = get_registers(&r, &d);
	if (err < 0) {
		distinct_done(&d);
		return err;
	}
	*ret = d;
	return 0;
}
