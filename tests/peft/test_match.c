/* SPDX-License-Identifier: Apache-2.0 */
/* Which modules a setting names: PEFT's rules, as tuners_utils.py and utils/other.py have them. */
#include "../model/scratch.h"

#include "peft/match.h"

#include <string.h>

static json_t *tree(const char *text)
{
    json_t *value = NULL;
    struct firn_error err = { 0 };
    expect_ok(firn_json_parse_any(text, strlen(text), "x", &value, &err), &err);
    return value;
}

static bool names(const char *setting, const char *path)
{
    struct firn_names n;
    struct firn_error err = { 0 };
    json_t *value = tree(setting);
    expect_ok(firn_names_open(&n, value, "x", "target_modules", &err), &err);
    const bool matches = firn_names_match(&n, path);
    firn_names_close(&n);
    json_decref(value);
    return matches;
}

static void a_list_names_paths_and_their_last_words(void **state)
{
    (void) state;
    assert_true(names("[\"query\"]", "bert.encoder.layer.0.attention.self.query"));
    assert_true(names("[\"x\",\"self.query\"]", "bert.encoder.layer.0.attention.self.query"));
    assert_true(names("[\"query\"]", "query"));
    assert_false(names("[\"uery\"]", "bert.encoder.layer.0.attention.self.query"));
    assert_false(names("[\"self\"]", "bert.encoder.layer.0.attention.self.query"));
    assert_false(names("[\".*\"]", "a.query"));
    assert_false(names("[]", "query"));
    assert_false(names("[\"\"]", "a."));
    assert_false(names("null", "query"));
}

static void a_text_is_an_expression_for_the_whole_path(void **state)
{
    (void) state;
    assert_true(names("\".*\\\\.(q_proj|v_proj)\"", "model.layers.1.self_attn.v_proj"));
    assert_false(names("\"q_proj\"", "model.layers.1.self_attn.q_proj"));
    assert_false(names("\".*q_pro\"", "model.layers.1.self_attn.q_proj"));
    assert_false(names("\"a|model\"", "model.layers"));
    assert_true(names("\"model\\\\.layers\\\\.[13]\\\\..*\"", "model.layers.3.mlp.up_proj"));
    assert_true(names("\"(?P<x>a)b\"", "ab"));
}

static void what_is_no_expression_and_no_list_is_refused(void **state)
{
    (void) state;
    static const struct { const char *setting, *word; } bad[] = {
        { "\"(\"", "regular expression" }, { "\"[z-a]\"", "regular expression" }, { "3", "list of names" },
        { "[1]", "names of modules" }, { "{}", "list of names" } };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct firn_names n;
        struct firn_error err = { 0 };
        json_t *value = tree(bad[i].setting);
        expect_error(firn_names_open(&n, value, "x.yaml", "target_modules", &err), FIRN_ERR_USAGE, &err,
                     "x.yaml: target_modules", bad[i].word);
        firn_names_close(&n);
        json_decref(value);
    }
}

static void an_expression_that_never_ends_gives_up_and_says_so(void **state)
{
    (void) state;
    struct firn_pattern *p;
    struct firn_error err = { 0 };
    expect_ok(firn_pattern_open(&p, "", "(a+)+$", "", true, "x", "k", &err), &err);
    assert_null(firn_pattern_gave_up(p));
    assert_false(firn_pattern_matches(p, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", NULL));
    assert_string_equal(firn_pattern_gave_up(p), "(a+)+$");
    firn_pattern_close(&p);
    assert_null(firn_pattern_gave_up(NULL));
}

static bool in_layer(const char *indices, const char *pattern, const char *path)
{
    struct firn_layers l;
    struct firn_error err = { 0 };
    json_t *i = tree(indices), *p = tree(pattern);
    expect_ok(firn_layers_open(&l, i, p, "x", &err), &err);
    const bool matches = firn_layers_match(&l, path);
    firn_layers_close(&l);
    json_decref(i);
    json_decref(p);
    return matches;
}

static void layers_are_read_from_the_first_number_in_a_path(void **state)
{
    (void) state;
    assert_true(in_layer("[1]", "null", "model.layers.1.self_attn.q_proj"));
    assert_true(in_layer("1", "\"layers\"", "model.layers.1.self_attn.q_proj"));
    assert_false(in_layer("[0,2]", "null", "model.layers.1.self_attn.q_proj"));
    assert_false(in_layer("[1]", "null", "model.embed_tokens"));
    assert_true(in_layer("[1]", "[\"blocks\",\"layers\"]", "model.layers.1.experts.3.up"));
    assert_true(in_layer("[1]", "null", "model.layers.1.experts.3.up"));
    assert_false(in_layer("[3]", "null", "model.layers.1.experts.3.up"));
    assert_true(in_layer("[3]", "\"experts\"", "model.layers.1.experts.3.up"));
    assert_false(in_layer("[1]", "\"blocks\"", "model.layers.1.up"));
    assert_true(in_layer("null", "null", "anything"));
    assert_true(in_layer("[]", "null", "anything"));
    assert_true(in_layer("[11]", "\"\"", "model.layers.11.up"));
}

static double number(const char *map, const char *path)
{
    struct firn_numbers n;
    struct firn_error err = { 0 };
    json_t *value = tree(map);
    expect_ok(firn_numbers_open(&n, value, true, "x", "rank_pattern", &err), &err);
    const double found = firn_numbers_find(&n, path, 8);
    firn_numbers_close(&n);
    json_decref(value);
    return found;
}

static void the_first_pattern_in_file_order_gives_the_number(void **state)
{
    (void) state;
    static const char path[] = "model.layers.1.self_attn.q_proj";
    assert_true(number("{\"q_proj\":2}", path) == 2);
    assert_true(number("{\"layers.1.self_attn.q_proj\":3,\"q_proj\":2}", path) == 3);
    assert_true(number("{\"q_proj\":2,\"layers.1.self_attn.q_proj\":3}", path) == 2);
    assert_true(number("{\"_proj\":2}", path) == 8);
    assert_true(number("{\"q_pro\":2}", path) == 8);
    assert_true(number("{\"layers.[01].*\":5}", path) == 5);
    assert_true(number("{\"^model.layers.1.self_attn.q_proj\":6}", path) == 6);
    assert_true(number("{}", path) == 8);
}

static void a_pattern_must_give_a_usable_number(void **state)
{
    (void) state;
    static const char *const maps[] = { "{\"a\":0}", "{\"a\":\"2\"}", "{\"a\":1.5}", "{\"a\":65537}", "[1]", "{\"(\":1}" };
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        struct firn_numbers n;
        struct firn_error err = { 0 };
        json_t *value = tree(maps[i]);
        expect_error(firn_numbers_open(&n, value, true, "x", "rank_pattern", &err), FIRN_ERR_USAGE, &err, "rank_pattern",
                     NULL);
        firn_numbers_close(&n);
        json_decref(value);
    }
}

static void saved_modules_hold_all_that_is_inside_them(void **state)
{
    (void) state;
    assert_true(firn_is_saved("classifier", "classifier"));
    assert_true(firn_is_saved("classifier.out_proj", "classifier"));
    assert_true(firn_is_saved("bert.pooler.dense", "pooler"));
    assert_true(firn_is_saved("bert.pooler.dense", "pooler.dense"));
    assert_true(firn_is_saved("pre_classifier", "classifier"));
    assert_true(firn_is_saved("model.layers.0.input_layernorm", "norm"));
    assert_false(firn_is_saved("classifiers.x", "classifier"));
    assert_false(firn_is_saved("classifier", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_names_paths_and_their_last_words),
        cmocka_unit_test(a_text_is_an_expression_for_the_whole_path),
        cmocka_unit_test(what_is_no_expression_and_no_list_is_refused),
        cmocka_unit_test(an_expression_that_never_ends_gives_up_and_says_so),
        cmocka_unit_test(layers_are_read_from_the_first_number_in_a_path),
        cmocka_unit_test(the_first_pattern_in_file_order_gives_the_number),
        cmocka_unit_test(a_pattern_must_give_a_usable_number),
        cmocka_unit_test(saved_modules_hold_all_that_is_inside_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
