/* SPDX-License-Identifier: Apache-2.0 */
#include "stat/features.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/rng.h"

#define SLICE 64      /* rows a GEMM; fixed, since kernels may round differently for other heights */
#define CONSTANT 1e-7 /* a deviation below this share of the mean is the rounding of a constant */

/* Streams of the seed. */
enum { STREAM_PAIRS = 1, STREAM_PHASE, STREAM_SIGNAL, STREAM_OMEGA };

void softmax_rows(const float *logits, int64_t rows, int64_t classes, double temperature, float *out)
{
	float beta = (float)(1 / temperature);
	for (int64_t i = 0; i < rows; i++, logits += classes, out += classes) {
		float top = -INFINITY;
		double sum = 0;
		for (int64_t k = 0; k < classes; k++)
			top = fmaxf(top, logits[k]);
		for (int64_t k = 0; k < classes; k++) {
			out[k] = expf((logits[k] - top) * beta);
			sum += out[k];
		}
		for (int64_t k = 0; k < classes; k++)
			out[k] = (float)(out[k] / sum);
	}
}

/* Two passes over a block of columns at a time: no memory, no cancellation. */
static enum tamis_status standardise_block(const float *rows, int64_t n, int64_t m, int64_t from, int64_t to,
		float *mean, float *scale, struct tamis_error *err)
{
	double sum[128] = { 0 }, square[128] = { 0 };
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = from; j < to; j++)
			sum[j - from] += rows[i * m + j];
	for (int64_t j = from; j < to; j++) {
		if (!isfinite(sum[j - from]))
			return tm_fail(err, TAMIS_E_INVALID,
					"outputs must be finite, but value %lld is not in the first chunk", (long long)j);
		sum[j - from] /= (double)n;
	}
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = from; j < to; j++) {
			double dev = rows[i * m + j] - sum[j - from];
			square[j - from] += dev * dev;
		}
	for (int64_t j = from; j < to; j++) {
		double sd = sqrt(square[j - from] / (double)n);
		mean[j] = (float)sum[j - from];
		scale[j] = sd > CONSTANT * fabs(sum[j - from]) ? (float)fmin(1 / sd, 1e30) : 0;
	}
	return TAMIS_OK;
}

enum tamis_status standardisation(const float *rows, int64_t n, int64_t m, float *mean, float *scale,
		struct tamis_error *err)
{
	if (n < 1)
		return tm_fail(err, TAMIS_E_USAGE, "standardising needs at least one row");
	for (int64_t from = 0; from < m; from += 128) {
		int64_t to = from + 128 < m ? from + 128 : m;
		enum tamis_status st = standardise_block(rows, n, m, from, to, mean, scale, err);
		if (st != TAMIS_OK)
			return st;
	}
	return TAMIS_OK;
}

/* What the kernel sees of n rows. */
static void prepare(const struct feature_map *map, const float *rows, int64_t n, float *out)
{
	int64_t m = map->m;
	if (map->head == HEAD_LOGITS)
		softmax_rows(rows, n * (m / map->classes), map->classes, 1, out);
	else if (map->head == HEAD_PROBABILITIES)
		memcpy(out, rows, (size_t)(n * m) * sizeof *out);
	else
		for (int64_t i = 0; i < n; i++)
			for (int64_t j = 0; j < m; j++)
				out[i * m + j] = (rows[i * m + j] - map->mean[j]) * map->scale[j];
}

static double distance(const float *a, const float *b, int64_t m)
{
	double sum = 0;
	for (int64_t j = 0; j < m; j++) {
		double diff = (double)a[j] - b[j];
		sum += diff * diff;
	}
	return sqrt(sum);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Distances of all pairs, or of FEATURES_MAX_PAIRS seeded pairs of distinct rows. Returns how many. */
static int64_t pair_distances(const float *y, int64_t n, int64_t m, uint64_t seed, double *out)
{
	int64_t count = 0;
	if (n <= FEATURES_MAX_PAIRS && n * (n - 1) / 2 <= FEATURES_MAX_PAIRS) {
		for (int64_t i = 0; i < n; i++)
			for (int64_t j = 0; j < i; j++)
				out[count++] = distance(y + i * m, y + j * m, m);
		return count;
	}
	struct rng r = rng_make(seed, STREAM_PAIRS);
	while (count < FEATURES_MAX_PAIRS) {
		int64_t i = (int64_t)rng_below(&r, (uint64_t)n), j = (int64_t)rng_below(&r, (uint64_t)n - 1);
		out[count++] = distance(y + i * m, y + (j >= i ? j + 1 : j) * m, m);
	}
	return count;
}

/* The median; where more than half of the pairs coincide, the median of the others; 1 where all do. */
static enum tamis_status median_distance(const float *y, int64_t n, int64_t m, uint64_t seed, double *out,
		struct tamis_error *err)
{
	double *dist = tm_array_uninit(FEATURES_MAX_PAIRS, sizeof *dist);
	if (!dist)
		return tm_no_memory(err, "measuring distances between outputs");
	int64_t count = pair_distances(y, n, m, seed, dist), zeros = 0;
	bool finite = true;
	for (int64_t k = 0; k < count; k++)
		finite = finite && isfinite(dist[k]);
	if (finite)
		qsort(dist, (size_t)count, sizeof *dist, compare_doubles);
	while (finite && zeros < count && dist[zeros] == 0)
		zeros++;
	double median = count ? dist[count / 2] : 0;
	if (median == 0 && zeros < count)
		median = dist[(zeros + count) / 2];
	free(dist);
	*out = median > 0 ? median : 1;
	return finite ? TAMIS_OK
				  : tm_fail(err, TAMIS_E_INVALID, "outputs must be finite, but the first chunk's are not");
}

static enum tamis_status draw_frequencies(struct feature_map *map, uint64_t seed, struct tamis_error *err)
{
	map->omega = tm_array_uninit((size_t)map->m, (size_t)map->r * sizeof(float));
	map->phase = tm_array_uninit((size_t)map->r, sizeof(float));
	if (!map->omega || !map->phase)
		return tm_no_memory(err, "drawing the output features");
	for (int64_t j = 0; j < map->m; j++) {
		struct rng r = rng_make(seed, STREAM_OMEGA + (uint64_t)j);
		for (int k = 0; k < map->r; k++)
			map->omega[j * map->r + k] = (float)(rng_normal(&r) / map->bandwidth);
	}
	struct rng r = rng_make(seed, STREAM_PHASE);
	for (int k = 0; k < map->r; k++)
		map->phase[k] = (float)(2 * M_PI * rng_uniform(&r));
	return TAMIS_OK;
}

static enum tamis_status fit(struct feature_map *map, const float *rows, int64_t n, uint64_t seed,
		struct tamis_error *err)
{
	enum tamis_status st = TAMIS_OK;
	if (map->head == HEAD_GENERAL) {
		map->mean = tm_array((size_t)map->m, sizeof(float));
		map->scale = tm_array((size_t)map->m, sizeof(float));
		if (!map->mean || !map->scale)
			return tm_no_memory(err, "standardising the outputs");
		st = standardisation(rows, n, map->m, map->mean, map->scale, err);
	}
	if (st != TAMIS_OK)
		return st;
	float *y = tm_array_uninit((size_t)n, (size_t)map->m * sizeof(float));
	if (!y)
		return tm_no_memory(err, "preparing the outputs");
	prepare(map, rows, n, y);
	st = median_distance(y, n, map->m, seed, &map->bandwidth, err);
	free(y);
	return st == TAMIS_OK ? draw_frequencies(map, seed, err) : st;
}

enum tamis_status feature_map_create(struct feature_map *map, enum head_kind head, const float *rows,
		int64_t n, int64_t m, int64_t classes, int r, uint64_t seed, struct tamis_error *err)
{
	*map = (struct feature_map){ .head = head, .m = m, .classes = classes ? classes : m, .r = r };
	int64_t total;
	bool shape = n >= 1 && m >= 1 && r >= 1 && classes >= 0 && tm_product((int64_t[]){ n, m, 4 }, 3, &total);
	if (!shape || m % map->classes || m > INT_MAX / 2 || feature_map_bytes(head, m, r) < 0) {
		*map = (struct feature_map){ 0 };
		return tm_fail(err, TAMIS_E_USAGE,
				"output features need rows of 1 to %d values in whole runs of classes, "
				"but came %lld rows of %lld values in runs of %lld",
				INT_MAX / 2, (long long)n, (long long)m, (long long)classes);
	}
	enum tamis_status st = fit(map, rows, n, seed, err);
	if (st != TAMIS_OK)
		feature_map_free(map);
	return st;
}

/* psi of at most SLICE rows whose prepared values are y. False when one is not finite; *bad is its row. */
static bool project(const struct feature_map *map, const float *y, int n, float *psi, int *bad)
{
	int r = map->r, m = (int)map->m;
	float amplitude = sqrtf(2.0f / (float)r);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, r, m, 1, y, m, map->omega, r, 0, psi, r);
	for (int i = 0; i < n * r; i++) {
		if (!isfinite(psi[i])) {
			*bad = i / r;
			return false;
		}
		psi[i] = amplitude * cosf(psi[i] + map->phase[i % r]);
	}
	return true;
}

enum tamis_status feature_map_apply(const struct feature_map *map, const float *rows, int64_t n, float *psi,
		struct tamis_error *err)
{
	float *scratch = NULL;
	if (map->head != HEAD_PROBABILITIES) {
		scratch = tm_array_uninit((size_t)(n < SLICE ? n : SLICE), (size_t)map->m * sizeof(float));
		if (!scratch)
			return tm_no_memory(err, "preparing the outputs");
	}
	enum tamis_status st = TAMIS_OK;
	for (int64_t i = 0; i < n && st == TAMIS_OK; i += SLICE) {
		int height = n - i < SLICE ? (int)(n - i) : SLICE, bad = 0;
		const float *y = rows + i * map->m;
		if (scratch)
			prepare(map, y, height, scratch);
		if (!project(map, scratch ? scratch : y, height, psi + i * map->r, &bad))
			st = tm_fail(err, TAMIS_E_INVALID,
					"outputs must be finite, but those of row %lld of the chunk are not",
					(long long)(i + bad));
	}
	free(scratch);
	return st;
}

void feature_map_free(struct feature_map *map)
{
	free(map->mean);
	free(map->scale);
	free(map->omega);
	free(map->phase);
	*map = (struct feature_map){ 0 };
}

int64_t feature_map_bytes(enum head_kind head, int64_t m, int r)
{
	int64_t bytes;
	if (m < 0 || r < 0 || !tm_mul(m, (int64_t)r + (head == HEAD_GENERAL ? 2 : 0), &bytes)
			|| !tm_add(bytes, r, &bytes) || !tm_mul(bytes, (int64_t)sizeof(float), &bytes))
		return -1;
	return bytes;
}

/* Mean and deviation of feature j over all rows; the deviation is 0 where constant. */
static double signal_deviation(const float *u, int64_t stride, int64_t rows, int64_t j, double *mean)
{
	double sum = 0, square = 0;
	for (int64_t i = 0; i < rows; i++)
		sum += u[i * stride + j];
	*mean = sum / (double)rows;
	for (int64_t i = 0; i < rows; i++) {
		double dev = u[i * stride + j] - *mean;
		square += dev * dev;
	}
	double sd = sqrt(square / (double)rows);
	return sd > CONSTANT * fabs(*mean) ? sd : 0;
}

static enum tamis_status fit_signals(struct signal_map *map, const float *u, int64_t stride, int64_t rows,
		struct tamis_error *err)
{
	double total = 0;
	for (int64_t j = 0; j < map->d; j++) {
		double mean, sd = signal_deviation(u, stride, rows, j, &mean);
		if (!isfinite(sd) || !isfinite(mean))
			return tm_fail(err, TAMIS_E_INVALID,
					"signals must be finite, but feature %lld is not in the first chunk", (long long)j);
		map->mean[j] = (float)mean;
		map->scale[j] = sd > 0 ? (float)fmin(1 / sd, 1e30) : 0;
		total += sd * sd;
	}
	float usual = total > 0 ? (float)fmin(1 / sqrt(total / (double)map->d), 1e30) : 1;
	for (int64_t j = 0; j < map->d; j++)
		if (map->scale[j] == 0)
			map->scale[j] = usual;
	return TAMIS_OK;
}

enum tamis_status signal_map_create(struct signal_map *map, int64_t d, int positions, int q, const float *u,
		int64_t stride, int64_t n, uint64_t seed, struct tamis_error *err)
{
	*map = (struct signal_map){ .d = d, .q = q };
	if (d < 1 || positions < 1 || n < 1 || stride < d || q < 1 || q > SIGNAL_MAX_Q)
		return tm_fail(err, TAMIS_E_USAGE,
				"signal features need 1 to %d features of signals, but %d were asked for", SIGNAL_MAX_Q, q);
	map->mean = tm_array((size_t)d, sizeof(float));
	map->scale = tm_array((size_t)d, sizeof(float));
	enum tamis_status st = map->mean && map->scale ? fit_signals(map, u, stride, n * positions, err)
			: tm_no_memory(err, "standardising signals");
	struct rng r = rng_make(seed, STREAM_SIGNAL);
	for (int k = 1; k < q; k++) {
		map->omega[k] = (float)rng_normal(&r);
		map->phase[k] = (float)(2 * M_PI * rng_uniform(&r));
	}
	if (st != TAMIS_OK)
		signal_map_free(map);
	return st;
}

void signal_map_apply(const struct signal_map *map, const float *u, int64_t stride, int64_t n, int positions,
		float *phi)
{
	int64_t d = map->d;
	float amplitude = map->q > 1 ? sqrtf(2.0f / (float)(map->q - 1)) : 0;
	for (int64_t row = 0; row < n * positions; row++, u += stride, phi += map->q * d) {
		for (int64_t j = 0; j < d; j++)
			phi[j] = (u[j] - map->mean[j]) * map->scale[j];
		for (int k = 1; k < map->q; k++)
			for (int64_t j = 0; j < d; j++)
				phi[k * d + j] = amplitude * cosf(map->omega[k] * phi[j] + map->phase[k]);
	}
}

void signal_map_free(struct signal_map *map)
{
	free(map->mean);
	free(map->scale);
	*map = (struct signal_map){ 0 };
}
