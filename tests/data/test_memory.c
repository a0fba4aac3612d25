/* SPDX-License-Identifier: Apache-2.0 */
/* The readers with memory that fails at the n-th allocation, once and from then on: an error each
 * time, nothing lost, nothing broken. The linker sends firn's allocations here; jansson takes ours
 * too. */
#include "../base/check.h"

#include "base/str.h"
#include "data/batches.h"
#include "data/labels.h"
#include "data/split.h"

static size_t n_calls, fails_at; /* fails_at 0: never */
static bool fails_on;
static long n_alive;

void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *memory);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);

static bool fails(void)
{
    n_calls++;
    return fails_at != 0 && (fails_on ? n_calls >= fails_at : n_calls == fails_at);
}

void *__wrap_malloc(size_t size)
{
    void *memory = fails() ? NULL : __real_malloc(size);
    n_alive += memory != NULL;
    return memory;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *memory = __wrap_malloc(n * size);
    return memory != NULL ? memset(memory, 0, n * size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    if (old == NULL)
        return __wrap_malloc(size);
    return fails() ? NULL : __real_realloc(old, size);
}

void __wrap_free(void *memory)
{
    n_alive -= memory != NULL;
    __real_free(memory);
}

char *__wrap_strndup(const char *text, size_t n)
{
    char *copy = __wrap_malloc(n + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}

/* Runs `work` with every allocation failing in turn until it runs through. */
static void sweep(firn_status (*work)(struct firn_error *err))
{
    struct firn_error err = { 0 };
    check_ok(work(&err), &err);
    for (int mode = 0; mode < 2; mode++) {
        fails_on = mode == 1;
        for (size_t n = 1; n < 100000; n++) {
            const long alive = n_alive;
            err = (struct firn_error){ 0 };
            n_calls = 0;
            fails_at = n;
            const firn_status s = work(&err);
            const bool was_reached = n_calls >= n;
            fails_at = 0;
            if (n_alive != alive)
                fail_msg("failure %zu: %ld blocks lost", n, n_alive - alive);
            if (!was_reached) {
                check_ok(s, &err);
                break;
            }
            /* jansson reports some of its own failed allocations as a bad token */
            if ((s != FIRN_ERR_MEMORY && s != FIRN_ERR_FORMAT) || err.text[0] == '\0')
                fail_msg("failure %zu: %s: %s", n, firn_status_name(s), err.text);
        }
    }
}

static firn_status read_json(struct firn_error *err)
{
    /* tokens below 16 bytes: jansson 2.14 does not notice that its token buffer cannot grow */
    const char *text = "{\"a\": [1, 2.5, \"x\\u00e9\", true], \"b\": {\"c\": null}}";
    json_t *value;
    firn_status s = firn_json_parse(text, strlen(text), "m.json", &value, err);
    if (s)
        return s;
    char *dump = firn_json_dump(value, 2, true), *yaml = firn_yaml_dump(value);
    if (dump == NULL || yaml == NULL)
        s = firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory to write");
    __wrap_free(dump);
    __wrap_free(yaml);
    json_decref(value);
    return s;
}

static firn_status read_yaml(struct firn_error *err)
{
    const char *text = "a: [1, 2.5, x]\nb:\n  c: ~\n  d: 'text'\n";
    json_t *value;
    firn_status s = firn_yaml_parse(text, strlen(text), "m.yaml", &value, err);
    json_decref(value);
    return s;
}

static firn_status read_csv(struct firn_error *err)
{
    struct firn_table t = { 0 }, v = { 0 };
    struct firn_labels l = { 0 };
    struct firn_batches plan = { 0 };
    const uint32_t lengths[] = { 3, 1, 2 };
    const struct firn_batches_params p = {
        .batch_size = 2, .multiple = 8, .max_length = 8, .shuffles = true, .groups = true
    };
    firn_status s =
        firn_table_parse_csv(&t, "m.csv", BYTES("a,b\n1,\"x\"\"y\"\n2,y\n3,\n"), ',', err);
    if (s == FIRN_OK)
        s = firn_labels_collect(&l, &t, "a", err);
    if (s == FIRN_OK)
        s = firn_table_split(&t, 0.3, 1, &v, err);
    if (s == FIRN_OK)
        s = firn_batches_plan(&plan, lengths, 3, &p, err);
    firn_batches_free(&plan);
    firn_labels_free(&l);
    firn_table_free(&v);
    firn_table_free(&t);
    return s;
}

static firn_status read_lines(struct firn_error *err)
{
    struct firn_table t = { 0 };
    struct firn_labels l = { 0 };
    firn_status s = firn_table_parse_jsonl(
        &t, "m.jsonl", BYTES("{\"a\": \"x\", \"b\": [1]}\n{\"a\": [\"x\", 2, 0.5]}\n"), err);
    if (s == FIRN_OK)
        s = firn_labels_collect(&l, &t, "a", err);
    firn_labels_free(&l);
    firn_table_free(&t);
    if (s == FIRN_OK)
        s = firn_table_parse_text(&t, "m.txt", BYTES("one\ntwo\n"), err);
    firn_table_free(&t);
    return s;
}

static firn_status write_file(struct firn_error *err)
{
    char **names = NULL, *data = NULL;
    size_t n = 0, size;
    firn_status s = firn_dir_create("/tmp/firn-test-memory/a/b", err);
    if (s == FIRN_OK)
        s = firn_file_write("/tmp/firn-test-memory/a/f", "text", 4, err);
    if (s == FIRN_OK)
        s = firn_file_read("/tmp/firn-test-memory/a/f", 10, &data, &size, err);
    if (s == FIRN_OK)
        s = firn_dir_list("/tmp/firn-test-memory/a", &names, &n, err);
    firn_dir_list_free(names, n);
    __wrap_free(data);
    const size_t was_failing_at = fails_at;
    fails_at = 0;
    assert_int_equal(firn_dir_remove("/tmp/firn-test-memory", NULL), FIRN_OK);
    fails_at = was_failing_at;
    return s;
}

static void json_is_read_whole_or_refused(void **state)
{
    (void) state;
    sweep(read_json);
}

static void yaml_is_read_whole_or_refused(void **state)
{
    (void) state;
    sweep(read_yaml);
}

static void tables_are_read_whole_or_refused(void **state)
{
    (void) state;
    sweep(read_csv);
    sweep(read_lines);
}

static void files_are_written_whole_or_refused(void **state)
{
    (void) state;
    sweep(write_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_read_whole_or_refused),
        cmocka_unit_test(yaml_is_read_whole_or_refused),
        cmocka_unit_test(tables_are_read_whole_or_refused),
        cmocka_unit_test(files_are_written_whole_or_refused),
    };
    json_set_alloc_funcs(__wrap_malloc, __wrap_free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
