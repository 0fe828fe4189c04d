/* SPDX-License-Identifier: Apache-2.0 */
/* Scoring alone: the passes of slim.c up to the scores, into a score file. */
#ifndef SLIM_SCORING_H
#define SLIM_SCORING_H

#include "slim/scorefile/file.h"
#include "slim/slim.h"

/* Scores the model of `in` on the items that slimming would fit on (in->options: the same meaning; nothing is cut), or
 * on the chunks of shard `shard` of `shards` (from 1; 0, 0: all). `out` zeroed; released also after a failure. */
enum tamis_status slim_score(const struct slim_inputs *in, int shard, int shards, struct score_file *out,
                             struct tamis_error *err);

#endif
