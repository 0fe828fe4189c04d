/* SPDX-License-Identifier: Apache-2.0 */
/* Densities come from Loader's saddle-point form (2000, "Fast and accurate computation of binomial
 * probabilities"): a Stirling remainder and a deviance, neither of which cancels for large arguments. Tails
 * are a series or a continued fraction times a density. Inverses are Newton steps on the logarithm of the
 * smaller tail. */
#include "stat/special.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#define HALF_LOG_2PI 0.91893853320467274178
#define TERMS_MAX 1000000

double log_gamma(double x)
{
	int sign;
	return x > 0 ? lgamma_r(x, &sign) : NAN;
}

/* ln Gamma(z + 1) - ((z + 1/2) ln z - z + ln(2 pi) / 2): Stirling's series from 12 on, where its eighth term
 * is below 1e-17. */
static double stirling_remainder(double z)
{
	if (z < 12)
		return log_gamma(z + 1) - (z + 0.5) * log(z) + z - HALF_LOG_2PI;
	static const double c[] = { 1 / 12.0, -1 / 360.0, 1 / 1260.0, -1 / 1680.0, 1 / 1188.0, -691 / 360360.0,
		1 / 156.0 };
	double s = 0;
	for (int k = 6; k >= 0; k--)
		s = s / (z * z) + c[k];
	return s / z;
}

/* a ln(a / x) + x - a >= 0; near x = a the atanh series in v = (a - x) / (a + x). */
static double deviance(double a, double x)
{
	double diff = a - x;
	if (fabs(diff) >= 0.1 * (a + x))
		return a * log(a / x) - diff;
	double v = diff / (a + x), s = diff * v, term = 2 * a * v;
	for (int j = 3;; j += 2) {
		term *= v * v;
		double next = s + term / j;
		if (next == s)
			return s;
		s = next;
	}
}

/* ln of x^a e^-x / Gamma(a + 1), x > 0. */
static double log_poisson(double a, double x)
{
	return -stirling_remainder(a) - deviance(a, x) - HALF_LOG_2PI - 0.5 * log(a);
}

/* sum_k x^k / ((a+1)...(a+k)): P(a, x) over the density above. */
static double gamma_series(double a, double x)
{
	double term = 1, sum = 1;
	for (int k = 1; k < TERMS_MAX && term > sum * (DBL_EPSILON / 8); k++) {
		term *= x / (a + k);
		sum += term;
	}
	return sum;
}

/* Q(a, x) over the density x^a e^-x / Gamma(a + 1), by Legendre's continued fraction evaluated with Lentz's
 * method. */
static double gamma_fraction(double a, double x)
{
	double b = x + 1 - a, c = 1 / DBL_MIN, d = 1 / b, h = d;
	for (int k = 1; k < TERMS_MAX; k++) {
		double an = -k * (k - a);
		b += 2;
		d = an * d + b;
		c = b + an / c;
		d = 1 / (d == 0 ? DBL_MIN : d);
		c = c == 0 ? DBL_MIN : c;
		h *= d * c;
		if (fabs(d * c - 1) < DBL_EPSILON / 2)
			break;
	}
	return h * a;
}

/* Q for a < 1, x < 1.5, where 1 - P would cancel: 1 - t (1 + a sum_{k >= 1} (-x)^k / (k! (a + k))), with
 * t = x^a / Gamma(a + 1) close to 1. */
static double gamma_q_small(double a, double x)
{
	double log_t = a * log(x) - log_gamma(1 + a), term = 1, sum = 0;
	for (int k = 1; k < 60; k++) {
		term *= -x / k;
		sum += term / (a + k);
	}
	return -expm1(log_t) - exp(log_t) * a * sum;
}

/* One of P and Q, whichever comes first without cancellation; *upper says which. Long double for its range:
 * the non-central tail needs terms that double cannot hold. x > 0 finite. */
static long double gamma_tail(double a, double x, bool *upper)
{
	*upper = x >= a + 1 && x >= 1.5;
	if (*upper)
		return expl((long double)log_poisson(a, x)) * gamma_fraction(a, x);
	if (a < 1 && x < 1.5 && x > 1e-3) {
		*upper = true;
		return gamma_q_small(a, x);
	}
	return expl((long double)log_poisson(a, x)) * gamma_series(a, x);
}

static bool gamma_domain(double a, double x)
{
	return a > 0 && isfinite(a) && x >= 0;
}

double gamma_p(double a, double x)
{
	if (!gamma_domain(a, x))
		return NAN;
	if (x == 0 || isinf(x))
		return x == 0 ? 0 : 1;
	bool upper;
	if (a < 1 && x < 1.5)
		return exp(log_poisson(a, x)) * gamma_series(a, x);
	double v = (double)gamma_tail(a, x, &upper);
	return upper ? 1 - v : fmin(v, 1);
}

double gamma_q(double a, double x)
{
	if (!gamma_domain(a, x))
		return NAN;
	if (x == 0 || isinf(x))
		return x == 0 ? 1 : 0;
	if (a < 1 && x < 1.5)
		return gamma_q_small(a, x);
	bool upper;
	double v = (double)gamma_tail(a, x, &upper);
	return upper ? fmin(v, 1) : 1 - fmin(v, 1);
}

/* A distribution on (0, limit) with two parameters: its tails, and x times its density. */
struct family {
	double a, b, limit;
	double (*lower)(const struct family *f, double x);
	double (*upper)(const struct family *f, double x);
	double (*density)(const struct family *f, double x);
};

/* A point inside a bracket of which either end may still be open. */
static double bracket_middle(double lo, double hi)
{
	if (lo == 0)
		return hi / 1024;
	if (isinf(hi))
		return lo * 16;
	return hi / lo > 4 ? sqrt(lo) * sqrt(hi) : lo + (hi - lo) / 2;
}

/* The x whose lower (or upper) tail is `target`, from a first guess: Newton on ln(tail) against ln x, which
 * is smooth over many magnitudes, kept inside a bracket that falls back to bisecting. Ends when small steps
 * stop shrinking, that is when they are the rounding of the tail. */
static double family_invert(const struct family *f, bool upper, double target, double guess)
{
	double lo = 0, hi = f->limit, x = fmin(fmax(guess, DBL_MIN), isinf(hi) ? DBL_MAX : hi / 2),
		   last = INFINITY;
	for (int k = 0; k < 200; k++) {
		double tail = upper ? f->upper(f, x) : f->lower(f, x);
		if (upper ? tail > target : tail < target)
			lo = x;
		else
			hi = x;
		double slope = (upper ? -1 : 1) * f->density(f, x) / tail, step = log(target / tail) / slope;
		double next = x * exp(step);
		if (fabs(step) <= 1e-15 || (fabs(step) < 1e-9 && fabs(step) > last / 2))
			return next;
		last = fabs(step);
		if (!(next > lo && next < hi))
			next = bracket_middle(lo, hi);
		if (next < DBL_MIN || next <= lo || next >= hi)
			return next < DBL_MIN ? 0 : next;
		x = next;
	}
	return x;
}

static double gamma_lower_tail(const struct family *f, double x)
{
	return gamma_p(f->a, x);
}

static double gamma_upper_tail(const struct family *f, double x)
{
	return gamma_q(f->a, x);
}

static double gamma_x_density(const struct family *f, double x)
{
	return f->a * exp(log_poisson(f->a, x));
}

/* The smaller of p and q = 1 - p is the one that is met. First guess: the power law of the lower end, or
 * Wilson and Hilferty's cube of a normal. */
static double gamma_invert(double a, double p, double q)
{
	struct family f = { a, 0, INFINITY, gamma_lower_tail, gamma_upper_tail, gamma_x_density };
	double z = p < q ? normal_quantile(p) : -normal_quantile(q);
	double root = 1 - 1 / (9 * a) + z / (3 * sqrt(a)), guess = a * root * root * root;
	double power = exp((log(p) + log_gamma(a + 1)) / a);
	if (root <= 0 || a < 0.5 || power < 0.1 * a)
		guess = fmin(power, fmax(guess, a + 1));
	return family_invert(&f, q < p, q < p ? q : p, guess);
}

static bool probability_end(double p, double at0, double at1, double *out)
{
	*out = p == 0 ? at0 : p == 1 ? at1 : NAN;
	return !(p > 0 && p < 1);
}

double gamma_p_inverse(double a, double p)
{
	double end;
	if (!gamma_domain(a, 0))
		return NAN;
	return probability_end(p, 0, INFINITY, &end) ? end : gamma_invert(a, p, 1 - p);
}

double gamma_q_inverse(double a, double q)
{
	double end;
	if (!gamma_domain(a, 0))
		return NAN;
	return probability_end(q, INFINITY, 0, &end) ? end : gamma_invert(a, 1 - q, q);
}

/* x^a y^b Gamma(a+b) / (Gamma(a) Gamma(b)), y = 1 - x. */
static double beta_x_density_xy(double a, double b, double x, double y)
{
	double n = a + b;
	double log_d = stirling_remainder(n) - stirling_remainder(a) - stirling_remainder(b);
	return sqrt(a / (2 * M_PI) * (b / n)) * exp(log_d - deviance(a, n * x) - deviance(b, n * y));
}

/* I_x(a, b) a / (x^a y^b / B(a, b)) by the continued fraction DLMF 8.17.22, evaluated with Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
	double c = 1, d = 1 - (a + b) * x / (a + 1), h;
	d = 1 / (d == 0 ? DBL_MIN : d);
	h = d;
	for (int m = 1; m < TERMS_MAX; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		d = 1 + even * d;
		c = 1 + even / c;
		d = 1 / (d == 0 ? DBL_MIN : d);
		c = c == 0 ? DBL_MIN : c;
		h *= d * c;
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		d = 1 + odd * d;
		c = 1 + odd / c;
		d = 1 / (d == 0 ? DBL_MIN : d);
		c = c == 0 ? DBL_MIN : c;
		h *= d * c;
		if (fabs(d * c - 1) < DBL_EPSILON / 2)
			break;
	}
	return h;
}

/* I_x(a, b) with y = 1 - x given apart, so that neither end loses digits. */
static double beta_xy(double a, double b, double x, double y)
{
	if (!(a > 0 && b > 0 && isfinite(a) && isfinite(b) && x >= 0 && x <= 1))
		return NAN;
	if (x == 0 || y == 0)
		return x == 0 ? 0 : 1;
	double density = beta_x_density_xy(a, b, x, y);
	if (x <= (a + 1) / (a + b + 2))
		return fmin(density / a * beta_fraction(a, b, x), 1);
	return 1 - fmin(density / b * beta_fraction(b, a, y), 1);
}

double beta_p(double a, double b, double x)
{
	return beta_xy(a, b, x, 1 - x);
}

double beta_q(double a, double b, double x)
{
	return isnan(x) ? NAN : beta_xy(b, a, 1 - x, x);
}

static double beta_lower_tail(const struct family *f, double x)
{
	return beta_xy(f->a, f->b, x, 1 - x);
}

static double beta_upper_tail(const struct family *f, double x)
{
	return beta_xy(f->b, f->a, 1 - x, x);
}

static double beta_x_density(const struct family *f, double x)
{
	return beta_x_density_xy(f->a, f->b, x, 1 - x) / (1 - x);
}

/* The solution, known to lie in (0, 1/2]. First guess: the power law of the lower end, or the mean. */
static double beta_invert_low(double a, double b, double p, double q)
{
	struct family f = { a, b, 1, beta_lower_tail, beta_upper_tail, beta_x_density };
	double log_beta = log_gamma(a) + log_gamma(b) - log_gamma(a + b);
	double guess = fmin(exp((log(p) + log(a) + log_beta) / a), a / (a + b));
	return family_invert(&f, q < p, q < p ? q : p, guess);
}

double beta_p_inverse(double a, double b, double p)
{
	double end, half = beta_xy(a, b, 0.5, 0.5);
	if (isnan(half) || probability_end(p, 0, 1, &end))
		return isnan(half) ? NAN : end;
	return p <= half ? beta_invert_low(a, b, p, 1 - p) : 1 - beta_invert_low(b, a, 1 - p, p);
}

/* erfc(-z / sqrt 2) / 2, corrected to first order for the rounding of its argument, which the tail magnifies
 * z^2-fold. */
double normal_cdf(double z)
{
	const double low = -4.8336466567264567e-17; /* 1 / sqrt 2 beyond its double */
	double x = -z * M_SQRT1_2;
	if (fabs(z) > 40)
		return 0.5 * erfc(x);
	double rest = fma(-z, M_SQRT1_2, -x) - z * low;
	return 0.5 * (erfc(x) - rest * M_2_SQRTPI * exp(-x * x));
}

/* Newton on ln Phi, which is concave: from a start below the root (Chernoff's bound) the steps rise to it. */
double normal_quantile(double p)
{
	double end;
	if (probability_end(p, -INFINITY, INFINITY, &end))
		return end;
	if (p > 0.5)
		return -normal_quantile(1 - p);
	double z = -sqrt(-2 * log(2 * p));
	for (int k = 0; k < 60; k++) {
		double cdf = normal_cdf(z), density = exp(-0.5 * z * z - HALF_LOG_2PI);
		double step = cdf > 0 ? log(p / cdf) * cdf / density : 1 / -z;
		z += step;
		if (fabs(step) <= 2 * DBL_EPSILON * fabs(z))
			break;
	}
	return z;
}

double chi_square_survival(double x, double dof)
{
	return x < 0 ? 1 : gamma_q(dof / 2, x / 2);
}

/* Q(a, x) in long double, so that the first terms of the mixture do not underflow. */
static long double gamma_q_wide(double a, double x)
{
	bool upper;
	long double v = gamma_tail(a, x, &upper);
	return upper ? v : 1 - v;
}

/* sum_j Poisson(j; l) Q(a + j, x): upwards from where the weights begin to matter, since Q(a + 1, x) = Q(a,
 * x) + x^a e^-x / Gamma(a + 1) only adds. What lies below the start is less than its Poisson tail times the
 * rest. */
double chi_square_survival_noncentral(double x, double dof, double ncp)
{
	if (!(dof > 0 && ncp >= 0 && isfinite(dof) && isfinite(ncp)) || isnan(x))
		return NAN;
	if (x <= 0 || ncp == 0 || isinf(x))
		return x <= 0 ? 1 : chi_square_survival(x, dof);
	double l = ncp / 2, y = x / 2, j = fmax(0, floor(l - 9 * sqrt(l) - 40)), a = dof / 2 + j;
	long double weight = expl(j > 0 ? (long double)log_poisson(j, l) : -(long double)l);
	long double q = gamma_q_wide(a, y), density = expl((long double)log_poisson(a, y)), sum = 0;
	for (int k = 0; k < TERMS_MAX; k++) {
		long double term = weight * q;
		sum += term;
		if (j > l && term < 1e-18L * sum)
			break;
		q = fminl(q + density, 1);
		a++;
		j++;
		density *= y / a;
		weight *= l / j;
	}
	return fmin((double)sum, 1);
}
