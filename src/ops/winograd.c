/* SPDX-License-Identifier: Apache-2.0 */
/* Images are cut into tiles of 4 x 4 that overlap by two, one for each 2 x 2 results. Every tile is transformed, each of its
 * 16 positions is a product of matrices (tiles x channels by channels x maps), and the sums are transformed back on their
 * way to y. A group of tiles goes through all three at a time, so that what lies between stays in the cache. */
#include "ops/winograd.h"


enum {
	LANES = WINOGRAD_BLOCK,
	PLACES = 16, /* of a tile */
	SIX = 6,     /* tiles a product: 6 x 2 vectors of sums fill the registers */
	PAIR = 16,   /* maps a product */
	GROUP_FLOATS = 64 * 1024, /* of transformed tiles, about */
	LEAST_GROUP = 48          /* tiles, so that a weight is used often enough for its way from memory */
};

size_t winograd_weight_size(int64_t channels, int64_t maps, bool back)
{
	int64_t from = back ? maps : channels, to = back ? channels : maps;

	return (size_t)(PLACES * ((from + LANES - 1) / LANES * LANES) * ((to + PAIR - 1) / PAIR * PAIR));
}

/* G g G^T, in double. */
static void transform_kernel(const float *g, bool back, double *to)
{
	double half[4][3];

	for (int x = 0; x < 3; x++) {
		double k[3];

		for (int y = 0; y < 3; y++)
			k[y] = (double)g[back ? (2 - y) * 3 + 2 - x : y * 3 + x];
		half[0][x] = k[0];
		half[1][x] = (k[0] + k[1] + k[2]) / 2;
		half[2][x] = (k[0] - k[1] + k[2]) / 2;
		half[3][x] = k[2];
	}
	for (int y = 0; y < 4; y++) {
		to[4 * y] = half[y][0];
		to[4 * y + 1] = (half[y][0] + half[y][1] + half[y][2]) / 2;
		to[4 * y + 2] = (half[y][0] - half[y][1] + half[y][2]) / 2;
		to[4 * y + 3] = half[y][2];
	}
}

/* [pair of blocks of maps][place][channel][16] */
void winograd_weight(const float *w, int64_t channels, int64_t maps, bool back, float *into)
{
	int64_t from = back ? maps : channels, to = back ? channels : maps;
	int64_t depth = (from + LANES - 1) / LANES * LANES, size = (int64_t)winograd_weight_size(channels, maps, back);
	double u[PLACES];

	for (int64_t i = 0; i < size; i++)
		into[i] = 0;
	for (int64_t o = 0; o < to; o++)
		for (int64_t c = 0; c < from; c++) {
			transform_kernel(w + 9 * (back ? c * channels + o : o * channels + c), back, u);
			for (int p = 0; p < PLACES; p++)
				into[((o / PAIR * PLACES + p) * depth + c) * PAIR + o % PAIR] = (float)u[p];
		}
}

bool winograd_can_follow(const struct blocked_after *after, int n_after)
{
	for (int i = 0; i < n_after; i++)
		if (after[i].kind == BLOCKED_SIGMOID || after[i].kind == BLOCKED_TANH || after[i].kind == BLOCKED_SWISH)
			return false;
	return true;
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

static int64_t half(int64_t n)
{
	return (n + 1) / 2;
}

static int64_t tiles_of(const struct winograd *w)
{
	return w->items * half(w->out[0]) * half(w->out[1]);
}

static int64_t group_size(const struct winograd *w)
{
	int64_t most = GROUP_FLOATS / (w->in_blocks * LANES * PLACES), all = tiles_of(w);

	most = most > LEAST_GROUP ? most : LEAST_GROUP;
	return ((most < all ? most : all) + SIX - 1) / SIX * SIX;
}

size_t winograd_room(const struct winograd *w)
{
	return (size_t)(group_size(w) * PLACES * (w->in_blocks * LANES + PAIR));
}

/* Tiles may hold up to two fifths more results than there are. */
bool winograd_fits(const struct window *w, int64_t groups, int64_t channels, int64_t maps, const int64_t *made)
{
	bool kind = groups == 1 && w->rank == 2 && w->kernel[1] == 3 && w->kernel[2] == 3 && w->stride[1] == 1
	            && w->stride[2] == 1 && w->dilation[1] == 1 && w->dilation[2] == 1;

	return kind && winograd_runs() && channels >= PAIR && maps >= PAIR
	       && 10 * 4 * half(made[0]) * half(made[1]) <= 14 * made[0] * made[1];
}

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define WIDE __attribute__((target("avx2,fma")))
#define WIDE_INLINE static inline __attribute__((target("avx2,fma"), always_inline))

bool winograd_runs(void)
{
	return blocked_width() == LANES && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

struct tile { int64_t item, y, x; }; /* of its first result */

static struct tile tile_at(const struct winograd *w, int64_t i)
{
	int64_t across = half(w->out[1]), down = half(w->out[0]);

	return (struct tile){ i / (across * down), i / across % down * 2, i % across * 2 };
}

static inline struct tile next_tile(const struct winograd *w, struct tile t)
{
	t.x += 2;
	if (t.x >= w->out[1]) {
		t.x = 0;
		t.y += 2;
	}
	if (t.y >= w->out[0]) {
		t.y = 0;
		t.item++;
	}
	return t;
}

WIDE_INLINE __m256 pixel(const struct winograd *w, const float *image, int64_t y, int64_t x)
{
	if (y < 0 || x < 0 || y >= w->in[0] || x >= w->in[1])
		return _mm256_setzero_ps();
	return _mm256_loadu_ps(image + (y * w->in[1] + x) * LANES);
}

WIDE_INLINE void load_tile(const struct winograd *w, const float *image, int64_t y, int64_t x, __m256 d[4][4])
{
	bool inside = y >= 0 && x >= 0 && y + 4 <= w->in[0] && x + 4 <= w->in[1];

	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 4; k++)
			d[i][k] = inside ? _mm256_loadu_ps(image + ((y + i) * w->in[1] + x + k) * LANES)
			                 : pixel(w, image, y + i, x + k);
}

/* B^T d B; place p of the tile goes to to + p * step. */
WIDE_INLINE void transform_tile(__m256 d[4][4], float *to, int64_t step)
{
	__m256 t[4][4];

	for (int k = 0; k < 4; k++) {
		t[0][k] = _mm256_sub_ps(d[0][k], d[2][k]);
		t[1][k] = _mm256_add_ps(d[1][k], d[2][k]);
		t[2][k] = _mm256_sub_ps(d[2][k], d[1][k]);
		t[3][k] = _mm256_sub_ps(d[1][k], d[3][k]);
	}
	for (int i = 0; i < 4; i++) {
		_mm256_storeu_ps(to + (4 * i) * step, _mm256_sub_ps(t[i][0], t[i][2]));
		_mm256_storeu_ps(to + (4 * i + 1) * step, _mm256_add_ps(t[i][1], t[i][2]));
		_mm256_storeu_ps(to + (4 * i + 2) * step, _mm256_sub_ps(t[i][2], t[i][1]));
		_mm256_storeu_ps(to + (4 * i + 3) * step, _mm256_sub_ps(t[i][1], t[i][3]));
	}
}

/* Tiles first..first+n-1 as [six][place][tile of six][channel]; what fills up the last six is zero. */
WIDE static void transform_tiles(const struct winograd *w, int64_t first, int64_t n, float *to)
{
	int64_t depth = w->in_blocks * LANES, plane = w->in[0] * w->in[1] * LANES, step = SIX * depth;
	struct tile t = tile_at(w, first);

	for (int64_t i = 0; i < n; i++, t = next_tile(w, t)) {
		float *at = to + (i / SIX * PLACES * SIX + i % SIX) * depth;

		for (int64_t b = 0; b < w->in_blocks; b++) {
			__m256 d[4][4];

			load_tile(w, w->x + (t.item * w->in_blocks + b) * plane, t.y - w->begin[0], t.x - w->begin[1], d);
			transform_tile(d, at + b * LANES, step);
		}
	}
	for (int64_t i = n; i % SIX; i++)
		for (int64_t p = 0; p < PLACES; p++)
			for (int64_t c = 0; c < depth; c++)
				to[((i / SIX * PLACES + p) * SIX + i % SIX) * depth + c] = 0;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* to[t][0..15] = sum over c of v[t][c] u[c][0..15]; where blocks is 1 the latter half is left alone. */
WIDE_INLINE void multiply(const float *v, const float *u, int64_t depth, int blocks, float *to)
{
	__m256 sum[SIX][2];

	for (int t = 0; t < SIX; t++)
		sum[t][0] = sum[t][1] = _mm256_setzero_ps();
	for (int64_t c = 0; c < depth; c++) {
		__m256 u0 = _mm256_loadu_ps(u + c * PAIR), u1 = blocks > 1 ? _mm256_loadu_ps(u + c * PAIR + LANES) : u0;

		for (int t = 0; t < SIX; t++) {
			__m256 x = _mm256_broadcast_ss(v + t * depth + c);

			sum[t][0] = _mm256_fmadd_ps(x, u0, sum[t][0]);
			if (blocks > 1)
				sum[t][1] = _mm256_fmadd_ps(x, u1, sum[t][1]);
		}
	}
	for (int t = 0; t < SIX; t++)
		for (int b = 0; b < blocks; b++)
			_mm256_storeu_ps(to + t * PAIR + b * LANES, sum[t][b]);
}

/* All places of the sixes of a group, for one or two blocks of maps. sums: [place][tile][16] */
WIDE static void multiply_group(const float *tiles, const float *u, int64_t depth, int64_t sixes, int blocks, float *sums)
{
	for (int64_t p = 0; p < PLACES; p++)
		for (int64_t s = 0; s < sixes; s++) {
			const float *v = tiles + (s * PLACES + p) * SIX * depth;
			float *to = sums + (p * sixes + s) * SIX * PAIR;

			if (blocks > 1)
				multiply(v, u + p * depth * PAIR, depth, 2, to);
			else
				multiply(v, u + p * depth * PAIR, depth, 1, to);
		}
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* The results of a tile on their way to memory. */
enum { RESULTS = 4 };

WIDE_INLINE void follow(const struct blocked_after *f, const float *residual, const int64_t *at, __m256 *y)
{
	__m256 a = _mm256_set1_ps(f->a), b = _mm256_set1_ps(f->b), zero = _mm256_setzero_ps(), six = _mm256_set1_ps(6);

	for (int i = 0; i < RESULTS; i++)
		switch (f->kind) {
		case BLOCKED_LINEAR:
			y[i] = _mm256_add_ps(_mm256_mul_ps(a, y[i]), b);
			break;
		case BLOCKED_CLIP:
			y[i] = _mm256_min_ps(b, _mm256_max_ps(a, y[i])); /* in this order a NaN stays one */
			break;
		case BLOCKED_RELU:
			y[i] = _mm256_blendv_ps(_mm256_mul_ps(a, y[i]), y[i], _mm256_cmp_ps(y[i], zero, _CMP_GT_OQ));
			break;
		case BLOCKED_HARDSWISH:
			b = _mm256_min_ps(six, _mm256_max_ps(zero, _mm256_add_ps(y[i], _mm256_set1_ps(3))));
			y[i] = _mm256_div_ps(_mm256_mul_ps(y[i], b), six);
			break;
		case BLOCKED_RESIDUAL:
			y[i] = _mm256_add_ps(y[i], _mm256_loadu_ps(residual + at[i]));
			break;
		default:
			break;
		}
}

/* A^T m A */
WIDE_INLINE void transform_back(const float *sums, int64_t step, __m256 bias, __m256 *y)
{
	__m256 t[2][4];

	for (int k = 0; k < 4; k++) {
		__m256 m0 = _mm256_loadu_ps(sums + k * step), m1 = _mm256_loadu_ps(sums + (4 + k) * step);
		__m256 m2 = _mm256_loadu_ps(sums + (8 + k) * step), m3 = _mm256_loadu_ps(sums + (12 + k) * step);

		t[0][k] = _mm256_add_ps(m0, _mm256_add_ps(m1, m2));
		t[1][k] = _mm256_sub_ps(_mm256_sub_ps(m1, m2), m3);
	}
	for (int i = 0; i < 2; i++) {
		y[2 * i] = _mm256_add_ps(_mm256_add_ps(t[i][0], _mm256_add_ps(t[i][1], t[i][2])), bias);
		y[2 * i + 1] = _mm256_add_ps(_mm256_sub_ps(_mm256_sub_ps(t[i][1], t[i][2]), t[i][3]), bias);
	}
}

/* One block of maps of one tile. Where the image ends, results that are not there go where the first goes, before it. */
WIDE_INLINE void write_tile(const struct winograd *w, struct tile t, int64_t block, const float *sums, int64_t step)
{
	int64_t line = w->out[1] * LANES, plane = (t.item * w->out_blocks + block) * w->out[0] * line;
	int64_t at = plane + t.y * line + t.x * LANES;
	bool right = t.x + 1 < w->out[1], below = t.y + 1 < w->out[0];
	int64_t each[RESULTS] = { at, right ? at + LANES : at, below ? at + line : at, right && below ? at + line + LANES : at };
	__m256 y[RESULTS];

	transform_back(sums, step, w->bias ? _mm256_loadu_ps(w->bias + block * LANES) : _mm256_setzero_ps(), y);
	for (int f = 0; f < w->n_after; f++)
		follow(&w->after[f], w->residual, each, y);
	for (int i = RESULTS - 1; i >= 0; i--)
		_mm256_storeu_ps(w->y + each[i], y[i]);
}

WIDE static void write_group(const struct winograd *w, int64_t first, int64_t n, int64_t block, int blocks,
                             const float *sums, int64_t step)
{
	struct tile t = tile_at(w, first);

	for (int64_t i = 0; i < n; i++, t = next_tile(w, t))
		for (int b = 0; b < blocks; b++)
			write_tile(w, t, block + b, sums + i * PAIR + b * LANES, step);
}

void winograd_run(const struct winograd *w, float *room)
{
	int64_t all = tiles_of(w), most = group_size(w), depth = w->in_blocks * LANES;
	float *sums = room + most * PLACES * depth;

	for (int64_t first = 0; first < all; first += most) {
		int64_t n = all - first < most ? all - first : most, sixes = (n + SIX - 1) / SIX;

		transform_tiles(w, first, n, room);
		for (int64_t block = 0; block < w->out_blocks; block += 2) {
			int blocks = w->out_blocks - block > 1 ? 2 : 1;

			multiply_group(room, w->weight + block / 2 * PLACES * depth * PAIR, depth, sixes, blocks, sums);
			write_group(w, first, n, block, blocks, sums, sixes * SIX * PAIR);
		}
	}
}

#else

bool winograd_runs(void)
{
	return false;
}

void winograd_run(const struct winograd *w, float *room)
{
	(void)w;
	(void)room;
}

#endif
