/* SPDX-License-Identifier: Apache-2.0 */
/* Base matrices for who needs them on the host, and the squares of their rows: computed once, in double. */
#include "model/squares.h"

#include "base/str.h"
#include "graph/graph.h"
#include "tensor/quant.h"

#include <stdlib.h>
#include <string.h>

static const char of_rows[] = "row_squares.", of_columns[] = "column_squares.", of_codes[] = "codes:";

const struct firn_tensor *firn_model_tensor(const struct firn_model *m, const char *path)
{
    const struct firn_tensor *t = firn_weights_find(&m->weights, m->arch->prefix, path, NULL);
    return t == NULL && m->config.tie_embeddings ? firn_weights_find(&m->weights, m->arch->prefix, m->arch->table, NULL)
                                                 : t;
}

firn_status firn_model_matrix(const struct firn_model *m, const char *path, const struct firn_tensor **t,
                              struct firn_error *err)
{
    *t = firn_model_tensor(m, path);
    if (*t == NULL || (*t)->shape.rank != 2)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = m->directory, .key = path, .what = "no such matrix");
    return firn_weights_fill(&m->weights, *t, err);
}

/* The graph computes with the matrix as it was quantised. */
static bool is_quantised(const struct firn_graph *g, const char *path)
{
    for (uint32_t id = 1; id < firn_graph_n_values(g); id++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
        if (v->node == FIRN_NO_NODE && v->name != NULL && firn_dtype_is_quantised(v->dtype) && strcmp(v->name, path) == 0)
            return true;
    }
    return false;
}

firn_val firn_squares_leaf(struct firn_build *b, const char *path, bool columns, int64_t n)
{
    return firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT,
                           FIRN_STR("%s%s%s", columns ? of_columns : of_rows, is_quantised(b->g, path) ? of_codes : "", path),
                           FIRN_F32, firn_dims(n));
}

bool firn_is_squares(const char *name)
{
    return strncmp(name, of_rows, sizeof of_rows - 1) == 0 || strncmp(name, of_columns, sizeof of_columns - 1) == 0;
}

static firn_status quantise(const struct firn_model *m, const char *path, const struct firn_tensor *t,
                            struct firn_tensor *out, struct firn_error *err)
{
    char module[512];
    firn_format(module, sizeof module, "%.*s", (int) (strrchr(path, '.') - path), path);
    const bool is_conv1d = firn_arch_is_conv1d(m->arch, module);
    const struct firn_value leaf = { .dtype = m->quantised, .name = (char *) path,
                                     .shape = is_conv1d ? firn_dims(t->shape.dim[1], t->shape.dim[0]) : t->shape };
    *out = (struct firn_tensor){ leaf.dtype, leaf.shape, NULL };
    return firn_quantise_leaf(m, &leaf, t, &out->data, err);
}

firn_status firn_squares_fill(const struct firn_model *m, const struct firn_value *leaf, float *values,
                              struct firn_error *err)
{
    const bool columns = leaf->name[0] == of_columns[0];
    const char *path = leaf->name + (columns ? sizeof of_columns : sizeof of_rows) - 1;
    const bool is_coded = strncmp(path, of_codes, sizeof of_codes - 1) == 0;
    const struct firn_tensor *t;
    struct firn_tensor coded;
    void *codes = NULL;
    path += is_coded ? sizeof of_codes - 1 : 0;
    firn_status status = firn_model_matrix(m, path, &t, err);
    if (status == FIRN_OK && is_coded) {
        status = quantise(m, path, t, &coded, err);
        codes = coded.data;
        t = &coded;
    }
    if (status)
        return status;
    const int64_t rows = t->shape.dim[0], cols = t->shape.dim[1], n = columns ? cols : rows;
    assert(firn_shape_count(&leaf->shape) == n);
    float *row = malloc(sizeof *row * (size_t) (cols + 1));
    double *sums = calloc((size_t) n + 1, sizeof *sums);
    for (int64_t i = 0; i < rows && row != NULL && sums != NULL; i++) {
        firn_tensor_read_f32(t, i * cols, cols, row);
        for (int64_t j = 0; j < cols; j++)
            sums[columns ? j : i] += (double) row[j] * (double) row[j];
    }
    const bool failed = row == NULL || sums == NULL;
    for (int64_t i = 0; i < n && !failed; i++)
        values[i] = (float) sums[i];
    free(row);
    free(sums);
    free(codes);
    return failed ? firn_fail(err, FIRN_ERR_MEMORY, .key = leaf->name, .what = "out of memory for it") : FIRN_OK;
}
