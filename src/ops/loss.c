/* SPDX-License-Identifier: Apache-2.0 */
/* NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss. Both read scores [N, C, D...] at the class that a
 * target
 * [N, D...] names; the second takes the logarithm of the softmax over C first. Sums are formed in double. */
#include <math.h>
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/reals.h"

enum reduction { REDUCE_NONE, REDUCE_SUM, REDUCE_MEAN };

struct loss_attr {
	int reduction;
	bool ignores, softmax;
	int64_t ignored;
};

static enum tamis_status loss_parse(struct op_parse *p, void **attr, bool softmax)
{
	static const char *const reductions[] = {"none", "sum", "mean", NULL};
	struct loss_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	a->softmax = softmax;
	a->ignores = attr_has(p, "ignore_index");
	status = attr_choice(p, "reduction", reductions, REDUCE_MEAN, &a->reduction);
	return status ? status : attr_int(p, "ignore_index", 0, &a->ignored);
}

static enum tamis_status nll_parse(struct op_parse *p, void **attr)
{
	return loss_parse(p, attr, false);
}

static enum tamis_status cross_parse(struct op_parse *p, void **attr)
{
	return loss_parse(p, attr, true);
}

static bool target_fits(const struct tensor *x, const struct tensor *target)
{
	if (target->rank != x->rank - 1 || target->dims[0] != x->dims[0])
		return false;
	return memcmp(target->dims + 1, x->dims + 2, (size_t)(x->rank - 2) * sizeof *x->dims) == 0;
}

static enum tamis_status loss_shape(struct op_call *c)
{
	const struct loss_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *target = c->in[1], *weight = op_in(c, 2);
	char scores[128], classes[128];
	enum tamis_status status = args_index_type(c, 1);

	if (status)
		return status;
	if (!dtype_is_float((int)x->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s does not take elements of type %s", c->node->op->name,
		               dtype_name((int)x->type));
	if (x->rank < 2 || !target_fits(x, target))
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "the target must have the scores' shape without axis 1; scores are %s, "
		               "the target is %s", tensor_describe(x, scores, sizeof scores),
		               tensor_describe(target, classes, sizeof classes));
	if (weight && (weight->type != x->type || weight->rank != 1 || weight->dims[0] != x->dims[1]))
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "the weight must be a vector of %lld elements of type %s; it is %s",
		               (long long)x->dims[1], dtype_name((int)x->type), tensor_describe(weight, scores,
		                                                                                sizeof scores));
	status = a->reduction == REDUCE_NONE ? op_set_like(c, 0, x->type, target) : op_set_out(c, 0, x->type, 0,
	                                                                                       NULL);
	return !status && a->softmax ? op_set_like(c, 1, x->type, x) : status;
}

/* Scores as [N, C, inner]. */
struct layout {
	int64_t items, classes, inner;
};

static struct layout layout_of(const struct tensor *x)
{
	return (struct layout){x->dims[0], x->dims[1], tensor_extent(x, 2, x->rank)};
}

/* Element of the scores that target i reads; -1 where it is ignored. */
static enum tamis_status place(const struct op_call *c, int64_t i, int64_t *at)
{
	const struct loss_attr *a = c->node->attr;
	struct layout l = layout_of(c->in[0]);
	int64_t class = tensor_get_int(c->in[1], i);

	*at = -1;
	if (a->ignores && class == a->ignored)
		return TAMIS_OK;
	if (class < 0 || class >= l.classes)
		return tm_fail(c->err, TAMIS_E_INVALID, "target %lld is class %lld; classes are 0 to %lld",
		               (long long)i,
		               (long long)class, (long long)l.classes - 1);
	*at = (i / l.inner * l.classes + class) * l.inner + i % l.inner;
	return TAMIS_OK;
}

static double weight_of(const struct op_call *c, int64_t i)
{
	return op_in(c, 2) ? real_get(c->in[2], tensor_get_int(c->in[1], i)) : 1;
}

/* y = log softmax of x along axis 1. */
static void log_softmax(const struct tensor *x, struct tensor *y)
{
	struct layout l = layout_of(x);

	for (int64_t k = 0; k < l.items * l.inner; k++) {
		int64_t base = k / l.inner * l.classes * l.inner + k % l.inner;
		double most = -INFINITY, sum = 0;

		for (int64_t i = 0; i < l.classes; i++)
			most = fmax(most, real_get(x, base + i * l.inner));
		for (int64_t i = 0; i < l.classes; i++)
			sum += exp(real_get(x, base + i * l.inner) - most);
		for (int64_t i = 0; i < l.classes; i++)
			real_set(y, base + i * l.inner, real_get(x, base + i * l.inner) - most - log(sum));
	}
}

/* The log-probabilities: the scores themselves, or output 1, or scratch. */
static enum tamis_status log_probabilities(const struct op_call *c, bool compute, struct tensor *t)
{
	const struct loss_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];

	*t = *x;
	if (!a->softmax)
		return TAMIS_OK;
	if (c->n_out > 1 && c->out[1]) {
		*t = *c->out[1];
	} else {
		t->data = scratch_alloc(c->scratch, tensor_bytes(x), 1);
		compute = true;
	}
	if (!t->data)
		return tm_no_memory(c->err, "computing a loss");
	if (compute)
		log_softmax(x, t);
	return TAMIS_OK;
}

struct total { double loss, weight; };

/* Sums over all targets; single losses go to `each` unless it is NULL. */
static enum tamis_status add_losses(const struct op_call *c, const struct tensor *log_p, struct tensor *each,
                                    struct total *total)
{
	*total = (struct total){0, 0};
	for (int64_t i = 0; i < c->in[1]->count; i++) {
		int64_t at;
		enum tamis_status status = place(c, i, &at);
		double weight = 0, loss = 0;

		if (status)
			return status;
		if (at >= 0) {
			weight = weight_of(c, i);
			loss = -weight * real_get(log_p, at);
		}
		if (each)
			real_set(each, i, loss);
		total->loss += loss;
		total->weight += weight;
	}
	return TAMIS_OK;
}

static enum tamis_status loss_run(struct op_call *c)
{
	const struct loss_attr *a = c->node->attr;
	struct tensor log_p, *y = c->out[0];
	struct total total;
	enum tamis_status status = log_probabilities(c, true, &log_p);

	if (!status)
		status = add_losses(c, &log_p, a->reduction == REDUCE_NONE ? y : NULL, &total);
	if (!status && y && a->reduction != REDUCE_NONE)
		real_set(y, 0, a->reduction == REDUCE_SUM ? total.loss : total.loss / total.weight);
	return status;
}

/* Adds to the gradient of the log-probabilities (gp) and of the weight, each NULL where it is not wanted. */
static enum tamis_status losses_back(struct op_grad *g, const struct tensor *log_p, struct tensor *gp,
                                     struct tensor *gw)
{
	const struct op_call *c = g->call;
	const struct loss_attr *a = c->node->attr;
	struct total total;
	enum tamis_status status = add_losses(c, log_p, NULL, &total);
	bool mean = a->reduction == REDUCE_MEAN;

	for (int64_t i = 0; !status && i < c->in[1]->count; i++) {
		double gy = real_get(g->gout[0], a->reduction == REDUCE_NONE ? i : 0) / (mean ? total.weight : 1);
		int64_t at;

		status = place(c, i, &at);
		if (status || at < 0)
			continue;
		if (gp)
			real_add(gp, at, -weight_of(c, i) * gy);
		if (gw)
			real_add(gw, tensor_get_int(c->in[1], i),
			         -gy * (real_get(log_p, at) + (mean ? total.loss / total.weight : 0)));
	}
	return status;
}

/* gx += gp - softmax * (sum of gp over the classes) */
static void softmax_back(const struct tensor *log_p, const struct tensor *gp, struct tensor *gx)
{
	struct layout l = layout_of(log_p);

	for (int64_t k = 0; k < l.items * l.inner; k++) {
		int64_t base = k / l.inner * l.classes * l.inner + k % l.inner;
		double sum = 0;

		for (int64_t i = 0; i < l.classes; i++)
			sum += real_get(gp, base + i * l.inner);
		for (int64_t i = 0; i < l.classes; i++) {
			int64_t at = base + i * l.inner;

			real_add(gx, at, real_get(gp, at) - exp(real_get(log_p, at)) * sum);
		}
	}
}

static enum tamis_status loss_reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	const struct loss_attr *a = c->node->attr;
	const struct tensor *by_log = c->n_out > 1 ? g->gout[1] : NULL;
	struct tensor log_p, gp, *gx = g->gin[0], *gw = c->n_in > 2 ? g->gin[2] : NULL;
	enum tamis_status status = log_probabilities(c, false, &log_p);

	if (status || (!gx && !gw) || (!g->gout[0] && !by_log))
		return status;
	if (!a->softmax)
		return losses_back(g, &log_p, gx, gw);
	gp = *c->in[0];
	gp.data = scratch_alloc(c->scratch, tensor_bytes(&gp), 1);
	if (!gp.data)
		return tm_no_memory(c->err, "reversing a loss");
	if (by_log)
		memcpy(gp.data, by_log->data, tensor_bytes(&gp));
	else
		memset(gp.data, 0, tensor_bytes(&gp));
	if (g->gout[0])
		status = losses_back(g, &log_p, &gp, gw);
	if (!status && gx)
		softmax_back(&log_p, &gp, gx);
	return status;
}

const struct op ops_loss[] = {
	{.name = "NegativeLogLikelihoodLoss", .domain = "", .since = 12, .until = OP_LATEST, .min_in = 2,
	 .max_in = 3,
	 .min_out = 1, .max_out = 1, .parse = nll_parse, .shape = loss_shape, .run = loss_run, .reverse =
	 loss_reverse},
	{.name = "SoftmaxCrossEntropyLoss", .domain = "", .since = 12, .until = OP_LATEST, .min_in = 2, .max_in =
	 3,
	 .min_out = 1, .max_out = 2, .parse = cross_parse, .shape = loss_shape, .run = loss_run,
	 .reverse = loss_reverse},
	{0},
};
