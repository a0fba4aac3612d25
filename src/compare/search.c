/* SPDX-License-Identifier: Apache-2.0 */
/* Settings with several values: which there are, what was tried, and which did best on validation data. The seeds of the
 * search are none of those that count: what was chosen for its luck with one seed must not be reported with that seed. */
#include "compare/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHOICES = 1000 };

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the settings of a comparison");
}

static void value_text(const json_t *v, struct firn_str *text)
{
    char number[FIRN_REAL_TEXT];
    char *other = NULL;
    if (json_is_real(v))
        firn_str_add(text, firn_real_text(number, json_real_value(v)));
    else if (json_is_string(v))
        firn_str_add(text, json_string_value(v));
    else if ((other = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY)) != NULL)
        firn_str_add(text, other);
    else
        text->failed = true;
    free(other);
}

static firn_status add_axis(const struct firn_compare *c, int method, const char *key, json_t *values, bool is_train,
                            struct firn_error *err)
{
    struct firn_compare_method *m = &c->methods[method];
    const char *where = FIRN_STR("method[%d].%s.%s", method, is_train ? "train" : "search", key);
    const size_t n = json_array_size(values);
    if (n == 0 || n > MAX_CHOICES || m->n_choices * (int) n > MAX_CHOICES)
        return firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = where,
                         .expected = FIRN_STR("a list of values, up to %d combinations in all", MAX_CHOICES),
                         .got = n == 0 ? json_is_array(values) ? "an empty list" : "no list" : "more");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(values, i), json_array_get(values, k)))
                return firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = where, .expected = "each value once",
                                 .got = FIRN_STR("value %zu again as value %zu", k + 1, i + 1));
    struct firn_axis *axes = realloc(m->axes, sizeof *axes * (size_t) (m->n_axes + 1));
    if (axes == NULL)
        return no_memory(err);
    m->axes = axes;
    axes[m->n_axes] = (struct firn_axis){ .key = firn_strdup(key), .values = json_incref(values), .is_train = is_train };
    m->n_choices *= (int) n;
    return axes[m->n_axes++].key != NULL ? FIRN_OK : no_memory(err);
}

/* A method's own `train` takes the place of the recipe's, key by key. */
static firn_status read_axes(struct firn_compare *c, int method, struct firn_error *err)
{
    struct firn_compare_method *m = &c->methods[method];
    json_t *common = json_object_get(c->tree, "train"), *search = json_object_get(m->settings, "search"), *v;
    const char *key;
    firn_status status = FIRN_OK;
    m->n_choices = 1;
    json_object_foreach (common, key, v)
        if (status == FIRN_OK && json_is_array(v) && json_object_get(m->train, key) == NULL)
            status = add_axis(c, method, key, v, true, err);
    json_object_foreach ((json_t *) m->train, key, v)
        if (status == FIRN_OK && json_is_array(v))
            status = add_axis(c, method, key, v, true, err);
    if (status == FIRN_OK && search != NULL && !json_is_object(search))
        status = firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = FIRN_STR("method[%d].search", method),
                           .expected = "a mapping of the method's keys to lists of values", .got = "something else");
    json_object_foreach (search, key, v)
        if (status == FIRN_OK)
            status = add_axis(c, method, key, v, false, err);
    if (status == FIRN_OK && m->n_choices > 1 && c->validation == NULL)
        status = firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = "data.validation",
                           .what = FIRN_STR("is required to choose between the values of method[%d] (%s)", method, m->axes[0].key));
    return status;
}

/* The smallest number that no seed has. */
static firn_status fallback_seed(struct firn_compare *c, struct firn_error *err)
{
    int64_t seed = 0;
    c->search_seeds = calloc(1, sizeof *c->search_seeds);
    if (c->search_seeds == NULL)
        return no_memory(err);
    for (int k = 0; k < c->n_seeds; k++)
        if (c->seeds[k] == seed) {
            seed++;
            k = -1;
        }
    c->search_seeds[0] = seed;
    c->n_search_seeds = 1;
    return FIRN_OK;
}

static firn_status check_seeds(const struct firn_compare *c, struct firn_error *err)
{
    for (int k = 0; k < c->n_search_seeds; k++)
        for (int i = 0; i < c->n_seeds; i++)
            if (c->search_seeds[k] == c->seeds[i])
                return firn_fail(err, FIRN_ERR_USAGE, .file = c->path, .key = "compare.search_seeds",
                                 .expected = "seeds that compare.seeds does not have",
                                 .got = FIRN_STR("%" PRId64, c->seeds[i]));
    return FIRN_OK;
}

static firn_status lay_out(struct firn_compare *c, struct firn_error *err)
{
    for (int m = 0; m < c->n_methods; m++) {
        c->methods[m].first_try = c->tries_per_size;
        c->tries_per_size += c->methods[m].n_choices > 1 ? c->methods[m].n_choices * c->n_search_seeds : 0;
    }
    c->n_searches = c->search_size > 0 ? 1 : c->n_sizes;
    const int64_t n = (int64_t) c->tries_per_size * c->n_searches;
    c->tries = n <= 1000000 ? calloc((size_t) n + 1, sizeof *c->tries) : NULL;
    if (c->tries == NULL)
        return no_memory(err);
    c->n_tries = (int) n;
    for (int s = 0; s < c->n_searches; s++)
        for (int m = 0; m < c->n_methods; m++)
            for (int choice = 0; choice < c->methods[m].n_choices && c->methods[m].n_choices > 1; choice++)
                for (int k = 0; k < c->n_search_seeds; k++)
                    *firn_compare_try(c, s, m, choice, k) = (struct firn_cell){
                        .method = m, .choice = choice, .seed = c->search_seeds[k], .is_try = true,
                        .size = c->search_size > 0 ? c->search_size : c->sizes[s] };
    return FIRN_OK;
}

firn_status firn_search_open(struct firn_compare *c, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    for (int m = 0; m < c->n_methods && status == FIRN_OK; m++)
        status = read_axes(c, m, err);
    if (status == FIRN_OK && c->search_seeds == NULL)
        status = fallback_seed(c, err);
    if (status == FIRN_OK)
        status = check_seeds(c, err);
    return status ? status : lay_out(c, err);
}

void firn_search_close(struct firn_compare *c)
{
    for (int m = 0; m < c->n_methods; m++) {
        for (int a = 0; a < c->methods[m].n_axes; a++) {
            free(c->methods[m].axes[a].key);
            json_decref(c->methods[m].axes[a].values);
        }
        free(c->methods[m].axes);
    }
    for (int i = 0; i < c->n_tries; i++)
        free(c->tries[i].failure);
    free(c->tries);
    free(c->search_seeds);
}

struct firn_cell *firn_compare_try(const struct firn_compare *c, int search, int method, int choice, int seed)
{
    return &c->tries[search * c->tries_per_size + c->methods[method].first_try + choice * c->n_search_seeds + seed];
}

int firn_search_of(const struct firn_compare *c, int size)
{
    return c->search_size > 0 ? 0 : size;
}

/* The choice as digits, one an axis; the last axis turns fastest. */
static json_t *axis_value(const struct firn_compare_method *m, int choice, int axis)
{
    for (int a = m->n_axes - 1; a > axis; a--)
        choice /= (int) json_array_size(m->axes[a].values);
    return json_array_get(m->axes[axis].values, (size_t) choice % json_array_size(m->axes[axis].values));
}

void firn_choice_apply(const struct firn_compare_method *m, int choice, json_t *train, json_t *method)
{
    for (int a = 0; a < m->n_axes; a++)
        json_object_set_new(m->axes[a].is_train ? train : method, m->axes[a].key, json_deep_copy(axis_value(m, choice, a)));
}

json_t *firn_choice_json(const struct firn_compare_method *m, int choice)
{
    json_t *o = json_object();
    firn_choice_apply(m, choice, o, o);
    return o;
}

void firn_choice_text(const struct firn_compare_method *m, int choice, const char *assign, const char *separator,
                      struct firn_str *text)
{
    for (int a = 0; a < m->n_axes; a++) {
        firn_str_addf(text, "%s%s%s", a > 0 ? separator : "", m->axes[a].key, assign);
        value_text(axis_value(m, choice, a), text);
    }
}

/* ---- how the tries did ---- */

struct outcome {
    double quality, loss; /* means on validation data; NAN: none of its seeds could be trained */
};

static struct outcome outcome_of(const struct firn_compare *c, int search, int method, int choice)
{
    struct outcome o = { 0 };
    for (int k = 0; k < c->n_search_seeds; k++) {
        const struct firn_cell *t = firn_compare_try(c, search, method, choice, k);
        const double quality = t->is_done ? t->quality[FIRN_PART_VALIDATION] : NAN;
        o.quality += quality / c->n_search_seeds; /* with one seed lost to divergence, the choice is */
        o.loss += t->loss[FIRN_PART_VALIDATION] / c->n_search_seeds;
    }
    return o;
}

int firn_search_best(const struct firn_compare *c, int search, int method)
{
    const int n = c->methods[method].n_choices;
    int best = -1;
    struct outcome top = { 0 };
    for (int choice = 0; choice < n && n > 1; choice++) {
        const struct outcome o = outcome_of(c, search, method, choice);
        const double gain = (o.quality - top.quality) * (c->is_share ? 1 : -1);
        if (!isfinite(o.quality) || (best >= 0 && !(gain > 0 || (gain == 0 && o.loss < top.loss))))
            continue;
        best = choice;
        top = o;
    }
    return n > 1 ? best : 0;
}

static bool varies(const struct firn_axis *a)
{
    return json_array_size(a->values) > 1;
}

/* The values of those axes that have several; the key too, unless it is the only one and stands in front. */
static void add_varying(const struct firn_compare_method *m, int choice, bool has_one, struct firn_str *text)
{
    bool is_first = true;
    for (int a = 0; a < m->n_axes; a++) {
        if (!varies(&m->axes[a]))
            continue;
        firn_str_addf(text, "%s%s%s", is_first ? "" : " ", has_one ? "" : m->axes[a].key, has_one ? "" : " ");
        value_text(axis_value(m, choice, a), text);
        is_first = false;
    }
}

/* A best value at an end of its list says that a better one may lie beyond. */
static void add_end(const struct firn_compare_method *m, int choice, struct firn_str *text)
{
    for (int a = 0; a < m->n_axes; a++) {
        const double x = json_number_value(axis_value(m, choice, a));
        bool is_least = true, is_most = true, is_number = true;
        size_t i;
        json_t *v;
        json_array_foreach (m->axes[a].values, i, v) {
            is_number = is_number && json_is_number(v);
            is_least = is_least && x <= json_number_value(v);
            is_most = is_most && x >= json_number_value(v);
        }
        if (is_number && is_least != is_most)
            firn_str_addf(text, "; the %s %s tried", is_least ? "smallest" : "largest", m->axes[a].key);
    }
}

static void add_outcomes(const struct firn_compare *c, int search, int method, struct firn_str *text)
{
    const struct firn_compare_method *m = &c->methods[method];
    const int best = firn_search_best(c, search, method);
    const char *key = NULL;
    int n_varying = 0;
    for (int a = 0; a < m->n_axes; a++)
        if (varies(&m->axes[a])) {
            key = m->axes[a].key;
            n_varying++;
        }
    firn_str_addf(text, "  %s%s%s: ", m->name, n_varying == 1 ? ", " : "", n_varying == 1 ? key : "");
    for (int choice = 0; choice < m->n_choices; choice++) {
        const struct outcome o = outcome_of(c, search, method, choice);
        const struct firn_cell *first = firn_compare_try(c, search, method, choice, 0);
        firn_str_add(text, choice > 0 ? ", " : "");
        add_varying(m, choice, n_varying == 1, text);
        if (isfinite(o.quality))
            firn_str_addf(text, " %s%.*f%s", choice == best ? "[" : "", c->is_share ? 1 : 3, (c->is_share ? 100 : 1) * o.quality,
                          choice == best ? "]" : "");
        else
            firn_str_add(text, first->failure != NULL ? " failed" : " -");
    }
    if (best >= 0)
        add_end(m, best, text);
    firn_str_add(text, "\n");
}

void firn_search_table(const struct firn_compare *c, struct firn_str *text)
{
    for (int s = 0; s < c->n_searches && c->tries_per_size > 0; s++) {
        const int64_t size = c->search_size > 0 ? c->search_size : c->sizes[s];
        firn_str_addf(text, "Settings tried, %s on validation data%s; [chosen]", c->metric, c->is_share ? ", %" : "");
        if (size > 0)
            firn_str_addf(text, "; %" PRId64 " training examples%s, seed", size, c->search_size > 0 ? " for all sizes" : "");
        else
            firn_str_add(text, "; all training examples, seed");
        for (int k = 0; k < c->n_search_seeds; k++)
            firn_str_addf(text, "%s %" PRId64, k > 0 ? "," : "", c->search_seeds[k]);
        firn_str_add(text, ":\n");
        for (int m = 0; m < c->n_methods; m++)
            if (c->methods[m].n_choices > 1)
                add_outcomes(c, s, m, text);
    }
}

json_t *firn_search_json(const struct firn_compare *c)
{
    json_t *list = json_array();
    for (int i = 0; i < c->n_tries; i++) {
        const struct firn_cell *t = &c->tries[i];
        json_t *o = json_pack("{s:s, s:I, s:I, s:o}", "method", c->methods[t->method].name, "size", (json_int_t) t->size, "seed",
                              (json_int_t) t->seed, "settings", firn_choice_json(&c->methods[t->method], t->choice));
        if (t->failure != NULL)
            json_object_set_new(o, "failure", json_string(t->failure));
        if (t->is_done) {
            json_object_set_new(o, "validation", json_real(t->quality[FIRN_PART_VALIDATION]));
            json_object_set_new(o, "validation_loss", json_real(t->loss[FIRN_PART_VALIDATION]));
            json_object_set_new(o, "is_chosen",
                                json_boolean(firn_search_best(c, i / c->tries_per_size, t->method) == t->choice));
        }
        json_array_append_new(list, o);
    }
    return list;
}
