/* SPDX-License-Identifier: Apache-2.0 */
/* A scoring pass against the same quantities computed by their definitions, in double and one item at a time. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nets.h"
#include "onnx/edit.h"
#include "slim/score/score.h"
#include "stat/dependence.h"

#define ITEMS 101
#define CHUNK 8
#define SEED 5
#define R FEATURES_DEFAULT

static bool four_of_five(void *ctx, int64_t item)
{
	(void)ctx;
	return item % 5 != 2;
}

/* ---- the oracle --------------------------------------------------------------------------------------------- */

/* Signals and path gradients of one layer, every item and position. */
struct sketch {
	const char *weight;
	int64_t positions, features, outs;
	double *u, *delta; /* items x positions x features, x outs */
};

/* A vector that is added to a layer's output: its gradient is the sum of delta times `scale`. */
struct added { const char *name; int layer; double scale; };

struct oracle {
	struct lab *lab;
	enum head_kind kind;
	int64_t items, width, *item;
	float *y;             /* items x width */
	struct sketch layer[3];
	int n;
	struct added bias[3];
	int n_bias;
	double *scale;        /* general: of each output value */
	struct feature_map map;
	double *psi;          /* items x R */
};

static double *grid(int64_t n)
{
	return calloc((size_t)n + 1, sizeof(double));
}

static void sketch_make(struct oracle *o, int i, const char *weight, int64_t positions, int64_t features, int64_t outs)
{
	o->layer[i] = (struct sketch){ weight, positions, features, outs, grid(o->items * positions * features),
		grid(o->items * positions * outs) };
	o->n = i + 1;
}

static double w(const struct oracle *o, const char *name, int64_t i)
{
	return tensor_get(lab_constant(o->lab->graph, name), i);
}

static double x(const struct oracle *o, int64_t t, int64_t i)
{
	const struct tensor *in = &o->lab->shelf.in[0];

	return tensor_get(in, o->item[t] * (in->count / o->lab->shelf.items) + i);
}

static double sign_of(uint64_t bits, int64_t k)
{
	return bits >> k & 1 ? -1 : 1;
}

/* What the probe adds at the logits of one row: (diag(sqrt p) - p sqrt(p)') e. */
static void fisher_probe(const struct oracle *o, int64_t t, const double *z, int64_t classes, double *d)
{
	struct rng r = rng_make(SEED, (uint64_t)o->item[t]);
	uint64_t bits = rng_next(&r);
	double sum = 0, along = 0;

	for (int64_t c = 0; c < classes; c++)
		sum += exp(z[c]);
	for (int64_t c = 0; c < classes; c++)
		along += sqrt(exp(z[c]) / sum) * sign_of(bits, c);
	for (int64_t c = 0; c < classes; c++)
		d[c] = sqrt(exp(z[c]) / sum) * sign_of(bits, c) - exp(z[c]) / sum * along;
}

static void logits_forward(struct oracle *o, int64_t t)
{
	double *u1 = o->layer[0].u + t * 25 * 18, *u2 = o->layer[1].u + t * 100;

	for (int64_t p = 0; p < 25; p++)
		for (int64_t f = 0; f < 18; f++) {
			int64_t i = p / 5 + f % 9 / 3 - 1, j = p % 5 + f % 3 - 1;

			u1[p * 18 + f] = i < 0 || i > 4 || j < 0 || j > 4 ? 0 : x(o, t, f / 9 * 25 + i * 5 + j);
		}
	for (int64_t p = 0; p < 25; p++)
		for (int64_t c = 0; c < 4; c++) {
			double z = w(o, "b1", c);

			for (int64_t k = 0; k < 9; k++)
				z += w(o, "w1", c * 9 + k) * u1[p * 18 + c / 2 * 9 + k];
			u2[c * 25 + p] = z > 0 ? z : 0;
		}
	for (int64_t c = 0; c < 3; c++) {
		double z = 0;

		for (int64_t k = 0; k < 100; k++)
			z += 0.5 * w(o, "w2", c * 100 + k) * u2[k];
		o->y[t * 3 + c] = (float)(z + w(o, "b2", c));
	}
}

static void logits_reverse(struct oracle *o, int64_t t)
{
	double *d1 = o->layer[0].delta + t * 25 * 4, *d2 = o->layer[1].delta + t * 3, z[3];
	const double *u2 = o->layer[1].u + t * 100;

	for (int64_t c = 0; c < 3; c++)
		z[c] = o->y[t * 3 + c];
	fisher_probe(o, t, z, 3, d2);
	for (int64_t k = 0; k < 100; k++)
		for (int64_t c = 0; c < 3; c++)
			d1[k % 25 * 4 + k / 25] += u2[k] > 0 ? 0.5 * w(o, "w2", c * 100 + k) * d2[c] : 0;
}

static void probabilities_forward(struct oracle *o, int64_t t)
{
	double *u1 = o->layer[0].u + t * 12, *u2 = o->layer[1].u + t * 15, z[3], sum = 0;

	for (int64_t k = 0; k < 12; k++)
		u1[k] = x(o, t, k);
	for (int64_t p = 0; p < 3; p++)
		for (int64_t c = 0; c < 5; c++) {
			double v = w(o, "b1", c);

			for (int64_t k = 0; k < 4; k++)
				v += u1[p * 4 + k] * w(o, "w1", k * 5 + c);
			u2[p * 5 + c] = v > 0 ? v : 0;
		}
	for (int64_t c = 0; c < 3; c++) {
		z[c] = 0.5 * w(o, "b2", c);
		for (int64_t k = 0; k < 15; k++)
			z[c] += u2[k] * w(o, "w2", k * 3 + c);
		sum += exp(z[c]);
	}
	for (int64_t c = 0; c < 3; c++)
		o->y[t * 3 + c] = (float)(exp(z[c]) / sum);
}

static void probabilities_reverse(struct oracle *o, int64_t t)
{
	double *d1 = o->layer[0].delta + t * 15, *d2 = o->layer[1].delta + t * 3, z[3];
	const double *u2 = o->layer[1].u + t * 15;

	for (int64_t c = 0; c < 3; c++)
		z[c] = log((double)o->y[t * 3 + c]);
	fisher_probe(o, t, z, 3, d2);
	for (int64_t k = 0; k < 15; k++)
		for (int64_t c = 0; c < 3; c++)
			d1[k] += u2[k] > 0 ? w(o, "w2", k * 3 + c) * d2[c] : 0;
}

static void general_forward(struct oracle *o, int64_t t)
{
	double *u1 = o->layer[0].u + t * 6, *h = o->layer[1].u + t * 5;

	for (int64_t k = 0; k < 6; k++)
		u1[k] = x(o, t, k);
	for (int64_t c = 0; c < 5; c++) {
		for (int64_t k = 0; k < 6; k++)
			h[c] += u1[k] * w(o, "w1", k * 5 + c);
		h[c] = tanh(h[c]);
		o->layer[2].u[t * 5 + c] = h[c];
	}
	for (int64_t c = 0; c < 5; c++) {
		double v = c < 2 ? w(o, "b2", c) : 0;

		for (int64_t k = 0; k < 5; k++)
			v += h[k] * (c < 2 ? w(o, "w2", k * 2 + c) : w(o, "w3", k * 3 + c - 2));
		o->y[t * 5 + c] = (float)v;
	}
}

static void general_reverse(struct oracle *o, int64_t t)
{
	double *d1 = o->layer[0].delta + t * 5, *d2 = o->layer[1].delta + t * 2, *d3 = o->layer[2].delta + t * 3;
	const double *h = o->layer[1].u + t * 5;
	struct rng r = rng_make(SEED, (uint64_t)o->item[t]), q = rng_make(SEED + 1, (uint64_t)o->item[t]);
	uint64_t a = rng_next(&r), b = rng_next(&q);

	for (int64_t c = 0; c < 2; c++)
		d2[c] = sign_of(a, c) * (double)o->map.scale[c];
	for (int64_t c = 0; c < 3; c++)
		d3[c] = sign_of(b, c) * (double)o->map.scale[2 + c];
	for (int64_t k = 0; k < 5; k++) {
		for (int64_t c = 0; c < 2; c++)
			d1[k] += w(o, "w2", k * 2 + c) * d2[c];
		for (int64_t c = 0; c < 3; c++)
			d1[k] += w(o, "w3", k * 3 + c) * d3[c];
		d1[k] *= 1 - h[k] * h[k];
	}
}

struct net {
	const char *name;
	struct document *(*make)(uint64_t seed);
	enum head_kind kind;
	int64_t width;
	void (*forward)(struct oracle *o, int64_t t);
	void (*reverse)(struct oracle *o, int64_t t);
};

static const struct net nets[] = {
	{ "logits", net_logits, HEAD_LOGITS, 3, logits_forward, logits_reverse },
	{ "probabilities", net_probabilities, HEAD_PROBABILITIES, 3, probabilities_forward, probabilities_reverse },
	{ "general", net_general, HEAD_GENERAL, 5, general_forward, general_reverse },
};

static void sketch_layers(struct oracle *o)
{
	if (o->kind == HEAD_LOGITS) {
		sketch_make(o, 0, "w1", 25, 18, 4);
		sketch_make(o, 1, "w2", 1, 100, 3);
		o->bias[0] = (struct added){ "b1", 0, 1 };
		o->bias[1] = (struct added){ "b2", 1, 1 };
		o->n_bias = 2;
	} else if (o->kind == HEAD_PROBABILITIES) {
		sketch_make(o, 0, "w1", 3, 4, 5);
		sketch_make(o, 1, "w2", 1, 15, 3);
		o->bias[0] = (struct added){ "b1", 0, 1 };
		o->bias[1] = (struct added){ "b2", 1, 0.5 };
		o->n_bias = 2;
	} else {
		sketch_make(o, 0, "w1", 1, 6, 5);
		sketch_make(o, 1, "w2", 1, 5, 2);
		sketch_make(o, 2, "w3", 1, 5, 3);
		o->bias[0] = (struct added){ "b2", 1, 1 };
		o->n_bias = 1;
	}
}

/* The features are the statistics room's, tested there; here from the oracle's outputs of the first items. */
static void make_psi(struct oracle *o)
{
	float *psi = malloc((size_t)(o->items * R) * sizeof *psi);
	struct tamis_error err = { 0 };

	must(feature_map_create(&o->map, o->kind, o->y, SCORE_PILOT, o->width, o->kind == HEAD_GENERAL ? 0 : o->width, R, SEED,
	                        &err), &err, "features");
	must(feature_map_apply(&o->map, o->y, o->items, psi, &err), &err, "features");
	o->psi = grid(o->items * R);
	for (int64_t i = 0; i < o->items * R; i++)
		o->psi[i] = psi[i];
	free(psi);
}

static void oracle_open(struct oracle *o, struct lab *lab, const struct net *net)
{
	*o = (struct oracle){ .lab = lab, .kind = net->kind, .width = net->width };
	o->item = calloc(ITEMS, sizeof *o->item);
	for (int64_t t = 0; t < ITEMS; t++)
		if (four_of_five(NULL, t))
			o->item[o->items++] = t;
	o->y = calloc((size_t)(o->items * o->width), sizeof *o->y);
	sketch_layers(o);
	for (int64_t t = 0; t < o->items; t++)
		net->forward(o, t);
	make_psi(o);
	for (int64_t t = 0; t < o->items; t++)
		net->reverse(o, t);
}

static void oracle_close(struct oracle *o)
{
	for (int i = 0; i < o->n; i++) {
		free(o->layer[i].u);
		free(o->layer[i].delta);
	}
	feature_map_free(&o->map);
	free(o->psi);
	free(o->y);
	free(o->item);
}

/* ---- its quantities ----------------------------------------------------------------------------------------- */

/* Positions that the test looks at. */
static int64_t looked_at(const struct sketch *s, int64_t *pos)
{
	int64_t n = s->positions < SCORE_POSITIONS ? s->positions : SCORE_POSITIONS;
	double golden = (sqrt(5) - 1) / 2;

	for (int64_t k = 0; k < n; k++) {
		double multiple = golden * (double)(k + 1);

		pos[k] = s->positions == n ? k
			: (int64_t)(((double)k + multiple - floor(multiple)) * (double)s->positions / (double)n);
	}
	return n;
}

static double covariance(const double *a, int64_t astep, const double *b, int64_t bstep, int64_t n)
{
	double ma = 0, mb = 0, sum = 0;

	for (int64_t t = 0; t < n; t++) {
		ma += a[t * astep] / (double)n;
		mb += b[t * bstep] / (double)n;
	}
	for (int64_t t = 0; t < n; t++)
		sum += (a[t * astep] - ma) * (b[t * bstep] - mb);
	return sum / (double)n;
}

static double relevance(const struct oracle *o, const struct sketch *s, int64_t f)
{
	int64_t pos[SCORE_POSITIONS], n = looked_at(s, pos), row = s->positions * s->features;
	double sum = 0;

	for (int64_t k = 0; k < n; k++)
		for (int64_t r = 0; r < R; r++) {
			double c = covariance(s->u + pos[k] * s->features + f, row, o->psi + r, R, o->items);

			sum += c * c;
		}
	return sum / (double)n;
}

/* E u^2 over all positions for that over those looked at. */
static double energy_ratio(const struct oracle *o, const struct sketch *s, int64_t f)
{
	int64_t pos[SCORE_POSITIONS], n = looked_at(s, pos);
	double all = 0, seen = 0;

	for (int64_t t = 0; t < o->items; t++) {
		const double *u = s->u + t * s->positions * s->features + f;

		for (int64_t p = 0; p < s->positions; p++)
			all += u[p * s->features] * u[p * s->features] / (double)s->positions;
		for (int64_t k = 0; k < n; k++)
			seen += u[pos[k] * s->features] * u[pos[k] * s->features] / (double)n;
	}
	return seen > 0 ? all / seen : 1;
}

/* tr(A^k), k = 1..4. */
static void traces(const double *a, int64_t n, double *c)
{
	double *power = grid(n * n), *next = grid(n * n);

	memcpy(power, a, (size_t)(n * n) * sizeof *a);
	for (int k = 0; k < 4; k++) {
		c[k] = 0;
		for (int64_t i = 0; i < n; i++)
			c[k] += power[i * n + i];
		for (int64_t i = 0; i < n * n; i++) {
			next[i] = 0;
			for (int64_t j = 0; j < n; j++)
				next[i] += power[i / n * n + j] * a[j * n + i % n];
		}
		memcpy(power, next, (size_t)(n * n) * sizeof *next);
	}
	free(power);
	free(next);
}

static double p_value(const struct oracle *o, const struct sketch *s, int64_t f)
{
	int64_t pos[SCORE_POSITIONS], n = looked_at(s, pos), row = s->positions * s->features;
	double *a = grid(n * n), *b = grid(R * R), mu[4], nu[4], c[4];

	for (int64_t i = 0; i < n * n; i++)
		a[i] = covariance(s->u + pos[i / n] * s->features + f, row, s->u + pos[i % n] * s->features + f, row,
		                  o->items) / (double)n;
	for (int64_t i = 0; i < R * R; i++)
		b[i] = covariance(o->psi + i / R, R, o->psi + i % R, R, o->items);
	traces(a, n, mu);
	traces(b, R, nu);
	for (int k = 0; k < 4; k++)
		c[k] = mu[k] * nu[k] / pow(mu[0] * nu[0], k + 1);
	free(a);
	free(b);
	if (!(mu[0] > 0))
		return 1;
	return weighted_chi_square_p((double)(o->items - 1) * relevance(o, s, f) / (mu[0] * nu[0]), c);
}

static void near(double got, double want, double relative, double absolute, const char *what, const char *net,
                 int64_t i)
{
	cr_assert(fabs(got - want) <= relative * fabs(want) + absolute, "%s: %s %lld is %.9g, not %.9g", net, what,
	          (long long)i, got, want);
}

static void check_features(const struct oracle *o, const struct sketch *s, const struct layer_score *got,
                           const char *net)
{
	double n = (double)(o->items * s->positions), largest = 0;

	for (int64_t f = 0; f < s->features; f++)
		largest = fmax(largest, relevance(o, s, f) * energy_ratio(o, s, f));
	for (int64_t f = 0; f < s->features; f++) {
		double mean = 0, second = 0;

		for (int64_t i = 0; i < o->items * s->positions; i++) {
			mean += s->u[i * s->features + f] / n;
			second += s->u[i * s->features + f] * s->u[i * s->features + f] / n;
		}
		near(got->mean[f], mean, 1e-5, 1e-6, "mean", net, f);
		near(got->second[f], second, 1e-5, 1e-6, "second moment", net, f);
		near(got->relevance[f], relevance(o, s, f) * energy_ratio(o, s, f), 2e-3, 1e-4 * largest, "relevance", net, f);
		near(got->p[f], p_value(o, s, f), 0.02, 2e-3, "p-value", net, f);
	}
}

static void check_gain(const struct oracle *o, const struct sketch *s, const struct layer_score *got, const char *net)
{
	cr_assert(!got->blind);
	for (int64_t c = 0; c < s->outs; c++) {
		double gain = 0;

		for (int64_t i = 0; i < o->items * s->positions; i++)
			gain += s->delta[i * s->outs + c] * s->delta[i * s->outs + c] / (double)o->items;
		near(got->gain[c], gain, 1e-4, 1e-9, "gain", net, c);
	}
}

/* The square of the gradient summed over a chunk, chunk by chunk. */
static double squared(const struct oracle *o, const double *each, int64_t chunk)
{
	double all = 0, sum = 0;

	for (int64_t t = 0; t < o->items; t++) {
		sum += each[t];
		if (t % chunk == chunk - 1 || t == o->items - 1) {
			all += sum * sum;
			sum = 0;
		}
	}
	return all / (double)o->items;
}

static void check_gradient(const struct oracle *o, const struct sketch *s, const struct layer *l,
                           const struct layer_score *got, int64_t chunk, const char *net)
{
	double *each = grid(o->items);

	for (int64_t c = 0; c < s->outs; c++)
		for (int64_t d = 0; d < l->view.fan_in; d++) {
			int64_t f = c / (l->view.outs / l->view.groups) * l->view.fan_in + d;

			for (int64_t t = 0; t < o->items; t++) {
				each[t] = 0;
				for (int64_t p = 0; p < s->positions; p++)
					each[t] += l->view.weight_scale * s->delta[(t * s->positions + p) * s->outs + c]
						* s->u[(t * s->positions + p) * s->features + f];
			}
			near(got->gradient2[layer_offset(&l->view, c, d)], squared(o, each, chunk), 1e-3, 1e-7, "gradient", net, f);
		}
	free(each);
}

/* (u delta)^2 at the grid, for all positions. */
static void check_energy(const struct oracle *o, const struct sketch *s, const struct layer *l,
                         const struct layer_score *got, const char *net)
{
	int64_t pos[SCORE_POSITIONS], n = looked_at(s, pos);
	double times = l->view.weight_scale * l->view.weight_scale * (double)s->positions / (double)(n * o->items);

	for (int64_t c = 0; c < s->outs; c++)
		for (int64_t d = 0; d < l->view.fan_in; d++) {
			int64_t f = c / (l->view.outs / l->view.groups) * l->view.fan_in + d;
			double sum = 0;

			for (int64_t i = 0; i < o->items * n; i++) {
				int64_t row = i / n * s->positions + pos[i % n];
				double e = s->delta[row * s->outs + c] * s->u[row * s->features + f];

				sum += times * e * e;
			}
			near(got->energy[layer_offset(&l->view, c, d)], sum, 1e-3, 1e-7, "energy", net, f);
		}
}

static void check_covariance(const struct oracle *o, const struct sketch *s, const struct layer *l,
                             const struct layer_score *got, const char *net)
{
	int64_t pos[SCORE_POSITIONS], n = looked_at(s, pos), d = l->view.fan_in;
	double *u = grid(o->items * n * s->features);

	for (int64_t i = 0; i < o->items * n; i++)
		memcpy(u + i * s->features, s->u + (i / n * s->positions + pos[i % n]) * s->features,
		       (size_t)s->features * sizeof *u);
	for (int64_t i = 0; i < s->features * d; i++) {
		int64_t a = i / d, b = a / d * d + i % d;

		near(got->covariance[i], covariance(u + a, s->features, u + b, s->features, o->items * n), 1e-4, 1e-4,
		     "covariance", net, i);
	}
	free(u);
}

static void check_parameters(const struct oracle *o, const struct scores *got, int64_t chunk, const char *net)
{
	double *each = grid(o->items);

	cr_assert_eq(got->n_parameters, o->n_bias, "%s: %d parameters, not %d", net, got->n_parameters, o->n_bias);
	for (int k = 0; k < got->n_parameters; k++) {
		const char *name = o->lab->graph->values[got->parameter[k].value].name;
		const struct added *b = o->bias;

		while (strcmp(b->name, name))
			cr_assert(++b < o->bias + o->n_bias);
		const struct sketch *s = &o->layer[b->layer];

		for (int64_t c = 0; c < s->outs; c++) {
			for (int64_t t = 0; t < o->items; t++) {
				each[t] = 0;
				for (int64_t p = 0; p < s->positions; p++)
					each[t] += b->scale * s->delta[(t * s->positions + p) * s->outs + c];
			}
			near(got->parameter[k].gradient2[c], squared(o, each, chunk), 1e-3, 1e-8, name, net, c);
		}
	}
	free(each);
}

/* ---- running ------------------------------------------------------------------------------------------------ */

static struct score_job job_of(struct lab *l)
{
	return (struct score_job){ .graph = l->graph, .layers = &l->layers, .reader = &l->reader, .select = four_of_five,
		.batching = BATCH_STACKED, .chunk = CHUNK, .seed = SEED, .head = "auto",
		.parameters = true, .needs = SCORE_NEEDS_GRADIENT | SCORE_NEEDS_ENERGY | SCORE_NEEDS_COVARIANCE };
}

static void run_pass(const struct score_job *job, struct head *head, struct scores *out)
{
	struct tamis_error err = { 0 };

	*out = (struct scores){ 0 };
	must(score_run(job, head, out, &err), &err, "score");
}

static void check_all(const struct net *net, enum batching batching)
{
	struct lab l;
	struct oracle o;
	struct scores s;
	struct head head;
	struct score_job job;
	int64_t chunk = batching == BATCH_ONE ? 1 : CHUNK;

	lab_open(&l, net->make(3), ITEMS, 11);
	oracle_open(&o, &l, net);
	job = job_of(&l);
	job.batching = batching;
	run_pass(&job, &head, &s);
	cr_assert_eq(head.kind, net->kind);
	cr_assert_eq(head.width, net->width);
	cr_assert_eq(s.items, o.items);
	cr_assert_eq(s.n_layers, o.n);
	for (int i = 0; i < o.n; i++) {
		int at = lab_layer(&l, o.layer[i].weight);

		check_features(&o, &o.layer[i], &s.layer[at], net->name);
		check_gain(&o, &o.layer[i], &s.layer[at], net->name);
		check_gradient(&o, &o.layer[i], &l.layers.list[at], &s.layer[at], chunk, net->name);
		check_energy(&o, &o.layer[i], &l.layers.list[at], &s.layer[at], net->name);
		check_covariance(&o, &o.layer[i], &l.layers.list[at], &s.layer[at], net->name);
	}
	check_parameters(&o, &s, chunk, net->name);
	scores_free(&s);
	oracle_close(&o);
	lab_close(&l);
}

Test(score, stacked_items_by_definition)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		check_all(&nets[i], BATCH_STACKED);
}

/* The pilot sees 64 items, not 64 chunks of one and not one item. */
Test(score, single_items_by_definition)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		check_all(&nets[i], BATCH_ONE);
}

static void same(const double *a, const double *b, int64_t n, const char *what)
{
	cr_assert(!memcmp(a, b, (size_t)n * sizeof *a), "%s depends on the number of workers", what);
}

Test(score, same_bits_for_any_number_of_workers)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
		struct lab l;
		struct scores one;
		struct head head;
		struct score_job job;

		lab_open(&l, nets[i].make(4), 203, 12);
		job = job_of(&l);
		run_pass(&job, &head, &one);
		for (int workers = 2; workers <= 3; workers++) {
			struct scores s;

			cr_assert_eq(pool_create(workers, &job.pool, NULL), TAMIS_OK);
			run_pass(&job, &head, &s);
			for (int k = 0; k < l.layers.n; k++) {
				const struct layer *x = &l.layers.list[k];

				same(one.layer[k].mean, s.layer[k].mean, x->features, "the mean");
				same(one.layer[k].second, s.layer[k].second, x->features, "the second moment");
				same(one.layer[k].relevance, s.layer[k].relevance, x->features, "the relevance");
				same(one.layer[k].p, s.layer[k].p, x->features, "the p-value");
				same(one.layer[k].gain, s.layer[k].gain, x->view.outs, "the gain");
				same(one.layer[k].gradient2, s.layer[k].gradient2, x->entries, "the squared gradient");
				same(one.layer[k].energy, s.layer[k].energy, x->entries, "the energy");
				same(one.layer[k].covariance, s.layer[k].covariance, x->features * x->view.fan_in, "the covariance");
			}
			for (int k = 0; k < one.n_parameters; k++)
				same(one.parameter[k].gradient2, s.parameter[k].gradient2,
				     l.graph->values[one.parameter[k].value].constant.count, "a parameter's score");
			scores_free(&s);
			pool_destroy(job.pool);
			job.pool = NULL;
		}
		scores_free(&one);
		lab_close(&l);
	}
}

/* Fourier features beside the signal only add to what it has alone, in the signal's own units. */
Test(score, rich_features_add_to_the_linear_relevance)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
		struct lab l;
		struct scores linear, rich, again;
		struct head head;
		struct score_job job;

		lab_open(&l, nets[i].make(4), 203, 12);
		job = job_of(&l);
		run_pass(&job, &head, &linear);
		job.rich = true;
		run_pass(&job, &head, &rich);
		cr_assert_eq(pool_create(2, &job.pool, NULL), TAMIS_OK);
		run_pass(&job, &head, &again);
		for (int k = 0; k < l.layers.n; k++) {
			const struct layer *x = &l.layers.list[k];

			for (int64_t f = 0; f < x->features; f++)
				cr_assert_geq(rich.layer[k].relevance[f], 0.999 * linear.layer[k].relevance[f], "%s %d: %d", nets[i].name,
				              k, (int)f);
			same(rich.layer[k].relevance, again.layer[k].relevance, x->features, "the rich relevance");
			same(rich.layer[k].p, again.layer[k].p, x->features, "the rich p-value");
			same(rich.layer[k].mean, linear.layer[k].mean, x->features, "the mean");
		}
		pool_destroy(job.pool);
		scores_free(&linear);
		scores_free(&rich);
		scores_free(&again);
		lab_close(&l);
	}
}

/* Half and double models reach the same figures up to their rounding. */
Test(score, other_float_types)
{
	static const enum dtype types[] = { DT_DOUBLE, DT_FLOAT16, DT_BFLOAT16 };
	static const double slack[] = { 1e-4, 0.05, 0.3 };

	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		for (int k = 0; k < 3; k++) {
			struct lab a, b;
			struct scores s, t;
			struct head head;
			struct document *d = nets[i].make(6);
			struct score_job job;

			lab_open(&a, nets[i].make(6), ITEMS, 13);
			nets_retype(d, types[k]);
			lab_open(&b, d, ITEMS, 13);
			job = job_of(&a);
			run_pass(&job, &head, &s);
			job = job_of(&b);
			run_pass(&job, &head, &t);
			cr_assert_eq(a.layers.n, b.layers.n);
			for (int m = 0; m < a.layers.n; m++)
				for (int64_t f = 0; f < a.layers.list[m].features; f++) {
					near(t.layer[m].mean[f], s.layer[m].mean[f], slack[k], slack[k] / 5, "mean", dtype_name(types[k]), f);
					near(t.layer[m].second[f], s.layer[m].second[f], slack[k], slack[k] / 5, "second moment",
					     dtype_name(types[k]), f);
				}
			scores_free(&s);
			scores_free(&t);
			lab_close(&a);
			lab_close(&b);
		}
}

/* ---- what stands in the way --------------------------------------------------------------------------------- */

Test(score, no_gradient_through_a_step)
{
	struct document *d = net_general(7);
	struct lab l;
	struct scores s;
	struct head head;
	struct score_job job;
	Onnx__GraphProto *g = d->model->graph;

	/* y1 and y2 read round(h) */
	build_node(d, "Round", "h", "q");
	for (size_t i = 2; i < 4; i++)
		cr_assert_eq(edit_string(d, &g->node[i]->input[0], "q", NULL), TAMIS_OK);
	cr_assert_eq(edit_insert(d, &g->n_node, &g->node, 2, edit_take(&g->n_node, &g->node, 4), NULL), TAMIS_OK);
	lab_open(&l, d, ITEMS, 14);
	job = job_of(&l);
	run_pass(&job, &head, &s);
	if (!g->node[2] || l.graph->nodes[2].op->reverse)
		cr_skip("Round has a reverse");
	cr_assert(s.layer[lab_layer(&l, "w1")].blind);
	cr_assert(!s.layer[lab_layer(&l, "w2")].blind);
	for (int64_t o = 0; o < 5; o++)
		cr_assert_eq(s.layer[lab_layer(&l, "w1")].gain[o], 1);
	cr_assert_gt(s.layer[lab_layer(&l, "w1")].relevance[0], 0);
	scores_free(&s);
	lab_close(&l);
}

Test(score, a_constant_signal_is_not_tested)
{
	struct lab l;
	struct scores s;
	struct head head;
	struct score_job job;

	lab_open(&l, net_general(8), ITEMS, 15);
	for (int64_t t = 0; t < ITEMS; t++)
		tensor_set(&l.shelf.in[0], t * 6 + 2, 0.7);
	job = job_of(&l);
	run_pass(&job, &head, &s);
	cr_assert_eq(s.layer[0].p[2], 1);
	cr_assert_lt(s.layer[0].relevance[2], 1e-9 * s.layer[0].relevance[1]);
	cr_assert_lt(s.layer[0].p[1], 1e-3);
	near(s.layer[0].mean[2], 0.7, 1e-6, 0, "mean", "constant", 2);
	scores_free(&s);
	lab_close(&l);
}

static bool nobody(void *ctx, int64_t item)
{
	(void)ctx;
	(void)item;
	return false;
}

static enum tamis_status stop(void *ctx, int64_t items, struct tamis_error *err)
{
	return items >= *(int64_t *)ctx ? tm_fail(err, TAMIS_E_CANCELLED, "enough") : TAMIS_OK;
}

Test(score, failures_are_told)
{
	struct lab l;
	struct scores s = { 0 };
	struct head head;
	struct score_job job;
	struct tamis_error err = { 0 };
	int64_t at = 24;

	lab_open(&l, net_logits(9), ITEMS, 16);
	job = job_of(&l);
	job.select = nobody;
	cr_assert_eq(score_run(&job, &head, &s, &err), TAMIS_E_INVALID);
	scores_free(&s);
	err = (struct tamis_error){ 0 };
	job = job_of(&l);
	job.progress = stop;
	job.progress_ctx = &at;
	cr_assert_eq(score_run(&job, &head, &s, &err), TAMIS_E_CANCELLED);
	scores_free(&s);
	err = (struct tamis_error){ 0 };
	job = job_of(&l);
	tensor_set(&l.shelf.in[0], 80 * 50, NAN);
	cr_assert_eq(score_run(&job, &head, &s, &err), TAMIS_E_INVALID, "%s", err.message);
	scores_free(&s);
	lab_close(&l);
}
