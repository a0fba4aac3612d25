/* SPDX-License-Identifier: Apache-2.0 */
/* Repeats a recorded training case (case.json, batches, initial adapter) and compares what it computed with what was
 * recorded. */
#ifndef FIRN_TRAIN_REPLAY_H
#define FIRN_TRAIN_REPLAY_H

#include "firn/log.h"

#include <stdbool.h>

struct firn_replay_params {
    const char *case_dir;
    const char *models;      /* folder of model folders; NULL: CASE/../../models */
    const char *device;
    const char *dump;        /* safetensors file to write; NULL: none */
    const char *adapter_out; /* directory for the trained adapter; NULL: none */
    struct firn_log log;
    /* One line a tensor of the verdict, and facts about the run. */
    void (*line)(void *user, const char *text);
    void *user;
};

/* FIRN_ERR_DEVICE when a tensor is out of tolerance. expected.safetensors is opened only after the dump is closed. */
firn_status firn_replay(const struct firn_replay_params *params, struct firn_error *err);

#endif
