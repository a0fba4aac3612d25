/* SPDX-License-Identifier: Apache-2.0 */
/* Methods that PEFT has no type for (head only, BitFit) write a LoRA of rank 1 on one layer whose update is zero, with their
 * own tensors as its biases and saved modules: PEFT loads that, and so does firn. */
#include "peft/files.h"

#include <stdlib.h>
#include <string.h>

/* The LoRA that holds what `a` trains; close it also when this fails. */
static firn_status open_host(struct firn_adapter *host, const struct firn_adapter *a, struct firn_model *m,
                             const struct firn_build_params *p, float **flat, struct firn_error *err)
{
    json_t *config = json_loads(a->method->saves_as, 0, NULL);
    memset(host, 0, sizeof *host);
    *flat = NULL;
    if (config == NULL || a->first_linear == NULL) {
        json_decref(config);
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = m->directory, .key = a->method->name,
                         .expected = "a model with a linear layer below its head", .got = "none");
    }
    json_object_set_new(config, "r", json_integer(1));
    json_object_set_new(config, "lora_alpha", json_integer(1));
    json_object_set_new(config, "target_modules", json_pack("[s]", a->first_linear));
    firn_status status = firn_adapter_open(host, m, p->task, config, "adapter_config.json", "", err);
    host->params.decays_all = true;
    if (status == FIRN_OK)
        status = firn_model_collect(m, host, p, NULL, err);
    if (status == FIRN_OK)
        *flat = calloc((size_t) host->params.flat + 1, sizeof **flat);
    if (status == FIRN_OK)
        status = *flat != NULL ? firn_adapter_init(host, m, 0, *flat, err)
                               : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter's files");
    json_decref(config);
    return status;
}

/* Copies each tensor to the one that stands for the same tensor of the base. */
static firn_status copy_over(const struct firn_adapter *of, const float *flat, const struct firn_adapter *host,
                             float *held, struct firn_error *err)
{
    for (size_t i = 0; i < of->params.count; i++) {
        const struct firn_param *p = &of->params.list[i], *q = NULL;
        for (size_t k = 0; k < host->params.count && q == NULL; k++) {
            const struct firn_param *it = &host->params.list[k];
            if (it->base != NULL && strcmp(it->base, p->base) == 0 && firn_shape_eq(&it->shape, &p->shape))
                q = it;
        }
        if (q == NULL)
            return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = p->name, .what = "has no place in a file of PEFT's");
        memcpy(held + q->offset, flat + p->offset, sizeof *flat * (size_t) firn_shape_count(&p->shape));
    }
    return FIRN_OK;
}

firn_status firn_lora_save(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                           float *flat, const char *directory, const struct firn_save_params *save,
                           struct firn_error *err)
{
    struct firn_adapter host;
    float *held;
    firn_status status = open_host(&host, a, m, p, &held, err);
    if (status == FIRN_OK)
        status = copy_over(a, flat, &host, held, err);
    if (status == FIRN_OK)
        status = firn_adapter_save(&host, m, p, held, directory, save, err);
    firn_adapter_close(&host);
    free(held);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A name in the file as the model's own: without PEFT's prefix and without what a wrapped layer puts before its bias. */
static const char *plain_name(const char *name, char *text, size_t size)
{
    static const char prefix[] = "base_model.model.", wrapped[] = ".base_layer.bias";
    const size_t skip = strncmp(name, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0, n = strlen(name);
    if (ends_with(name, wrapped) && n > skip + sizeof wrapped)
        firn_format(text, size, "%.*s.bias", (int) (n - skip - (sizeof wrapped - 1)), name + skip);
    else
        firn_format(text, size, "%s", name + skip);
    return text;
}

static bool is_zero(const struct firn_tensor *t)
{
    double x;
    for (int64_t i = 0; i < firn_shape_count(&t->shape); i++) {
        firn_tensor_read_f64(t, i, 1, &x);
        if (x != 0)
            return false;
    }
    return true;
}

/* What else such a file may hold: an update that is zero, and PEFT's second copies and names. */
static bool is_idle(const struct firn_named_tensor *t)
{
    if (ends_with(t->name, ".lora_B.weight"))
        return firn_dtype_is_float(t->tensor.dtype) && is_zero(&t->tensor);
    return ends_with(t->name, ".lora_A.weight") || ends_with(t->name, ".decoder.bias") ||
           strstr(t->name, ".original_module.") != NULL || strstr(t->name, ".modules_to_save.") != NULL;
}

firn_status firn_lora_read(const struct firn_adapter *a, const struct firn_safetensors *file, float *flat,
                           struct firn_error *err)
{
    bool *found = calloc(a->params.count + 1, sizeof *found);
    firn_status status = found != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter");
    for (size_t i = 0; i < file->count && status == FIRN_OK; i++) {
        char text[600];
        const struct firn_named_tensor *t = &file->tensors[i];
        const struct firn_param *p = firn_params_find(&a->params, plain_name(t->name, text, sizeof text));
        if (p != NULL) {
            found[p - a->params.list] = true;
            status = firn_param_read(p, &t->tensor, file->path, t->name, flat, err);
        } else if (!is_idle(t)) {
            status = firn_fail(err, FIRN_ERR_FORMAT, .file = file->path, .key = t->name,
                               .what = FIRN_STR("is no tensor of a %s adapter of this model", a->method->name));
        }
    }
    for (size_t i = 0; i < a->params.count && status == FIRN_OK; i++)
        if (!found[i])
            status = firn_fail(err, FIRN_ERR_FORMAT, .file = file->path, .key = a->params.list[i].name,
                               .expected = FIRN_SHAPE_STR(&a->params.list[i].shape), .got = "no such tensor");
    free(found);
    return status;
}
