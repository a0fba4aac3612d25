/* SPDX-License-Identifier: Apache-2.0 */
/* `firn generate`: text that continues prompts, as it comes for a single one, a line an answer for many. */
#include "cli/adapters.h"
#include "cli/command.h"
#include "cli/task_prompts.h"
#include "infer/generate.h"
#include "train/task.h"
#include "text/utf8.h"

#include "base/file.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct flags {
    char *device, *prompt, *file, *system, *tokenizer, *task;
    json_t *adapter, *stop, *quantization;
    int64_t batch_size, max_new_tokens, top_k, seed;
    double temperature, top_p, repetition_penalty;
    bool ignore_end, json, chat, templated;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_DEVICE(device),
    { "adapter", .type = FIRN_OPTION_TEXTS, .offset = AT(adapter), .unit = "DIR", 
      .help = "an adapter of the model; with several, each prompt begins with the last word of its DIR and a tab" },
    { "tokenizer", .type = FIRN_OPTION_TEXT, .offset = AT(tokenizer), .unit = "DIR",
      .help = "where tokenizer.json is, if it is not beside the model (GGUF files)" },
    { "quantization", .type = FIRN_OPTION_TREE, .offset = AT(quantization), .unit = "WORD",
      .help = "of the frozen base: nf4, nf4_double, int8 or none; unset: as the adapter's firn.json says" },
    { "prompt", .type = FIRN_OPTION_TEXT, .offset = AT(prompt), .help = "the text to continue; else --file, else lines of stdin" },
    { "file", .type = FIRN_OPTION_TEXT, .offset = AT(file), .unit = "FILE", .help = "a file that is one prompt" },
    { "chat", .type = FIRN_OPTION_BOOL, .offset = AT(chat),
      .help = "a prompt is what a user says (or a JSON list of messages); written as the adapter or the model's chat template has it" },
    { "system", .type = FIRN_OPTION_TEXT, .offset = AT(system), .help = "with --chat: the system's message" },
    { "templated", .type = FIRN_OPTION_BOOL, .offset = AT(templated),
      .help = "a prompt is filled into the template that the adapter was trained with: a JSON object of its fields, or its only field" },
    { "task", .type = FIRN_OPTION_TEXT, .offset = AT(task), .unit = "NAME",
      .help = "of an adapter with a prompt a task: the task of lines that name none; a line is a JSON object of its template's fields, or the only one" },
    { "max-new-tokens", .type = FIRN_OPTION_INT, .offset = AT(max_new_tokens), .fallback = "128", .max = 16777216,
      .unit = "N", .help = "the longest answer" },
    { "temperature", .type = FIRN_OPTION_REAL, .offset = AT(temperature), .fallback = "0", .max = 1000,
      .help = "divides the logits; 0 takes the best token each time" },
    { "top-k", .type = FIRN_OPTION_INT, .offset = AT(top_k), .fallback = "0", .max = 16777216, .unit = "N",
      .help = "draw among the best N tokens; 0: all" },
    { "top-p", .type = FIRN_OPTION_REAL, .offset = AT(top_p), .fallback = "1", .min = 1e-9, .max = 1,
      .help = "draw among the fewest tokens that have this share of the probability" },
    { "repetition-penalty", .type = FIRN_OPTION_REAL, .offset = AT(repetition_penalty), .fallback = "1", .min = 1e-3,
      .max = 1000, .help = "above 1 makes tokens that were seen less likely" },
    { "seed", .type = FIRN_OPTION_INT, .offset = AT(seed), .fallback = "42", .max = 9e15, .help = "of the draws" },
    { "stop", .type = FIRN_OPTION_TEXTS, .offset = AT(stop), .help = "a text that ends the answer before it; may be given again" },
    { "ignore-end", .type = FIRN_OPTION_BOOL, .offset = AT(ignore_end), .help = "the model's end tokens end nothing" },
    { "batch-size", .type = FIRN_OPTION_INT, .offset = AT(batch_size), .fallback = "8", .min = 1, .max = 65536,
      .unit = "N", .help = "lines of stdin that are computed together; 1 answers each at once" },
    FIRN_FLAG_JSON(json),
    { NULL },
};

static volatile sig_atomic_t cancel;

/* The first signal ends the answer after its last character; a second one ends the program as usual. */
static void on_signal(int number)
{
    cancel = 1;
    signal(number, SIG_DFL);
}

struct work {
    const struct flags *f;
    struct firn_tokenizer *tokenizer;
    struct firn_session session;
    struct firn_adapter_names names;
    struct firn_generate_params params;
    struct firn_task_setup task; /* of the adapter's firn.json, for --chat and --templated */
    struct firn_chat chat;       /* the model's */
    char *field;                 /* the template's only one */
    struct firn_task_prompts tasks; /* of an adapter with a prompt a task */
    const char **stop;
    int32_t *ends;
    size_t n_ends;
    bool is_single;
    bool is_mixed;               /* rows of one batch have different adapters: all together are number `mixed` */
    size_t mixed;
    char last; /* byte that was written */
};

struct text {
    char *data;
    size_t size, line, member;
    int32_t *ids, *virtual_ids; /* virtual_ids: NULL: none */
    size_t n;
};

static bool write_text(void *user, size_t row, const char *text, size_t size)
{
    struct work *w = user;
    (void) row;
    fwrite(text, 1, size, stdout);
    w->last = text[size - 1];
    return fflush(stdout) == 0;
}

/* Of the adapter, else what the model is for. */
static firn_status find_task(const char *model, const char *adapter, enum firn_task *task, struct firn_error *err)
{
    struct firn_adapter_info info = { 0 };
    struct firn_model m = { 0 };
    firn_status status = firn_model_open(&m, model, err);
    if (status == FIRN_OK) {
        *task = m.arch->head[FIRN_TASK_CAUSAL_LM] == NULL && m.arch->head[FIRN_TASK_SEQ2SEQ_LM] != NULL
                    ? FIRN_TASK_SEQ2SEQ_LM
                    : FIRN_TASK_CAUSAL_LM;
        firn_model_close(&m);
        if (adapter != NULL)
            status = firn_adapter_peek(&info, adapter, err);
    }
    if (status == FIRN_OK && info.has_task && info.task != *task)
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = adapter, .key = "task",
                           .expected = firn_task_words[*task], .got = firn_task_words[info.task]);
    return status;
}

static firn_status add_end(struct work *w, int32_t id, struct firn_error *err)
{
    int32_t *ends = id >= 0 ? realloc(w->ends, sizeof *ends * (w->n_ends + 1)) : NULL;
    if (id < 0)
        return FIRN_OK;
    if (ends == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for end tokens");
    w->ends = ends;
    w->ends[w->n_ends++] = id;
    return FIRN_OK;
}

/* How prompts are written: as the adapter was trained, else as the model's chat template says. */
static firn_status open_texts(struct work *w, const char *model, const char *adapter, struct firn_error *err)
{
    const struct flags *f = w->f;
    firn_status status = FIRN_OK;
    if (!f->chat && !f->templated)
        return f->system == NULL ? FIRN_OK
                                 : firn_fail(err, FIRN_ERR_USAGE, .file = "generate", .key = "--system",
                                             .what = "is for --chat");
    if (f->chat && f->templated)
        return firn_fail(err, FIRN_ERR_USAGE, .file = "generate", .key = "--templated",
                         .what = "cannot be given together with --chat");
    if (f->chat && !w->task.has_chat)
        status = firn_chat_open(&w->chat, model, w->tokenizer, NULL, model, err);
    if (status == FIRN_OK && f->templated && w->task.template == NULL)
        status = firn_fail(err, FIRN_ERR_USAGE, .file = adapter != NULL ? adapter : model, .key = "template",
                           .expected = "an adapter that was trained with data.template", .got = "none");
    if (status == FIRN_OK && f->templated)
        w->field = firn_template_only_field(w->task.template, w->task.completion);
    const struct firn_chat *chat = w->task.has_chat ? &w->task.chat : &w->chat;
    if (status == FIRN_OK && f->chat && !f->ignore_end)
        status = add_end(w, firn_chat_end(chat, w->tokenizer), err);
    return status;
}

static firn_status add_adapter(struct work *w, const char *model, const char *adapter, enum firn_task task,
                               struct firn_error *err)
{
    struct firn_session_params p = w->session.params;
    enum firn_task own = task;
    p.adapter = adapter;
    if (w->f->chat || w->f->templated)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = "generate", .key = w->f->chat ? "--chat" : "--templated",
                         .expected = "one adapter", .got = "several");
    firn_status status = find_task(model, adapter, &own, err);
    if (status == FIRN_OK)
        status = firn_session_add(&w->session, &p, err);
    const struct firn_method *method = w->session.adapter.method;
    if (status == FIRN_OK && method != NULL && method->task_row != NULL)
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = adapter, .key = "peft_type", .expected = "an adapter of one task",
                           .got = "MULTITASK");
    return status ? status : firn_session_push(&w->session, "params", w->session.flat, err);
}

static firn_status open_work(struct work *w, const char *model, struct firn_error *err)
{
    const struct flags *f = w->f;
    const char *adapter = json_string_value(json_array_get(f->adapter, 0));
    enum firn_task task = FIRN_TASK_CAUSAL_LM;
    const char *texts = f->tokenizer != NULL ? f->tokenizer : model;
    firn_status status = firn_adapter_names_open(&w->names, f->adapter, "generate", err);
    if (status == FIRN_OK)
        status = find_task(model, adapter, &task, err);
    char *trained = adapter != NULL ? firn_path_join(adapter, "firn.json") : NULL;
    if (status == FIRN_OK && trained != NULL && firn_path_exists(trained))
        status = firn_task_open_adapter(&w->task, texts, adapter, err);
    free(trained);
    enum firn_dtype quantised = w->task.quantised;
    if (status == FIRN_OK && f->quantization != NULL)
        status = firn_quantisation_read(f->quantization, "generate", "--quantization", &quantised, err);
    const struct firn_session_params p = { .model = model, .device = f->device, .task = task,
                                           .quantised = quantised, .adapter = adapter, .log = firn_stderr_log };
    if (status == FIRN_OK)
        status = firn_session_open(&w->session, &p, err);
    if (status == FIRN_OK)
        status = firn_task_prompts_open(&w->tasks, &w->session, adapter, f->task, firn_generate_limit(&w->session), err);
    if (status == FIRN_OK && w->tasks.templates != NULL && w->names.n > 1)
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = adapter, .key = "peft_type", .expected = "an adapter of one task",
                           .got = "MULTITASK");
    if (status == FIRN_OK)
        status = firn_session_push(&w->session, "params", w->session.flat, err);
    for (size_t k = 1; k < w->names.n && status == FIRN_OK; k++)
        status = add_adapter(w, model, json_string_value(json_array_get(f->adapter, k)), task, err);
    if (status == FIRN_OK && w->names.n > 1)
        status = firn_session_mix(&w->session, &w->is_mixed, &w->mixed, err);
    if (status == FIRN_OK)
        status = firn_tokenizer_open(&w->tokenizer, texts, err);
    if (status == FIRN_OK && !f->ignore_end)
        status = firn_generate_ends(model, w->tokenizer, &w->ends, &w->n_ends, err);
    if (status == FIRN_OK)
        status = open_texts(w, texts, adapter, err);
    const size_t n_stop = json_array_size(f->stop);
    w->stop = calloc(n_stop + 1, sizeof *w->stop);
    if (status == FIRN_OK && w->stop == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for stop strings");
    for (size_t i = 0; i < n_stop && w->stop != NULL; i++)
        w->stop[i] = json_string_value(json_array_get(f->stop, i));
    w->params = (struct firn_generate_params){
        .max_new_tokens = f->max_new_tokens, .tokenizer = w->tokenizer, .stop = w->stop, .n_stop = n_stop,
        .ends = w->ends, .n_ends = w->n_ends, .cancel = &cancel, .user = w,
        .sampling = { .temperature = f->temperature, .top_k = f->top_k, .top_p = f->top_p,
                      .repetition_penalty = f->repetition_penalty, .seed = (uint64_t) f->seed } };
    return status;
}

/* A user's words, or a list of messages, as a conversation that waits for an answer. */
static firn_status write_chat(const struct work *w, const struct text *t, const char *name, struct firn_marked *out,
                              struct firn_error *err)
{
    json_t *messages = NULL;
    firn_status status = FIRN_OK;
    if (t->size > 0 && t->data[0] == '[') {
        status = firn_json_parse(t->data, t->size, name, &messages, err);
    } else {
        messages = json_array();
        json_array_append_new(messages, json_pack("{s:s,s:o}", "role", "user", "content", json_stringn(t->data, t->size)));
    }
    if (status == FIRN_OK && w->f->system != NULL)
        json_array_insert_new(messages, 0, json_pack("{s:s,s:s}", "role", "system", "content", w->f->system));
    if (status == FIRN_OK)
        status = firn_chat_render(w->task.has_chat ? &w->task.chat : &w->chat, messages, true, name,
                                  t->line > 0 ? t->line : 1, out, err);
    json_decref(messages);
    return status;
}

static firn_status write_template(const struct work *w, const struct text *t, const char *name, struct firn_marked *out,
                                  struct firn_error *err)
{
    json_t *row = NULL;
    firn_status status = FIRN_OK;
    if (t->size > 0 && t->data[0] == '{')
        status = firn_json_parse(t->data, t->size, name, &row, err);
    else if (w->field != NULL)
        row = json_pack("{s:o}", w->field, json_stringn(t->data, t->size));
    else
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = name, .key = FIRN_STR("line %zu", t->line > 0 ? t->line : 1),
                           .expected = "a JSON object: the template has several fields", .got = "something else");
    if (status == FIRN_OK)
        status = firn_template_fill(w->task.template, row, w->task.completion, true, name, t->line > 0 ? t->line : 1, out,
                                    err);
    json_decref(row);
    return status;
}

/* What the model reads of a prompt. */
static firn_status tokens_of(const struct work *w, const struct text *t, const char *name, struct firn_encoding *e,
                             struct firn_error *err)
{
    struct firn_marked m = { 0 };
    const struct firn_encode_params how = { .add_special = !w->f->chat };
    firn_status status = FIRN_OK;
    if (w->f->chat)
        status = write_chat(w, t, name, &m, err);
    else if (w->f->templated)
        status = write_template(w, t, name, &m, err);
    else
        firn_str_add_n(&m.text, t->data, t->size);
    if (status == FIRN_OK)
        status = firn_tokenizer_encode(w->tokenizer, m.text.data != NULL ? m.text.data : "", m.text.size, NULL, 0, &how, e,
                                       err);
    firn_marked_free(&m);
    return status;
}

/* A text without tokens starts from the token that starts texts. */
static firn_status encode(struct work *w, struct text *t, const char *name, struct firn_error *err)
{
    struct firn_encoding e = { 0 };
    const char *key = t->line > 0 ? FIRN_STR("line %zu", t->line) : "the prompt", *text = t->data;
    firn_status status = firn_adapter_names_take(&w->names, name, key, &text, &t->size, &t->member, err);
    if (status)
        return status;
    memmove(t->data, text, t->size); /* what is left of the line */
    firn_session_use(&w->session, w->is_mixed ? w->mixed : t->member);
    const int64_t limit = firn_generate_limit(&w->session);
    if (firn_utf8_valid((const uint8_t *) t->data, t->size) < t->size)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = name, .key = key, .expected = "UTF-8", .got = "other bytes");
    if (w->tasks.templates != NULL)
        return firn_task_prompts_encode(&w->tasks, &w->session, w->tokenizer, t->data, t->size, name, t->line, &t->ids,
                                        &t->virtual_ids, &t->n, err);
    status = tokens_of(w, t, name, &e, err);
    const int32_t bos = firn_tokenizer_role(w->tokenizer, FIRN_ROLE_BOS);
    if (status == FIRN_OK && e.n == 0 && bos < 0)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = name, .key = key, .expected = "at least one token",
                           .got = "none, and the tokenizer has no bos_token to start from");
    if (status == FIRN_OK && (int64_t) e.n > limit)
        status = firn_fail(err, FIRN_ERR_SHAPE, .file = name, .key = key,
                           .expected = FIRN_STR("at most %lld tokens", (long long) limit), .got = FIRN_STR("%zu", e.n));
    t->n = e.n > 0 ? e.n : 1;
    t->ids = status == FIRN_OK ? malloc(sizeof *t->ids * t->n) : NULL;
    if (status == FIRN_OK && t->ids == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a prompt");
    if (status == FIRN_OK && e.n > 0)
        memcpy(t->ids, e.ids, sizeof *t->ids * t->n);
    else if (status == FIRN_OK)
        t->ids[0] = bos;
    firn_encoding_free(&e);
    return status;
}

static void print_json(const struct text *t, const struct firn_generated *g)
{
    json_t *o = json_object(), *ids = json_array();
    for (size_t k = 0; k < g->n; k++)
        json_array_append_new(ids, json_integer(g->ids[k]));
    json_object_set_new(o, "prompt", json_stringn(t->data, t->size));
    json_object_set_new(o, "text", json_string(g->text));
    json_object_set_new(o, "finish", json_string(firn_finish_words[g->finish]));
    json_object_set_new(o, "prompt_tokens", json_integer((json_int_t) t->n));
    json_object_set_new(o, "new_tokens", json_integer((json_int_t) g->n));
    json_object_set_new(o, "ids", ids);
    json_dumpf(o, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(o);
}

/* One answer a line: a line end within it is written as \n. */
static void print_line(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            fputs("\\n", stdout);
        else if (*text != '\r')
            putchar(*text);
    }
    putchar('\n');
}

/* All prompts in one batch. */
static firn_status answer_all(struct work *w, struct text *texts, size_t n, size_t first, struct firn_generated *out,
                              struct firn_error *err)
{
    struct firn_prompt *prompts = calloc(n + 1, sizeof *prompts);
    if (prompts == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for answers");
    for (size_t i = 0; i < n; i++)
        prompts[i] = (struct firn_prompt){ .ids = texts[i].ids, .n = texts[i].n, .number = (uint32_t) (first + i),
                                           .adapter = (uint32_t) texts[i].member };
    firn_session_use(&w->session, w->mixed);
    const firn_status status = firn_generate(&w->session, prompts, n, &w->params, out, err);
    free(prompts);
    return status;
}

/* The prompts of one adapter; out [n] is of all. */
static firn_status answer_with(struct work *w, size_t member, struct text *texts, size_t n, size_t first,
                               struct firn_generated *out, struct firn_error *err)
{
    struct firn_prompt *prompts = calloc(n + 1, sizeof *prompts);
    struct firn_generated *own = calloc(n + 1, sizeof *own);
    size_t count = 0;
    firn_status status = prompts == NULL || own == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for answers")
                                                        : FIRN_OK;
    for (size_t i = 0; i < n && status == FIRN_OK; i++)
        if (texts[i].member == member)
            prompts[count++] = (struct firn_prompt){ .ids = texts[i].ids, .virtual_ids = texts[i].virtual_ids, .n = texts[i].n, .number = (uint32_t) (first + i) };
    if (count > 0)
        firn_session_use(&w->session, member);
    if (status == FIRN_OK && count > 0)
        status = firn_generate(&w->session, prompts, count, &w->params, own, err);
    count = 0;
    for (size_t i = 0; i < n && own != NULL; i++)
        if (texts[i].member == member)
            out[i] = own[count++];
    free(prompts);
    free(own);
    return status;
}

static firn_status answer(struct work *w, struct text *texts, size_t n, size_t first, struct firn_error *err)
{
    struct firn_generated *out = calloc(n + 1, sizeof *out);
    firn_status status = out == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for answers") : FIRN_OK;
    const bool streams = w->is_single && !w->f->json;
    const size_t n_members = w->names.n > 0 ? w->names.n : 1;
    w->params.on_text = streams ? write_text : NULL;
    if (w->is_mixed && status == FIRN_OK)
        status = answer_all(w, texts, n, first, out, err);
    for (size_t k = 0; k < n_members && status == FIRN_OK && !w->is_mixed; k++)
        status = answer_with(w, k, texts, n, first, out, err);
    if (streams && (status == FIRN_OK || w->last != '\0') && w->last != '\n')
        printf("\n");
    for (size_t i = 0; i < n && status == FIRN_OK && !streams; i++) {
        if (w->f->json)
            print_json(&texts[i], &out[i]);
        else
            print_line(out[i].text);
    }
    if (out != NULL)
        firn_generated_free(out, n);
    free(out);
    if (status == FIRN_OK && cancel)
        status = FIRN_ERR_STOPPED;
    return status;
}

static firn_status answer_one(struct work *w, struct firn_error *err)
{
    struct text t = { 0 };
    w->is_single = true;
    firn_status status = FIRN_OK;
    if (w->f->prompt != NULL) {
        t.data = firn_strdup(w->f->prompt);
        t.size = t.data != NULL ? strlen(t.data) : 0;
        status = t.data != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a prompt");
    } else {
        status = firn_file_read(w->f->file, (size_t) 64 << 20, &t.data, &t.size, err);
    }
    if (status == FIRN_OK)
        status = encode(w, &t, w->f->prompt != NULL ? "--prompt" : w->f->file, err);
    if (status == FIRN_OK)
        status = answer(w, &t, 1, 0, err);
    free(t.data);
    free(t.ids);
    free(t.virtual_ids);
    return status;
}

/* False at the end of standard input. */
static bool read_line(struct text *t, size_t number)
{
    size_t capacity = 0;
    const ssize_t n = getline(&t->data, &capacity, stdin);
    if (n < 0)
        return false;
    t->size = (size_t) n;
    while (t->size > 0 && (t->data[t->size - 1] == '\n' || t->data[t->size - 1] == '\r'))
        t->size--;
    t->line = number;
    return true;
}

static firn_status answer_lines(struct work *w, struct firn_error *err)
{
    const size_t most = (size_t) (isatty(STDIN_FILENO) ? 1 : w->f->batch_size);
    struct text *texts = calloc(most + 1, sizeof *texts);
    firn_status status = texts == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for prompts") : FIRN_OK;
    size_t total = 0, n = most;
    bool is_open = true; /* standard output: its reader may go */
    while (status == FIRN_OK && n == most && is_open && !cancel) {
        firn_status wrong = FIRN_OK; /* with a line: those before it are answered first */
        bool more = true;
        for (n = 0; n < most && wrong == FIRN_OK && more;) {
            more = read_line(&texts[n], total + n + 1);
            if (more)
                wrong = encode(w, &texts[n], "standard input", err);
            n += more && wrong == FIRN_OK;
        }
        if (n > 0 && !cancel)
            status = answer(w, texts, n, total, wrong != FIRN_OK ? NULL : err);
        if (status == FIRN_OK)
            status = wrong;
        is_open = fflush(stdout) == 0;
        total += n;
        for (size_t i = 0; i < most; i++) {
            free(texts[i].data);
            free(texts[i].ids);
            free(texts[i].virtual_ids);
            texts[i] = (struct text){ 0 };
        }
    }
    free(texts);
    return status == FIRN_OK && cancel ? FIRN_ERR_STOPPED : status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    struct work w = { .f = args->values };
    struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART: a signal ends the wait for a line */
    if (w.f->prompt != NULL && w.f->file != NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .file = "generate", .key = "--file",
                         .what = "cannot be given together with --prompt");
    firn_status status = open_work(&w, args->words[0], err);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (status == FIRN_OK)
        status = w.f->prompt != NULL || w.f->file != NULL ? answer_one(&w, err) : answer_lines(&w, err);
    firn_session_close(&w.session);
    firn_task_close(&w.task);
    firn_task_prompts_close(&w.tasks);
    firn_chat_close(&w.chat);
    firn_tokenizer_close(&w.tokenizer);
    firn_adapter_names_free(&w.names);
    free(w.field);
    free(w.stop);
    free(w.ends);
    return status;
}

const struct firn_command firn_command_generate = {
    .name = "generate",
    .words = "MODEL",
    .min_words = 1,
    .max_words = 1,
    .summary = "text that continues prompts, or answers them",
    .text = "Writes the continuation of a prompt (of an encoder-decoder: what it says to it) as it is computed. Without --prompt and --file each line of stdin is a "
            "prompt and each line of stdout an answer (a line end within an answer is written as \\n); --json writes an "
            "object a line: prompt, text, finish (end, stop, length or cancel), prompt_tokens, new_tokens, ids.\n\n"
            "Without --temperature the best token is taken each time. The same seed gives the same text, whatever the "
            "batch. A signal ends the answer with exit code 3.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
