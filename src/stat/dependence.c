/* SPDX-License-Identifier: Apache-2.0 */
#include "stat/dependence.h"

#include <complex.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/eight.h"
#include "base/loop.h"
#include "base/memory.h"
#include "stat/special.h"

double weighted_chi_square_p(double x, const double c[4])
{
	if (isnan(x + c[0] + c[1] + c[2] + c[3]))
		return NAN;
	if (!(c[0] > 0 && c[1] > 0 && c[2] > 0))
		return 1;
	double s1 = c[2] / (c[1] * sqrt(c[1])), s2 = c[3] / (c[1] * c[1]), root = s1 * s1 - s2;
	double a = root > 0 ? 1 / (s1 - sqrt(root)) : 1 / s1;
	double ncp = root > 0 ? fmax(s1 * a * a * a - a * a, 0) : 0, dof = a * a - 2 * ncp;
	double at = (x - c[0]) / sqrt(2 * c[1]) * M_SQRT2 * a + dof + ncp;
	return fmin(fmax(chi_square_survival_noncentral(at, dof, ncp), 0), 1);
}

/* The inversion integrand is e^g(s) / s with g(s) = -1/2 sum ln(1 - 2 lambda s) - x s. */
struct exponent { const double *lambda; int64_t count; double x; };

/* Derivative of g(s) - ln|s| on the real axis, and its own. */

static double exponent_slope(const struct exponent *e, double s, double *curvature)
{
	double slope = -e->x - 1 / s;
	*curvature = 1 / (s * s);
	for (int64_t j = 0; j < e->count; j++) {
		double f = 2 * e->lambda[j] / (1 - 2 * e->lambda[j] * s);
		slope += 0.5 * f;
		*curvature += 0.5 * f * f;
	}
	return slope;
}

static double complex exponent_at(const struct exponent *e, double complex s)
{
	double complex sum = 0;
	for (int64_t j = 0; j < e->count; j++)
		sum += clog(1 - 2 * e->lambda[j] * s);
	return -0.5 * sum - e->x * s;
}

/* The saddle point on the real axis between lo and hi, where the slope rises from below to above zero. */
static double saddle(const struct exponent *e, double lo, double hi, double *curvature)
{
	double mid = lo + (hi - lo) / 2;
	for (int k = 0; k < 100; k++) {
		mid = lo + (hi - lo) / 2;
		if (exponent_slope(e, mid, curvature) < 0)
			lo = mid;
		else
			hi = mid;
		if (hi - lo <= 1e-6 * fmin(fabs(lo), fabs(hi)))
			break;
	}
	return mid;
}

/* Trapezoidal sum over t of Im[e^g(s) / s ds/dt] along s = c + i t + t^2 / (4 gap), divided by e^g(c). Only t
 * >= 0 is walked: the other half is its mirror image. */
static double contour_sum(const struct exponent *e, double c, double gap, double step, double complex top)
{
	double sum = 0, bend = 1 / (4 * gap);
	for (int k = 0; k < 100000; k++) {
		double t = k * step;
		double complex s = c + bend * t * t + I * t;
		double complex term = cexp(exponent_at(e, s) - top) / s * (2 * bend * t + I);
		sum += (k ? 1 : 0.5) * cimag(term);
		if (cabs(term) < 1e-17 * fabs(sum) || cabs(term) == 0)
			break;
	}
	return sum * step;
}

/* |tail| = 1/pi integral of Im[e^g(s) / s ds] over the upper half of the contour, which crosses the real axis
 * at the saddle point c and bends to the right around the branch points at 1 / (2 lambda) (and the pole at 0
 * where c < 0), so that the integrand dies exponentially and the trapezoidal rule converges geometrically. */
static double invert(const struct exponent *e, double lo, double hi, double nearest)
{
	double curvature, c = saddle(e, lo, hi, &curvature), step = 0.5 / sqrt(curvature);
	double complex top = exponent_at(e, c);
	double last = contour_sum(e, c, nearest - c, step, top);
	for (int k = 0; k < 12; k++) {
		step /= 2;
		double next = contour_sum(e, c, nearest - c, step, top);
		if (fabs(next - last) <= 1e-11 * fabs(next)) {
			last = next;
			break;
		}
		last = next;
	}
	return fmin(fmax(fabs(last) * exp(creal(top)) / M_PI, 0), 1);
}

double weighted_chi_square_exact_p(double x, const double *lambda, int64_t count)
{
	double mean = 0, largest = 0;
	for (int64_t j = 0; j < count; j++) {
		mean += lambda[j];
		largest = fmax(largest, lambda[j]);
	}
	if (isnan(x) || isnan(mean))
		return NAN;
	if (x <= 0 || isinf(x) || largest == 0)
		return x <= 0 ? 1 : 0;
	struct exponent e = { lambda, count, x };
	double branch = 1 / (2 * largest);
	if (x >= mean)
		return invert(&e, 0, branch, branch);
	return 1 - invert(&e, -(0.5 * (double)count + 2) / x, 0, 0);
}

static enum tamis_status check(const struct comoment *c, const struct output_moment *psi, int positions,
		struct tamis_error *err)
{
	if (c->n == psi->n && c->r == psi->r && positions >= 1 && c->width % positions == 0)
		return TAMIS_OK;
	return tm_fail(err, TAMIS_E_USAGE,
			"signals and outputs must be of the same items and %d divide the width, but came "
			"%lld items against %d features of width %d, and %lld items of %d features",
			positions, (long long)c->n, c->r, c->width, (long long)psi->n, psi->r);
}

/* tr(A^k), k = 1..4, of four symmetric n x n matrices that lie side by side, LANES doubles from one element to the
 * next. O(n^3). */
LOOP_VERSIONS
static void traces_of_four(const double *a, int n, double trace[4][LANES])
{
	four sum[4] = { { 0 } };
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++) {
			const double *row = a + (int64_t)i * n * LANES, *other = a + (int64_t)j * n * LANES;
			four square = { 0 }, x, y;
			for (int k = 0; k < n; k++) {
				memcpy(&x, row + k * LANES, sizeof x);
				memcpy(&y, other + k * LANES, sizeof y);
				square += x * y;
			}
			memcpy(&x, row + j * LANES, sizeof x);
			double twice = i == j ? 1 : 2;
			sum[0] += i == j ? x : x * 0;
			sum[1] += twice * x * x;
			sum[2] += twice * x * square;
			sum[3] += twice * square * square;
		}
	for (int k = 0; k < 4; k++)
		memcpy(trace[k], &sum[k], sizeof sum[k]);
}

/* Divides tr(A^k) by tr(A)^k. Returns the trace; 0 when the matrix is zero or not finite. */
static double normalise(double trace[4])
{
	double first = trace[0], power = 1;
	if (!(first > 0 && isfinite(trace[3])))
		return 0;
	for (int k = 0; k < 4; k++)
		trace[k] /= power *= first;
	return first;
}

/* Everything that the features of a layer share, and scratch for an octet of them. */
struct work {
	double psi_trace, psi_powers[4];
	double *within; /* the larger of width and r, squared, x LANES */
};

static enum tamis_status work_begin(struct work *w, const struct comoment *c, const struct output_moment *psi,
		struct tamis_error *err)
{
	int side = c->width > psi->r ? c->width : psi->r;
	double *matrix = tm_array((size_t)psi->r * (size_t)psi->r, sizeof *matrix), trace[4][LANES];
	w->within = tm_array((size_t)side * (size_t)side, LANES * sizeof *w->within);
	if (!matrix || !w->within) {
		free(matrix);
		free(w->within);
		return tm_no_memory(err, "testing for dependence");
	}
	output_moment_covariance(psi, matrix);
	for (int i = 0; i < psi->r * psi->r; i++)
		w->within[i * LANES] = matrix[i];
	free(matrix);
	traces_of_four(w->within, psi->r, trace);
	for (int k = 0; k < 4; k++)
		w->psi_powers[k] = trace[k][0];
	w->psi_trace = normalise(w->psi_powers);
	return TAMIS_OK;
}

static inline void load(const double *from, four v[2])
{
	memcpy(v, from, 2 * sizeof *v);
}

/* |Cov(u, psi)|^2 of an octet, all rows together. cross and sum are those of the octet. */
LOOP_VERSIONS
static void square_sums(const struct comoment *c, const double *cross, const double *sum, double *out)
{
	four total[2] = { { 0 } };
	double n = (double)c->n, share = 1 / n;
	for (int p = 0; p < c->width; p++, sum += LANES) {
		four mean[2], v[2];
		load(sum, mean);
		for (int i = 0; i < 2; i++)
			mean[i] /= n;
		for (int k = 0; k < c->r; k++, cross += LANES) {
			load(cross, v);
			for (int i = 0; i < 2; i++) {
				v[i] = (v[i] - mean[i] * c->sum_psi[k]) * share;
				total[i] += v[i] * v[i];
			}
		}
	}
	memcpy(out, total, sizeof total);
}

/* The covariances of an octet over rows, symmetric and full. */
LOOP_VERSIONS
static void within_covariances(const double *within, const double *sum, int width, double n, double *restrict cov)
{
	for (int p = 0; p < width; p++)
		for (int s = 0; s <= p; s++, within += LANES)
			for (int i = 0; i < LANES; i++) {
				double v = (within[i] - sum[p * LANES + i] * (sum[s * LANES + i] / n)) / n;
				cov[(p * width + s) * LANES + i] = cov[(s * width + p) * LANES + i] = v;
			}
}

/* Power sums of mu_k nu_l are products of power sums; all, and the statistic, are divided by the first. */
static double feature_p(double n, int positions, double statistic, const struct work *w, double trace[4])
{
	double mean = normalise(trace) / positions * w->psi_trace;
	if (!(mean > 0 && isfinite(mean)))
		return 1;
	for (int k = 0; k < 4; k++)
		trace[k] *= w->psi_powers[k];
	double p = weighted_chi_square_p((n - 1) * statistic / mean, trace);
	return isnan(p) ? 1 : p;
}

static void test_octet(const struct comoment *c, int64_t octet, int positions, const struct work *w, double *statistic,
		double *p)
{
	const double *sum = c->sum + octet * c->width * LANES;
	double squares[LANES], trace[4][LANES];
	square_sums(c, c->cross + octet * c->width * c->r * LANES, sum, squares);
	within_covariances(c->within + octet * comoment_pairs(c->width) * LANES, sum, c->width, (double)c->n, w->within);
	for (int half = 0; half < LANES && p; half += LANES / 2) {
		double part[4][LANES];
		traces_of_four(w->within + half, c->width, part);
		for (int k = 0; k < 4; k++)
			memcpy(&trace[k][half], part[k], LANES / 2 * sizeof(double));
	}
	for (int i = 0; i < LANES && octet * LANES + i < c->d; i++) {
		double r = isfinite(squares[i]) ? squares[i] / positions : 0;
		if (statistic)
			statistic[octet * LANES + i] = r;
		if (p)
			p[octet * LANES + i] = feature_p((double)c->n, positions, r, w,
					(double[4]){ trace[0][i], trace[1][i], trace[2][i], trace[3][i] });
	}
}

enum tamis_status dependence_test(const struct comoment *c, const struct output_moment *psi, int positions,
		double *statistic, double *p, struct tamis_error *err)
{
	struct work w;
	enum tamis_status st = check(c, psi, positions, err);
	for (int64_t j = 0; st == TAMIS_OK && c->n < 2 && j < c->d; j++) {
		if (statistic)
			statistic[j] = 0;
		if (p)
			p[j] = 1;
	}
	if (st != TAMIS_OK || c->n < 2)
		return st;
	st = work_begin(&w, c, psi, err);
	for (int64_t o = 0; st == TAMIS_OK && o * LANES < c->d; o++)
		test_octet(c, o, positions, &w, statistic, p);
	if (st == TAMIS_OK)
		free(w.within);
	return st;
}

/* Eigenvalues of a symmetric n x n matrix, which is overwritten; rounding below zero is cut off. */
static enum tamis_status eigenvalues(double *a, int n, double *values, struct tamis_error *err)
{
	lapack_int info = LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', n, a, n, values);
	if (info <= LAPACK_WORK_MEMORY_ERROR)
		return tm_no_memory(err, "finding eigenvalues");
	if (info != 0)
		return tm_fail(
				err, TAMIS_E_INTERNAL, "the eigenvalues of a %d x %d covariance did not converge", n, n);
	for (int i = 0; i < n; i++)
		values[i] = fmax(values[i], 0);
	return TAMIS_OK;
}

/* What inverting the sums of one layer's features takes: the eigenvalues nu of Cov(psi), shared, and room for
 * one feature's mu, its covariances and the weights mu_k nu_l. */
struct inversion { double *nu, *mu, *matrix, *cross, *lambda; };

static void inversion_free(struct inversion *v)
{
	free(v->nu);
	free(v->mu);
	free(v->matrix);
	free(v->cross);
	free(v->lambda);
}

static enum tamis_status inversion_begin(struct inversion *v, const struct comoment *c,
		const struct output_moment *psi, struct tamis_error *err)
{
	size_t width = (size_t)c->width, r = (size_t)psi->r, side = width > r ? width : r;
	*v = (struct inversion){ .nu = tm_array(r, sizeof(double)), .mu = tm_array(width, sizeof(double)),
		.matrix = tm_array(side * side, sizeof(double)), .cross = tm_array(width * r, sizeof(double)),
		.lambda = tm_array(width * r, sizeof(double)) };
	if (!v->nu || !v->mu || !v->matrix || !v->cross || !v->lambda)
		return tm_no_memory(err, "testing for dependence");
	output_moment_covariance(psi, v->matrix);
	return eigenvalues(v->matrix, psi->r, v->nu, err);
}

/* The weights are taken times positions, and so is the statistic. */
static enum tamis_status invert_feature(const struct comoment *c, int64_t feature, struct inversion *v,
		 double *p, struct tamis_error *err)
{
	double statistic = 0;
	comoment_cross_covariance(c, feature, v->cross);
	for (int k = 0; k < c->width * c->r; k++)
		statistic += v->cross[k] * v->cross[k];
	comoment_within_covariance(c, feature, v->matrix);
	enum tamis_status st = eigenvalues(v->matrix, c->width, v->mu, err);
	if (st != TAMIS_OK)
		return st;
	for (int k = 0; k < c->width; k++)
		for (int l = 0; l < c->r; l++)
			v->lambda[k * c->r + l] = v->mu[k] * v->nu[l];
	*p = weighted_chi_square_exact_p(
			(double)(c->n - 1) * statistic, v->lambda, (int64_t)c->width * c->r);
	return TAMIS_OK;
}

enum tamis_status dependence_refine(const struct comoment *c, const struct output_moment *psi, int positions,
		double low, double high, double *p, int64_t *refined, struct tamis_error *err)
{
	struct inversion v = { 0 };
	enum tamis_status st = check(c, psi, positions, err);
	for (int64_t j = 0; j < c->d && st == TAMIS_OK; j++) {
		if (!(p[j] >= low && p[j] <= high && p[j] < 1))
			continue;
		if (!v.nu)
			st = inversion_begin(&v, c, psi, err);
		if (st == TAMIS_OK)
			st = invert_feature(c, j, &v, &p[j], err);
		if (refined)
			*refined += st == TAMIS_OK;
	}
	inversion_free(&v);
	return st;
}
