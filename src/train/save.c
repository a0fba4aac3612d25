/* SPDX-License-Identifier: Apache-2.0 */
/* What a run writes: checkpoints and coming back to them, the log, and the finished adapter with its report. */
#include "train/checkpoint.h"
#include "train/run.h"
#include "train/tensorboard.h"

#include "base/file.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a checkpoint");
}

/* Takes out of a recipe where things lie. */
static void drop_places(json_t *recipe)
{
    json_t *data = json_object_get(recipe, "data");
    static const char *const places[] = { "output", "model", "device", "memory_limit" };
    static const char *const files[] = { "train", "validation", "test" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        json_object_del(recipe, places[i]);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        json_object_del(data, files[i]);
    json_object_del(json_object_get(recipe, "train"), "report_to");
}

/* What must not change between the parts of a run: everything but where things lie. */
static json_t *identity(const struct firn_run *r)
{
    json_t *recipe = firn_recipe_tree(r->recipe);
    drop_places(recipe);
    return json_pack("{s:o,s:s,s:I,s:I,s:o}", "recipe", recipe, "base", r->fingerprint, "train_crc32c",
                     (json_int_t) r->train.crc, "validation_crc32c", (json_int_t) r->validation.crc, "labels",
                     firn_labels_json(&r->task.labels));
}

static json_t *state_of(const struct firn_run *r)
{
    json_t *points = json_array(), *state = json_object();
    for (size_t i = 0; i < r->history.count; i++)
        json_array_append_new(points, firn_point_json(&r->history.points[i]));
    json_object_set_new(state, "step", json_integer(r->step));
    json_object_set_new(state, "epoch", json_real((double) r->step / (double) r->per_epoch));
    json_object_set_new(state, "seed", json_integer(r->recipe->train.seed));
    json_object_set_new(state, "tokens", json_integer(r->tokens));
    json_object_set_new(state, "seconds", json_real(r->seconds));
    json_object_set_new(state, "core_seconds", json_real(r->core_seconds));
    json_object_set_new(state, "without_gain", json_integer(r->without_gain));
    if (isfinite(r->best_loss))
        json_object_set_new(state, "best_loss", json_real(r->best_loss));
    json_object_set_new(state, "device", json_string(r->session.device->id));
    json_object_set_new(state, "device_name", json_string(r->session.device->name));
    json_object_set_new(state, "identity", identity(r));
    json_object_set_new(state, "log", points);
    return state;
}

static const struct {
    const char *file, *leaf, *suffix;
} runs_of[] = { { "trainable.safetensors", "params", "" },
                { "moment1.safetensors", "moment1", ".m" },
                { "moment2.safetensors", "moment2", ".v" },
                /* a method's own: adapter->state, no leaves */
                { "statistics1.safetensors", NULL, ".s1" },
                { "statistics2.safetensors", NULL, ".s2" },
                { "statistics3.safetensors", NULL, ".s3" } };
enum { N_LEAVES = 3, N_RUNS = N_LEAVES + FIRN_MAX_STATE };

/* Leaves, then what the method keeps between steps. */
static int n_runs(const struct firn_run *r)
{
    const struct firn_method *method = r->session.adapter.method;
    return N_LEAVES + (method != NULL ? method->n_state : 0);
}

/* One flat run as a safetensors file in memory. */
static firn_status dump_flat(struct firn_run *r, int run, char **data, size_t *size, struct firn_error *err)
{
    const struct firn_param_set *set = &r->session.adapter.params;
    struct firn_named_tensor *list = NULL;
    float *flat = calloc((size_t) set->flat + 1, sizeof *flat);
    firn_status status = flat == NULL ? no_memory(err) : FIRN_OK;
    if (status == FIRN_OK && run < N_LEAVES)
        status = firn_session_pull(&r->session, runs_of[run].leaf, flat, err);
    else if (status == FIRN_OK)
        memcpy(flat, r->session.adapter.state[run - N_LEAVES], sizeof *flat * (size_t) set->flat);
    if (status == FIRN_OK)
        status = firn_params_tensors(set, runs_of[run].suffix, flat, &list, err);
    if (status == FIRN_OK)
        status = firn_safetensors_dump(list, set->count, data, size, err);
    firn_params_tensors_free(list, list != NULL ? set->count : 0);
    free(flat);
    return status;
}

/* Both through YAML, so that 1 and 1.0 are alike; keys that only one of them knows belong to another version. */
firn_status firn_run_check_finished(const struct firn_run *r, struct firn_error *err)
{
    json_t *tree = firn_recipe_tree(r->recipe), *mine = NULL, *saved = NULL, *a, *b;
    char *yaml = firn_yaml_dump(tree);
    const char *section, *key;
    firn_status status = yaml == NULL ? no_memory(err) : firn_yaml_parse(yaml, strlen(yaml), r->recipe->path, &mine, err);
    if (status == FIRN_OK)
        status = firn_yaml_load(r->output.recipe, &saved, err);
    if (status == FIRN_OK) {
        drop_places(mine);
        drop_places(saved);
    }
    json_object_foreach (mine, section, a)
        json_object_foreach (a, key, b) {
            const json_t *old = json_object_get(json_object_get(saved, section), key);
            if (status == FIRN_OK && old != NULL && !json_equal(b, old))
                status = firn_fail(err, FIRN_ERR_USAGE, .file = r->output.recipe, .key = FIRN_STR("%s.%s", section, key),
                                   .what = "differs from what this run was finished with; to train further, name another output and "
                                           "start_from");
        }
    json_decref(tree);
    json_decref(mine);
    json_decref(saved);
    free(yaml);
    return status;
}

firn_status firn_run_checkpoint(struct firn_run *r, struct firn_error *err)
{
    struct firn_checkpoint_file files[N_RUNS + 2] = { { 0 } };
    char *data[N_RUNS] = { NULL };
    firn_status status = FIRN_OK;
    const int n = n_runs(r);
    for (int i = 0; i < n && status == FIRN_OK; i++) {
        status = dump_flat(r, i, &data[i], &files[i].size, err);
        files[i].name = runs_of[i].file;
        files[i].data = data[i];
    }
    json_t *state = state_of(r), *tree = firn_recipe_tree(r->recipe);
    char *text = json_dumps(state, JSON_INDENT(1)), *recipe = firn_yaml_dump(tree);
    if (status == FIRN_OK && (text == NULL || recipe == NULL))
        status = no_memory(err);
    if (status == FIRN_OK) {
        files[n] = (struct firn_checkpoint_file){ "state.json", text, strlen(text) };
        files[n + 1] = (struct firn_checkpoint_file){ "recipe.yaml", recipe, strlen(recipe) };
        status = firn_checkpoint_write(r->output.checkpoints, r->step, files, (size_t) n + 2,
                                       (int) r->recipe->train.save_total_limit, err);
    }
    json_decref(state);
    json_decref(tree);
    free(text);
    free(recipe);
    for (int i = 0; i < N_RUNS; i++)
        free(data[i]);
    return status;
}

static firn_status load_flat(struct firn_run *r, const char *path, int i, struct firn_error *err)
{
    const struct firn_param_set *set = &r->session.adapter.params;
    struct firn_safetensors file = { 0 };
    char *data = NULL;
    size_t size = 0;
    float *flat = calloc((size_t) set->flat + 1, sizeof *flat);
    firn_status status = flat == NULL ? no_memory(err)
                                      : firn_checkpoint_read(path, runs_of[i].file, &data, &size, err);
    if (status == FIRN_OK)
        status = firn_safetensors_parse(&file, FIRN_STR("%s/%s", path, runs_of[i].file), data, size, err);
    if (status == FIRN_OK)
        status = firn_params_read(set, runs_of[i].suffix, &file, flat, err);
    if (status == FIRN_OK)
        status = i < N_LEAVES ? firn_session_push(&r->session, runs_of[i].leaf, flat, err) : FIRN_OK;
    if (status == FIRN_OK && i >= N_LEAVES)
        memcpy(r->session.adapter.state[i - N_LEAVES], flat, sizeof *flat * (size_t) set->flat);
    firn_safetensors_close(&file);
    free(data);
    free(flat);
    return status;
}

firn_status firn_run_start(struct firn_run *r, const char *directory, struct firn_error *err)
{
    const struct firn_adapter *a = &r->session.adapter;
    char *path = firn_path_join(directory, runs_of[0].file), *state = firn_path_join(directory, "state.safetensors");
    struct firn_safetensors file = { 0 };
    firn_status status = FIRN_OK;
    if (path == NULL || state == NULL) {
        status = no_memory(err);
    } else if (firn_path_exists(path)) {
        status = firn_safetensors_open(&file, path, err);
        if (status == FIRN_OK)
            status = firn_params_read(&a->params, "", &file, r->session.flat, err);
    } else if (firn_adapter_has_network(a) && !firn_path_exists(state)) {
        status = firn_fail(err, FIRN_ERR_USAGE, .file = r->recipe->path, .key = "start_from",
                           .expected = "a checkpoint, which holds the network behind the virtual tokens",
                           .got = FIRN_STR("%s, which does not", directory));
    } else {
        status = firn_adapter_read(a, &r->session.model, directory, r->session.flat, err);
    }
    firn_safetensors_close(&file);
    free(path);
    free(state);
    return status;
}

/* Names the first key that differs between a checkpoint's identity and this run's. */
static firn_status check_identity(const struct firn_run *r, const char *path, const json_t *saved,
                                  struct firn_error *err)
{
    json_t *mine = identity(r);
    firn_status status = FIRN_OK;
    if (!json_equal(mine, saved)) {
        const char *section, *key, *what = "recipe, base or data";
        json_t *a, *b;
        json_object_foreach (mine, section, a) {
            if (json_equal(a, json_object_get(saved, section)))
                continue;
            what = section;
            json_object_foreach (a, key, b) {
                const json_t *old = json_object_get(json_object_get(saved, section), key);
                const char *inner;
                json_t *c;
                if (json_equal(b, old))
                    continue;
                what = key;
                json_object_foreach (b, inner, c) {
                    if (!json_equal(c, json_object_get(old, inner)))
                        what = inner;
                }
            }
        }
        status = firn_fail(err, FIRN_ERR_USAGE, .file = path, .key = what,
                           .what = "differs from what this run was started with; give the same recipe, base and data, or "
                                   "another output");
    }
    json_decref(mine);
    return status;
}

static firn_status read_state(struct firn_run *r, const char *path, struct firn_error *err)
{
    char *text = NULL;
    size_t size = 0;
    json_t *state = NULL;
    firn_status status = firn_checkpoint_read(path, "state.json", &text, &size, err);
    if (status == FIRN_OK)
        status = firn_json_parse(text, size, FIRN_STR("%s/state.json", path), &state, err);
    if (status == FIRN_OK)
        status = check_identity(r, path, json_object_get(state, "identity"), err);
    if (status == FIRN_OK)
        status = firn_history_from_json(&r->history, json_object_get(state, "log"), err);
    if (status == FIRN_OK) {
        const json_t *best = json_object_get(state, "best_loss");
        const char *device = json_string_value(json_object_get(state, "device_name"));
        r->step = json_integer_value(json_object_get(state, "step"));
        r->tokens = json_integer_value(json_object_get(state, "tokens"));
        r->seconds = json_number_value(json_object_get(state, "seconds"));
        r->core_seconds = json_number_value(json_object_get(state, "core_seconds"));
        r->without_gain = json_integer_value(json_object_get(state, "without_gain"));
        r->best_loss = json_is_number(best) ? json_number_value(best) : INFINITY;
        if (device != NULL && strcmp(device, r->session.device->name) != 0)
            firn_log_line(&r->params->log, FIRN_LOG_WARN,
                          "the run was started on %s and goes on on %s: the result is not bit-equal to that of one device",
                          device, r->session.device->name);
    }
    json_decref(state);
    free(text);
    return status;
}

firn_status firn_run_resume(struct firn_run *r, struct firn_error *err)
{
    char *path = NULL;
    int64_t step = 0;
    firn_status status = FIRN_OK;
    if (r->params->resume)
        status = firn_checkpoint_find(r->output.checkpoints, &r->params->log, &path, &step, err);
    if (status == FIRN_OK && path != NULL) {
        status = read_state(r, path, err);
        for (int i = 0; i < n_runs(r) && status == FIRN_OK; i++)
            status = load_flat(r, path, i, err);
        if (status == FIRN_OK)
            firn_log_line(&r->params->log, FIRN_LOG_INFO, "going on from %s", path);
    } else if (status == FIRN_OK) {
        status = firn_session_push(&r->session, "params", r->session.flat, err);
    }
    free(path);
    if (status || r->is_dry)
        return status;
    /* only now: a resume that is refused must change nothing */
    json_t *tree = firn_recipe_tree(r->recipe);
    char *yaml = firn_yaml_dump(tree);
    status = yaml == NULL ? no_memory(err) : firn_file_write(r->output.recipe, yaml, strlen(yaml), err);
    json_decref(tree);
    free(yaml);
    if (status == FIRN_OK)
        status = firn_history_save(&r->history, r->output.log, err);
    if (status == FIRN_OK && r->recipe->train.report_to > 0)
        status = firn_tensorboard_open(r->output.tensorboard, r->step, &r->events, err);
    return status;
}

firn_status firn_run_log(struct firn_run *r, const struct firn_point *point, struct firn_error *err)
{
    json_t *o = firn_point_json(point);
    char *line = json_dumps(o, JSON_COMPACT);
    FILE *f = line != NULL ? fopen(r->output.log, "a") : NULL;
    const bool written = f != NULL && fprintf(f, "%s\n", line) > 0;
    const bool closed = f != NULL && fclose(f) == 0;
    json_decref(o);
    free(line);
    if (!written || !closed)
        return firn_fail(err, FIRN_ERR_IO, .file = r->output.log, .what = "cannot be written");
    return r->events != NULL ? firn_tensorboard_add(r->events, point, err) : FIRN_OK;
}

static struct firn_build_params build_params(const struct firn_run *r)
{
    return (struct firn_build_params){ .batch = 1, .length = 1,
                                       .target = r->task.task == FIRN_TASK_SEQ2SEQ_LM, .task = r->task.task, .problem = r->task.problem,
                                       .n_labels = firn_task_n_labels(&r->task) };
}

static firn_status save_adapter(struct firn_run *r, const char *directory, bool with_state, struct firn_error *err)
{
    const struct firn_build_params p = build_params(r);
    const struct firn_save_params how = { .base_name = r->recipe->model, .with_state = with_state,
                                          .labels = (const char *const *) r->task.labels.names };
    firn_status status = firn_session_pull(&r->session, "params", r->session.flat, err);
    if (status == FIRN_OK)
        status = firn_adapter_save(&r->session.adapter, &r->session.model, &p, r->session.flat, directory, &how, err);
    return status;
}

firn_status firn_run_save_best(struct firn_run *r, struct firn_error *err)
{
    return save_adapter(r, r->output.best, true, err);
}

void firn_run_facts(const struct firn_run *r, struct firn_report_facts *facts)
{
    struct firn_plan_bytes bytes = { 0 };
    for (size_t i = 0; i < r->session.n_plans; i++) {
        struct firn_plan_bytes b;
        firn_plan_bytes(r->session.plans[i]->plan, &b);
        if (b.activations >= bytes.activations)
            bytes = b;
    }
    *facts = (struct firn_report_facts){
        .recipe = r->recipe, .history = &r->history,
        .steps = r->step, .trainable = firn_params_count(&r->session.adapter.params),
        .total = firn_model_total(&r->session.counts, &r->session.adapter.params), .examples = r->train.count,
        .seconds = r->seconds, .tokens_per_second = r->seconds > 0 ? (double) r->tokens / r->seconds : 0,
        .base_bytes = bytes.leaf[FIRN_LEAF_WEIGHT], .adapter_bytes = bytes.leaf[FIRN_LEAF_PARAM],
        .optimizer_bytes = bytes.leaf[FIRN_LEAF_STATE] + bytes.leaf[FIRN_LEAF_GRAD],
        .activation_bytes = bytes.activations, .workspace_bytes = bytes.workspace };
}

/* Figures of the run: what the report shows, for programs. */
static firn_status write_summary(const struct firn_run *r, const struct firn_report_facts *f, struct firn_error *err)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:{s:I, s:I, s:I, s:I}}", "device",
                          r->session.device->id, "device_name", r->session.device->name, "steps",
                          (json_int_t) f->steps, "examples", (json_int_t) f->examples, "trainable",
                          (json_int_t) f->trainable, "total", (json_int_t) f->total, "seconds", f->seconds,
                          "core_seconds", r->core_seconds, "tokens_per_second", f->tokens_per_second, "bytes", "base", (json_int_t) f->base_bytes,
                          "adapter", (json_int_t) f->adapter_bytes, "optimizer", (json_int_t) f->optimizer_bytes,
                          "activations", (json_int_t) f->activation_bytes);
    const firn_status status = o != NULL ? firn_json_save(r->output.summary, o, false, err) : no_memory(err);
    json_decref(o);
    return status;
}

static firn_status write_report(struct firn_run *r, struct firn_error *err)
{
    struct firn_report_facts facts;
    struct firn_str python = { 0 };
    firn_run_facts(r, &facts);
    const char *class_name = r->session.model.arch->class_name[r->task.task];
    const char *labels = firn_task_n_labels(&r->task) > 0
                             ? FIRN_STR(", num_labels=%lld", (long long) firn_task_n_labels(&r->task))
                             : "";
    if (r->session.adapter.method != NULL && r->session.adapter.method->has_hub_files)
        firn_str_addf(&python,
                      "import adapters\nfrom transformers import %s\nmodel = %s.from_pretrained(\"%s\"%s)\n"
                      "adapters.init(model)\nmodel.load_adapter(\"%s\", use_safetensors=True, set_active=True)\n",
                      class_name, class_name, r->recipe->model, labels, r->output.adapter);
    else
        firn_str_addf(&python,
                      "from transformers import AutoModel\nfrom peft import PeftModel\n"
                      "base = %s.from_pretrained(\"%s\"%s)\nmodel = PeftModel.from_pretrained(base, \"%s\")\n",
                      class_name, r->recipe->model, labels, r->output.adapter);
    facts.python = python.data;
    facts.device = FIRN_STR("%s: %s (%s)", r->session.device->id, r->session.device->name, r->session.device->driver);
    firn_status status = firn_report_write(r->output.report, &facts, err);
    if (status == FIRN_OK)
        status = write_summary(r, &facts, err);
    firn_str_free(&python);
    return status;
}

firn_status firn_run_finish(struct firn_run *r, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    if (r->recipe->train.load_best_model_at_end && firn_path_is_dir(r->output.best)) {
        status = firn_adapter_read(&r->session.adapter, &r->session.model, r->output.best, r->session.flat, err);
        if (status == FIRN_OK)
            status = firn_session_push(&r->session, "params", r->session.flat, err);
    }
    if (status == FIRN_OK && firn_adapter_has_network(&r->session.adapter))
        status = firn_run_checkpoint(r, err); /* the adapter's files are not enough to go on from */
    if (status == FIRN_OK)
        status = save_adapter(r, r->output.adapter, false, err);
    if (status == FIRN_OK)
        status = write_report(r, err);
    json_t *facts = firn_task_json(&r->task, r->fingerprint);
    if (r->session.adapter.n_virtual > 0)
        json_object_set_new(facts, "peft_compatible", json_boolean(r->session.adapter.peft_compatible));
    if (status == FIRN_OK) /* last: it says that the run is finished */
        status = firn_json_save(r->output.finished, facts, false, err);
    json_decref(facts);
    return status;
}
