/* SPDX-License-Identifier: Apache-2.0 */
/* Which quantisation a recipe or a case asks for, and the bytes of quantised leaves. */
#include "model/model.h"

#include "base/str.h"
#include "tensor/quant.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *word; enum firn_dtype dtype; } kinds[] = {
    { "none", FIRN_NONE }, { "nf4", FIRN_NF4 }, { "nf4_double", FIRN_NF4_DOUBLE }, { "int8", FIRN_INT8_ROWS } };
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static firn_status bad(const char *file, const char *key, const char *expected, const json_t *got, struct firn_error *err)
{
    char *text = firn_json_dump(got, 0, false);
    const firn_status status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = key, .expected = expected,
                                         .got = text != NULL ? text : "something else");
    free(text);
    return status;
}

static firn_status by_word(const json_t *v, const char *file, const char *key, enum firn_dtype *out,
                           struct firn_error *err)
{
    const char *word = json_string_value(v);
    for (int i = 0; word != NULL && i < N_KINDS; i++)
        if (strcmp(kinds[i].word, word) == 0) {
            *out = kinds[i].dtype;
            return FIRN_OK;
        }
    return bad(file, key, "nf4, nf4_double, int8 or none", v, err);
}

/* What changes nothing: products accumulate in f32, and scales are as they are. */
static bool is_ignored(const char *key)
{
    static const char *const keys[] = { "quant_method", "bnb_4bit_compute_dtype", "bnb_4bit_quant_storage", "_load_in_4bit",
                                        "_load_in_8bit", "llm_int8_enable_fp32_cpu_offload", "llm_int8_has_fp16_weight",
                                        "llm_int8_threshold", "llm_int8_skip_modules", "applies_to", "stored" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

/* The keys of transformers' BitsAndBytesConfig, or {kind, block}. */
static firn_status by_mapping(const json_t *o, const char *file, const char *section, enum firn_dtype *out,
                              struct firn_error *err)
{
    const char *key;
    json_t *v;
    bool in_4bit = false, in_8bit = false, is_double = false;
    json_object_foreach ((json_t *) o, key, v) {
        const char *full = FIRN_STR("%s.%s", section, key);
        firn_status status = FIRN_OK;
        if (strcmp(key, "kind") == 0)
            status = by_word(v, file, full, out, err);
        else if (strcmp(key, "load_in_4bit") == 0 && json_is_boolean(v))
            in_4bit = json_is_true(v);
        else if (strcmp(key, "load_in_8bit") == 0 && json_is_boolean(v))
            in_8bit = json_is_true(v);
        else if (strcmp(key, "bnb_4bit_use_double_quant") == 0 && json_is_boolean(v))
            is_double = json_is_true(v);
        else if (strcmp(key, "bnb_4bit_quant_type") == 0)
            status = json_is_string(v) && strcmp(json_string_value(v), "nf4") == 0 ? FIRN_OK : bad(file, full, "nf4", v, err);
        else if (strcmp(key, "block") == 0)
            status = json_is_null(v) || (json_is_integer(v) && json_integer_value(v) == FIRN_NF4_BLOCK)
                         ? FIRN_OK
                         : bad(file, full, "64", v, err);
        else if (!is_ignored(key))
            status = bad(file, full, "load_in_4bit, load_in_8bit, bnb_4bit_quant_type or bnb_4bit_use_double_quant", v, err);
        if (status)
            return status;
    }
    if (in_4bit && in_8bit)
        return bad(file, section, "one of load_in_4bit and load_in_8bit", o, err);
    if (in_4bit || in_8bit)
        *out = in_8bit ? FIRN_INT8_ROWS : is_double ? FIRN_NF4_DOUBLE : FIRN_NF4;
    return FIRN_OK;
}

firn_status firn_quantisation_read(const json_t *value, const char *file, const char *key, enum firn_dtype *out,
                                   struct firn_error *err)
{
    *out = FIRN_NONE;
    if (value == NULL || json_is_null(value) || json_is_false(value))
        return FIRN_OK;
    return json_is_object(value) ? by_mapping(value, file, key, out, err) : by_word(value, file, key, out, err);
}

const char *firn_quantisation_word(enum firn_dtype dtype)
{
    for (int i = 0; i < N_KINDS; i++)
        if (kinds[i].dtype == dtype)
            return kinds[i].word;
    return kinds[0].word;
}

static firn_status encode(const struct firn_value *leaf, const struct firn_tensor *from, bool is_transposed, void **data,
                          struct firn_error *err)
{
    struct firn_tensor t = { leaf->dtype, leaf->shape, malloc(firn_tensor_bytes(leaf->dtype, &leaf->shape) + 8) };
    firn_status status = t.data != NULL ? firn_quant_encode(&t, from, is_transposed, err)
                                        : firn_fail(err, FIRN_ERR_MEMORY, .key = leaf->name, .what = "out of memory for it");
    if (status) {
        free(t.data);
        t.data = NULL;
    }
    *data = t.data;
    return status;
}

/* A matrix that files hold as [in, out] is quantised as [out, in], as the leaf is; a square one too. */
firn_status firn_quantise_leaf(const struct firn_model *m, const struct firn_value *leaf, const struct firn_tensor *from,
                               void **data, struct firn_error *err)
{
    char module[512];
    const char *dot = strrchr(leaf->name, '.');
    firn_format(module, sizeof module, "%.*s", dot != NULL ? (int) (dot - leaf->name) : 0, leaf->name);
    return encode(leaf, from, firn_arch_is_conv1d(m->arch, module), data, err);
}

bool firn_model_quantises(const struct firn_model *m, const char *path)
{
    for (const char *part = path; m->quantised != FIRN_NONE && part != NULL; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL) {
        const size_t n = strcspn(part, "."), digits = strspn(part, "0123456789");
        if (n > 0 && digits == n && part[n] == '.')
            return true;
    }
    return false;
}

firn_status firn_quantise_codes(enum firn_dtype dtype, const struct firn_shape *shape, const float *w, void **codes,
                                struct firn_error *err)
{
    const struct firn_value leaf = { .dtype = dtype, .shape = *shape, .name = (char *) "a matrix" };
    const struct firn_tensor from = { FIRN_F32, *shape, (void *) (uintptr_t) w };
    return encode(&leaf, &from, false, codes, err);
}

firn_status firn_quantise_values(enum firn_dtype dtype, const struct firn_shape *shape, float *w, struct firn_error *err)
{
    struct firn_tensor t = { dtype, *shape, NULL };
    const firn_status status = firn_quantise_codes(dtype, shape, w, &t.data, err);
    if (status == FIRN_OK)
        firn_tensor_read_f32(&t, 0, firn_shape_count(shape), w);
    free(t.data);
    return status;
}
