/* SPDX-License-Identifier: Apache-2.0 */
/* Trained rows of frozen tables. The table itself stays as it is: a lookup is the sum of one in the table, where those
 * rows read as zeros, and one in the small table of trained rows. */
#include "peft/tokens.h"

#include "base/hash.h"
#include "peft/wrap.h"

#include <stdlib.h>
#include <string.h>

#define KEY "trainable_token_indices"

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings");
}

static firn_status read_ids(struct firn_token_rows *r, const json_t *list, const char *module, int64_t most,
                            const char *file, struct firn_error *err)
{
    const size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = KEY, .expected = "lists of token ids",
                         .got = json_is_array(list) ? "an empty list" : "something else");
    r->module = firn_strdup(module);
    r->ids = malloc(sizeof *r->ids * (n + 1));
    r->count = (int64_t) n;
    if (r->module == NULL || r->ids == NULL)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        const json_int_t id = json_integer_value(v);
        if (!json_is_integer(v) || id < 0 || id >= most)
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = KEY,
                             .expected = FIRN_STR("token ids from 0 to %lld", (long long) most - 1),
                             .got = json_is_integer(v) ? FIRN_STR("%lld", (long long) id) : "something else");
        for (size_t k = 0; k < i; k++)
            if (r->ids[k] == (int32_t) id)
                return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = KEY, .expected = "each token id once",
                                 .got = FIRN_STR("%lld twice", (long long) id));
        r->ids[i] = (int32_t) id;
    }
    r->hash = firn_fnv1a(FIRN_FNV_START, r->ids, sizeof *r->ids * n);
    return FIRN_OK;
}

firn_status firn_tokens_open(struct firn_tokens *t, const json_t *value, const struct firn_model *m, const char *file,
                             struct firn_error *err)
{
    const bool is_map = json_is_object(value);
    const size_t n = is_map ? json_object_size(value) : 1;
    if (value == NULL || json_is_null(value) || (is_map && n == 0))
        return FIRN_OK;
    t->list = calloc(n, sizeof *t->list);
    if (t->list == NULL)
        return no_memory(err);
    t->count = n;
    if (!is_map) {
        const char *table = m->arch->table;
        return read_ids(&t->list[0], value, FIRN_STR("%.*s", (int) (strrchr(table, '.') - table), table),
                        m->config.vocabulary, file, err);
    }
    const char *module;
    json_t *list;
    size_t i = 0;
    firn_status status = FIRN_OK;
    json_object_foreach ((json_t *) value, module, list) {
        if (status == FIRN_OK)
            status = read_ids(&t->list[i++], list, module, INT32_MAX, file, err);
    }
    return status;
}

void firn_tokens_close(struct firn_tokens *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->list[i].module);
        free(t->list[i].ids);
    }
    free(t->list);
    t->list = NULL;
    t->count = 0;
}

/* As PEFT: any end of the path will do. */
static const struct firn_token_rows *find(const struct firn_tokens *t, const char *path)
{
    for (size_t i = 0; i < t->count; i++) {
        const size_t n = strlen(path), m = strlen(t->list[i].module);
        if (n >= m && strcmp(path + n - m, t->list[i].module) == 0)
            return &t->list[i];
    }
    return NULL;
}

static bool is_same(const struct firn_token_rows *a, const struct firn_token_rows *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, sizeof *a->ids * (size_t) a->count) == 0;
}

/* A frozen table of numbers; `fill` is called where it is new. */
static firn_val numbers(struct firn_build *b, const struct firn_token_rows *r, const char *what, int64_t n,
                        void (*fill)(const struct firn_token_rows *r, int32_t *values, int64_t n))
{
    const char *name = FIRN_STR("tokens.%s.%lld.%016llx", what, (long long) n, (unsigned long long) r->hash);
    if (firn_weights_copy(&b->model->weights, name) == NULL) {
        int32_t *values = (int32_t *) (void *) firn_weights_room(&b->model->weights, name, n); /* as large as floats */
        if (values == NULL)
            firn_graph_fail(b->g, "%s: out of memory for it", name);
        else
            fill(r, values, n);
    }
    return firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, name, FIRN_I32, firn_dims(n));
}

static void fill_kept(const struct firn_token_rows *r, int32_t *values, int64_t n)
{
    for (int64_t v = 0; v < n; v++)
        values[v] = (int32_t) v;
    for (int64_t i = 0; i < r->count; i++)
        values[r->ids[i]] = -1;
}

static void fill_slots(const struct firn_token_rows *r, int32_t *values, int64_t n)
{
    for (int64_t v = 0; v < n; v++)
        values[v] = -1;
    for (int64_t i = 0; i < r->count; i++)
        values[r->ids[i]] = (int32_t) i;
}

static void fill_ids(const struct firn_token_rows *r, int32_t *values, int64_t n)
{
    memcpy(values, r->ids, sizeof *values * (size_t) n);
}

/* Whether every id is a row of it; the graph fails otherwise, or where the module trains in another way too. */
static bool fits(struct firn_build *b, const struct firn_token_rows *r, const char *path, const struct firn_site *s, int64_t rows)
{
    const struct firn_method *method = b->adapter->method;
    const void *settings = b->adapter->settings;
    for (int64_t i = 0; i < r->count; i++)
        if (r->ids[i] >= rows) {
            firn_graph_fail(b->g, "%s: " KEY ": expected ids below %lld, got %lld", path, (long long) rows,
                            (long long) r->ids[i]);
            return false;
        }
    const bool is_copy = method->copies != NULL && method->copies(settings, s);
    if (is_copy || (method->targets != NULL && method->targets(settings, s))) {
        firn_graph_fail(b->g, "%s: " KEY ": expected a module that is not in %s, got one that is", path,
                        is_copy ? "modules_to_save" : "target_modules");
        return false;
    }
    return true;
}

static firn_val rows_of(struct firn_build *b, const struct firn_token_rows *r, const char *path, int64_t width)
{
    char name[600];
    return firn_trained(b, firn_wrap_name(path, FIRN_TOKENS_PARAM, name, sizeof name), firn_dims(r->count, width),
                        FIRN_INIT_ZERO, 0);
}

firn_val firn_tokens_lookup(const struct firn_tokens *t, struct firn_build *b, const struct firn_site *s, firn_val ids)
{
    const char *path = s->path;
    const struct firn_token_rows *r = find(t, path);
    if (r == NULL && s->table != NULL) /* of a table that several modules read */
        r = find(t, path = s->table);
    if (r == NULL || !fits(b, r, path, s, s->n_in))
        return (firn_val){ 0 };
    int64_t padding = -1; /* the row among the trained ones that gets no gradient from lookups */
    for (int64_t i = 0; i < r->count; i++)
        if (r->ids[i] == s->padding)
            padding = i;
    const firn_val kept = firn_map_ids(b->g, numbers(b, r, "kept", s->n_in, fill_kept), ids);
    const firn_val own = firn_map_ids(b->g, numbers(b, r, "slots", s->n_in, fill_slots), ids);
    return firn_add(b->g, firn_embed(b->g, s->weight, kept),
                    firn_embed_padded(b->g, rows_of(b, r, path, s->n_out), own, padding));
}

firn_val firn_tokens_logits(const struct firn_tokens *t, struct firn_build *b, const struct firn_site *s, const char *tied,
                            firn_val x)
{
    const char *path = s->path;
    const char *table = tied != NULL ? FIRN_STR("%.*s", (int) (strrchr(tied, '.') - tied), tied) : NULL;
    const struct firn_token_rows *own = find(t, path), *shared = table != NULL ? find(t, table) : NULL;
    if (shared != NULL && (own == NULL || is_same(own, shared))) { /* tied tables stay tied */
        own = shared;
        path = table;
    }
    if (own == NULL || !fits(b, own, path, s, s->n_out))
        return (firn_val){ 0 };
    const firn_val slots = numbers(b, own, "slots", s->n_out, fill_slots);
    const firn_val kept = numbers(b, own, "kept", s->n_out, fill_kept);
    const firn_val base = firn_matmul(b->g, x, s->weight, firn_matmul_params(.trans_b = true));
    const firn_val rows = firn_matmul(b->g, x, rows_of(b, own, path, s->n_in), firn_matmul_params(.trans_b = true));
    const firn_val y = firn_add(b->g, firn_pick_columns(b->g, base, kept, kept),
                                firn_pick_columns(b->g, rows, slots, numbers(b, own, "ids", own->count, fill_ids)));
    return firn_is_value(s->bias) ? firn_add_row(b->g, y, s->bias) : y;
}

static const struct firn_token_rows *of_param(const struct firn_tokens *t, const struct firn_param *p, char *path, size_t size)
{
    return firn_wrap_path(p, FIRN_TOKENS_PARAM, path, size) ? find(t, path) : NULL;
}

firn_status firn_tokens_init(const struct firn_tokens *t, const struct firn_model *m, const struct firn_param_set *params,
                             float *flat, struct firn_error *err)
{
    char path[600];
    for (size_t i = 0; i < params->count; i++) {
        const struct firn_param *p = &params->list[i];
        const struct firn_token_rows *r = of_param(t, p, path, sizeof path);
        const struct firn_tensor *w;
        if (r == NULL)
            continue;
        const int64_t width = p->shape.dim[1];
        const firn_status status = firn_model_matrix(m, FIRN_STR("%s.weight", path), &w, err);
        if (status)
            return status;
        for (int64_t k = 0; k < r->count; k++)
            firn_tensor_read_f32(w, r->ids[k] * width, width, flat + p->offset + k * width);
    }
    return FIRN_OK;
}

firn_status firn_tokens_check(const struct firn_tokens *t, const struct firn_param_set *params, const char *file,
                              struct firn_error *err)
{
    char path[600];
    for (size_t k = 0; k < t->count; k++) {
        bool is_met = false;
        for (size_t i = 0; i < params->count; i++)
            is_met |= of_param(t, &params->list[i], path, sizeof path) == &t->list[k];
        for (size_t i = 0; i < k; i++) /* a tied layer that has the table's own ids */
            is_met |= is_same(&t->list[i], &t->list[k]);
        for (size_t i = k + 1; i < t->count; i++)
            is_met |= is_same(&t->list[i], &t->list[k]);
        if (!is_met)
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = KEY, .expected = "tables or output layers of the model",
                             .got = t->list[k].module);
    }
    return FIRN_OK;
}

bool firn_tokens_merge(const struct firn_tokens *t, const struct firn_param_set *params, const float *flat,
                       const char *path, const char *part, const struct firn_shape *shape, float *w)
{
    const struct firn_param *p = firn_wrap_find(params, path, FIRN_TOKENS_PARAM);
    char own[600];
    const struct firn_token_rows *r = p != NULL ? of_param(t, p, own, sizeof own) : NULL;
    if (r == NULL || strcmp(part, "weight") != 0 || shape->rank != 2)
        return false;
    const size_t width = (size_t) p->shape.dim[1];
    for (int64_t k = 0; k < r->count && w != NULL; k++)
        memcpy(w + (size_t) r->ids[k] * width, flat + p->offset + (size_t) k * width, sizeof *w * width);
    return true;
}

bool firn_tokens_untie(const struct firn_param_set *params)
{
    static const char *const outputs[] = { ".lm_head", ".predictions.decoder", ".vocab_projector" };
    char path[600];
    for (size_t i = 0; i < params->count; i++)
        for (size_t k = 0; k < sizeof outputs / sizeof outputs[0]; k++)
            if (firn_wrap_path(&params->list[i], FIRN_TOKENS_PARAM, path, sizeof path) &&
                strstr(FIRN_STR(".%s", path), outputs[k]) != NULL)
                return true;
    return false;
}
