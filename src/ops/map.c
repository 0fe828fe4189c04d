/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/map.h"

static const double no_params[4];

static const double *params_of(const struct op_call *c)
{
	return c->node->attr ? c->node->attr : no_params;
}

enum tamis_status map_shape(struct op_call *c, const struct map *m)
{
	const struct tensor *x = op_in(c, 0);
	bool half = x->type == DT_FLOAT16 || x->type == DT_BFLOAT16;

	if (!m->row[half ? DT_FLOAT : x->type])
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s does not take elements of type %s", c->node->op->name,
		               dtype_name((int)x->type));
	return op_set_like(c, 0, m->result ? m->result : x->type, x);
}

enum tamis_status map_run(struct op_call *c, const struct map *m)
{
	const struct tensor *x = op_in(c, 0);

	m->row[x->type](x->data, c->out[0]->data, x->count, params_of(c));
	return TAMIS_OK;
}

enum tamis_status map_reverse(struct op_grad *g, const struct map *m)
{
	const struct tensor *x = op_in(g->call, 0);

	if (g->gout[0] && g->gin[0] && m->slope[x->type])
		m->slope[x->type](x->data, g->call->out[0]->data, g->gout[0]->data, g->gin[0]->data, x->count,
		                  params_of(g->call));
	return TAMIS_OK;
}

enum tamis_status map_parse(struct op_parse *p, const struct map_param *params, void **attr)
{
	double *values = arena_array(p->arena, 4, sizeof *values);

	if (!values)
		return tm_no_memory(p->err, "reading attributes");
	for (int i = 0; params[i].name; i++) {
		float value;
		enum tamis_status status = attr_float(p, params[i].name, params[i].fallback, &value);

		if (status != TAMIS_OK)
			return status;
		values[i] = (double)value;
	}
	*attr = values;
	return TAMIS_OK;
}
