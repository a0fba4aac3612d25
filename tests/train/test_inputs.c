/* SPDX-License-Identifier: Apache-2.0 */
/* What a batch's inputs become when a method puts virtual tokens or keys in front of each row. */
#include "train/inputs.h"

#include <cmocka.h>
#include <string.h>

enum { B = 2, T = 3 };

struct fixture {
    struct firn_device *device;
    struct firn_store *store;
    struct firn_model model;
    struct firn_arch arch;
    struct firn_inputs in;
    struct firn_error err;
};

static void expect_ok(struct fixture *f, firn_status status)
{
    if (status != FIRN_OK)
        fail_msg("%s", f->err.text);
}

/* Two rows, the second padded; ids 7 8 9 and 5 6 0. */
static void begin(struct fixture *f, const struct firn_build_params *p, const struct firn_adapter *a)
{
    static const int32_t ids[B * T] = { 7, 8, 9, 5, 6, 0 }, mask[B * T] = { 1, 1, 1, 1, 1, 0 };
    memset(f, 0, sizeof *f);
    f->arch.pools_last = p->task == FIRN_TASK_SEQ_CLS && p->n_labels == 2; /* stands for a decoder here */
    f->model.arch = &f->arch;
    expect_ok(f, firn_device_open(&f->device, "cpu:exact", &(struct firn_device_params){ .n_threads = 1 }, &f->err));
    expect_ok(f, firn_store_create(&f->store, f->device, &f->err));
    expect_ok(f, firn_inputs_create(&f->in, B, T, 0, &f->err));
    memcpy(f->in.input_ids, ids, sizeof ids);
    memcpy(f->in.attention_mask, mask, sizeof mask);
    for (int i = 0; i < B * T; i++)
        f->in.labels[i] = mask[i] ? ids[i] : -100;
    firn_inputs_finish(&f->in, &f->model, a, p);
}

static void end(struct fixture *f)
{
    firn_inputs_free(&f->in);
    firn_store_destroy(&f->store);
    firn_device_close(&f->device);
}

static void upload(struct fixture *f, const struct firn_build_params *p, const struct firn_front *front)
{
    static const char *const names[] = { "position_ids", "token_type_ids", "attention_mask", "labels", "pick" };
    const int64_t n = front->n_virtual + T;
    const int64_t sizes[] = { B * n, B * n, B * (n + front->n_prefix), p->task == FIRN_TASK_SEQ_CLS ? B : B * n, B };
    for (int i = 0; i < 5; i++)
        expect_ok(f, firn_store_add(f->store, FIRN_LEAF_INPUT, names[i], sizeof(int32_t) * (size_t) sizes[i], NULL,
                                    &f->err));
    expect_ok(f, firn_inputs_upload(&f->in, &f->model, front, p, f->store, &f->err));
}

static void expect(struct fixture *f, const char *name, const int32_t *want, size_t n)
{
    int32_t got[64] = { 0 };
    expect_ok(f, firn_store_read(f->store, name, 0, got, sizeof *got * n, &f->err));
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("%s[%zu] is %d, not %d", name, i, got[i], want[i]);
}
#define EXPECT(f, name, ...) expect(f, name, (int32_t[]){ __VA_ARGS__ }, sizeof((int32_t[]){ __VA_ARGS__ }) / 4)

static void the_last_virtual_token_predicts_the_first_of_the_text(void **state)
{
    (void) state;
    struct fixture f;
    const struct firn_build_params p = { .task = FIRN_TASK_CAUSAL_LM, .has_loss = true };
    const struct firn_adapter a = { .n_virtual = 2 };
    const struct firn_front front = { .n_virtual = 2 };
    begin(&f, &p, &a);
    assert_int_equal(f.in.counted, 3 + 2);
    upload(&f, &p, &front);
    EXPECT(&f, "labels", -100, 7, 8, 9, -100, -100, 5, 6, -100, -100);
    EXPECT(&f, "position_ids", 0, 1, 2, 3, 4, 0, 1, 2, 3, 4);
    EXPECT(&f, "attention_mask", 1, 1, 1, 1, 1, 1, 1, 1, 1, 0);
    EXPECT(&f, "token_type_ids", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    end(&f);
}

static void a_prefix_moves_positions_and_predicts_nothing(void **state)
{
    (void) state;
    struct fixture f;
    const struct firn_build_params p = { .task = FIRN_TASK_CAUSAL_LM, .has_loss = true };
    const struct firn_adapter a = { .n_prefix = 4 };
    const struct firn_front front = { .n_prefix = 4 };
    begin(&f, &p, &a);
    assert_int_equal(f.in.counted, 2 + 1);
    upload(&f, &p, &front);
    EXPECT(&f, "labels", 8, 9, -100, 6, -100, -100);
    EXPECT(&f, "position_ids", 4, 5, 6, 4, 5, 6);
    EXPECT(&f, "attention_mask", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0);
    end(&f);
}

/* firn pools the text's own token; PEFT the first position, or the last, whatever stands there. */
static void pooling_reads_the_text_unless_peft_is_asked_for(void **state)
{
    (void) state;
    const struct firn_adapter a = { .n_virtual = 2 };
    for (int last = 0; last < 2; last++) {
        struct fixture f;
        const struct firn_build_params p = { .task = FIRN_TASK_SEQ_CLS, .has_loss = true, .n_labels = 3 - last };
        struct firn_front front = { .n_virtual = 2 };
        begin(&f, &p, &a);
        upload(&f, &p, &front);
        if (last)
            EXPECT(&f, "pick", 4, 5 + 3);
        else
            EXPECT(&f, "pick", 2, 5 + 2);
        front.is_peft = true;
        upload(&f, &p, &front);
        if (last)
            EXPECT(&f, "pick", 4, 5 + 4);
        else
            EXPECT(&f, "pick", 0, 5);
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_virtual_token_predicts_the_first_of_the_text),
        cmocka_unit_test(a_prefix_moves_positions_and_predicts_nothing),
        cmocka_unit_test(pooling_reads_the_text_unless_peft_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
