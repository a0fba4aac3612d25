/* SPDX-License-Identifier: Apache-2.0 */
/* How rows of several tasks are laid out: virtual tokens, the answer's labels, and what gives way. */
#include "train/task_templates.h"

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[] = "/tmp/firn-test-XXXXXX";
static struct firn_tokenizer *tokenizer;

/* Words a to g are 1 to 7, the end token is 8. */
static int make(void **state)
{
    static const char json[] =
        "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\","
        "\"max_input_chars_per_word\":100,\"vocab\":{\"u\":0,\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"</s>\":8}},"
        "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"normalizer\":null,\"post_processor\":null,\"decoder\":null,"
        "\"added_tokens\":[]}";
    const struct { const char *name, *text; } files[] = { { "tokenizer.json", json },
                                                          { "tokenizer_config.json", "{\"eos_token\":\"</s>\"}" } };
    struct firn_error err;
    (void) state;
    if (mkdtemp(directory) == NULL)
        return -1;
    for (int i = 0; i < 2; i++) {
        char path[200];
        snprintf(path, sizeof path, "%s/%s", directory, files[i].name);
        FILE *f = fopen(path, "w");
        if (f == NULL || fputs(files[i].text, f) < 0 || fclose(f) != 0)
            return -1;
    }
    return firn_tokenizer_open(&tokenizer, directory, &err) == FIRN_OK ? 0 : -1;
}

static int drop(void **state)
{
    char path[200];
    (void) state;
    firn_tokenizer_close(&tokenizer);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, i ? "tokenizer_config.json" : "tokenizer.json");
        unlink(path);
    }
    return rmdir(directory);
}

static void expect_row(const char *tasks, const char *row, uint32_t max_length, bool has_answer, size_t n,
                       const int32_t *ids, const int32_t *virtual_ids, const int32_t *labels)
{
    struct firn_error err = { 0 };
    struct firn_task_templates *t = NULL;
    struct firn_table table = { 0 };
    struct firn_encoding encoding = { 0 };
    struct firn_laid_out out;
    json_t *tree = json_loads(tasks, 0, NULL);
    if (firn_table_parse_jsonl(&table, "rows", row, strlen(row), &err) != FIRN_OK ||
        firn_task_templates_open(&t, tree, 0, max_length, "recipe", &err) != FIRN_OK ||
        firn_task_templates_lay_out(t, &table, 0, tokenizer, max_length, has_answer, &encoding, &out, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    assert_int_equal(out.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(out.ids[i], ids[i]);
        assert_int_equal(out.virtual_ids[i], virtual_ids[i]);
        assert_int_equal(out.labels[i], labels[i]);
    }
    free(out.ids);
    free(out.virtual_ids);
    free(out.labels);
    firn_encoding_free(&encoding);
    firn_task_templates_close(&t);
    firn_table_free(&table);
    json_decref(tree);
}
#define IDS(...) (int32_t[]){ __VA_ARGS__ }
#define N -100

#define TASK(more) "[{\"taskname\":\"t\",\"prompt_template\":\"<|VIRTUAL_PROMPT_1|> {x} c<|VIRTUAL_PROMPT_0|> {y}\"," \
                   "\"total_virtual_tokens\":3,\"virtual_token_splits\":[2,1]" more "}]"
#define ANSWER ",\"answer_only_loss\":true,\"answer_field\":\"y\""

static void markers_count_in_the_order_of_their_numbers(void **state)
{
    (void) state;
    expect_row(TASK(ANSWER), "{\"taskname\":\"t\",\"x\":\"a b\",\"y\":\"d e\"}", 20, true, 9,
               IDS(-1, 1, 2, 3, -1, -1, 4, 5, 8), IDS(2, -1, -1, -1, 0, 1, -1, -1, -1), IDS(N, N, N, N, N, N, 4, 5, 8));
}

static void without_an_answer_rule_all_words_count(void **state)
{
    (void) state;
    expect_row(TASK(""), "{\"taskname\":\"t\",\"x\":\"a b\",\"y\":\"d e\"}", 20, true, 9,
               IDS(-1, 1, 2, 3, -1, -1, 4, 5, 8), IDS(2, -1, -1, -1, 0, 1, -1, -1, -1), IDS(N, 1, 2, 3, N, N, 4, 5, 8));
}

static void a_field_that_is_not_there_is_empty_and_nothing_ends(void **state)
{
    (void) state;
    expect_row(TASK(ANSWER), "{\"taskname\":\"t\",\"x\":\"a\"}", 20, false, 5, IDS(-1, 1, 3, -1, -1), IDS(2, -1, -1, 0, 1),
               IDS(N, N, N, N, N));
}

static void what_is_too_long_gives_way_from_its_end(void **state)
{
    (void) state;
    expect_row(TASK(ANSWER ",\"truncate_field\":\"x\""), "{\"taskname\":\"t\",\"x\":\"a b f g\",\"y\":\"d e\"}", 9, true, 9,
               IDS(-1, 1, 2, 3, -1, -1, 4, 5, 8), IDS(2, -1, -1, -1, 0, 1, -1, -1, -1), IDS(N, N, N, N, N, N, 4, 5, 8));
    expect_row(TASK(ANSWER ",\"truncate_field\":\"x\""), "{\"taskname\":\"t\",\"x\":\"a\",\"y\":\"d e f g d e f g\"}", 9, true, 0,
               NULL, NULL, NULL);
    expect_row(TASK(ANSWER), "{\"taskname\":\"t\",\"x\":\"a b f g\",\"y\":\"d e\"}", 9, true, 0, NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markers_count_in_the_order_of_their_numbers),
        cmocka_unit_test(without_an_answer_rule_all_words_count),
        cmocka_unit_test(a_field_that_is_not_there_is_empty_and_nothing_ends),
        cmocka_unit_test(what_is_too_long_gives_way_from_its_end),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
