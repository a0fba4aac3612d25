/* SPDX-License-Identifier: Apache-2.0 */
/* Labels: found, sorted, looked up. */
#include "../base/check.h"

#include "data/labels.h"

static void table_of(struct firn_table *t, const char *jsonl)
{
    struct firn_error err = { 0 };
    *t = (struct firn_table){ 0 };
    check_ok(firn_table_parse_jsonl(t, "t.jsonl", jsonl, strlen(jsonl), &err), &err);
}

static void check_labels(const char *jsonl, const char *joined)
{
    struct firn_table t;
    struct firn_labels l;
    struct firn_error err = { 0 };
    char text[200] = "";
    table_of(&t, jsonl);
    check_ok(firn_labels_collect(&l, &t, "label", &err), &err);
    for (size_t i = 0; i < l.count; i++) {
        strcat(text, i > 0 ? " " : "");
        strcat(text, l.names[i]);
    }
    assert_string_equal(text, joined);
    for (size_t i = 0; i < t.count; i++) {
        int32_t index = -1;
        const json_t *v = firn_table_value(&t, i, "label");
        for (size_t k = 0; k < (json_is_array(v) ? json_array_size(v) : 1); k++)
            check_ok(firn_labels_find(&l, &t, i, json_is_array(v) ? json_array_get(v, k) : v,
                                      &index, &err),
                     &err);
    }
    firn_labels_free(&l);
    firn_labels_free(&l);
    firn_table_free(&t);
}

static void words_are_sorted_by_bytes(void **state)
{
    (void) state;
    check_labels("{\"label\": \"b\"}\n{\"label\": \"a\"}\n{\"label\": \"B\"}\n{\"label\": \"é\"}\n"
                 "{\"label\": \"b\"}",
                 "B a b é");
    check_labels(
        "{\"label\": \"nan\"}\n{\"label\": \"inf\"}\n{\"label\": \"0x10\"}\n{\"label\": \"\"}",
        " 0x10 inf nan");
}

static void numbers_are_sorted_by_size_before_words(void **state)
{
    (void) state;
    check_labels(
        "{\"label\": 10}\n{\"label\": 9}\n{\"label\": -1}\n{\"label\": 2.5}\n{\"label\": 9.0}",
        "-1 2.5 9 10");
    check_labels("{\"label\": \"10\"}\n{\"label\": \"9\"}\n{\"label\": \"none\"}", "9 10 none");
    check_labels("{\"label\": true}\n{\"label\": false}", "false true");
}

static void lists_give_each_of_their_labels(void **state)
{
    (void) state;
    check_labels(
        "{\"label\": [\"O\", \"B-PER\"]}\n{\"label\": []}\n{\"label\": [\"O\", \"I-PER\"]}",
        "B-PER I-PER O");
}

static void an_index_is_the_place_in_the_sorted_list(void **state)
{
    (void) state;
    struct firn_table t;
    struct firn_labels l;
    struct firn_error err = { 0 };
    table_of(&t, "{\"label\": 300}\n{\"label\": 20}\n\n{\"label\": 1}");
    check_ok(firn_labels_collect(&l, &t, "label", &err), &err);
    const int32_t want[] = { 2, 1, 0 };
    for (size_t i = 0; i < 3; i++) {
        int32_t index = -1;
        check_ok(firn_labels_find(&l, &t, i, firn_table_value(&t, i, "label"), &index, &err), &err);
        assert_int_equal(index, want[i]);
    }
    firn_labels_free(&l);
    firn_table_free(&t);
}

static void an_unknown_label_is_named_with_its_line_and_the_known_ones(void **state)
{
    (void) state;
    struct firn_table t, other;
    struct firn_labels l;
    struct firn_error err = { 0 };
    int32_t index;
    table_of(&t, "{\"label\": \"pos\"}\n{\"label\": \"neg\"}");
    table_of(&other, "\n{\"label\": \"Pos\", \"bad\": {\"a\": 1}}");
    check_ok(firn_labels_collect(&l, &t, "label", &err), &err);
    check_fails(firn_labels_find(&l, &other, 0, firn_table_value(&other, 0, "label"), &index, &err),
                FIRN_ERR_FORMAT, &err, "t.jsonl: line 2: label: expected one of neg, pos, got Pos");
    check_fails(
        firn_labels_find(&l, &other, 0, firn_table_value(&other, 0, "bad"), &index, &err),
        FIRN_ERR_FORMAT, &err,
        "line 2: label: expected a label: a word, a number or a list of them, got an object");
    check_fails(firn_labels_find(&l, &other, 0, NULL, &index, &err), FIRN_ERR_FORMAT, &err,
                "got nothing");
    firn_labels_free(&l);
    firn_table_free(&t);
    firn_table_free(&other);
}

static void columns_that_hold_no_labels_are_errors(void **state)
{
    (void) state;
    static const struct {
        const char *jsonl, *message;
    } cases[] = {
        { "{\"text\": \"a\", \"labels\": 1}",
          "t.jsonl: expected a column label, got only labels, text" },
        { "{\"label\": 1}\n{\"text\": 1}",
          "t.jsonl: line 2: expected a column label, got only text" },
        { "{\"label\": 1}\n{\"label\": null}",
          "t.jsonl: line 2: label: expected a value, got null" },
        { "{\"label\": {}}",
          "t.jsonl: line 1: label: expected a label: a word, a number or a list of "
          "them, got an object" },
        { "{\"label\": [[1]]}", "a list of them, got a list" },
        { "{\"label\": [null]}", "a list of them, got null" },
        { "{\"label\": \"a\\u0000b\"}", "got a text that is too long or holds a NUL" },
        { "{\"label\": []}", "t.jsonl: label: holds no labels" },
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        struct firn_table t;
        struct firn_labels l;
        struct firn_error err = { 0 };
        table_of(&t, cases[i].jsonl);
        check_fails(firn_labels_collect(&l, &t, "label", &err), FIRN_ERR_FORMAT, &err,
                    cases[i].message);
        assert_null(l.names);
        firn_table_free(&t);
    }
}

static void labels_survive_the_way_through_json(void **state)
{
    (void) state;
    struct firn_labels l;
    struct firn_error err = { 0 };
    json_t *list = json_pack("[s, s, i]", "z", "a", 3);
    check_ok(firn_labels_from_json(&l, list, &err), &err);
    json_t *again = firn_labels_json(&l);
    json_t *want = json_pack("[s, s, s]", "z", "a", "3");
    assert_true(json_equal(again, want));
    firn_labels_free(&l);
    json_array_append_new(list, json_string("a"));
    check_fails(firn_labels_from_json(&l, list, &err), FIRN_ERR_FORMAT, &err,
                "labels: the label a is there twice");
    json_array_set_new(list, 3, json_array());
    check_fails(firn_labels_from_json(&l, list, &err), FIRN_ERR_FORMAT, &err,
                "labels: expected a list of texts, got a list");
    check_ok(firn_labels_from_json(&l, NULL, &err), &err);
    assert_int_equal(l.count, 0);
    firn_labels_free(&l);
    json_decref(list);
    json_decref(again);
    json_decref(want);
}

static void many_labels_are_found_quickly_and_too_many_refused(void **state)
{
    (void) state;
    struct firn_table t = { 0 };
    struct firn_labels l;
    struct firn_error err = { 0 };
    for (int i = 0; i < 65536; i++)
        check_ok(firn_table_add(&t, json_pack("{s:i}", "label", i), (size_t) i + 1, &err), &err);
    check_ok(firn_labels_collect(&l, &t, "label", &err), &err);
    assert_int_equal(l.count, 65536);
    int32_t index = -1;
    check_ok(firn_labels_find(&l, &t, 777, firn_table_value(&t, 777, "label"), &index, &err), &err);
    assert_int_equal(index, 777);
    firn_labels_free(&l);
    check_ok(firn_table_add(&t, json_pack("{s:i}", "label", -1), 65537, &err), &err);
    check_fails(firn_labels_collect(&l, &t, "label", &err), FIRN_ERR_FORMAT, &err,
                "label: expected at most 65536 labels, got more");
    firn_table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_sorted_by_bytes),
        cmocka_unit_test(numbers_are_sorted_by_size_before_words),
        cmocka_unit_test(lists_give_each_of_their_labels),
        cmocka_unit_test(an_index_is_the_place_in_the_sorted_list),
        cmocka_unit_test(an_unknown_label_is_named_with_its_line_and_the_known_ones),
        cmocka_unit_test(columns_that_hold_no_labels_are_errors),
        cmocka_unit_test(labels_survive_the_way_through_json),
        cmocka_unit_test(many_labels_are_found_quickly_and_too_many_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
