/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the weights of a model directory: one file, shards, and what is no model directory. */
#include "scratch.h"

#include "model/weights.h"

#include <stdio.h>
#include <string.h>

static firn_status open_here(struct firn_error *err)
{
    struct firn_weights w;
    memset(err, 0, sizeof *err);
    const firn_status status = firn_weights_open(&w, scratch_path(""), err);
    if (status == FIRN_OK)
        firn_weights_close(&w);
    return status;
}

static void names_are_found_with_and_without_the_class_prefix(void **state)
{
    (void) state;
    struct firn_weights w;
    struct firn_error err = { 0 };
    const char *file = NULL;
    scratch_tensors("model.safetensors", (struct scratch_tensor[]){ { "bert.a.weight", FIRN_DIMS(2) },
                                                                    { "b.weight", FIRN_DIMS(3) },
                                                                    { "embeddings.LayerNorm.gamma", FIRN_DIMS(4) },
                                                                    { "embeddings.LayerNorm.beta", FIRN_DIMS(5) },
                                                                    { NULL } });
    expect_ok(firn_weights_open(&w, scratch_path(""), &err), &err);
    assert_int_equal(firn_weights_find(&w, "bert", "bert.a.weight", &file)->shape.dim[0], 2);
    assert_string_equal(file, scratch_path("model.safetensors"));
    assert_int_equal(firn_weights_find(&w, "bert", "a.weight", NULL)->shape.dim[0], 2);
    assert_int_equal(firn_weights_find(&w, "bert", "bert.b.weight", NULL)->shape.dim[0], 3);
    assert_int_equal(firn_weights_find(&w, "bert", "bert.embeddings.LayerNorm.weight", NULL)->shape.dim[0], 4);
    assert_int_equal(firn_weights_find(&w, "bert", "bert.embeddings.LayerNorm.bias", NULL)->shape.dim[0], 5);
    assert_null(firn_weights_find(&w, "bert", "bert.c.weight", NULL));
    firn_weights_close(&w);
}

static void shards_are_opened_once_each_and_searched(void **state)
{
    (void) state;
    struct firn_weights w;
    struct firn_error err = { 0 };
    scratch_tensors("one.safetensors", (struct scratch_tensor[]){ { "a", FIRN_DIMS(2) }, { "b", FIRN_DIMS(3) }, { NULL } });
    scratch_tensors("two.safetensors", (struct scratch_tensor[]){ { "c", FIRN_DIMS(4) }, { NULL } });
    scratch_write("model.safetensors.index.json",
                  "{\"metadata\":{\"total_size\":36},\"weight_map\":{\"a\":\"one.safetensors\","
                  "\"b\":\"one.safetensors\",\"c\":\"two.safetensors\"}}");
    expect_ok(firn_weights_open(&w, scratch_path(""), &err), &err);
    assert_int_equal(w.n_files, 2);
    assert_int_equal(firn_weights_find(&w, "x", "c", NULL)->shape.dim[0], 4);
    firn_weights_close(&w);
}

static void an_index_cannot_name_what_is_outside(void **state)
{
    (void) state;
    static const char *const names[] = { "../x.safetensors", "/etc/passwd", ".hidden", "", "a/b", "a\\\\b", "a\\u0000b",
                                         "..", "x y" };
    struct firn_error err;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"weight_map\":{\"t\":\"%s\"}}", names[i]);
        scratch_write("model.safetensors.index.json", text);
        expect_error(open_here(&err), FIRN_ERR_FORMAT, &err, "index.json", "in this directory");
    }
    static const char *const indexes[] = { "{}", "{\"weight_map\":[]}", "{\"weight_map\":{}}", "{\"weight_map\":{\"t\":1}}" };
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        scratch_write("model.safetensors.index.json", indexes[i]);
        expect_error(open_here(&err), FIRN_ERR_FORMAT, &err, "index.json", NULL);
    }
}

static void a_shard_that_is_a_link_is_followed_only_into_the_hub_cache(void **state)
{
    (void) state;
    struct firn_weights w;
    struct firn_error err;
    static const char index[] = "{\"weight_map\":{\"a\":\"s.safetensors\"}}";
    scratch_mkdir("blobs");
    scratch_mkdir("snapshots/1");
    scratch_tensors("blobs/abc", (struct scratch_tensor[]){ { "a", FIRN_DIMS(2) }, { NULL } });
    scratch_tensors("elsewhere", (struct scratch_tensor[]){ { "a", FIRN_DIMS(2) }, { NULL } });
    scratch_write("snapshots/1/model.safetensors.index.json", index);
    scratch_link("../../blobs/abc", "snapshots/1/s.safetensors");
    expect_ok(firn_weights_open(&w, scratch_path("snapshots/1"), &err), &err);
    firn_weights_close(&w);
    scratch_write("model.safetensors.index.json", index);
    scratch_link("elsewhere", "s.safetensors");
    expect_error(open_here(&err), FIRN_ERR_FORMAT, &err, "s.safetensors", "a link");
}

static void an_index_that_lies_about_its_shards_is_refused(void **state)
{
    (void) state;
    struct firn_error err;
    scratch_tensors("one.safetensors", (struct scratch_tensor[]){ { "a", FIRN_DIMS(2) }, { NULL } });
    scratch_tensors("two.safetensors", (struct scratch_tensor[]){ { "a", FIRN_DIMS(2) }, { "b", FIRN_DIMS(2) }, { NULL } });
    scratch_write("model.safetensors.index.json", "{\"weight_map\":{\"b\":\"one.safetensors\"}}");
    expect_error(open_here(&err), FIRN_ERR_FORMAT, &err, "b: expected a tensor of one.safetensors", NULL);
    scratch_write("model.safetensors.index.json",
                  "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    expect_error(open_here(&err), FIRN_ERR_FORMAT, &err, "the 3 tensors of its files", "got 2");
    scratch_write("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"three.safetensors\"}}");
    expect_error(open_here(&err), FIRN_ERR_IO, &err, "three.safetensors", NULL);
}

static void a_hub_name_and_a_pickle_get_told_how_to_get_safetensors(void **state)
{
    (void) state;
    struct firn_weights w;
    struct firn_error err = { 0 };
    expect_error(firn_weights_open(&w, "bert-base-uncased", &err), FIRN_ERR_IO, &err, "bert-base-uncased",
                 "save_pretrained");
    expect_error(open_here(&err), FIRN_ERR_IO, &err, "model.safetensors", "neither");
    scratch_write("pytorch_model.bin", "x");
    expect_error(open_here(&err), FIRN_ERR_UNSUPPORTED, &err, "pickle", "save_pretrained");
}

static void a_fingerprint_changes_with_any_byte(void **state)
{
    (void) state;
    struct firn_weights w;
    struct firn_error err = { 0 };
    char one[32], two[32];
    scratch_tensors("model.safetensors", (struct scratch_tensor[]){ { "a", FIRN_DIMS(2) }, { NULL } });
    expect_ok(firn_weights_open(&w, scratch_path(""), &err), &err);
    expect_ok(firn_weights_fingerprint(&w, one, &err), &err);
    expect_ok(firn_weights_fingerprint(&w, two, &err), &err);
    firn_weights_close(&w);
    assert_string_equal(one, two);
    scratch_tensors("model.safetensors", (struct scratch_tensor[]){ { "b", FIRN_DIMS(2) }, { NULL } });
    expect_ok(firn_weights_open(&w, scratch_path(""), &err), &err);
    expect_ok(firn_weights_fingerprint(&w, two, &err), &err);
    firn_weights_close(&w);
    assert_string_not_equal(one, two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_found_with_and_without_the_class_prefix, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(shards_are_opened_once_each_and_searched, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(an_index_cannot_name_what_is_outside, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_shard_that_is_a_link_is_followed_only_into_the_hub_cache, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(an_index_that_lies_about_its_shards_is_refused, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_hub_name_and_a_pickle_get_told_how_to_get_safetensors, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_fingerprint_changes_with_any_byte, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
