/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a run: everything that can be wrong is found before anything is written. */
#include "train/run.h"

#include "base/file.h"
#include "data/split.h"
#include "peft/lora_start.h"
#include "train/fit.h"

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

/* Fewer rows at a time, where evaluation would need more than training may. */
static firn_status fit_evaluation(struct firn_run *r, const struct firn_fit_params *p, struct firn_error *err)
{
    uint64_t total = UINT64_MAX;
    firn_status status = FIRN_OK;
    while (r->validation.count > 0 && status == FIRN_OK) {
        status = firn_fit_forward(&total, p, r->eval_batch_size, err);
        if (total <= p->limit || r->eval_batch_size == 1)
            break;
        r->eval_batch_size = (r->eval_batch_size + 1) / 2;
    }
    return status;
}

/* Micro-batch and checkpointing. Without memory_limit only what changes no bit is chosen: what is free differs from run to
 * run. */
static firn_status fit(struct firn_run *r, const struct firn_build_params *longest, struct firn_error *err)
{
    const struct firn_recipe *recipe = r->recipe;
    struct firn_session *s = &r->session;
    const int wish = recipe->train.gradient_checkpointing;
    const struct firn_fit_params p = {
        .model = &s->model, .adapter = &s->adapter, .build = *longest, .accumulation = r->accumulation,
        .limits = &s->device->limits, .is_host = s->device->is_host, .is_exact = s->device->is_exact, .is_fixed = wish > 0,
        .recompute = (enum firn_recompute) (wish > 0 ? wish - 1 : 0), .may_split = recipe->memory_limit > 0 && longest->packed == 0,
        .limit = recipe->memory_limit > 0 ? (uint64_t) recipe->memory_limit : s->device->limits.memory_bytes };
    struct firn_fit fit;
    firn_status status = firn_fit_choose(&fit, &p, err);
    if (status == FIRN_OK && !fit.fits && recipe->memory_limit > 0)
        status = firn_fit_fail(&fit, p.limit, recipe->path, err);
    if (status)
        return status;
    if (fit.batch < longest->batch) { /* rows of a dataset that is smaller than a batch are no measure */
        r->batch_size = fit.batch;
        r->accumulation = fit.accumulation;
    }
    s->params.recompute = fit.recompute;
    s->params.accumulates = r->accumulation > 1;
    const bool is_own = r->batch_size == recipe->train.batch_size && (wish > 0 || fit.recompute == FIRN_RECOMPUTE_NONE);
    if (!is_own || recipe->memory_limit > 0)
        firn_log_line(&r->params->log, FIRN_LOG_INFO,
                      "memory: %lld micro-batches of %lld a step, gradient_checkpointing %s: %.1f MiB of %.1f MiB",
                      (long long) r->accumulation, (long long) r->batch_size, firn_recompute_words[fit.recompute],
                      (double) fit.total / 0x1p20, (double) p.limit / 0x1p20);
    return recipe->memory_limit > 0 ? fit_evaluation(r, &p, err) : FIRN_OK;
}

/* Of all batches the most tokens and the most rows of attention; which they are no single one may be. */
static firn_status plan_packed(struct firn_run *r, struct firn_build_params *build, struct firn_error *err)
{
    const firn_status status = firn_run_plan_epoch(r, 0, err);
    uint64_t most = 0;
    if (status)
        return status;
    for (uint32_t i = 0; i < r->batches.count; i++) {
        const struct firn_batch *b = &r->batches.list[i];
        build->packed = b->packed > build->packed ? b->packed : build->packed;
        if ((uint64_t) b->rows * b->length > most) {
            most = (uint64_t) b->rows * b->length;
            build->batch = b->rows;
            build->length = b->length;
        }
    }
    struct firn_session_plan *plan;
    const firn_status fits = fit(r, build, err);
    return fits ? fits : firn_session_plan_of(&r->session, FIRN_PLAN_TRAIN, build, &plan, err);
}

/* The longest batch is planned first: its arena then serves all. */
static firn_status plan_longest(struct firn_run *r, struct firn_error *err)
{
    const struct firn_recipe *recipe = r->recipe;
    const struct firn_recipe_train *t = &recipe->train;
    const uint32_t longest = longest_of(r, r->train.lengths, r->task.max_length);
    const uint32_t target = r->train.targets != NULL ? longest_of(r, r->train.targets, r->task.max_target) : 0;
    r->batch_size = t->batch_size;
    r->accumulation = t->gradient_accumulation_steps;
    r->eval_batch_size = t->eval_batch_size;
    struct firn_build_params build = firn_session_build(
        &r->session, FIRN_PLAN_TRAIN, r->train.count < t->batch_size ? r->train.count : t->batch_size, longest, target);
    if (recipe->data.packing)
        return plan_packed(r, &build, err);
    firn_status status = fit(r, &build, err);
    const int64_t batch = r->train.count < r->batch_size ? r->train.count : r->batch_size;
    struct firn_session_plan *plan;
    return status ? status
                  : firn_session_plan_pair(&r->session, FIRN_PLAN_TRAIN, batch, longest, target, &plan, err);
}

firn_status firn_run_open(struct firn_run *r, bool *is_finished, struct firn_error *err)
{
    const struct firn_recipe *recipe = r->recipe;
    firn_status status = firn_output_open(&r->output, recipe->output, r->params->resume, r->params->overwrite,
                                          r->is_dry, err);
    if (status)
        return status;
    *is_finished = r->params->resume && firn_path_exists(r->output.finished);
    if (*is_finished)
        return firn_run_check_finished(r, err);
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
    if (status == FIRN_OK && session.adapter == NULL)
        status = firn_lora_check_ranks(&r->session.adapter.params, recipe->path, err);
    if (status == FIRN_OK && r->session.adapter.params.count == 0)
        status = firn_fail(err, FIRN_ERR_USAGE, .file = recipe->path, .key = "method.type",
                           .expected = "a method that trains something (`firn eval RECIPE` measures this one)",
                           .got = r->session.adapter.method->name);
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
    free(r->events);
    firn_batches_free(&r->batches);
    firn_dataset_free(&r->train);
    firn_dataset_free(&r->validation);
    firn_session_close(&r->session);
    firn_task_close(&r->task);
    firn_output_close(&r->output);
}
