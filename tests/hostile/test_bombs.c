/* SPDX-License-Identifier: Apache-2.0 */
/* Files made to be expensive: deep nesting, many small values, numbers beyond all memory, patterns without end, names
 * that lead elsewhere. Each is refused within the limits. */
#include "readers.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int make(void **state)
{
    (void) state;
    scratch_make();
    for (const struct reader *r = readers; r->name != NULL; r++)
        r->make();
    return 0;
}

static size_t n_bombs;

/* Damages the reader's file so, reads it, mends it again. */
static firn_status explode(const char *name, const char *bytes, size_t size, const char *what)
{
    const struct reader *r = reader_of(name);
    size_t before;
    uint8_t *good = hostile_bytes(victim(r), &before);
    hostile_write(victim(r), bytes, size);
    const firn_status s = limited(r, size, what);
    hostile_write(victim(r), good, before);
    free(good);
    n_bombs++;
    return s;
}

static void refuse(const char *name, const char *text, const char *what)
{
    if (explode(name, text, strlen(text), what) == FIRN_OK)
        fail_msg("%s, %s: accepted", name, what);
}

/* before, `part` n times (a %d in it counts), after. */
static char *many(const char *before, const char *part, int n, const char *after)
{
    struct firn_str s = { 0 };
    const char *number = strstr(part, "%d");
    firn_str_add(&s, before);
    for (int i = 0; i < n; i++) {
        if (number == NULL) {
            firn_str_add(&s, part);
            continue;
        }
        firn_str_add_n(&s, part, (size_t) (number - part));
        firn_str_addf(&s, "%d%s", i, number + 2);
    }
    firn_str_add(&s, after);
    assert_false(s.failed);
    return s.data;
}

static void refuse_many(const char *name, const char *before, const char *part, int n, const char *after, const char *what)
{
    char *text = many(before, part, n, after);
    refuse(name, text, what);
    free(text);
}

static const char *const json_readers[] = {
    "shard index", "config.json of Llama", "config.json of BERT", "tokenizer.json, BPE", "tokenizer.json, Unigram",
    "tokenizer.json, WordPiece", "tokenizer_config.json", "adapter_config.json of LoRA", "adapter_config.json of p-tuning",
    "adapter_config.json of adapter-hub", "head_config.json of adapter-hub", "jsonl", "checkpoint manifest",
};

static void deep_and_wide_json_is_refused(void **state)
{
    (void) state;
    for (size_t i = 0; i < N_OF(json_readers); i++) {
        const char *r = json_readers[i];
        refuse_many(r, "", "[", 300000, "", "300,000 open brackets");
        refuse_many(r, "", "{\"a\":", 60000, "", "60,000 open braces");
        refuse_many(r, "{\"a\":[", "{},", 200000, "0]}\n", "200,000 empty objects");
        refuse_many(r, "{\"a\":[", "0,", 600000, "0]}\n", "600,000 numbers");
        refuse_many(r, "{\"a\":[", "\"\",", 300000, "0]}\n", "300,000 empty texts");
        refuse_many(r, "{", "\"%d\":0,", 100000, "\"a\":0}\n", "100,000 keys");
        refuse_many(r, "{\"a\":1", "0", 500000, "}\n", "a number of 500,000 digits");
        refuse_many(r, "{\"a\":1e", "9", 500000, "}\n", "an exponent of 500,000 digits");
        refuse_many(r, "{\"a\":\"", "x", 500000, "}\n", "a text without end");
    }
}

static void recipes_without_end_are_refused(void **state)
{
    (void) state;
    static const char r[] = "recipe";
    refuse_many(r, "model: ", "[", 100000, "\n", "100,000 open brackets");
    refuse_many(r, "model: ", "{a: ", 50000, "\n", "50,000 open braces");
    refuse_many(r, "", "- ", 100000, "\n", "lists in lists on a line");
    refuse_many(r, "", "? ", 100000, "\n", "100,000 complex keys");
    refuse_many(r, "model: [", "a,", 200000, "]\n", "200,000 items");
    refuse_many(r, "model: [", "{},", 100000, "]\n", "100,000 empty mappings");
    refuse_many(r, "", "k%d: 1\n", 50000, "", "50,000 keys");
    refuse_many(r, "model: {", "k%d: 1, ", 50000, "}\n", "50,000 keys on a line");
    refuse_many(r, "model: \"", "x", 500000, "\n", "a text without end");
    refuse_many(r, "model: &a [x]\ntask: [", "*a, ", 50000, "]\n", "50,000 aliases");
    refuse(r, "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\ne: [*d, *d]\n", "aliases of aliases");
    refuse(r, "model: &a {b: *a}\n", "an alias of itself");
    refuse_many(r, "", "%%YAML 1.1\n", 20000, "---\nmodel: a\n", "20,000 directives");
    refuse_many(r, "", "---\n", 50000, "", "50,000 documents");
    refuse_many(r, "model: |\n", "  x\n", 100000, "nothing: 1\n", "a block of 100,000 lines");
    refuse_many(r, "model: ", "!", 100000, " x\n", "a tag of 100,000 bytes");
    refuse_many(r, "", "#\n", 200000, "model: [\n", "200,000 comments");
}

/* ---- absurd numbers ---- */

static void configurations_of_absurd_size_are_refused(void **state)
{
    (void) state;
    static const char *const keys[] = { "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                                        "intermediate_size", "vocab_size", "max_position_embeddings", "head_dim" };
    static const char *const values[] = { "9223372036854775807", "1099511627776", "2147483648", "100000000", "-1", "0", "1e308",
                                          "1e999", "\"8\"", "[]", "true", "0.5" };
    for (size_t k = 0; k < N_OF(keys); k++)
        for (size_t v = 0; v < N_OF(values); v++) {
            char text[700];
            size_t n = (size_t) snprintf(text, sizeof text, "{\"model_type\":\"llama\"");
            for (size_t i = 0; i < N_OF(keys); i++) {
                static const char *const good[] = { "8", "1", "2", "1", "6", "10", "16", "4" };
                n += (size_t) snprintf(text + n, sizeof text - n, ",\"%s\":%s", keys[i], i == k ? values[v] : good[i]);
            }
            snprintf(text + n, sizeof text - n, "}");
            explode("config.json of Llama", text, strlen(text), FIRN_STR("%s is %s", keys[k], values[v]));
        }
    refuse_many("config.json of Llama", "{\"model_type\":\"", "x", 200000, "\"}", "a type of 200,000 bytes");
    static const char *const ranks[] = { "9223372036854775807", "2147483647", "-1", "0", "1e9", "null", "[8]" };
    for (size_t v = 0; v < N_OF(ranks); v++)
        refuse("adapter_config.json of LoRA", FIRN_STR("{\"peft_type\": \"LORA\", \"r\": %s, \"target_modules\": [\"q_proj\"]}", ranks[v]),
               FIRN_STR("r is %s", ranks[v]));
    for (size_t v = 0; v < N_OF(ranks); v++)
        refuse("adapter_config.json of p-tuning", FIRN_STR("{\"peft_type\": \"P_TUNING\", \"num_virtual_tokens\": %s, \"token_dim\": 8,"
               " \"num_layers\": 1, \"num_attention_heads\": 2, \"encoder_hidden_size\": 5}", ranks[v]),
               FIRN_STR("num_virtual_tokens is %s", ranks[v]));
}

static void headers_that_lie_about_sizes_are_refused(void **state)
{
    (void) state;
    static const uint64_t sizes[] = { 0, 7, 9, 1000, 100000001, 1ull << 31, 1ull << 32, 1ull << 62, 1ull << 63, UINT64_MAX };
    char bytes[64] = { 0 };
    for (size_t i = 0; i < N_OF(sizes); i++) {
        memcpy(bytes, &sizes[i], 8);
        memcpy(bytes + 8, "{}      ", 8);
        assert_int_not_equal(explode("safetensors", bytes, 24, FIRN_STR("a header of %llu", (unsigned long long) sizes[i])), FIRN_OK);
    }
    static const char *const shapes[] = { "[1099511627776,1099511627776]", "[4294967296,4294967296,4294967296]", "[9223372036854775807]",
                                          "[-1]", "[1e3]", "[0,9223372036854775807]", "[1,1,1,1,1,1,1,1,1,1,1,1]", "[[1]]", "[\"1\"]", "{}" };
    for (size_t i = 0; i < N_OF(shapes); i++) {
        const char *text = FIRN_STR("{\"a\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[0,4]}}", shapes[i]);
        uint64_t n = strlen(text);
        char all[400];
        memcpy(all, &n, 8);
        memcpy(all + 8, text, n);
        memset(all + 8 + n, 0, 4);
        assert_int_not_equal(explode("safetensors", all, 12 + n, FIRN_STR("a shape %s", shapes[i])), FIRN_OK);
    }
    char *header = many("{", "\"t%d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},", 10000, "\"x\":1}");
    char *all = malloc(strlen(header) + 9);
    const uint64_t n = strlen(header);
    memcpy(all, &n, 8);
    memcpy(all + 8, header, n);
    assert_int_not_equal(explode("safetensors", all, 8 + n, "10,000 tensors of nothing"), FIRN_OK);
    free(all);
    free(header);
}

/* ---- GGUF ---- */

struct bytes {
    uint8_t at[1 << 18];
    size_t n;
};

static void add(struct bytes *b, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        b->at[b->n++] = (uint8_t) (value >> 8 * i);
}

static void gguf_begin(struct bytes *b, uint64_t n_tensors, uint64_t n_keys)
{
    b->n = 0;
    add(b, 0x46554747, 4);
    add(b, 3, 4);
    add(b, n_tensors, 8);
    add(b, n_keys, 8);
}

static void refuse_gguf(struct bytes *b, const char *what)
{
    static const char *const both[] = { "gguf model", "gguf adapter" };
    for (int i = 0; i < 2; i++)
        if (explode(both[i], (const char *) b->at, b->n, what) == FIRN_OK)
            fail_msg("%s, %s: accepted", both[i], what);
}

static void gguf_files_that_lie_are_refused(void **state)
{
    (void) state;
    static const uint64_t counts[] = { 1, 1000, 1ull << 31, 1ull << 32, 1ull << 61, 1ull << 63, UINT64_MAX };
    struct bytes *b = calloc(1, sizeof *b);
    assert_non_null(b);
    for (size_t i = 0; i < N_OF(counts); i++) {
        gguf_begin(b, counts[i], 0);
        refuse_gguf(b, "tensors that are not there");
        gguf_begin(b, 0, counts[i]);
        refuse_gguf(b, "keys that are not there");
        gguf_begin(b, 0, 1); // a key of that length
        add(b, counts[i], 8);
        refuse_gguf(b, "a key without end");
        for (uint64_t of = 0; of < 14; of++) {
            gguf_begin(b, 0, 1);
            add(b, 1, 8);
            add(b, 'k', 1);
            add(b, 9, 4);
            add(b, of, 4);
            add(b, counts[i], 8);
            refuse_gguf(b, "an array without end");
        }
        for (int rank = 0; rank < 6; rank++) {
            gguf_begin(b, 1, 0);
            add(b, 1, 8);
            add(b, 't', 1);
            add(b, (uint64_t) rank, 4);
            for (int k = 0; k < rank; k++)
                add(b, counts[i], 8);
            add(b, 0, 4);
            add(b, counts[i], 8);
            refuse_gguf(b, "a tensor that is not there");
        }
    }
    gguf_begin(b, 0, 10000); // the smallest keys that there are
    for (int i = 0; i < 10000; i++) {
        add(b, 4, 8);
        add(b, (uint64_t) i + 0x30303030, 4);
        add(b, 0, 4);
        add(b, 0, 1);
    }
    refuse_gguf(b, "10,000 keys");
    gguf_begin(b, 5000, 0);
    for (int i = 0; i < 5000; i++) {
        add(b, 4, 8);
        add(b, (uint64_t) i + 0x30303030, 4);
        add(b, 1, 4);
        add(b, 1, 8);
        add(b, 99, 4);
        add(b, 32 * (uint64_t) i, 8);
    }
    refuse_gguf(b, "5,000 tensors of an unknown type");
    free(b);
}

/* ---- tokenizers ---- */

#define MODEL "\"model\": {\"type\": \"WordLevel\", \"unk_token\": \"u\", \"vocab\": {\"u\": 0}}}"

static void tokenizers_made_to_be_slow_end(void **state)
{
    (void) state;
    static const char r[] = "tokenizer.json, WordPiece";
    static const char *const patterns[] = { "(a+)+$", "(a|a)+$", "(.*)*x", "(?:a?){30}a{30}b", "((a{1,50}){1,50}){1,50}b", "(?=(a+))*b",
                                            "\\\\G(?:a|b|ab)*c", "(x+x+)+y", "[a-z]{1,1000}[a-z]{1,1000}Z" };
    for (size_t i = 0; i < N_OF(patterns); i++) {
        char *text = many("", "a", 0, FIRN_STR("{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"%s\"}, \"behavior\": "
                                               "\"Isolated\"}, " MODEL, patterns[i]));
        explode(r, text, strlen(text), patterns[i]); // an error, or the tokens of a short text
        free(text);
    }
    char *stages = many("{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [",
                        "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"aaaaaaaa\"},", 40,
                        "{\"type\": \"NFC\"}]}, " MODEL);
    refuse(r, stages, "a text that grows eightfold forty times");
    free(stages);
    refuse_many(r, "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [", "{\"type\": \"Prepend\", \"prepend\": \"xxxxxxxx\"},", 3000,
                "{\"type\": \"NFC\"}]}, " MODEL, "3,000 normalizers");
    refuse_many(r, "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [", "\"a b\",", 50000, "\"a b\"]}}",
                "50,000 merges to nothing");
    refuse_many(r, "{\"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {", "\"a\": %d,", 50000, "\"b\": 1}}}",
                "a token that is there 50,000 times");
    refuse_many(r, "{\"model\": {\"type\": \"Unigram\", \"vocab\": [", "[\"\", 0],", 30000, "[]]}}", "30,000 tokens of nothing");
    refuse_many(r, "{\"added_tokens\": [", "{\"content\": \"t%d\"},", 20000, "3], " MODEL, "20,000 added tokens");
    refuse_many(r, "{\"decoder\": {\"type\": \"Sequence\", \"decoders\": [", "{\"type\": \"Fuse\"},", 20000, "3]}, " MODEL, "20,000 decoders");
    refuse(r, "{\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"/////w==\"}, " MODEL, "a map larger than itself");
    refuse(r, "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 9223372036854775807}, \"merges\": []}}", "an id beyond all");
}

static void patterns_of_adapters_end(void **state)
{
    (void) state;
    static const char r[] = "adapter_config.json of LoRA";
    static const char *const patterns[] = { "(.*)*x", "(?:(?:.+)+)+y", "((.*).*)*z", "(a?){1000}b" };
    for (size_t i = 0; i < N_OF(patterns); i++)
        refuse(r, FIRN_STR("{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": \"%s\"}", patterns[i]), patterns[i]);
    refuse_many(r, "{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [", "\"m%d\",", 30000, "\"x\"]}", "30,000 modules");
    refuse_many(r, "{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"q_proj\"], \"rank_pattern\": {", "\"m%d\": 3,", 5000,
                "\"x\": -1}}", "a pattern of 5,000 ranks");
}

/* ---- names that lead elsewhere ---- */

static void names_that_leave_the_folder_are_refused(void **state)
{
    (void) state;
    static const char *const names[] = { "../one.safetensors", "/etc/passwd", "..", ".", "", "a/b.safetensors", "./one.safetensors",
                                         "link.safetensors", "folder.safetensors", "fifo.safetensors", "missing.safetensors",
                                         "one.safetensors\\u0000", "..\\\\one.safetensors", "~", "\\u00e9.safetensors" };
    scratch_link("../one.safetensors", "shards/link.safetensors");
    scratch_mkdir("shards/folder.safetensors");
    scratch_link("/dev/zero", "shards/fifo.safetensors");
    for (size_t i = 0; i < N_OF(names); i++)
        refuse("shard index", FIRN_STR("{\"weight_map\": {\"a.weight\": \"%s\"}}", names[i]), names[i]);
    refuse_many("shard index", "{\"weight_map\": {", "\"t%d\": \"model-00001-of-00002.safetensors\",", 5000, "\"x\": 3}}",
                "5,000 tensors of one file");
    refuse_many("shard index", "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\"", ", \"t%d\": \"missing-%d.safetensors\"", 5000,
                "}}", "5,000 files");
    static const char *const files[] = { "../../one.safetensors", "/dev/zero", "..", ".", "missing" };
    for (size_t i = 0; i < N_OF(files); i++)
        refuse("checkpoint manifest", FIRN_STR("{\"format\": \"firn checkpoint 1\", \"step\": 7, \"files\": {\"%s\": {\"size\": 8, "
               "\"crc32c\": 1}}}", files[i]), files[i]);
}

static void tables_without_end_are_read_or_refused(void **state)
{
    (void) state;
    refuse_many("csv", "text,label\n\"", "x", 500000, "", "a quote that never closes");
    refuse_many("csv", "text", ",c%d", 20000, "\n1,2\n", "20,000 columns");
    refuse_many("csv", "text", ",text", 20000, "\n1,2\n", "a column that is there 20,000 times");
    refuse_many("jsonl", "", "{\"a\": 1", 50000, "\n", "braces on one line");
    refuse_many("jsonl", "{\"a\": 1}\n", "\n", 300000, "x\n", "300,000 empty lines");
    refuse("csv", "a,b\n\xFF\xFE,1\n", "no UTF-8");
    refuse("jsonl", "{\"a\": \"\\ud800\"}\n", "half a surrogate pair");
}

static void the_limits_were_kept(void **state)
{
    (void) state;
    print_message("%zu bombs; worst %.1f ms, %.2f of the memory allowed%s\n", n_bombs, worst_ms, worst_ratio,
                  hostile_counts_memory ? "" : " (not counted)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deep_and_wide_json_is_refused),
        cmocka_unit_test(recipes_without_end_are_refused),
        cmocka_unit_test(configurations_of_absurd_size_are_refused),
        cmocka_unit_test(headers_that_lie_about_sizes_are_refused),
        cmocka_unit_test(gguf_files_that_lie_are_refused),
        cmocka_unit_test(tokenizers_made_to_be_slow_end),
        cmocka_unit_test(patterns_of_adapters_end),
        cmocka_unit_test(names_that_leave_the_folder_are_refused),
        cmocka_unit_test(tables_without_end_are_read_or_refused),
        cmocka_unit_test(the_limits_were_kept),
    };
    return cmocka_run_group_tests(tests, make, scratch_teardown);
}
