/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizer, labels and problem of a task. */
#include "train/task.h"

#include "base/file.h"
#include "base/str.h"
#include "peft/peft.h"

#include <stdlib.h>
#include <string.h>

static bool classifies(const struct firn_task_setup *t)
{
    return t->task == FIRN_TASK_SEQ_CLS || t->task == FIRN_TASK_TOKEN_CLS;
}

static firn_status open_chat(struct firn_task_setup *t, const char *model, const json_t *given, const char *file,
                             struct firn_error *err)
{
    const firn_status status = firn_chat_open(&t->chat, model, t->tokenizer, given, file, err);
    t->has_chat = status == FIRN_OK;
    return status;
}

/* Templates and conversations: what goes together, and with which task. */
static firn_status open_texts(struct firn_task_setup *t, const struct firn_recipe *r, struct firn_error *err)
{
    const bool chats = r->data.messages != NULL || r->data.chat != NULL, is_causal = t->task == FIRN_TASK_CAUSAL_LM;
    const char *key = chats && !is_causal            ? "data.messages"
                      : r->data.template == NULL     ? NULL
                      : chats || r->data.text_pair   ? "data.template"
                      : t->task == FIRN_TASK_TOKEN_CLS ? "data.template"
                                                     : NULL;
    if (key != NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .file = r->path, .key = key,
                         .what = chats && !is_causal ? "conversations are for causal_lm"
                                 : chats             ? "cannot be given together with data.messages and data.chat"
                                 : r->data.text_pair ? "cannot be given together with data.text_pair"
                                                     : "token_classification takes words, not a text");
    if (chats && t->columns.messages == NULL)
        t->columns.messages = (char *) "messages";
    if (chats)
        return open_chat(t, r->model, r->data.chat, r->path, err);
    if (r->data.template != NULL)
        return firn_template_check(r->data.template, is_causal ? r->data.completion : NULL, r->path, err);
    return FIRN_OK;
}

static firn_status open_task(struct firn_task_setup *t, const struct firn_recipe *r, const struct firn_table *train,
                             bool is_bare, struct firn_error *err)
{
    memset(t, 0, sizeof *t);
    t->task = (enum firn_task) r->task;
    t->columns = r->data;
    t->max_length = (uint32_t) r->train.max_length;
    t->quantised = r->quantised;
    t->max_target = t->task == FIRN_TASK_SEQ2SEQ_LM ? (uint32_t) r->train.max_target_length : 0;
    if (r->data.packing && t->task != FIRN_TASK_CAUSAL_LM)
        return firn_fail(err, FIRN_ERR_USAGE, .file = r->path, .key = "data.packing", .expected = "task: causal_lm",
                         .got = firn_task_words[t->task]);
    const bool has_source = r->data.prompt != NULL || r->data.template != NULL;
    if (t->task == FIRN_TASK_SEQ2SEQ_LM && (!has_source || r->data.completion == NULL))
        return firn_fail(err, FIRN_ERR_USAGE, .file = r->path, .key = !has_source ? "data.source" : "data.target",
                         .what = "is required by seq2seq_lm, as in  data: {train: pairs.jsonl, source: text, target: summary}");
    /* what is no model is said before what it lacks */
    firn_status status = is_bare ? FIRN_OK : firn_weights_check(r->model, err);
    if (status == FIRN_OK && !is_bare)
        status = firn_tokenizer_open(&t->tokenizer, r->model, err);
    if (status == FIRN_OK && !is_bare)
        status = open_texts(t, r, err);
    const struct firn_method *method = firn_method_find(json_string_value(json_object_get(r->method, "type")));
    const json_t *n_virtual = json_object_get(r->method, "num_virtual_tokens");
    if (status == FIRN_OK && method != NULL && method->task_row != NULL)
        status = firn_task_templates_open(&t->templates, json_object_get(r->method, "tasks"),
                                          (int64_t) json_integer_value(n_virtual), t->max_length, r->path, err);
    if (status == FIRN_OK && t->task == FIRN_TASK_SEQ_CLS)
        status = firn_problem_of(train, r->data.label, r->data.problem_type, &t->problem, err);
    if (status == FIRN_OK && classifies(t) && t->problem != FIRN_REGRESSION)
        status = firn_labels_collect(&t->labels, train, r->data.label, err);
    if (status == FIRN_OK && classifies(t) && t->problem == FIRN_SINGLE_LABEL && t->labels.count < 2)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = train->path, .key = r->data.label,
                           .expected = "two different labels at least", .got = FIRN_STR("only %.200s", t->labels.names[0]));
    if (status)
        firn_task_close(t);
    return status;
}

firn_status firn_task_open(struct firn_task_setup *t, const struct firn_recipe *r, const struct firn_table *train,
                           struct firn_error *err)
{
    return open_task(t, r, train, false, err);
}

firn_status firn_task_open_bare(struct firn_task_setup *t, const struct firn_recipe *r, const struct firn_table *train,
                                struct firn_error *err)
{
    return open_task(t, r, train, true, err);
}

static char *text_of(const json_t *o, const char *key)
{
    return firn_strdup(json_string_value(json_object_get(o, key)));
}

firn_status firn_task_open_adapter(struct firn_task_setup *t, const char *model, const char *adapter,
                                   struct firn_error *err)
{
    char *path = firn_path_join(adapter, "firn.json");
    json_t *o = NULL;
    memset(t, 0, sizeof *t);
    firn_status status = path == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path") : FIRN_OK;
    if (status == FIRN_OK && !firn_path_exists(path))
        status = firn_fail(err, FIRN_ERR_IO, .file = adapter, .expected = "an adapter that firn trained (firn.json)",
                           .got = firn_path_is_dir(adapter) ? "none in this directory" : "no such directory");
    if (status == FIRN_OK)
        status = firn_json_load(path, &o, err);
    if (status == FIRN_OK) {
        const char *task = json_string_value(json_object_get(o, "task"));
        const char *problem = json_string_value(json_object_get(o, "problem_type"));
        bool found = false;
        for (int i = 0; i < FIRN_TASK_COUNT && task != NULL; i++)
            if (firn_task_words[i] != NULL && strcmp(firn_task_words[i], task) == 0) {
                t->task = (enum firn_task) i;
                found = true;
            }
        for (int i = 0; i < 3 && problem != NULL; i++)
            if (strcmp(firn_problem_words[i], problem) == 0)
                t->problem = (enum firn_problem) i;
        const json_int_t length = json_integer_value(json_object_get(o, "max_length"));
        t->max_length = length > 0 && length < 1 << 24 ? (uint32_t) length : 512;
        if (firn_quantisation_read(json_object_get(o, "quantization"), path, "quantization", &t->quantised, err) != FIRN_OK)
            status = FIRN_ERR_UNSUPPORTED;
        t->text = text_of(o, "text");
        t->text_pair = text_of(o, "text_pair");
        t->prompt = text_of(o, "prompt");
        t->completion = text_of(o, "completion");
        t->template = text_of(o, "template");
        t->messages = text_of(o, "messages");
        if (status == FIRN_OK && t->template != NULL)
            status = firn_template_check(t->template, NULL, path, err);
        const json_int_t target = json_integer_value(json_object_get(o, "max_target_length"));
        t->max_target = t->task != FIRN_TASK_SEQ2SEQ_LM ? 0 : target > 0 && target < 1 << 24 ? (uint32_t) target : 128;
        t->columns = (struct firn_recipe_data){ .text = t->text, .text_pair = t->text_pair, .label = "label",
                                                .prompt = t->prompt, .completion = t->completion,
                                                .template = t->template, .messages = t->messages };
        if (status == FIRN_OK && (!found || t->text == NULL))
            status = firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "task, text", .expected = "a task and a column",
                               .got = "something else");
    }
    if (status == FIRN_OK)
        status = firn_labels_from_json(&t->labels, json_object_get(o, "labels"), err);
    if (status == FIRN_OK)
        status = firn_tokenizer_open(&t->tokenizer, model, err);
    if (status == FIRN_OK && json_is_object(json_object_get(o, "chat")))
        status = open_chat(t, model, json_object_get(o, "chat"), path, err);
    json_decref(o);
    free(path);
    if (status)
        firn_task_close(t);
    return status;
}

void firn_task_close(struct firn_task_setup *t)
{
    firn_chat_close(&t->chat);
    firn_tokenizer_close(&t->tokenizer);
    firn_labels_free(&t->labels);
    firn_task_templates_close(&t->templates);
    free(t->text);
    free(t->text_pair);
    free(t->prompt);
    free(t->completion);
    free(t->template);
    free(t->messages);
    memset(t, 0, sizeof *t);
}

int64_t firn_task_n_labels(const struct firn_task_setup *t)
{
    return !classifies(t) ? 0 : t->problem == FIRN_REGRESSION ? 1 : (int64_t) t->labels.count;
}

void firn_task_dataset_params(const struct firn_task_setup *t, struct firn_dataset_params *p)
{
    *p = (struct firn_dataset_params){ .tokenizer = t->tokenizer, .columns = &t->columns, .task = t->task,
                                       .problem = t->problem, .labels = &t->labels, .max_length = t->max_length,
                                       .max_target = t->max_target, .has_labels = true, .templates = t->templates,
                                       .chat = t->has_chat ? &t->chat : NULL };
}

json_t *firn_task_json(const struct firn_task_setup *t, const char *fingerprint)
{
    json_t *o = json_object();
    json_object_set_new(o, "format", json_string("firn adapter 1"));
    json_object_set_new(o, "task", json_string(firn_task_words[t->task]));
    if (classifies(t))
        json_object_set_new(o, "problem_type", json_string(firn_problem_words[t->problem]));
    json_object_set_new(o, "labels", firn_labels_json(&t->labels));
    json_object_set_new(o, "text", json_string(t->columns.text));
    if (t->columns.text_pair != NULL)
        json_object_set_new(o, "text_pair", json_string(t->columns.text_pair));
    if (t->columns.prompt != NULL)
        json_object_set_new(o, "prompt", json_string(t->columns.prompt));
    if (t->columns.completion != NULL)
        json_object_set_new(o, "completion", json_string(t->columns.completion));
    json_object_set_new(o, "max_length", json_integer(t->max_length));
    if (t->max_target > 0)
        json_object_set_new(o, "max_target_length", json_integer(t->max_target));
    json_object_set_new(o, "template", t->columns.template != NULL ? json_string(t->columns.template) : json_null());
    if (t->has_chat) {
        json_object_set_new(o, "messages", json_string(t->columns.messages));
        json_object_set_new(o, "chat", firn_chat_json(&t->chat));
    }
    if (t->quantised != FIRN_NONE)
        json_object_set_new(o, "quantization", json_string(firn_quantisation_word(t->quantised)));
    json_object_set_new(o, "base_fingerprint", json_string(fingerprint));
    return o;
}

void firn_task_session_params(const struct firn_task_setup *t, const struct firn_recipe *r,
                              struct firn_session_params *p)
{
    *p = (struct firn_session_params){
        .model = r->model, .base_dtype = firn_recipe_dtypes[r->base_dtype], .device = r->device,
        .fast_matrices = r->matrix_precision == 1, .task = t->task, .problem = t->problem,
        .n_labels = firn_task_n_labels(t), .smoothing = (float) r->train.label_smoothing_factor,
        .training = r->train.dropout, .accumulates = r->train.gradient_accumulation_steps > 1,
        .decays_all = r->train.decay_exclude == FIRN_DECAY_ALL, .method = r->method, .method_file = r->path,
        .method_section = "method.", .quantised = t->quantised };
}
