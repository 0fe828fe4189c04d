/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include <math.h>

#define GOLDEN 0x9e3779b97f4a7c15ULL /* 2^64 / golden ratio, odd */

/* The finaliser of SplitMix64 (variant 13 of Stafford): a bijection on 64-bit words. */
static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

uint64_t rng_hash(uint64_t seed, uint64_t value)
{
	return mix(mix(seed + GOLDEN) ^ mix(value * GOLDEN + 1));
}

struct rng rng_make(uint64_t seed, uint64_t stream)
{
	return (struct rng){.key = rng_hash(seed, stream), .counter = 0};
}

uint64_t rng_next(struct rng *r)
{
	return mix(r->key + ++r->counter * GOLDEN);
}

double rng_uniform(struct rng *r)
{
	return (double)(rng_next(r) >> 11) * 0x1p-53;
}

double rng_normal(struct rng *r)
{
	double radius = sqrt(-2 * log(1 - rng_uniform(r))); /* 1 - u lies in (0, 1] */

	return radius * cos(2 * 3.14159265358979323846 * rng_uniform(r));
}

/* The first 2^64 mod n words are refused, so that the rest divide evenly; fewer than two draws on average. */
uint64_t rng_below(struct rng *r, uint64_t n)
{
	uint64_t refuse = -n % n, word;

	do
		word = rng_next(r);
	while (word < refuse);
	return word % n;
}
