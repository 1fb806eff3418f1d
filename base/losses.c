#include "base/losses.h"

#include <string.h>

void losses_count(struct losses *l, const char *counter, bool intentional, const char *unit,
		  uint64_t value)
{
	if (intentional)
		l->sampled += strcmp(counter, "sampled") == 0 ? value : 0;
	else if (strcmp(unit, "bytes") == 0 || strcmp(unit, "datagram_bytes") == 0)
		l->bytes += value;
	else
		l->units += value;
}

void losses_add(struct losses *to, const struct losses *more)
{
	to->units += more->units;
	to->bytes += more->bytes;
	to->sampled += more->sampled;
}

static uint64_t growth(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

struct losses losses_growth(const struct losses *now, const struct losses *before)
{
	return (struct losses){ growth(now->units, before->units),
				growth(now->bytes, before->bytes),
				growth(now->sampled, before->sampled) };
}

bool losses_any(const struct losses *l)
{
	return l->units || l->bytes || l->sampled;
}
