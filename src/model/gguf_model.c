/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF models of decoders: keys become a config.json, tensors get Hugging Face's names. What is in a file is said
 * by llama.cpp's gguf-py (constants.py) and its converter; that one turns the rows of q and k of `llama` models. */
#include "model/gguf_model.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// clang-format off
static const struct arch { const char *gguf, *model_type; } archs[] = {
    { "llama", "llama" }, { "llama", "mistral" }, { "qwen2", "qwen2" }, { "qwen3", "qwen3" },
    { "gemma2", "gemma2" }, { "gemma3", "gemma3_text" },
};
/* of a layer, and of the model */
static const struct name { const char *gguf, *path; } in_layer[] = {
    { "attn_norm",   "input_layernorm" },  { "attn_q",      "self_attn.q_proj" }, { "attn_k",   "self_attn.k_proj" },
    { "attn_v",      "self_attn.v_proj" }, { "attn_output", "self_attn.o_proj" }, { "ffn_norm", "post_attention_layernorm" },
    { "attn_q_norm", "self_attn.q_norm" }, { "attn_k_norm", "self_attn.k_norm" },
    { "post_attention_norm", "post_attention_layernorm" }, { "post_ffw_norm", "post_feedforward_layernorm" }, /* Gemma */
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

enum { MAX_PARTS = 1024 };

/* What is being read. */
struct reader {
    struct firn_gguf *g;   /* the first part, which holds the keys, and those that follow it */
    size_t n_parts;
    const char *arch;      /* general.architecture, of the table above */
    bool is_gemma;
    json_t *config;
    struct firn_error *err;
};

static firn_status bad(const struct reader *r, const char *key, const char *expected, const char *got)
{
    return firn_fail(r->err, FIRN_ERR_FORMAT, .file = r->g->path, .key = key, .expected = expected, .got = got);
}

static const struct firn_gguf_tensor *find(const struct reader *r, const char *name)
{
    const struct firn_gguf_tensor *t = NULL;
    for (size_t i = 0; i < r->n_parts && t == NULL; i++)
        t = firn_gguf_tensor(&r->g[i], name);
    return t;
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
        { ".attn_logit_softcapping", "attn_logit_softcapping", false, false },
        { ".final_logit_softcapping", "final_logit_softcapping", false, false },
        { ".rope.freq_base_swa", "rope_local_base_freq", false, false },
        { ".attention.sliding_window_pattern", "sliding_window_pattern", true, false },
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
    double experts = 0, dims = 0, values = 0;
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

/* What llama.cpp knows of Gemma without a key: the scale of the queries, which in the largest models of both (46 and 62
 * layers) is that of the width over the heads. */
static firn_status finish_gemma(const struct reader *r)
{
    const int64_t layers = whole(r->config, "num_hidden_layers", 0), heads = whole(r->config, "num_attention_heads", 0);
    const int64_t dim = whole(r->config, "head_dim", 0), width = whole(r->config, "hidden_size", 0);
    if (dim < 1 || heads < 1)
        return bad(r, FIRN_STR("%s.attention.key_length", r->arch), "the head size", "none");
    const bool is_largest = layers == (strcmp(r->arch, "gemma2") == 0 ? 46 : 62);
    json_object_set_new(r->config, "query_pre_attn_scalar",
                        json_real(is_largest ? (double) width / (double) heads : (double) dim));
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
                         .expected = "llama, qwen2, qwen3, gemma2 or gemma3", .got = arch[0] != '\0' ? arch : "none");
    r->config = json_object();
    firn_status status = r->config != NULL ? read_numbers(r)
                                           : firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a configuration");
    if (status == FIRN_OK)
        status = check_rest(r);
    if (status == FIRN_OK)
        status = read_scaling(r);
    r->is_gemma = strncmp(r->arch, "gemma", 5) == 0;
    if (status == FIRN_OK && r->is_gemma)
        status = finish_gemma(r);
    const struct firn_gguf_tensor *table = find(r, "token_embd.weight");
    if (status == FIRN_OK && (table == NULL || table->shape.rank != 2))
        status = bad(r, "token_embd.weight", "a matrix", table == NULL ? "no such tensor" : FIRN_SHAPE_STR(&table->shape));
    if (status)
        return status;
    const bool slides = whole(r->config, "sliding_window", 0) > 0, is_llama = strcmp(r->arch, "llama") == 0;
    json_object_set_new(r->config, "model_type", json_string(is_llama && slides ? "mistral"
                                                              : strcmp(r->arch, "gemma3") == 0 ? "gemma3_text" : r->arch));
    json_object_set_new(r->config, "vocab_size", json_integer(table->shape.dim[0]));
    json_object_set_new(r->config, "tie_word_embeddings", json_boolean(find(r, "output.weight") == NULL));
    json_object_set_new(r->config, "attention_bias", json_boolean(find(r, "blk.0.attn_q.bias") != NULL));
    json_object_set_new(r->config, "mlp_bias", json_boolean(find(r, "blk.0.ffn_up.bias") != NULL));
    if (!slides)
        json_object_set_new(r->config, "sliding_window", json_null());
    if (slides && !is_llama && !r->is_gemma)
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
    char *old = r->is_gemma && strstr(from->name, ".ffn_norm.") != NULL ? strstr(path, "post_attention_layernorm") : NULL;
    if (old != NULL) /* four norms a layer: there this one stands before the feed-forward part */
        snprintf(old, sizeof path - (size_t) (old - path), "pre_feedforward_layernorm.weight");
    /* Gemma's norms multiply by 1 + w, and files hold 1 + w */
    const bool is_shifted = r->is_gemma && strstr(path, "norm.weight") != NULL;
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
    if (!turns && !is_block && !is_shifted && (uintptr_t) from->data % firn_dtype_size(dtype) == 0) {
        t->tensor.data = (void *) (uintptr_t) from->data;
        return FIRN_OK;
    }
    struct firn_packed *packed = malloc(sizeof *packed);
    if (packed == NULL)
        return firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
    *packed = (struct firn_packed){ from->data, from->type, from->shape.rank > 1 ? from->shape.dim[from->shape.rank - 1] : 1,
                                    turns ? dim : 0, is_shifted ? -1.0f : 0 };
    t->packed = packed;
    return FIRN_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct firn_named_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The tensors of each part as a file of its own; mapping and path are the weights' from then on. */
static firn_status add_tensors(struct reader *r, struct firn_weights *w)
{
    w->files = calloc(r->n_parts, sizeof *w->files);
    if (w->files == NULL)
        return firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
    for (size_t p = 0; p < r->n_parts; p++) {
        struct firn_safetensors *file = &w->files[p];
        struct firn_gguf *g = &r->g[p];
        file->tensors = calloc(g->n_tensors + 1, sizeof *file->tensors);
        if (file->tensors == NULL)
            return firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
        w->n_files++;
        for (size_t i = 0; i < g->n_tensors; i++) {
            const firn_status status = add_tensor(r, &g->tensors[i], file);
            if (status)
                return status;
        }
        qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    }
    for (size_t p = 0; p < r->n_parts; p++) {
        w->files[p].map = r->g[p].map;
        w->files[p].path = r->g[p].path;
        r->g[p].map = (struct firn_map){ 0 };
        r->g[p].path = NULL;
    }
    return FIRN_OK;
}

/* Llama 3's scaling stands in files as factors by frequency. */
static firn_status read_factors(const struct reader *r, float **factors, int64_t *n)
{
    const struct firn_gguf_tensor *t = find(r, "rope_freqs.weight");
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

/* Part `index` of `count`, from 1: the same name with another number (llama.cpp's gguf-split). */
static firn_status open_part(struct reader *r, const char *path, size_t stem, int index, int count)
{
    double no = -1, parts = 0;
    const char *name = FIRN_STR("%.*s-%05d-of-%05d.gguf", (int) stem, path, index, count);
    const firn_status status = firn_gguf_open(&r->g[index - 1], name, r->err);
    if (status)
        return status;
    r->n_parts++;
    struct firn_gguf *g = &r->g[index - 1];
    if (!firn_gguf_number(g, "split.no", &no) || !firn_gguf_number(g, "split.count", &parts) || no != index - 1 || parts != count)
        return firn_fail(r->err, FIRN_ERR_FORMAT, .file = g->path, .key = "split.no",
                         .expected = FIRN_STR("part %d of %d", index - 1, count), .got = FIRN_STR("%g of %g", no, parts));
    for (size_t i = 0; i < g->n_tensors; i++)
        for (int k = 0; k < index - 1; k++)
            if (firn_gguf_tensor(&r->g[k], g->tensors[i].name) != NULL)
                return firn_fail(r->err, FIRN_ERR_FORMAT, .file = g->path, .key = g->tensors[i].name,
                                 .expected = "a tensor in one part", .got = "another in an earlier one");
    return FIRN_OK;
}

/* The file, and where its keys say that there are more, those. */
static firn_status open_parts(struct reader *r, const char *path)
{
    struct firn_gguf first;
    double count = 0, total = 0, n = 0;
    int index = 0, of = 0;
    size_t stem = 0;
    firn_status status = firn_gguf_open(&first, path, r->err);
    if (status)
        return status;
    const bool is_split = firn_gguf_number(&first, "split.count", &count) && count > 1;
    r->g = calloc(is_split && count <= MAX_PARTS ? (size_t) count : 1, sizeof *r->g);
    if (r->g == NULL || !is_split) {
        status = r->g != NULL ? FIRN_OK : firn_fail(r->err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
        if (r->g != NULL)
            r->g[r->n_parts++] = first;
        else
            firn_gguf_close(&first);
        return status;
    }
    firn_gguf_number(&first, "split.tensors.count", &total);
    firn_gguf_close(&first);
    if (strlen(path) > 3000 || count > MAX_PARTS || !firn_gguf_split_of(path, &index, &of, &stem) || index != 1 || of != (int) count)
        return firn_fail(r->err, FIRN_ERR_USAGE, .file = path, .key = "split.count",
                         .expected = FIRN_STR("the name of the first part, NAME-00001-of-%05.0f.gguf", count),
                         .got = index > 1 ? FIRN_STR("part %d", index) : "another name");
    for (int i = 1; i <= of && status == FIRN_OK; i++) {
        status = open_part(r, path, stem, i, of);
        n += status == FIRN_OK ? (double) r->g[i - 1].n_tensors : 0;
    }
    if (status == FIRN_OK && total > 0 && total != n)
        status = firn_fail(r->err, FIRN_ERR_FORMAT, .file = path, .key = "split.tensors.count",
                           .expected = FIRN_STR("the %g tensors of its parts", n), .got = FIRN_STR("%g", total));
    return status;
}

firn_status firn_gguf_model_open(const char *path, json_t **config, struct firn_weights *w, float **factors, int64_t *n,
                                 struct firn_error *err)
{
    struct reader r = { .err = err };
    memset(w, 0, sizeof *w);
    *config = NULL;
    *factors = NULL;
    firn_status status = open_parts(&r, path);
    if (status == FIRN_OK)
        status = read_config(&r);
    if (status == FIRN_OK)
        status = read_factors(&r, factors, n);
    if (status == FIRN_OK)
        status = add_tensors(&r, w);
    for (size_t i = 0; i < r.n_parts; i++)
        firn_gguf_close(&r.g[i]);
    free(r.g);
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
