/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes: keys, other spellings, defaults, overrides, and errors that say what was meant. */
#include "../base/check.h"

#include "model/model.h"
#include "train/recipe.h"

static const char whole[] = "model: /m\n"
                            "task: sequence_classification\n"
                            "output: /o\n"
                            "data: {train: t.jsonl}\n"
                            "method: {type: lora, r: 8}\n";

/* Loads `whole` followed by `more`, with overrides up to NULL. */
static firn_status load(void **state, const char *text, const char *more, const char *const *overrides,
                        struct firn_recipe *r, struct firn_error *err)
{
    char all[4000];
    const int n = snprintf(all, sizeof all, "%s%s", text, more);
    const char *path = scratch_file(state, "recipe.yaml", all, (size_t) n);
    int count = 0;
    while (overrides != NULL && overrides[count] != NULL)
        count++;
    return firn_recipe_load(r, path, (char *const *) overrides, count, err);
}

static void refuses(void **state, const char *text, const char *more, const char *override, const char *says)
{
    struct firn_recipe r;
    struct firn_error err = { 0 };
    const char *const overrides[] = { override, NULL };
    check_fails(load(state, text, more, overrides, &r, &err), FIRN_ERR_USAGE, &err, says);
}

static void defaults_are_those_of_the_trainer(void **state)
{
    struct firn_recipe r;
    struct firn_error err = { 0 };
    check_ok(load(state, whole, "", NULL, &r, &err), &err);
    assert_string_equal(r.model, "/m");
    assert_string_equal(r.device, "auto");
    assert_string_equal(r.data.text, "text");
    assert_string_equal(r.data.label, "label");
    assert_null(r.data.validation);
    assert_true(r.train.num_train_epochs == 3 && r.train.batch_size == 8 && r.train.learning_rate == 5e-5);
    assert_true(r.train.adam_beta1 == 0.9 && r.train.adam_beta2 == 0.999 && r.train.adam_epsilon == 1e-8);
    assert_true(r.train.weight_decay == 0 && r.train.max_grad_norm == 1.0 && r.train.seed == 42);
    assert_int_equal(r.train.lr_scheduler_type, FIRN_SCHEDULE_LINEAR);
    assert_int_equal(r.train.decay_exclude, FIRN_DECAY_NOT_BIAS_NORM);
    assert_true(r.train.warmup_steps == 0 && r.train.gradient_accumulation_steps == 1 && r.train.max_steps == 0);
    firn_recipe_free(&r);
}

static void an_unknown_key_names_the_nearest(void **state)
{
    refuses(state, whole, "train: {learning_rat: 1}\n", NULL,
            "recipe.yaml: train.learning_rat: unknown key; did you mean learning_rate?");
    refuses(state, whole, "train: {weight_decai: 1}\n", NULL, "unknown key; did you mean weight_decay?");
    refuses(state, whole, "ouput: x\n", NULL, "recipe.yaml: ouput: unknown key; did you mean output?");
    refuses(state, "model: /m\ntask: causal_lm\noutput: /o\nmethod: {type: lora}\n", "data: {trian: x}\n", NULL,
            "recipe.yaml: data.trian: unknown key; did you mean train?");
}

static void a_key_in_the_wrong_section_says_where_it_belongs(void **state)
{
    refuses(state, whole, "learning_rate: 1e-4\n", NULL, "learning_rate: belongs into the section train");
    refuses(state, whole, "validation: v.jsonl\n", NULL, "validation: belongs into the section data");
}

static void every_required_key_is_asked_for_by_name(void **state)
{
    const char *const lines[] = { "model: /m\n", "task: causal_lm\n", "output: /o\n", "data: {train: t}\n",
                                  "method: {type: lora}\n" };
    const char *const says[] = { "model: is required", "task: is required", "output: is required",
                                 "data.train: is required",
                                 "method.type: is required, as in  method: {type: lora, r: 8}" };
    for (size_t left_out = 0; left_out < N_OF(lines); left_out++) {
        char text[400] = "";
        for (size_t i = 0; i < N_OF(lines); i++)
            if (i != left_out)
                strcat(text, lines[i]);
        refuses(state, text, "", NULL, says[left_out]);
    }
    refuses(state, "model: /m\ntask: causal_lm\noutput: /o\nmethod: {type: lora}\n", "data: {text: x}\n", NULL,
            "data.train: is required");
    refuses(state, "model: /m\ntask: causal_lm\noutput: /o\ndata: {train: x}\n", "method: {r: 8}\n", NULL, says[4]);
}

static void other_spellings_mean_the_same(void **state)
{
    struct firn_recipe r;
    struct firn_error err = { 0 };
    check_ok(load(state, "model: /m\ntask: SEQ_CLS\noutput: /o\nmethod: {type: lora}\n"
                         "data: {train: t, text_column: s, label_column: l}\n",
                  "train: {lr: 0.25, epochs: 2, per_device_train_batch_size: 3, warmup_ratio: 0.1, grad_accum: 4}\n",
                  NULL, &r, &err), &err);
    assert_int_equal(r.task, FIRN_TASK_SEQ_CLS);
    assert_string_equal(r.data.text, "s");
    assert_string_equal(r.data.label, "l");
    assert_true(r.train.learning_rate == 0.25 && r.train.num_train_epochs == 2 && r.train.batch_size == 3);
    assert_true(r.train.warmup_steps == 0.1 && r.train.gradient_accumulation_steps == 4);
    firn_recipe_free(&r);
}

static void two_spellings_of_one_key_are_refused(void **state)
{
    refuses(state, whole, "train: {lr: 1, learning_rate: 1}\n", NULL, "given twice, as learning_rate too");
}

static void overrides_come_after_the_file(void **state)
{
    struct firn_recipe r;
    struct firn_error err = { 0 };
    const char *const overrides[] = { "train.lr=0.5", "seed=7", "output=/elsewhere", "validation=v.jsonl",
                                      "method.r=16", "data.text=body", NULL };
    check_ok(load(state, whole, "train: {learning_rate: 0.25, seed: 1}\n", overrides, &r, &err), &err);
    assert_true(r.train.learning_rate == 0.5 && r.train.seed == 7);
    assert_string_equal(r.output, "/elsewhere");
    assert_string_equal(r.data.validation, "v.jsonl");
    assert_string_equal(r.data.text, "body");
    assert_int_equal(json_integer_value(json_object_get(r.method, "r")), 16);
    firn_recipe_free(&r);
}

static void a_later_override_wins(void **state)
{
    struct firn_recipe r;
    struct firn_error err = { 0 };
    const char *const overrides[] = { "lr=0.5", "train.learning_rate=0.125", NULL };
    check_ok(load(state, whole, "", overrides, &r, &err), &err);
    assert_true(r.train.learning_rate == 0.125);
    firn_recipe_free(&r);
}

static void a_wrong_override_is_named(void **state)
{
    refuses(state, whole, "", "train.lerning_rate=1", "train.lerning_rate: unknown key; did you mean learning_rate?");
    refuses(state, whole, "", "nonsense", "nonsense: expected key=value");
    refuses(state, whole, "", "=3", "=3: expected key=value");
    refuses(state, whole, "", "trian.lr=1", "trian.lr=1: expected a key of data, train or method, got trian");
}

static void numbers_out_of_range_say_the_range(void **state)
{
    struct firn_recipe r;
    struct firn_error err = { 0 };
    const char *const wrong[] = { "batch_size=0", "batch_size=1.5", "learning_rate=-1", "learning_rate=abc",
                                  "num_train_epochs=nan", "adam_beta2=1", "seed=-1", "lr_scheduler_type=lineer",
                                  "group_by_length=7", "max_length=", "lr=[1, 2]" };
    for (size_t i = 0; i < N_OF(wrong); i++) {
        const char *const overrides[] = { wrong[i], NULL };
        const firn_status s = load(state, whole, "", overrides, &r, &err);
        if (s != FIRN_ERR_USAGE)
            fail_msg("%s was not refused as a wrong value: %s", wrong[i], s ? err.text : "accepted");
        assert_non_null(strstr(err.text, "train."));
    }
}

static void a_recipe_that_is_no_mapping_is_refused(void **state)
{
    struct firn_recipe r;
    struct firn_error err = { 0 };
    const char *const texts[] = { "- a\n- b\n", "just text\n", "3\n", "" };
    for (size_t i = 0; i < N_OF(texts); i++)
        assert_int_not_equal(load(state, texts[i], "", NULL, &r, &err), FIRN_OK);
    assert_int_not_equal(load(state, "a: [1\n", "", NULL, &r, &err), FIRN_OK);
    assert_non_null(strstr(err.text, "recipe.yaml"));
}

static void a_recipe_that_is_not_there_is_named(void **state)
{
    struct firn_recipe r;
    struct firn_error err = { 0 };
    assert_int_equal(firn_recipe_load(&r, scratch_path(state, "none.yaml"), NULL, 0, &err), FIRN_ERR_IO);
    assert_non_null(strstr(err.text, "none.yaml"));
}

static void the_effective_recipe_loads_as_the_same_recipe(void **state)
{
    struct firn_recipe r, again;
    struct firn_error err = { 0 };
    const char *const overrides[] = { "lr=0.3", "lr_scheduler_type=cosine", "group_by_length=false", NULL };
    check_ok(load(state, whole, "", overrides, &r, &err), &err);
    json_t *tree = firn_recipe_tree(&r);
    char *text = json_dumps(tree, JSON_COMPACT); /* JSON is YAML */
    check_ok(load(state, text, "\n", NULL, &again, &err), &err);
    json_t *tree_again = firn_recipe_tree(&again);
    assert_true(json_equal(tree, tree_again));
    assert_true(again.train.learning_rate == 0.3 && !again.train.group_by_length);
    assert_int_equal(again.train.lr_scheduler_type, FIRN_SCHEDULE_COSINE);
    json_decref(tree);
    json_decref(tree_again);
    free(text);
    firn_recipe_free(&r);
    firn_recipe_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_trainer),
        cmocka_unit_test(an_unknown_key_names_the_nearest),
        cmocka_unit_test(a_key_in_the_wrong_section_says_where_it_belongs),
        cmocka_unit_test(every_required_key_is_asked_for_by_name),
        cmocka_unit_test(other_spellings_mean_the_same),
        cmocka_unit_test(two_spellings_of_one_key_are_refused),
        cmocka_unit_test(overrides_come_after_the_file),
        cmocka_unit_test(a_later_override_wins),
        cmocka_unit_test(a_wrong_override_is_named),
        cmocka_unit_test(numbers_out_of_range_say_the_range),
        cmocka_unit_test(a_recipe_that_is_no_mapping_is_refused),
        cmocka_unit_test(a_recipe_that_is_not_there_is_named),
        cmocka_unit_test(the_effective_recipe_loads_as_the_same_recipe),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
