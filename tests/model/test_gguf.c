/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF files from a writer of the test's own: models computed as their safetensors are, and files that lie. */
#include "../peft/tiny.h"
#include "golden.h"

#include "model/gguf_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a writer that shares nothing with src/ ---- */

static struct out {
    uint8_t bytes[1 << 20];
    size_t n;
} head, info, data;
static uint64_t n_keys, n_tensors;

static void put(struct out *o, const void *bytes, size_t n)
{
    assert_true(o->n + n <= sizeof o->bytes);
    memcpy(o->bytes + o->n, bytes, n);
    o->n += n;
}
static void put_n(struct out *o, uint64_t x, int n)
{
    for (int i = 0; i < n; i++)
        put(o, &(uint8_t){ (uint8_t) (x >> 8 * i) }, 1);
}
static void put_s(struct out *o, const char *text)
{
    put_n(o, strlen(text), 8);
    put(o, text, strlen(text));
}
static void begin(void)
{
    head.n = info.n = data.n = 0;
    n_keys = n_tensors = 0;
}
static void key_u32(const char *name, uint32_t x)
{
    put_s(&head, name);
    put_n(&head, 4, 4);
    put_n(&head, x, 4);
    n_keys++;
}
static void key_f32(const char *name, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    put_s(&head, name);
    put_n(&head, 6, 4);
    put_n(&head, bits, 4);
    n_keys++;
}
static void key_text(const char *name, const char *x)
{
    put_s(&head, name);
    put_n(&head, 8, 4);
    put_s(&head, x);
    n_keys++;
}
static void tensor(const char *name, int64_t rows, int64_t cols, int type, const void *bytes, size_t size)
{
    put_s(&info, name);
    put_n(&info, rows > 0 ? 2 : 1, 4);
    put_n(&info, (uint64_t) cols, 8);
    if (rows > 0)
        put_n(&info, (uint64_t) rows, 8);
    put_n(&info, (uint64_t) type, 4);
    put_n(&info, data.n, 8);
    put(&data, bytes, size);
    while (data.n % 32 != 0)
        put_n(&data, 0, 1);
    n_tensors++;
}
static size_t finish(uint8_t *all)
{
    static struct out file;
    file.n = 0;
    put(&file, "GGUF", 4);
    put_n(&file, 3, 4);
    put_n(&file, n_tensors, 8);
    put_n(&file, n_keys, 8);
    put(&file, head.bytes, head.n);
    put(&file, info.bytes, info.n);
    while (file.n % 32 != 0)
        put_n(&file, 0, 1);
    put(&file, data.bytes, data.n);
    memcpy(all, file.bytes, file.n);
    return file.n;
}
static uint8_t file_bytes[1 << 20];
static void save(const char *name)
{
    const size_t n = finish(file_bytes);
    FILE *f = fopen(scratch_path(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(file_bytes, 1, n, f), n);
    fclose(f);
}

/* ---- blocks, from ggml's description ---- */

static uint16_t half(float x) /* of a power of two, exact */
{
    const int e = x > 0 ? ilogbf(x) : 0;
    return x > 0 ? (uint16_t) ((e + 15) << 10) : 0;
}
/* Quantises with a power of two as scale; x becomes what a reader must see. */
static size_t quantise(float *x, int64_t n, int type, uint8_t *out)
{
    size_t size = 0;
    for (int64_t b = 0; b < n; b += 32) {
        float most = 0;
        for (int i = 0; i < 32; i++)
            most = fmaxf(most, fabsf(x[b + i]));
        const float d = most > 0 ? exp2f(ceilf(log2f(most / (type == 8 ? 127.0f : 7.0f)))) : 0;
        const uint16_t bits = half(d);
        out[size++] = (uint8_t) bits;
        out[size++] = (uint8_t) (bits >> 8);
        uint8_t *q = out + size;
        size += type == 8 ? 32 : 16;
        memset(q, 0, type == 8 ? 32 : 16);
        for (int i = 0; i < 32; i++) {
            const int k = d > 0 ? (int) lrintf(x[b + i] / d) : 0;
            x[b + i] = (float) k * d;
            if (type == 8)
                q[i] = (uint8_t) (int8_t) k;
            else
                q[i % 16] |= (uint8_t) ((k + 8) << (i < 16 ? 0 : 4));
        }
    }
    return size;
}

/* ---- the recorded Llama, in each type ---- */

/* Rows of a head's two halves alternate: (h, half, i) becomes (h, i, half). */
static void turn(const float *from, float *to, int64_t heads, int64_t dim, int64_t cols)
{
    for (int64_t h = 0; h < heads; h++)
        for (int64_t j = 0; j < 2; j++)
            for (int64_t i = 0; i < dim / 2; i++)
                memcpy(to + (h * dim + 2 * i + j) * cols, from + (h * dim + j * dim / 2 + i) * cols,
                       sizeof *to * (size_t) cols);
}

static const char *const parts[][2] = {
    { "input_layernorm", "attn_norm" }, { "self_attn.q_proj", "attn_q" }, { "self_attn.k_proj", "attn_k" },
    { "self_attn.v_proj", "attn_v" }, { "self_attn.o_proj", "attn_output" }, { "post_attention_layernorm", "ffn_norm" },
    { "mlp.gate_proj", "ffn_gate" }, { "mlp.up_proj", "ffn_up" }, { "mlp.down_proj", "ffn_down" },
};

/* Tensor `from` of the file as `to` of the GGUF, and its values as they will be read into `plain`. */
static void convert(const struct firn_safetensors *f, const char *from, const char *to, int type,
                    struct firn_named_tensor *plain, int64_t heads, int64_t dim)
{
    static uint8_t packed[1 << 18];
    const struct firn_tensor *t = firn_safetensors_find(f, from);
    assert_non_null(t);
    const int64_t n = firn_shape_count(&t->shape), cols = t->shape.rank > 1 ? t->shape.dim[1] : n;
    const int64_t rows = t->shape.rank > 1 ? t->shape.dim[0] : 0;
    float *x = malloc(sizeof *x * (size_t) n), *turned = malloc(sizeof *x * (size_t) n);
    firn_tensor_read_f32(t, 0, n, x);
    const int stored = rows > 0 ? type : 0;
    if (stored != 0) /* rounding does not care for the order of rows */
        quantise(x, n, stored, packed);
    memcpy(turned, x, sizeof *x * (size_t) n);
    if (heads > 0)
        turn(x, turned, heads, dim, cols);
    const size_t size = stored != 0 ? quantise(turned, n, stored, packed) : sizeof *x * (size_t) n;
    tensor(to, rows, cols, stored, stored != 0 ? (void *) packed : (void *) turned, size);
    *plain = (struct firn_named_tensor){ .name = (char *) from, .tensor = { FIRN_F32, t->shape, x }, .size_bytes = sizeof *x * (size_t) n };
    free(turned);
}

static void keys_of_llama(const struct firn_config *c)
{
    key_text("general.architecture", "llama");
    key_u32("llama.block_count", (uint32_t) c->n_layers);
    key_u32("llama.context_length", (uint32_t) c->max_positions);
    key_u32("llama.embedding_length", (uint32_t) c->width);
    key_u32("llama.feed_forward_length", (uint32_t) c->hidden);
    key_u32("llama.attention.head_count", (uint32_t) c->n_heads);
    key_u32("llama.attention.head_count_kv", (uint32_t) c->n_kv_heads);
    key_u32("llama.attention.key_length", (uint32_t) c->head_dim);
    key_u32("llama.rope.dimension_count", (uint32_t) c->head_dim);
    key_f32("llama.attention.layer_norm_rms_epsilon", (float) c->norm_eps);
    key_f32("llama.rope.freq_base", (float) c->rope_theta);
    key_u32("tokenizer.ggml.padding_token_id", (uint32_t) c->pad_id);
}

static float *logits_of(const char *directory, const struct firn_config *like, int64_t *n)
{
    struct tiny t;
    expect_ok(tiny_open(&t, directory, FIRN_TASK_CAUSAL_LM, NULL), &t.err);
    t.model.config.rope = like->rope; /* how a GGUF spells a scaling is another test's */
    float *y = tiny_logits(&t, n);
    tiny_close(&t);
    return y;
}

static void a_model_computes_as_its_safetensors_do(void **state)
{
    (void) state;
    static const int types[] = { 0, 8, 2 };
    struct firn_model m;
    struct firn_error err = { 0 };
    char names[64][100];
    expect_ok(firn_model_open(&m, golden_path("models", "llama", NULL), &err), &err);
    for (int k = 0; k < 3; k++) {
        struct firn_named_tensor list[64];
        size_t count = 0;
        const struct firn_safetensors *f = &m.weights.files[0];
        begin();
        keys_of_llama(&m.config);
        convert(f, "model.embed_tokens.weight", "token_embd.weight", types[k], &list[count++], 0, 0);
        convert(f, "model.norm.weight", "output_norm.weight", types[k], &list[count++], 0, 0);
        if (!m.config.tie_embeddings)
            convert(f, "lm_head.weight", "output.weight", types[k], &list[count++], 0, 0);
        for (int64_t i = 0; i < m.config.n_layers; i++)
            for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
                char to[64];
                snprintf(names[count], sizeof names[0], "model.layers.%d.%s.weight", (int) i, parts[p][0]);
                snprintf(to, sizeof to, "blk.%d.%s.weight", (int) i, parts[p][1]);
                convert(f, names[count], to, types[k], &list[count],
                        p == 1 ? m.config.n_heads : p == 2 ? m.config.n_kv_heads : 0, m.config.head_dim);
                count++;
            }
        char *config = NULL;
        size_t size = 0;
        scratch_mkdir("gguf");
        scratch_mkdir("plain");
        save("gguf/m.gguf");
        expect_ok(firn_file_read(golden_path("models", "llama", "config.json"), 1 << 20, &config, &size, &err), &err);
        scratch_write("plain/config.json", config);
        expect_ok(firn_safetensors_save(scratch_path("plain/model.safetensors"), list, count, &err), &err);
        int64_t n = 0, n_plain = 0;
        float *y = logits_of("gguf/m.gguf", &m.config, &n), *want = logits_of("plain", &m.config, &n_plain);
        assert_true(n == n_plain && n > 0);
        for (int64_t i = 0; i < n; i++)
            if (y[i] != want[i])
                fail_msg("type %d: %g, not %g, at %d", types[k], (double) y[i], (double) want[i], (int) i);
        free(y);
        y = logits_of("gguf", &m.config, &n); /* a directory that holds nothing else */
        assert_memory_equal(y, want, sizeof *y * (size_t) n);
        free(y);
        free(want);
        free(config);
        for (size_t i = 0; i < count; i++)
            free(list[i].tensor.data);
    }
    firn_model_close(&m);
}

/* ---- small files ---- */

static const float one[32] = { 1, 2, 3, 4 };
static void small(const char *arch)
{
    begin();
    key_text("general.architecture", arch);
    key_u32(FIRN_STR("%s.block_count", arch), 1);
    key_u32(FIRN_STR("%s.context_length", arch), 16);
    key_u32(FIRN_STR("%s.embedding_length", arch), 4);
    key_u32(FIRN_STR("%s.feed_forward_length", arch), 4);
    key_u32(FIRN_STR("%s.attention.head_count", arch), 2);
    key_f32(FIRN_STR("%s.attention.layer_norm_rms_epsilon", arch), 1e-5f);
}

static firn_status open_small(struct firn_error *err)
{
    struct firn_model m;
    save("small.gguf");
    memset(err, 0, sizeof *err);
    const firn_status status = firn_model_open(&m, scratch_path("small.gguf"), err);
    if (status == FIRN_OK)
        firn_model_close(&m);
    return status;
}

static void what_cannot_be_computed_is_refused(void **state)
{
    (void) state;
    struct firn_error err;
    small("llama");
    tensor("token_embd.weight", 8, 4, 0, one, sizeof one);
    expect_ok(open_small(&err), &err);
    small("mamba");
    expect_error(open_small(&err), FIRN_ERR_UNSUPPORTED, &err, "general.architecture", "mamba");
    small("llama");
    expect_error(open_small(&err), FIRN_ERR_FORMAT, &err, "token_embd.weight", "no such tensor");
    small("llama");
    tensor("token_embd.weight", 8, 4, 12, one, sizeof one); /* Q4_K */
    expect_error(open_small(&err), FIRN_ERR_UNSUPPORTED, &err, "token_embd.weight", "type 12");
    small("llama");
    key_u32("llama.expert_count", 8);
    tensor("token_embd.weight", 8, 4, 0, one, sizeof one);
    expect_error(open_small(&err), FIRN_ERR_FORMAT, &err, "expert_count", NULL);
    small("llama");
    key_u32("llama.rope.dimension_count", 1);
    tensor("token_embd.weight", 8, 4, 0, one, sizeof one);
    expect_error(open_small(&err), FIRN_ERR_FORMAT, &err, "dimension_count", "head size 2");
    small("llama");
    key_u32("split.count", 2);
    tensor("token_embd.weight", 8, 4, 0, one, sizeof one);
    expect_error(open_small(&err), FIRN_ERR_USAGE, &err, "split.count", "-00001-of-00002.gguf");
    small("llama");
    tensor("token_embd.weight", 8, 4, 0, one, sizeof one);
    tensor("token_embd.weight", 8, 4, 0, one, sizeof one);
    expect_error(open_small(&err), FIRN_ERR_FORMAT, &err, "token_embd.weight", "two");
    small("llama");
    tensor("token_embd.weight", 2, 4, 8, one, 8); /* rows that are no whole blocks */
    expect_error(open_small(&err), FIRN_ERR_FORMAT, &err, "token_embd.weight", "blocks of 32");
    save("other.gguf");
    memset(&err, 0, sizeof err);
    char *file = NULL;
    expect_error(firn_gguf_locate(scratch_path(""), &file, &err), FIRN_ERR_USAGE, &err, "several", NULL);
    assert_null(file);
}

static void no_file_can_lie(void **state)
{
    (void) state;
    struct firn_gguf g;
    struct firn_error err = { 0 };
    small("llama");
    put_s(&head, "tokens"); /* an array of texts, one of numbers */
    put_n(&head, 9, 4);
    put_n(&head, 8, 4);
    put_n(&head, 2, 8);
    put_s(&head, "a");
    put_s(&head, "bc");
    put_s(&head, "numbers");
    put_n(&head, 9, 4);
    put_n(&head, 5, 4);
    put_n(&head, 3, 8);
    put_n(&head, 7, 4);
    put_n(&head, 7, 4);
    put_n(&head, 7, 4);
    n_keys += 2;
    tensor("token_embd.weight", 8, 4, 0, one, sizeof one);
    tensor("output_norm.weight", 0, 32, 8, one, 34);
    const size_t size = finish(file_bytes), n_head = size - data.n;
    uint8_t *copy = malloc(size);
    expect_ok(firn_gguf_parse(&g, "x", file_bytes, size, &err), &err);
    double x = 0;
    assert_true(firn_gguf_number(&g, "numbers", &x) && x == 7 && !firn_gguf_number(&g, "tokens", &x));
    firn_gguf_close(&g);
    for (size_t n = 0; n + 31 < size; n++) { /* cut short anywhere (the last bytes are padding) */
        uint8_t *part = malloc(n + 1);
        memcpy(part, file_bytes, n);
        memset(&err, 0, sizeof err);
        if (firn_gguf_parse(&g, "x", part, n, &err) == FIRN_OK) {
            fail_msg("%zu of %zu bytes are read", n, size);
        }
        assert_true(err.text[0] != '\0');
        free(part);
    }
    for (size_t i = 0; i < n_head; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, file_bytes, size);
            copy[i] ^= (uint8_t) (1u << bit);
            memset(&err, 0, sizeof err);
            if (firn_gguf_parse(&g, "x", copy, size, &err) == FIRN_OK) {
                for (size_t k = 0; k < g.n_tensors; k++) /* all of it can be read */
                    for (size_t b = 0; b < g.tensors[k].size_bytes; b++)
                        x += g.tensors[k].data[b];
                firn_gguf_close(&g);
            } else {
                assert_true(err.text[0] != '\0');
            }
        }
    free(copy);
}

static void names_go_both_ways(void **state)
{
    (void) state;
    char name[64], path[128];
    assert_true(firn_gguf_name("model.layers.12.self_attn.q_proj.weight", name, sizeof name));
    assert_string_equal(name, "blk.12.attn_q.weight");
    assert_true(firn_gguf_path(name, path, sizeof path));
    assert_string_equal(path, "model.layers.12.self_attn.q_proj.weight");
    assert_true(firn_gguf_name("lm_head", name, sizeof name));
    assert_string_equal(name, "output");
    assert_false(firn_gguf_path("blk.x.attn_q.weight", path, sizeof path));
    assert_false(firn_gguf_path("blk.1", path, sizeof path));
    assert_false(firn_gguf_name("model.layers.1.self_attn.q_proj", name, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_computes_as_its_safetensors_do, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_computed_is_refused, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(no_file_can_lie, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(names_go_both_ways, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
