/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of recipe keys, and reading a recipe by them. */
#include "train/recipe.h"

#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* in the order of enum firn_task; an embedding is nothing to train for */
static const char *const task_words[] = { "sequence_classification", "token_classification",
                                          "masked_lm", "causal_lm", "seq2seq_lm", NULL };
static const char *const task_also[] = { "SEQ_CLS", "TOKEN_CLS", "MASKED_LM", "CAUSAL_LM",
                                         "SEQ_2_SEQ_LM" };
static const char *const schedule_words[] = { "constant", "constant_with_warmup", "linear",
                                              "cosine", "inverse_sqrt", NULL };
static const char *const dtype_words[] = { "file", "f32", "f16", "bf16", NULL };
static const char *const dtype_also[] = { "auto", "float32", "float16", "bfloat16" };
const enum firn_dtype firn_recipe_dtypes[] = { FIRN_NONE, FIRN_F32, FIRN_F16, FIRN_BF16 };
static const char *const precision_words[] = { "high", "fast", NULL };
static const char *const checkpointing_words[] = { "auto", "none", "layer", "nested", NULL };
static const char *const checkpointing_also[] = { NULL, "false", "true", NULL };
static const char *const report_words[] = { "none", "tensorboard", NULL };
static const char *const decay_words[] = { "none", "bias_norm", NULL };

#define AT(field) offsetof(struct firn_recipe, field)
// clang-format off
const struct firn_option firn_recipe_top[] = {
    { "model", .type = FIRN_OPTION_TEXT, .offset = AT(model), .unit = "directory", .is_required = true,
      .help = "the base model in the Hugging Face layout" },
    { "task", .type = FIRN_OPTION_WORD, .offset = AT(task), .words = task_words, .words_also = task_also,
      .is_required = true, .help = "what the model is trained to do" },
    { "output", .type = FIRN_OPTION_TEXT, .offset = AT(output), .unit = "directory", .is_required = true,
      .help = "where adapter, checkpoints, log and report go; must be empty or missing" },
    { "device", .type = FIRN_OPTION_TEXT, .offset = AT(device), .fallback = "auto",
      .help = "auto, cpu, cpu:exact, vulkan:N or vulkan:NAME" },
    { "base_dtype", .also = { "torch_dtype", "dtype" }, .type = FIRN_OPTION_WORD, .offset = AT(base_dtype), .fallback = "file",
      .words = dtype_words, .words_also = dtype_also,
      .help = "how frozen matrices are kept: as in the file, or as f32, f16 or bf16; sums are f32 always" },
    { "matrix_precision", .type = FIRN_OPTION_WORD, .offset = AT(matrix_precision), .fallback = "high", .words = precision_words,
      .help = "on a GPU's matrix units: high keeps 21 bits of every operand, fast rounds activations to 11, as f16 does" },
    { "quantization", .also = { "quantization_config", "base_quantization" }, .type = FIRN_OPTION_TREE, .offset = AT(quantization),
      .help = "of the frozen base: nf4, nf4_double, int8, none, or {load_in_4bit: true, bnb_4bit_use_double_quant: true}" },
    { "tasks", .type = FIRN_OPTION_TREE, .offset = AT(tasks),
      .help = "multitask_prompt, multitask_ptuning: templates of the tasks, as method.tasks" },
    { "start_from", .type = FIRN_OPTION_TEXT, .offset = AT(start_from), .unit = "directory",
      .help = "train further from this checkpoint (checkpoints/step-N) or adapter; unset: from the method's own start" },
    { "memory_limit", .type = FIRN_OPTION_BYTES, .offset = AT(memory_limit), .fallback = "0", .unit = "bytes",
      .help = "micro-batch and checkpointing are chosen to fit; 0: what the device says is free, by checkpointing alone" },
    { NULL }
};
#undef AT
#define AT(field) offsetof(struct firn_recipe_data, field)
const struct firn_option firn_recipe_data_keys[] = {
    { "train", .type = FIRN_OPTION_TEXT, .offset = AT(train), .unit = "file", .is_required = true,
      .help = "examples to train on: .jsonl, .csv, .tsv or .txt" },
    { "validation", .type = FIRN_OPTION_TEXT, .offset = AT(validation), .unit = "file",
      .help = "examples to evaluate on during training" },
    { "validation_split", .type = FIRN_OPTION_REAL, .offset = AT(validation_split), .fallback = "0", .max = 0.99, .unit = "fraction",
      .help = "share of data.train that is set aside as validation data, chosen by train.seed" },
    { "max_train_samples", .type = FIRN_OPTION_INT, .offset = AT(max_train_samples), .fallback = "0", .max = 4e9, .unit = "examples",
      .help = "train on so many examples, chosen by train.seed; labels still come from all of them; 0: all" },
    { "test", .type = FIRN_OPTION_TEXT, .offset = AT(test), .unit = "file",
      .help = "examples that `firn eval` reads when no file is given" },
    { "text", .also = { "text_column", "sentence" }, .type = FIRN_OPTION_TEXT, .offset = AT(text), .fallback = "text", .unit = "column",
      .help = "the column with the text" },
    { "text_pair", .type = FIRN_OPTION_TEXT, .offset = AT(text_pair), .unit = "column",
      .help = "the column with the second text of a pair" },
    { "label", .also = { "label_column", "labels" }, .type = FIRN_OPTION_TEXT, .offset = AT(label), .fallback = "label", .unit = "column",
      .help = "the column with the label (classification)" },
    { "prompt", .also = { "source" }, .type = FIRN_OPTION_TEXT, .offset = AT(prompt), .unit = "column",
      .help = "causal_lm: the column with the text before the answer, not trained on; seq2seq_lm: what the encoder reads" },
    { "completion", .also = { "answer", "target" }, .type = FIRN_OPTION_TEXT, .offset = AT(completion), .unit = "column",
      .help = "causal_lm: the column with the answer that follows the prompt; seq2seq_lm: what the decoder says" },
    { "template", .type = FIRN_OPTION_TEXT, .offset = AT(template),
      .help = "the text of an example, with columns as {name} and {{ for a brace; causal_lm: from the field that data.completion names "
              "to the end it is the answer, and only that is trained on" },
    { "messages", .type = FIRN_OPTION_TEXT, .offset = AT(messages), .unit = "column",
      .help = "causal_lm: the column with a conversation, a list of {role, content}; only the assistant's words are trained on" },
    { "chat", .also = { "chat_format" }, .type = FIRN_OPTION_TREE, .offset = AT(chat),
      .help = "how conversations are written: a format's name (chatml, llama3, gemma ...) or {user: ..., assistant: ...} with {content}; "
              "unset: as the model's chat template says" },
    { "packing", .type = FIRN_OPTION_BOOL, .offset = AT(packing), .fallback = "false",
      .help = "causal_lm: a micro-batch takes as many examples as batch_size times max_length tokens hold; each is alone in attention" },
    { "problem_type", .type = FIRN_OPTION_TEXT, .offset = AT(problem_type),
      .help = "single_label_classification, multi_label_classification or regression; unset: found in the labels" },
    { NULL }
};
#undef AT
#define AT(field) offsetof(struct firn_recipe_train, field)
const struct firn_option firn_recipe_train_keys[] = {
    { "num_train_epochs", .also = { "num_epochs", "epochs" }, .type = FIRN_OPTION_REAL, .offset = AT(num_train_epochs),
      .fallback = "3", .max = 1e6, .unit = "epochs", .help = "how often every example is seen" },
    { "max_steps", .type = FIRN_OPTION_INT, .offset = AT(max_steps), .fallback = "0", .max = 1e9, .unit = "steps",
      .help = "optimizer steps; above 0 it takes the place of num_train_epochs" },
    { "batch_size", .also = { "per_device_train_batch_size", "train_batch_size" }, .type = FIRN_OPTION_INT, .offset = AT(batch_size),
      .fallback = "8", .min = 1, .max = 65536, .unit = "examples", .help = "examples of one micro-batch" },
    { "eval_batch_size", .also = { "per_device_eval_batch_size" }, .type = FIRN_OPTION_INT, .offset = AT(eval_batch_size),
      .fallback = "32", .min = 1, .max = 65536, .unit = "examples", .help = "examples of one evaluation batch" },
    { "gradient_accumulation_steps", .also = { "grad_accum" }, .type = FIRN_OPTION_INT, .offset = AT(gradient_accumulation_steps),
      .fallback = "1", .min = 1, .max = 65536, .unit = "micro-batches", .help = "micro-batches of one optimizer step" },
    { "gradient_checkpointing", .type = FIRN_OPTION_WORD, .offset = AT(gradient_checkpointing), .fallback = "auto",
      .words = checkpointing_words, .words_also = checkpointing_also,
      .help = "what is computed again in the backward pass: auto (to fit memory_limit), none, layer or nested; results are equal" },
    { "max_length", .also = { "max_seq_length" }, .type = FIRN_OPTION_INT, .offset = AT(max_length),
      .fallback = "512", .min = 1, .max = 1048576, .unit = "tokens", .help = "longer examples are cut" },
    { "max_target_length", .also = { "max_completion_length" }, .type = FIRN_OPTION_INT, .offset = AT(max_target_length),
      .fallback = "128", .min = 1, .max = 1048576, .unit = "tokens", .help = "seq2seq_lm: longer targets are cut" },
    { "pad_to_multiple_of", .type = FIRN_OPTION_INT, .offset = AT(pad_to_multiple_of), .fallback = "8", .min = 1, .max = 65536,
      .unit = "tokens", .help = "batches are padded to a multiple of this: one plan a length" },
    { "learning_rate", .also = { "lr" }, .type = FIRN_OPTION_REAL, .offset = AT(learning_rate), .fallback = "5e-5", .max = 1e3,
      .help = "peak learning rate of AdamW" },
    { "lr_scheduler_type", .also = { "lr_scheduler" }, .type = FIRN_OPTION_WORD, .offset = AT(lr_scheduler_type),
      .fallback = "linear", .words = schedule_words, .help = "how the rate changes after the warm-up" },
    { "warmup_steps", .also = { "warmup_ratio" }, .type = FIRN_OPTION_REAL, .offset = AT(warmup_steps), .fallback = "0", .max = 1e9,
      .unit = "steps", .help = "linear warm-up; below 1: a fraction of all steps" },
    { "weight_decay", .type = FIRN_OPTION_REAL, .offset = AT(weight_decay), .fallback = "0", .max = 10,
      .help = "decoupled weight decay of AdamW" },
    { "decay_exclude", .type = FIRN_OPTION_WORD, .offset = AT(decay_exclude), .fallback = "bias_norm", .words = decay_words,
      .help = "what gets no weight decay: bias_norm (biases and norm weights) or none" },
    { "adam_beta1", .type = FIRN_OPTION_REAL, .offset = AT(adam_beta1), .fallback = "0.9", .max = 0.999999, .help = "decay of the first moment" },
    { "adam_beta2", .type = FIRN_OPTION_REAL, .offset = AT(adam_beta2), .fallback = "0.999", .max = 0.9999999, .help = "decay of the second moment" },
    { "adam_epsilon", .type = FIRN_OPTION_REAL, .offset = AT(adam_epsilon), .fallback = "1e-8", .max = 1, .help = "added to the root of the second moment" },
    { "max_grad_norm", .type = FIRN_OPTION_REAL, .offset = AT(max_grad_norm), .fallback = "1.0", .max = 1e9,
      .help = "global gradient norm is cut to this; 0: no clipping" },
    { "label_smoothing_factor", .also = { "label_smoothing" }, .type = FIRN_OPTION_REAL, .offset = AT(label_smoothing_factor),
      .fallback = "0", .max = 0.999, .help = "share of the loss that goes to all classes alike" },
    { "seed", .type = FIRN_OPTION_INT, .offset = AT(seed), .fallback = "42", .max = 9e15, .help = "of initialisation, shuffling and dropout" },
    { "dropout", .type = FIRN_OPTION_BOOL, .offset = AT(dropout), .fallback = "true", .help = "use the dropouts that config.json names" },
    { "group_by_length", .type = FIRN_OPTION_BOOL, .offset = AT(group_by_length), .fallback = "true",
      .help = "batches of similar lengths, in a seeded order" },
    { "logging_steps", .type = FIRN_OPTION_INT, .offset = AT(logging_steps), .fallback = "10", .min = 1, .max = 1e9, .unit = "steps",
      .help = "a line in log.jsonl and in a pipe every so many steps" },
    { "eval_steps", .type = FIRN_OPTION_INT, .offset = AT(eval_steps), .fallback = "0", .max = 1e9, .unit = "steps",
      .help = "evaluate every so many steps; 0: after each epoch" },
    { "save_steps", .type = FIRN_OPTION_INT, .offset = AT(save_steps), .fallback = "500", .max = 1e9, .unit = "steps",
      .help = "a checkpoint every so many steps; 0: none but on a signal" },
    { "save_total_limit", .type = FIRN_OPTION_INT, .offset = AT(save_total_limit), .fallback = "2", .max = 1e6,
      .unit = "checkpoints", .help = "how many are kept; 0: all" },
    { "load_best_model_at_end", .type = FIRN_OPTION_BOOL, .offset = AT(load_best_model_at_end), .fallback = "false",
      .help = "the adapter is that of the evaluation with the lowest loss" },
    { "early_stopping_patience", .type = FIRN_OPTION_INT, .offset = AT(early_stopping_patience), .fallback = "0", .max = 1e6,
      .unit = "evaluations", .help = "stop after so many without a lower loss; 0: never" },
    { "report_to", .type = FIRN_OPTION_WORD, .offset = AT(report_to), .fallback = "none", .words = report_words,
      .help = "beside log.jsonl: none, or tensorboard for its event files in the output's tensorboard/" },
    { NULL }
};
#undef AT
// clang-format on

static const char *const sections[] = { "data", "train", "method", NULL };

static const struct firn_option *section_table(const char *section)
{
    return strcmp(section, "data") == 0 ? firn_recipe_data_keys
                                        : strcmp(section, "train") == 0 ? firn_recipe_train_keys
                                                                        : NULL;
}

/* "train.seed=3" -> ("train", "seed"); "seed=3" finds its section. */
static firn_status split_override(const char *text, char *section, char *key, size_t size,
                                  const char **value, struct firn_error *err)
{
    const char *equal = strchr(text, '=');
    const size_t n = equal != NULL ? (size_t) (equal - text) : 0;
    if (n == 0 || n >= size)
        return firn_fail(err, FIRN_ERR_USAGE, .key = text, .expected = "key=value");
    *value = equal + 1;
    memcpy(key, text, n);
    key[n] = '\0';
    section[0] = '\0';
    char *dot = strchr(key, '.');
    if (dot != NULL) {
        *dot = '\0';
        static const char *const names[] = { "data", "train", "method", "compare", NULL }; /* compare: of `firn compare` */
        bool is_known = false;
        for (int i = 0; names[i] != NULL; i++)
            is_known |= strcmp(key, names[i]) == 0;
        if (!is_known)
            return firn_fail(err, FIRN_ERR_USAGE, .key = text,
                             .expected = "a key of data, train or method", .got = key);
        strcpy(section, key);
        memmove(key, dot + 1, strlen(dot + 1) + 1);
    } else if (firn_option_find(firn_recipe_top, key) == NULL) {
        if (firn_option_find(firn_recipe_train_keys, key) != NULL)
            strcpy(section, "train");
        else if (firn_option_find(firn_recipe_data_keys, key) != NULL)
            strcpy(section, "data");
    }
    return FIRN_OK;
}

/* An override takes the place of every spelling of its key. */
static void remove_spellings(json_t *mapping, const struct firn_option *table, const char *key)
{
    const struct firn_option *o = table != NULL ? firn_option_find(table, key) : NULL;
    if (o == NULL)
        return;
    json_object_del(mapping, o->name);
    for (int i = 0; i < 4 && o->also[i] != NULL; i++)
        json_object_del(mapping, o->also[i]);
}

static firn_status apply_override(json_t *tree, const char *text, struct firn_error *err)
{
    char section[256], key[256];
    const char *value = "";
    firn_status status = split_override(text, section, key, sizeof key, &value, err);
    if (status)
        return status;
    if (value[0] == '\0')
        return firn_fail(err, FIRN_ERR_USAGE, .key = FIRN_STR("%s%s%s", section, section[0] != '\0' ? "." : "", key),
                         .expected = "a value behind the =", .got = "nothing");
    json_t *parsed = NULL, *mapping = tree;
    status = firn_yaml_parse(value, strlen(value), text, &parsed, err);
    if (status)
        return status;
    if (section[0] != '\0') {
        mapping = json_object_get(tree, section);
        if (mapping == NULL) {
            mapping = json_object();
            json_object_set_new(tree, section, mapping);
        }
    }
    remove_spellings(mapping, section[0] != '\0' ? section_table(section) : firn_recipe_top, key);
    if (json_object_set_new(mapping, key, parsed) != 0)
        return firn_fail(err, FIRN_ERR_USAGE, .key = text, .what = "cannot be set here");
    return FIRN_OK;
}

static firn_status read_sections(struct firn_recipe *r, const json_t *tree, struct firn_error *err)
{
    const json_t *data = json_object_get(tree, "data"), *train = json_object_get(tree, "train");
    const json_t *method = json_object_get(tree, "method");
    firn_status status = firn_options_read(firn_recipe_top, tree, r->path, "", sections, r, err);
    if (status)
        return status;
    if (data == NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .file = r->path, .key = "data.train",
                         .what = "is required");
    status = firn_options_read(firn_recipe_data_keys, data, r->path, "data.", NULL, &r->data, err);
    if (status == FIRN_OK && train != NULL)
        status = firn_options_read(firn_recipe_train_keys, train, r->path, "train.", NULL,
                                   &r->train, err);
    if (status)
        return status;
    if (!json_is_object(method) || !json_is_string(json_object_get(method, "type")))
        return firn_fail(err, FIRN_ERR_USAGE, .file = r->path, .key = "method.type",
                         .what = "is required, as in  method: {type: lora, r: 8}");
    r->method = json_deep_copy(method);
    return FIRN_OK;
}

/* The nearest of all top-level words, sections included. */
static firn_status check_top(const json_t *tree, const char *path, struct firn_error *err)
{
    const char *key;
    json_t *v;
    if (!json_is_object(tree))
        return firn_fail(err, FIRN_ERR_USAGE, .file = path, .expected = "a mapping of keys to values",
                         .got = "something else");
    json_object_foreach ((json_t *) tree, key, v) {
        if (firn_option_find(firn_recipe_top, key) != NULL || strcmp(key, "data") == 0 ||
            strcmp(key, "train") == 0 || strcmp(key, "method") == 0)
            continue;
        static const char *const words[] = { "model", "task", "data", "method", "train",
                                             "output", "device", "base_dtype", "matrix_precision", "tasks", "start_from", "memory_limit", NULL };
        const char *near = firn_nearest(key, words);
        const char *in = firn_option_find(firn_recipe_train_keys, key) != NULL  ? "train"
                         : firn_option_find(firn_recipe_data_keys, key) != NULL ? "data"
                                                                                : NULL;
        return firn_fail(err, FIRN_ERR_USAGE, .file = path, .key = key,
                         .what = in != NULL     ? FIRN_STR("belongs into the section %s", in)
                                 : near != NULL ? FIRN_STR("unknown key; did you mean %s?", near)
                                                : "unknown key");
    }
    return FIRN_OK;
}

firn_status firn_recipe_tree_load(json_t **tree, const char *path, char *const *overrides, int n_overrides,
                                  struct firn_error *err)
{
    *tree = NULL;
    firn_status status = firn_yaml_load(path, tree, err);
    for (int i = 0; i < n_overrides && status == FIRN_OK; i++)
        status = json_is_object(*tree) ? apply_override(*tree, overrides[i], err) : FIRN_OK;
    return status;
}

/* A hard prompt may be given with its method: it says how data becomes text. */
static firn_status take_template(struct firn_recipe *r, struct firn_error *err)
{
    const char *type = json_string_value(json_object_get(r->method, "type"));
    const char *template = json_string_value(json_object_get(r->method, "template"));
    if (strcmp(type, "hard") != 0 || template == NULL)
        return FIRN_OK;
    if (r->data.template != NULL && strcmp(r->data.template, template) != 0)
        return firn_fail(err, FIRN_ERR_USAGE, .file = r->path, .key = "method.template",
                         .what = "cannot be given together with another data.template");
    free(r->data.template);
    r->data.template = firn_strdup(template);
    json_object_del(r->method, "template");
    return r->data.template != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a recipe");
}

firn_status firn_recipe_from_tree(struct firn_recipe *r, const json_t *tree, const char *path, struct firn_error *err)
{
    memset(r, 0, sizeof *r);
    r->path = firn_strdup(path);
    firn_status status = check_top(tree, path, err);
    if (status == FIRN_OK)
        status = firn_options_reset(firn_recipe_top, r, err);
    if (status == FIRN_OK)
        status = firn_options_reset(firn_recipe_data_keys, &r->data, err);
    if (status == FIRN_OK)
        status = firn_options_reset(firn_recipe_train_keys, &r->train, err);
    if (status == FIRN_OK)
        status = read_sections(r, tree, err);
    if (status == FIRN_OK && r->tasks != NULL)
        json_object_set(r->method, "tasks", r->tasks);
    if (status == FIRN_OK)
        status = take_template(r, err);
    if (status == FIRN_OK)
        status = firn_quantisation_read(r->quantization, path, "quantization", &r->quantised, err);
    if (status)
        firn_recipe_free(r);
    return status;
}

firn_status firn_recipe_load(struct firn_recipe *r, const char *path, char *const *overrides,
                             int n_overrides, struct firn_error *err)
{
    json_t *tree;
    memset(r, 0, sizeof *r);
    firn_status status = firn_recipe_tree_load(&tree, path, overrides, n_overrides, err);
    if (status == FIRN_OK)
        status = firn_recipe_from_tree(r, tree, path, err);
    json_decref(tree);
    return status;
}

void firn_recipe_free(struct firn_recipe *r)
{
    firn_options_free(firn_recipe_top, r);
    firn_options_free(firn_recipe_data_keys, &r->data);
    firn_options_free(firn_recipe_train_keys, &r->train);
    json_decref(r->method);
    free(r->path);
    memset(r, 0, sizeof *r);
}

json_t *firn_recipe_tree(const struct firn_recipe *r)
{
    json_t *tree = firn_options_tree(firn_recipe_top, r);
    json_object_set_new(tree, "data", firn_options_tree(firn_recipe_data_keys, &r->data));
    json_object_set_new(tree, "method", json_deep_copy(r->method));
    json_object_set_new(tree, "train", firn_options_tree(firn_recipe_train_keys, &r->train));
    return tree;
}
