/* SPDX-License-Identifier: Apache-2.0 */
/* The output directory of a run: who may write it, where things lie in it. */
#ifndef FIRN_TRAIN_OUTPUT_H
#define FIRN_TRAIN_OUTPUT_H

#include "firn/status.h"

#include <stdbool.h>

struct firn_output {
    int lock;
    char *directory, *adapter, *checkpoints, *best, *log, *report, *summary, *recipe, *finished, *tensorboard;
};

/* Makes the directory and takes its lock; refuses one that holds something unless resume or overwrite (which removes
 * what a run writes, and nothing else). With is_dry nothing is made, taken or removed. */
firn_status firn_output_open(struct firn_output *o, const char *directory, bool resume, bool overwrite, bool is_dry,
                             struct firn_error *err);
void firn_output_close(struct firn_output *o);

#endif
