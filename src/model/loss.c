/* SPDX-License-Identifier: Apache-2.0 */
/* What follows the body: a task's head, its logits, its loss. */
#include "model/loss.h"

static firn_val class_loss(struct firn_build *b, firn_val logits, int64_t rows, firn_val *hits)
{
    const struct firn_build_params *p = b->p;
    const firn_val scale = firn_graph_leaf(b->g, FIRN_LEAF_INPUT, "scale", FIRN_F32, firn_dims(1));
    firn_val loss, dlogits;
    if (hits != NULL)
        *hits = firn_best_label(b->g, logits, firn_input(b, "labels", firn_dims(rows)));
    if (p->problem == FIRN_SINGLE_LABEL) {
        firn_cross_entropy(b->g, logits, firn_input(b, "labels", firn_dims(rows)), scale, p->smoothing, &loss,
                           &dlogits);
    } else {
        const firn_val targets = firn_graph_leaf(b->g, FIRN_LEAF_INPUT, "targets", FIRN_F32,
                                                 firn_dims(rows, p->n_labels));
        if (p->problem == FIRN_REGRESSION)
            firn_squared_error(b->g, logits, targets, scale, &loss, &dlogits);
        else
            firn_binary_cross_entropy(b->g, logits, targets, scale, &loss, &dlogits);
    }
    const bool wanted = firn_wants(b->g, logits);
    return firn_attach_grad(b->g, firn_sum(b->g, loss), &logits, &dlogits, wanted ? 1 : 0);
}

static void place_output(struct firn_build *b, const char *name, firn_val x)
{
    if (firn_is_value(x))
        firn_graph_place(b->g, x, firn_graph_leaf(b->g, FIRN_LEAF_OUTPUT, name, FIRN_F32, firn_val_shape(b->g, x)));
}

static firn_val cap(struct firn_build *b, firn_val logits, float softcap)
{
    if (softcap <= 0)
        return logits;
    return firn_scale(b->g, firn_activate(b->g, FIRN_TANH, firn_scale(b->g, logits, 1 / softcap)), softcap);
}

/* Of a language model: every row, or the picked ones. */
static firn_val logits_of(struct firn_build *b, const struct firn_head *head)
{
    const bool picks = b->p->picked_logits && firn_is_value(head->h);
    const firn_val x = firn_is_value(head->logits) ? head->logits : head->h;
    const firn_val rows = picks ? firn_pick_rows(b->g, x, firn_input(b, "pick", firn_dims(b->p->batch))) : x;
    if (firn_is_value(head->logits))
        return rows;
    return cap(b, firn_matmul(b->g, rows, head->w, firn_matmul_params(.trans_b = true, .bias = head->bias)),
               head->softcap);
}

/* Once a step: each of its micro-batches has its share. */
static firn_val with_penalty(struct firn_build *b)
{
    const struct firn_method *method = firn_hooks(b);
    if (b->p->is_step && method != NULL && method->penalty != NULL)
        b->penalty = method->penalty(b->adapter->settings, b);
    if (!firn_is_value(b->penalty))
        return b->loss;
    b->share = firn_graph_leaf(b->g, FIRN_LEAF_INPUT, "share", FIRN_F32, firn_dims(1));
    return firn_add(b->g, b->loss, firn_mul(b->g, b->penalty, b->share));
}

void firn_build_outputs(struct firn_build *b, const struct firn_head *given)
{
    struct firn_head capped = *given;
    const struct firn_head *head = &capped;
    if (firn_is_value(capped.logits))
        capped.logits = cap(b, capped.logits, capped.softcap);
    const struct firn_build_params *p = b->p;
    const int64_t rows = p->task == FIRN_TASK_SEQ_CLS ? p->batch : firn_n_outputs(b);
    if (p->task == FIRN_TASK_EMBEDDING) {
        place_output(b, "hidden", head->h);
        place_output(b, "pooled", head->pooled);
        return;
    }
    if (p->wants_logits)
        place_output(b, "logits", logits_of(b, head));
    if (!p->has_loss)
        return;
    firn_val hits = { 0 };
    if (firn_is_value(head->logits)) {
        b->loss = class_loss(b, head->logits, rows, p->wants_hits ? &hits : NULL);
    } else {
        const firn_val scale = firn_graph_leaf(b->g, FIRN_LEAF_INPUT, "scale", FIRN_F32, firn_dims(1));
        const struct firn_linear_loss_params loss = { .bias = head->bias, .smoothing = p->smoothing,
                                                      .softcap = head->softcap, .hits = p->wants_hits ? &hits : NULL };
        b->loss = firn_linear_loss(b->g, head->h, head->w, firn_input(b, "labels", firn_dims(rows)), scale, &loss);
    }
    place_output(b, "loss", with_penalty(b));
    place_output(b, "hits", hits);
}
