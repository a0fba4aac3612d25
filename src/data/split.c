/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the validation rows by a seeded shuffle and moves them. */
#include "data/split.h"

#include "base/rng.h"
#include "base/str.h"

#include <stdlib.h>

enum { STREAM_SPLIT = 0x73706c74, STREAM_SAMPLE = 0x736d706c };

firn_status firn_table_split(struct firn_table *t, double fraction, uint64_t seed,
                             struct firn_table *validation, struct firn_error *err)
{
    *validation = (struct firn_table){ 0 };
    if (!(fraction > 0 && fraction < 1))
        return firn_fail(err, FIRN_ERR_USAGE, .file = t->path, .key = "validation split",
                         .expected = "a fraction between 0 and 1", .got = FIRN_STR("%g", fraction));
    if (t->count < 2 || t->count > UINT32_MAX)
        return firn_fail(err, FIRN_ERR_USAGE, .file = t->path, .key = "validation split",
                         .expected = "at least 2 examples", .got = FIRN_STR("%zu", t->count));
    size_t n = (size_t) (fraction * (double) t->count + 0.5);
    n = n < 1 ? 1 : n > t->count - 1 ? t->count - 1 : n;
    uint32_t *order = malloc(t->count * sizeof *order);
    bool *is_chosen = calloc(t->count, sizeof *is_chosen);
    struct firn_row *rows = malloc(n * sizeof *rows);
    firn_status s =
        order == NULL || is_chosen == NULL || rows == NULL
            ? firn_fail(err, FIRN_ERR_MEMORY, .file = t->path, .what = "no memory to split it")
            : firn_table_name(validation, t->path != NULL ? t->path : "table", err);
    if (s == FIRN_OK) {
        firn_shuffle(seed, STREAM_SPLIT, 0, order, t->count);
        for (size_t i = 0; i < n; i++)
            is_chosen[order[i]] = true;
        size_t n_kept = 0, n_moved = 0;
        for (size_t i = 0; i < t->count; i++) {
            if (is_chosen[i])
                rows[n_moved++] = t->rows[i];
            else
                t->rows[n_kept++] = t->rows[i];
        }
        t->count = n_kept;
        validation->rows = rows;
        validation->count = validation->capacity = n_moved;
        rows = NULL;
    }
    free(order);
    free(is_chosen);
    free(rows);
    return s;
}

firn_status firn_table_sample(struct firn_table *t, size_t count, uint64_t seed, struct firn_error *err)
{
    if (t->count <= count)
        return FIRN_OK;
    uint32_t *order = t->count <= UINT32_MAX ? malloc(t->count * sizeof *order) : NULL;
    bool *stays = calloc(t->count, sizeof *stays);
    if (order == NULL || stays == NULL) {
        free(order);
        free(stays);
        return firn_fail(err, FIRN_ERR_MEMORY, .file = t->path, .what = "no memory to take a sample of it");
    }
    firn_shuffle(seed, STREAM_SAMPLE, 0, order, t->count);
    for (size_t i = 0; i < count; i++)
        stays[order[i]] = true;
    size_t n = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (stays[i])
            t->rows[n++] = t->rows[i];
        else
            json_decref(t->rows[i].values);
    }
    t->count = n;
    free(order);
    free(stays);
    return FIRN_OK;
}
