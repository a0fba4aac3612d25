/* SPDX-License-Identifier: Apache-2.0 */
/* `firn train --dry-run`: a run up to its first step. */
#include "train/run.h"

#include "base/str.h"

#include <stdlib.h>

/* Training never reads it, but who trains will ask for it. */
static firn_status read_test(struct firn_run *r, int64_t *count, struct firn_error *err)
{
    struct firn_table table = { 0 };
    struct firn_dataset data = { 0 };
    struct firn_dataset_params p;
    if (r->recipe->data.test == NULL)
        return FIRN_OK;
    firn_task_dataset_params(&r->task, &p);
    firn_status status = firn_table_load(&table, r->recipe->data.test, err);
    if (status == FIRN_OK)
        status = firn_dataset_make(&data, &table, &p, err);
    *count = data.count;
    firn_dataset_free(&data);
    firn_table_free(&table);
    return status;
}

static void collect(const struct firn_run *r, struct firn_dry_run *d)
{
    struct firn_report_facts facts;
    firn_run_facts(r, &facts);
    d->trainable = facts.trainable;
    d->total = facts.total;
    d->examples = r->train.count;
    d->skipped = r->train.skipped;
    d->validation = r->validation.count;
    for (uint32_t i = 0; i < r->train.count; i++)
        d->longest = r->train.lengths[i] > d->longest ? r->train.lengths[i] : d->longest;
    d->labels = firn_task_n_labels(&r->task);
    d->steps = r->total;
    d->per_epoch = r->per_epoch;
    d->done = r->step;
    d->batch = r->batch_size;
    d->accumulation = r->accumulation;
    d->base_bytes = facts.base_bytes;
    d->adapter_bytes = facts.adapter_bytes;
    d->optimizer_bytes = facts.optimizer_bytes;
    d->activation_bytes = facts.activation_bytes;
}

firn_status firn_train_dry(const struct firn_recipe *recipe, const struct firn_train_params *params,
                           struct firn_dry_run *d, struct firn_error *err)
{
    struct firn_run r = { .recipe = recipe, .params = params, .output = { .lock = -1 }, .is_dry = true };
    *d = (struct firn_dry_run){ 0 };
    firn_status status = firn_run_open(&r, &d->is_finished, err);
    if (status == FIRN_OK && !d->is_finished) {
        firn_run_plan_steps(&r);
        status = firn_run_resume(&r, err);
        if (status == FIRN_OK)
            status = read_test(&r, &d->test, err);
        if (status == FIRN_OK)
            collect(&r, d);
        if (status == FIRN_OK)
            d->device = firn_strdup(FIRN_STR("%s: %s", r.session.device->id, r.session.device->name));
    }
    firn_run_close(&r);
    return status;
}
