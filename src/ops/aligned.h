/* SPDX-License-Identifier: Apache-2.0 */
/* Operators of two inputs as they were before opset 7: the dimensions of the second stand beside those of the first from
 * the attribute `axis` on (missing: the last ones), and only the second is repeated. Such a row comes right before the
 * one with today's broadcasting, whose functions do the work on a view of the second input. */
#ifndef OPS_ALIGNED_H
#define OPS_ALIGNED_H

#include "graph/op.h"

enum tamis_status aligned_parse(struct op_parse *p, void **attr);
/* The same without attributes: from axis 1 on, where channels are (PRelu). */
enum tamis_status aligned_channel_parse(struct op_parse *p, void **attr);
enum tamis_status aligned_shape(struct op_call *c);
enum tamis_status aligned_run(struct op_call *c);
enum tamis_status aligned_reverse(struct op_grad *g);

/* The fields of such a row beside its name: no gradient, and nothing known of channels. */
#define ALIGNED_ROW(first, parse_axis) \
	.domain = "", .since = first, .until = 6, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, \
	.parse = parse_axis, .shape = aligned_shape, .run = aligned_run

#endif
