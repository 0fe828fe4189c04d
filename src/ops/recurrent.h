/* SPDX-License-Identifier: Apache-2.0 */
/* RNN, GRU and LSTM as one engine: a call is read into struct layer, and each direction is run or reversed over steps
 * in double. The usual layers run forward in float. */
#ifndef OPS_RECURRENT_H
#define OPS_RECURRENT_H

#include "ops/family.h"

enum cell { CELL_RNN, CELL_GRU, CELL_LSTM };

/* Inputs by position. */
enum { IN_X, IN_W, IN_R, IN_B, IN_LENGTHS, IN_H, IN_C, IN_P };

struct activation {
	int kind; /* position in the list of recurrent_steps.c */
	double alpha, beta;
};

struct recurrent_attr {
	enum cell cell;
	int64_t hidden;  /* 0: not stated */
	int directions;  /* 1 or 2 */
	bool backward;   /* the only direction is backward */
	bool batch_first, linear_before_reset, input_forget;
	double clip;     /* INFINITY: none */
	bool usual;      /* all activations are those that the operator has without the attribute */
	struct activation f[6]; /* three for each direction: of gates, of the candidate, of the LSTM's output */
};

/* Reads activations, activation_alpha and activation_beta; defaults where they are missing. */
enum tamis_status recurrent_activations(struct op_parse *p, struct recurrent_attr *a);

/* f(x) of the clipped argument, and its slope there (0 beyond the clip). */
double activation_value(const struct activation *f, double clip, double x);
double activation_slope(const struct activation *f, double clip, double x);

/* Sizes of a call. */
struct recurrent_sizes {
	int64_t steps, batch, inputs, hidden, gates; /* gates: 1, 3 or 4 */
};

/* First elements of rows: of the output of time t, item b and direction d, and of a state. */
static inline int64_t recurrent_at_y(const struct recurrent_attr *a, const struct recurrent_sizes *z, int64_t t,
                                     int64_t b, int d)
{
	if (a->batch_first)
		return ((b * z->steps + t) * a->directions + d) * z->hidden;
	return ((t * a->directions + d) * z->batch + b) * z->hidden;
}

static inline int64_t recurrent_at_state(const struct recurrent_attr *a, const struct recurrent_sizes *z, int64_t b,
                                         int d)
{
	return (a->batch_first ? b * a->directions + d : d * z->batch + b) * z->hidden;
}

/* Whether a call is of the usual kind, and its run: in float, one product for the inputs of all steps. */
bool recurrent_fits_float(const struct op_call *c);
enum tamis_status recurrent_run_float(const struct op_call *c, const struct recurrent_sizes *z);

/* One direction in scratch, in double. Arrays by step have the state before step 0 first. */
struct direction {
	const struct recurrent_attr *attr;
	const struct activation *f;
	struct recurrent_sizes z;
	bool backward;
	const int64_t *length;  /* [batch]: steps of each item */
	const double *x;        /* [steps, batch, inputs], by time */
	/* of the direction; b is [2 gates hidden], zeros where there is none; p [3 hidden] */
	const double *w, *r, *b, *p;
	double *in;             /* [steps, batch, gates hidden]: x W' + biases, by time */
	double *pre, *post;     /* [steps, batch, gates hidden]: arguments and values of the gates, by step */
	double *recurrent;      /* [steps, batch, hidden]: GRU, what is reset; by step */
	double *h, *c;          /* [steps + 1, batch, hidden], by step */
};

/* Time at which item `item` is in a step; -1 when it is over. */
static inline int64_t time_of(const struct direction *d, int64_t step, int64_t item)
{
	if (step >= d->length[item])
		return -1;
	return d->backward ? d->length[item] - 1 - step : step;
}

/* Fills everything after `p`; h and c hold their first state. */
enum tamis_status recurrent_forward(struct direction *d, struct scratch *scratch, struct tamis_error *err);

/* Gradients of a direction, in double, added to. gy is [steps, batch, hidden] by time; gh and gc [batch,
 * hidden] hold
 * the gradient of the last state and afterwards that of the first. */
struct direction_gradients {
	const double *gy;
	double *gh, *gc, *gx, *gw, *gr, *gb, *gp;
};
enum tamis_status recurrent_back(const struct direction *d, const struct direction_gradients *g,
                                 struct scratch *scratch, struct tamis_error *err);

#endif
