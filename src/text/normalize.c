/* SPDX-License-Identifier: Apache-2.0 */
/* The normalizers of tokenizer.json: reading their settings, and all of them that need no more than
 * a look at one code point. Normal forms and precompiled maps have files of their own. */
#include "text/normalize.h"

#include "text/bytelevel.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum kind { BERT, FORM, LOWERCASE, STRIP_ACCENTS, STRIP, REPLACE, PREPEND, CHARSMAP, NMT, BYTES };

struct firn_normal_stage {
    enum kind kind;
    enum firn_normal_form form;
    bool clean, chinese, accents, lowercase; /* BERT */
    bool left, right;                        /* STRIP */
    struct firn_pattern pattern;             /* REPLACE */
    char *text;                              /* REPLACE, PREPEND */
    size_t size;
    struct firn_charsmap map;
};

void firn_normalize_scratch_free(struct firn_normalize_scratch *scratch)
{
    firn_matcher_free(&scratch->matcher);
    free(scratch->work.items);
    memset(scratch, 0, sizeof *scratch);
}

/* ---- reading ---- */

static firn_status read_text(struct firn_normal_stage *stage, const struct firn_place *at,
                             const json_t *object, const char *key)
{
    const char *text;
    const firn_status s = firn_need_text(at, object, key, &text, &stage->size);
    if (s != FIRN_OK)
        return s;
    stage->text = malloc(stage->size + 1);
    if (stage->text == NULL)
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    memcpy(stage->text, text, stage->size);
    return FIRN_OK;
}

static firn_status read_bert(struct firn_normal_stage *stage, const struct firn_place *at,
                             const json_t *object)
{
    firn_status s = firn_field_bool(at, object, "clean_text", true, &stage->clean);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "handle_chinese_chars", true, &stage->chinese);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "lowercase", true, &stage->lowercase);
    if (s == FIRN_OK) // null: as lowercase
        s = firn_field_bool(at, object, "strip_accents", stage->lowercase, &stage->accents);
    return s;
}

static firn_status read_stage(struct firn_normal_stage *stage, const char *type,
                              const struct firn_place *at, const json_t *object)
{
    static const struct {
        const char *type;
        enum kind kind;
        enum firn_normal_form form;
    } kinds[] = {
        { "BertNormalizer", BERT, 0 },  { "Bert", BERT, 0 },
        { "NFC", FORM, FIRN_NFC },      { "NFD", FORM, FIRN_NFD },
        { "NFKC", FORM, FIRN_NFKC },    { "NFKD", FORM, FIRN_NFKD },
        { "Lowercase", LOWERCASE, 0 },  { "StripAccents", STRIP_ACCENTS, 0 },
        { "Strip", STRIP, 0 },          { "StripNormalizer", STRIP, 0 },
        { "Replace", REPLACE, 0 },      { "Prepend", PREPEND, 0 },
        { "Precompiled", CHARSMAP, 0 }, { "Nmt", NMT, 0 },
        { "ByteLevel", BYTES, 0 },
    };
    size_t i = 0;
    while (i < sizeof kinds / sizeof kinds[0] && strcmp(kinds[i].type, type) != 0)
        i++;
    if (i == sizeof kinds / sizeof kinds[0])
        return firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file,
                         .key = FIRN_STR("%s.type", at->path), .expected = "a known normalizer",
                         .got = FIRN_STR("'%.60s'", type));
    stage->kind = kinds[i].kind;
    stage->form = kinds[i].form;
    firn_status s = FIRN_OK;
    switch (stage->kind) {
    case BERT:
        return read_bert(stage, at, object);
    case STRIP:
        s = firn_field_bool(at, object, "strip_left", true, &stage->left);
        return s == FIRN_OK ? firn_field_bool(at, object, "strip_right", true, &stage->right) : s;
    case REPLACE:
        s = firn_pattern_read(&stage->pattern, at, object, "pattern");
        return s == FIRN_OK ? read_text(stage, at, object, "content") : s;
    case PREPEND:
        return read_text(stage, at, object, "prepend");
    case CHARSMAP: {
        const char *text;
        size_t size;
        s = firn_need_text(at, object, "precompiled_charsmap", &text, &size);
        return s == FIRN_OK ? firn_charsmap_read(&stage->map, at, text, size) : s;
    }
    default:
        return FIRN_OK;
    }
}

static firn_status read_next(void *user, const char *type, const struct firn_place *at, const json_t *object)
{
    struct firn_normalizer *n = user;
    if (n->stages == NULL)
        n->stages = calloc(FIRN_STAGES_MAX, sizeof *n->stages);
    if (n->stages == NULL) {
        n->n = 0;
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    }
    return read_stage(&n->stages[n->n - 1], type, at, object);
}

firn_status firn_normalizer_read(struct firn_normalizer *n, const char *file, const json_t *object,
                                 struct firn_error *err)
{
    const struct firn_place at = { file, "normalizer", err };
    return object == NULL || json_is_null(object) ? FIRN_OK : firn_each_stage(&at, object, "normalizers", &n->n, read_next, n);
}

void firn_normalizer_free(struct firn_normalizer *n)
{
    for (size_t i = 0; i < n->n; i++) {
        firn_pattern_free(&n->stages[i].pattern);
        firn_charsmap_free(&n->stages[i].map);
        free(n->stages[i].text);
    }
    free(n->stages);
    memset(n, 0, sizeof *n);
}

/* ---- running ---- */

/* Leaves out what `keep` refuses and maps the rest. */
static void filter(struct firn_text *t, const struct firn_piece *piece, bool (*keep)(uint32_t c),
                   uint32_t (*map)(uint32_t c))
{
    uint32_t i = piece->begin;
    size_t n_removed = 0;
    for (; i < piece->end && !keep(firn_utf8_get(t->bytes + i)); n_removed++)
        i += firn_utf8_size(t->bytes[i]);
    firn_rewrite_open(t, piece, i < piece->end ? n_removed : 0);
    uint32_t run = i; // of code points that stay as they are
    while (i < piece->end) {
        const uint32_t at = i, c = firn_utf8_get(t->bytes + i), mapped = map == NULL ? c : map(c);
        i += firn_utf8_size(t->bytes[i]);
        int n = 0;
        for (; i < piece->end && !keep(firn_utf8_get(t->bytes + i)); n++)
            i += firn_utf8_size(t->bytes[i]);
        if (n == 0 && mapped == c)
            continue;
        firn_rewrite_put_run(t, run, at);
        firn_rewrite_put(t, mapped, -n);
        run = i;
    }
    firn_rewrite_put_run(t, run, i);
    firn_rewrite_close(t);
}

static bool bert_keeps(uint32_t c)
{
    return c != 0xFFFD && !firn_is_control(c);
}

static uint32_t bert_space(uint32_t c)
{
    return firn_is_space(c) ? ' ' : c;
}

static bool is_no_nonspacing_mark(uint32_t c)
{
    return !firn_is_nonspacing_mark(c);
}

static bool is_no_combining_mark(uint32_t c)
{
    return !firn_is_combining_mark(c);
}

static bool nmt_keeps(uint32_t c)
{
    return !((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
             c == 0x9F);
}

static uint32_t nmt_space(uint32_t c)
{
    return c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                   (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                   c == 0xFEFF || c == 0xFFFD
               ? ' '
               : c;
}

static void chinese(struct firn_text *t, const struct firn_piece *piece)
{
    firn_rewrite_open(t, piece, 0);
    uint32_t run = piece->begin, i = run;
    for (uint32_t next; i < piece->end; i = next) {
        next = i + firn_utf8_size(t->bytes[i]);
        const uint32_t c = firn_utf8_get(t->bytes + i);
        if (!firn_is_chinese(c))
            continue;
        firn_rewrite_put_run(t, run, i);
        firn_rewrite_put(t, ' ', 0);
        firn_rewrite_put(t, c, 1);
        firn_rewrite_put(t, ' ', 1);
        run = next;
    }
    firn_rewrite_put_run(t, run, i);
    firn_rewrite_close(t);
}

static void lowercase(struct firn_text *t, const struct firn_piece *piece)
{
    firn_rewrite_open(t, piece, 0);
    uint32_t run = piece->begin, i = run;
    for (uint32_t next; i < piece->end; i = next) {
        next = i + firn_utf8_size(t->bytes[i]);
        uint32_t lower[2];
        const uint32_t c = firn_utf8_get(t->bytes + i);
        const unsigned n = firn_lower(c, lower);
        if (n == 1 && lower[0] == c)
            continue;
        firn_rewrite_put_run(t, run, i);
        firn_rewrite_put(t, lower[0], 0);
        if (n > 1)
            firn_rewrite_put(t, lower[1], 1);
        run = next;
    }
    firn_rewrite_put_run(t, run, i);
    firn_rewrite_close(t);
}

static void strip(const struct firn_normal_stage *stage, struct firn_text *t,
                  const struct firn_piece *piece)
{
    uint32_t begin = piece->begin, end = piece->end;
    size_t n_removed = 0;
    while (stage->left && begin < end && firn_is_space(firn_utf8_get(t->bytes + begin))) {
        begin += firn_utf8_size(t->bytes[begin]);
        n_removed++;
    }
    while (stage->right && end > begin) {
        const uint32_t last =
            piece->begin + (uint32_t) firn_utf8_before(t->bytes + piece->begin, end - piece->begin);
        if (!firn_is_space(firn_utf8_get(t->bytes + last)))
            break;
        end = last;
    }
    firn_rewrite_open(t, piece, n_removed);
    firn_rewrite_put_run(t, begin, end);
    firn_rewrite_close(t);
}

static void put_text(const struct firn_normal_stage *stage, struct firn_text *t, int first_change)
{
    const uint8_t *text = (const uint8_t *) stage->text;
    for (size_t i = 0; i < stage->size; i += firn_utf8_size(text[i]))
        firn_rewrite_put(t, firn_utf8_get(text + i), i == 0 ? first_change : 1);
}

static firn_status replace(const struct firn_normal_stage *stage, struct firn_text *t,
                           const struct firn_piece *piece, struct firn_matcher *matcher,
                           struct firn_error *err)
{
    struct firn_walk walk = { .subject = t->bytes + piece->begin,
                              .size = piece->end - piece->begin };
    firn_rewrite_open_whole(t, piece);
    for (bool found = walk.size > 0; found;) {
        const firn_status s = firn_pattern_next(&stage->pattern, matcher, &walk, &found, err);
        if (s != FIRN_OK)
            return s;
        if (found) {
            firn_rewrite_keep(t, piece->begin + (uint32_t) walk.begin);
            firn_rewrite_skip(t, piece->begin + (uint32_t) walk.end);
            put_text(stage, t, 1);
        }
        if (t->failed)
            break;
    }
    firn_rewrite_keep(t, piece->end);
    firn_rewrite_close(t);
    return FIRN_OK;
}

static void prepend(const struct firn_normal_stage *stage, struct firn_text *t,
                    const struct firn_piece *piece)
{
    const uint32_t c = firn_utf8_get(t->bytes + piece->begin);
    firn_rewrite_open_whole(t, piece);
    put_text(stage, t, 0);
    firn_rewrite_put(t, c, 1);
    firn_rewrite_skip(t, piece->begin + firn_utf8_size(t->bytes[piece->begin]));
    firn_rewrite_keep(t, piece->end);
    firn_rewrite_close(t);
}

static void byte_chars(struct firn_text *t, const struct firn_piece *piece)
{
    firn_rewrite_open(t, piece, 0);
    for (uint32_t i = piece->begin; i < piece->end; i++)
        firn_rewrite_put(t, firn_byte_char(t->bytes[i]), (t->bytes[i] & 0xC0) == 0x80);
    firn_rewrite_close(t);
}

/* The steps of the BERT normalizer, one after the other over the whole text. */
enum bert_step { CLEAN, CHINESE, DECOMPOSE, NO_MARKS, LOWER, BERT_STEPS };

static bool takes_step(const struct firn_normal_stage *stage, enum bert_step step)
{
    return step == CLEAN     ? stage->clean
           : step == CHINESE ? stage->chinese
           : step == LOWER   ? stage->lowercase
                             : stage->accents;
}

static void bert_step(enum bert_step step, struct firn_text *t, const struct firn_piece *piece,
                      struct firn_changes *work)
{
    switch (step) {
    case CLEAN:
        filter(t, piece, bert_keeps, bert_space);
        break;
    case CHINESE:
        chinese(t, piece);
        break;
    case DECOMPOSE:
        firn_normal_form(FIRN_NFD, t, piece, work);
        break;
    case NO_MARKS:
        filter(t, piece, is_no_nonspacing_mark, NULL);
        break;
    default:
        lowercase(t, piece);
    }
}

/* Where every code point is ASCII and stays one, a table of bytes does what the stage does. */
static bool run_ascii(const struct firn_normal_stage *stage, struct firn_text *t)
{
    const bool is_bert = stage->kind == BERT;
    if (!is_bert && stage->kind != LOWERCASE && stage->kind != FORM && stage->kind != STRIP_ACCENTS)
        return false;
    if (firn_ascii_size(t->bytes, t->size) != t->size)
        return false;
    if (stage->kind == FORM || stage->kind == STRIP_ACCENTS)
        return true;
    uint8_t map[256];
    for (int i = 0; i < 256; i++) {
        map[i] = (uint8_t) i;
        if (is_bert && stage->clean && i < 128 && firn_is_space((uint32_t) i))
            map[i] = ' ';
        if (i >= 'A' && i <= 'Z' && (!is_bert || stage->lowercase))
            map[i] = (uint8_t) (i | 0x20);
    }
    if (is_bert && stage->clean)
        for (uint32_t i = 0; i < t->size; i++)
            if ((t->bytes[i] < 0x20 || t->bytes[i] == 0x7F) && firn_is_control(t->bytes[i]))
                return false;
    firn_rewrite_map(t, map);
    return true;
}

/* No code point below U+0300 is changed by NFC. */
static bool is_composed(const struct firn_text *t)
{
    for (uint32_t i = 0; i < t->size; i++)
        if (t->bytes[i] >= 0xCC)
            return false;
    return true;
}

static firn_status run_piece(const struct firn_normal_stage *stage, enum bert_step step,
                             struct firn_text *t, const struct firn_piece *piece,
                             struct firn_normalize_scratch *scratch, struct firn_error *err)
{
    switch (stage->kind) {
    case BERT:
        bert_step(step, t, piece, &scratch->work);
        break;
    case FORM:
        firn_normal_form(stage->form, t, piece, &scratch->work);
        break;
    case LOWERCASE:
        lowercase(t, piece);
        break;
    case STRIP_ACCENTS:
        filter(t, piece, is_no_combining_mark, NULL);
        break;
    case STRIP:
        strip(stage, t, piece);
        break;
    case REPLACE:
        return replace(stage, t, piece, &scratch->matcher, err);
    case PREPEND:
        prepend(stage, t, piece);
        break;
    case CHARSMAP:
        firn_charsmap_apply(&stage->map, t, piece, &scratch->work);
        break;
    case NMT:
        filter(t, piece, nmt_keeps, nmt_space);
        break;
    case BYTES:
        byte_chars(t, piece);
        break;
    }
    return FIRN_OK;
}

firn_status firn_normalizer_run(const struct firn_normalizer *n, struct firn_text *t,
                                struct firn_normalize_scratch *scratch, struct firn_error *err)
{
    scratch->work.failed = false;
    for (size_t i = 0; i < n->n; i++) {
        const struct firn_normal_stage *stage = &n->stages[i];
        if (run_ascii(stage, t) ||
            (stage->kind == FORM && stage->form == FIRN_NFC && is_composed(t)))
            continue;
        const int n_steps = stage->kind == BERT ? BERT_STEPS : 1;
        for (int step = 0; step < n_steps; step++) {
            if (stage->kind == BERT && !takes_step(stage, (enum bert_step) step))
                continue;
            firn_rewrite_begin(t);
            for (size_t k = 0; k < t->n_pieces && !t->failed; k++) {
                firn_status s = FIRN_OK;
                if (t->pieces[k].id >= 0)
                    firn_rewrite_copy(t, &t->pieces[k]);
                else
                    s = run_piece(stage, (enum bert_step) step, t, &t->pieces[k], scratch, err);
                if (s != FIRN_OK)
                    return s;
            }
            t->failed = t->failed || scratch->work.failed;
            if (t->failed)
                return firn_text_check(t, err);
            firn_rewrite_commit(t);
        }
    }
    return FIRN_OK;
}
