/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a run: everything that can be wrong is found before anything is written. */
#include "train/run.h"

#include "base/file.h"
#include "data/split.h"

#include <stdlib.h>
#include <string.h>

static firn_status load_data(struct firn_run *r, struct firn_error *err)
{
    struct firn_table table = { 0 }, validation = { 0 };
    struct firn_dataset_params p;
    firn_status status = firn_table_load(&table, r->recipe->data.train, err);
    if (status == FIRN_OK && r->recipe->data.validation != NULL)
        status = firn_table_load(&validation, r->recipe->data.validation, err);
    else if (status == FIRN_OK && r->recipe->data.validation_split > 0)
        status = firn_table_split(&table, r->recipe->data.validation_split, (uint64_t) r->recipe->train.seed, &validation,
                                  err);
    if (status == FIRN_OK)
        status = firn_task_open(&r->task, r->recipe, &table, err);
    if (status == FIRN_OK && r->recipe->data.max_train_samples > 0)
        status = firn_table_sample(&table, (size_t) r->recipe->data.max_train_samples, (uint64_t) r->recipe->train.seed,
                                   err);
    if (status == FIRN_OK) {
        firn_task_dataset_params(&r->task, &p);
        status = firn_dataset_make(&r->train, &table, &p, err);
    }
    if (status == FIRN_OK && validation.count > 0)
        status = firn_dataset_make(&r->validation, &validation, &p, err);
    firn_table_free(&table);
    firn_table_free(&validation);
    return status;
}

static uint32_t longest_of(const struct firn_run *r, const uint32_t *lengths, uint32_t most)
{
    const uint32_t multiple = (uint32_t) r->recipe->train.pad_to_multiple_of;
    uint32_t longest = 1;
    for (uint32_t i = 0; i < r->train.count; i++)
        longest = lengths[i] > longest ? lengths[i] : longest;
    longest = (longest + multiple - 1) / multiple * multiple;
    return longest < most ? longest : most;
}

/* The longest batch is planned first: its arena then serves all. */
static firn_status plan_longest(struct firn_run *r, struct firn_error *err)
{
    const struct firn_recipe_train *t = &r->recipe->train;
    const uint32_t longest = longest_of(r, r->train.lengths, r->task.max_length);
    const uint32_t target = r->train.targets != NULL ? longest_of(r, r->train.targets, r->task.max_target) : 0;
    const int64_t batch = r->train.count < t->batch_size ? r->train.count : t->batch_size;
    struct firn_session_plan *plan;
    firn_status status = firn_session_plan_pair(&r->session, FIRN_PLAN_TRAIN, batch, longest, target, &plan,
                                                err);
    if (status || r->recipe->memory_limit == 0)
        return status;
    struct firn_plan_bytes bytes;
    uint64_t total = 0;
    firn_plan_bytes(plan->plan, &bytes);
    for (int kind = 0; kind < FIRN_LEAF_COUNT; kind++)
        total += bytes.leaf[kind];
    total += bytes.activations;
    if (total > (uint64_t) r->recipe->memory_limit)
        return firn_fail(err, FIRN_ERR_MEMORY, .file = r->recipe->path, .key = "memory_limit",
                         .expected = FIRN_STR("a plan within %lld bytes", (long long) r->recipe->memory_limit),
                         .got = FIRN_STR("%llu bytes; lower batch_size and raise gradient_accumulation_steps",
                                         (unsigned long long) total));
    return FIRN_OK;
}

firn_status firn_run_open(struct firn_run *r, bool *is_finished, struct firn_error *err)
{
    const struct firn_recipe *recipe = r->recipe;
    firn_status status = firn_output_open(&r->output, recipe->output, r->params->resume, r->params->overwrite, err);
    if (status)
        return status;
    *is_finished = r->params->resume && firn_path_exists(r->output.finished);
    if (*is_finished)
        return FIRN_OK;
    status = load_data(r, err);
    if (status)
        return status;
    if (r->train.skipped > 0)
        firn_log_line(&r->params->log, FIRN_LOG_WARN, "%u of %u examples are longer than max_length %u and are left out",
                      r->train.skipped, r->train.skipped + r->train.count, r->task.max_length);
    struct firn_session_params session;
    firn_task_session_params(&r->task, recipe, &session);
    session.log = r->params->log;
    status = firn_session_open(&r->session, &session, err);
    if (status == FIRN_OK && (int64_t) r->task.max_length > firn_text_limit(&r->session.model, &r->session.adapter))
        r->task.max_length = (uint32_t) firn_text_limit(&r->session.model, &r->session.adapter);
    for (uint32_t i = 0; i < r->train.count && status == FIRN_OK; i++)
        if (r->train.lengths[i] > r->task.max_length)
            status = firn_fail(err, FIRN_ERR_SHAPE, .file = recipe->path, .key = "train.max_length",
                               .expected = FIRN_STR("at most the model's %u positions for the text", r->task.max_length),
                               .got = FIRN_STR("an example of %u tokens", r->train.lengths[i]));
    if (status == FIRN_OK)
        status = firn_weights_fingerprint(&r->session.model.weights, r->fingerprint, err);
    if (status == FIRN_OK)
        status = firn_adapter_init(&r->session.adapter, &r->session.model, (uint64_t) recipe->train.seed,
                                   r->session.flat, err);
    if (status == FIRN_OK && recipe->start_from != NULL)
        status = firn_run_start(r, recipe->start_from, err);
    return status ? status : plan_longest(r, err);
}

void firn_run_close(struct firn_run *r)
{
    firn_history_free(&r->history);
    firn_batches_free(&r->batches);
    firn_dataset_free(&r->train);
    firn_dataset_free(&r->validation);
    firn_session_close(&r->session);
    firn_task_close(&r->task);
    firn_output_close(&r->output);
}
