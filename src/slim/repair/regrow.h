/* SPDX-License-Identifier: Apache-2.0 */
/* Cut connections that the network misses come back. */
#ifndef SLIM_REGROW_H
#define SLIM_REGROW_H

#include "slim/repair/distil.h"
#include "slim/score/score.h"

#define REGROW_ITEMS 4096 /* that gradients are taken on */

struct regrow_job {
	struct distil *distil;
	const struct layers *layers;
	const struct scores *scores;   /* of a state close by */
	const struct graph *original;  /* what was zero there stays so */
	double start;                  /* size of a connection that comes back; its sign is that of a step downhill */
};

/* Brings `count` cut connections back: those whose best step lowers the loss most by a quadratic model with the Fisher
 * information as curvature, g^2 / (alpha^2 E u^2 gain), g the gradient of the loss of distilling. Fewer where no more have
 * one. The same for any pool. One forward and reverse run of REGROW_ITEMS items; memory: two floats a weight. */
enum tamis_status regrow_run(const struct regrow_job *job, int64_t count, struct tamis_error *err);

#endif
