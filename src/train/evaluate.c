/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a data set forward and counts what is right. */
#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    int64_t classes;
    uint64_t *right, *said, *true_; /* per class */
    uint64_t hits, entries;
    double error;
    uint64_t tokens, right_tokens, texts, right_texts; /* language models */
};

static int64_t best_of(const float *row, int64_t n)
{
    int64_t best = 0;
    for (int64_t c = 1; c < n; c++)
        if (row[c] > row[best])
            best = c;
    return best;
}

static void count(struct tally *t, const float *logits, const struct firn_inputs *in,
                  const struct firn_dataset_params *p)
{
    const int64_t rows = p->task == FIRN_TASK_SEQ_CLS ? in->batch : in->batch * in->length;
    for (int64_t i = 0; i < rows; i++) {
        const float *row = logits + i * t->classes;
        if (p->problem == FIRN_REGRESSION) {
            t->error += fabs((double) row[0] - (double) in->targets[i]);
            t->entries++;
            continue;
        }
        for (int64_t c = 0; c < t->classes && p->problem == FIRN_MULTI_LABEL; c++) {
            const bool said = row[c] > 0, is = in->targets[i * t->classes + c] > 0.5f;
            t->hits += said == is;
            t->entries++;
            t->right[c] += said && is;
            t->said[c] += said;
            t->true_[c] += is;
        }
        if (p->problem != FIRN_SINGLE_LABEL || in->labels[i] < 0)
            continue;
        const int64_t best = best_of(row, t->classes);
        t->hits += best == in->labels[i];
        t->entries++;
        t->right[best] += best == in->labels[i];
        t->said[best]++;
        t->true_[in->labels[i]]++;
    }
}

/* hits [batch, per]: 1 right, 0 wrong, -1 not counted. */
static void count_hits(struct tally *t, const float *hits, int64_t batch, int64_t per)
{
    for (int64_t b = 0; b < batch; b++) {
        uint64_t right = 0, counted = 0;
        for (int64_t i = 0; i < per; i++) {
            right += hits[b * per + i] > 0;
            counted += hits[b * per + i] >= 0;
        }
        t->right_tokens += right;
        t->tokens += counted;
        t->texts += counted > 0;
        t->right_texts += counted > 0 && right == counted;
    }
}

static firn_status read_hits(struct firn_session *s, const struct firn_inputs *in, struct tally *t, struct firn_error *err)
{
    const int64_t per = in->target > 0 ? in->target : s->adapter.n_virtual + in->length;
    float *hits = malloc(sizeof *hits * (size_t) (in->batch * per + 1));
    if (hits == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an evaluation");
    const firn_status status = firn_store_read(s->store, "hits", 0, hits, sizeof *hits * (size_t) (in->batch * per), err);
    if (status == FIRN_OK)
        count_hits(t, hits, in->batch, per);
    free(hits);
    return status;
}

static double macro_f1(const struct tally *t)
{
    double sum = 0;
    for (int64_t c = 0; c < t->classes; c++) {
        const double both = (double) (t->said[c] + t->true_[c]);
        sum += both > 0 ? 2.0 * (double) t->right[c] / both : 0;
    }
    return t->classes > 0 ? sum / (double) t->classes : NAN;
}

static firn_status run_batch(struct firn_session *s, const struct firn_inputs *in, const struct firn_dataset_params *p,
                             int64_t classes, float *logits, double *loss, struct firn_error *err)
{
    const int64_t n = p->task == FIRN_TASK_SEQ_CLS ? 0 : s->adapter.n_virtual;
    const int64_t rows = p->task == FIRN_TASK_SEQ_CLS ? in->batch : in->batch * (n + in->length);
    const firn_status status = firn_session_forward(s, p->has_labels ? FIRN_PLAN_EVAL : FIRN_PLAN_LOGITS, in, 1, loss,
                                                    logits, classes > 0 ? rows * classes : 0, err);
    for (int64_t b = 0; b < in->batch && n > 0 && logits != NULL; b++) /* virtual tokens have no label */
        memmove(logits + b * in->length * classes, logits + (b * (n + in->length) + n) * classes,
                sizeof *logits * (size_t) (in->length * classes));
    return status;
}

firn_status firn_evaluate(struct firn_session *s, const struct firn_dataset *d, const struct firn_dataset_params *p,
                          uint32_t batch_size, uint32_t multiple, struct firn_metrics *m,
                          void (*on_logits)(void *user, const float *logits, const struct firn_inputs *in,
                                            const uint32_t *examples), void *user, struct firn_error *err)
{
    const bool classifies = p->task == FIRN_TASK_SEQ_CLS || p->task == FIRN_TASK_TOKEN_CLS;
    const int64_t classes = classifies ? s->params.n_labels : 0;
    const struct firn_batches_params how = { .batch_size = batch_size, .multiple = multiple,
                                             .max_length = p->max_length, .targets = d->targets,
                                             .max_target = p->max_target };
    struct firn_batches plan = { 0 };
    struct tally t = { .classes = classes, .right = calloc((size_t) classes + 1, sizeof(uint64_t)),
                       .said = calloc((size_t) classes + 1, sizeof(uint64_t)),
                       .true_ = calloc((size_t) classes + 1, sizeof(uint64_t)) };
    float *logits = classes > 0 ? malloc(sizeof *logits * (size_t) (batch_size * (p->task == FIRN_TASK_SEQ_CLS ? 1 : s->adapter.n_virtual + p->max_length) * classes)) : NULL;
    *m = (struct firn_metrics){ .perplexity = NAN, .accuracy = NAN, .f1 = NAN, .mean_error = NAN,
                                .token_accuracy = NAN, .exact_match = NAN, .examples = d->count };
    firn_status status = t.right == NULL || t.said == NULL || t.true_ == NULL || (classes > 0 && logits == NULL)
                             ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an evaluation")
                             : firn_batches_plan(&plan, d->lengths, d->count, &how, err);
    double total = 0;
    for (uint32_t b = 0; b < plan.count && status == FIRN_OK; b++) {
        struct firn_inputs in;
        double loss = 0;
        status = firn_dataset_inputs(d, &plan, b, s, p, 0, b, &in, err);
        if (status)
            break;
        status = run_batch(s, &in, p, classes, logits, &loss, err);
        total += loss;
        m->counted += (uint64_t) in.counted;
        if (status == FIRN_OK && classifies && p->has_labels)
            count(&t, logits, &in, p);
        if (status == FIRN_OK && !classifies)
            status = read_hits(s, &in, &t, err);
        if (status == FIRN_OK && on_logits != NULL)
            on_logits(user, logits, &in, plan.order + plan.list[b].first);
        firn_inputs_free(&in);
    }
    m->loss = m->counted > 0 ? total / (double) m->counted : NAN;
    if (classifies && p->problem == FIRN_REGRESSION) {
        m->mean_error = t.entries > 0 ? t.error / (double) t.entries : NAN;
    } else if (classifies) {
        m->accuracy = t.entries > 0 ? (double) t.hits / (double) t.entries : NAN;
        m->f1 = macro_f1(&t);
    } else {
        m->perplexity = exp(m->loss);
        m->token_accuracy = t.tokens > 0 ? (double) t.right_tokens / (double) t.tokens : NAN;
        if (p->task != FIRN_TASK_MASKED_LM)
            m->exact_match = t.texts > 0 ? (double) t.right_texts / (double) t.texts : NAN;
    }
    firn_batches_free(&plan);
    free(logits);
    free(t.right);
    free(t.said);
    free(t.true_);
    return status;
}

json_t *firn_metrics_json(const struct firn_metrics *m)
{
    const struct {
        const char *name;
        double value;
    } list[] = { { "loss", m->loss }, { "perplexity", m->perplexity }, { "accuracy", m->accuracy },
                 { "f1", m->f1 }, { "mean_absolute_error", m->mean_error },
                 { "token_accuracy", m->token_accuracy }, { "exact_match", m->exact_match } };
    json_t *o = json_object();
    json_object_set_new(o, "examples", json_integer((json_int_t) m->examples));
    json_object_set_new(o, "counted", json_integer((json_int_t) m->counted));
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (isfinite(list[i].value))
            json_object_set_new(o, list[i].name, json_real(list[i].value));
    return o;
}
