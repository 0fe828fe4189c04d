/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/aligned.h"

#include "ops/args.h"
#include "ops/broadcast.h"
#include "ops/family.h"

struct alignment { bool last; int64_t axis; };

enum tamis_status aligned_parse(struct op_parse *p, void **attr)
{
	struct alignment *a = *attr = args_alloc(p, sizeof *a);

	if (!a)
		return TAMIS_E_MEMORY;
	a->last = !attr_has(p, "axis");
	return attr_int(p, "axis", 0, &a->axis);
}

enum tamis_status aligned_channel_parse(struct op_parse *p, void **attr)
{
	struct alignment *a = *attr = args_alloc(p, sizeof *a);

	if (!a)
		return TAMIS_E_MEMORY;
	a->axis = 1;
	return TAMIS_OK;
}

/* The second input under a shape that today's broadcasting repeats in the same way: ones follow its dimensions. A single
 * element fits anywhere. */
static enum tamis_status align(const struct op_call *c, struct tensor *second)
{
	const struct alignment *a = c->node->attr;
	const struct tensor *x = op_in(c, 0), *y = op_in(c, 1);
	int64_t dims[TENSOR_MAX_RANK];
	int axis = x->rank - y->rank;
	enum tamis_status s = TAMIS_OK;

	*second = *y;
	if (!a->last && y->count != 1)
		s = args_axis(c->err, a->axis, x->rank, &axis);
	if (s != TAMIS_OK)
		return s;
	if (y->count == 1)
		return tensor_shape(second, y->type, 0, NULL, c->err);
	if (axis < 0 || axis + y->rank > x->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "the %d axes of input 1 do not fit beside the %d of input 0 from axis %d",
		               y->rank, x->rank, axis);
	for (int i = axis; i < x->rank; i++)
		dims[i - axis] = i - axis < y->rank ? y->dims[i - axis] : 1;
	s = tensor_shape(second, y->type, x->rank - axis, dims, c->err);
	if (s == TAMIS_OK && !broadcast_fits(second, x))
		return tm_fail(c->err, TAMIS_E_INVALID, "input 1 does not repeat to the shape of input 0 from axis %d", axis);
	return s;
}

static const struct op *newer(const struct op_call *c)
{
	return c->node->op + 1;
}

typedef enum tamis_status step_fn(struct op_call *c);

static enum tamis_status call_newer(struct op_call *c, step_fn *step)
{
	struct tensor second;
	const struct tensor *in[] = {op_in(c, 0), &second};
	struct op_call call = *c;
	enum tamis_status s = align(c, &second);

	call.in = in;
	return s == TAMIS_OK ? step(&call) : s;
}

enum tamis_status aligned_shape(struct op_call *c)
{
	return call_newer(c, newer(c)->shape);
}

enum tamis_status aligned_run(struct op_call *c)
{
	return call_newer(c, newer(c)->run);
}

enum tamis_status aligned_reverse(struct op_grad *g)
{
	struct tensor second, gradient;
	const struct tensor *in[] = {op_in(g->call, 0), &second};
	struct tensor *gin[] = {g->gin[0], g->gin[1] ? &gradient : NULL};
	struct op_call call = *g->call;
	struct op_grad same = {.call = &call, .gout = g->gout, .gin = gin};
	enum tamis_status s = align(g->call, &second);

	if (s == TAMIS_OK && g->gin[1]) {
		gradient = *g->gin[1];
		s = tensor_shape(&gradient, gradient.type, second.rank, second.dims, g->call->err);
	}
	call.in = in;
	return s == TAMIS_OK ? newer(g->call)->reverse(&same) : s;
}
