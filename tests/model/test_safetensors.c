/* SPDX-License-Identifier: Apache-2.0 */
/* A safetensors file is hostile until read. */
#include "scratch.h"

#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file of a header and `n_data` bytes, parsed in place. */
static firn_status parse_text(const char *header, size_t n_data, struct firn_error *err)
{
    struct firn_safetensors file;
    const size_t n = strlen(header), size = 8 + n + n_data;
    unsigned char *bytes = calloc(1, size); /* exactly as large: reading past the end is seen */
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char) (n >> (8 * i));
    memcpy(bytes + 8, header, n);
    const firn_status status = firn_safetensors_parse(&file, "x.safetensors", bytes, size, err);
    if (status == FIRN_OK)
        firn_safetensors_close(&file);
    free(bytes);
    return status;
}

#define ENTRY(dtype, shape, begin, end)                                                                                \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void what_the_reference_reader_takes_is_taken(void **state)
{
    (void) state;
    static const struct { const char *header; size_t n_data; } good[] = {
        { "{}", 0 },
        { "{}      ", 0 },
        { "{\"__metadata__\":{\"format\":\"pt\"}}", 0 },
        { "{\"a\":" ENTRY("F32", "[2,3]", "0", "24") "}", 24 },
        { "{\"a\":" ENTRY("F32", "[]", "0", "4") "}", 4 },
        { "{\"a\":" ENTRY("F32", "[0,7]", "0", "0") ",\"b\":" ENTRY("I64", "[1]", "0", "8") "}", 8 },
        { "{\"b\":" ENTRY("BF16", "[3]", "2", "8") ",\"a\":" ENTRY("F16", "[1]", "0", "2") "}", 8 },
        { "{\"a\":" ENTRY("F8_E4M3", "[5]", "0", "5") ",\"b\":" ENTRY("U32", "[1]", "5", "9") "}", 9 },
        { "{\"a\":" ENTRY("BOOL", "[3]", "0", "3") ",\"b\":" ENTRY("F64", "[1]", "3", "11") "}", 11 },
    };
    struct firn_error err = { 0 };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        expect_ok(parse_text(good[i].header, good[i].n_data, &err), &err);
}

static void what_lies_about_itself_is_refused_with_file_and_tensor(void **state)
{
    (void) state;
    static const struct { const char *header; size_t n_data; const char *word; } bad[] = {
        { "", 0, "JSON object" },
        { "[]", 0, "JSON object" },
        { " {}", 0, "JSON object" },
        { "{\"a\":1}", 0, "a: expected dtype" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "a: expected dtype" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}", 4, "a: expected dtype" },
        { "{\"a\":" ENTRY("F33", "[1]", "0", "4") "}", 4, "F33" },
        { "{\"a\":" ENTRY("F32", "[1]", "0", "3") "}", 3, "3 bytes" },
        { "{\"a\":" ENTRY("F32", "[1]", "0", "8") "}", 8, "8 bytes" },
        { "{\"a\":" ENTRY("F32", "[1]", "4", "0") "}", 4, "data_offsets" },
        { "{\"a\":" ENTRY("F32", "[1]", "0", "4") "}", 3, "data_offsets" },
        { "{\"a\":" ENTRY("F32", "[1]", "0", "4") "}", 5, "1 bytes more" },
        { "{\"a\":" ENTRY("F32", "[1]", "4", "8") "}", 8, "gap" },
        { "{\"a\":" ENTRY("F32", "[1]", "0", "4") ",\"b\":" ENTRY("F32", "[1]", "0", "4") "}", 4, "overlap" },
        { "{\"a\":" ENTRY("F32", "[2]", "0", "8") ",\"b\":" ENTRY("F32", "[1]", "4", "8") "}", 8, "overlap" },
        { "{\"a\":" ENTRY("F32", "[1]", "0", "4") ",\"a\":" ENTRY("F32", "[1]", "0", "4") "}", 4, "duplicate" },
        { "{\"a\":" ENTRY("F32", "[1e0]", "0", "4") "}", 4, "sizes" },
        { "{\"a\":" ENTRY("F32", "[1.0]", "0", "4") "}", 4, "sizes" },
        { "{\"a\":" ENTRY("F32", "[-1]", "0", "4") "}", 4, "negative" },
        { "{\"a\":" ENTRY("F32", "[1]", "-0", "4") "}", 4, "negative" },
        { "{\"a\":" ENTRY("F32", "[18446744073709551616]", "0", "4") "}", 4, "sizes" },
        { "{\"a\":" ENTRY("F32", "[1099511627777]", "0", "4") "}", 4, "sizes" },
        { "{\"a\":" ENTRY("F32", "[1099511627776,1099511627776]", "0", "4") "}", 4, "fits in memory" },
        { "{\"a\":" ENTRY("F64", "[1099511627776,1048576]", "0", "4") "}", 4, "4 bytes" },
        { "{\"a\":" ENTRY("F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "8 axes" },
        { "{\"a\":" ENTRY("F32", "[[1]]", "0", "4") "}", 4, "levels" },
        { "{\"a\":" ENTRY("F32", "[1]", "0", "9223372036854775807") "}", 4, "data_offsets" },
        { "{\"\":" ENTRY("F32", "[1]", "0", "4") "}", 4, "names" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "a text for a" },
        { "{\"__metadata__\":[]}", 0, "__metadata__" },
        { "{\"a\":" ENTRY("F32", "[1]", "0", "4"), 4, "line 1" },
        { "{\"\\ud800\":" ENTRY("F32", "[1]", "0", "4") "}", 4, "x.safetensors" },
        { "{\"\xff\":" ENTRY("F32", "[1]", "0", "4") "}", 4, "x.safetensors" },
        { "{\"a\\u0000b\":" ENTRY("F32", "[1]", "0", "4") "}", 4, "x.safetensors" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct firn_error err = { 0 };
        const firn_status status = parse_text(bad[i].header, bad[i].n_data, &err);
        if (status != FIRN_ERR_FORMAT)
            fail_msg("%s gives %s", bad[i].header, firn_status_name(status));
        expect_error(status, FIRN_ERR_FORMAT, &err, "x.safetensors", bad[i].word);
    }
}

static void a_header_length_beyond_the_file_is_refused(void **state)
{
    (void) state;
    static const unsigned char lengths[][8] = { { 3 }, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
                                                { 0, 0, 0, 0, 0, 0, 0, 0x80 }, { 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f } };
    for (size_t i = 0; i < 4; i++) {
        struct firn_safetensors file;
        struct firn_error err = { 0 };
        unsigned char bytes[10] = { 0 };
        memcpy(bytes, lengths[i], 8);
        memcpy(bytes + 8, "{}", 2);
        expect_error(firn_safetensors_parse(&file, "x", bytes, sizeof bytes, &err), FIRN_ERR_FORMAT, &err, "header",
                     "cut short");
    }
}

/* A small file with three types. */
static void make_file(char **data, size_t *size)
{
    static float a[6] = { 1, 2, 3, 4, 5, 6 };
    static uint16_t b[3] = { 0x3f80, 0x4000, 0xc000 };
    static int64_t c[1] = { -7 };
    const struct firn_named_tensor list[] = { { "model.a", { FIRN_F32, FIRN_DIMS(2, 3), a } },
                                              { "model.b", { FIRN_BF16, FIRN_DIMS(3), b } },
                                              { "c", { FIRN_I64, FIRN_DIMS(1), c } } };
    struct firn_error err = { 0 };
    expect_ok(firn_safetensors_dump(list, 3, data, size, &err), &err);
}

static void what_is_written_is_read(void **state)
{
    (void) state;
    char *data;
    size_t size;
    struct firn_safetensors file;
    struct firn_error err = { 0 };
    float values[6];
    make_file(&data, &size);
    assert_int_equal(*(unsigned char *) data % 8, 0);
    expect_ok(firn_safetensors_parse(&file, "x", data, size, &err), &err);
    assert_int_equal(file.count, 3);
    firn_tensor_read_f32(firn_safetensors_find(&file, "model.b"), 0, 3, values);
    assert_true(values[0] == 1 && values[1] == 2 && values[2] == -2);
    firn_tensor_read_f32(firn_safetensors_find(&file, "model.a"), 0, 6, values);
    assert_true(values[5] == 6);
    firn_tensor_read_f32(firn_safetensors_find(&file, "c"), 0, 1, values);
    assert_true(values[0] == -7);
    assert_null(firn_safetensors_find(&file, "model"));
    firn_safetensors_close(&file);
    free(data);
}

static void a_file_cut_at_any_byte_is_refused(void **state)
{
    (void) state;
    char *data;
    size_t size;
    make_file(&data, &size);
    for (size_t n = 0; n < size; n++) {
        struct firn_safetensors file;
        struct firn_error err = { 0 };
        char *cut = malloc(n + 1);
        memcpy(cut, data, n);
        assert_int_equal(firn_safetensors_parse(&file, "x", cut, n, &err), FIRN_ERR_FORMAT);
        assert_true(err.text[0] == 'x');
        free(cut);
    }
    free(data);
}

/* Reads all values, as a user of the file would. */
static double sum_of(const struct firn_safetensors *file)
{
    double sum = 0, x;
    for (size_t i = 0; i < file->count; i++)
        for (int64_t k = 0; k < firn_shape_count(&file->tensors[i].tensor.shape); k++) {
            firn_tensor_read_f64(&file->tensors[i].tensor, k, 1, &x);
            sum += x;
        }
    return sum;
}

static void a_flipped_byte_anywhere_is_fine_or_an_error_and_never_more(void **state)
{
    (void) state;
    char *data;
    size_t size, refused = 0, taken = 0;
    make_file(&data, &size);
    for (size_t at = 0; at < size; at++)
        for (int flip = 1; flip < 256; flip++) {
            struct firn_safetensors file;
            struct firn_error err = { 0 };
            char *copy = malloc(size);
            memcpy(copy, data, size);
            copy[at] = (char) (copy[at] ^ flip);
            if (firn_safetensors_parse(&file, "x", copy, size, &err) == FIRN_OK) {
                volatile double sum = sum_of(&file);
                (void) sum;
                firn_safetensors_close(&file);
                taken++;
            } else {
                assert_true(err.text[0] != '\0');
                refused++;
            }
            free(copy);
        }
    assert_true(refused > taken / 4 && taken > 0);
    free(data);
}

static void random_edits_of_a_header_never_crash(void **state)
{
    (void) state;
    char *data;
    size_t size;
    make_file(&data, &size);
    for (uint64_t round = 0; round < 20000; round++) {
        struct firn_safetensors file;
        struct firn_error err = { 0 };
        const size_t room = size + 16;
        char *copy = malloc(room);
        size_t n = size;
        memcpy(copy, data, size);
        for (uint64_t e = 0; e < 1 + round % 4; e++) {
            static const char words[] = "{}[]\",:0189-.eE\\tnu";
            uint32_t r[4];
            firn_philox(7, 0, (uint32_t) e, round, r);
            const size_t at = r[0] % n;
            if (r[1] % 3 == 0 && n + 1 < room) {
                memmove(copy + at + 1, copy + at, n - at);
                n++;
            } else if (r[1] % 3 == 1 && n > 1) {
                memmove(copy + at, copy + at + 1, n - at - 1);
                n--;
                continue;
            }
            copy[at] = r[2] % 2 ? words[r[3] % (sizeof words - 1)] : (char) r[3];
        }
        char *exact = malloc(n);
        memcpy(exact, copy, n);
        if (firn_safetensors_parse(&file, "x", exact, n, &err) == FIRN_OK) {
            volatile double sum = sum_of(&file);
            (void) sum;
            firn_safetensors_close(&file);
        }
        free(exact);
        free(copy);
    }
    free(data);
}

static void a_tensor_at_an_odd_address_is_copied_to_an_even_one(void **state)
{
    (void) state;
    static const char header[] = "{\"a\":" ENTRY("BOOL", "[1]", "0", "1") ",\"b\":" ENTRY("F64", "[1]", "1", "9") "}";
    const size_t n = sizeof header - 1;
    const double want = 2.5;
    char *bytes = calloc(1, 8 + n + 9);
    struct firn_safetensors file;
    struct firn_error err = { 0 };
    double got = 0;
    bytes[0] = (char) n;
    memcpy(bytes + 8, header, n);
    memcpy(bytes + 8 + n + 1, &want, sizeof want);
    expect_ok(firn_safetensors_parse(&file, "x", bytes, 8 + n + 9, &err), &err);
    const struct firn_tensor *t = firn_safetensors_find(&file, "b");
    assert_int_equal((uintptr_t) t->data % sizeof(double), 0);
    firn_tensor_read_f64(t, 0, 1, &got);
    assert_true(got == want);
    firn_safetensors_close(&file);
    free(bytes);
}

static firn_status fill_with_index(void *user, size_t index, void *data, struct firn_error *err)
{
    (void) err;
    ((float *) data)[0] = (float) index + 1;
    return index == *(size_t *) user ? firn_fail(err, FIRN_ERR_IO, .what = "enough") : FIRN_OK;
}

static void tensors_made_while_writing_arrive_and_a_failure_leaves_no_file(void **state)
{
    (void) state;
    const struct firn_named_tensor list[] = { { "z", { FIRN_F32, FIRN_DIMS(1), NULL } },
                                              { "a", { FIRN_F32, FIRN_DIMS(1), NULL } } };
    struct firn_safetensors file;
    struct firn_error err = { 0 };
    size_t stop = 9;
    float value;
    scratch_make();
    expect_ok(firn_safetensors_stream(scratch_path("s"), list, 2, fill_with_index, &stop, &err), &err);
    expect_ok(firn_safetensors_open(&file, scratch_path("s"), &err), &err);
    firn_tensor_read_f32(firn_safetensors_find(&file, "z"), 0, 1, &value);
    assert_true(value == 1);
    firn_safetensors_close(&file);
    stop = 1;
    expect_error(firn_safetensors_stream(scratch_path("t"), list, 2, fill_with_index, &stop, &err), FIRN_ERR_IO, &err,
                 "enough", NULL);
    assert_false(firn_path_exists(scratch_path("t")));
    scratch_remove();
}

static void a_missing_file_and_a_directory_are_errors(void **state)
{
    (void) state;
    struct firn_safetensors file;
    struct firn_error err = { 0 };
    scratch_make();
    expect_error(firn_safetensors_open(&file, scratch_path("none"), &err), FIRN_ERR_IO, &err, "none", NULL);
    assert_int_not_equal(firn_safetensors_open(&file, scratch_path(""), &err), FIRN_OK);
    scratch_write("empty", "");
    expect_error(firn_safetensors_open(&file, scratch_path("empty"), &err), FIRN_ERR_FORMAT, &err, "empty", "8 bytes");
    scratch_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_reference_reader_takes_is_taken),
        cmocka_unit_test(what_lies_about_itself_is_refused_with_file_and_tensor),
        cmocka_unit_test(a_header_length_beyond_the_file_is_refused),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(a_flipped_byte_anywhere_is_fine_or_an_error_and_never_more),
        cmocka_unit_test(random_edits_of_a_header_never_crash),
        cmocka_unit_test(a_tensor_at_an_odd_address_is_copied_to_an_even_one),
        cmocka_unit_test(tensors_made_while_writing_arrive_and_a_failure_leaves_no_file),
        cmocka_unit_test(a_missing_file_and_a_directory_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
