/* SPDX-License-Identifier: Apache-2.0 */
#include "readers.h"

#include "../peft/tiny.h"
#include "base/json.h"
#include "data/chat.h"
#include "data/table.h"
#include "firn/tokenizer.h"
#include "model/gguf_model.h"
#include "peft/gguf_lora.h"
#include "train/checkpoint.h"
#include "train/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- weights and models ---- */

static void make_safetensors(void)
{
    const struct scratch_tensor list[] = { { "a.weight", FIRN_DIMS(3, 5), FIRN_F32 }, { "b", FIRN_DIMS(2), FIRN_F32 },
                                           { "empty", FIRN_DIMS(0, 7), FIRN_F32 }, { NULL } };
    scratch_tensors("one.safetensors", list);
}

static firn_status read_safetensors(const char *place, struct firn_error *err)
{
    struct firn_safetensors f;
    const firn_status s = firn_safetensors_open(&f, place, err);
    firn_safetensors_close(&f);
    return s;
}

static void make_shards(void)
{
    const struct scratch_tensor first[] = { { "a", FIRN_DIMS(3), FIRN_F32 }, { NULL } };
    const struct scratch_tensor second[] = { { "b", FIRN_DIMS(2), FIRN_F32 }, { NULL } };
    scratch_mkdir("shards");
    scratch_tensors("shards/model-00001-of-00002.safetensors", first);
    scratch_tensors("shards/model-00002-of-00002.safetensors", second);
    scratch_write("shards/model.safetensors.index.json",
                  "{\"metadata\": {\"total_size\": 20}, \"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\","
                  " \"b\": \"model-00002-of-00002.safetensors\"}}");
}

static firn_status read_weights(const char *place, struct firn_error *err)
{
    struct firn_weights w;
    const firn_status s = firn_weights_open(&w, place, err);
    firn_weights_close(&w);
    return s;
}

static void make_llama(void)
{
    tiny_llama("llama", false, FIRN_F32);
    scratch_write("llama/tokenizer.json", "{\"model\": {\"type\": \"WordLevel\", \"unk_token\": \"u\", \"vocab\": {\"u\": 0}}}");
}

static void make_bert(void)
{
    tiny_bert("bert");
}

static firn_status read_model(const char *place, struct firn_error *err)
{
    struct firn_model m;
    const firn_status s = firn_model_open(&m, place, err);
    if (s == FIRN_OK)
        firn_model_close(&m);
    return s;
}

static void make_gguf(void)
{
    static float values[80];
    struct firn_error err = { 0 };
    struct firn_gguf_writer *w = firn_gguf_writer_create();
    firn_gguf_put_text(w, "general.architecture", "llama");
    firn_gguf_put_u32(w, "llama.embedding_length", 8);
    firn_gguf_put_u32(w, "llama.block_count", 1);
    firn_gguf_put_u32(w, "llama.feed_forward_length", 6);
    firn_gguf_put_u32(w, "llama.attention.head_count", 2);
    firn_gguf_put_u32(w, "llama.attention.head_count_kv", 1);
    firn_gguf_put_u32(w, "llama.context_length", 16);
    firn_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    static const struct { const char *name; struct firn_shape shape; } all[] = {
        { "token_embd.weight", FIRN_DIMS(10, 8) },     { "blk.0.attn_norm.weight", FIRN_DIMS(8) },
        { "blk.0.attn_q.weight", FIRN_DIMS(8, 8) },    { "blk.0.attn_k.weight", FIRN_DIMS(4, 8) },
        { "blk.0.attn_v.weight", FIRN_DIMS(4, 8) },    { "blk.0.attn_output.weight", FIRN_DIMS(8, 8) },
        { "blk.0.ffn_norm.weight", FIRN_DIMS(8) },     { "blk.0.ffn_gate.weight", FIRN_DIMS(6, 8) },
        { "blk.0.ffn_up.weight", FIRN_DIMS(6, 8) },    { "blk.0.ffn_down.weight", FIRN_DIMS(8, 6) },
        { "output_norm.weight", FIRN_DIMS(8) },        { "rope_freqs.weight", FIRN_DIMS(2) } };
    for (int i = 0; i < 80; i++)
        values[i] = 1.0f + 0.01f * (float) i;
    for (size_t i = 0; i < N_OF(all); i++)
        firn_gguf_put_tensor(w, all[i].name, &all[i].shape, values);
    expect_ok(firn_gguf_writer_finish(&w, scratch_path("one.gguf"), &err), &err);
}

/* ---- tokenizers ---- */

#define STAGES                                                                                                          \
    "\"added_tokens\": [{\"id\": 3, \"content\": \"<s>\", \"special\": true, \"lstrip\": true}], "                        \
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"Replace\", "            \
    "\"pattern\": {\"Regex\": \"a+\"}, \"content\": \"b\"}]}, "                                                           \
    "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", "           \
    "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [], \"special_tokens\": "              \
    "{\"<s>\": {\"id\": \"<s>\", \"ids\": [3], \"tokens\": [\"<s>\"]}}}, "

static void make_tokenizer(const char *folder, const char *text)
{
    char name[100];
    scratch_mkdir(folder);
    snprintf(name, sizeof name, "%s/tokenizer.json", folder);
    scratch_write(name, text);
    snprintf(name, sizeof name, "%s/tokenizer_config.json", folder);
    scratch_write(name, "{\"model_max_length\": 512, \"padding_side\": \"left\", \"bos_token\": {\"content\": \"<s>\"}, "
                        "\"unk_token\": \"u\", \"chat_template\": [{\"name\": \"default\", \"template\": \"{{ x }}\"}]}");
}

static void make_bpe(void)
{
    make_tokenizer("bpe", "{\"version\": \"1.0\", " STAGES
                          "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true}, \"decoder\": "
                          "{\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"unk_token\": \"u\", \"vocab\": {\"u\": 0, "
                          "\"b\": 1, \"bb\": 2, \"<s>\": 3}, \"merges\": [\"b b\"]}}");
}

static void make_unigram(void)
{
    make_tokenizer("unigram", "{" STAGES "\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"\\u2581\"}, "
                              "\"decoder\": {\"type\": \"Metaspace\", \"replacement\": \"\\u2581\"}, \"model\": {\"type\": "
                              "\"Unigram\", \"unk_id\": 0, \"vocab\": [[\"u\", 0.0], [\"b\", -1.5], [\"bb\", -2], [\"<s>\", 0]]}}");
}

static void make_wordpiece(void)
{
    make_tokenizer("wordpiece", "{\"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": true}, \"pre_tokenizer\": "
                                "{\"type\": \"BertPreTokenizer\"}, \"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\"}, "
                                "\"truncation\": {\"max_length\": 9}, \"model\": {\"type\": \"WordPiece\", \"unk_token\": \"u\", "
                                "\"max_input_chars_per_word\": 100, \"vocab\": {\"u\": 0, \"a\": 1, \"##b\": 2}}}");
}

/* A tokenizer that opens must also work, within the same limits. */
static firn_status read_tokenizer(const char *place, struct firn_error *err)
{
    static const char text[] = "aab <s> Ab, b\xC3\xA9 \xE2\x96\x81 bbbb";
    struct firn_tokenizer *tok = NULL;
    struct firn_encoding e = { 0 };
    struct firn_str out = { 0 };
    firn_status s = firn_tokenizer_open(&tok, place, err);
    if (s == FIRN_OK)
        s = firn_tokenizer_encode(tok, text, sizeof text - 1, text, 3, firn_encode_params(.max_length = 12), &e, err);
    if (s == FIRN_OK)
        s = firn_tokenizer_decode(tok, e.ids, e.n, false, &out, err);
    firn_encoding_free(&e);
    firn_str_free(&out);
    firn_tokenizer_close(&tok);
    return s;
}

/* The keys of a GGUF file alone: five tokens with scores and kinds. */
static void make_gguf_tokenizer(void)
{
    static const char *const tokens[] = { "<unk>", "<s>", "a", "b", "ab" };
    static const uint8_t kinds[] = { 2, 3, 1, 1, 1 };
    uint8_t bytes[600];
    size_t n = 0;
#define PUT(value, size)                                                                                                 \
    for (int k = 0; k < (size); k++)                                                                                     \
        bytes[n++] = (uint8_t) ((uint64_t) (value) >> 8 * k)
#define TEXT(text)                                                                                                       \
    PUT(strlen(text), 8);                                                                                                \
    memcpy(bytes + n, text, strlen(text));                                                                               \
    n += strlen(text)
    PUT(0x46554747, 4);
    PUT(3, 4);
    PUT(0, 8);
    PUT(5, 8);
    TEXT("tokenizer.ggml.model");
    PUT(FIRN_GGUF_STRING, 4);
    TEXT("llama");
    TEXT("tokenizer.ggml.tokens");
    PUT(FIRN_GGUF_ARRAY, 4);
    PUT(FIRN_GGUF_STRING, 4);
    PUT(N_OF(tokens), 8);
    for (size_t i = 0; i < N_OF(tokens); i++) {
        TEXT(tokens[i]);
    }
    TEXT("tokenizer.ggml.token_type");
    PUT(FIRN_GGUF_ARRAY, 4);
    PUT(FIRN_GGUF_I32, 4);
    PUT(N_OF(tokens), 8);
    for (size_t i = 0; i < N_OF(tokens); i++) {
        PUT(kinds[i], 4);
    }
    TEXT("tokenizer.ggml.scores");
    PUT(FIRN_GGUF_ARRAY, 4);
    PUT(FIRN_GGUF_F32, 4);
    PUT(N_OF(tokens), 8);
    for (size_t i = 0; i < N_OF(tokens); i++) {
        PUT(0, 4);
    }
    TEXT("tokenizer.ggml.bos_token_id");
    PUT(FIRN_GGUF_U32, 4);
    PUT(1, 4);
    scratch_mkdir("keys");
    hostile_write("keys/t.gguf", bytes, n);
}

/* ---- adapters ---- */

static struct tiny base, bert_base;

static void save_adapter(struct tiny *t, const char *model, enum firn_task task, const char *method, const char *folder)
{
    struct firn_save_params save = { .base_name = "base", .with_state = true };
    expect_ok(tiny_open(t, model, task, method), &t->err);
    expect_ok(firn_adapter_save(&t->adapter, &t->model, &t->params, t->flat, scratch_path(folder), &save, &t->err), &t->err);
}

static void make_lora(void)
{
    make_llama();
    save_adapter(&base, "llama", FIRN_TASK_CAUSAL_LM, "{\"type\": \"lora\", \"r\": 2, \"target_modules\": [\"q_proj\", "
                 "\"down_proj\"], \"rank_pattern\": {\"down_proj\": 3}}", "lora");
    scratch_write("lora/firn.json", "{\"task\": \"causal_lm\", \"labels\": [\"a\", \"b\"], \"max_length\": 12}");
    expect_ok(firn_gguf_write_lora(&base.model, scratch_path("lora"), scratch_path("lora.gguf"), &base.err), &base.err);
    tiny_close(&base);
}

static void make_prompt(void)
{
    make_llama();
    save_adapter(&base, "llama", FIRN_TASK_CAUSAL_LM, "{\"type\": \"p_tuning\", \"num_virtual_tokens\": 3, "
                 "\"encoder_hidden_size\": 5}", "prompt");
    tiny_close(&base);
}

static void make_houlsby(void)
{
    make_bert();
    save_adapter(&bert_base, "bert", FIRN_TASK_SEQ_CLS, "{\"type\": \"houlsby\", \"reduction_factor\": 2}", "houlsby");
    tiny_close(&bert_base);
}

/* Settings, then the tensors, as `firn generate --adapter` reads them. */
static firn_status read_adapter(const char *place, const char *model, enum firn_task task, struct firn_error *err)
{
    struct firn_model m;
    struct firn_adapter a = { 0 };
    struct firn_counts counts;
    struct firn_adapter_info info;
    const struct firn_build_params params = { .task = task, .batch = 2, .length = 5, .n_labels = 3 };
    float *flat = NULL;
    firn_status s = firn_model_open(&m, scratch_path(model), err);
    if (s != FIRN_OK)
        return s;
    s = firn_adapter_peek(&info, place, err);
    if (s == FIRN_OK)
        s = firn_adapter_load(&a, &m, task, place, err);
    if (s == FIRN_OK)
        s = firn_model_collect(&m, &a, &params, &counts, err);
    if (s == FIRN_OK && a.params.flat < 1 << 20)
        flat = calloc((size_t) a.params.flat + 1, sizeof *flat);
    if (flat != NULL)
        s = firn_adapter_read(&a, &m, place, flat, err);
    free(flat);
    firn_adapter_close(&a);
    firn_model_close(&m);
    return s;
}

static firn_status read_llama_adapter(const char *place, struct firn_error *err)
{
    return read_adapter(place, "llama", FIRN_TASK_CAUSAL_LM, err);
}

static firn_status read_bert_adapter(const char *place, struct firn_error *err)
{
    return read_adapter(place, "bert", FIRN_TASK_SEQ_CLS, err);
}

static firn_status read_gguf_lora(const char *place, struct firn_error *err)
{
    struct firn_model m;
    firn_status s = firn_model_open(&m, scratch_path("llama"), err);
    if (s != FIRN_OK)
        return s;
    s = firn_gguf_read_lora(&m, place, "base", scratch_path("from-gguf"), err);
    firn_model_close(&m);
    return s;
}

/* ---- data, recipes, checkpoints ---- */

static void make_data(void)
{
    scratch_write("rows.jsonl", "{\"text\": \"a \\u00e9\", \"label\": 1}\n{\"text\": \"b\", \"label\": -2.5e1, \"x\": [true, null]}\n");
    scratch_write("rows.csv", "text,label\n\"a, \"\"b\"\"\",1\r\nc,2\n");
    scratch_write("rows.tsv", "text\tlabel\na\t1\n\"b\nc\"\t2\n");
    scratch_write("rows.txt", "one line\n\nanother \xC3\xA9\n");
}

static firn_status read_table(const char *place, struct firn_error *err)
{
    struct firn_table t = { 0 };
    const firn_status s = firn_table_load(&t, place, err);
    firn_table_free(&t);
    return s;
}

static void make_recipe(void)
{
    scratch_write("recipe.yaml", "model: models/minilm   # a comment\ntask: sequence_classification\n"
                                 "data:  {train: train.jsonl, text: text, label: 'label'}\n"
                                 "method:\n  type: lora\n  r: 8\n  target_modules: [query, \"value\"]\n"
                                 "train: {num_train_epochs: 1, learning_rate: 1e-3}\noutput: |\n  runs\ndevice: auto\n");
}

static firn_status read_recipe(const char *place, struct firn_error *err)
{
    struct firn_recipe r = { 0 };
    const firn_status s = firn_recipe_load(&r, place, NULL, 0, err);
    firn_recipe_free(&r);
    return s;
}

static void make_checkpoint(void)
{
    struct firn_error err = { 0 };
    const struct firn_checkpoint_file files[] = { { "state.bin", "12345678", 8 }, { "recipe.yaml", "a: 1\n", 5 } };
    expect_ok(firn_checkpoint_write(scratch_path("checkpoints"), 7, files, 2, 0, &err), &err);
}

static firn_status read_checkpoint(const char *place, struct firn_error *err)
{
    char *path = NULL, *data = NULL;
    size_t size = 0;
    int64_t step = 0;
    firn_status s = firn_checkpoint_find(place, &(const struct firn_log){ 0 }, &path, &step, err);
    if (s == FIRN_OK && path == NULL)
        s = firn_checkpoint_read(scratch_path("checkpoints/step-000007"), "state.bin", &data, &size, err);
    else if (s == FIRN_OK)
        s = firn_checkpoint_read(path, "state.bin", &data, &size, err);
    free(data);
    free(path);
    return s;
}

static void make_chat(void)
{
    make_bpe();
}

static firn_status read_chat(const char *place, struct firn_error *err)
{
    struct firn_chat c = { 0 };
    struct firn_tokenizer *tok = NULL;
    firn_status s = firn_tokenizer_open(&tok, place, err);
    if (s == FIRN_OK)
        s = firn_chat_open(&c, place, tok, NULL, "chat", err);
    firn_chat_close(&c);
    firn_tokenizer_close(&tok);
    return s;
}

// clang-format off
const struct reader readers[] = {
    { "safetensors",           make_safetensors, read_safetensors,   "one.safetensors", NULL },
    { "shard index",           make_shards,      read_weights,       "shards",      "model.safetensors.index.json" },
    { "config.json of Llama",  make_llama,       read_model,         "llama",       "config.json" },
    { "config.json of BERT",   make_bert,        read_model,         "bert",        "config.json" },
    { "gguf model",            make_gguf,        read_model,         "one.gguf",    NULL },
    { "tokenizer.json, BPE",   make_bpe,         read_tokenizer,     "bpe",         "tokenizer.json" },
    { "tokenizer.json, Unigram", make_unigram,   read_tokenizer,     "unigram",     "tokenizer.json" },
    { "tokenizer.json, WordPiece", make_wordpiece, read_tokenizer,   "wordpiece",   "tokenizer.json" },
    { "tokenizer_config.json", make_bpe,         read_tokenizer,     "bpe",         "tokenizer_config.json" },
    { "tokenizer of a gguf",   make_gguf_tokenizer, read_tokenizer,  "keys/t.gguf", NULL },
    { "chat template",         make_chat,        read_chat,          "bpe",         "tokenizer_config.json" },
    { "adapter_config.json of LoRA", make_lora,  read_llama_adapter, "lora",        "adapter_config.json" },
    { "adapter weights of LoRA", make_lora,      read_llama_adapter, "lora",        "adapter_model.safetensors" },
    { "firn.json",             make_lora,        read_llama_adapter, "lora",        "firn.json" },
    { "gguf adapter",          make_lora,        read_gguf_lora,     "lora.gguf",   NULL },
    { "adapter_config.json of p-tuning", make_prompt, read_llama_adapter, "prompt", "adapter_config.json" },
    { "adapter_config.json of adapter-hub", make_houlsby, read_bert_adapter, "houlsby", "adapter_config.json" },
    { "head_config.json of adapter-hub", make_houlsby, read_bert_adapter, "houlsby", "head_config.json" },
    { "jsonl",                 make_data,        read_table,         "rows.jsonl",  NULL },
    { "csv",                   make_data,        read_table,         "rows.csv",    NULL },
    { "tsv",                   make_data,        read_table,         "rows.tsv",    NULL },
    { "text",                  make_data,        read_table,         "rows.txt",    NULL },
    { "recipe",                make_recipe,      read_recipe,        "recipe.yaml", NULL },
    { "checkpoint manifest",   make_checkpoint,  read_checkpoint,    "checkpoints", "step-000007/manifest.json" },
    { NULL },
};
// clang-format on

const struct reader *reader_of(const char *name)
{
    for (const struct reader *r = readers; r->name != NULL; r++)
        if (strcmp(r->name, name) == 0)
            return r;
    fail_msg("no reader %s", name);
    return NULL;
}

const char *victim(const struct reader *r)
{
    static char path[200];
    snprintf(path, sizeof path, "%s%s%s", r->place, r->file != NULL ? "/" : "", r->file != NULL ? r->file : "");
    return path;
}
