/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as prompts of a task. */
#include "cli/task_prompts.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

firn_status firn_task_prompts_open(struct firn_task_prompts *p, const struct firn_session *s, const char *adapter,
                                   const char *task, int64_t limit, struct firn_error *err)
{
    const struct firn_method *method = s->adapter.method;
    memset(p, 0, sizeof *p);
    if (method == NULL || method->task_row == NULL)
        return task == NULL ? FIRN_OK
                            : firn_fail(err, FIRN_ERR_USAGE, .file = "generate", .key = "--task",
                                        .expected = "an adapter with a prompt a task (MULTITASK)",
                                        .got = method != NULL ? method->peft_type : "none");
    int64_t n;
    if (task != NULL && method->task_row(s->adapter.settings, task, &n) < 0)
        return firn_fail(err, FIRN_ERR_USAGE, .file = "generate", .key = "--task", .expected = "a task of the adapter",
                         .got = task);
    char *path = firn_path_join(adapter, "adapter_config.json");
    firn_status status = path != NULL ? firn_json_load(path, &p->config, err)
                                      : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK)
        status = firn_task_templates_open(&p->templates, json_object_get(p->config, "tasks"), 0, (uint32_t) limit, path, err);
    p->task = task;
    p->limit = limit;
    free(path);
    return status;
}

void firn_task_prompts_close(struct firn_task_prompts *p)
{
    firn_task_templates_close(&p->templates);
    json_decref(p->config);
    memset(p, 0, sizeof *p);
}

/* The fields of a line; NULL: it is none, and *err says why. */
static json_t *row_of(const struct firn_task_prompts *p, const char *text, size_t size, const char *file, const char *key,
                      struct firn_error *err)
{
    json_t *row = NULL;
    if (size > 0 && text[0] == '{') {
        if (firn_json_parse(text, size, file, &row, err) != FIRN_OK)
            return NULL;
        if (p->task != NULL && json_object_get(row, "taskname") == NULL)
            json_object_set_new(row, "taskname", json_string(p->task));
        return row;
    }
    const char *field = p->task != NULL ? firn_task_templates_only_field(p->templates, p->task) : NULL;
    if (field == NULL) {
        firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = key,
                  .expected = p->task != NULL ? "a JSON object: the task's template has several fields"
                                              : "a JSON object with taskname (or --task)",
                  .got = "a text");
        return NULL;
    }
    return json_pack("{s:s,s:o}", "taskname", p->task, field, json_stringn(text, size));
}

/* Virtual tokens as rows of the adapter's table. */
static firn_status place(const struct firn_session *s, const struct firn_laid_out *out, const char *file, const char *key,
                         struct firn_error *err)
{
    int64_t n = 0;
    const int64_t first = s->adapter.method->task_row(s->adapter.settings, out->task, &n);
    for (uint32_t i = 0; i < out->n; i++) {
        if (out->virtual_ids[i] >= 0 && (first < 0 || out->virtual_ids[i] >= n))
            return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = key, .expected = "a task of the adapter",
                             .got = out->task);
        out->virtual_ids[i] = out->virtual_ids[i] < 0 ? -1 : (int32_t) (first + out->virtual_ids[i]);
    }
    return FIRN_OK;
}

firn_status firn_task_prompts_encode(const struct firn_task_prompts *p, const struct firn_session *s,
                                     const struct firn_tokenizer *tokenizer, const char *text, size_t size, const char *file,
                                     size_t line, int32_t **ids, int32_t **virtual_ids, size_t *n, struct firn_error *err)
{
    const char *key = line > 0 ? FIRN_STR("line %zu", line) : "the prompt";
    struct firn_encoding encoding = { 0 };
    struct firn_laid_out out = { 0 };
    struct firn_table table = { 0 };
    firn_status status = firn_table_name(&table, file, err);
    json_t *row = status == FIRN_OK ? row_of(p, text, size, file, key, err) : NULL;
    if (status == FIRN_OK)
        status = row != NULL ? firn_table_add(&table, row, line > 0 ? line : 1, err) : FIRN_ERR_FORMAT;
    if (status == FIRN_OK)
        status = firn_task_templates_lay_out(p->templates, &table, 0, tokenizer, (uint32_t) p->limit, false, &encoding, &out,
                                             err);
    if (status == FIRN_OK && out.n == 0)
        status = firn_fail(err, FIRN_ERR_SHAPE, .file = file, .key = key,
                           .expected = FIRN_STR("at most %lld tokens, virtual ones counted", (long long) p->limit),
                           .got = "more, and no truncate_field that is long enough");
    if (status == FIRN_OK)
        status = place(s, &out, file, key, err);
    free(out.labels);
    if (status) {
        free(out.ids);
        free(out.virtual_ids);
        out = (struct firn_laid_out){ 0 };
    }
    *ids = out.ids;
    *virtual_ids = out.virtual_ids;
    *n = out.n;
    firn_encoding_free(&encoding);
    firn_table_free(&table);
    return status;
}
