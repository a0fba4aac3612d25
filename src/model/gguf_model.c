/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF models of the Llama family: keys become a config.json, tensors get Hugging Face's names. What is in a file is said
 * by llama.cpp's gguf-py (constants.py) and its converter; that one turns the rows of q and k of `llama` models. */
#include "model/gguf_model.h"

#include "base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// clang-format off
static const struct arch { const char *gguf, *model_type; } archs[] = {
    { "llama", "llama" }, { "llama", "mistral" }, { "qwen2", "qwen2" }, { "qwen3", "qwen3" },
};
/* of a layer, and of the model */
static const struct name { const char *gguf, *path; } in_layer[] = {
    { "attn_norm",   "input_layernorm" },  { "attn_q",      "self_attn.q_proj" }, { "attn_k",   "self_attn.k_proj" },
    { "attn_v",      "self_attn.v_proj" }, { "attn_output", "self_attn.o_proj" }, { "ffn_norm", "post_attention_layernorm" },
    { "attn_q_norm", "self_attn.q_norm" }, { "attn_k_norm", "self_attn.k_norm" },
    { "ffn_gate",    "mlp.gate_proj" },    { "ffn_up",      "mlp.up_proj" },      { "ffn_down", "mlp.down_proj" },
}, outside[] = { { "token_embd", "model.embed_tokens" }, { "output_norm", "model.norm" }, { "output", "lm_head" } };
// clang-format on
enum { N_IN_LAYER = sizeof in_layer / sizeof in_layer[0], N_OUTSIDE = sizeof outside / sizeof outside[0] };

const char *firn_gguf_architecture(const char *model_type)
{
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++)
        if (strcmp(archs[i].model_type, model_type) == 0)
            return archs[i].gguf;
    return NULL;
}

/* The number behind `before` in `text` and what follows it after a point. */
static bool split_layer(const char *text, const char *before, int64_t *layer, const char **rest)
{
    const size_t n = strlen(before);
    if (strncmp(text, before, n) != 0 || text[n] < '0' || text[n] > '9')
        return false;
    char *end;
    *layer = strtoll(text + n, &end, 10);
    *rest = end + 1;
    return *end == '.' && *layer < 1000000;
}

/* `part` is "weight", "bias" or nothing. */
static bool translate(const struct name *list, int n, bool to_gguf, const char *text, const char *before, char *out,
                      size_t size)
{
    for (int i = 0; i < n; i++) {
        const char *from = to_gguf ? list[i].path : list[i].gguf, *to = to_gguf ? list[i].gguf : list[i].path;
        const size_t length = strlen(from);
        if (strncmp(text, from, length) != 0 ||
            (text[length] != '\0' && strcmp(text + length, ".weight") != 0 && strcmp(text + length, ".bias") != 0))
            continue;
        const int used = snprintf(out, size, "%s%s%s", before, to, text + length);
        return used > 0 && (size_t) used < size;
    }
    return false;
}

bool firn_gguf_name(const char *path, char *name, size_t size)
{
    int64_t layer;
    const char *rest;
    if (split_layer(path, "model.layers.", &layer, &rest))
        return translate(in_layer, N_IN_LAYER, true, rest, FIRN_STR("blk.%lld.", (long long) layer), name, size);
    return translate(outside, N_OUTSIDE, true, path, "", name, size);
}

bool firn_gguf_path(const char *name, char *path, size_t size)
{
    int64_t layer;
    const char *rest;
    if (split_layer(name, "blk.", &layer, &rest))
        return translate(in_layer, N_IN_LAYER, false, rest, FIRN_STR("model.layers.%lld.", (long long) layer), path, size);
    return translate(outside, N_OUTSIDE, false, name, "", path, size);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_file(const char *path)
{
    return firn_path_exists(path) && !firn_path_is_dir(path);
}

static bool has_safetensors(const char *directory)
{
    return firn_path_exists(FIRN_STR("%s/model.safetensors", directory)) ||
           firn_path_exists(FIRN_STR("%s/model.safetensors.index.json", directory));
}

firn_status firn_gguf_locate(const char *path, char **file, struct firn_error *err)
{
    *file = NULL;
    if (ends_with(path, ".gguf") && is_file(path)) {
        *file = firn_strdup(path);
        return *file != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    }
    DIR *d = strlen(path) < 3000 && firn_path_is_dir(path) && !has_safetensors(path) ? opendir(path) : NULL;
    firn_status status = FIRN_OK;
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL && status == FIRN_OK; e = readdir(d)) {
        if (!ends_with(e->d_name, ".gguf"))
            continue;
        if (*file != NULL)
            status = firn_fail(err, FIRN_ERR_USAGE, .file = path, .expected = "one .gguf file, or the path of one of them",
                               .got = "several");
        else if ((*file = firn_path_join(path, e->d_name)) == NULL)
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    }
    if (d != NULL)
        closedir(d);
    if (status) {
        free(*file);
        *file = NULL;
    }
    return status;
}

/* What is being read. */
struct reader {
    const struct firn_gguf *g;
    const char *arch;      /* general.architecture, of the table above */
    json_t *config;
    struct firn_error *err;
};

static firn_status bad(const struct reader *r, const char *key, const char *expected, const char *got)
{
    return firn_fail(r->err, FIRN_ERR_FORMAT, .file = r->g->path, .key = key, .expected = expected, .got = got);
}

/* `key` of the file, behind the architecture's name, becomes the number `name` of config.json. */
static firn_status number(const struct reader *r, const char *key, const char *name, bool is_whole, bool is_required)
{
    const char *full = key[0] == '.' ? FIRN_STR("%s%s", r->arch, key) : key;
    double value;
    if (firn_gguf_find(r->g, full) == NULL)
        return is_required ? bad(r, full, "a number", "no such key") : FIRN_OK;
    if (!firn_gguf_number(r->g, full, &value) || (is_whole && (value != (double) (int64_t) value || value < 0 || value > 1e15)))
        return bad(r, full, "one number", "something else, or numbers that differ by layer");
    json_object_set_new(r->config, name, is_whole ? json_integer((json_int_t) value) : json_real(value));
    return FIRN_OK;
}

static firn_status read_numbers(const struct reader *r)
{
    static const struct { const char *key, *name; bool is_whole, is_required; } all[] = {
        { ".embedding_length", "hidden_size", true, true },
        { ".block_count", "num_hidden_layers", true, true },
        { ".feed_forward_length", "intermediate_size", true, true },
        { ".attention.head_count", "num_attention_heads", true, true },
        { ".attention.head_count_kv", "num_key_value_heads", true, false },
        { ".attention.key_length", "head_dim", true, false },
        { ".attention.sliding_window", "sliding_window", true, false },
        { ".context_length", "max_position_embeddings", true, true },
        { ".attention.layer_norm_rms_epsilon", "rms_norm_eps", false, true },
        { ".rope.freq_base", "rope_theta", false, false },
        { "tokenizer.ggml.bos_token_id", "bos_token_id", true, false },
        { "tokenizer.ggml.eos_token_id", "eos_token_id", true, false },
        { "tokenizer.ggml.padding_token_id", "pad_token_id", true, false },
    };
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && status == FIRN_OK; i++)
        status = number(r, all[i].key, all[i].name, all[i].is_whole, all[i].is_required);
    return status;
}

static int64_t whole(const json_t *config, const char *name, int64_t fallback)
{
    const json_t *v = json_object_get(config, name);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

/* Keys that ask for other mathematics. */
static firn_status check_rest(const struct reader *r)
{
    double experts = 0, dims = 0, values = 0, splits = 0;
    const int64_t heads = whole(r->config, "num_attention_heads", 1), width = whole(r->config, "hidden_size", 1);
    const int64_t dim = whole(r->config, "head_dim", heads > 0 ? width / heads : 0);
    firn_gguf_number(r->g, FIRN_STR("%s.expert_count", r->arch), &experts);
    if (experts > 0)
        return bad(r, FIRN_STR("%s.expert_count", r->arch), "0: mixtures of experts are not supported", FIRN_STR("%g", experts));
    if (firn_gguf_number(r->g, FIRN_STR("%s.rope.dimension_count", r->arch), &dims) && dims != (double) dim)
        return bad(r, FIRN_STR("%s.rope.dimension_count", r->arch), FIRN_STR("the head size %lld", (long long) dim),
                   FIRN_STR("%g", dims));
    if (firn_gguf_number(r->g, FIRN_STR("%s.attention.value_length", r->arch), &values) && values != (double) dim)
        return bad(r, FIRN_STR("%s.attention.value_length", r->arch), FIRN_STR("the head size %lld", (long long) dim),
                   FIRN_STR("%g", values));
    if (firn_gguf_number(r->g, "split.count", &splits) && splits > 1)
        return bad(r, "split.count", "one file (llama.cpp's gguf-split --merge makes it)", FIRN_STR("%g", splits));
    return FIRN_OK;
}

static firn_status read_scaling(const struct reader *r)
{
    static const char *const kinds[] = { "none", "linear", "yarn", NULL };
    char kind[32];
    firn_gguf_text(r->g, FIRN_STR("%s.rope.scaling.type", r->arch), kind, sizeof kind);
    int i = 0;
    while (kinds[i] != NULL && strcmp(kinds[i], kind) != 0)
        i++;
    if (kinds[i] == NULL && kind[0] != '\0')
        return bad(r, FIRN_STR("%s.rope.scaling.type", r->arch), "none, linear or yarn", kind);
    if (i != 1 && i != 2)
        return FIRN_OK;
    double factor = 1, original = 0;
    firn_gguf_number(r->g, FIRN_STR("%s.rope.scaling.factor", r->arch), &factor);
    json_t *scaling = json_pack("{s:s,s:f}", "rope_type", kinds[i], "factor", factor);
    if (firn_gguf_number(r->g, FIRN_STR("%s.rope.scaling.original_context_length", r->arch), &original) && original >= 1)
        json_object_set_new(scaling, "original_max_position_embeddings", json_integer((json_int_t) original));
    json_object_set_new(r->config, "rope_scaling", scaling);
    return FIRN_OK;
}

static firn_status read_config(struct reader *r)
{
    char arch[64];
    firn_gguf_text(r->g, "general.architecture", arch, sizeof arch);
    for (size_t i = 0; i < sizeof archs / sizeof archs[0] && r->arch == NULL; i++)
        r->arch = strcmp(archs[i].gguf, arch) == 0 ? archs[i].gguf : NULL;
    if (r->arch == NULL)
        return firn_fail(r->err, FIRN_ERR_UNSUPPORTED, .file = r->g->path, .key = "general.architecture",
                         .expected = "llama, qwen2 or qwen3", .got = arch[0] != '\0' ? arch : "none");
    r->config = json_object();
    firn_status status = r->config != NULL ? read_numbers(r)
                                           : firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a configuration");
    if (status == FIRN_OK)
        status = check_rest(r);
    if (status == FIRN_OK)
        status = read_scaling(r);
    const struct firn_gguf_tensor *table = firn_gguf_tensor(r->g, "token_embd.weight");
    if (status == FIRN_OK && (table == NULL || table->shape.rank != 2))
        status = bad(r, "token_embd.weight", "a matrix", table == NULL ? "no such tensor" : FIRN_SHAPE_STR(&table->shape));
    if (status)
        return status;
    const bool slides = whole(r->config, "sliding_window", 0) > 0, is_llama = strcmp(r->arch, "llama") == 0;
    json_object_set_new(r->config, "model_type", json_string(is_llama && slides ? "mistral" : r->arch));
    json_object_set_new(r->config, "vocab_size", json_integer(table->shape.dim[0]));
    json_object_set_new(r->config, "tie_word_embeddings", json_boolean(firn_gguf_tensor(r->g, "output.weight") == NULL));
    json_object_set_new(r->config, "attention_bias", json_boolean(firn_gguf_tensor(r->g, "blk.0.attn_q.bias") != NULL));
    json_object_set_new(r->config, "mlp_bias", json_boolean(firn_gguf_tensor(r->g, "blk.0.ffn_up.bias") != NULL));
    if (!slides)
        json_object_set_new(r->config, "sliding_window", json_null());
    if (slides && !is_llama)
        json_object_set_new(r->config, "use_sliding_window", json_true());
    return FIRN_OK;
}

static enum firn_dtype dtype_of(uint32_t type)
{
    return type == FIRN_GGML_F16 ? FIRN_F16 : type == FIRN_GGML_BF16 ? FIRN_BF16
           : firn_gguf_type_name(type) != NULL ? FIRN_F32 : FIRN_NONE;
}

/* One tensor under its new name; in place where the file holds it as it is computed with. */
static firn_status add_tensor(const struct reader *r, const struct firn_gguf_tensor *from, struct firn_safetensors *to)
{
    char path[256];
    if (!firn_gguf_path(from->name, path, sizeof path))
        return FIRN_OK; /* rope_freqs.weight and what this architecture has not */
    if (firn_gguf_type_name(from->type) == NULL)
        return firn_fail(r->err, FIRN_ERR_UNSUPPORTED, .file = r->g->path, .key = from->name,
                         .expected = "F32, F16, BF16, Q8_0 or Q4_0", .got = FIRN_STR("type %u", from->type));
    struct firn_named_tensor *t = &to->tensors[to->count];
    const int64_t heads = whole(r->config, "num_attention_heads", 1), width = whole(r->config, "hidden_size", 1);
    const int64_t dim = whole(r->config, "head_dim", heads > 0 ? width / heads : 0);
    const bool turns = strcmp(r->arch, "llama") == 0 && (strstr(path, ".q_proj.") != NULL || strstr(path, ".k_proj.") != NULL);
    const enum firn_dtype dtype = dtype_of(from->type);
    const bool is_block = from->type == FIRN_GGML_Q8_0 || from->type == FIRN_GGML_Q4_0;
    if (turns && (dim < 2 || dim % 2 != 0 || from->shape.dim[0] % dim != 0))
        return bad(r, from->name, FIRN_STR("rows of heads of %lld", (long long) dim), FIRN_SHAPE_STR(&from->shape));
    *t = (struct firn_named_tensor){ .name = firn_strdup(path), .size_bytes = from->size_bytes,
                                     .tensor = { .dtype = dtype, .shape = from->shape } };
    if (t->name == NULL)
        return firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
    to->count++;
    if (!turns && !is_block && (uintptr_t) from->data % firn_dtype_size(dtype) == 0) {
        t->tensor.data = (void *) (uintptr_t) from->data;
        return FIRN_OK;
    }
    struct firn_packed *packed = malloc(sizeof *packed);
    if (packed == NULL)
        return firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
    *packed = (struct firn_packed){ from->data, from->type, from->shape.rank > 1 ? from->shape.dim[from->shape.rank - 1] : 1,
                                    turns ? dim : 0 };
    t->packed = packed;
    return FIRN_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct firn_named_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static firn_status add_tensors(const struct reader *r, struct firn_weights *w)
{
    struct firn_safetensors *file = w->files = calloc(1, sizeof *file);
    if (file == NULL || (file->tensors = calloc(r->g->n_tensors + 1, sizeof *file->tensors)) == NULL)
        return firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
    w->n_files = 1;
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < r->g->n_tensors && status == FIRN_OK; i++)
        status = add_tensor(r, &r->g->tensors[i], file);
    qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    return status;
}

/* Llama 3's scaling stands in files as factors by frequency. */
static firn_status read_factors(const struct reader *r, float **factors, int64_t *n)
{
    const struct firn_gguf_tensor *t = firn_gguf_tensor(r->g, "rope_freqs.weight");
    *factors = NULL;
    *n = 0;
    if (t == NULL)
        return FIRN_OK;
    if (t->type != FIRN_GGML_F32 || t->shape.rank != 1 || t->shape.dim[0] > 128)
        return bad(r, t->name, "at most 128 numbers (F32)", FIRN_SHAPE_STR(&t->shape));
    *n = t->shape.dim[0];
    *factors = malloc(sizeof **factors * (size_t) *n);
    if (*factors == NULL)
        return firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
    memcpy(*factors, t->data, sizeof **factors * (size_t) *n);
    for (int64_t i = 0; i < *n; i++)
        if (!((*factors)[i] > 0 && (*factors)[i] < 1e9f))
            return bad(r, t->name, "numbers above 0", FIRN_STR("%g", (double) (*factors)[i]));
    return FIRN_OK;
}

firn_status firn_gguf_model_open(const char *path, json_t **config, struct firn_weights *w, float **factors, int64_t *n,
                                 struct firn_error *err)
{
    struct firn_gguf g;
    struct reader r = { .g = &g, .err = err };
    memset(w, 0, sizeof *w);
    *config = NULL;
    *factors = NULL;
    firn_status status = firn_gguf_open(&g, path, err);
    if (status)
        return status;
    status = read_config(&r);
    if (status == FIRN_OK)
        status = read_factors(&r, factors, n);
    if (status == FIRN_OK)
        status = add_tensors(&r, w);
    if (w->n_files > 0) { /* the mapping and the path are the weights' from now on */
        w->files[0].map = g.map;
        w->files[0].path = g.path;
        g.map = (struct firn_map){ 0 };
        g.path = NULL;
    }
    firn_gguf_close(&g);
    *config = r.config;
    if (status) {
        firn_weights_close(w);
        json_decref(r.config);
        free(*factors);
        *config = NULL;
        *factors = NULL;
    }
    return status;
}
