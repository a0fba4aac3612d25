/* SPDX-License-Identifier: Apache-2.0 */
/* Event files are read back as a reader of them does it: records by length and checksums, messages field by field. */
#include "../base/check.h"

#include "base/hash.h"
#include "train/tensorboard.h"

#include <math.h>

struct reader {
    const unsigned char *at, *end;
};

static uint64_t fixed(struct reader *r, int n)
{
    uint64_t v = 0;
    assert_true(r->end - r->at >= n);
    for (int i = 0; i < n; i++)
        v |= (uint64_t) *r->at++ << 8 * i;
    return v;
}

static uint64_t varint(struct reader *r)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(r->at < r->end && shift < 64);
        v |= (uint64_t) (*r->at & 0x7f) << shift;
        if ((*r->at++ & 0x80) == 0)
            return v;
    }
}

static struct reader part(struct reader *r, uint64_t n)
{
    assert_true((uint64_t) (r->end - r->at) >= n);
    const struct reader p = { r->at, r->at + n };
    r->at += n;
    return p;
}

static uint32_t unmasked(uint64_t masked)
{
    const uint32_t x = (uint32_t) masked - 0xa282ead8u;
    return x >> 17 | x << 15;
}

/* The event of the next record; its checksums are those of its bytes. */
static struct reader next_event(struct reader *file)
{
    const unsigned char *head = file->at;
    const uint64_t n = fixed(file, 8);
    assert_int_equal(unmasked(fixed(file, 4)), firn_crc32c_plain(0, head, 8));
    const struct reader event = part(file, n);
    assert_int_equal(unmasked(fixed(file, 4)), firn_crc32c_plain(0, event.at, n));
    return event;
}

static void next_key(struct reader *r, uint64_t field, uint64_t wire)
{
    const uint64_t key = varint(r);
    assert_int_equal(key >> 3, field);
    assert_int_equal(key & 7, wire);
}

static void begin(struct reader *event, uint64_t step)
{
    next_key(event, 1, 1);
    const uint64_t bits = fixed(event, 8);
    double wall;
    memcpy(&wall, &bits, sizeof wall);
    assert_true(wall > 1.6e9 && wall < 1e11);
    next_key(event, 2, 0);
    assert_int_equal(varint(event), step);
}

static void next_scalar(struct reader *summary, const char *tag, float want)
{
    next_key(summary, 1, 2);
    struct reader value = part(summary, varint(summary));
    next_key(&value, 1, 2);
    const struct reader text = part(&value, varint(&value));
    assert_int_equal(text.end - text.at, strlen(tag));
    assert_memory_equal(text.at, tag, strlen(tag));
    next_key(&value, 2, 5);
    const uint32_t bits = (uint32_t) fixed(&value, 4);
    float got;
    memcpy(&got, &bits, sizeof got);
    assert_true(got == want);
    assert_ptr_equal(value.at, value.end);
}

static struct reader next_summary(struct reader *file, uint64_t step)
{
    struct reader event = next_event(file);
    begin(&event, step);
    next_key(&event, 5, 2);
    return part(&event, varint(&event));
}

static void points_become_records_that_a_reader_takes(void **state)
{
    static const struct firn_point points[] = {
        { .step = 300, .epoch = 0.5, .loss = 0.25, .grad_norm = INFINITY, .learning_rate = 1e-3, .eval_loss = NAN, .eval_accuracy = NAN },
        { .step = 1234567890123, .epoch = 1, .eval_loss = 0.75, .eval_accuracy = 0.5, .is_eval = true },
    };
    struct firn_error err = { 0 };
    char *path = NULL, *data = NULL;
    size_t size = 0;
    check_ok(firn_tensorboard_open(scratch_path(state, "events"), 299, &path, &err), &err);
    assert_non_null(strstr(path, "/events.out.tfevents."));
    for (size_t i = 0; i < N_OF(points); i++)
        check_ok(firn_tensorboard_add(path, &points[i], &err), &err);
    check_ok(firn_file_read(path, 1 << 20, &data, &size, &err), &err);
    struct reader file = { (const unsigned char *) data, (const unsigned char *) data + size };

    struct reader event = next_event(&file);
    begin(&event, 0);
    next_key(&event, 3, 2);
    const struct reader version = part(&event, varint(&event));
    assert_int_equal(version.end - version.at, 13);
    assert_memory_equal(version.at, "brain.Event:2", 13);

    event = next_event(&file); /* what the part before wrote from here on does not count */
    begin(&event, 300);
    next_key(&event, 7, 2);
    struct reader session = part(&event, varint(&event));
    next_key(&session, 1, 0);
    assert_int_equal(varint(&session), 1);

    struct reader summary = next_summary(&file, 300); /* a norm that is not finite is left out */
    next_scalar(&summary, "train/loss", 0.25f);
    next_scalar(&summary, "train/learning_rate", 1e-3f);
    next_scalar(&summary, "train/epoch", 0.5f);
    assert_ptr_equal(summary.at, summary.end);
    summary = next_summary(&file, 1234567890123);
    next_scalar(&summary, "eval/loss", 0.75f);
    next_scalar(&summary, "eval/accuracy", 0.5f);
    assert_ptr_equal(summary.at, summary.end);
    assert_ptr_equal(file.at, file.end);
    free(data);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_become_records_that_a_reader_takes),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
