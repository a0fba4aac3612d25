/* SPDX-License-Identifier: Apache-2.0 */
/* The points of a run, in memory and as JSON lines. */
#include "train/history.h"

#include "base/file.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>

firn_status firn_history_add(struct firn_history *h, const struct firn_point *point,
                             struct firn_error *err)
{
    if (h->count == h->capacity) {
        const size_t capacity = h->capacity > 0 ? 2 * h->capacity : 64;
        struct firn_point *points = realloc(h->points, capacity * sizeof *points);
        if (points == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the log");
        h->points = points;
        h->capacity = capacity;
    }
    h->points[h->count++] = *point;
    return FIRN_OK;
}

void firn_history_free(struct firn_history *h)
{
    free(h->points);
    *h = (struct firn_history){ 0 };
}

/* JSON has no NaN: a number that is not finite is left out. */
static void set_number(json_t *o, const char *key, double value)
{
    if (isfinite(value))
        json_object_set_new(o, key, json_real(value));
}

json_t *firn_point_json(const struct firn_point *p)
{
    json_t *o = json_object();
    json_object_set_new(o, "step", json_integer(p->step));
    set_number(o, "epoch", p->epoch);
    if (p->is_eval) {
        set_number(o, "eval_loss", p->eval_loss);
        set_number(o, "eval_accuracy", p->eval_accuracy);
    } else {
        set_number(o, "loss", p->loss);
        set_number(o, "grad_norm", p->grad_norm);
        set_number(o, "learning_rate", p->learning_rate);
    }
    return o;
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

firn_status firn_history_from_json(struct firn_history *h, const json_t *list,
                                   struct firn_error *err)
{
    size_t i;
    json_t *o;
    json_array_foreach ((json_t *) list, i, o) {
        const struct firn_point p = { .step = json_integer_value(json_object_get(o, "step")),
                                      .epoch = number(o, "epoch"),
                                      .loss = number(o, "loss"),
                                      .grad_norm = number(o, "grad_norm"),
                                      .learning_rate = number(o, "learning_rate"),
                                      .eval_loss = number(o, "eval_loss"),
                                      .eval_accuracy = number(o, "eval_accuracy"),
                                      .is_eval = json_object_get(o, "eval_loss") != NULL };
        const firn_status status = firn_history_add(h, &p, err);
        if (status)
            return status;
    }
    return FIRN_OK;
}

firn_status firn_history_save(const struct firn_history *h, const char *path,
                              struct firn_error *err)
{
    struct firn_str text = { 0 };
    for (size_t i = 0; i < h->count; i++) {
        json_t *o = firn_point_json(&h->points[i]);
        char *line = json_dumps(o, JSON_COMPACT);
        firn_str_add(&text, line != NULL ? line : "{}");
        firn_str_add(&text, "\n");
        free(line);
        json_decref(o);
    }
    const firn_status status =
        text.failed ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the log")
                    : firn_file_write(path, text.data != NULL ? text.data : "", text.size, err);
    firn_str_free(&text);
    return status;
}
