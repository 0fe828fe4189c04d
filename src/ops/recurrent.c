/* SPDX-License-Identifier: Apache-2.0 */
/* RNN, GRU and LSTM: attributes, shapes, and the layouts of inputs and outputs. The steps are in
 * recurrent_steps.c. */
#include "ops/recurrent.h"

#include <math.h>
#include <string.h>

#include "ops/args.h"
#include "ops/blas.h"
#include "ops/reals.h"

static const int64_t gates_of[] = {[CELL_RNN] = 1, [CELL_GRU] = 3, [CELL_LSTM] = 4};

/* ---- Attributes ---- */

static enum tamis_status parse(struct op_parse *p, enum cell cell, void **attr)
{
	static const char *const directions[] = {"forward", "reverse", "bidirectional", NULL};
	struct recurrent_attr *a = *attr = args_alloc(p, sizeof *a);
	int direction = 0;
	float clip = INFINITY;
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	a->cell = cell;
	s = attr_choice(p, "direction", directions, 0, &direction);
	a->directions = direction == 2 ? 2 : 1;
	a->backward = direction == 1;
	if (!s)
		s = attr_int(p, "hidden_size", 0, &a->hidden);
	if (!s)
		s = attr_float(p, "clip", INFINITY, &clip);
	a->clip = (double)clip;
	if (!s && !(clip >= 0))
		return tm_fail(p->err, TAMIS_E_INVALID, "clip must not be negative; it is %g", (double)clip);
	if (!s && p->node->opset >= 14)
		s = attr_bool(p, "layout", false, &a->batch_first);
	if (!s && cell == CELL_GRU)
		s = attr_bool(p, "linear_before_reset", false, &a->linear_before_reset);
	if (!s && cell == CELL_LSTM)
		s = attr_bool(p, "input_forget", false, &a->input_forget);
	return s ? s : recurrent_activations(p, a);
}

static enum tamis_status rnn_parse(struct op_parse *p, void **attr)
{
	return parse(p, CELL_RNN, attr);
}

static enum tamis_status gru_parse(struct op_parse *p, void **attr)
{
	return parse(p, CELL_GRU, attr);
}

static enum tamis_status lstm_parse(struct op_parse *p, void **attr)
{
	return parse(p, CELL_LSTM, attr);
}

/* ---- Shapes ---- */

static enum tamis_status expect(const struct op_call *c, int i, int rank, const int64_t *dims)
{
	const struct tensor *t = op_in(c, i);
	struct tensor want = {0};
	char a[128], b[128];
	enum tamis_status s;

	if (!t)
		return TAMIS_OK;
	s = tensor_shape(&want, i == IN_LENGTHS ? DT_INT32 : c->in[IN_X]->type, rank, dims, c->err);
	if (s || (t->type == want.type && tensor_same_shape(t, &want)))
		return s;
	return tm_fail(c->err, TAMIS_E_INVALID, "input %d of %s must be %s; it is %s", i, c->node->op->name,
	               tensor_describe(&want, a, sizeof a), tensor_describe(t, b, sizeof b));
}

static enum tamis_status find_sizes(const struct op_call *c, struct recurrent_sizes *z)
{
	const struct recurrent_attr *a = c->node->attr;
	const struct tensor *x = c->in[IN_X], *r = c->in[IN_R];
	int64_t d = a->directions, n, g = gates_of[a->cell];
	enum tamis_status s;

	if (x->rank != 3 || r->rank != 3 || (a->hidden && a->hidden != r->dims[2]) || r->dims[2] < 1)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "%s needs data of rank 3 and recurrent weights of rank 3 whose last axis "
		               "is hidden_size; ranks are %d and %d, hidden_size is %lld", c->node->op->name, x->rank,
		               r->rank,
		               (long long)a->hidden);
	n = r->dims[2];
	*z = (struct recurrent_sizes){x->dims[a->batch_first ? 1 : 0], x->dims[a->batch_first ? 0 : 1],
	                              x->dims[2], n, g};
	if (z->inputs < 1) /* then there could be any number of steps */
		return tm_fail(c->err, TAMIS_E_INVALID, "%s is given steps of no elements", c->node->op->name);
	if (n > INT32_MAX / 8 || !blas_fits(z->inputs))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "a layer of %lld units is too large", (long long)n);
	s = expect(c, IN_W, 3, (int64_t[]){d, g * n, z->inputs});
	if (!s)
		s = expect(c, IN_R, 3, (int64_t[]){d, g * n, n});
	if (!s)
		s = expect(c, IN_B, 2, (int64_t[]){d, 2 * g * n});
	if (!s)
		s = expect(c, IN_LENGTHS, 1, &z->batch);
	for (int i = IN_H; !s && i <= IN_C; i++)
		s = expect(c, i, 3, (int64_t[]){a->batch_first ? z->batch : d, a->batch_first ? d : z->batch, n});
	return s ? s : expect(c, IN_P, 2, (int64_t[]){d, 3 * n});
}

static enum tamis_status shape(struct op_call *c)
{
	const struct recurrent_attr *a = c->node->attr;
	enum dtype type = c->in[IN_X]->type;
	int64_t d = a->directions;
	struct recurrent_sizes z;
	struct tensor whole = {0};
	enum tamis_status s;

	if (!dtype_is_float((int)type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s of %s is not supported; floats are",
		               c->node->op->name,
		               dtype_name((int)type));
	s = find_sizes(c, &z);
	if (s)
		return s;
	s = tensor_shape(&whole, DT_DOUBLE, 4, (int64_t[]){z.steps, z.batch, d, z.gates * z.hidden}, c->err);
	if (!s && a->batch_first)
		s = op_set_out(c, 0, type, 4, (int64_t[]){z.batch, z.steps, d, z.hidden});
	else if (!s)
		s = op_set_out(c, 0, type, 4, (int64_t[]){z.steps, d, z.batch, z.hidden});
	for (int i = 1; !s && i < 3; i++)
		s = op_set_out(c, i, type, 3, (int64_t[]){a->batch_first ? z.batch : d, a->batch_first ? d : z.batch,
		                                          z.hidden});
	return s;
}

/* ---- Layouts: first element of a row ---- */

static int64_t at_x(const struct recurrent_attr *a, const struct recurrent_sizes *z, int64_t t, int64_t b)
{
	return (a->batch_first ? b * z->steps + t : t * z->batch + b) * z->inputs;
}

static void get_row(const struct tensor *t, int64_t at, int64_t n, double *to)
{
	for (int64_t i = 0; i < n; i++)
		to[i] = t ? real_get(t, at + i) : 0;
}

static void set_row(struct tensor *t, int64_t at, int64_t n, const double *from)
{
	for (int64_t i = 0; t && i < n; i++)
		real_set(t, at + i, from ? from[i] : 0);
}

static void add_row(struct tensor *t, int64_t at, int64_t n, const double *from)
{
	for (int64_t i = 0; t && i < n; i++)
		real_add(t, at + i, from[i]);
}

/* ---- A call in double ---- */

struct layer {
	const struct op_call *call;
	const struct recurrent_attr *attr;
	struct recurrent_sizes z;
	int64_t *length;
	double *x;
};

static double *doubles(const struct op_call *c, int64_t n)
{
	return scratch_alloc(c->scratch, (size_t)n, sizeof(double));
}

static double *zeros(const struct op_call *c, int64_t n)
{
	double *d = doubles(c, n);

	if (d)
		memset(d, 0, (size_t)n * sizeof *d);
	return d;
}

static enum tamis_status read_lengths(const struct layer *l)
{
	const struct tensor *t = op_in(l->call, IN_LENGTHS);

	for (int64_t i = 0; i < l->z.batch; i++) {
		l->length[i] = t ? tensor_get_int(t, i) : l->z.steps;
		if (l->length[i] < 0 || l->length[i] > l->z.steps)
			return tm_fail(l->call->err, TAMIS_E_INVALID, "sequence length %lld is outside 0 to %lld",
			               (long long)l->length[i], (long long)l->z.steps);
	}
	return TAMIS_OK;
}

static enum tamis_status open_layer(const struct op_call *c, struct layer *l)
{
	enum tamis_status s;

	*l = (struct layer){.call = c, .attr = c->node->attr};
	s = find_sizes(c, &l->z);
	if (s)
		return s;
	l->length = scratch_alloc(c->scratch, (size_t)l->z.batch, sizeof *l->length);
	l->x = doubles(c, l->z.steps * l->z.batch * l->z.inputs);
	if (!l->length || !l->x)
		return tm_no_memory(c->err, "running a recurrent layer");
	for (int64_t t = 0; t < l->z.steps; t++)
		for (int64_t b = 0; b < l->z.batch; b++)
			get_row(c->in[IN_X], at_x(l->attr, &l->z, t, b), l->z.inputs,
			        l->x + (t * l->z.batch + b) * l->z.inputs);
	return read_lengths(l);
}

/* Slice d of an input of n elements a direction; zeros where there is none. NULL without memory. */
static const double *slice(const struct layer *l, int input, int d, int64_t n)
{
	double *to = doubles(l->call, n);

	if (to)
		get_row(op_in(l->call, input), op_in(l->call, input) ? d * n : 0, n, to);
	return to;
}

static enum tamis_status open_direction(const struct layer *l, int k, struct direction *d)
{
	const struct op_call *c = l->call;
	int64_t n = l->z.hidden, cols = l->z.gates * n, state = (l->z.steps + 1) * l->z.batch * n;
	bool lstm = l->attr->cell == CELL_LSTM;

	*d = (struct direction){.attr = l->attr, .f = l->attr->f + 3 * k, .z = l->z, .backward = k == 1 ||
	                        l->attr->backward,
	                        .length = l->length, .x = l->x};
	d->w = slice(l, IN_W, k, cols * l->z.inputs);
	d->r = slice(l, IN_R, k, cols * n);
	d->b = slice(l, IN_B, k, 2 * cols);
	d->p = op_in(c, IN_P) ? slice(l, IN_P, k, 3 * n) : NULL;
	d->h = doubles(c, state);
	d->c = lstm ? doubles(c, state) : NULL;
	if (!d->w || !d->r || !d->b || !d->h || (lstm && !d->c) || (op_in(c, IN_P) && !d->p))
		return tm_no_memory(c->err, "running a recurrent layer");
	for (int64_t b = 0; b < l->z.batch; b++) {
		int64_t at = recurrent_at_state(l->attr, &l->z, b, k);

		get_row(op_in(c, IN_H), at, n, d->h + b * n);
		if (lstm)
			get_row(op_in(c, IN_C), at, n, d->c + b * n);
	}
	return recurrent_forward(d, c->scratch, c->err);
}

/* ---- Run ---- */

static struct tensor *output(const struct op_call *c, int i)
{
	return i < c->n_out ? c->out[i] : NULL;
}

static void put_outputs(const struct layer *l, const struct direction *d, int k)
{
	int64_t n = l->z.hidden, batch = l->z.batch, last = l->z.steps * batch;

	for (int64_t b = 0; b < batch; b++) {
		for (int64_t t = l->length[b]; t < l->z.steps; t++)
			set_row(output(l->call, 0), recurrent_at_y(l->attr, &l->z, t, b, k), n, NULL);
		for (int64_t step = 0; step < l->length[b]; step++)
			set_row(output(l->call, 0), recurrent_at_y(l->attr, &l->z, time_of(d, step, b), b, k), n,
			        d->h + ((step + 1) * batch + b) * n);
		set_row(output(l->call, 1), recurrent_at_state(l->attr, &l->z, b, k), n, d->h + (last + b) * n);
		if (d->c)
			set_row(output(l->call, 2), recurrent_at_state(l->attr, &l->z, b, k), n, d->c + (last + b) * n);
	}
}

static enum tamis_status run_float(const struct op_call *c)
{
	struct recurrent_sizes z;
	enum tamis_status s = find_sizes(c, &z);

	return s ? s : recurrent_run_float(c, &z);
}

static enum tamis_status run(struct op_call *c)
{
	struct layer l;
	struct direction d;
	enum tamis_status s;

	if (recurrent_fits_float(c))
		return run_float(c);
	s = open_layer(c, &l);
	for (int k = 0; !s && k < l.attr->directions; k++) {
		s = open_direction(&l, k, &d);
		if (!s)
			put_outputs(&l, &d, k);
	}
	return s;
}

/* ---- Reverse ---- */

static struct tensor *target(const struct op_grad *g, int i)
{
	return i < g->call->n_in ? g->gin[i] : NULL;
}

static const struct tensor *seed(const struct op_grad *g, int i)
{
	return i < g->call->n_out ? g->gout[i] : NULL;
}

/* The gradients of a direction: those of the outputs are read, the rest is zero. */
static enum tamis_status open_gradients(const struct op_grad *g, const struct layer *l, int k, double *gx,
                                        struct direction_gradients *d)
{
	const struct op_call *c = g->call;
	int64_t n = l->z.hidden, cols = l->z.gates * n, batch = l->z.batch;
	double *gy = zeros(c, l->z.steps * batch * n);

	*d = (struct direction_gradients){.gy = gy, .gh = zeros(c, batch * n), .gc = zeros(c, batch * n), .gx =
	                                  gx};
	d->gw = target(g, IN_W) ? zeros(c, cols * l->z.inputs) : NULL;
	d->gr = target(g, IN_R) ? zeros(c, cols * n) : NULL;
	d->gb = target(g, IN_B) ? zeros(c, 2 * cols) : NULL;
	d->gp = target(g, IN_P) ? zeros(c, 3 * n) : NULL;
	if (!gy || !d->gh || !d->gc || (target(g, IN_W) && !d->gw) || (target(g, IN_R) && !d->gr) ||
	    (target(g, IN_B) && !d->gb) || (target(g, IN_P) && !d->gp))
		return tm_no_memory(c->err, "reversing a recurrent layer");
	for (int64_t b = 0; b < batch; b++) {
		for (int64_t t = 0; seed(g, 0) && t < l->length[b]; t++)
			get_row(seed(g, 0), recurrent_at_y(l->attr, &l->z, t, b, k), n, gy + (t * batch + b) * n);
		get_row(seed(g, 1), recurrent_at_state(l->attr, &l->z, b, k), n, d->gh + b * n);
		if (l->attr->cell == CELL_LSTM)
			get_row(seed(g, 2), recurrent_at_state(l->attr, &l->z, b, k), n, d->gc + b * n);
	}
	return TAMIS_OK;
}

static void give_gradients(const struct op_grad *g, const struct layer *l, int k,
                           const struct direction_gradients *d)
{
	int64_t n = l->z.hidden, cols = l->z.gates * n;

	add_row(target(g, IN_W), k * cols * l->z.inputs, cols * l->z.inputs, d->gw);
	add_row(target(g, IN_R), k * cols * n, cols * n, d->gr);
	add_row(target(g, IN_B), k * 2 * cols, 2 * cols, d->gb);
	add_row(target(g, IN_P), k * 3 * n, 3 * n, d->gp);
	for (int64_t b = 0; b < l->z.batch; b++) {
		add_row(target(g, IN_H), recurrent_at_state(l->attr, &l->z, b, k), n, d->gh + b * n);
		add_row(target(g, IN_C), recurrent_at_state(l->attr, &l->z, b, k), n, d->gc + b * n);
	}
}

static enum tamis_status reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	struct layer l;
	double *gx;
	enum tamis_status s = open_layer(c, &l);

	if (s || (!seed(g, 0) && !seed(g, 1) && !seed(g, 2)))
		return s;
	gx = zeros(c, l.z.steps * l.z.batch * l.z.inputs);
	if (!gx)
		return tm_no_memory(c->err, "reversing a recurrent layer");
	for (int k = 0; !s && k < l.attr->directions; k++) {
		struct direction d;
		struct direction_gradients dg;

		s = open_direction(&l, k, &d);
		if (!s)
			s = open_gradients(g, &l, k, gx, &dg);
		if (!s)
			s = recurrent_back(&d, &dg, c->scratch, c->err);
		if (!s)
			give_gradients(g, &l, k, &dg);
	}
	for (int64_t t = 0; !s && t < l.z.steps; t++)
		for (int64_t b = 0; b < l.z.batch; b++)
			add_row(target(g, IN_X), at_x(l.attr, &l.z, t, b), l.z.inputs,
			        gx + (t * l.z.batch + b) * l.z.inputs);
	return s;
}

/* Hidden unit k: entry k of every gate in every direction. */
static void channels_hidden(struct channel_call *c, int port, int axis, int64_t hidden, int64_t k)
{
	const struct tensor *t = port < 0 ? c->out[-1 - port] : port < c->n_in ? c->in[port] : NULL;

	for (int64_t at = k; t && at < t->dims[axis]; at += hidden)
		channels_tie_some(c, IN_R, 2, k, port, axis, at, 1);
}

static void channels(struct channel_call *c)
{
	const struct recurrent_attr *a = c->node->attr;
	int64_t hidden = c->in[IN_R]->dims[2];

	for (int port = 0; port < c->n_in; port++)
		for (int k = 0; c->in[port] && k < c->in[port]->rank && port != IN_W && port != IN_R; k++)
			if (k != c->in[port]->rank - 1)
				channels_keep(c, port, k, "a recurrent node runs over it");
	channels_read(c, IN_X, 2, IN_W, 2);
	for (int i = 0; i < c->n_out; i++) {
		const struct tensor *y = c->out[i];

		if (y)
			channels_read(c, COUPLING_OUT(i), y->rank - 1, IN_R, 2);
		for (int k = 0; y && k < y->rank - 1; k++)
			channels_keep(c, COUPLING_OUT(i), k, "a recurrent node runs over it");
	}
	for (int64_t k = 0; k < hidden; k++) {
		static const struct { int port, axis; } along[] = {
			{IN_W, 1}, {IN_R, 1}, {IN_B, 1}, {IN_H, 2}, {IN_C, 2}, {IN_P, 1},
		};

		for (size_t i = 0; i < sizeof along / sizeof *along; i++)
			channels_hidden(c, along[i].port, along[i].axis, hidden, k);
	}
	if (a->hidden)
		channels_attribute(c, "hidden_size", -1, IN_R, 2, hidden, 1);
}

const struct op ops_recurrent[] = {
	{.name = "GRU", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 3, .max_in = 6, .min_out = 1,
	 .max_out = 2,
	 .channels = channels, .parse = gru_parse, .shape = shape, .run = run, .reverse = reverse},
	{.name = "LSTM", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 3, .max_in = 8, .min_out = 1,
	 .max_out = 3, .channels = channels, .parse = lstm_parse, .shape = shape, .run = run, .reverse = reverse},
	{.name = "RNN", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 3, .max_in = 6, .min_out = 1,
	 .max_out = 2,
	 .channels = channels, .parse = rnn_parse, .shape = shape, .run = run, .reverse = reverse},
	{0},
};
