/* SPDX-License-Identifier: Apache-2.0 */
/* The training loop: epochs, steps, evaluations, checkpoints, and what a run leaves behind. */
#include "train/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double clock_of(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static double now(void)
{
    return clock_of(CLOCK_MONOTONIC);
}

/* ceil(N / batch) micro-batches, grouped; the last group of an epoch may be smaller. */
static int64_t updates_per_epoch(const struct firn_run *r)
{
    const int64_t batches = r->recipe->data.packing ? r->batches.count /* of any epoch */
                                                    : (r->train.count + r->batch_size - 1) / r->batch_size;
    const int64_t accum = r->accumulation;
    return (batches + accum - 1) / accum > 0 ? (batches + accum - 1) / accum : 1;
}

void firn_run_plan_steps(struct firn_run *r)
{
    const struct firn_recipe_train *t = &r->recipe->train;
    r->per_epoch = updates_per_epoch(r);
    r->total = t->max_steps > 0 ? t->max_steps : (int64_t) ceil(t->num_train_epochs * (double) r->per_epoch - 1e-9);
    const double warmup = t->warmup_steps < 1 ? ceil((double) r->total * t->warmup_steps) : t->warmup_steps;
    r->schedule = (struct firn_schedule){ .type = (enum firn_schedule_type) t->lr_scheduler_type,
                                          .peak = t->learning_rate, .warmup = (int64_t) warmup, .total = r->total };
}

firn_status firn_run_plan_epoch(struct firn_run *r, int64_t epoch, struct firn_error *err)
{
    const struct firn_recipe_train *t = &r->recipe->train;
    const struct firn_batches_params p = { .batch_size = (uint32_t) r->batch_size,
                                           .multiple = (uint32_t) t->pad_to_multiple_of,
                                           .max_length = r->task.max_length, .targets = r->train.targets,
                                           .max_target = r->task.max_target, .seed = (uint64_t) t->seed,
                                           .epoch = (uint32_t) epoch, .shuffles = true,
                                           .groups = t->group_by_length,
                                           .packs = r->recipe->data.packing };
    firn_batches_free(&r->batches);
    return firn_batches_plan(&r->batches, r->train.lengths, r->train.count, &p, err);
}

/* The micro-batches of one optimizer step. */
struct step_inputs {
    struct firn_inputs *in;
    int64_t n, counted, tokens;
};

static void free_inputs(struct step_inputs *s)
{
    for (int64_t a = 0; a < s->n && s->in != NULL; a++)
        firn_inputs_free(&s->in[a]);
    free(s->in);
}

static firn_status collect_inputs(struct firn_run *r, int64_t step, struct step_inputs *s, struct firn_error *err)
{
    const int64_t accum = r->accumulation, first = step % r->per_epoch * accum;
    struct firn_dataset_params p;
    firn_task_dataset_params(&r->task, &p);
    *s = (struct step_inputs){ .in = calloc((size_t) accum, sizeof *s->in) };
    if (s->in == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a batch");
    for (int64_t a = 0; a < accum && first + a < r->batches.count; a++) {
        const firn_status status =
            firn_dataset_inputs(&r->train, &r->batches, (uint32_t) (first + a), &r->session, &p,
                                (uint64_t) r->recipe->train.seed, (uint32_t) (step * accum + a), &s->in[a], err);
        if (status)
            return status;
        s->n++;
        s->counted += s->in[a].counted;
        for (int64_t i = 0; i < s->in[a].batch * s->in[a].length; i++)
            s->tokens += s->in[a].attention_mask[i] != 0;
        for (int64_t i = 0; i < s->in[a].batch * s->in[a].target; i++)
            s->tokens += s->in[a].labels[i] >= 0;
    }
    return FIRN_OK;
}

/* One optimizer step; the loss is the mean over everything that counts in all its micro-batches. */
static firn_status train_step(struct firn_run *r, int64_t step, double *loss, double *norm, int64_t *tokens,
                              struct firn_error *err)
{
    const struct firn_recipe_train *t = &r->recipe->train;
    const struct firn_rates rates = { .lr = firn_schedule_rate(&r->schedule, step), .peak = r->schedule.peak, .beta1 = t->adam_beta1,
                                      .beta2 = t->adam_beta2, .eps = t->adam_epsilon, .decay = t->weight_decay,
                                      .max_norm = t->max_grad_norm, .t = step + 1 };
    struct step_inputs s;
    firn_status status = collect_inputs(r, step, &s, err);
    *loss = 0;
    for (int64_t a = 0; a < s.n && status == FIRN_OK; a++) {
        double part = 0;
        const struct firn_micro micro = { .inputs = &s.in[a], .scale = s.counted > 0 ? 1.0f / (float) s.counted : 0,
                                          .index = a, .count = s.n, .step = step, .seed = (uint64_t) t->seed,
                                          .rates = a + 1 == s.n ? &rates : NULL,
                                          .check = r->n_checked < r->params->check ? &r->check : NULL };
        status = firn_session_micro(&r->session, &micro, &part, norm, err);
        *loss += part;
    }
    *tokens = s.tokens;
    free_inputs(&s);
    if (status == FIRN_OK && r->n_checked < r->params->check && ++r->n_checked == r->params->check)
        firn_log_line(&r->params->log, FIRN_LOG_INFO,
                      "check: %llu operations agree with cpu:exact; the largest difference is %.2f of what is allowed, in %s",
                      (unsigned long long) r->check.steps, r->check.worst.ratio, r->check.where);
    if (status == FIRN_OK && (!isfinite(*loss) || !isfinite(*norm))) {
        firn_log_line(&r->params->log, FIRN_LOG_WARN, "step %lld: loss or gradient is not finite; nothing was changed",
                      (long long) step + 1);
        r->bad_steps++;
        const bool never = r->bad_steps == step + 1; /* then no rate is to blame */
        if (r->bad_steps >= 10 || (never && step + 1 == r->total))
            status = firn_fail(err, FIRN_ERR_DEVICE, .key = FIRN_STR("step %lld", (long long) step + 1),
                               .what = never ? "no step had a finite loss: the model's weights may hold NaN or infinity"
                                             : "ten steps in a row without a finite loss; try a lower learning_rate");
    } else {
        r->bad_steps = 0;
    }
    return status;
}

static firn_status add_point(struct firn_run *r, const struct firn_point *point, struct firn_error *err)
{
    const firn_status status = firn_history_add(&r->history, point, err);
    return status ? status : firn_run_log(r, point, err);
}

static void report(struct firn_run *r, struct firn_progress *p)
{
    if (r->params->progress != NULL)
        r->params->progress(r->params->user, p);
}

static firn_status evaluate(struct firn_run *r, int64_t step, struct firn_error *err)
{
    const struct firn_recipe_train *t = &r->recipe->train;
    struct firn_dataset_params p;
    struct firn_metrics m;
    if (r->validation.count == 0)
        return FIRN_OK;
    firn_task_dataset_params(&r->task, &p);
    firn_status status = firn_evaluate(&r->session, &r->validation, &p, (uint32_t) r->eval_batch_size,
                                       (uint32_t) t->pad_to_multiple_of, &m, NULL, NULL, err);
    if (status)
        return status;
    const struct firn_point point = { .step = step, .epoch = (double) step / (double) r->per_epoch,
                                      .eval_loss = m.loss, .eval_accuracy = m.accuracy, .is_eval = true };
    status = add_point(r, &point, err);
    const bool is_better = !(m.loss >= r->best_loss);
    r->without_gain = is_better ? 0 : r->without_gain + 1;
    if (is_better)
        r->best_loss = m.loss;
    if (status == FIRN_OK && is_better && t->load_best_model_at_end)
        status = firn_run_save_best(r, err);
    struct firn_progress progress = { .step = step, .total = r->total, .metrics = &m };
    report(r, &progress);
    return status;
}

static bool is_due(int64_t step, int64_t every, int64_t total)
{
    return every > 0 && (step % every == 0 || step == total);
}

/* Means over the steps since the last point of the log. */
struct window {
    double loss, norm, start;
    int64_t steps, tokens;
};

static firn_status after_step(struct firn_run *r, int64_t step, struct window *w, double began, int64_t resumed_at,
                              struct firn_error *err)
{
    const struct firn_recipe_train *t = &r->recipe->train;
    const bool logs = is_due(step, t->logging_steps, r->total);
    const double seconds = now() - began, here = now() - w->start;
    struct firn_progress p = {
        .step = step, .total = r->total, .loss = w->loss / (double) w->steps,
        .rate = firn_schedule_rate(&r->schedule, step - 1), .epoch = (double) step / (double) r->per_epoch,
        .tokens_per_second = here > 0 ? (double) w->tokens / here : 0, .seconds = seconds,
        .seconds_left = seconds / (double) (step - resumed_at) * (double) (r->total - step), .is_logged = logs };
    report(r, &p);
    firn_status status = FIRN_OK;
    if (logs) {
        const struct firn_point point = { .step = step, .epoch = p.epoch, .loss = p.loss,
                                          .grad_norm = w->norm / (double) w->steps, .learning_rate = p.rate,
                                          .eval_loss = NAN, .eval_accuracy = NAN };
        status = add_point(r, &point, err);
        *w = (struct window){ .start = now() };
    }
    const bool ends_epoch = step % r->per_epoch == 0 || step == r->total;
    if (status == FIRN_OK && (t->eval_steps > 0 ? is_due(step, t->eval_steps, r->total) : ends_epoch)) {
        status = evaluate(r, step, err);
        w->start = now();
    }
    return status;
}

static firn_status loop(struct firn_run *r, struct firn_error *err)
{
    const struct firn_recipe_train *t = &r->recipe->train;
    const double began = now();
    const int64_t resumed_at = r->step;
    struct window w = { .start = began };
    firn_status status = r->step < r->total ? firn_run_plan_epoch(r, r->step / r->per_epoch, err) : FIRN_OK;
    while (r->step < r->total && status == FIRN_OK) {
        double loss = 0, norm = 0;
        int64_t tokens = 0;
        if (r->step % r->per_epoch == 0)
            status = firn_run_plan_epoch(r, r->step / r->per_epoch, err);
        const double start = now(), cores = clock_of(CLOCK_PROCESS_CPUTIME_ID);
        if (status == FIRN_OK)
            status = train_step(r, r->step, &loss, &norm, &tokens, err);
        if (status)
            break;
        r->seconds += now() - start;
        r->core_seconds += clock_of(CLOCK_PROCESS_CPUTIME_ID) - cores;
        r->step++;
        r->tokens += tokens;
        w.loss += loss;
        w.norm += norm;
        w.steps++;
        w.tokens += tokens;
        status = after_step(r, r->step, &w, began, resumed_at, err);
        if (status == FIRN_OK && t->early_stopping_patience > 0 && r->without_gain >= t->early_stopping_patience)
            break;
        const bool stops = r->params->stop != NULL && *r->params->stop;
        if (status == FIRN_OK && r->step < r->total && (stops || (t->save_steps > 0 && r->step % t->save_steps == 0)))
            status = firn_run_checkpoint(r, err);
        if (status == FIRN_OK && stops && r->step < r->total)
            status = firn_fail(err, FIRN_ERR_STOPPED,
                               .what = FIRN_STR("stopped at step %lld of %lld; go on with --resume", (long long) r->step,
                                                (long long) r->total));
    }
    return status;
}

firn_status firn_train(const struct firn_recipe *recipe, const struct firn_train_params *params,
                       struct firn_error *err)
{
    struct firn_run r = { .recipe = recipe, .params = params, .best_loss = INFINITY, .output = { .lock = -1 } };
    bool is_finished = false;
    firn_status status = firn_run_open(&r, &is_finished, err);
    if (status == FIRN_OK && !is_finished) {
        firn_run_plan_steps(&r);
        status = firn_run_resume(&r, err);
        if (status == FIRN_OK)
            status = loop(&r, err);
        if (status == FIRN_OK)
            status = firn_run_finish(&r, err);
    }
    firn_run_close(&r);
    return status;
}
