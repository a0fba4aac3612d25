/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers out of GGUF keys: the recorded ones are written as keys by this test and must give the recorded tokens again;
 * SentencePiece's BPE is held against its own plain algorithm. */
#include "text.h"

#include "base/json.h"
#include "text/gguf_tokenizer.h"
#include "text/utf8.h"

/* ---- keys, written here ---- */

static struct firn_str keys_text;
static uint64_t n_keys;

static void put(uint64_t x, int n)
{
    for (int i = 0; i < n; i++)
        firn_str_add_n(&keys_text, &(char){ (char) (x >> 8 * i) }, 1);
}
static void put_text(const char *text, size_t n)
{
    put(n, 8);
    firn_str_add_n(&keys_text, text, n);
}
static void key(const char *name, int type)
{
    put_text(name, strlen(name));
    put((uint64_t) type, 4);
    n_keys++;
}
static void key_text(const char *name, const char *text)
{
    key(name, FIRN_GGUF_STRING);
    put_text(text, strlen(text));
}
static void key_id(const char *name, int64_t id)
{
    key(name, FIRN_GGUF_U32);
    put((uint64_t) id, 4);
}
static void key_bool(const char *name, bool x)
{
    key(name, FIRN_GGUF_BOOL);
    put(x, 1);
}
static void key_array(const char *name, int of, size_t n)
{
    key(name, FIRN_GGUF_ARRAY);
    put((uint64_t) of, 4);
    put(n, 8);
}

static firn_status open_keys(struct firn_tokenizer **tok, struct firn_error *err)
{
    struct firn_str all = { 0 };
    struct firn_gguf_keys keys;
    struct firn_str body = keys_text;
    keys_text = (struct firn_str){ 0 };
    put(0x46554747, 4);
    put(3, 4);
    put(0, 8);
    put(n_keys, 8);
    all = keys_text;
    firn_str_add_n(&all, body.data, body.size);
    firn_str_free(&body);
    keys_text = (struct firn_str){ 0 };
    n_keys = 0;
    struct firn_gguf_cursor c = { "test.gguf", (const uint8_t *) all.data, (const uint8_t *) all.data + all.size, err };
    *tok = NULL;
    firn_status s = firn_gguf_keys_read(&keys, &c);
    if (s == FIRN_OK)
        s = firn_gguf_tokenizer(tok, "test.gguf", &keys, err);
    firn_gguf_keys_free(&keys);
    firn_str_free(&all);
    return s;
}

/* ---- the recorded ones ---- */

static json_t *load_golden(const char *name)
{
    static char path[700];
    struct firn_error err = { 0 };
    json_t *root = NULL;
    snprintf(path, sizeof path, "%s/tokenizer.json", golden_tokenizer(name));
    check_ok(firn_json_load(path, &root, &err), &err);
    return root;
}

/* Texts and types in the order of the ids. */
static size_t order(const json_t *root, const char *texts[], int types[], size_t most)
{
    const json_t *model = json_object_get(root, "model");
    const char *text;
    json_t *id, *one;
    size_t n = 0, i;
    json_object_foreach (json_object_get(model, "vocab"), text, id) {
        const size_t at = (size_t) json_integer_value(id);
        assert_true(at < most);
        texts[at] = text;
        types[at] = strlen(text) == 6 && memcmp(text, "<0x", 3) == 0 ? 6 : 1;
        n = at >= n ? at + 1 : n;
    }
    json_array_foreach (json_object_get(root, "added_tokens"), i, one) {
        const size_t at = (size_t) json_integer_value(json_object_get(one, "id"));
        assert_true(at < most);
        texts[at] = json_string_value(json_object_get(one, "content"));
        types[at] = !json_is_true(json_object_get(one, "special")) ? 4 : strcmp(texts[at], "<unk>") == 0 ? 2 : 3;
        n = at >= n ? at + 1 : n;
    }
    return n;
}

enum { MOST = 8000 };

static void put_tokens(const char *texts[], const int types[], size_t n)
{
    key_array("tokenizer.ggml.tokens", FIRN_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(texts[i]);
        put_text(texts[i], strlen(texts[i]));
    }
    key_array("tokenizer.ggml.token_type", FIRN_GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        put((uint64_t) types[i], 4);
}

static int64_t id_in(const char *texts[], size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(texts[i], text) == 0)
            return (int64_t) i;
    return -1;
}

/* Every recorded line: ids with special tokens, offsets, decoded text. */
static void check_lines(const struct firn_tokenizer *tok, const char *name)
{
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    char path[700];
    snprintf(path, sizeof path, "%s/texts.jsonl", golden_tokenizer(name));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *line = NULL;
    size_t room = 0, number = 0;
    for (ssize_t n; (n = getline(&line, &room, f)) > 0;) {
        json_t *row = NULL;
        number++;
        check_ok(firn_json_parse_line(line, (size_t) n, path, number, &row, &err), &err);
        const json_t *text = json_object_get(row, "text"), *ids = json_object_get(row, "ids");
        const json_t *offsets = json_object_get(row, "offsets");
        check_ok(firn_tokenizer_encode(tok, json_string_value(text), json_string_length(text), NULL, 0, NULL, &e, &err), &err);
        if (e.n != json_array_size(ids))
            fail_msg("%s line %zu: %zu tokens, recorded are %zu", name, number, e.n, json_array_size(ids));
        for (size_t i = 0; i < e.n; i++)
            if (e.ids[i] != json_integer_value(json_array_get(ids, i)) ||
                e.offsets[i].begin != json_integer_value(json_array_get(json_array_get(offsets, i), 0)) ||
                e.offsets[i].end != json_integer_value(json_array_get(json_array_get(offsets, i), 1)))
                fail_msg("%s line %zu: token %zu is %d", name, number, i, (int) e.ids[i]);
        struct firn_str out = { 0 };
        check_ok(firn_tokenizer_decode(tok, e.ids, e.n, true, &out, &err), &err);
        assert_string_equal(out.data != NULL ? out.data : "", json_string_value(json_object_get(row, "decoded")));
        firn_str_free(&out);
        json_decref(row);
    }
    assert_true(number > 50);
    free(line);
    fclose(f);
    firn_encoding_free(&e);
}

static void byte_level_tokens_are_the_recorded_ones(void **state)
{
    (void) state;
    static const struct { const char *name, *pre, *bos; } all[] = {
        { "gpt2-bpe", "gpt-2", "<|endoftext|>" }, { "llama3-bpe", "llama-bpe", "<|begin_of_text|>" }, { "qwen2-bpe", "qwen2", NULL } };
    for (size_t k = 0; k < N_OF(all); k++) {
        static const char *texts[MOST];
        static int types[MOST];
        struct firn_error err = { 0 };
        struct firn_tokenizer *tok;
        json_t *root = load_golden(all[k].name), *merge;
        const json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
        memset(texts, 0, sizeof texts);
        const size_t n = order(root, texts, types, MOST);
        size_t i;
        key_text("tokenizer.ggml.model", "gpt2");
        key_text("tokenizer.ggml.pre", all[k].pre);
        put_tokens(texts, types, n);
        key_array("tokenizer.ggml.merges", FIRN_GGUF_STRING, json_array_size(merges));
        json_array_foreach (merges, i, merge) {
            char both[400];
            if (json_is_string(merge))
                snprintf(both, sizeof both, "%s", json_string_value(merge));
            else
                snprintf(both, sizeof both, "%s %s", json_string_value(json_array_get(merge, 0)),
                         json_string_value(json_array_get(merge, 1)));
            put_text(both, strlen(both));
        }
        if (all[k].bos != NULL)
            key_id("tokenizer.ggml.bos_token_id", id_in(texts, n, all[k].bos));
        check_ok(open_keys(&tok, &err), &err);
        check_lines(tok, all[k].name);
        if (all[k].bos != NULL)
            assert_string_equal(firn_tokenizer_role_text(tok, FIRN_ROLE_BOS), all[k].bos);
        firn_tokenizer_close(&tok);
        json_decref(root);
    }
}

/* ---- SentencePiece's BPE ---- */

static float score_of(const float scores[], const char *texts[], size_t n, const char *text, size_t size, int64_t *id)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(texts[i]) == size && memcmp(texts[i], text, size) == 0) {
            *id = (int64_t) i;
            return scores[i];
        }
    *id = -1;
    return 0;
}

/* The best pair, the leftmost of equal ones, again and again; what stays unknown becomes bytes. */
static size_t plain(const float scores[], const char *texts[], size_t n, const char *text, int64_t ids[])
{
    size_t ends[200], n_parts = 0, size = strlen(text), count = 0;
    for (size_t at = 0; at < size; at += firn_utf8_size((uint8_t) text[at]))
        ends[n_parts++] = at + firn_utf8_size((uint8_t) text[at]);
    for (;;) {
        size_t best = n_parts;
        float most = 0;
        for (size_t i = 0, begin = 0; i + 1 < n_parts; begin = ends[i++]) {
            int64_t id;
            const float score = score_of(scores, texts, n, text + begin, ends[i + 1] - begin, &id);
            if (id >= 0 && (best == n_parts || score > most)) {
                best = i;
                most = score;
            }
        }
        if (best == n_parts)
            break;
        memmove(ends + best, ends + best + 1, (--n_parts - best) * sizeof *ends);
    }
    for (size_t i = 0, begin = 0; i < n_parts; begin = ends[i++]) {
        int64_t id;
        score_of(scores, texts, n, text + begin, ends[i] - begin, &id);
        for (size_t k = begin; id < 0 && k < ends[i]; k++) {
            int64_t byte;
            char code[8];
            snprintf(code, sizeof code, "<0x%02X>", (unsigned) (unsigned char) text[k]);
            score_of(scores, texts, n, code, 6, &byte);
            ids[count++] = byte;
        }
        if (id >= 0)
            ids[count++] = id;
    }
    return count;
}

static void pieces_are_merged_by_score(void **state)
{
    (void) state;
    static const char *const words[] = { "<unk>", "<s>", "</s>", "\xE2\x96\x81", "a", "b", "c", "\xC3\xA9", "ab", "bc", "abc", "\xE2\x96\x81" "a",
                                         "aa", "ca", "\xE2\x96\x81" "ab", "b\xC3\xA9", "bab", "aab", "<turn>" };
    static const float values[] = { 0, 0, 0, -60, -61, -62, -63, -64, -3, -1, -2, -5, -4, -8, -6, -7, -9, -10, 0 };
    static char bytes[256][8];
    const char *texts[N_OF(words) + 256];
    int types[N_OF(words) + 256];
    float scores[N_OF(words) + 256];
    const size_t n = N_OF(texts);
    for (size_t i = 0; i < n; i++) {
        const bool is_word = i < N_OF(words);
        if (!is_word)
            snprintf(bytes[i - N_OF(words)], 8, "<0x%02X>", (unsigned) (i - N_OF(words)));
        texts[i] = is_word ? words[i] : bytes[i - N_OF(words)];
        types[i] = !is_word ? 6 : i == 0 ? 2 : i < 3 ? 3 : i == N_OF(words) - 1 ? 4 : 1;
        scores[i] = is_word ? values[i] : 0;
    }
    for (int adds_space = 0; adds_space < 2; adds_space++) {
        struct firn_error err = { 0 };
        struct firn_tokenizer *tok;
        struct firn_encoding e = { 0 };
        key_text("tokenizer.ggml.model", "llama");
        put_tokens(texts, types, n);
        key_array("tokenizer.ggml.scores", FIRN_GGUF_F32, n);
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &scores[i], 4);
            put(bits, 4);
        }
        key_id("tokenizer.ggml.bos_token_id", 1);
        key_id("tokenizer.ggml.eos_token_id", 2);
        key_bool("tokenizer.ggml.add_space_prefix", adds_space != 0);
        key_bool("tokenizer.ggml.add_eos_token", adds_space == 0);
        check_ok(open_keys(&tok, &err), &err);
        uint64_t seed = 7;
        for (int k = 0; k < 400; k++) {
            static const char *const letters[] = { "a", "b", "c", " ", "\xC3\xA9", "x" };
            char text[120] = "", marked[300] = "";
            int64_t want[300];
            for (int i = 0; i < 1 + k % 25; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                strcat(text, letters[(seed >> 33) % (k % 2 == 0 ? 3 : 6)]);
            }
            if (adds_space)
                strcat(marked, "\xE2\x96\x81");
            for (const char *c = text; *c != '\0'; c++)
                strcat(marked, *c == ' ' ? "\xE2\x96\x81" : (const char[]){ *c, '\0' });
            const size_t count = plain(scores, texts, n, marked, want);
            check_ok(firn_tokenizer_encode(tok, text, strlen(text), NULL, 0, NULL, &e, &err), &err);
            if (e.n != count + 1 + (adds_space == 0) || e.ids[0] != 1)
                fail_msg("'%s': %zu tokens, wanted %zu", text, e.n, count + 1);
            for (size_t i = 0; i < count; i++)
                if (e.ids[i + 1] != want[i])
                    fail_msg("'%s': token %zu is %d, wanted %d", text, i, (int) e.ids[i + 1], (int) want[i]);
            struct firn_str out = { 0 };
            check_ok(firn_tokenizer_decode(tok, e.ids, e.n, true, &out, &err), &err);
            assert_string_equal(out.data, text);
            firn_str_free(&out);
        }
        // a token that a user defined is not taken apart, and is no special one
        check_ok(firn_tokenizer_encode(tok, "a<turn>", 7, NULL, 0, NULL, &e, &err), &err);
        assert_int_equal(e.ids[e.n - 1 - (adds_space == 0)], N_OF(words) - 1);
        assert_false(firn_token_is_special(tok, N_OF(words) - 1));
        assert_true(firn_token_is_special(tok, 1));
        firn_encoding_free(&e);
        firn_tokenizer_close(&tok);
    }
}

static void what_is_missing_is_named(void **state)
{
    (void) state;
    struct firn_tokenizer *tok;
    struct firn_error err = { 0 };
    key_text("general.architecture", "llama");
    check_fails(open_keys(&tok, &err), FIRN_ERR_UNSUPPORTED, &err,
                "tokenizer.ggml.model: expected llama or gpt2; or the model's tokenizer.json beside the file, got none");
    key_text("tokenizer.ggml.model", "gpt2");
    check_fails(open_keys(&tok, &err), FIRN_ERR_FORMAT, &err, "tokenizer.ggml.tokens: expected 1 to 2097152 texts, got none");
    key_text("tokenizer.ggml.model", "gpt2");
    key_text("tokenizer.ggml.pre", "klingon");
    put_tokens((const char *[]){ "a", "b" }, (const int[]){ 1, 1 }, 2);
    assert_int_equal(open_keys(&tok, &err), FIRN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "tokenizer.ggml.pre: expected gpt-2, "));
    assert_non_null(strstr(err.text, "got klingon"));
    key_text("tokenizer.ggml.model", "llama");
    put_tokens((const char *[]){ "a", "a" }, (const int[]){ 1, 1 }, 2);
    check_fails(open_keys(&tok, &err), FIRN_ERR_FORMAT, &err, "tokenizer.ggml.tokens[1]: expected each token once, got one again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level_tokens_are_the_recorded_ones),
        cmocka_unit_test(pieces_are_merged_by_score),
        cmocka_unit_test(what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
