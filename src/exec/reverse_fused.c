/* SPDX-License-Identifier: Apache-2.0 */
/* Reverse of what a forward program would have merged: a convolution with its norm, a sum and an activation. */
#include <stdlib.h>
#include <string.h>

#include "exec/gradients.h"
#include "ops/blocked_back.h"

bool hidden_watched(const struct step *s, const struct run_hooks *h)
{
	return s->hidden && h->energy && h->watch_grad[s->hidden->value];
}

/* Zeros for every channel of the step. */
static enum tamis_status clear_energy(struct runner *r, int64_t channels, struct tamis_error *err)
{
	if ((size_t)channels > r->n_energy) {
		free(r->energy);
		r->n_energy = 0;
		r->energy = tm_array((size_t)channels, sizeof *r->energy);
		if (!r->energy)
			return tm_no_memory(err, "reversing a convolution");
		r->n_energy = (size_t)channels;
	}
	memset(r->energy, 0, (size_t)channels * sizeof *r->energy);
	return TAMIS_OK;
}

/* Merging takes float weights alone, so the gradient is of floats. */
enum tamis_status hidden_energy(struct runner *r, const struct step *s, const struct run_hooks *h,
                                struct tamis_error *err)
{
	const struct tensor *g = &r->gradient[s->out[0]];
	const float *d = g->data;
	int64_t outs, inner;
	enum tamis_status status;

	if (s->fused || !hidden_watched(s, h) || !g->data)
		return TAMIS_OK;
	outs = s->hidden->channels;
	inner = tensor_extent(g, 2, g->rank);
	status = clear_energy(r, outs, err);
	for (int64_t i = 0; status == TAMIS_OK && i < g->dims[0] * outs; i++) {
		double sum = 0, scale = s->hidden->scale ? (double)s->hidden->scale[i % outs] : 1;

		for (int64_t k = 0; k < inner; k++)
			sum += (double)d[i * inner + k] * d[i * inner + k];
		r->energy[i % outs] += sum * scale * scale;
	}
	return status == TAMIS_OK ? h->energy(h->ctx, s->hidden->value, r->energy, err) : status;
}

enum tamis_status fused_remember(struct runner *r, int step, struct tamis_error *err)
{
	const struct step *s = &r->program->steps[step];
	const struct tensor *y = &r->value[s->out[0]];
	struct mask *m = &r->mask[step];
	size_t words = blocked_mask_words(y->count);

	if (!s->fused->has_after || !blocked_has_mask(&s->fused->after))
		return TAMIS_OK;
	if (words > m->words) {
		free(m->bits);
		*m = (struct mask){ tm_array_uninit(words, sizeof *m->bits), words };
	}
	if (!m->bits) {
		m->words = 0;
		return tm_no_memory(err, "remembering where an activation has a slope");
	}
	blocked_mask(&s->fused->after, y, m->bits);
	return TAMIS_OK;
}

/* One pass over the gradient: the activation undone, and the energy of what is left. */
static enum tamis_status undo(struct runner *r, const struct step *s, const struct run_hooks *h, struct tamis_error *err)
{
	const struct hidden *hidden = s->hidden;
	const struct fused_conv *f = s->fused;
	bool watched = hidden_watched(s, h);
	enum tamis_status status = watched ? clear_energy(r, hidden->channels, err) : TAMIS_OK;

	if (status != TAMIS_OK)
		return status;
	if (watched || f->has_after)
		blocked_undo(&(struct blocked_undo){ .after = f->has_after ? &f->after : NULL, .y = &r->value[s->out[0]],
			.mask = r->mask[s - r->program->steps].bits, .scale = hidden->scale, .channels = hidden->channels,
			.energy = watched ? r->energy : NULL }, &r->gradient[s->out[0]]);
	return watched ? h->energy(h->ctx, hidden->value, r->energy, err) : TAMIS_OK;
}

static enum tamis_status pass_to_residual(struct runner *r, const struct step *s, struct tamis_error *err)
{
	int v = s->fused->residual;
	const struct tensor *from = &r->gradient[s->out[0]];
	bool fresh;
	enum tamis_status status;
	float *to;

	if (v == GRAPH_NONE || !r->wants[v])
		return TAMIS_OK;
	fresh = !r->gradient[v].data;
	status = gradient_make(r, v, false, err);
	if (status != TAMIS_OK)
		return status;
	to = r->gradient[v].data;
	if (fresh)
		memcpy(to, from->data, tensor_bytes(from));
	for (int64_t i = 0; !fresh && i < from->count; i++)
		to[i] += ((const float *)from->data)[i];
	return TAMIS_OK;
}

static enum tamis_status pass_to_image(struct runner *r, int step, struct tamis_error *err)
{
	const struct step *s = &r->program->steps[step];
	int x = s->in[0];
	struct blocked_back b = { .conv = s->fused->conv, .weight = &r->program->constant[s->fused->weight],
		.gy = &r->gradient[s->out[0]], .gx = &r->gradient[x], .scratch = &r->scratch, .err = err };
	enum tamis_status status;

	if (!r->wants[x])
		return TAMIS_OK;
	b.add = r->gradient[x].data != NULL;
	status = gradient_make(r, x, false, err);
	if (status == TAMIS_OK)
		status = blocked_back(&r->back[step], &b);
	scratch_reset(&r->scratch);
	return status;
}

enum tamis_status fused_reverse(struct runner *r, int step, const struct run_hooks *h, struct tamis_error *err)
{
	const struct step *s = &r->program->steps[step];
	enum tamis_status status = undo(r, s, h, err);

	if (status == TAMIS_OK)
		status = pass_to_residual(r, s, err);
	if (status == TAMIS_OK)
		status = pass_to_image(r, step, err);
	return status == TAMIS_OK ? TAMIS_OK : tm_in_node(err, s->node->name);
}
