/* SPDX-License-Identifier: Apache-2.0 */
/* TensorBoard's event files: the points of a run as scalars. */
#ifndef FIRN_TRAIN_TENSORBOARD_H
#define FIRN_TRAIN_TENSORBOARD_H

#include "train/history.h"

/* Makes a new events.out.tfevents.* in the directory, with its first record. After step `resumed_at` > 0 of an earlier
 * part, TensorBoard is told to forget what that part wrote beyond it. *path is the file; free() it. */
firn_status firn_tensorboard_open(const char *directory, int64_t resumed_at, char **path, struct firn_error *err);
/* Adds the values of a point that are finite: train/loss, train/grad_norm, train/learning_rate, eval/loss ... */
firn_status firn_tensorboard_add(const char *path, const struct firn_point *point, struct firn_error *err);

#endif
