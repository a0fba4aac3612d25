/* SPDX-License-Identifier: Apache-2.0 */
/* `firn inspect`: what a file or directory holds. */
#include "cli/command.h"
#include "firn/tokenizer.h"
#include "peft/peft.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flags {
    bool json, tensors;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_JSON(json),
    { "tensors", .type = FIRN_OPTION_BOOL, .offset = AT(tensors), .help = "list every tensor" },
    { NULL },
};

static json_t *shape_json(const struct firn_shape *shape)
{
    json_t *list = json_array();
    for (int i = 0; i < shape->rank; i++)
        json_array_append_new(list, json_integer(shape->dim[i]));
    return list;
}

static void add_file(json_t *out, const struct firn_safetensors *f, bool lists)
{
    int64_t elements = 0;
    json_t *tensors = json_array(), *o = json_object();
    for (size_t i = 0; i < f->count; i++) {
        const struct firn_tensor *t = &f->tensors[i].tensor;
        elements += firn_shape_count(&t->shape);
        if (lists)
            json_array_append_new(tensors, json_pack("{s:s,s:s,s:o}", "name", f->tensors[i].name, "dtype",
                                                     firn_dtype_name(t->dtype), "shape", shape_json(&t->shape)));
    }
    json_object_set_new(o, "file", json_string(f->path));
    json_object_set_new(o, "tensors", json_integer((json_int_t) f->count));
    json_object_set_new(o, "elements", json_integer(elements));
    json_object_set_new(o, "bytes", json_integer((json_int_t) f->map.size));
    if (lists)
        json_object_set_new(o, "list", tensors);
    else
        json_decref(tensors);
    json_array_append_new(out, o);
}

static bool has(const char *directory, const char *name)
{
    char *path = firn_path_join(directory, name);
    const bool there = path != NULL && firn_path_exists(path);
    free(path);
    return there;
}

static firn_status inspect_adapter(const char *path, json_t *out, struct firn_error *err)
{
    struct firn_adapter_info info;
    const firn_status status = firn_adapter_peek(&info, path, err);
    if (status == FIRN_OK)
        json_object_set_new(out, "adapter",
                            json_pack("{s:s,s:s,s:s,s:s,s:I}", "method", info.method, "peft_type", info.peft_type, "base",
                                      info.base, "task", info.has_task ? firn_task_words[info.task] : "", "labels",
                                      (json_int_t) info.n_labels));
    return status;
}

static firn_status inspect_model(const char *path, bool lists, json_t *out, struct firn_error *err)
{
    struct firn_model m;
    const firn_status status = firn_model_open(&m, path, err);
    if (status)
        return status;
    const struct firn_config *c = &m.config;
    json_t *files = json_array(), *tasks = json_array();
    for (size_t i = 0; i < m.weights.n_files; i++)
        add_file(files, &m.weights.files[i], lists);
    for (int t = 0; t < FIRN_TASK_COUNT; t++)
        if (m.arch->head[t] != NULL)
            json_array_append_new(tasks, json_string(firn_task_words[t]));
    json_object_set_new(out, "model",
                        json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "architecture", m.arch->name, "layers",
                                  (json_int_t) c->n_layers, "width", (json_int_t) c->width, "heads",
                                  (json_int_t) c->n_heads, "feed_forward", (json_int_t) c->hidden, "vocabulary",
                                  (json_int_t) c->vocabulary, "max_positions", (json_int_t) c->max_positions, "tasks",
                                  tasks, "files", files));
    if (c->n_decoder_layers > 0)
        json_object_set_new(json_object_get(out, "model"), "decoder_layers", json_integer((json_int_t) c->n_decoder_layers));
    firn_model_close(&m);
    return FIRN_OK;
}

static firn_status inspect_tokenizer(const char *path, json_t *out, struct firn_error *err)
{
    static const char *const roles[] = { "bos", "eos", "pad", "unk", "cls", "sep", "mask" };
    struct firn_tokenizer *tok = NULL;
    const firn_status status = firn_tokenizer_open(&tok, path, err);
    if (status)
        return status;
    json_t *o = json_object();
    json_object_set_new(o, "vocabulary", json_integer((json_int_t) firn_tokenizer_vocab_size(tok)));
    for (int r = 0; r < FIRN_N_ROLES; r++)
        if (firn_tokenizer_role(tok, (enum firn_role) r) >= 0)
            json_object_set_new(o, roles[r], json_integer(firn_tokenizer_role(tok, (enum firn_role) r)));
    json_object_set_new(out, "tokenizer", o);
    firn_tokenizer_close(&tok);
    return FIRN_OK;
}

static firn_status inspect_json(const char *path, const char *name, const char *key, json_t *out,
                                struct firn_error *err)
{
    char *file = firn_path_join(path, name);
    json_t *o = NULL;
    const firn_status status = file == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path")
                                            : firn_json_load(file, &o, err);
    free(file);
    if (status == FIRN_OK)
        json_object_set_new(out, key, o);
    return status;
}

static firn_status inspect_file(const char *path, json_t *out, struct firn_error *err)
{
    struct firn_safetensors f;
    const firn_status status = firn_safetensors_open(&f, path, err);
    if (status)
        return status;
    json_t *files = json_array();
    add_file(files, &f, true);
    json_object_set_new(out, "files", files);
    firn_safetensors_close(&f);
    return FIRN_OK;
}

static void print_tree(const json_t *v, int indent)
{
    const char *key;
    json_t *item, *entry;
    size_t i;
    json_object_foreach ((json_t *) v, key, item) {
        if (json_is_object(item)) {
            printf("%*s%s\n", indent, "", key);
            print_tree(item, indent + 2);
        } else if (json_is_array(item) && json_is_object(json_array_get(item, 0))) {
            printf("%*s%s\n", indent, "", key);
            json_array_foreach (item, i, entry)
                print_tree(entry, indent + 2);
        } else {
            char *text = json_dumps(item, JSON_ENCODE_ANY | JSON_COMPACT);
            printf("%*s%-16s %s\n", indent, "", key,
                   json_is_string(item) ? json_string_value(item) : text != NULL ? text : "");
            free(text);
        }
    }
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    const struct flags *f = args->values;
    const char *path = args->words[0];
    json_t *out = json_object();
    firn_status status = FIRN_OK;
    if (!firn_path_exists(path))
        status = firn_fail(err, FIRN_ERR_IO, .file = path, .what = "no such file or directory");
    else if (!firn_path_is_dir(path))
        status = strlen(path) > 5 && strcmp(path + strlen(path) - 5, ".gguf") == 0 ? inspect_model(path, f->tensors, out, err)
                                                                                   : inspect_file(path, out, err);
    else {
        if (has(path, "manifest.json"))
            status = inspect_json(path, "manifest.json", "checkpoint", out, err);
        if (status == FIRN_OK && has(path, "adapter_config.json"))
            status = inspect_adapter(path, out, err);
        if (status == FIRN_OK && has(path, "firn.json"))
            status = inspect_json(path, "firn.json", "firn", out, err);
        if (status == FIRN_OK && has(path, "config.json"))
            status = inspect_model(path, f->tensors, out, err);
        if (status == FIRN_OK && has(path, "tokenizer.json"))
            status = inspect_tokenizer(path, out, err);
        if (status == FIRN_OK && json_object_size(out) == 0)
            status = firn_fail(err, FIRN_ERR_FORMAT, .file = path,
                               .expected = "a model, adapter, checkpoint or tokenizer directory", .got = "none of them");
    }
    if (status == FIRN_OK && f->json) {
        json_dumpf(out, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (status == FIRN_OK) {
        print_tree(out, 0);
    }
    json_decref(out);
    return status;
}

const struct firn_command firn_command_inspect = {
    .name = "inspect",
    .words = "PATH",
    .min_words = 1,
    .max_words = 1,
    .summary = "what a model, adapter, checkpoint or tokenizer holds",
    .text = "Takes a directory or a safetensors file, checks it as training would, and prints what is in it.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
