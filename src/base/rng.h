/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers by counter: value k of stream s under a seed is a pure function, so results never depend on the
 * order of calls or on the number of threads. The mixer is SplitMix64's (Steele, Lea, Flood 2014). */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng { uint64_t key, counter; };

struct rng rng_make(uint64_t seed, uint64_t stream);       /* e.g. stream = item index */
uint64_t rng_next(struct rng *r);
double rng_uniform(struct rng *r);                         /* [0, 1), 53 bits */
double rng_normal(struct rng *r);                          /* standard normal, Box-Muller, two draws a call */
uint64_t rng_below(struct rng *r, uint64_t n);             /* 0 .. n-1 without bias; n > 0 */
uint64_t rng_hash(uint64_t seed, uint64_t value);          /* one mixed word: splitting items into sets */

#endif
