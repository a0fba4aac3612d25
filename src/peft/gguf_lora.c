/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA between PEFT's files and llama.cpp's: the same two factors under other names, with one alpha for all. llama.cpp adds
 * alpha / r B A to a matrix whose rows, for q and k of llama models, are in another order; a table's A is turned. */
#include "peft/gguf_lora.h"

#include "base/file.h"
#include "base/str.h"
#include "model/gguf_model.h"
#include "peft/files.h"
#include "peft/keys.h"
#include "peft/match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "base_model.model."

static const struct arch { const char *model_type, *gguf; } archs[] = {
    { "llama", "llama" }, { "mistral", "llama" }, { "qwen2", "qwen2" }, { "qwen3", "qwen3" }, { "gemma2", "gemma2" },
    { "gemma3_text", "gemma3" },
};

static firn_status find_arch(const struct firn_model *m, const struct arch **arch, struct firn_error *err)
{
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++)
        if (strcmp(archs[i].model_type, m->arch->model_type) == 0) {
            *arch = &archs[i];
            return FIRN_OK;
        }
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = m->directory, .key = "model_type",
                     .expected = "llama, mistral, qwen2, qwen3, gemma2 or gemma3_text for a GGUF adapter",
                     .got = m->arch->model_type);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* Rows that alternate in llama.cpp's matrices: the head size, else 0. */
static int64_t turned_by(const struct firn_model *m, const struct arch *arch, const char *path)
{
    const bool is_turned = ends_with(path, ".q_proj") || ends_with(path, ".k_proj");
    return is_turned && strcmp(arch->gguf, "llama") == 0 ? m->config.head_dim : 0;
}

/* ---- from PEFT ---- */

struct source {
    const struct firn_model *m;
    const struct arch *arch;
    const char *config_path, *path; /* adapter_config.json and adapter_model.safetensors */
    json_t *config;
    struct firn_safetensors file;
    struct firn_numbers alphas;
    double alpha;
    bool is_rslora;
    struct firn_tensors made;
};

static firn_status refuse(const struct source *s, const char *key, const char *expected, const char *got,
                          struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = s->config_path, .key = key, .expected = expected, .got = got);
}

static firn_status read_settings(struct source *s, struct firn_error *err)
{
    const char *type = json_string_value(json_object_get(s->config, "peft_type"));
    const char *bias = json_string_value(json_object_get(s->config, "bias"));
    const char *init = json_string_value(json_object_get(s->config, "init_lora_weights"));
    const json_t *alpha = json_object_get(s->config, "lora_alpha");
    if (type == NULL || strcmp(type, "LORA") != 0)
        return refuse(s, "peft_type", "LORA: GGUF holds no other adapters", type != NULL ? type : "none", err);
    if (!firn_is_unset(json_object_get(s->config, "use_dora")))
        return refuse(s, "use_dora", "false: GGUF has no magnitudes", "true", err);
    if (bias != NULL && strcmp(bias, "none") != 0)
        return refuse(s, "bias", "none: GGUF adapters hold no biases", bias, err);
    if (init != NULL && (strncmp(init, "pissa", 5) == 0 || strcmp(init, "olora") == 0 || strcmp(init, "corda") == 0))
        return refuse(s, "init_lora_weights", "an adapter of the base as it is (convert it first)", init, err);
    s->alpha = json_is_number(alpha) ? json_number_value(alpha) : 8;
    s->is_rslora = json_is_true(json_object_get(s->config, "use_rslora"));
    return firn_numbers_open(&s->alphas, json_object_get(s->config, "alpha_pattern"), false, s->config_path, "alpha_pattern",
                             err);
}

/* What B is multiplied with, so that alpha / r of the file gives the module's own scale. */
static double factor_of(const struct source *s, const char *path, int64_t r)
{
    const double alpha = firn_numbers_find(&s->alphas, path, s->alpha), own = s->is_rslora ? alpha * sqrt((double) r) : alpha;
    return s->alpha != 0 ? own / s->alpha : own;
}

/* The pair of a module: A under `a`, of shape [r, in] (a table: [r, rows]), and B [out, r]. */
static firn_status write_pair(struct source *s, const char *a, bool is_table, struct firn_gguf_writer *w,
                              struct firn_error *err)
{
    const char *const ends[2][2] = { { ".lora_A.weight", ".lora_B.weight" }, { ".lora_embedding_A", ".lora_embedding_B" } };
    const int n = (int) (strlen(a) - strlen(ends[is_table][0]));
    const char *path = FIRN_STR("%.*s", n - (int) strlen(PREFIX), a + strlen(PREFIX));
    const struct firn_tensor *A = firn_safetensors_find(&s->file, a);
    const struct firn_tensor *B = firn_safetensors_find(&s->file, FIRN_STR("%.*s%s", n, a, ends[is_table][1]));
    char name[128];
    if (!firn_gguf_name(FIRN_STR("%s.weight", path), name, sizeof name))
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = s->path, .key = path,
                         .what = "is a module that GGUF has no name for");
    if (s->m->config.tie_embeddings && strcmp(path, "lm_head") == 0)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = s->path, .key = path,
                         .what = "has no matrix of its own in a GGUF file of this model, whose embeddings are tied");
    if (B == NULL || A->shape.rank != 2 || B->shape.rank != 2 || A->shape.dim[0] != B->shape.dim[1] ||
        !firn_dtype_is_float(A->dtype) || !firn_dtype_is_float(B->dtype))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = s->path, .key = path, .expected = "factors that fit each other",
                         .got = B != NULL ? FIRN_STR("%s and %s", FIRN_SHAPE_STR(&A->shape), FIRN_SHAPE_STR(&B->shape)) : "one");
    const int64_t r = A->shape.dim[0], in = A->shape.dim[1], out = B->shape.dim[0], dim = turned_by(s->m, s->arch, path);
    if (dim > 0 && out % dim != 0)
        return firn_fail(err, FIRN_ERR_SHAPE, .file = s->path, .key = path,
                         .expected = FIRN_STR("rows of heads of %lld", (long long) dim), .got = FIRN_STR("%lld", (long long) out));
    const struct firn_shape a_shape = is_table ? firn_dims(in, r) : firn_dims(r, in), b_shape = firn_dims(out, r);
    const char *a_name = FIRN_STR("%s.lora_a", name), *b_name = FIRN_STR("%s.lora_b", name);
    float *x = firn_tensors_put(&s->made, a_name, a_shape), *y = firn_tensors_put(&s->made, b_name, b_shape);
    if (x == NULL || y == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter");
    for (int64_t i = 0; i < r; i++) /* rows of A; a table's become columns */
        for (int64_t j = 0; j < in && is_table; j++)
            firn_tensor_read_f32(A, i * in + j, 1, x + j * r + i);
    if (!is_table)
        firn_tensor_read_f32(A, 0, r * in, x);
    const float factor = (float) factor_of(s, path, r);
    for (int64_t i = 0; i < out; i++) {
        float *row = y + (dim > 0 ? firn_gguf_row(i, dim) : i) * r;
        firn_tensor_read_f32(B, i * r, r, row);
        for (int64_t k = 0; k < r && factor != 1; k++)
            row[k] *= factor;
    }
    firn_gguf_put_tensor(w, a_name, &a_shape, x);
    firn_gguf_put_tensor(w, b_name, &b_shape, y);
    return FIRN_OK;
}

static firn_status write_tensors(struct source *s, struct firn_gguf_writer *w, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    size_t n_pairs = 0;
    for (size_t i = 0; i < s->file.count && status == FIRN_OK; i++) {
        const char *name = s->file.tensors[i].name;
        const bool is_a = ends_with(name, ".lora_A.weight"), is_table = ends_with(name, ".lora_embedding_A");
        const bool is_b = ends_with(name, ".lora_B.weight") || ends_with(name, ".lora_embedding_B");
        if ((!is_a && !is_table && !is_b) || strncmp(name, PREFIX, strlen(PREFIX)) != 0)
            status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = s->path, .key = name,
                               .expected = "factors of LoRA only: GGUF adapters hold nothing else", .got = "another tensor");
        else if (!is_b)
            status = write_pair(s, name, is_table, w, err);
        n_pairs += is_a || is_table;
    }
    if (status == FIRN_OK && n_pairs == 0)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = s->path, .expected = "factors of LoRA", .got = "none");
    return status;
}

firn_status firn_gguf_write_lora(const struct firn_model *m, const char *adapter, const char *path,
                                 struct firn_error *err)
{
    struct source s = { .m = m };
    char *config = firn_path_join(adapter, "adapter_config.json");
    char *file = firn_path_join(adapter, "adapter_model.safetensors");
    struct firn_gguf_writer *w = firn_gguf_writer_create();
    firn_status status = config != NULL && file != NULL && w != NULL
                             ? find_arch(m, &s.arch, err)
                             : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter");
    s.config_path = config;
    s.path = file;
    if (status == FIRN_OK)
        status = firn_json_load(config, &s.config, err);
    if (status == FIRN_OK)
        status = read_settings(&s, err);
    if (status == FIRN_OK)
        status = firn_safetensors_open(&s.file, file, err);
    if (status == FIRN_OK) {
        firn_gguf_put_text(w, "general.architecture", s.arch->gguf);
        firn_gguf_put_text(w, "general.type", "adapter");
        firn_gguf_put_u32(w, "general.file_type", 0); /* all f32 */
        firn_gguf_put_text(w, "adapter.type", "lora");
        firn_gguf_put_f32(w, "adapter.lora.alpha", s.alpha != 0 ? (float) s.alpha : 1);
        status = write_tensors(&s, w, err);
    }
    if (status == FIRN_OK)
        status = firn_gguf_writer_finish(&w, path, err);
    else
        firn_gguf_writer_abandon(&w);
    firn_tensors_free(&s.made);
    firn_numbers_close(&s.alphas);
    firn_safetensors_close(&s.file);
    json_decref(s.config);
    free(config);
    free(file);
    return status;
}

/* ---- to PEFT ---- */

struct target {
    const struct firn_model *m;
    const struct arch *arch;
    struct firn_gguf g;
    double alpha;
    int64_t r; /* of the first module; others stand in rank_pattern */
    json_t *modules, *ranks, *alphas;
    struct firn_tensors made;
};

static firn_status check_file(struct target *t, struct firn_error *err)
{
    char text[64];
    static const struct { const char *key, *value; } want[] = { { "general.type", "adapter" }, { "adapter.type", "lora" } };
    for (int i = 0; i < 2; i++)
        if (!firn_gguf_is_text(&t->g, want[i].key, want[i].value))
            return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = t->g.path, .key = want[i].key, .expected = want[i].value,
                             .got = firn_gguf_text(&t->g, want[i].key, text, sizeof text));
    if (!firn_gguf_is_text(&t->g, "general.architecture", t->arch->gguf))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->g.path, .key = "general.architecture",
                         .expected = FIRN_STR("%s, as the model", t->arch->gguf),
                         .got = firn_gguf_text(&t->g, "general.architecture", text, sizeof text));
    if (!firn_gguf_number(&t->g, "adapter.lora.alpha", &t->alpha) || !(fabs(t->alpha) < 1e9))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->g.path, .key = "adapter.lora.alpha", .expected = "a number",
                         .got = "something else");
    return FIRN_OK;
}

/* A factor as PEFT has it, in a tensor of its own. */
static firn_status put_factor(struct target *t, const struct firn_gguf_tensor *from, const char *name, bool is_turned,
                              int64_t head_dim, struct firn_error *err)
{
    const int64_t rows = from->shape.dim[0], cols = from->shape.dim[1];
    float *x = firn_tensors_put(&t->made, name, is_turned ? firn_dims(cols, rows) : from->shape);
    if (x == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter");
    const struct firn_packed p = { from->data, from->type, cols, head_dim };
    if (!is_turned)
        firn_packed_read(&p, 0, rows * cols, x);
    for (int64_t i = 0; i < rows && is_turned; i++)
        for (int64_t j = 0; j < cols; j++)
            firn_packed_read(&p, i * cols + j, 1, x + j * rows + i);
    return FIRN_OK;
}

static firn_status read_pair(struct target *t, const struct firn_gguf_tensor *a, const char *name, struct firn_error *err)
{
    char path[256];
    const struct firn_gguf_tensor *b = firn_gguf_tensor(&t->g, FIRN_STR("%s.lora_b", name));
    if (!ends_with(name, ".weight") || !firn_gguf_path(name, path, sizeof path))
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = t->g.path, .key = a->name, .what = "is of no layer of this model");
    path[strlen(path) - strlen(".weight")] = '\0';
    const bool is_table = strcmp(path, "model.embed_tokens") == 0, fits = b != NULL && a->shape.rank == 2 && b->shape.rank == 2;
    const int64_t r = fits ? b->shape.dim[1] : 0;
    if (!fits || a->shape.dim[is_table ? 1 : 0] != r)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->g.path, .key = a->name, .expected = "factors that fit each other",
                         .got = b != NULL ? FIRN_STR("%s and %s", FIRN_SHAPE_STR(&a->shape), FIRN_SHAPE_STR(&b->shape)) : "one");
    if (firn_gguf_type_name(a->type) == NULL || firn_gguf_type_name(b->type) == NULL)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = t->g.path, .key = a->name,
                         .expected = "F32, F16, BF16, Q8_0 or Q4_0", .got = FIRN_STR("type %u and %u", a->type, b->type));
    const int64_t dim = turned_by(t->m, t->arch, path);
    if (dim > 0 && b->shape.dim[0] % dim != 0)
        return firn_fail(err, FIRN_ERR_SHAPE, .file = t->g.path, .key = b->name,
                         .expected = FIRN_STR("rows of heads of %lld", (long long) dim), .got = FIRN_SHAPE_STR(&b->shape));
    t->r = t->r == 0 ? r : t->r;
    if (r != t->r)
        json_object_set_new(t->ranks, path, json_integer(r));
    if (t->alpha == 0 && r != t->r) /* stands for a scale of one */
        json_object_set_new(t->alphas, path, json_integer(r));
    json_array_append_new(t->modules, json_string(path));
    const char *A = FIRN_STR(PREFIX "%s%s", path, is_table ? ".lora_embedding_A" : ".lora_A.weight");
    firn_status status = put_factor(t, a, A, is_table, 0, err);
    if (status == FIRN_OK)
        status = put_factor(t, b, FIRN_STR(PREFIX "%s%s", path, is_table ? ".lora_embedding_B" : ".lora_B.weight"), false, dim,
                            err);
    return status;
}

static firn_status read_tensors(struct target *t, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < t->g.n_tensors && status == FIRN_OK; i++) {
        const struct firn_gguf_tensor *a = &t->g.tensors[i];
        if (ends_with(a->name, ".lora_a"))
            status = read_pair(t, a, FIRN_STR("%.*s", (int) (strlen(a->name) - strlen(".lora_a")), a->name), err);
        else if (!ends_with(a->name, ".lora_b"))
            status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = t->g.path, .key = a->name,
                               .expected = "names that end in lora_a or lora_b", .got = "another tensor");
    }
    if (status == FIRN_OK && t->r == 0)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = t->g.path, .expected = "factors of LoRA", .got = "none");
    return status;
}

static firn_status write_config(const struct target *t, const char *base, const char *path, struct firn_error *err)
{
    const double alpha = t->alpha != 0 ? t->alpha : (double) t->r;
    json_t *config = json_pack("{s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:f,s:n,s:b,s:b}", "peft_type", "LORA", "task_type", "CAUSAL_LM",
                               "base_model_name_or_path", base, "bias", "none", "fan_in_fan_out", 0, "inference_mode", 1,
                               "init_lora_weights", 1, "lora_dropout", 0.0, "modules_to_save", "use_dora", 0, "use_rslora", 0);
    if (config == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter");
    json_object_set_new(config, "r", json_integer(t->r));
    json_object_set_new(config, "lora_alpha", alpha == floor(alpha) ? json_integer((json_int_t) alpha) : json_real(alpha));
    json_object_set(config, "target_modules", t->modules);
    json_object_set(config, "rank_pattern", t->ranks);
    json_object_set(config, "alpha_pattern", t->alphas);
    const firn_status status = firn_json_save(path, config, true, err);
    json_decref(config);
    return status;
}

firn_status firn_gguf_read_lora(const struct firn_model *m, const char *path, const char *base, const char *directory,
                                struct firn_error *err)
{
    struct target t = { .m = m, .modules = json_array(), .ranks = json_object(), .alphas = json_object() };
    char *config = firn_path_join(directory, "adapter_config.json");
    char *file = firn_path_join(directory, "adapter_model.safetensors");
    const bool made = config != NULL && file != NULL && t.modules != NULL && t.ranks != NULL && t.alphas != NULL;
    firn_status status = made ? find_arch(m, &t.arch, err)
                              : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter");
    if (status == FIRN_OK)
        status = firn_gguf_open(&t.g, path, err);
    if (status == FIRN_OK)
        status = check_file(&t, err);
    if (status == FIRN_OK)
        status = read_tensors(&t, err);
    if (status == FIRN_OK)
        status = firn_dir_create(directory, err);
    if (status == FIRN_OK)
        status = firn_safetensors_save(file, t.made.list, t.made.count, err);
    if (status == FIRN_OK)
        status = write_config(&t, base, config, err);
    firn_tensors_free(&t.made);
    firn_gguf_close(&t.g);
    json_decref(t.modules);
    json_decref(t.ranks);
    json_decref(t.alphas);
    free(config);
    free(file);
    return status;
}
