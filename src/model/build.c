/* SPDX-License-Identifier: Apache-2.0 */
/* The sites through which blocks reach weights: the scope path is the tensor's name in the file, the module that a
 * method targets, and the place in error messages. */
#include "model/model.h"
#include "tensor/quant.h"

#include <stdio.h>
#include <string.h>

enum { MAX_PATH = 512 };

void firn_push_scope(struct firn_build *b, const char *name)
{
    const size_t used = strlen(b->scope.path);
    assert(b->scope.depth < (int) (sizeof b->scope.ends / sizeof b->scope.ends[0]));
    b->scope.ends[b->scope.depth++] = used;
    snprintf(b->scope.path + used, sizeof b->scope.path - used, "%s%s", used > 0 ? "." : "", name);
    firn_graph_push(b->g, name);
}

void firn_pop_scope(struct firn_build *b)
{
    assert(b->scope.depth > 0);
    b->scope.path[b->scope.ends[--b->scope.depth]] = '\0';
    firn_graph_pop(b->g);
}

void firn_push_layer(struct firn_build *b, const char *name, int64_t layer)
{
    firn_push_scope(b, FIRN_STR("%s.%lld", name, (long long) layer));
    b->layer = layer;
    b->n_layers++;
    b->layer_depth = b->scope.depth;
    firn_graph_begin_layer(b->g);
}

void firn_pop_layer(struct firn_build *b)
{
    firn_graph_end_layer(b->g);
    firn_pop_scope(b);
    b->layer = -1;
}

const struct firn_method *firn_hooks(const struct firn_build *b)
{
    return b->p->is_bare ? NULL : b->adapter->method;
}

int64_t firn_n_text(const struct firn_build *b)
{
    return b->p->packed > 0 ? b->p->packed : b->p->batch * b->p->length;
}

int64_t firn_n_tokens(const struct firn_build *b)
{
    return b->p->packed > 0 ? b->p->packed : b->p->batch * (b->n_virtual + b->p->length);
}

int64_t firn_n_outputs(const struct firn_build *b)
{
    return b->p->task == FIRN_TASK_SEQ2SEQ_LM ? b->p->batch * b->p->target : firn_n_tokens(b);
}

static const char *join(const struct firn_build *b, const char *name, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s", b->scope.path, b->scope.path[0] != '\0' && name[0] != '\0' ? "." : "", name);
    return text;
}

firn_val firn_input(struct firn_build *b, const char *name, struct firn_shape shape)
{
    return firn_graph_leaf(b->g, FIRN_LEAF_INPUT, name, FIRN_I32, shape);
}

/* A view of the flat leaf; made once per graph and name. */
firn_val firn_param_view(struct firn_build *b, const struct firn_param *p)
{
    if (!firn_is_value(b->params)) /* the collecting pass: places are not known yet */
        b->params = firn_graph_leaf(b->g, FIRN_LEAF_PARAM, firn_params_leaf(b->adapter), FIRN_F32,
                                    firn_dims(b->adapter->params.flat > 0 ? b->adapter->params.flat : 1));
    for (uint32_t id = 1; id < firn_graph_n_values(b->g); id++) {
        const struct firn_value *v = firn_graph_value(b->g, (firn_val){ id });
        if (v->node == FIRN_NO_NODE && v->base.id == b->params.id && strcmp(v->name, p->name) == 0)
            return (firn_val){ id };
    }
    const firn_val view = firn_graph_view(b->g, b->params, p->name, p->offset, p->shape);
    if (b->p->has_loss)
        firn_graph_want(b->g, view);
    return view;
}

/* Finds or, while collecting, adds a parameter. A later graph may not ask for new ones: they would have no place. */
static struct firn_param *param(struct firn_build *b, const char *name, const char *base, struct firn_shape shape,
                                enum firn_init init, double scale)
{
    struct firn_param_set *set = &b->adapter->params;
    struct firn_param *p = firn_params_find(set, name);
    if (p == NULL && !set->is_finished)
        p = firn_params_add(set, name, base, shape, init, scale);
    if (p == NULL)
        firn_graph_fail(b->g, "%s: %s", name, set->is_finished ? "was not there when parameters were collected"
                                                               : "out of memory for it");
    else if (!firn_shape_eq(&p->shape, &shape))
        firn_graph_fail(b->g, "%s: expected %s, got %s", name, FIRN_SHAPE_STR(&p->shape), FIRN_SHAPE_STR(&shape));
    return firn_graph_error(b->g) == NULL ? p : NULL;
}

static firn_val trained(struct firn_build *b, const char *name, struct firn_shape shape, enum firn_init init,
                        double scale, bool is_transposed)
{
    struct firn_param *p = param(b, name, NULL, shape, init, scale);
    if (p == NULL)
        return (firn_val){ 0 };
    p->is_transposed = is_transposed;
    return firn_param_view(b, p);
}

firn_val firn_trained(struct firn_build *b, const char *name, struct firn_shape shape, enum firn_init init,
                      double scale)
{
    return trained(b, name, shape, init, scale, false);
}

firn_val firn_trained_transposed(struct firn_build *b, const char *name, struct firn_shape shape,
                                 enum firn_init init, double scale)
{
    return trained(b, name, shape, init, scale, true);
}

/* Heads that base files seldom hold: fresh weights are normal, fresh biases zero. */
bool firn_is_head(const char *path)
{
    static const char *const heads[] = { "classifier", "score", "pre_classifier" };
    const size_t n = strcspn(path, ".");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        if (strlen(heads[i]) == n && strncmp(path, heads[i], n) == 0)
            return true;
    return false;
}

bool firn_is_pooler(const char *path)
{
    return strncmp(path, "pooler.", 7) == 0 || strstr(path, ".pooler.") != NULL;
}

/* What the base's files hold under `path`, where it fits. A head for other labels is made anew. */
static const struct firn_tensor *stored(struct firn_build *b, const char *path, struct firn_shape shape)
{
    const char *file = NULL;
    const struct firn_tensor *t = firn_weights_find(&b->model->weights, b->model->arch->prefix, path, &file);
    if (t == NULL && b->model->weights.is_made && !firn_is_head(path))
        t = firn_weights_make(&b->model->weights, path, shape);
    if (t == NULL)
        return NULL;
    if (!firn_shape_eq(&t->shape, &shape)) {
        if (!firn_is_head(path))
            firn_graph_fail(b->g, "%s: %s: expected %s, got %s", file, path, FIRN_SHAPE_STR(&shape),
                            FIRN_SHAPE_STR(&t->shape));
        return NULL;
    }
    if (t->dtype == FIRN_F32 || t->dtype == FIRN_F16 || t->dtype == FIRN_BF16)
        return t;
    firn_graph_fail(b->g, "%s: %s: expected f32, f16 or bf16, got %s", file, path,
                    t->dtype != FIRN_NONE ? firn_dtype_name(t->dtype) : "another type");
    return NULL;
}

static firn_val frozen(struct firn_build *b, const char *path, struct firn_shape shape)
{
    const struct firn_tensor *t = stored(b, path, shape);
    if (t == NULL) {
        firn_graph_fail(b->g, "%s: %s: expected %s, got no such tensor%s", b->model->directory, path, FIRN_SHAPE_STR(&shape),
                        firn_is_pooler(path) ? "; method: {modules_to_save: [pooler]} trains a new one and saves it" : "");
        return (firn_val){ 0 };
    }
    /* vectors are small and read everywhere: f32; matrices stay as they are stored, if nothing else is asked for */
    const enum firn_dtype matrices = b->model->base_dtype != FIRN_NONE ? b->model->base_dtype : t->dtype;
    return firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, path, shape.rank > 1 ? matrices : FIRN_F32, shape);
}

/* Quantised as [out, in] however files hold it; other modules of the path are as they are stored. */
static firn_val quantised(struct firn_build *b, const char *path, struct firn_shape shape, bool is_conv1d)
{
    const firn_val plain = stored(b, path, shape) != NULL ? (firn_val){ 0 } : frozen(b, path, shape);
    if (firn_graph_error(b->g) != NULL)
        return plain;
    b->counts.quantised += firn_shape_count(&shape);
    return firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, path, b->model->quantised,
                           is_conv1d ? firn_dims(shape.dim[1], shape.dim[0]) : shape);
}

/* Heads, and the pooler that checkpoints without a classifier of their own often lack: transformers makes a new one. */
static bool may_be_new(const char *path)
{
    return firn_is_head(path) || firn_is_pooler(path);
}

/* The tensor s->path "." part, trained or frozen. `from` (NULL: itself) is the path of its first values in the files. */
static firn_val tensor_of(struct firn_build *b, const struct firn_site *s, const char *part, struct firn_shape shape,
                          const char *from)
{
    char path[MAX_PATH], text[MAX_PATH];
    const struct firn_method *method = b->adapter->method;
    const void *settings = b->adapter->settings;
    snprintf(path, sizeof path, "%s%s%s", s->path, s->path[0] != '\0' ? "." : "", part);
    if (from == NULL)
        from = path;
    b->counts.base += firn_shape_count(&shape);
    const bool asks = method != NULL && method->trains != NULL;
    const char *name = asks ? method->trains(settings, s, part, text, sizeof text) : NULL;
    if (name == NULL)
        return s->is_quantised && shape.rank == 2 ? quantised(b, from, shape, s->is_conv1d) : frozen(b, from, shape);
    const bool is_copy = method->copies != NULL && method->copies(settings, s);
    const bool is_in_file = stored(b, from, shape) != NULL;
    if (!is_in_file && !may_be_new(path))
        return frozen(b, from, shape);
    struct firn_param *p = param(b, name, from, shape,
                                 is_in_file ? FIRN_INIT_BASE : shape.rank > 1 ? FIRN_INIT_NORMAL : FIRN_INIT_ZERO,
                                 b->model->config.init_range);
    if (p == NULL)
        return (firn_val){ 0 };
    p->is_head = is_copy;
    if (s->kind == FIRN_SITE_NORM && !b->adapter->params.decays_all)
        p->decays = false;
    if (is_copy)
        b->counts.head_copies += firn_shape_count(&shape);
    return firn_param_view(b, p);
}

/* Notes a module for the error when none matches, and counts those that do. */
static bool is_target(struct firn_build *b, const struct firn_site *s)
{
    struct firn_adapter *a = b->adapter;
    if (firn_hooks(b) == NULL || a->method->targets == NULL)
        return false;
    const bool matches = a->method->targets(a->settings, s);
    if (a->params.is_finished)
        return matches;
    const char *word = strrchr(s->path, '.') != NULL ? strrchr(s->path, '.') + 1 : s->path;
    const size_t n = strlen(word);
    bool is_known = false;
    for (const char *at = a->words.data; at != NULL && !is_known; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
        is_known = strncmp(at, word, n) == 0 && (at[n] == ' ' || at[n] == '\0');
    if (!is_known)
        firn_str_addf(&a->words, "%s%s", a->words.size > 0 ? " " : "", word);
    a->n_matched += matches;
    return matches;
}

firn_val firn_weight_at(struct firn_build *b, const char *path, struct firn_shape shape)
{
    char module[MAX_PATH];
    const char *dot = strrchr(path, '.');
    snprintf(module, sizeof module, "%.*s", dot != NULL ? (int) (dot - path) : 0, path);
    const struct firn_site site = { .kind = FIRN_SITE_OTHER, .path = module, .task = b->p->task };
    return tensor_of(b, &site, dot != NULL ? dot + 1 : path, shape, NULL);
}

firn_val firn_weight(struct firn_build *b, const char *name, struct firn_shape shape)
{
    char path[MAX_PATH];
    return firn_weight_at(b, join(b, name, path, sizeof path), shape);
}

bool firn_arch_is_conv1d(const struct firn_arch *arch, const char *path)
{
    const char *dot = strrchr(path, '.'), *word = dot != NULL ? dot + 1 : path;
    for (const char *const *name = arch->conv1d; name != NULL && *name != NULL; name++)
        if (strcmp(*name, word) == 0)
            return true;
    return false;
}

static void note_first(struct firn_build *b, const struct firn_site *s)
{
    struct firn_adapter *a = b->adapter;
    if (!a->params.is_finished && a->first_linear == NULL && !s->is_output && !firn_is_head(s->path))
        a->first_linear = firn_strdup(s->path);
}

static firn_val linear(struct firn_build *b, struct firn_site *s, firn_val x, bool has_bias, const char *from)
{
    const struct firn_method *method = b->adapter->method;
    note_first(b, s);
    s->is_conv1d = firn_arch_is_conv1d(b->model->arch, s->path);
    s->is_quantised = b->model->quantised != FIRN_NONE && b->layer >= 0 && !s->is_output;
    s->weight = tensor_of(b, s, "weight",
                          s->is_conv1d ? firn_dims(s->n_in, s->n_out) : firn_dims(s->n_out, s->n_in), from);
    s->is_conv1d &= !firn_is_value(s->weight) || !firn_dtype_is_quantised(firn_val_dtype(b->g, s->weight));
    if (has_bias)
        s->bias = tensor_of(b, s, "bias", firn_dims(s->n_out), NULL);
    const bool wrapped = is_target(b, s);
    if (wrapped && method->linear_input != NULL)
        x = method->linear_input(b->adapter->settings, b, s, x);
    const firn_val y = firn_matmul(b->g, x, s->weight, firn_matmul_params(.trans_b = !s->is_conv1d, .bias = s->bias));
    return wrapped && method->linear != NULL ? method->linear(b->adapter->settings, b, s, x, y) : y;
}

firn_val firn_linear(struct firn_build *b, const char *name, firn_val x, int64_t n_in, int64_t n_out, bool has_bias)
{
    char path[MAX_PATH];
    struct firn_site site = { .kind = FIRN_SITE_LINEAR, .path = join(b, name, path, sizeof path), .n_in = n_in,
                              .n_out = n_out, .task = b->p->task };
    firn_graph_push(b->g, name);
    const firn_val y = linear(b, &site, x, has_bias, NULL);
    firn_graph_pop(b->g);
    return y;
}

/* A tied layer reads the table that the embedding reads, as the base has it: a saved copy of either trains apart. */
static firn_val tied_table(struct firn_build *b, const char *tied, struct firn_shape shape)
{
    char module[MAX_PATH];
    snprintf(module, sizeof module, "%.*s", (int) (strrchr(tied, '.') - tied), tied);
    const struct firn_site site = { .kind = FIRN_SITE_EMBEDDING, .path = module, .padding = -1, .task = b->p->task };
    const struct firn_method *method = b->adapter->method;
    if (method != NULL && method->copies != NULL && method->copies(b->adapter->settings, &site))
        return frozen(b, tied, shape);
    return tensor_of(b, &site, "weight", shape, NULL);
}

struct firn_head firn_output_layer(struct firn_build *b, const char *path, const char *tied, firn_val x,
                                   int64_t n_out, const char *bias)
{
    const int64_t n_in = b->model->config.width;
    const struct firn_method *method = b->adapter->method;
    const struct firn_counts before = b->counts;
    struct firn_site site = { .kind = FIRN_SITE_LINEAR, .path = path, .n_in = n_in, .n_out = n_out,
                              .is_output = true, .task = b->p->task };
    b->output = path;
    b->output_tied = tied;
    b->output_bias = bias;
    firn_graph_push(b->g, path);
    const bool is_copy = method != NULL && method->copies != NULL && method->copies(b->adapter->settings, &site);
    site.weight = tied == NULL || is_copy ? tensor_of(b, &site, "weight", firn_dims(n_out, n_in), tied)
                                          : tied_table(b, tied, firn_dims(n_out, n_in));
    if (tied != NULL) /* counted with the embedding */
        b->counts.base = before.base;
    if (bias != NULL)
        site.bias = firn_weight_at(b, bias, firn_dims(n_out));
    struct firn_head head = { .h = x, .w = site.weight, .bias = site.bias };
    if (firn_hooks(b) != NULL && method->logits != NULL)
        head.logits = method->logits(b->adapter->settings, b, &site, tied, x);
    if (is_target(b, &site)) { /* its update needs the logits of all rows at once */
        if (method->linear_input != NULL)
            x = method->linear_input(b->adapter->settings, b, &site, x);
        head.logits = firn_matmul(b->g, x, site.weight, firn_matmul_params(.trans_b = true, .bias = site.bias));
        if (method->linear != NULL)
            head.logits = method->linear(b->adapter->settings, b, &site, x, head.logits);
    }
    firn_graph_pop(b->g);
    return head;
}

/* Rows of a table, or what the method has in their place. */
static firn_val look_up(struct firn_build *b, const struct firn_site *s, firn_val ids)
{
    const struct firn_method *method = firn_hooks(b);
    const firn_val y = method != NULL && method->lookup != NULL ? method->lookup(b->adapter->settings, b, s, ids)
                                                                : (firn_val){ 0 };
    return firn_is_value(y) ? y : firn_embed_padded(b->g, s->weight, ids, s->padding);
}

firn_val firn_embedding(struct firn_build *b, const char *name, int64_t rows, int64_t width, firn_val ids)
{
    return firn_embedding_padded(b, name, rows, width, ids, -1);
}

firn_val firn_embedding_padded(struct firn_build *b, const char *name, int64_t rows, int64_t width, firn_val ids,
                               int64_t padding)
{
    char path[MAX_PATH];
    struct firn_site site = { .kind = FIRN_SITE_EMBEDDING, .path = join(b, name, path, sizeof path), .n_in = rows,
                              .n_out = width, .task = b->p->task };
    const struct firn_method *method = b->adapter->method;
    firn_graph_push(b->g, name);
    site.weight = tensor_of(b, &site, "weight", firn_dims(rows, width), NULL);
    site.padding = padding;
    firn_val y = look_up(b, &site, ids);
    if (is_target(b, &site) && method->embed != NULL)
        y = method->embed(b->adapter->settings, b, &site, ids, y);
    firn_graph_pop(b->g);
    return y;
}

firn_val firn_table_at(struct firn_build *b, const char *path, int64_t rows, int64_t width)
{
    const struct firn_site site = { .kind = FIRN_SITE_EMBEDDING, .path = path, .padding = -1, .n_in = rows, .n_out = width,
                                    .task = b->p->task };
    const struct firn_method *method = b->adapter->method;
    if (is_target(b, &site) || (method != NULL && method->copies != NULL && method->copies(b->adapter->settings, &site)))
        firn_graph_fail(b->g, "%s: is shared by several modules, which %s cannot wrap or copy as one", path, method->name);
    return tensor_of(b, &site, "weight", firn_dims(rows, width), NULL);
}

firn_val firn_lookup(struct firn_build *b, const char *name, firn_val table, firn_val ids)
{
    char path[MAX_PATH];
    const struct firn_shape shape = firn_val_shape(b->g, table);
    const struct firn_method *method = b->adapter->method;
    const char *at = b->model->arch->table;
    char owner[MAX_PATH];
    snprintf(owner, sizeof owner, "%.*s", (int) (strrchr(at, '.') - at), at);
    struct firn_site site = { .kind = FIRN_SITE_EMBEDDING, .path = join(b, name, path, sizeof path), .padding = -1, .table = owner,
                              .n_in = shape.dim[0], .n_out = shape.dim[1], .weight = table, .task = b->p->task };
    if (method != NULL && method->copies != NULL && method->copies(b->adapter->settings, &site))
        firn_graph_fail(b->g, "%s: reads a shared table, which %s cannot copy", path, method->name);
    firn_graph_push(b->g, name);
    firn_val y = look_up(b, &site, ids);
    if (is_target(b, &site) && method->embed != NULL)
        y = method->embed(b->adapter->settings, b, &site, ids, y);
    firn_graph_pop(b->g);
    return y;
}

/* Norms are sites too: a method that wraps them by mistake must hear of it. */
static struct firn_site norm_site(struct firn_build *b, const char *name, firn_val x, char *path, size_t size)
{
    const struct firn_shape shape = firn_val_shape(b->g, x);
    const int64_t width = shape.rank > 0 ? shape.dim[shape.rank - 1] : 0;
    const struct firn_site site = { .kind = FIRN_SITE_NORM, .path = join(b, name, path, size),
                                    .n_in = width, .n_out = width, .task = b->p->task };
    if (is_target(b, &site))
        firn_graph_fail(b->g, "%s: is a norm, which %s cannot wrap; leave it out of target_modules", path,
                        b->adapter->method->name);
    return site;
}

firn_val firn_layer_norm_at(struct firn_build *b, const char *name, firn_val x)
{
    char path[MAX_PATH];
    const struct firn_site site = norm_site(b, name, x, path, sizeof path);
    const firn_val w = tensor_of(b, &site, "weight", firn_dims(site.n_in), NULL);
    const firn_val bias = tensor_of(b, &site, "bias", firn_dims(site.n_in), NULL);
    return firn_layer_norm(b->g, x, w, bias, (float) b->model->config.norm_eps);
}

firn_val firn_rms_norm_at(struct firn_build *b, const char *name, firn_val x)
{
    char path[MAX_PATH];
    const struct firn_site site = norm_site(b, name, x, path, sizeof path);
    const firn_val w = tensor_of(b, &site, "weight", firn_dims(site.n_in), NULL);
    return firn_rms_norm(b->g, x, w, (float) b->model->config.norm_eps, b->model->config.norm_offset);
}
