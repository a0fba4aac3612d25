/* SPDX-License-Identifier: Apache-2.0 */
/* The quantised matrices of a session as they lie on its device, under the names of recorded cases. */
#include "train/dump.h"

#include "base/str.h"
#include "tensor/quant.h"

#include <stdlib.h>
#include <string.h>

/* "nf4.codes.", ...: the parts of a matrix. */
static const char *const parts[] = { "codes", "absmax", "scale", "dequantized" };

static const struct firn_value *find_leaf(const struct firn_graph *g, const char *module)
{
    const char *name = FIRN_STR("%s.weight", module);
    for (uint32_t id = 1; id < firn_graph_n_values(g); id++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
        if (v->node == FIRN_NO_NODE && v->leaf == FIRN_LEAF_WEIGHT && firn_dtype_is_quantised(v->dtype) &&
            strcmp(v->name, name) == 0)
            return v;
    }
    return NULL;
}

/* One part of the matrix `t`, read back from the device. */
static bool add(struct firn_dump *d, const char *name, const char *part, const struct firn_tensor *t)
{
    const bool is_int8 = t->dtype == FIRN_INT8_ROWS;
    const int64_t count = firn_shape_count(&t->shape), n_scales = firn_quant_n_scales(t);
    if (strcmp(part, "codes") == 0)
        return firn_dump_add(d, name, is_int8 ? FIRN_I8 : FIRN_U8, is_int8 ? t->shape : firn_dims((count + 1) / 2),
                             t->data) != NULL;
    if (strcmp(part, "dequantized") == 0) {
        float *out = firn_dump_add(d, name, FIRN_F32, t->shape, NULL);
        if (out != NULL)
            firn_tensor_read_f32(t, 0, count, out);
        return out != NULL;
    }
    float *out = firn_dump_add(d, name, FIRN_F32, firn_dims(n_scales), NULL);
    for (int64_t i = 0; i < n_scales && out != NULL; i++)
        out[i] = firn_quant_scale(t, i);
    return out != NULL;
}

static firn_status add_parts(struct firn_dump *d, struct firn_session *s, const struct firn_value *leaf,
                             const char *only, struct firn_error *err)
{
    struct firn_tensor t = { leaf->dtype, leaf->shape, NULL };
    const size_t size = firn_tensor_bytes(t.dtype, &t.shape);
    const bool is_int8 = leaf->dtype == FIRN_INT8_ROWS;
    const int length = (int) (strlen(leaf->name) - strlen(".weight"));
    t.data = malloc(size + 8);
    firn_status status = t.data != NULL ? firn_store_read(s->store, leaf->name, 0, t.data, size, err)
                                        : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a matrix");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && status == FIRN_OK; i++) {
        const char *name = FIRN_STR("%s.%s.%.*s", is_int8 ? "int8" : "nf4", parts[i], length, leaf->name);
        if (only != NULL ? strcmp(only, name) != 0 : strcmp(parts[i], is_int8 ? "absmax" : "scale") == 0)
            continue;
        if (!add(d, name, parts[i], &t))
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a dump");
    }
    free(t.data);
    return status;
}

firn_status firn_dump_quantised(struct firn_dump *d, struct firn_session *s, const json_t *stored, struct firn_error *err)
{
    const struct firn_graph *g = s->n_plans > 0 ? s->plans[0]->graph : NULL;
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < json_array_size(stored) && g != NULL && status == FIRN_OK; i++) {
        const char *name = json_string_value(json_array_get(stored, i));
        const char *dot = name != NULL ? strchr(name, '.') : NULL, *module = dot != NULL ? strchr(dot + 1, '.') : NULL;
        const struct firn_value *leaf = module != NULL ? find_leaf(g, module + 1) : NULL;
        if (leaf != NULL)
            status = add_parts(d, s, leaf, name, err);
    }
    for (uint32_t id = 1; !json_is_array(stored) && g != NULL && id < firn_graph_n_values(g) && status == FIRN_OK; id++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
        if (v->node == FIRN_NO_NODE && v->leaf == FIRN_LEAF_WEIGHT && firn_dtype_is_quantised(v->dtype))
            status = add_parts(d, s, v, NULL, err);
    }
    return status;
}
