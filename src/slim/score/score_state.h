/* SPDX-License-Identifier: Apache-2.0 */
/* The insides of a scoring pass, shared by its files. */
#ifndef SLIM_SCORE_STATE_H
#define SLIM_SCORE_STATE_H

#include <pthread.h>

#include "slim/score/score_sums.h"

/* Sums of one group. */
struct partial {
	double *mean, *second, *gain; /* as layer_score, sums */
	float *gradient2;             /* entries, squares of batches; this and those below NULL unless needed */
	float *energy, *products;     /* as struct layer_sums */
	float *block;                 /* groups x fan_in x outs/groups: scratch of energy */
	bool *broken;                 /* features: no copies after all; kept from group to group */
	double *joint;                /* 2 outs: scratch of copies_add_gain */
	int64_t signals;              /* items * positions behind mean and second */
	int64_t grid_rows;            /* items * positions behind products */
	bool reached;
	float *u;                     /* items x positions looked at x features */
	size_t u_floats;
	int64_t items;                /* in u */
};

/* What one worker owns. */
struct worker {
	struct partial *layer;
	float **parameter;        /* by parameter: squared gradients of the batches of one group */
	struct tensor *part;      /* graph inputs of one batch */
	struct scratch scratch;
	float *phi, *y, *psi; /* phi: features of the signals u, for the rich test; y, psi: of the group's items */
	int64_t values;       /* items in y */
	bool leads;           /* the group in hand is the pilot */
	float *squares, *delta; /* of one batch, for energies */
	size_t phi_floats, y_floats, psi_floats, squares_floats, delta_floats;
};

/* How far the pilot has come; each stage includes those before it. */
enum pilot_stage {
	PILOT_RUNNING,
	PILOT_HEAD,  /* the kind of outputs, and what their probes are scaled by */
	PILOT_MAP,   /* features of the outputs, and their pivot */
	PILOT_FAILED /* in whatever stage: no other comes */
};

struct pass {
	const struct score_job *job;
	struct score_sums *sums;
	struct head *head;
	struct feature_map map;
	struct signal_map *signal_map; /* by layer, from the pilot; NULL for the linear test */
	struct program *program;
	struct worker *workers;
	int n_workers;
	struct copies *rows;  /* by layer: output channels with equal weights */
	bool *watch;          /* by value: gradients wanted */
	bool *watch_node;     /* by graph node: a layer's */
	int *layer_of;        /* by value: layer whose output it is, else -1 */
	int *weight_of;       /* by value: layer whose weight it is and whose gradient is wanted, else -1 */
	int *parameter_of;    /* by value, else -1 */
	const struct worker *pilot; /* whose first group fixes what others are measured against */
	enum pilot_stage stage;     /* under the lock */
	bool leads;           /* the pilot is the first group of this shard, run beside the others */
	bool *fixed;          /* by layer, under its lock: the pilot's pivots are taken */
	pthread_mutex_t lock; /* of the stage, the outputs' moments and the sums' arena */
	pthread_cond_t told;
	pthread_mutex_t *layer_lock; /* of the layer's co-moments, copies and signal map */
	struct arena arena;   /* of the arrays of workers and values */
};

/* A layer's operator bound to the tensors of the last run. */
struct layer_call {
	struct op_call call;
	const struct tensor *in[4];
	struct tensor *out[1];
	struct tensor wide_in, wide_out; /* float copies of half values, in scratch */
	const struct layer *layer;
	const struct linear_op *op;
	int64_t items, positions;
};

/* Items of a group, at least `least`: one chunk of the job's reader, whose batches are run one after the other. */
int64_t score_group(const struct score_job *j, int64_t least);
/* The batch of c that begins at item `from`, as a chunk of its own. part: as many tensors as the graph has inputs. */
struct chunk score_batch(const struct pass *p, const struct chunk *c, int64_t from, struct tensor *part);

/* Makes room for `want` floats; what was there stays. */
enum tamis_status score_reserve(float **p, size_t *have, size_t want, struct tamis_error *err);

/* c->positions is 0 when the layer did not run, or its rows do not divide by the items. Copies of half values stay in
 * scratch until the caller resets it. */
enum tamis_status signals_bind(const struct graph *g, const struct layer *l, const struct runner *r,
                               struct scratch *scratch, int64_t items, struct layer_call *c, struct tamis_error *err);
/* Positions that the test looks at: how many, and which of `extent`. */
int signals_positions(const struct layer *l);
void signals_grid(int n, int64_t extent, int64_t *pos);
/* Rows of the layer's comoment: positions, times the features of a signal in the rich test. */
int signals_width(const struct pass *p, const struct layer *l);
/* Rich: features of the signals u at the grid into w->phi, items x width x features. Linear: does nothing. */
enum tamis_status signals_widen(const struct pass *p, struct worker *w, int layer, const float *u, int64_t items,
                                struct tamis_error *err);
/* Signals at n_pos positions: items x n_pos x features. */
enum tamis_status signals_gather(struct layer_call *c, const int64_t *pos, int64_t n_pos, float *u,
                                 struct tamis_error *err);
/* Runs a batch forward and appends what the test looks at to each layer's u while its values are there; nothing where a
 * layer does not run. moments: its first moments as well. */
enum tamis_status signals_run(const struct pass *p, struct worker *w, struct runner *r, const struct chunk *c, bool moments,
                              struct tamis_error *err);

/* g: the gradient at the layer's output. Adds its squares, summed over items and positions, to gain (outs). */
void gains_add(const struct layer *l, const struct tensor *g, double *gain);
/* Adds the square of each element of a gradient. */
void gains_square(const struct tensor *g, float *to);

/* What only some criteria need (needs.c): room, what is added, merging. Nothing happens where the layer's sums do not ask
 * for it. A group's signals are in a->u; those of the batch in hand are the last `items`. */
enum tamis_status needs_make_partial(struct pass *p, int layer, struct partial *a, struct tamis_error *err);
void needs_add_products(const struct layer *l, struct partial *a);
enum tamis_status needs_add_energy(const struct layer *l, struct worker *w, struct partial *a, const struct tensor *gradient,
                                   int64_t items, struct tamis_error *err);
void needs_merge(const struct partial *a, struct layer_sums *to);

/* The items of the job. */
bool score_select(void *ctx, int64_t item);
/* Appends what the kernel features see of the last run to w->y; psi of all that is there. */
enum tamis_status score_keep_values(const struct pass *p, struct worker *w, const struct runner *r, int64_t items,
                                    struct tamis_error *err);
enum tamis_status score_make_psi(const struct pass *p, struct worker *w, struct tamis_error *err);

/* The first items fix what all others are measured against (pilot.c). After the first batch of the first group has run:
 * the head, and for general outputs the feature map; that batch is the last run in any case. */
enum tamis_status pilot_outputs(struct pass *p, struct worker *w, struct runner *r, const struct chunk *group,
                                struct tamis_error *err);
/* The feature map from w->y where there is none. */
enum tamis_status pilot_map(struct pass *p, const struct worker *w, struct tamis_error *err);
/* Tells all workers; waits until a stage has been told, TAMIS_E_INTERNAL when it never will be: then the pilot's own error
 * is the one to report. */
void pilot_tell(struct pass *p, enum pilot_stage stage);
enum tamis_status pilot_await(struct pass *p, enum pilot_stage stage, struct tamis_error *err);
/* From the pilot's signals and psi: copies and pivots of a layer, under its lock, unless there already; of the outputs. */
enum tamis_status pilot_layer(struct pass *p, struct worker *w, int layer, struct tamis_error *err);
enum tamis_status pilot_pivot(struct pass *p, struct tamis_error *err);
/* The same from a pass of its own, which adds nothing to the sums: where the first group is another shard's, or items
 * run one by one. The stage stays PILOT_RUNNING where there is no item. */
enum tamis_status pilot_run(struct pass *p, struct tamis_error *err);

#endif
