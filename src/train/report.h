/* SPDX-License-Identifier: Apache-2.0 */
/* report.html: one self-contained page about a run. */
#ifndef FIRN_TRAIN_REPORT_H
#define FIRN_TRAIN_REPORT_H

#include "train/history.h"
#include "train/recipe.h"

struct firn_report_facts {
    const struct firn_recipe *recipe;
    const struct firn_history *history;
    const char *device, *python; /* python: lines that load the adapter */
    int64_t steps, trainable, total, examples;
    double seconds, tokens_per_second;
    uint64_t base_bytes, adapter_bytes, optimizer_bytes, activation_bytes, workspace_bytes;
    const json_t *samples;       /* [{text, label, predicted}], may be NULL */
};

firn_status firn_report_write(const char *path, const struct firn_report_facts *facts,
                              struct firn_error *err);

#endif
