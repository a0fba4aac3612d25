/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers out of the keys of a GGUF file (tokenizer.ggml.*, as llama.cpp writes them). The keys become the text of a
 * tokenizer.json, which is read as any other: one way from a vocabulary to tokens. */
#include "text/gguf_tokenizer.h"

#include "base/str.h"
#include "text/utf8.h"
#include "text/vocab.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* tokenizer.ggml.token_type */
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };
enum { MAX_TOKENS = 1 << 21, LONGEST_MERGED = 256 };

// clang-format off
#define GPT2_WORDS "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}"
#define SPLIT(regex)                                                                                                 \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" regex "\"}, \"behavior\": \"Isolated\", \"invert\": false}, "    \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": false, \"use_regex\": false}"
#define WORDS(digits)                                                                                                \
    SPLIT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" digits "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*" \
          "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+")
#define DIGITS "{\"type\": \"Digits\", \"individual_digits\": true}, " GPT2_WORDS
#define CASED "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define LOWER "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define TEKKEN                                                                                                       \
    SPLIT("[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" CASED "*" LOWER "+|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" CASED "+" LOWER "*|\\\\p{N}" \
          "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+")

/* What stands behind tokenizer.ggml.pre in the tokenizer.json of those models. */
static const struct pre {
    const char *name, *stages;
    bool normalizes, ignores_merges, adds_bos;
} pres[] = {
    { "gpt-2",           GPT2_WORDS },
    { "phi-2",           GPT2_WORDS },
    { "smollm",          DIGITS },
    { "starcoder",       DIGITS },
    { "qwen2",           WORDS(""), .normalizes = true },
    { "deepseek-r1-qwen", WORDS(""), .normalizes = true, .adds_bos = true },
    { "llama-bpe",       WORDS("{1,3}"), .ignores_merges = true, .adds_bos = true },
    { "llama3",          WORDS("{1,3}"), .ignores_merges = true, .adds_bos = true },
    { "llama-v3",        WORDS("{1,3}"), .ignores_merges = true, .adds_bos = true },
    { "tekken",          TEKKEN, .ignores_merges = true, .adds_bos = true },
};
static const char known_pres[] = "gpt-2, phi-2, smollm, starcoder, qwen2, deepseek-r1-qwen, llama-bpe or tekken";
// clang-format on

struct reader {
    const struct firn_gguf_keys *keys;
    const char *file;
    struct firn_error *err;
    struct firn_vocab vocab; /* texts to ids */
    const struct firn_gguf_key *types, *scores;
    struct firn_str out;
};

static firn_status bad(const struct reader *r, const char *key, const char *expected, const char *got)
{
    return firn_fail(r->err, FIRN_ERR_FORMAT, .file = r->file, .key = key, .expected = expected, .got = got);
}

static void add_text(struct firn_str *out, const char *text, size_t size)
{
    firn_str_add_n(out, "\"", 1);
    for (size_t i = 0, plain = 0; i <= size; i++) {
        const unsigned char c = i < size ? (unsigned char) text[i] : '"';
        if (i < size && c >= 0x20 && c != '"' && c != '\\')
            continue;
        firn_str_add_n(out, text + plain, i - plain);
        plain = i + 1;
        if (i < size)
            firn_str_addf(out, "\\u%04x", (unsigned) c);
    }
    firn_str_add_n(out, "\"", 1);
}

static const char *text_of(const struct reader *r, size_t i, size_t *size)
{
    *size = r->vocab.words[i].size;
    return r->vocab.bytes + r->vocab.words[i].at;
}

static int type_of(const struct reader *r, size_t i)
{
    return r->types != NULL ? (int) firn_gguf_item(r->types, i) : NORMAL;
}

static const struct firn_gguf_key *array_of(const struct reader *r, const char *name, bool of_texts, uint64_t n)
{
    const struct firn_gguf_key *key = firn_gguf_key(r->keys, name);
    if (key == NULL || key->type != FIRN_GGUF_ARRAY || (key->of == FIRN_GGUF_STRING) != of_texts || key->of == FIRN_GGUF_BOOL ||
        (n > 0 && key->count != n))
        return NULL;
    return key;
}

static firn_status read_vocab(struct reader *r)
{
    const struct firn_gguf_key *tokens = array_of(r, "tokenizer.ggml.tokens", true, 0);
    if (tokens == NULL || tokens->count == 0 || tokens->count > MAX_TOKENS)
        return bad(r, "tokenizer.ggml.tokens", FIRN_STR("1 to %d texts", MAX_TOKENS), tokens == NULL ? "none" : "another number");
    r->types = array_of(r, "tokenizer.ggml.token_type", false, tokens->count);
    r->scores = array_of(r, "tokenizer.ggml.scores", false, tokens->count);
    if (r->types == NULL && firn_gguf_key(r->keys, "tokenizer.ggml.token_type") != NULL)
        return bad(r, "tokenizer.ggml.token_type", "a number for each token", "something else");
    const uint8_t *at = tokens->data;
    uint32_t twice = 0;
    for (uint64_t i = 0; i < tokens->count; i++) {
        size_t size;
        const char *text = firn_gguf_next_text(&at, &size);
        if (firn_utf8_valid((const uint8_t *) text, size) != size)
            return bad(r, FIRN_STR("tokenizer.ggml.tokens[%" PRIu64 "]", i), "UTF-8", "something else");
        if (!firn_vocab_add(&r->vocab, text, size, (int32_t) i))
            return firn_fail(r->err, FIRN_ERR_MEMORY, .file = r->file, .what = "out of memory for its tokens");
    }
    if (!firn_vocab_finish(&r->vocab, &twice))
        return firn_fail(r->err, FIRN_ERR_MEMORY, .file = r->file, .what = "out of memory for its tokens");
    return twice == 0 ? FIRN_OK : bad(r, FIRN_STR("tokenizer.ggml.tokens[%u]", twice - 1), "each token once", "one again");
}

/* The token of an id that the file names, or -1. */
static int32_t id_of(const struct reader *r, const char *name)
{
    const int32_t id = firn_gguf_key_whole(r->keys, FIRN_STR("tokenizer.ggml.%s_token_id", name), -1);
    return id >= 0 && (size_t) id < r->vocab.n ? id : -1;
}

static void add_token(struct reader *r, int32_t id)
{
    size_t size;
    const char *text = text_of(r, (size_t) id, &size);
    add_text(&r->out, text, size);
}

static void add_added(struct reader *r)
{
    bool is_first = true;
    firn_str_add(&r->out, "\"added_tokens\": [");
    for (size_t i = 0; i < r->vocab.n; i++) {
        const int type = type_of(r, i);
        if ((type != CONTROL && type != USER_DEFINED && type != UNKNOWN) || r->vocab.words[i].size == 0)
            continue;
        firn_str_addf(&r->out, "%s{\"id\": %zu, \"normalized\": false, \"special\": %s, \"content\": ", is_first ? "" : ", ", i,
                      type == USER_DEFINED ? "false" : "true");
        add_token(r, (int32_t) i);
        firn_str_add(&r->out, "}");
        is_first = false;
    }
    firn_str_add(&r->out, "], ");
}

static void add_special(struct reader *r, int32_t id, int type, bool is_first)
{
    firn_str_add(&r->out, is_first ? "{\"SpecialToken\": {\"id\": " : ", {\"SpecialToken\": {\"id\": ");
    add_token(r, id);
    firn_str_addf(&r->out, ", \"type_id\": %d}}", type);
}

static void add_sequence(struct reader *r, int32_t bos, int32_t eos, int type)
{
    if (bos >= 0)
        add_special(r, bos, type, type == 0);
    firn_str_addf(&r->out, "%s{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}", bos >= 0 || type > 0 ? ", " : "", "AB"[type], type);
    if (eos >= 0)
        add_special(r, eos, type, false);
}

static void add_template(struct reader *r, int32_t bos, int32_t eos)
{
    const int32_t ids[] = { bos, bos == eos ? -1 : eos };
    bool is_first = true;
    firn_str_add(&r->out, "{\"type\": \"TemplateProcessing\", \"single\": [");
    add_sequence(r, bos, eos, 0);
    firn_str_add(&r->out, "], \"pair\": [");
    add_sequence(r, bos, eos, 0);
    add_sequence(r, bos, eos, 1);
    firn_str_add(&r->out, "], \"special_tokens\": {");
    for (int i = 0; i < 2; i++) {
        if (ids[i] < 0)
            continue;
        firn_str_add(&r->out, is_first ? "" : ", ");
        add_token(r, ids[i]);
        firn_str_add(&r->out, ": {\"id\": ");
        add_token(r, ids[i]);
        firn_str_addf(&r->out, ", \"ids\": [%d], \"tokens\": [", (int) ids[i]);
        add_token(r, ids[i]);
        firn_str_add(&r->out, "]}");
        is_first = false;
    }
    firn_str_add(&r->out, "}}");
}

static void add_post(struct reader *r, bool adds_bos, bool is_byte_level)
{
    const bool wants_bos = firn_gguf_key_whole(r->keys, "tokenizer.ggml.add_bos_token", adds_bos) != 0;
    const bool wants_eos = firn_gguf_key_whole(r->keys, "tokenizer.ggml.add_eos_token", 0) != 0;
    static const char bytes[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": false, \"use_regex\": true}";
    firn_str_add(&r->out, "\"post_processor\": {\"type\": \"Sequence\", \"processors\": [");
    if (is_byte_level)
        firn_str_addf(&r->out, "%s, ", bytes);
    add_template(r, wants_bos ? id_of(r, "bos") : -1, wants_eos ? id_of(r, "eos") : -1);
    firn_str_add(&r->out, "]}, ");
}

static void add_vocab(struct reader *r)
{
    firn_str_add(&r->out, "\"vocab\": {");
    for (size_t i = 0; i < r->vocab.n; i++) {
        firn_str_add_n(&r->out, ", ", i > 0 ? 2 : 0);
        add_token(r, (int32_t) i);
        firn_str_addf(&r->out, ": %zu", i);
    }
    firn_str_add(&r->out, "}");
}

/* ---- byte-level BPE: the merges are in the file ---- */

static firn_status write_bytes(struct reader *r)
{
    char name[64];
    firn_gguf_key_text(r->keys, "tokenizer.ggml.pre", name, sizeof name);
    const struct pre *pre = NULL;
    for (size_t i = 0; i < sizeof pres / sizeof pres[0]; i++)
        if (strcmp(pres[i].name, name) == 0)
            pre = &pres[i];
    if (pre == NULL)
        return firn_fail(r->err, FIRN_ERR_UNSUPPORTED, .file = r->file, .key = "tokenizer.ggml.pre",
                         .expected = FIRN_STR("%s; or the model's tokenizer.json beside the file", known_pres),
                         .got = name[0] != '\0' ? name : "none");
    const struct firn_gguf_key *merges = array_of(r, "tokenizer.ggml.merges", true, 0);
    if (merges == NULL)
        return bad(r, "tokenizer.ggml.merges", "an array of texts", "none");
    add_added(r);
    firn_str_addf(&r->out, "\"normalizer\": %s, \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [%s]}, ",
                  pre->normalizes ? "{\"type\": \"NFC\"}" : "null", pre->stages);
    add_post(r, pre->adds_bos, true);
    firn_str_addf(&r->out, "\"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"ignore_merges\": %s, ",
                  pre->ignores_merges ? "true" : "false");
    add_vocab(r);
    firn_str_add(&r->out, ", \"merges\": [");
    const uint8_t *at = merges->data;
    for (uint64_t i = 0; i < merges->count; i++) {
        size_t size;
        const char *text = firn_gguf_next_text(&at, &size);
        firn_str_add_n(&r->out, ", ", i > 0 ? 2 : 0);
        add_text(&r->out, text, size);
    }
    firn_str_add(&r->out, "]}}");
    return FIRN_OK;
}

/* ---- SentencePiece's BPE: merges follow from the scores of what they make ---- */

struct merge {
    float score;
    uint32_t left_chars, right_chars;
    uint32_t left_bytes, token;
};

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Higher scores first; of one token's the longest left part, the order in which Hugging Face's converter writes them. */
static int by_rank(const void *a, const void *b)
{
    const struct merge *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    int order = compare(y->left_chars, x->left_chars);
    order = order != 0 ? order : compare(y->right_chars, x->right_chars);
    return order != 0 ? order : compare(x->token, y->token);
}

static bool is_part(const struct reader *r, const char *text, size_t size)
{
    const int32_t id = firn_vocab_find(&r->vocab, text, size);
    return id >= 0 && type_of(r, (size_t) id) == NORMAL;
}

static firn_status find_merges(const struct reader *r, struct merge **list, size_t *n)
{
    size_t room = 0;
    for (size_t i = 0; i < r->vocab.n; i++) {
        size_t size;
        const char *text = text_of(r, i, &size);
        if (type_of(r, i) != NORMAL || size > LONGEST_MERGED) /* longer ones are no words */
            continue;
        uint32_t chars = 0, done = 0;
        for (size_t k = 0; k < size; k++)
            chars += ((unsigned char) text[k] & 0xC0) != 0x80;
        for (size_t k = size > 0 ? firn_utf8_size((uint8_t) text[0]) : 0; k < size; k += firn_utf8_size((uint8_t) text[k])) {
            done++;
            if (!is_part(r, text, k) || !is_part(r, text + k, size - k))
                continue;
            if (*n == room) {
                room = room * 2 + 1024;
                struct merge *grown = realloc(*list, room * sizeof *grown);
                if (grown == NULL)
                    return firn_fail(r->err, FIRN_ERR_MEMORY, .file = r->file, .what = "out of memory for its tokens");
                *list = grown;
            }
            const float score = (float) firn_gguf_item(r->scores, i);
            (*list)[(*n)++] = (struct merge){ isnan(score) ? -INFINITY : score, done, chars - done, (uint32_t) k, (uint32_t) i };
        }
    }
    if (*n > 1)
        qsort(*list, *n, sizeof **list, by_rank);
    return FIRN_OK;
}

static firn_status write_pieces(struct reader *r)
{
    if (r->scores == NULL)
        return bad(r, "tokenizer.ggml.scores", "a number for each token", "none");
    const bool adds_space = firn_gguf_key_whole(r->keys, "tokenizer.ggml.add_space_prefix", 1) != 0;
    int32_t unknown = id_of(r, "unknown");
    for (size_t i = 0; i < r->vocab.n && unknown < 0; i++)
        unknown = type_of(r, i) == UNKNOWN ? (int32_t) i : -1;
    struct merge *merges = NULL;
    size_t n = 0;
    const firn_status status = find_merges(r, &merges, &n);
    static const char mark[] = "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\\u2581\"}";
    add_added(r);
    firn_str_addf(&r->out, "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [%s%s]}, \"pre_tokenizer\": null, ",
                  adds_space ? "{\"type\": \"Prepend\", \"prepend\": \"\\u2581\"}, " : "", mark);
    add_post(r, true, false);
    firn_str_addf(&r->out,
                  "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": "
                  "\"\\u2581\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}%s]}, "
                  "\"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"fuse_unk\": true, ",
                  adds_space ? ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}" : "");
    if (unknown >= 0) {
        firn_str_add(&r->out, "\"unk_token\": ");
        add_token(r, unknown);
        firn_str_add(&r->out, ", ");
    }
    add_vocab(r);
    firn_str_add(&r->out, ", \"merges\": [");
    for (size_t i = 0; i < n; i++) {
        size_t size;
        const char *text = text_of(r, merges[i].token, &size);
        firn_str_add(&r->out, i > 0 ? ", [" : "[");
        add_text(&r->out, text, merges[i].left_bytes);
        firn_str_add(&r->out, ", ");
        add_text(&r->out, text + merges[i].left_bytes, size - merges[i].left_bytes);
        firn_str_add(&r->out, "]");
    }
    firn_str_add(&r->out, "]}}");
    free(merges);
    return status;
}

/* ---- both ---- */

static firn_status set_roles(struct reader *r, struct firn_tokenizer *tok)
{
    static const char *const names[FIRN_N_ROLES] = { "bos", "eos", "padding", "unknown", "cls", "seperator", "mask" };
    for (int i = 0; i < FIRN_N_ROLES; i++) {
        const int32_t id = id_of(r, names[i]);
        if (id < 0)
            continue;
        tok->roles[i].id = id;
        tok->roles[i].text = firn_strdup(firn_token_text(tok, id, NULL));
        if (tok->roles[i].text == NULL)
            return firn_fail(r->err, FIRN_ERR_MEMORY, .file = r->file);
    }
    return FIRN_OK;
}

firn_status firn_gguf_tokenizer(struct firn_tokenizer **out, const char *file, const struct firn_gguf_keys *keys,
                                struct firn_error *err)
{
    struct reader r = { .keys = keys, .file = file, .err = err };
    const bool is_bytes = firn_gguf_key_is_text(keys, "tokenizer.ggml.model", "gpt2");
    char kind[64];
    *out = NULL;
    firn_status status = FIRN_OK;
    if (!is_bytes && !firn_gguf_key_is_text(keys, "tokenizer.ggml.model", "llama"))
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "tokenizer.ggml.model",
                         .expected = "llama or gpt2; or the model's tokenizer.json beside the file",
                         .got = firn_gguf_key_text(keys, "tokenizer.ggml.model", kind, sizeof kind)[0] != '\0' ? kind : "none");
    status = read_vocab(&r);
    firn_str_add(&r.out, "{\"version\": \"1.0\", ");
    if (status == FIRN_OK)
        status = is_bytes ? write_bytes(&r) : write_pieces(&r);
    if (status == FIRN_OK && r.out.failed)
        status = firn_fail(err, FIRN_ERR_MEMORY, .file = file, .what = "out of memory for its tokens");
    if (status == FIRN_OK)
        status = firn_tokenizer_parse(out, file, r.out.data, r.out.size, err);
    if (status == FIRN_OK)
        status = set_roles(&r, *out);
    if (status != FIRN_OK && *out != NULL)
        firn_tokenizer_close(out);
    firn_str_free(&r.out);
    firn_vocab_free(&r.vocab);
    return status;
}
