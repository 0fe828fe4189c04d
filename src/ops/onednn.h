/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution and its gradients through oneDNN, where it is built in and faster than columns and BLAS. */
#ifndef OPS_ONEDNN_H
#define OPS_ONEDNN_H

#include "ops/correlate.h"

/* maps = correlate(image, weight) + bias (NULL: none), overwriting maps, when this shape belongs to
 * oneDNN; *done says whether it was. Which shapes do depends on the shape alone, never on timing: float,
 * one group or one channel a group, a kernel of more than one element, and enough channels to pay for the change of layout.
 * *state (NULL at first) keeps the compiled primitives for the next run of the same shape; free it with
 * onednn_conv_free. Runs on the calling thread alone. The weight is laid out anew at each run, so it may
 * change between runs. TAMIS_E_MEMORY, or TAMIS_E_INTERNAL when a primitive that was made cannot run. */
enum tamis_status onednn_conv(void **state, const struct correlation *c, const void *image,
                              const void *weight, const void *bias, void *maps, bool *done);
/* As correlate_back and correlate_weight, which add to their last argument; the rest as above, with the same state. */
enum tamis_status onednn_conv_back(void **state, const struct correlation *c, const void *maps, const void *weight, void *image,
                                   bool *done);
enum tamis_status onednn_conv_weight(void **state, const struct correlation *c, const void *image, const void *maps,
                                     void *weight, bool *done);
void onednn_conv_free(void *state); /* NULL is fine */

#endif
