/* SPDX-License-Identifier: Apache-2.0 */
/* Conv with a slot for compiled state against Conv without, which is checked against the definition
 * elsewhere. Where oneDNN is not built in, both take the same path. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "ops/family.h"

struct shape {
	int rank;
	int64_t items, groups, channels, maps, image[3], kernel, stride, dilation, pads[6];
	bool bias;
};

static struct op_case *open_case(const struct shape *s)
{
	struct op_case *o = case_new(ops_conv, "Conv", 11);
	int64_t x[5] = {s->items, s->groups * s->channels}, w[5] = {s->groups * s->maps, s->channels}, strides[3], dilations[3];
	int64_t outs = s->groups * s->maps;

	for (int i = 0; i < s->rank; i++) {
		x[2 + i] = s->image[i];
		w[2 + i] = s->kernel;
		strides[i] = s->stride;
		dilations[i] = s->dilation;
	}
	case_ints(o, "strides", s->rank, strides);
	case_ints(o, "dilations", s->rank, dilations);
	case_ints(o, "pads", 2 * s->rank, s->pads);
	case_int(o, "group", s->groups);
	case_in(o, DT_FLOAT, s->rank + 2, x, NULL);
	case_in(o, DT_FLOAT, s->rank + 2, w, NULL);
	if (s->bias)
		case_in(o, DT_FLOAT, 1, &outs, NULL);
	return o;
}

/* Runs the row with a slot into a tensor of its own. */
static struct tensor run_with(struct op_case *o, void **state)
{
	const struct tensor *in[3] = {&o->in[0], &o->in[1], &o->in[2]};
	struct tensor y = o->out[0], *out[1] = {&y};
	struct op_call call = {.node = &o->node, .n_in = o->node.n_in, .n_out = 1, .in = in, .out = out,
	                       .scratch = &o->scratch, .state = state, .err = &o->err};

	y.data = arena_alloc(&o->arena, tensor_bytes(&y));
	memset(y.data, 0xff, tensor_bytes(&y));
	scratch_reset(&o->scratch);
	cr_assert_eq(o->node.op->run(&call), TAMIS_OK, "%s", o->err.message);
	return y;
}

static void compare(struct op_case *o, const struct tensor *y, double terms)
{
	for (int64_t i = 0; i < y->count; i++)
		cr_assert(fabs(tensor_get(y, i) - tensor_get(&o->out[0], i)) <= 1e-5 + 4e-7 * terms,
		          "element %lld is %g, expected %g", (long long)i, tensor_get(y, i), tensor_get(&o->out[0], i));
}

#define PICK(r, ...) (DIMS(__VA_ARGS__)[rng_below(r, RANK(__VA_ARGS__))])

static bool draw(struct rng *r, struct shape *s)
{
	*s = (struct shape){.rank = (int)PICK(r, 1, 2, 2, 3), .items = PICK(r, 1, 2, 5), .groups = PICK(r, 1, 1, 8, 21),
	                    .channels = PICK(r, 1, 8, 16, 19), .maps = PICK(r, 8, 16, 21),
	                    .kernel = PICK(r, 1, 2, 3, 5), .stride = PICK(r, 1, 1, 2, 3),
	                    .dilation = PICK(r, 1, 1, 2), .bias = rng_below(r, 2)};
	if (s->groups > 1)
		s->channels = s->maps = 1;
	for (int i = 0; i < s->rank; i++) {
		s->image[i] = PICK(r, 1, 3, 5, 8, 13);
		s->pads[i] = PICK(r, 0, 1, 2, 4);
		s->pads[s->rank + i] = PICK(r, 0, 1, 2, 4);
		if (s->image[i] + s->pads[i] + s->pads[s->rank + i] < (s->kernel - 1) * s->dilation + 1)
			return false;
	}
	return true;
}

/* One slot serves all shapes in turn, as when the batch changes, and a weight that changes between runs. */
Test(onednn, same_as_built_in)
{
	const char *text = getenv("TAMIS_SEED");
	struct rng r = rng_make(text ? strtoull(text, NULL, 0) : 7, 1);
	void *state = NULL;

	cr_log_info("seed %s", text ? text : "7");
	for (int i = 0; i < 150; i++) {
		struct op_case *o;
		struct shape s;
		struct tensor y;

		if (!draw(&r, &s))
			continue;
		o = open_case(&s);
		for (int again = 0; again < 2; again++) {
			((float *)o->in[1].data)[0] += (float)again;
			case_run(o);
			y = run_with(o, &state);
			compare(o, &y, (double)s.channels * pow((double)s.kernel, s.rank));
		}
		case_free(o);
	}
	ops_conv[0].free_state(state);
	ops_conv[0].free_state(NULL);
}

/* Adds gradients of the data and the weight to ones, with a slot or without. */
static void reverse_with(struct op_case *o, const struct tensor *gy, void **state, struct tensor *gx, struct tensor *gw)
{
	const struct tensor *in[3] = {&o->in[0], &o->in[1], &o->in[2]}, *gout[1] = {gy};
	struct tensor *out[1] = {&o->out[0]}, *gin[3] = {gx, gw, NULL};
	struct op_call call = {.node = &o->node, .n_in = o->node.n_in, .n_out = 1, .in = in, .out = out,
	                       .scratch = &o->scratch, .state = state, .err = &o->err};
	struct op_grad g = {.call = &call, .gout = gout, .gin = gin};

	*gx = o->in[0];
	*gw = o->in[1];
	for (int i = 0; i < 2; i++) {
		gin[i]->data = arena_alloc(&o->arena, tensor_bytes(gin[i]));
		for (int64_t k = 0; k < gin[i]->count; k++)
			((float *)gin[i]->data)[k] = 1;
	}
	scratch_reset(&o->scratch);
	cr_assert_eq(o->node.op->reverse(&g), TAMIS_OK, "%s", o->err.message);
}

static void compare_gradient(const struct tensor *a, const struct tensor *b, double terms)
{
	for (int64_t i = 0; i < a->count; i++)
		cr_assert(fabs(tensor_get(a, i) - tensor_get(b, i)) <= 1e-5 + 4e-7 * terms, "element %lld is %g, expected %g",
		          (long long)i, tensor_get(a, i), tensor_get(b, i));
}

Test(onednn, same_gradients_as_built_in)
{
	const char *text = getenv("TAMIS_SEED");
	struct rng r = rng_make(text ? strtoull(text, NULL, 0) : 7, 2);
	void *state = NULL;

	cr_log_info("seed %s", text ? text : "7");
	for (int i = 0; i < 150; i++) {
		struct op_case *o;
		struct shape s;

		if (!draw(&r, &s))
			continue;
		o = open_case(&s);
		case_run(o);
		for (int again = 0; again < 2; again++) {
			struct tensor y = run_with(o, &state), gx, gw, gx_plain, gw_plain;

			((float *)o->in[1].data)[0] += (float)again;
			reverse_with(o, &y, &state, &gx, &gw);
			reverse_with(o, &y, NULL, &gx_plain, &gw_plain);
			compare_gradient(&gx, &gx_plain, 30 * (double)s.maps * pow((double)s.kernel, s.rank));
			compare_gradient(&gw, &gw_plain, 30 * (double)(y.count / (s.groups * s.maps)));
		}
		case_free(o);
	}
	ops_conv[0].free_state(state);
}

/* However many threads OpenMP offers, the bits are the same, and its setting is left as it was. */
Test(onednn, threads_change_nothing)
{
	struct shape s = {.rank = 2, .items = 4, .groups = 1, .channels = 32, .maps = 48, .image = {20, 20}, .kernel = 3,
	                  .stride = 1, .dilation = 1, .pads = {1, 1, 1, 1}, .bias = true};
	struct op_case *o = open_case(&s);
	struct tensor first = {0};
	void (*set_threads)(int);
	int (*get_threads)(void);

	*(void **)&set_threads = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
	*(void **)&get_threads = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
	case_run(o);
	for (int threads = 1; threads <= 4; threads++) {
		void *state = NULL;
		struct tensor y;

		if (set_threads)
			set_threads(threads);
		y = run_with(o, &state);
		cr_assert(!get_threads || get_threads() == threads);
		if (threads == 1)
			first = y;
		cr_assert_eq(memcmp(first.data, y.data, tensor_bytes(&y)), 0, "%d threads give other bits", threads);
		o->node.op->free_state(state);
	}
	case_free(o);
}
