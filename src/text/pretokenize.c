/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokenizers of tokenizer.json. */
#include "text/pretokenize.h"

#include "text/bytelevel.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum kind {
    BERT,
    BYTES,
    CHARACTER,
    METASPACE,
    WORDS,
    PATTERN,
    PUNCTUATION,
    SPACES,
    DIGITS,
    LENGTH
};
enum behaviour { REMOVED, ISOLATED, CONTIGUOUS, WITH_PREVIOUS, WITH_NEXT };
enum scheme { ALWAYS, FIRST, NEVER };

struct firn_pre_stage {
    enum kind kind;
    enum behaviour behaviour;
    enum scheme scheme;          /* METASPACE: which pieces get a mark in front */
    bool is_split, is_inverted;  /* METASPACE, PATTERN */
    bool adds_space, uses_regex; /* BYTES */
    uint32_t code;               /* METASPACE, CHARACTER */
    int64_t length;              /* LENGTH */
    struct firn_pattern pattern; /* PATTERN, BYTES */
};

/* ---- reading ---- */

static firn_status read_word(const struct firn_place *at, const json_t *object, const char *key,
                             const char *missing, const char *const *words, int *out)
{
    const char *text;
    const firn_status s = firn_field_text(at, object, key, missing, &text, NULL);
    if (s != FIRN_OK)
        return s;
    for (int i = 0; text != NULL && words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return FIRN_OK;
        }
    return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                     .key = FIRN_STR("%s.%s", at->path, key),
                     .expected = FIRN_STR("a word like '%s'", words[0]),
                     .got = text == NULL ? "nothing" : FIRN_STR("'%.60s'", text));
}

static firn_status read_behaviour(struct firn_pre_stage *stage, const struct firn_place *at,
                                  const json_t *object, const char *missing)
{
    static const char *const words[] = { "Removed",        "Isolated",
                                         "Contiguous",     "MergedWithPrevious",
                                         "MergedWithNext", NULL };
    int found = 0;
    const firn_status s = read_word(at, object, "behavior", missing, words, &found);
    stage->behaviour = (enum behaviour) found;
    return s;
}

static firn_status read_metaspace(struct firn_pre_stage *stage, const struct firn_place *at,
                                  const json_t *object)
{
    static const char *const words[] = { "always", "first", "never", NULL };
    bool adds_prefix;
    int scheme = 0;
    firn_status s = firn_need_code(at, object, "replacement", &stage->code);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "add_prefix_space", true, &adds_prefix);
    if (s == FIRN_OK) // old files have add_prefix_space alone
        s = read_word(at, object, "prepend_scheme", adds_prefix ? "always" : "never", words,
                      &scheme);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "split", true, &stage->is_split);
    stage->scheme = (enum scheme) scheme;
    stage->behaviour = WITH_NEXT;
    return s;
}

static firn_status read_bytes(struct firn_pre_stage *stage, const struct firn_place *at,
                              const json_t *object)
{
    static const char regex[] =
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    firn_status s = firn_field_bool(at, object, "add_prefix_space", true, &stage->adds_space);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "use_regex", true, &stage->uses_regex);
    if (s == FIRN_OK && stage->uses_regex)
        s = firn_pattern_compile(&stage->pattern, at, regex, sizeof regex - 1);
    stage->behaviour = ISOLATED;
    return s;
}

static firn_status read_stage(struct firn_pre_stage *stage, const char *type,
                              const struct firn_place *at, const json_t *object)
{
    static const struct {
        const char *type;
        enum kind kind;
    } kinds[] = { { "BertPreTokenizer", BERT },  { "ByteLevel", BYTES },
                  { "Delimiter", CHARACTER },    { "CharDelimiterSplit", CHARACTER },
                  { "Metaspace", METASPACE },    { "Whitespace", WORDS },
                  { "Split", PATTERN },          { "Punctuation", PUNCTUATION },
                  { "WhitespaceSplit", SPACES }, { "Digits", DIGITS },
                  { "FixedLength", LENGTH } };
    size_t i = 0;
    while (i < sizeof kinds / sizeof kinds[0] && strcmp(kinds[i].type, type) != 0)
        i++;
    if (i == sizeof kinds / sizeof kinds[0])
        return firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file,
                         .key = FIRN_STR("%s.type", at->path), .expected = "a known pre-tokenizer",
                         .got = FIRN_STR("'%.60s'", type));
    stage->kind = kinds[i].kind;
    firn_status s = FIRN_OK;
    bool is_individual;
    switch (stage->kind) {
    case BYTES:
        return read_bytes(stage, at, object);
    case CHARACTER:
        stage->behaviour = REMOVED;
        return firn_need_code(at, object, "delimiter", &stage->code);
    case METASPACE:
        return read_metaspace(stage, at, object);
    case PATTERN:
        s = firn_pattern_read(&stage->pattern, at, object, "pattern");
        if (s == FIRN_OK)
            s = read_behaviour(stage, at, object, NULL);
        return s == FIRN_OK ? firn_field_bool(at, object, "invert", false, &stage->is_inverted) : s;
    case PUNCTUATION:
        return read_behaviour(stage, at, object, "Isolated");
    case DIGITS:
        s = firn_field_bool(at, object, "individual_digits", false, &is_individual);
        stage->behaviour = is_individual ? ISOLATED : CONTIGUOUS;
        return s;
    case LENGTH:
        s = firn_field_count(at, object, "length", 5, &stage->length);
        if (s == FIRN_OK && stage->length == 0)
            s = firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                          .key = FIRN_STR("%s.length", at->path), .expected = "at least 1",
                          .got = "0");
        return s;
    default:
        stage->behaviour = REMOVED;
        return FIRN_OK;
    }
}

static firn_status read_next(void *user, const char *type, const struct firn_place *at, const json_t *object)
{
    struct firn_pretokenizer *p = user;
    if (p->stages == NULL)
        p->stages = calloc(FIRN_STAGES_MAX, sizeof *p->stages);
    if (p->stages == NULL) {
        p->n = 0;
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    }
    return read_stage(&p->stages[p->n - 1], type, at, object);
}

firn_status firn_pretokenizer_read(struct firn_pretokenizer *p, const char *file,
                                   const json_t *object, struct firn_error *err)
{
    const struct firn_place at = { file, "pre_tokenizer", err };
    return object == NULL || json_is_null(object) ? FIRN_OK : firn_each_stage(&at, object, "pretokenizers", &p->n, read_next, p);
}

void firn_pretokenizer_free(struct firn_pretokenizer *p)
{
    for (size_t i = 0; i < p->n; i++)
        firn_pattern_free(&p->stages[i].pattern);
    free(p->stages);
    memset(p, 0, sizeof *p);
}

/* ---- cutting ---- */

/* Takes the matches and what lies between them in order, and adds pieces as the behaviour says. */
struct cutter {
    struct firn_text *t;
    enum behaviour behaviour;
    bool has_pending, was_match;
    uint32_t begin, end; /* what is pending */
};

static void flush(struct cutter *c)
{
    if (c->has_pending)
        firn_split_add(c->t, c->begin, c->end, -1);
    c->has_pending = false;
}

static void hold(struct cutter *c, uint32_t begin, uint32_t end)
{
    flush(c);
    c->has_pending = true;
    c->begin = begin;
    c->end = end;
}

static void cut(struct cutter *c, uint32_t begin, uint32_t end, bool is_match)
{
    switch (c->behaviour) {
    case REMOVED:
        if (!is_match)
            firn_split_add(c->t, begin, end, -1);
        break;
    case ISOLATED:
        firn_split_add(c->t, begin, end, -1);
        break;
    case CONTIGUOUS:
        if (c->has_pending && is_match == c->was_match)
            c->end = end;
        else
            hold(c, begin, end);
        break;
    case WITH_PREVIOUS:
        if (c->has_pending && is_match && !c->was_match)
            c->end = end;
        else
            hold(c, begin, end);
        break;
    case WITH_NEXT:
        if (is_match) {
            hold(c, begin, end);
        } else {
            firn_split_add(c->t, c->has_pending ? c->begin : begin, end, -1);
            c->has_pending = false;
        }
        break;
    }
    c->was_match = is_match;
}

static bool is_match(const struct firn_pre_stage *stage, uint32_t c)
{
    switch (stage->kind) {
    case PUNCTUATION:
        return firn_is_punctuation(c);
    case SPACES:
        return firn_is_space(c);
    case DIGITS:
        return firn_is_numeric(c);
    default:
        return c == stage->code;
    }
}

/* Every code point for which is_match holds is a match. */
static void cut_at_chars(const struct firn_pre_stage *stage, struct cutter *c,
                         const struct firn_piece *piece)
{
    uint32_t last = piece->begin;
    for (uint32_t i = piece->begin, next; i < piece->end; i = next) {
        next = i + firn_utf8_size(c->t->bytes[i]);
        if (!is_match(stage, firn_utf8_get(c->t->bytes + i)))
            continue;
        if (last < i)
            cut(c, last, i, false);
        cut(c, i, next, true);
        last = next;
    }
    if (last < piece->end)
        cut(c, last, piece->end, false);
}

static firn_status cut_at_pattern(const struct firn_pre_stage *stage, struct cutter *c,
                                  const struct firn_piece *piece, struct firn_matcher *matcher,
                                  struct firn_error *err)
{
    struct firn_walk walk = { .subject = c->t->bytes + piece->begin,
                              .size = piece->end - piece->begin };
    uint32_t last = piece->begin;
    for (;;) {
        bool found;
        const firn_status s = firn_pattern_next(&stage->pattern, matcher, &walk, &found, err);
        if (s != FIRN_OK)
            return s;
        if (!found || c->t->failed)
            break;
        const uint32_t begin = piece->begin + (uint32_t) walk.begin;
        const uint32_t end = piece->begin + (uint32_t) walk.end;
        if (last != begin)
            cut(c, last, begin, stage->is_inverted);
        cut(c, begin, end, !stage->is_inverted);
        last = end;
    }
    if (last != piece->end)
        cut(c, last, piece->end, stage->is_inverted);
    return FIRN_OK;
}

/* Between white space; every punctuation mark alone. */
static void cut_bert(struct firn_text *t, const struct firn_piece *piece)
{
    uint32_t last = piece->begin;
    for (uint32_t i = piece->begin, next; i < piece->end; i = next) {
        next = i + firn_utf8_size(t->bytes[i]);
        const uint32_t c = firn_utf8_get(t->bytes + i);
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
            continue;
        const bool is_space = firn_is_space(c);
        if (!is_space && !firn_is_punctuation(c))
            continue;
        firn_split_add(t, last, i, -1);
        if (!is_space)
            firn_split_add(t, i, next, -1);
        last = next;
    }
    firn_split_add(t, last, piece->end, -1);
}

/* Runs of word characters, and runs of what is neither that nor white space: \w+|[^\w\s]+ */
static void cut_words(struct firn_text *t, const struct firn_piece *piece)
{
    enum { SPACE, WORD, OTHER } now = SPACE;
    uint32_t last = piece->begin;
    for (uint32_t i = piece->begin; i < piece->end; i += firn_utf8_size(t->bytes[i])) {
        const uint32_t c = firn_utf8_get(t->bytes + i);
        const int kind = firn_is_word(c) ? WORD : firn_is_space(c) ? SPACE : OTHER;
        if (kind == (int) now)
            continue;
        if (now != SPACE)
            firn_split_add(t, last, i, -1);
        now = kind;
        last = i;
    }
    if (now != SPACE)
        firn_split_add(t, last, piece->end, -1);
}

static void cut_lengths(const struct firn_pre_stage *stage, struct firn_text *t,
                        const struct firn_piece *piece)
{
    uint32_t last = piece->begin;
    int64_t n = 0;
    for (uint32_t i = piece->begin; i < piece->end; i += firn_utf8_size(t->bytes[i]))
        if (n++ == stage->length) {
            firn_split_add(t, last, i, -1);
            last = i;
            n = 1;
        }
    firn_split_add(t, last, piece->end, -1);
}

static firn_status split(const struct firn_pre_stage *stage, struct firn_text *t,
                         struct firn_matcher *matcher, struct firn_error *err)
{
    firn_split_begin(t);
    firn_status s = FIRN_OK;
    for (size_t i = 0; i < t->n_pieces && s == FIRN_OK && !t->failed; i++) {
        const struct firn_piece *piece = &t->pieces[i];
        struct cutter c = { .t = t, .behaviour = stage->behaviour };
        if (piece->id >= 0) {
            firn_split_keep(t, piece);
        } else if (stage->kind == BERT) {
            cut_bert(t, piece);
        } else if (stage->kind == WORDS) {
            cut_words(t, piece);
        } else if (stage->kind == LENGTH) {
            cut_lengths(stage, t, piece);
        } else if (stage->kind == PATTERN || stage->kind == BYTES) {
            s = cut_at_pattern(stage, &c, piece, matcher, err);
            flush(&c);
        } else {
            cut_at_chars(stage, &c, piece);
            flush(&c);
        }
    }
    firn_split_commit(t);
    return s != FIRN_OK ? s : firn_text_check(t, err);
}

/* ---- rewriting ---- */

static bool starts_with(const struct firn_text *t, const struct firn_piece *piece, uint32_t c)
{
    return piece->begin < piece->end && firn_utf8_get(t->bytes + piece->begin) == c;
}

/* Puts c in front of every piece that does not start with it (FIRST: that starts the text). */
static void prepend(struct firn_text *t, uint32_t c, bool only_first)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_pieces; i++)
        n += t->pieces[i].id < 0 && !starts_with(t, &t->pieces[i], c) &&
             (!only_first || t->pieces[i].original.begin == 0);
    if (n == 0)
        return;
    firn_rewrite_begin(t);
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct firn_piece *piece = &t->pieces[i];
        if (piece->id >= 0 || starts_with(t, piece, c) ||
            (only_first && piece->original.begin != 0)) {
            firn_rewrite_copy(t, piece);
            continue;
        }
        firn_rewrite_open_whole(t, piece);
        firn_rewrite_put(t, c, 0);
        firn_rewrite_put(t, firn_utf8_get(t->bytes + piece->begin), 1);
        firn_rewrite_skip(t, piece->begin + firn_utf8_size(t->bytes[piece->begin]));
        firn_rewrite_keep(t, piece->end);
        firn_rewrite_close(t);
    }
    firn_rewrite_commit(t);
}

static void replace_spaces(struct firn_text *t, uint32_t c)
{
    if (t->size == 0 || memchr(t->bytes, ' ', t->size) == NULL)
        return;
    firn_rewrite_begin(t);
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct firn_piece *piece = &t->pieces[i];
        if (piece->id >= 0) {
            firn_rewrite_copy(t, piece);
            continue;
        }
        firn_rewrite_open_whole(t, piece);
        for (uint32_t at = piece->begin; at < piece->end; at++) {
            const uint8_t *hit = memchr(t->bytes + at, ' ', piece->end - at);
            if (hit == NULL)
                break;
            at = (uint32_t) (hit - t->bytes);
            firn_rewrite_keep(t, at);
            firn_rewrite_skip(t, at + 1);
            firn_rewrite_put(t, c, 1);
        }
        firn_rewrite_keep(t, piece->end);
        firn_rewrite_close(t);
    }
    firn_rewrite_commit(t);
}

static void map_bytes(struct firn_text *t)
{
    firn_rewrite_begin(t);
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct firn_piece *piece = &t->pieces[i];
        if (piece->id >= 0) {
            firn_rewrite_copy(t, piece);
            continue;
        }
        firn_rewrite_open(t, piece, 0);
        for (uint32_t k = piece->begin; k < piece->end; k++)
            firn_rewrite_put(t, firn_byte_char(t->bytes[k]), (t->bytes[k] & 0xC0) == 0x80);
        firn_rewrite_close(t);
    }
    firn_rewrite_commit(t);
}

firn_status firn_pretokenizer_run(const struct firn_pretokenizer *p, struct firn_text *t,
                                  bool may_map, struct firn_matcher *matcher,
                                  struct firn_error *err)
{
    firn_status s = FIRN_OK;
    for (size_t i = 0; i < p->n && s == FIRN_OK; i++) {
        const struct firn_pre_stage *stage = &p->stages[i];
        bool is_split = true;
        if (stage->kind == METASPACE) {
            replace_spaces(t, stage->code);
            if (stage->scheme != NEVER)
                prepend(t, stage->code, stage->scheme == FIRST);
            is_split = stage->is_split;
        } else if (stage->kind == BYTES) {
            if (stage->adds_space)
                prepend(t, ' ', false);
            is_split = stage->uses_regex;
        }
        s = firn_text_check(t, err);
        if (s == FIRN_OK && is_split)
            s = split(stage, t, matcher, err);
        if (s != FIRN_OK || stage->kind != BYTES)
            continue;
        if (may_map && i + 1 == p->n)
            t->is_byte_mapped = true;
        else
            map_bytes(t);
        s = firn_text_check(t, err);
    }
    return s;
}
