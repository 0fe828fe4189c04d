/* SPDX-License-Identifier: Apache-2.0 */
/* One direction of a recurrent layer, forward and backward in time. Products over all items of a step go to
 * BLAS. */
#include <math.h>
#include <string.h>

#include "ops/blas.h"
#include "ops/recurrent.h"

/* ---- Activations ---- */

enum kind { AFFINE, ELU, HARD_SIGMOID, LEAKY_RELU, RELU, SCALED_TANH, SIGMOID, SOFTPLUS, SOFTSIGN, TANH,
           THRESHOLDED };

static const struct { const char *name; double alpha, beta; int parameters; } kinds[] = {
	[AFFINE] = {"Affine", 1, 0, 2}, [ELU] = {"Elu", 1, 0, 1}, [HARD_SIGMOID] = {"HardSigmoid", (double)0.2f,
	                                                                            0.5, 2},
	[LEAKY_RELU] = {"LeakyRelu", (double)0.01f, 0, 1}, [RELU] = {"Relu", 0, 0, 0},
	[SCALED_TANH] = {"ScaledTanh", 1, 1, 2}, [SIGMOID] = {"Sigmoid", 0, 0, 0}, [SOFTPLUS] = {"Softplus", 0, 0,
	                                                                                         0},
	[SOFTSIGN] = {"Softsign", 0, 0, 0}, [TANH] = {"Tanh", 0, 0, 0}, [THRESHOLDED] = {"ThresholdedRelu", 1, 0,
	                                                                                 1},
};

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static double value_at(const struct activation *f, double x)
{
	double line = f->alpha * x + f->beta;

	switch ((enum kind)f->kind) {
	case AFFINE: return line;
	case ELU: return x < 0 ? f->alpha * expm1(x) : x;
	case HARD_SIGMOID: return line < 0 ? 0 : line > 1 ? 1 : line;
	case LEAKY_RELU: return x < 0 ? f->alpha * x : x;
	case RELU: return x > 0 ? x : 0;
	case SCALED_TANH: return f->alpha * tanh(f->beta * x);
	case SIGMOID: return sigmoid(x);
	case SOFTPLUS: return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
	case SOFTSIGN: return x / (1 + fabs(x));
	case TANH: return tanh(x);
	case THRESHOLDED: return x > f->alpha ? x : 0;
	}
	return 0;
}

static double slope_at(const struct activation *f, double x)
{
	double line = f->alpha * x + f->beta, t;

	switch ((enum kind)f->kind) {
	case AFFINE: return f->alpha;
	case ELU: return x < 0 ? f->alpha * exp(x) : 1;
	case HARD_SIGMOID: return line > 0 && line < 1 ? f->alpha : 0;
	case LEAKY_RELU: return x < 0 ? f->alpha : 1;
	case RELU: return x > 0;
	case SCALED_TANH: t = tanh(f->beta * x); return f->alpha * f->beta * (1 - t * t);
	case SIGMOID: t = sigmoid(x); return t * (1 - t);
	case SOFTPLUS: return sigmoid(x);
	case SOFTSIGN: return 1 / ((1 + fabs(x)) * (1 + fabs(x)));
	case TANH: t = tanh(x); return 1 - t * t;
	case THRESHOLDED: return x > f->alpha;
	}
	return 0;
}

double activation_value(const struct activation *f, double clip, double x)
{
	return value_at(f, x > clip ? clip : x < -clip ? -clip : x);
}

double activation_slope(const struct activation *f, double clip, double x)
{
	return x > clip || x < -clip ? 0 : slope_at(f, x);
}

static enum tamis_status find_kind(const struct op_parse *p, const ProtobufCBinaryData *name, int *kind)
{
	for (int k = 0; k < (int)(sizeof kinds / sizeof *kinds); k++)
		if (name->len == strlen(kinds[k].name) && memcmp(name->data, kinds[k].name, name->len) == 0) {
			*kind = k;
			return TAMIS_OK;
		}
	return tm_fail(p->err, TAMIS_E_INVALID, "an activation is \"%.*s\", which is none of those of ONNX",
	               name->len > 40 ? 40 : (int)name->len, name->len ? (const char *)name->data : "");
}

static const Onnx__AttributeProto *find_strings(const struct op_parse *p, const char *name)
{
	for (size_t i = 0; i < p->node->proto->n_attribute; i++)
		if (p->node->proto->attribute[i]->name && strcmp(p->node->proto->attribute[i]->name, name) == 0)
			return p->node->proto->attribute[i];
	return NULL;
}

enum tamis_status recurrent_activations(struct op_parse *p, struct recurrent_attr *a)
{
	static const int usual[][3] = {[CELL_RNN] = {TANH}, [CELL_GRU] = {SIGMOID, TANH}, [CELL_LSTM] = {SIGMOID,
	                                                                                                 TANH,
	                                                                                                 TANH}};
	const Onnx__AttributeProto *names = find_strings(p, "activations");
	int each = a->cell == CELL_RNN ? 1 : a->cell == CELL_GRU ? 2 : 3, alphas = 0, betas = 0, n_alpha = 0,
		n_beta = 0;
	const float *alpha = NULL, *beta = NULL;
	enum tamis_status s = attr_floats(p, "activation_alpha", &alpha, &n_alpha);

	if (!s)
		s = attr_floats(p, "activation_beta", &beta, &n_beta);
	a->usual = true;
	if (!s && names && names->n_strings != (size_t)(each * a->directions))
		s = tm_fail(p->err, TAMIS_E_INVALID, "there are %zu activations; %d are expected", names->n_strings,
		            each * a->directions);
	for (int k = 0; !s && k < each * a->directions; k++) {
		struct activation *f = &a->f[k / each * 3 + k % each];

		f->kind = usual[a->cell][k % each];
		if (names)
			s = find_kind(p, &names->strings[k], &f->kind);
		a->usual &= f->kind == usual[a->cell][k % each];
		f->alpha = kinds[f->kind].alpha;
		f->beta = kinds[f->kind].beta;
		if (kinds[f->kind].parameters > 0 && alphas < n_alpha)
			f->alpha = (double)alpha[alphas++];
		if (kinds[f->kind].parameters > 1 && betas < n_beta)
			f->beta = (double)beta[betas++];
	}
	return s;
}

/* ---- Forward ---- */

static double *doubles(struct scratch *scratch, int64_t n)
{
	return scratch_alloc(scratch, (size_t)n, sizeof(double));
}

/* in = x W' + Wb + Rb; of a GRU that resets after the product, without Rb of the candidate. */
static void find_in(struct direction *d)
{
	const struct recurrent_sizes *z = &d->z;
	int64_t rows = z->steps * z->batch, cols = z->gates * z->hidden;
	int64_t kept = d->attr->linear_before_reset ? 2 * z->hidden : cols;

	blas_gemm(DT_DOUBLE, false, true, rows, cols, z->inputs, 1, d->x, z->inputs, d->w, z->inputs, 0, d->in,
	          cols);
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++)
			d->in[i * cols + j] += d->b[j] + (j < kept ? d->b[cols + j] : 0);
}

static double gate(const struct direction *d, const struct activation *f, double x)
{
	return activation_value(f, d->attr->clip, x);
}

/* Pointers of one item in one step; n = hidden. */
struct item {
	int64_t n;
	const double *h, *c; /* before */
	double *h_next, *c_next, *pre, *post, *recurrent;
};

static struct item item_of(const struct direction *d, int64_t step, int64_t item)
{
	int64_t n = d->z.hidden, at = (step * d->z.batch + item) * n, next = at + d->z.batch * n;

	return (struct item){n, d->h + at, d->c ? d->c + at : NULL, d->h + next, d->c ? d->c + next : NULL,
	                     d->pre + at * d->z.gates, d->post + at * d->z.gates, d->recurrent ?
	                     d->recurrent + at : NULL};
}

static void lstm_item(const struct direction *d, const struct item *m)
{
	int64_t n = m->n;

	for (int64_t j = 0; j < n; j++) {
		double *pre = m->pre + j, *post = m->post + j, c;

		pre[0] += d->p ? d->p[j] * m->c[j] : 0;
		pre[2 * n] += d->p ? d->p[2 * n + j] * m->c[j] : 0;
		post[0] = gate(d, &d->f[0], pre[0]);
		post[2 * n] = d->attr->input_forget ? 1 - post[0] : gate(d, &d->f[0], pre[2 * n]);
		post[3 * n] = gate(d, &d->f[1], pre[3 * n]);
		c = post[2 * n] * m->c[j] + post[0] * post[3 * n];
		pre[n] += d->p ? d->p[n + j] * c : 0;
		post[n] = gate(d, &d->f[0], pre[n]);
		m->c_next[j] = c;
		m->h_next[j] = post[n] * gate(d, &d->f[2], c);
	}
}

/* The candidate of a GRU from its argument; the gates are there. */
static void gru_candidate(const struct direction *d, const struct item *m)
{
	for (int64_t j = 0; j < m->n; j++) {
		double z = m->post[j], candidate = gate(d, &d->f[1], m->pre[2 * m->n + j]);

		m->post[2 * m->n + j] = candidate;
		m->h_next[j] = (1 - z) * candidate + z * m->h[j];
	}
}

/* Gates of a GRU; `recurrent` becomes what is multiplied by R of the candidate (reset before), or was
 * (after). */
static void gru_gates(const struct direction *d, const struct item *m)
{
	int64_t n = m->n;
	const double *bias = d->b + 5 * n;

	for (int64_t j = 0; j < 2 * n; j++)
		m->post[j] = gate(d, &d->f[0], m->pre[j]);
	for (int64_t j = 0; j < n; j++)
		if (d->attr->linear_before_reset) {
			m->recurrent[j] += bias[j];
			m->pre[2 * n + j] += m->post[n + j] * m->recurrent[j];
		} else {
			m->recurrent[j] = m->post[n + j] * m->h[j];
		}
}

static void gru_step(const struct direction *d, int64_t step)
{
	int64_t n = d->z.hidden, batch = d->z.batch, at = step * batch * n;
	const double *r = d->r + 2 * n * n;

	if (d->attr->linear_before_reset)
		blas_gemm(DT_DOUBLE, false, true, batch, n, n, 1, d->h + at, n, r, n, 0, d->recurrent + at, n);
	for (int64_t i = 0; i < batch; i++) {
		struct item m = item_of(d, step, i);

		gru_gates(d, &m);
	}
	if (!d->attr->linear_before_reset)
		blas_gemm(DT_DOUBLE, false, true, batch, n, n, 1, d->recurrent + at, n, r, n, 1,
		          d->pre + at * 3 + 2 * n, 3 * n);
	for (int64_t i = 0; i < batch; i++) {
		struct item m = item_of(d, step, i);

		gru_candidate(d, &m);
	}
}

static void rnn_item(const struct direction *d, const struct item *m)
{
	for (int64_t j = 0; j < m->n; j++)
		m->h_next[j] = m->post[j] = gate(d, &d->f[0], m->pre[j]);
}

/* Items that are over keep their state. */
static void hold(const struct direction *d, int64_t step)
{
	for (int64_t i = 0; i < d->z.batch; i++) {
		struct item m = item_of(d, step, i);
		size_t bytes = (size_t)m.n * sizeof(double);

		if (time_of(d, step, i) >= 0)
			continue;
		memcpy(m.h_next, m.h, bytes);
		if (m.c)
			memcpy(m.c_next, m.c, bytes);
	}
}

static void run_step(const struct direction *d, int64_t step)
{
	int64_t n = d->z.hidden, batch = d->z.batch, cols = d->z.gates * n, at = step * batch;
	int64_t direct = d->attr->cell == CELL_GRU ? 2 * n : cols;

	for (int64_t i = 0; i < batch; i++) {
		int64_t t = time_of(d, step, i);

		if (t < 0)
			memset(d->pre + (at + i) * cols, 0, (size_t)cols * sizeof(double));
		else
			memcpy(d->pre + (at + i) * cols, d->in + (t * batch + i) * cols, (size_t)cols * sizeof(double));
	}
	blas_gemm(DT_DOUBLE, false, true, batch, direct, n, 1, d->h + at * n, n, d->r, n, 1, d->pre + at * cols,
	          cols);
	if (d->attr->cell == CELL_GRU)
		gru_step(d, step);
	for (int64_t i = 0; d->attr->cell != CELL_GRU && i < batch; i++) {
		struct item m = item_of(d, step, i);

		if (d->attr->cell == CELL_LSTM)
			lstm_item(d, &m);
		else
			rnn_item(d, &m);
	}
	hold(d, step);
}

enum tamis_status recurrent_forward(struct direction *d, struct scratch *scratch, struct tamis_error *err)
{
	int64_t rows = d->z.steps * d->z.batch, cols = d->z.gates * d->z.hidden;

	d->in = doubles(scratch, rows * cols);
	d->pre = doubles(scratch, rows * cols);
	d->post = doubles(scratch, rows * cols);
	d->recurrent = d->attr->cell == CELL_GRU ? doubles(scratch, rows * d->z.hidden) : NULL;
	if (!d->in || !d->pre || !d->post || (d->attr->cell == CELL_GRU && !d->recurrent))
		return tm_no_memory(err, "running a recurrent layer");
	find_in(d);
	for (int64_t step = 0; step < d->z.steps; step++)
		run_step(d, step);
	return TAMIS_OK;
}

/* ---- Backward ---- */

/* Running gradients of a direction: of the state (in gh, gc), and of the arguments of the gates in a step. */
struct back {
	const struct direction *d;
	const struct direction_gradients *g;
	double *pre;     /* [batch, gates hidden] */
	double *reset;   /* [batch, hidden]: of what R of the candidate is multiplied with or gives */
	double *next;    /* [batch, hidden]: of the state before */
	double *in;      /* [steps, batch, gates hidden], by time */
};

static double slope(const struct direction *d, const struct activation *f, double x)
{
	return activation_slope(f, d->attr->clip, x);
}

static void lstm_back(const struct back *k, const struct item *m, const double *gh, double *gc, double *pre)
{
	const struct direction *d = k->d;
	int64_t n = m->n;

	for (int64_t j = 0; j < n; j++) {
		const double *a = m->pre + j, *y = m->post + j;
		double c = m->c_next[j], out = gh[j] * gate(d, &d->f[2], c) * slope(d, &d->f[0], a[n]), to_c, in,
			forget;

		to_c = gc[j] + gh[j] * y[n] * slope(d, &d->f[2], c) + (d->p ? out * d->p[n + j] : 0);
		in = to_c * y[3 * n];
		forget = to_c * m->c[j];
		if (d->attr->input_forget) {
			in -= forget;
			forget = 0;
		}
		pre[j] = in * slope(d, &d->f[0], a[0]);
		pre[n + j] = out;
		pre[2 * n + j] = forget * slope(d, &d->f[0], a[2 * n]);
		pre[3 * n + j] = to_c * y[0] * slope(d, &d->f[1], a[3 * n]);
		gc[j] = to_c * y[2 * n] + (d->p ? pre[j] * d->p[j] + pre[2 * n + j] * d->p[2 * n + j] : 0);
		if (k->g->gp) {
			k->g->gp[j] += pre[j] * m->c[j];
			k->g->gp[n + j] += out * c;
			k->g->gp[2 * n + j] += pre[2 * n + j] * m->c[j];
		}
	}
}

/* Of a GRU: update gate and candidate, and with a reset after the product the reset gate too. */
static void gru_back(const struct back *k, const struct item *m, const double *gh, double *pre, double *reset,
                     double *next)
{
	const struct direction *d = k->d;
	int64_t n = m->n;

	for (int64_t j = 0; j < n; j++) {
		const double *a = m->pre + j, *y = m->post + j;
		double candidate = gh[j] * (1 - y[0]) * slope(d, &d->f[1], a[2 * n]);

		pre[j] = gh[j] * (m->h[j] - y[2 * n]) * slope(d, &d->f[0], a[0]);
		pre[2 * n + j] = candidate;
		next[j] += gh[j] * y[0];
		if (d->attr->linear_before_reset) {
			pre[n + j] = candidate * m->recurrent[j] * slope(d, &d->f[0], a[n]);
			reset[j] = candidate * y[n];
		}
	}
}

/* The reset gate before the product: `reset` holds the gradient of r * h. */
static void reset_back(const struct back *k, const struct item *m, double *pre, const double *reset,
                       double *next)
{
	const struct direction *d = k->d;

	for (int64_t j = 0; j < m->n; j++) {
		pre[m->n + j] = reset[j] * m->h[j] * slope(d, &d->f[0], m->pre[m->n + j]);
		next[j] += reset[j] * m->post[m->n + j];
	}
}

static void add_rows(const double *rows, int64_t n, int64_t cols, double *to)
{
	for (int64_t i = 0; to && i < n; i++)
		for (int64_t j = 0; j < cols; j++)
			to[j] += rows[i * cols + j];
}

/* Products of the candidate's R, and the reset gate where it comes before them. */
static void gru_products(const struct back *k, int64_t step)
{
	const struct direction *d = k->d;
	int64_t n = d->z.hidden, batch = d->z.batch, at = step * batch * n;
	const double *r = d->r + 2 * n * n;

	if (d->attr->linear_before_reset) {
		blas_gemm(DT_DOUBLE, false, false, batch, n, n, 1, k->reset, n, r, n, 1, k->next, n);
		if (k->g->gr)
			blas_gemm(DT_DOUBLE, true, false, n, n, batch, 1, k->reset, n, d->h + at, n, 1,
			          k->g->gr + 2 * n * n, n);
		add_rows(k->reset, batch, n, k->g->gb ? k->g->gb + 5 * n : NULL);
		return;
	}
	blas_gemm(DT_DOUBLE, false, false, batch, n, n, 1, k->pre + 2 * n, 3 * n, r, n, 0, k->reset, n);
	if (k->g->gr)
		blas_gemm(DT_DOUBLE, true, false, n, n, batch, 1, k->pre + 2 * n, 3 * n, d->recurrent + at, n, 1,
		          k->g->gr + 2 * n * n, n);
	for (int64_t i = 0; i < batch; i++) {
		struct item m = item_of(d, step, i);

		if (time_of(d, step, i) >= 0)
			reset_back(k, &m, k->pre + i * 3 * n, k->reset + i * n, k->next + i * n);
	}
}

/* One item: the gradient of its gates from that of its state. */
static void item_back(const struct back *k, int64_t step, int64_t i)
{
	const struct direction *d = k->d;
	struct item m = item_of(d, step, i);
	int64_t n = m.n, t = time_of(d, step, i);
	double *gh = k->g->gh + i * n, *pre = k->pre + i * d->z.gates * n, *next = k->next + i * n;

	if (t < 0) {
		memcpy(next, gh, (size_t)n * sizeof(double));
		return;
	}
	for (int64_t j = 0; j < n; j++)
		gh[j] += k->g->gy ? k->g->gy[(t * d->z.batch + i) * n + j] : 0;
	if (d->attr->cell == CELL_LSTM)
		lstm_back(k, &m, gh, k->g->gc + i * n, pre);
	else if (d->attr->cell == CELL_GRU)
		gru_back(k, &m, gh, pre, k->reset + i * n, next);
	for (int64_t j = 0; d->attr->cell == CELL_RNN && j < n; j++)
		pre[j] = gh[j] * slope(d, &d->f[0], m.pre[j]);
}

static void step_back(const struct back *k, int64_t step)
{
	const struct direction *d = k->d;
	int64_t n = d->z.hidden, batch = d->z.batch, cols = d->z.gates * n, at = step * batch * n;
	int64_t direct = d->attr->cell == CELL_GRU ? 2 * n : cols;

	memset(k->pre, 0, (size_t)(batch * cols) * sizeof(double));
	memset(k->reset, 0, (size_t)(batch * n) * sizeof(double));
	memset(k->next, 0, (size_t)(batch * n) * sizeof(double));
	for (int64_t i = 0; i < batch; i++)
		item_back(k, step, i);
	if (d->attr->cell == CELL_GRU)
		gru_products(k, step);
	blas_gemm(DT_DOUBLE, false, false, batch, n, direct, 1, k->pre, cols, d->r, n, 1, k->next, n);
	if (k->g->gr)
		blas_gemm(DT_DOUBLE, true, false, direct, n, batch, 1, k->pre, cols, d->h + at, n, 1, k->g->gr, n);
	for (int64_t i = 0; i < batch; i++) {
		int64_t t = time_of(d, step, i);

		if (t >= 0)
			memcpy(k->in + (t * batch + i) * cols, k->pre + i * cols, (size_t)cols * sizeof(double));
	}
	memcpy(k->g->gh, k->next, (size_t)(batch * n) * sizeof(double));
}

/* What all steps share: the products with x, and the biases. */
static void inputs_back(const struct back *k)
{
	const struct recurrent_sizes *z = &k->d->z;
	int64_t rows = z->steps * z->batch, cols = z->gates * z->hidden;
	bool apart = k->d->attr->linear_before_reset;

	if (k->g->gx)
		blas_gemm(DT_DOUBLE, false, false, rows, z->inputs, cols, 1, k->in, cols, k->d->w, z->inputs, 1,
		          k->g->gx,
		          z->inputs);
	if (k->g->gw)
		blas_gemm(DT_DOUBLE, true, false, cols, z->inputs, rows, 1, k->in, cols, k->d->x, z->inputs, 1,
		          k->g->gw,
		          z->inputs);
	add_rows(k->in, rows, cols, k->g->gb);
	for (int64_t i = 0; k->g->gb && i < rows; i++)
		for (int64_t j = 0; j < (apart ? 2 * z->hidden : cols); j++)
			k->g->gb[cols + j] += k->in[i * cols + j];
}

enum tamis_status recurrent_back(const struct direction *d, const struct direction_gradients *g,
                                 struct scratch *scratch, struct tamis_error *err)
{
	int64_t n = d->z.hidden, batch = d->z.batch, cols = d->z.gates * n;
	struct back k = {d, g, doubles(scratch, batch * cols), doubles(scratch, batch * n), doubles(scratch,
	                                                                                            batch * n),
	                 doubles(scratch, d->z.steps * batch * cols)};

	if (!k.pre || !k.reset || !k.next || !k.in)
		return tm_no_memory(err, "reversing a recurrent layer");
	memset(k.in, 0, (size_t)(d->z.steps * batch * cols) * sizeof(double));
	for (int64_t step = d->z.steps - 1; step >= 0; step--)
		step_back(&k, step);
	inputs_back(&k);
	return TAMIS_OK;
}
