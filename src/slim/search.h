/* SPDX-License-Identifier: Apache-2.0 */
/* How deep to cut: the deepest keep-fraction that passes the gate. */
#ifndef SLIM_SEARCH_H
#define SLIM_SEARCH_H

#include "slim/cut.h"
#include "slim/figures.h"
#include "slim/gate.h"

#define SEARCH_STEP 0.92   /* from one depth to the next: fractions of connections kept are powers of it */
#define SEARCH_DEPTHS 80   /* 0.92^80 = 1/790 */

struct search_job {
	struct cut *cut;
	struct gate *guess;     /* on fitting items: looks are free */
	struct gate *gate;      /* on held-out items */
	double confidence;
	double keep;            /* > 0: this share, judged once */
	struct arena *arena;    /* of the looks */
};

struct search_result {
	double keep;            /* chosen; valid when passed */
	bool passed;
	struct look_line *looks;
	size_t n_looks;
};

/* Leaves the cut applied at the chosen depth (restored when nothing passed).
 *
 * Fixed-sequence testing: the depths to judge, from gentle to deep, are chosen from the fitting items alone, and the
 * first one that fails on the held-out items ends the search. The error probability of the whole search is that of one
 * test, because accepting any bad depth takes accepting the first bad one of the sequence (Maurer, Hothorn, Lehmacher
 * 1995; for calibration: Angelopoulos et al. 2021). So no look costs confidence. */
enum tamis_status search_depth(const struct search_job *job, struct search_result *out, struct tamis_error *err);

#endif
