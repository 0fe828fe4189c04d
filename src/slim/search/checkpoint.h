/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes put away in a file, so that a run that was stopped can go on. */
#ifndef SLIM_CHECKPOINT_H
#define SLIM_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Where, and of what run: the same model, items and options give the same text. */
struct checkpoint { const char *path, *identity; };

/* Replaces the file, whole or not at all. TAMIS_E_OUTPUT. */
enum tamis_status checkpoint_save(const struct checkpoint *c, const uint8_t *bytes, size_t size, struct tamis_error *err);

/* *bytes (free() it) is NULL when there is no such file. TAMIS_E_INVALID when it is damaged, no checkpoint, or of another
 * run. */
enum tamis_status checkpoint_load(const struct checkpoint *c, uint8_t **bytes, size_t *size, struct tamis_error *err);
void checkpoint_remove(const struct checkpoint *c);

#endif
