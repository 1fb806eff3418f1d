/* Hashes. Keyed ones for tables whose keys come from the wire (a seed per process) and for
 * identities that are stored; not for passwords.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/slice.h"

struct hash_key {
	uint64_t k0, k1;
};

/* Random key from the kernel; falls back to time and pid only when getrandom() is refused. */
void hash_key_random(struct hash_key *ret);

/* SipHash-1-3 (Aumasson, Bernstein 2012): keyed, for table keys under an attacker's control. */
uint64_t hash_bytes(const struct hash_key *key, struct slice s);

/* A bijective mixer of one word (splitmix64's finaliser): for numbers that we made ourselves. */
static inline uint64_t hash_u64(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

#endif
