/* SPDX-License-Identifier: Apache-2.0 */
/* Drives a recorded case through the same graph, plan and trainer as `firn train`. */
#include "train/replay.h"

#include "base/file.h"
#include "base/str.h"
#include "train/case.h"
#include "train/dump.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEW_TOKENS = 12 };

struct replay {
    const struct firn_replay_params *p;
    struct firn_case_file c;
    struct firn_session s;
    struct firn_dump dump;
};

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a replay");
}

static firn_status load_state(struct replay *r, bool *found, struct firn_error *err)
{
    char *path = firn_case_path(&r->c, "state_init.safetensors");
    struct firn_safetensors file = { 0 };
    firn_status status = path == NULL ? no_memory(err) : FIRN_OK;
    *found = status == FIRN_OK && firn_path_exists(path);
    if (*found) {
        status = firn_safetensors_open(&file, path, err);
        if (status == FIRN_OK)
            status = firn_params_overlay(&r->s.adapter.params, &file, r->s.flat, err);
        firn_safetensors_close(&file);
    }
    free(path);
    return status;
}

/* Where training starts: initial values, then adapter_init, then state_init. */
static firn_status load_start(struct replay *r, struct firn_error *err)
{
    char *init = firn_case_path(&r->c, "adapter_init");
    bool found = false;
    firn_status status = init == NULL ? no_memory(err) : FIRN_OK;
    if (status == FIRN_OK && r->s.adapter.method != NULL)
        status = firn_adapter_init(&r->s.adapter, &r->s.model, 0, r->s.flat, err);
    if (status == FIRN_OK && r->s.adapter.method != NULL && firn_path_is_dir(init))
        status = firn_adapter_read(&r->s.adapter, &r->s.model, init, r->s.flat, err);
    if (status == FIRN_OK)
        status = load_state(r, &found, err);
    if (status == FIRN_OK)
        status = firn_adapter_anchor(&r->s.adapter, &r->s.model, r->s.flat, err);
    free(init);
    return status ? status : firn_session_push(&r->s, "params", r->s.flat, err);
}

static struct firn_shape logits_shape(const struct replay *r, const struct firn_inputs *in, int64_t n_virtual,
                                      int64_t *classes)
{
    const bool is_pair = r->c.task == FIRN_TASK_SEQ2SEQ_LM;
    const bool is_lm = r->c.task == FIRN_TASK_CAUSAL_LM || r->c.task == FIRN_TASK_MASKED_LM || is_pair;
    *classes = is_lm ? r->s.model.config.vocabulary : r->c.n_labels;
    return r->c.task == FIRN_TASK_SEQ_CLS ? firn_dims(in->batch, *classes)
                                          : firn_dims(in->batch, is_pair ? in->target : n_virtual + in->length, *classes);
}

/* Logits of batch 0; rows at padding mean nothing and are set to zero (a decoder has no mask). */
static firn_status dump_logits(struct replay *r, const char *name, enum firn_plan_kind kind, struct firn_error *err)
{
    struct firn_inputs in;
    int64_t classes;
    firn_status status = firn_case_inputs(&r->c, &r->s, 0, &in, err);
    if (status)
        return status;
    const int64_t n = kind == FIRN_PLAN_BARE ? 0 : r->s.adapter.n_virtual;
    const struct firn_shape shape = logits_shape(r, &in, n, &classes);
    float *logits = firn_dump_add(&r->dump, name, FIRN_F32, shape, NULL);
    status = logits == NULL ? no_memory(err)
                            : firn_session_forward(&r->s, kind, &in, 1, NULL, logits,
                                                   firn_shape_count(&shape), err);
    const bool masks = shape.rank == 3 && r->c.task != FIRN_TASK_SEQ2SEQ_LM;
    for (int64_t i = 0; status == FIRN_OK && masks && i < in.batch * in.length; i++)
        if (in.attention_mask[i] == 0)
            memset(logits + (i + (i / in.length + 1) * n) * classes, 0, sizeof *logits * (size_t) classes);
    firn_inputs_free(&in);
    return status;
}

/* 1 / what the loss of a micro-batch is divided by. */
static float scale_of(const struct replay *r, const struct firn_inputs *in, int64_t step_counted)
{
    const double counted = r->c.token_mean ? (double) step_counted : (double) in->counted * (double) r->c.grad_accum;
    return counted > 0 ? (float) (1.0 / counted) : 0;
}

static firn_status dump_gradients(struct replay *r, struct firn_error *err)
{
    const struct firn_param_set *set = &r->s.adapter.params;
    float *grads = calloc((size_t) set->flat + 1, sizeof *grads);
    struct firn_named_tensor *list = NULL;
    firn_status status = grads == NULL ? no_memory(err) : firn_session_pull(&r->s, "grads", grads, err);
    if (status == FIRN_OK)
        status = firn_params_tensors(set, "", grads, &list, err);
    for (size_t i = 0; i < set->count && status == FIRN_OK; i++)
        if (firn_dump_add(&r->dump, FIRN_STR("grads.%s", list[i].name), FIRN_F32, list[i].tensor.shape,
                          list[i].tensor.data) == NULL)
            status = no_memory(err);
    firn_params_tensors_free(list, list != NULL ? set->count : 0);
    free(grads);
    return status;
}

static firn_status train_step(struct replay *r, int64_t step, double *loss, double *norm, struct firn_error *err)
{
    const struct firn_case_file *c = &r->c;
    const struct firn_rates rates = { .lr = firn_schedule_rate(&c->schedule, step), .peak = c->schedule.peak, .beta1 = c->beta1,
                                      .beta2 = c->beta2, .eps = c->eps, .decay = c->weight_decay,
                                      .max_norm = c->max_grad_norm, .t = step + 1 };
    struct firn_inputs *in = calloc((size_t) c->grad_accum, sizeof *in);
    int64_t counted = 0;
    firn_status status = in == NULL ? no_memory(err) : FIRN_OK;
    for (int64_t a = 0; a < c->grad_accum && status == FIRN_OK; a++) {
        status = firn_case_inputs(c, &r->s, step * c->grad_accum + a, &in[a], err);
        counted += in[a].counted;
    }
    *loss = 0;
    for (int64_t a = 0; a < c->grad_accum && status == FIRN_OK; a++) {
        double part = 0;
        const struct firn_micro micro = { .inputs = &in[a], .scale = scale_of(r, &in[a], counted), .index = a, .count = c->grad_accum,
                                          .step = step, .rates = a + 1 == c->grad_accum ? &rates : NULL };
        status = firn_session_micro(&r->s, &micro, &part, norm, err);
        *loss += part;
    }
    for (int64_t a = 0; a < c->grad_accum && in != NULL; a++)
        firn_inputs_free(&in[a]);
    free(in);
    return status;
}

static firn_status train(struct replay *r, struct firn_error *err)
{
    double *loss = firn_dump_add(&r->dump, "loss", FIRN_F64, firn_dims(r->c.steps), NULL);
    double *norm = firn_dump_add(&r->dump, "grad_norm", FIRN_F64, firn_dims(r->c.steps), NULL);
    firn_status status = loss == NULL || norm == NULL ? no_memory(err) : FIRN_OK;
    for (int64_t step = 0; step < r->c.steps && status == FIRN_OK; step++) {
        status = train_step(r, step, &loss[step], &norm[step], err);
        if (status == FIRN_OK && step == 0)
            status = dump_gradients(r, err);
    }
    return status;
}

/* The best next token of each row, from the logits of the rows in `pick`. */
static firn_status next_tokens(struct replay *r, const struct firn_inputs *in, float *logits, int64_t n, int64_t *out,
                               struct firn_error *err)
{
    const int64_t vocabulary = r->s.model.config.vocabulary;
    const firn_status status = firn_session_forward(&r->s, FIRN_PLAN_PICKED, in, 1, NULL, logits,
                                                    in->batch * vocabulary, err);
    for (int64_t b = 0; b < in->batch && status == FIRN_OK; b++) {
        int64_t best = 0;
        for (int64_t v = 1; v < vocabulary; v++)
            if (logits[b * vocabulary + v] > logits[b * vocabulary + best])
                best = v;
        out[b * NEW_TOKENS + n] = best;
    }
    return status;
}

/* Greedy continuation: the whole length is one plan; what is to the right of the last token is masked. */
static firn_status generate(struct replay *r, const struct firn_tensor *prompt, const struct firn_tensor *mask,
                            struct firn_error *err)
{
    const int64_t batch = prompt->shape.dim[0], length = prompt->shape.dim[1], total = length + NEW_TOKENS;
    int64_t *out = firn_dump_add(&r->dump, "generated", FIRN_I64, firn_dims(batch, NEW_TOKENS), NULL);
    float *logits = malloc(sizeof *logits * (size_t) (batch * r->s.model.config.vocabulary));
    struct firn_inputs in = { 0 };
    firn_status status = out == NULL || logits == NULL ? no_memory(err)
                                                       : firn_inputs_create(&in, batch, total, 0, err);
    for (int64_t b = 0; b < batch && status == FIRN_OK; b++)
        for (int64_t t = 0; t < length; t++) {
            double id, visible = 1;
            firn_tensor_read_f64(prompt, b * length + t, 1, &id);
            if (mask != NULL)
                firn_tensor_read_f64(mask, b * length + t, 1, &visible);
            in.input_ids[b * total + t] = (int32_t) id;
            in.attention_mask[b * total + t] = visible != 0;
        }
    for (int64_t n = 0; n < NEW_TOKENS && status == FIRN_OK; n++) {
        for (int64_t b = 0; b < batch; b++)
            in.pick[b] = (int32_t) (b * total + length + n - 1);
        firn_inputs_count_positions(&in);
        status = next_tokens(r, &in, logits, n, out, err);
        for (int64_t b = 0; b < batch && status == FIRN_OK; b++) {
            in.input_ids[b * total + length + n] = (int32_t) out[b * NEW_TOKENS + n];
            in.attention_mask[b * total + length + n] = 1;
        }
    }
    firn_inputs_free(&in);
    free(logits);
    return status;
}

/* Of an encoder-decoder: batch 0's input is read again for each token that the decoder says. */
static firn_status generate_target(struct replay *r, struct firn_error *err)
{
    struct firn_inputs in;
    firn_status status = firn_case_inputs(&r->c, &r->s, 0, &in, err);
    if (status)
        return status;
    free(in.decoder_input_ids);
    in.decoder_input_ids = NULL;
    status = firn_inputs_add_target(&in, NEW_TOKENS, err);
    if (status)
        return status;
    int64_t *out = firn_dump_add(&r->dump, "generated", FIRN_I64, firn_dims(in.batch, NEW_TOKENS), NULL);
    float *logits = malloc(sizeof *logits * (size_t) (in.batch * r->s.model.config.vocabulary));
    if (out == NULL || logits == NULL)
        status = no_memory(err);
    for (int64_t n = 0; n < NEW_TOKENS && status == FIRN_OK; n++) {
        for (int64_t b = 0; b < in.batch; b++) {
            in.decoder_input_ids[b * NEW_TOKENS + n] =
                (int32_t) (n == 0 ? r->s.model.config.decoder_start_id : out[b * NEW_TOKENS + n - 1]);
            in.pick[b] = (int32_t) (b * NEW_TOKENS + n);
        }
        status = next_tokens(r, &in, logits, n, out, err);
    }
    firn_inputs_free(&in);
    free(logits);
    return status;
}

/* The prompt is an input, wherever it lies: beside what is expected, or in inputs.safetensors. */
static firn_status dump_generated(struct replay *r, struct firn_error *err)
{
    static const char *const names[] = { "inputs.safetensors", "expected.safetensors" };
    firn_status status = FIRN_OK;
    for (int i = 0; i < 2; i++) {
        char *path = firn_case_path(&r->c, names[i]);
        struct firn_safetensors file = { 0 };
        bool done = false;
        if (path != NULL && firn_path_exists(path) && firn_safetensors_open(&file, path, err) == FIRN_OK) {
            const struct firn_tensor *prompt = firn_safetensors_find(&file, "gen_prompt");
            if (prompt != NULL && prompt->shape.rank == 2) {
                status = generate(r, prompt, firn_safetensors_find(&file, "gen_prompt_mask"), err);
                done = true;
            }
        }
        firn_safetensors_close(&file);
        free(path);
        if (done)
            break;
    }
    return status;
}

static firn_status dump_embedding(struct replay *r, struct firn_error *err)
{
    struct firn_inputs in;
    const int64_t width = r->s.model.config.width;
    firn_status status = firn_case_inputs(&r->c, &r->s, 0, &in, err);
    if (status)
        return status;
    const int64_t n = in.batch * in.length;
    float *hidden = firn_dump_add(&r->dump, "last_hidden_state", FIRN_F32, firn_dims(in.batch, in.length, width), NULL);
    float *pooled = firn_dump_add(&r->dump, "pooler_output", FIRN_F32, firn_dims(in.batch, width), NULL);
    float *vectors = firn_dump_add(&r->dump, "sentence_vectors", FIRN_F32, firn_dims(in.batch, width), NULL);
    status = hidden == NULL || pooled == NULL || vectors == NULL
                 ? no_memory(err)
                 : firn_session_forward(&r->s, FIRN_PLAN_LOGITS, &in, 1, NULL, NULL, 0, err);
    if (status == FIRN_OK)
        status = firn_store_read(r->s.store, "hidden", 0, hidden, sizeof *hidden * (size_t) (n * width), err);
    if (status == FIRN_OK && firn_store_has(r->s.store, "pooled"))
        status = firn_store_read(r->s.store, "pooled", 0, pooled, sizeof *pooled * (size_t) (in.batch * width), err);
    if (status == FIRN_OK)
        firn_sentence_vectors(hidden, in.attention_mask, in.batch, in.length, width, vectors);
    for (int64_t i = 0; i < n && status == FIRN_OK; i++)
        if (in.attention_mask[i] == 0)
            memset(hidden + i * width, 0, sizeof *hidden * (size_t) width);
    firn_inputs_free(&in);
    return status;
}

static firn_status check_counts(struct replay *r, struct firn_error *err)
{
    const json_t *trainable = json_object_get(r->c.json, "trainable_params");
    const json_t *total = json_object_get(r->c.json, "total_params");
    const int64_t n = firn_params_count(&r->s.adapter.params), all = firn_model_total(&r->s.counts, &r->s.adapter.params);
    if (r->p->line != NULL)
        r->p->line(r->p->user, FIRN_STR("trainable parameters %lld of %lld", (long long) n, (long long) all));
    if (r->s.adapter.method == NULL)
        return FIRN_OK;
    if ((json_is_integer(trainable) && json_integer_value(trainable) != n) ||
        (json_is_integer(total) && json_integer_value(total) != all))
        return firn_fail(err, FIRN_ERR_DEVICE, .file = r->c.directory, .key = "trainable_params, total_params",
                         .expected = FIRN_STR("%lld of %lld", (long long) json_integer_value(trainable),
                                              (long long) json_integer_value(total)),
                         .got = FIRN_STR("%lld of %lld", (long long) n, (long long) all));
    return FIRN_OK;
}

static firn_status verdict(struct replay *r, struct firn_error *err)
{
    char *path = firn_case_path(&r->c, "expected.safetensors");
    struct firn_safetensors expected = { 0 };
    int failed = 0;
    firn_status status = path == NULL ? no_memory(err) : FIRN_OK;
    if (status == FIRN_OK && firn_path_exists(path)) {
        status = firn_safetensors_open(&expected, path, err);
        if (status == FIRN_OK)
            status = firn_dump_compare(&r->dump, &expected, r->p->line, r->p->user, &failed, err);
        if (status == FIRN_OK)
            status = check_counts(r, err);
        if (status == FIRN_OK && failed > 0)
            status = firn_fail(err, FIRN_ERR_DEVICE, .file = r->c.directory,
                               .what = FIRN_STR("%d tensors are out of tolerance", failed));
        firn_safetensors_close(&expected);
    }
    free(path);
    return status;
}

static firn_status save(struct replay *r, struct firn_error *err)
{
    const struct firn_build_params p = { .batch = 1, .length = 1, .target = r->c.task == FIRN_TASK_SEQ2SEQ_LM, .task = r->c.task, .problem = r->c.problem,
                                         .n_labels = r->c.n_labels };
    const struct firn_save_params how = { .base_name = r->c.model };
    firn_status status = FIRN_OK;
    if (r->p->adapter_out != NULL && r->s.adapter.method != NULL) {
        status = firn_session_pull(&r->s, "params", r->s.flat, err);
        if (status == FIRN_OK)
            status = firn_adapter_save(&r->s.adapter, &r->s.model, &p, r->s.flat, r->p->adapter_out, &how, err);
    }
    if (status == FIRN_OK && r->p->dump != NULL)
        status = firn_safetensors_save(r->p->dump, r->dump.list, r->dump.count, err);
    return status;
}

/* The prompt of each task: out of its table, or of the network behind all. */
static firn_status dump_virtual(struct replay *r, struct firn_error *err)
{
    const struct firn_adapter *a = &r->s.adapter;
    const json_t *tasks = json_object_get(r->c.json, "tasks");
    const int64_t width = r->s.model.config.width;
    struct firn_shape shape;
    float *table = NULL;
    firn_status status = firn_session_pull(&r->s, "params", r->s.flat, err);
    if (status == FIRN_OK)
        status = firn_adapter_table(a, &r->s.model, r->s.flat, &table, &shape, err);
    for (size_t i = 0; i < json_array_size(tasks) && status == FIRN_OK; i++) {
        int64_t n = 0;
        const char *name = json_string_value(json_object_get(json_array_get(tasks, i), "name"));
        const int64_t first = name != NULL ? a->method->task_row(a->settings, name, &n) : -1;
        const struct firn_param *own = firn_params_find(&a->params, FIRN_STR("prompt_table.%s.weight", name != NULL ? name : ""));
        const float *from = table != NULL ? table + first * width : own != NULL ? r->s.flat + own->offset : NULL;
        if (first < 0 || from == NULL ||
            firn_dump_add(&r->dump, FIRN_STR("final_virtual.%s", name), FIRN_F32, firn_dims(n, width), from) == NULL)
            status = no_memory(err);
    }
    free(table);
    return status;
}

static firn_status run(struct replay *r, struct firn_error *err)
{
    if (r->c.task == FIRN_TASK_EMBEDDING)
        return dump_embedding(r, err);
    firn_status status = dump_logits(r, "base_logits", FIRN_PLAN_BARE, err);
    if (status == FIRN_OK)
        status = dump_logits(r, "init_logits", FIRN_PLAN_LOGITS, err);
    if (status == FIRN_OK)
        status = train(r, err);
    if (status == FIRN_OK)
        status = dump_logits(r, "final_logits", FIRN_PLAN_LOGITS, err);
    if (status == FIRN_OK && r->s.adapter.method != NULL && r->s.adapter.method->task_row != NULL)
        status = dump_virtual(r, err);
    if (status == FIRN_OK && r->c.quantised != FIRN_NONE)
        status = firn_dump_quantised(&r->dump, &r->s, json_object_get(json_object_get(r->c.json, "base_quantization"), "stored"),
                                     err);
    if (status == FIRN_OK && r->c.generates && r->c.task == FIRN_TASK_CAUSAL_LM)
        status = dump_generated(r, err);
    if (status == FIRN_OK && r->c.generates && r->c.task == FIRN_TASK_SEQ2SEQ_LM)
        status = generate_target(r, err);
    return status;
}

firn_status firn_replay(const struct firn_replay_params *params, struct firn_error *err)
{
    struct replay r = { .p = params };
    firn_status status = firn_case_open(&r.c, params->case_dir, err);
    if (status == FIRN_OK)
        status = firn_case_session(&r.c, params->models, params->device, &params->log, &r.s, err);
    if (status == FIRN_OK)
        status = load_start(&r, err);
    if (status == FIRN_OK)
        status = run(&r, err);
    if (status == FIRN_OK)
        status = save(&r, err);
    if (status == FIRN_OK)
        status = verdict(&r, err);
    firn_session_close(&r.s);
    firn_dump_free(&r.dump);
    firn_case_close(&r.c);
    return status;
}
