/* SPDX-License-Identifier: Apache-2.0 */
/* The post-processors of tokenizer.json. Each turns a list of parts (the texts, then also special
 * tokens) into another; the last list is written out. */
#include "text/postprocess.h"

#include <stdlib.h>
#include <string.h>

#define PIECES_MAX 256 /* of a template, and ids of a special token in it */

enum kind { BERT, ROBERTA, TRIM, TEMPLATE };

struct piece {
    int text; /* 0 or 1, or -1: special tokens */
    int32_t type;
    size_t first, n; /* special: which of `ids` */
};

struct template
{
    struct piece *pieces;
    size_t n, n_added;
};

struct firn_post_stage {
    enum kind kind;
    int32_t cls, sep;
    bool trims, adds_space;
    struct template single, pair;
    int32_t *ids; /* of the special tokens in the templates */
    size_t n_ids;
};

/* ---- reading ---- */

static firn_status wrong(const struct firn_place *at, const char *key, const char *expected,
                         const json_t *got)
{
    return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                     .key = FIRN_STR("%s.%s", at->path, key), .expected = expected,
                     .got = firn_json_kind(got));
}

/* ["[SEP]", 102] */
static firn_status read_pair(const struct firn_place *at, const json_t *object, const char *key,
                             int32_t *id)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_array(value) || json_array_size(value) != 2)
        return wrong(at, key, "[token, id]", value);
    return firn_id_value(at, json_array_get(value, 1), key, id);
}

static firn_status add_special(struct firn_post_stage *stage, struct piece *piece,
                               const struct firn_place *at, const json_t *specials,
                               const char *name)
{
    const json_t *ids = json_object_get(json_object_get(specials, name), "ids");
    if (!json_is_array(ids))
        return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                         .key = FIRN_STR("%s.special_tokens", at->path),
                         .expected = FIRN_STR("the ids of '%.60s'", name),
                         .got = firn_json_kind(ids));
    piece->text = -1;
    piece->first = stage->n_ids;
    piece->n = json_array_size(ids);
    if (piece->n > PIECES_MAX)
        return firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file, .key = at->path,
                         .expected = FIRN_STR("at most %d ids of a special token", PIECES_MAX));
    int32_t *grown = realloc(stage->ids, (stage->n_ids + piece->n + 1) * sizeof *grown);
    if (grown == NULL)
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    stage->ids = grown;
    firn_status s = FIRN_OK;
    for (size_t i = 0; i < piece->n && s == FIRN_OK; i++)
        s = firn_id_value(at, json_array_get(ids, i), "special_tokens",
                          &stage->ids[stage->n_ids++]);
    return s;
}

static firn_status read_template(struct firn_post_stage *stage, struct template *out,
                                 const struct firn_place *at, const json_t *object, const char *key)
{
    json_t *list;
    firn_status s = firn_need_array(at, object, key, &list);
    if (s != FIRN_OK)
        return s;
    const bool is_pair = out == &stage->pair;
    const size_t n = json_array_size(list);
    if (n > PIECES_MAX)
        return firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file, .key = at->path,
                         .expected = FIRN_STR("at most %d pieces in a template", PIECES_MAX));
    out->pieces = calloc(n + 1, sizeof *out->pieces);
    if (out->pieces == NULL)
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    for (size_t i = 0; i < n && s == FIRN_OK; i++) {
        struct piece *piece = &out->pieces[out->n++];
        const json_t *entry = json_array_get(list, i);
        const json_t *text = json_object_get(entry, "Sequence");
        const json_t *special = json_object_get(entry, "SpecialToken");
        const json_t *value = text != NULL ? text : special;
        const char *id;
        if (!json_is_object(value))
            return wrong(at, key, "pieces with a Sequence or a SpecialToken", entry);
        s = firn_id_value(at, json_object_get(value, "type_id"), "type_id", &piece->type);
        if (s == FIRN_OK)
            s = firn_need_text(at, value, "id", &id, NULL);
        if (s != FIRN_OK)
            return s;
        if (special == value) {
            s = add_special(stage, piece, at, json_object_get(object, "special_tokens"), id);
            out->n_added += piece->n;
        } else if (strcmp(id, "A") == 0 || (is_pair && strcmp(id, "B") == 0)) {
            piece->text = id[0] - 'A';
        } else {
            s = firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                          .key = FIRN_STR("%s.%s", at->path, key),
                          .expected = is_pair ? "sequences A and B" : "sequence A",
                          .got = FIRN_STR("'%.60s'", id));
        }
    }
    return s;
}

static firn_status read_stage(struct firn_post_stage *stage, const char *type,
                              const struct firn_place *at, const json_t *object)
{
    firn_status s = FIRN_OK;
    if (strcmp(type, "TemplateProcessing") == 0) {
        stage->kind = TEMPLATE;
        s = read_template(stage, &stage->single, at, object, "single");
        return s == FIRN_OK ? read_template(stage, &stage->pair, at, object, "pair") : s;
    }
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        stage->kind = type[0] == 'B' ? BERT : ROBERTA;
        s = read_pair(at, object, "sep", &stage->sep);
        if (s == FIRN_OK)
            s = read_pair(at, object, "cls", &stage->cls);
        if (s != FIRN_OK || stage->kind == BERT)
            return s;
    } else if (strcmp(type, "ByteLevel") == 0) {
        stage->kind = TRIM;
    } else {
        return firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file,
                         .key = FIRN_STR("%s.type", at->path), .expected = "a known post-processor",
                         .got = FIRN_STR("'%.60s'", type));
    }
    s = firn_field_bool(at, object, "trim_offsets", true, &stage->trims);
    return s == FIRN_OK ? firn_field_bool(at, object, "add_prefix_space", true, &stage->adds_space)
                        : s;
}

static firn_status read_next(void *user, const char *type, const struct firn_place *at, const json_t *object)
{
    struct firn_post_processor *p = user;
    if (p->stages == NULL)
        p->stages = calloc(FIRN_STAGES_MAX, sizeof *p->stages);
    if (p->stages == NULL) {
        p->n = 0;
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    }
    struct firn_post_stage *stage = &p->stages[p->n - 1];
    firn_status s = read_stage(stage, type, at, object);
    p->needs_margins = p->needs_margins || stage->trims;
    if (s == FIRN_OK && p->n > 1 && stage->kind != TRIM)
        for (size_t i = 0; i + 1 < p->n; i++)
            if (p->stages[i].kind != TRIM)
                s = firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file, .key = at->path,
                              .what = "more than one post-processor that adds special tokens");
    return s;
}

firn_status firn_post_read(struct firn_post_processor *p, const char *file, const json_t *object,
                           struct firn_error *err)
{
    const struct firn_place at = { file, "post_processor", err };
    return object == NULL || json_is_null(object) ? FIRN_OK : firn_each_stage(&at, object, "processors", &p->n, read_next, p);
}

void firn_post_free(struct firn_post_processor *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->stages[i].single.pieces);
        free(p->stages[i].pair.pieces);
        free(p->stages[i].ids);
    }
    free(p->stages);
    memset(p, 0, sizeof *p);
}

size_t firn_post_n_added(const struct firn_post_processor *p, bool is_pair)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct firn_post_stage *stage = &p->stages[i];
        if (stage->kind == TEMPLATE)
            n += is_pair ? stage->pair.n_added : stage->single.n_added;
        else if (stage->kind != TRIM)
            n += !is_pair ? 2 : stage->kind == BERT ? 3 : 4;
    }
    return n;
}

/* ---- running ---- */

/* White space that a token begins or ends with is no part of what it stands for; but one space that
 * was put in front of a text stands for nothing, so the first token keeps its begin. */
static void trim(struct firn_sequence *text, bool adds_space, bool is_wrapped)
{
    for (size_t i = text->begin; i < text->begin + text->n; i++) {
        struct firn_offset *o = &text->offsets[i];
        struct firn_margins m = text->margins[i];
        const bool is_first = (i == text->begin && !is_wrapped) || o->begin == 0;
        if (m.left == 1 && is_first && adds_space)
            m.left = 0;
        if (m.left > 0)
            o->begin = o->end < o->begin || m.left > o->end - o->begin ? o->end : o->begin + m.left;
        if (m.right > 0 && o->end >= m.right)
            o->end = o->end - m.right > o->begin ? o->end - m.right : o->begin;
    }
}

bool firn_encoding_reserve(struct firn_encoding *e, size_t n)
{
    if (n <= e->capacity)
        return true;
    const size_t capacity = n + n / 2 + 64;
    int32_t *ids = realloc(e->ids, capacity * sizeof *ids);
    if (ids != NULL)
        e->ids = ids;
    int32_t *types = realloc(e->type_ids, capacity * sizeof *types);
    if (types != NULL)
        e->type_ids = types;
    struct firn_offset *offsets = realloc(e->offsets, capacity * sizeof *offsets);
    if (offsets != NULL)
        e->offsets = offsets;
    uint8_t *special = realloc(e->special, capacity);
    if (special != NULL)
        e->special = special;
    if (ids == NULL || types == NULL || offsets == NULL || special == NULL)
        return false;
    e->capacity = capacity;
    return true;
}

static bool add_ids(struct firn_encoding *out, const int32_t *ids, size_t n, int32_t type)
{
    if (!firn_encoding_reserve(out, out->n + n))
        return false;
    for (size_t i = 0; i < n; i++, out->n++) {
        out->ids[out->n] = ids[i];
        out->type_ids[out->n] = type;
        out->offsets[out->n] = (struct firn_offset){ 0, 0 };
        out->special[out->n] = 1;
    }
    return true;
}

static bool add_text(struct firn_encoding *out, const struct firn_sequence *text, int32_t type)
{
    if (!firn_encoding_reserve(out, out->n + text->n))
        return false;
    if (text->n == 0)
        return true;
    memcpy(out->ids + out->n, text->ids + text->begin, text->n * sizeof *out->ids);
    memcpy(out->offsets + out->n, text->offsets + text->begin, text->n * sizeof *out->offsets);
    memset(out->special + out->n, 0, text->n);
    for (size_t i = 0; i < text->n; i++)
        out->type_ids[out->n++] = type;
    return true;
}

static bool run_template(const struct firn_post_stage *stage, const struct firn_sequence *texts,
                         size_t n_texts, bool adds, struct firn_encoding *out)
{
    const struct template *template = n_texts == 2 ? &stage->pair : &stage->single;
    bool ok = true;
    for (size_t i = 0; i < template->n && ok; i++) {
        const struct piece *piece = &template->pieces[i];
        if (piece->text >= 0)
            ok = add_text(out, &texts[piece->text], piece->type);
        else if (adds)
            ok = add_ids(out, stage->ids + piece->first, piece->n, piece->type);
    }
    return ok;
}

/* [CLS] A [SEP] B [SEP], or <s> A </s> </s> B </s>. */
static bool run_fixed(const struct firn_post_stage *stage, const struct firn_sequence *texts,
                      size_t n_texts, bool adds, struct firn_encoding *out)
{
    bool ok = true;
    for (size_t i = 0; i < n_texts && ok; i++) {
        const int32_t type = stage->kind == BERT ? (int32_t) i : 0;
        if (adds && (i == 0 || stage->kind == ROBERTA))
            ok = add_ids(out, i == 0 ? &stage->cls : &stage->sep, 1, type);
        ok = ok && add_text(out, &texts[i], type);
        if (adds && ok)
            ok = add_ids(out, &stage->sep, 1, type);
    }
    return ok;
}

firn_status firn_post_run(const struct firn_post_processor *p, struct firn_sequence *texts,
                          size_t n_texts, bool adds, struct firn_encoding *out,
                          struct firn_error *err)
{
    const struct firn_post_stage *adder = NULL;
    for (size_t i = 0; i < p->n; i++) {
        const struct firn_post_stage *stage = &p->stages[i];
        const bool is_wrapped =
            adder != NULL && adds && (adder->kind == BERT || adder->kind == ROBERTA);
        for (size_t k = 0; k < n_texts && stage->trims; k++)
            trim(&texts[k], stage->adds_space, is_wrapped);
        if (stage->kind != TRIM)
            adder = stage;
    }
    out->n = 0;
    bool ok = true;
    if (adder == NULL)
        for (size_t i = 0; i < n_texts && ok; i++)
            ok = add_text(out, &texts[i], (int32_t) i);
    else if (adder->kind == TEMPLATE)
        ok = run_template(adder, texts, n_texts, adds, out);
    else
        ok = run_fixed(adder, texts, n_texts, adds, out);
    return ok ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .key = "text");
}
