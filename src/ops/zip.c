/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/zip.h"

enum tamis_status zip_check_types(struct op_call *c, const struct zip *z, int n)
{
	enum dtype type = op_in(c, 0)->type;
	bool half = type == DT_FLOAT16 || type == DT_BFLOAT16;

	for (int i = 1; i < n; i++)
		if (op_in(c, i)->type != type)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "%s takes inputs of one type; input 0 is %s, input %d is %s", c->node->op->name,
			               dtype_name((int)type), i, dtype_name((int)op_in(c, i)->type));
	if (!z->row[half ? DT_FLOAT : type])
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s does not take elements of type %s", c->node->op->name,
		               dtype_name((int)type));
	return TAMIS_OK;
}

enum tamis_status zip_shape(struct op_call *c, const struct zip *z)
{
	int64_t dims[TENSOR_MAX_RANK];
	int rank;
	enum tamis_status status = zip_check_types(c, z, 2);

	if (status == TAMIS_OK)
		status = broadcast_shape(c->in, 2, &rank, dims, c->err);
	if (status != TAMIS_OK)
		return status;
	return op_set_out(c, 0, z->result ? z->result : op_in(c, 0)->type, rank, dims);
}

void zip_apply(const struct zip *z, const struct tensor *a, const struct tensor *b, struct tensor *out)
{
	const struct tensor *in[] = {a, b};
	zip_row row = z->row[a->type];
	int64_t size = dtype_bits((int)a->type) / 8, out_size = dtype_bits((int)out->type) / 8;
	struct broadcast w;

	if (a->type == DT_STRING)
		size = sizeof(struct tm_string);
	for (bool more = broadcast_start(&w, out, in, 2); more; more = broadcast_next(&w))
		row((const char *)a->data + w.at[0] * size, w.step[0], (const char *)b->data + w.at[1] * size,
		    w.step[1], (char *)out->data + w.out * out_size, w.row);
}

enum tamis_status zip_run(struct op_call *c, const struct zip *z)
{
	zip_apply(z, op_in(c, 0), op_in(c, 1), c->out[0]);
	return TAMIS_OK;
}

/* Adds the gradient of input `which` (0 or 1). */
static void add_slope(const struct op_grad *g, zip_slope slope, int which)
{
	const struct tensor *const *in = g->call->in;
	struct tensor *to = g->gin[which];
	int64_t size = dtype_bits((int)to->type) / 8;
	struct broadcast w;

	for (bool more = broadcast_start(&w, g->gout[0], in, 2); more; more = broadcast_next(&w))
		slope((const char *)in[0]->data + w.at[0] * size, w.step[0],
		      (const char *)in[1]->data + w.at[1] * size, w.step[1],
		      (const char *)g->gout[0]->data + w.out * size, (char *)to->data + w.at[which] * size,
		      w.step[which], w.row);
}

enum tamis_status zip_reverse(struct op_grad *g, const struct zip *z)
{
	if (!g->gout[0])
		return TAMIS_OK;
	if (g->gin[0] && z->left[g->gin[0]->type])
		add_slope(g, z->left[g->gin[0]->type], 0);
	if (g->gin[1] && z->right[g->gin[1]->type])
		add_slope(g, z->right[g->gin[1]->type], 1);
	return TAMIS_OK;
}
