/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a comparison's recipe and lays out its cells. */
#include "compare/compare.h"

#include "base/option.h"
#include "base/file.h"
#include "base/hash.h"
#include "peft/peft.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct section {
    json_t *seeds, *sizes, *search_seeds;
    char *out_of_domain;
    int64_t min_steps, search_size;
    bool keep_adapters;
};

#define AT(field) offsetof(struct section, field)
const struct firn_option firn_compare_keys[] = {
    { "seeds", .type = FIRN_OPTION_TREE, .offset = AT(seeds), .unit = "list", .help = "each method runs with each; [1, 2, 3]" },
    { "sizes", .also = { "train_sizes" }, .type = FIRN_OPTION_TREE, .offset = AT(sizes), .unit = "examples",
      .help = "amounts of training data, nested samples; [0]: all" },
    { "out_of_domain", .type = FIRN_OPTION_TEXT, .offset = AT(out_of_domain), .unit = "file",
      .help = "examples from elsewhere, measured but never trained on" },
    { "min_steps", .type = FIRN_OPTION_INT, .offset = AT(min_steps), .fallback = "0", .max = 1e9, .unit = "steps",
      .help = "at least so many optimizer steps, however few the examples" },
    { "search_seeds", .type = FIRN_OPTION_TREE, .offset = AT(search_seeds), .unit = "list",
      .help = "lists of values in train or a method's search are tried with these; unset: one that seeds has not" },
    { "search_size", .type = FIRN_OPTION_INT, .offset = AT(search_size), .fallback = "0", .max = 4e9, .unit = "examples",
      .help = "choose between such values once, on so many training examples; 0: at each of the sizes" },
    { "keep_adapters", .type = FIRN_OPTION_BOOL, .offset = AT(keep_adapters), .fallback = "false",
      .help = "keep what each cell trained, not only its figures" },
    { NULL }
};
#undef AT

const char *const firn_part_words[FIRN_PART_COUNT] = { "train", "validation", "test", "out_of_domain" };

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a comparison");
}

/* A list of whole numbers, or one; each once. */
static firn_status read_numbers(const struct firn_compare *c, const char *key, const json_t *v, int64_t low, int64_t **list,
                                int *n, struct firn_error *err)
{
    const size_t count = json_is_array(v) ? json_array_size(v) : 1;
    *list = calloc(count + 1, sizeof **list);
    if (*list == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        const json_t *x = json_is_array(v) ? json_array_get(v, i) : v;
        bool is_new = json_is_integer(x) && json_integer_value(x) >= low;
        for (int k = 0; k < *n && is_new; k++)
            is_new = (*list)[k] != json_integer_value(x);
        if (!is_new)
            return firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = FIRN_STR("compare.%s", key),
                             .expected = FIRN_STR("whole numbers from %lld, each once", (long long) low),
                             .got = "something else");
        (*list)[(*n)++] = json_integer_value(x);
    }
    return *n > 0 ? FIRN_OK
                  : firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = FIRN_STR("compare.%s", key),
                              .expected = "at least one number", .got = "an empty list");
}

static firn_status read_section(struct firn_compare *c, struct firn_error *err)
{
    struct section s = { 0 };
    const json_t *given = json_object_get(c->tree, "compare");
    json_t *seeds = json_pack("[i,i,i]", 1, 2, 3), *sizes = json_pack("[i]", 0), *none = json_object();
    firn_status status = firn_options_reset(firn_compare_keys, &s, err);
    if (status == FIRN_OK)
        status = firn_options_read(firn_compare_keys, given != NULL ? given : none, c->path, "compare.", NULL, &s, err);
    if (status == FIRN_OK)
        status = read_numbers(c, "seeds", s.seeds != NULL ? s.seeds : seeds, 0, &c->seeds, &c->n_seeds, err);
    if (status == FIRN_OK)
        status = read_numbers(c, "sizes", s.sizes != NULL ? s.sizes : sizes, 0, &c->sizes, &c->n_sizes, err);
    if (status == FIRN_OK && s.search_seeds != NULL)
        status = read_numbers(c, "search_seeds", s.search_seeds, 0, &c->search_seeds, &c->n_search_seeds, err);
    c->min_steps = s.min_steps;
    c->search_size = s.search_size;
    c->keep_adapters = s.keep_adapters;
    c->out_of_domain = s.out_of_domain;
    s.out_of_domain = NULL;
    firn_options_free(firn_compare_keys, &s);
    json_decref(seeds);
    json_decref(sizes);
    json_decref(none);
    return status;
}

/* Names become parts of paths. */
static firn_status check_name(const struct firn_compare *c, int i, struct firn_error *err)
{
    const char *name = c->methods[i].name;
    bool is_good = name != NULL && name[0] != '\0' && name[0] != '.' && strlen(name) <= 60;
    for (const char *p = name; is_good && *p != '\0'; p++)
        is_good = *p != '/' && (unsigned char) *p >= ' ';
    if (!is_good)
        return firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = FIRN_STR("method[%d].name", i),
                         .expected = "a name of up to 60 characters without a slash or a point in front",
                         .got = name != NULL ? name : "none");
    for (int k = 0; k < i; k++)
        if (strcmp(c->methods[k].name, name) == 0)
            return firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = FIRN_STR("method[%d].name", i),
                             .what = "two methods have this name; give each its own", .got = name);
    return FIRN_OK;
}

static firn_status read_methods(struct firn_compare *c, struct firn_error *err)
{
    json_t *list = json_object_get(c->tree, "method");
    const size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > 1000)
        return firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = "method",
                         .expected = "a list of methods, each  {type: lora, r: 8, name: ..., train: {...}}",
                         .got = json_is_array(list) ? "an empty or endless one" : "no list");
    c->methods = calloc(n, sizeof *c->methods);
    if (c->methods == NULL)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        json_t *m = json_array_get(list, i), *train = json_object_get(m, "train");
        const char *type = json_string_value(json_object_get(m, "type"));
        const json_t *name = json_object_get(m, "name");
        if (type == NULL || (train != NULL && !json_is_object(train)))
            return firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = FIRN_STR("method[%zu]", i),
                             .expected = "a mapping with a type (and a mapping as its train)", .got = "something else");
        c->methods[i] = (struct firn_compare_method){ .name = name != NULL ? json_string_value(name) : type,
                                                      .settings = m, .train = train };
        c->n_methods++;
        const firn_status status = check_name(c, (int) i, err);
        if (status)
            return status;
    }
    return FIRN_OK;
}

static firn_status lay_out(struct firn_compare *c, struct firn_error *err)
{
    const int64_t n = (int64_t) c->n_sizes * c->n_methods * c->n_seeds;
    c->cells = n <= 1000000 ? calloc((size_t) n, sizeof *c->cells) : NULL;
    if (c->cells == NULL)
        return no_memory(err);
    for (int s = 0; s < c->n_sizes; s++)
        for (int m = 0; m < c->n_methods; m++)
            for (int k = 0; k < c->n_seeds; k++)
                c->cells[c->n_cells++] = (struct firn_cell){ .method = m, .size = c->sizes[s], .seed = c->seeds[k] };
    return FIRN_OK;
}

/* What is wrong with a setting is said before an hour of training, not after. */
static firn_status check_methods(const struct firn_compare *c, struct firn_error *err)
{
    struct firn_recipe r;
    struct firn_model model;
    struct firn_cell cell = *firn_compare_cell(c, 0, 0, 0);
    firn_status status = firn_compare_recipe(c, &cell, &r, err);
    if (status)
        return status;
    status = firn_model_open(&model, r.model, err);
    const enum firn_task task = (enum firn_task) r.task;
    firn_recipe_free(&r);
    if (status)
        return status;
    for (cell.method = 0; cell.method < c->n_methods && status == FIRN_OK; cell.method++)
        for (cell.choice = 0; cell.choice < c->methods[cell.method].n_choices && status == FIRN_OK; cell.choice++) {
            struct firn_adapter adapter = { 0 };
            const struct firn_build_params p = { .batch = 1, .length = 1, .task = task, .n_labels = 2 };
            status = firn_compare_recipe(c, &cell, &r, err);
            if (status)
                break;
            status = firn_adapter_open(&adapter, &model, task, r.method, c->path, FIRN_STR("method[%d].", cell.method), err);
            if (status == FIRN_OK)
                status = firn_model_collect(&model, &adapter, &p, NULL, err);
            firn_adapter_close(&adapter);
            firn_recipe_free(&r);
        }
    firn_model_close(&model);
    return status;
}

firn_status firn_compare_open(struct firn_compare *c, const char *path, char *const *overrides, int n_overrides,
                              struct firn_error *err)
{
    *c = (struct firn_compare){ .path = firn_strdup(path), .metric = "quality" };
    firn_status status = c->path == NULL ? no_memory(err)
                                         : firn_recipe_tree_load(&c->tree, path, overrides, n_overrides, err);
    if (status == FIRN_OK && !json_is_object(c->tree))
        status = firn_fail(err, FIRN_ERR_USAGE, .file = path, .expected = "a mapping of keys to values",
                           .got = "something else");
    if (status == FIRN_OK)
        status = read_section(c, err);
    if (status == FIRN_OK)
        status = read_methods(c, err);
    if (status == FIRN_OK)
        status = lay_out(c, err);
    const char *validation = json_string_value(json_object_get(json_object_get(c->tree, "data"), "validation"));
    if (status == FIRN_OK && validation != NULL && (c->validation = firn_strdup(validation)) == NULL)
        status = no_memory(err);
    if (status == FIRN_OK)
        status = firn_search_open(c, err);
    if (status == FIRN_OK && json_string_value(json_object_get(c->tree, "output")) == NULL)
        status = firn_fail(err, FIRN_ERR_USAGE, .file = path, .key = "output", .what = "is required");
    if (status == FIRN_OK &&
        (c->output = firn_strdup(json_string_value(json_object_get(c->tree, "output")))) == NULL)
        status = no_memory(err);
    if (status == FIRN_OK)
        status = check_methods(c, err);
    if (status)
        firn_compare_close(c);
    return status;
}

void firn_compare_close(struct firn_compare *c)
{
    firn_search_close(c);
    for (int i = 0; i < c->n_cells; i++)
        free(c->cells[i].failure);
    free(c->cells);
    free(c->validation);
    free(c->methods);
    free(c->sizes);
    free(c->seeds);
    free(c->output);
    free(c->out_of_domain);
    free(c->path);
    json_decref(c->tree);
    memset(c, 0, sizeof *c);
}

struct firn_cell *firn_compare_cell(const struct firn_compare *c, int size, int method, int seed)
{
    return &c->cells[(size * c->n_methods + method) * c->n_seeds + seed];
}

/* The values that were chosen are part of the name: another choice is another cell. */
char *firn_compare_directory(const struct firn_compare *c, const struct firn_cell *cell)
{
    const struct firn_compare_method *m = &c->methods[cell->method];
    const char *size = cell->size > 0 ? FIRN_STR("%" PRId64, cell->size) : "all";
    struct firn_str text = { 0 };
    firn_str_addf(&text, "%s-%s-seed%" PRId64 "%s", m->name, size, cell->seed, m->n_axes > 0 ? "-" : "");
    const size_t values = text.size;
    firn_choice_text(m, cell->choice, "=", ",", &text);
    for (size_t i = values; i < text.size; i++)
        text.data[i] = (char) (text.data[i] == '/' || (unsigned char) text.data[i] < ' ' ? '_' : text.data[i]);
    if (!text.failed && text.size - values > 120) /* longer than a file's name may be */
        snprintf(text.data + values, 9, "%08" PRIx32, firn_crc32c(0, text.data + values, text.size - values));
    char *path = text.failed ? NULL : firn_path_join(c->output, FIRN_STR("cells/%s", text.data));
    firn_str_free(&text);
    return path;
}

/* Few examples make few batches: the epochs are then as many as min_steps asks for. */
static int64_t steps_of(const struct firn_compare *c, const struct firn_cell *cell, const struct firn_recipe *r)
{
    const int64_t batch = r->train.batch_size, accum = r->train.gradient_accumulation_steps;
    const int64_t batches = (cell->size + batch - 1) / batch, updates = (batches + accum - 1) / accum;
    const double planned = r->train.num_train_epochs * (double) updates;
    return cell->size > 0 && r->train.max_steps == 0 && planned < (double) c->min_steps ? c->min_steps : 0;
}

/* A cell is measured when it is done; what happens on the way is looked at when the recipe says so. */
static bool is_watched(const json_t *train)
{
    return json_integer_value(json_object_get(train, "eval_steps")) > 0 ||
           json_is_true(json_object_get(train, "load_best_model_at_end")) ||
           json_integer_value(json_object_get(train, "early_stopping_patience")) > 0;
}

firn_status firn_compare_recipe(const struct firn_compare *c, const struct firn_cell *cell, struct firn_recipe *r,
                                struct firn_error *err)
{
    const struct firn_compare_method *m = &c->methods[cell->method];
    json_t *tree = json_deep_copy(c->tree), *method = json_deep_copy(m->settings);
    char *directory = firn_compare_directory(c, cell);
    memset(r, 0, sizeof *r);
    if (tree == NULL || method == NULL || directory == NULL) {
        json_decref(tree);
        json_decref(method);
        free(directory);
        return no_memory(err);
    }
    json_object_del(method, "name");
    json_object_del(method, "train");
    json_object_del(method, "search");
    json_object_del(tree, "compare");
    json_object_set_new(tree, "method", method);
    json_object_set_new(tree, "output", json_string(directory));
    if (json_object_get(tree, "train") == NULL)
        json_object_set_new(tree, "train", json_object());
    json_t *train = json_object_get(tree, "train"), *data = json_object_get(tree, "data");
    if (m->train != NULL)
        json_object_update(train, (json_t *) m->train);
    firn_choice_apply(m, cell->choice, train, method);
    if (!is_watched(train))
        json_object_del(data, "validation");
    json_object_set_new(train, "seed", json_integer(cell->seed));
    if (cell->size > 0)
        json_object_set_new(data, "max_train_samples", json_integer(cell->size));
    firn_status status = firn_recipe_from_tree(r, tree, c->path, err);
    if (status == FIRN_OK && steps_of(c, cell, r) > 0)
        r->train.max_steps = steps_of(c, cell, r);
    json_decref(tree);
    free(directory);
    return status;
}
