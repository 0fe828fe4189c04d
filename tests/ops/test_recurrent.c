/* SPDX-License-Identifier: Apache-2.0 */
/* RNN, GRU and LSTM. */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

static const char *const names[] = {"RNN", "GRU", "LSTM"};
static const int64_t gates[] = {1, 3, 4};

Test(recurrent, vectors)
{
	check_vectors(ops_recurrent, 12, NULL);
}

/* Three steps, two items of which one is shorter, three inputs, two units. */
static struct op_case *layer(int cell, int direction, bool batch_first, bool variant)
{
	static const char *const directions[] = {"forward", "reverse", "bidirectional"};
	struct op_case *c = case_new(ops_recurrent, names[cell], 14);
	int64_t d = direction == 2 ? 2 : 1, g = gates[cell];

	case_string(c, "direction", directions[direction]);
	case_int(c, "hidden_size", 2);
	case_int(c, "layout", batch_first);
	if (cell == 1)
		case_int(c, "linear_before_reset", variant);
	if (cell == 2)
		case_int(c, "input_forget", variant);
	if (variant)
		case_float(c, "clip", 1.25);
	case_in(c, DT_DOUBLE, 3, batch_first ? DIMS(2, 3, 3) : DIMS(3, 2, 3), NULL);
	case_in(c, DT_DOUBLE, SHAPE(d, g * 2, 3), NULL);
	case_in(c, DT_DOUBLE, SHAPE(d, g * 2, 2), NULL);
	case_in(c, DT_DOUBLE, SHAPE(d, g * 4), NULL);
	case_in(c, DT_INT32, SHAPE(2), VALUES(3, 2));
	for (int i = 0; i < (cell == 2 ? 2 : 1); i++)
		case_in(c, DT_DOUBLE, 3, batch_first ? DIMS(2, d, 2) : DIMS(d, 2, 2), NULL);
	if (cell == 2)
		case_in(c, DT_DOUBLE, SHAPE(d, 6), NULL);
	case_outputs(c, cell == 2 ? 3 : 2);
	return c;
}

Test(recurrent, reverse)
{
	for (int k = 0; k < 36; k++) {
		int cell = k % 3;
		struct op_case *c = layer(cell, k / 3 % 3, k / 9 % 2, k / 18);

		check_reverse(c, cell == 2 ? 0xef : 0x2f);
		case_free(c);
	}
}

/* The other layout is the same layer; a layer backwards is a layer of the sequence read backwards. */
Test(recurrent, layouts_and_directions)
{
	for (int cell = 0; cell < 3; cell++) {
		struct op_case *a = layer(cell, 0, false, false), *b = layer(cell, 1, true, false);

		for (int i = 1; i < a->node.n_in; i++)
			for (int64_t k = 0; k < a->in[i].count; k++)
				tensor_set(&b->in[i], k, i == 4 ? 3 : tensor_get(&a->in[i], k));
		tensor_set(&a->in[4], 1, 3);
		for (int t = 0; t < 3; t++)
			for (int k = 0; k < 6; k++)
				tensor_set(&b->in[0], k / 3 * 9 + (2 - t) * 3 + k % 3, tensor_get(&a->in[0], t * 6 + k));
		case_run(a);
		case_run(b);
		for (int t = 0; t < 3; t++)
			for (int k = 0; k < 4; k++)
				cr_assert_float_eq(tensor_get(&a->out[0], t * 4 + k),
				                   tensor_get(&b->out[0], k / 2 * 6 + (2 - t) * 2 + k % 2), 1e-12);
		case_free(a);
		case_free(b);
	}
}

/* Steps beyond an item's length give zeros, and its last state is that of its own last step. */
Test(recurrent, lengths)
{
	for (int cell = 0; cell < 3; cell++) {
		struct op_case *c = layer(cell, 0, false, false);

		case_run(c);
		for (int j = 0; j < 2; j++) {
			cr_assert_eq(tensor_get(&c->out[0], 2 * 4 + 2 + j), 0);
			cr_assert_eq(tensor_get(&c->out[0], 1 * 4 + 2 + j), tensor_get(&c->out[1], 2 + j));
			cr_assert_eq(tensor_get(&c->out[0], 2 * 4 + j), tensor_get(&c->out[1], j));
		}
		case_free(c);
	}
}

Test(recurrent, refuses)
{
	for (int k = 0; k < 5; k++) {
		struct op_case *c = case_new(ops_recurrent, "GRU", 14);

		case_int(c, "hidden_size", k == 0 ? 3 : 2);
		if (k == 4)
			case_string(c, "direction", "sideways");
		case_in(c, k == 1 ? DT_INT32 : DT_FLOAT, SHAPE(3, 1, 2), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, k == 2 ? 4 : 6, 2), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, 6, 2), NULL);
		case_absent(c);
		case_in(c, DT_INT32, SHAPE(k == 3 ? 2 : 1), NULL);
		cr_expect_eq(case_status(c), k == 1 ? TAMIS_E_UNSUPPORTED : TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

/* Steps of no elements could be any number. */
Test(recurrent, refuses_steps_of_nothing)
{
	struct op_case *c = case_new(ops_recurrent, "RNN", 14);

	case_in(c, DT_DOUBLE, SHAPE((int64_t)1 << 40, 1, 0), NULL);
	case_in(c, DT_DOUBLE, SHAPE(1, 1, 0), NULL);
	case_in(c, DT_DOUBLE, SHAPE(1, 1, 1), NULL);
	case_outputs(c, 2);
	case_drop_output(c, 0);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

/* A length beyond the steps is only seen when it runs. */
Test(recurrent, refuses_lengths)
{
	struct op_case *c = layer(0, 0, false, false);

	tensor_set(&c->in[4], 0, 4);
	cr_expect_eq(case_forward(c), TAMIS_E_INVALID);
	case_free(c);
}

/* Layers of the usual kind run in float by another way than those in double; each variant of three leaves it. */
Test(recurrent, floats_as_doubles)
{
	for (int k = 0; k < 3 * 3 * 2 * 2 * 2; k++) {
		int cell = k % 3, direction = k / 3 % 3, without_bias = k / 36;
		bool batch_first = k / 9 % 2, before = k / 18 % 2;
		int64_t d = direction == 2 ? 2 : 1, cols = gates[cell] * 19;
		struct op_case *c[2];

		for (int i = 0; i < 2; i++) {
			enum dtype type = i ? DT_DOUBLE : DT_FLOAT;

			c[i] = case_new(ops_recurrent, names[cell], 14);
			case_string(c[i], "direction", (const char *const[]){"forward", "reverse", "bidirectional"}[direction]);
			case_int(c[i], "hidden_size", 19);
			case_int(c[i], "layout", batch_first);
			if (cell == 1)
				case_int(c[i], "linear_before_reset", before);
			case_in(c[i], type, 3, batch_first ? DIMS(5, 7, 11) : DIMS(7, 5, 11), NULL);
			case_in_range(c[i], type, SHAPE(d, cols, 11), -0.3, 0.3); /* larger ones make small differences grow */
			case_in_range(c[i], type, SHAPE(d, cols, 19), -0.3, 0.3);
			if (without_bias)
				case_absent(c[i]);
			else
				case_in(c[i], type, SHAPE(d, 2 * cols), NULL);
			case_absent(c[i]);
			if (before)
				case_in(c[i], type, 3, batch_first ? DIMS(5, d, 19) : DIMS(d, 5, 19), NULL);
			case_outputs(c[i], cell == 2 ? 3 : 2);
		}
		for (int n = 0; n < CASE_MAX; n++)
			for (int64_t i = 0; c[0]->in[n].data && i < c[0]->in[n].count; i++)
				tensor_set(&c[1]->in[n], i, tensor_get(&c[0]->in[n], i));
		case_run(c[0]);
		case_run(c[1]);
		for (int n = 0; n < (cell == 2 ? 3 : 2); n++)
			for (int64_t i = 0; i < c[1]->out[n].count; i++)
				cr_assert_float_eq(tensor_get(&c[0]->out[n], i), tensor_get(&c[1]->out[n], i), 2e-5,
				                   "case %d output %d element %lld", k, n, (long long)i);
		case_free(c[0]);
		case_free(c[1]);
	}
}
