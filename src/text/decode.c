/* SPDX-License-Identifier: Apache-2.0 */
/* The decoders of tokenizer.json. Each takes a list of texts and makes another. */
#include "text/decode.h"

#include "text/bytelevel.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

enum kind { BYTES, WORDPIECE, METASPACE, FALLBACK, FUSE, REPLACE, STRIP, BPE, CTC };

struct firn_decode_stage {
    enum kind kind;
    bool cleans;         /* WORDPIECE, CTC */
    bool drops_first;    /* METASPACE: marks of the first token were put there */
    uint32_t code;       /* METASPACE, STRIP */
    int64_t start, stop; /* STRIP */
    char *text, *other;  /* WORDPIECE, BPE, REPLACE, CTC (pad, delimiter) */
    size_t size, other_size;
    struct firn_pattern pattern; /* REPLACE */
};

void firn_texts_add(struct firn_texts *t, const char *text, size_t size)
{
    if (t->n == t->capacity) {
        const size_t capacity = t->n * 2 + 64;
        struct firn_text_at *items = realloc(t->items, capacity * sizeof *items);
        if (items == NULL) {
            t->failed = true;
            return;
        }
        t->items = items;
        t->capacity = capacity;
    }
    t->items[t->n++] = (struct firn_text_at){ t->bytes.size, size };
    if (size > 0)
        firn_str_add_n(&t->bytes, text, size);
    t->failed = t->failed || t->bytes.failed;
}

/* The last text grows. */
static void extend(struct firn_texts *t, const char *text, size_t size)
{
    if (size > 0 && t->n > 0) {
        firn_str_add_n(&t->bytes, text, size);
        t->items[t->n - 1].size += size;
    }
    t->failed = t->failed || t->bytes.failed;
}

static const char *text_at(const struct firn_texts *t, size_t i)
{
    return t->items[i].size > 0 ? t->bytes.data + t->items[i].at : "";
}

void firn_texts_free(struct firn_texts *t)
{
    firn_str_free(&t->bytes);
    free(t->items);
    memset(t, 0, sizeof *t);
}

/* ---- reading ---- */

static firn_status copy_field(const struct firn_place *at, const json_t *object, const char *key,
                              const char *missing, char **out, size_t *size)
{
    const char *text;
    firn_status s = missing == NULL ? firn_need_text(at, object, key, &text, size)
                                    : firn_field_text(at, object, key, missing, &text, size);
    if (s != FIRN_OK)
        return s;
    *out = malloc(*size + 1);
    if (*out == NULL)
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    memcpy(*out, text, *size);
    (*out)[*size] = '\0';
    return FIRN_OK;
}

static firn_status read_metaspace(struct firn_decode_stage *stage, const struct firn_place *at,
                                  const json_t *object)
{
    const char *scheme;
    bool adds_prefix;
    firn_status s = firn_need_code(at, object, "replacement", &stage->code);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "add_prefix_space", true, &adds_prefix);
    if (s == FIRN_OK)
        s = firn_field_text(at, object, "prepend_scheme", adds_prefix ? "always" : "never", &scheme,
                            NULL);
    stage->drops_first = s == FIRN_OK && strcmp(scheme, "never") != 0;
    return s;
}

static firn_status read_stage(struct firn_decode_stage *stage, const char *type,
                              const struct firn_place *at, const json_t *object)
{
    static const struct {
        const char *type;
        enum kind kind;
    } kinds[] = {
        { "ByteLevel", BYTES },       { "WordPiece", WORDPIECE }, { "Metaspace", METASPACE },
        { "ByteFallback", FALLBACK }, { "Fuse", FUSE },           { "Replace", REPLACE },
        { "Strip", STRIP },           { "BPEDecoder", BPE },      { "CTC", CTC }
    };
    size_t i = 0;
    while (i < sizeof kinds / sizeof kinds[0] && strcmp(kinds[i].type, type) != 0)
        i++;
    if (i == sizeof kinds / sizeof kinds[0])
        return firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file,
                         .key = FIRN_STR("%s.type", at->path), .expected = "a known decoder",
                         .got = FIRN_STR("'%.60s'", type));
    stage->kind = kinds[i].kind;
    firn_status s = FIRN_OK;
    switch (stage->kind) {
    case WORDPIECE:
        s = copy_field(at, object, "prefix", "##", &stage->text, &stage->size);
        return s == FIRN_OK ? firn_field_bool(at, object, "cleanup", true, &stage->cleans) : s;
    case METASPACE:
        return read_metaspace(stage, at, object);
    case REPLACE:
        s = firn_pattern_read(&stage->pattern, at, object, "pattern");
        return s == FIRN_OK ? copy_field(at, object, "content", NULL, &stage->text, &stage->size)
                            : s;
    case STRIP:
        s = firn_need_code(at, object, "content", &stage->code);
        if (s == FIRN_OK)
            s = firn_field_count(at, object, "start", 0, &stage->start);
        return s == FIRN_OK ? firn_field_count(at, object, "stop", 0, &stage->stop) : s;
    case BPE:
        return copy_field(at, object, "suffix", "</w>", &stage->text, &stage->size);
    case CTC:
        s = copy_field(at, object, "pad_token", "<pad>", &stage->text, &stage->size);
        if (s == FIRN_OK)
            s = copy_field(at, object, "word_delimiter_token", "|", &stage->other,
                           &stage->other_size);
        return s == FIRN_OK ? firn_field_bool(at, object, "cleanup", true, &stage->cleans) : s;
    default:
        return FIRN_OK;
    }
}

static firn_status read_next(void *user, const char *type, const struct firn_place *at, const json_t *object)
{
    struct firn_decoder *d = user;
    if (d->stages == NULL)
        d->stages = calloc(FIRN_STAGES_MAX, sizeof *d->stages);
    if (d->stages == NULL) {
        d->n = 0;
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    }
    return read_stage(&d->stages[d->n - 1], type, at, object);
}

firn_status firn_decoder_read(struct firn_decoder *d, const char *file, const json_t *object,
                              struct firn_error *err)
{
    const struct firn_place at = { file, "decoder", err };
    d->is_there = object != NULL && !json_is_null(object);
    return d->is_there ? firn_each_stage(&at, object, "decoders", &d->n, read_next, d) : FIRN_OK;
}

void firn_decoder_free(struct firn_decoder *d)
{
    for (size_t i = 0; i < d->n; i++) {
        firn_pattern_free(&d->stages[i].pattern);
        free(d->stages[i].text);
        free(d->stages[i].other);
    }
    free(d->stages);
    memset(d, 0, sizeof *d);
}

/* ---- running ---- */

/* Replaces what is there in place of `s`; a new text may be longer. */
static void replace_all(struct firn_str *s, const char *from, size_t from_size, const char *to,
                        size_t to_size)
{
    if (from_size == 0 || s->size < from_size)
        return;
    struct firn_str out = { 0 };
    size_t kept = 0;
    for (size_t i = 0; i + from_size <= s->size;) {
        const char *hit = memchr(s->data + i, from[0], s->size - from_size + 1 - i);
        if (hit == NULL)
            break;
        i = (size_t) (hit - s->data);
        if (memcmp(hit, from, from_size) != 0) {
            i++;
            continue;
        }
        firn_str_add_n(&out, s->data + kept, i - kept);
        firn_str_add_n(&out, to, to_size);
        i += from_size;
        kept = i;
    }
    if (kept == 0) {
        firn_str_free(&out);
        return;
    }
    firn_str_add_n(&out, s->data + kept, s->size - kept);
    firn_str_free(s);
    *s = out;
}

static void cleanup(struct firn_str *s)
{
    static const char *const pairs[][2] = {
        { " .", "." },   { " ?", "?" },     { " !", "!" },     { " ,", "," },
        { " ' ", "'" },  { " n't", "n't" }, { " 'm", "'m" },   { " do not", " don't" },
        { " 's", "'s" }, { " 've", "'ve" }, { " 're", "'re" },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        replace_all(s, pairs[i][0], strlen(pairs[i][0]), pairs[i][1], strlen(pairs[i][1]));
}

/* Bytes as text: what is not UTF-8 becomes U+FFFD, one for each longest start of a sequence. */
static void add_lossy(struct firn_texts *out, const char *bytes, size_t size)
{
    firn_texts_add(out, "", 0);
    const uint8_t *s = (const uint8_t *) bytes;
    for (size_t i = 0; i < size;) {
        const size_t good = firn_utf8_valid(s + i, size - i);
        extend(out, bytes + i, good);
        i += good;
        if (i < size) {
            extend(out, REPLACEMENT, 3);
            i += (size_t) -firn_utf8_check(s + i, size - i);
        }
    }
}

static void run_bytes(const struct firn_texts *in, struct firn_texts *out)
{
    struct firn_str all = { 0 };
    for (size_t i = 0; i < in->n; i++) {
        const char *text = text_at(in, i);
        const size_t size = in->items[i].size, before = all.size;
        size_t k = 0;
        for (; k < size; k += firn_utf8_size((uint8_t) text[k])) {
            const int byte = firn_char_byte(firn_utf8_get((const uint8_t *) text + k));
            if (byte < 0)
                break;
            const char c = (char) byte;
            firn_str_add_n(&all, &c, 1);
        }
        if (k < size) { // not of the alphabet: as it is
            all.size = before;
            firn_str_add_n(&all, text, size);
        }
    }
    add_lossy(out, all.data, all.size);
    out->failed = out->failed || all.failed;
    firn_str_free(&all);
}

static void run_wordpiece(const struct firn_decode_stage *stage, const struct firn_texts *in,
                          struct firn_texts *out)
{
    for (size_t i = 0; i < in->n; i++) {
        struct firn_str s = { 0 };
        const char *text = text_at(in, i);
        size_t size = in->items[i].size;
        if (i > 0 && size >= stage->size && memcmp(text, stage->text, stage->size) == 0) {
            text += stage->size;
            size -= stage->size;
        } else if (i > 0) {
            firn_str_add(&s, " ");
        }
        if (size > 0)
            firn_str_add_n(&s, text, size);
        if (stage->cleans)
            cleanup(&s);
        firn_texts_add(out, s.data, s.size);
        out->failed = out->failed || s.failed;
        firn_str_free(&s);
    }
}

static void run_metaspace(const struct firn_decode_stage *stage, const struct firn_texts *in,
                          struct firn_texts *out)
{
    for (size_t i = 0; i < in->n; i++) {
        const char *text = text_at(in, i);
        firn_texts_add(out, "", 0);
        for (size_t k = 0, next; k < in->items[i].size; k = next) {
            next = k + firn_utf8_size((uint8_t) text[k]);
            if (firn_utf8_get((const uint8_t *) text + k) != stage->code)
                extend(out, text + k, next - k);
            else if (i > 0 || !stage->drops_first)
                extend(out, " ", 1);
        }
    }
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

static void flush_bytes(struct firn_str *bytes, struct firn_texts *out)
{
    if (bytes->size == 0)
        return;
    if (firn_utf8_valid((const uint8_t *) bytes->data, bytes->size) == bytes->size)
        firn_texts_add(out, bytes->data, bytes->size);
    else
        for (size_t i = 0; i < bytes->size; i++)
            firn_texts_add(out, REPLACEMENT, 3);
    bytes->size = 0;
}

/* Runs of "<0x0A>" become the text that the bytes are. */
static void run_fallback(const struct firn_texts *in, struct firn_texts *out)
{
    struct firn_str bytes = { 0 };
    for (size_t i = 0; i < in->n; i++) {
        const char *text = text_at(in, i);
        int value = -1;
        if (in->items[i].size == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>') {
            const int high = hex_value(text[3]), low = hex_value(text[4]);
            value = low < 0 ? -1 : high >= 0 ? high << 4 | low : text[3] == '+' ? low : -1;
        }
        if (value >= 0) {
            const char c = (char) value;
            firn_str_add_n(&bytes, &c, 1);
            continue;
        }
        flush_bytes(&bytes, out);
        firn_texts_add(out, text, in->items[i].size);
    }
    flush_bytes(&bytes, out);
    out->failed = out->failed || bytes.failed;
    firn_str_free(&bytes);
}

static firn_status run_replace(const struct firn_decode_stage *stage, const struct firn_texts *in,
                               struct firn_texts *out, struct firn_matcher *matcher,
                               struct firn_error *err)
{
    for (size_t i = 0; i < in->n; i++) {
        const char *text = text_at(in, i);
        struct firn_walk walk = { .subject = (const uint8_t *) text, .size = in->items[i].size };
        size_t last = 0;
        firn_texts_add(out, "", 0);
        for (bool found = walk.size > 0; found;) {
            const firn_status s = firn_pattern_next(&stage->pattern, matcher, &walk, &found, err);
            if (s != FIRN_OK)
                return s;
            if (found) {
                extend(out, text + last, walk.begin - last);
                extend(out, stage->text, stage->size);
                last = walk.end;
            }
        }
        extend(out, text + last, walk.size - last);
    }
    return FIRN_OK;
}

static void run_strip(const struct firn_decode_stage *stage, const struct firn_texts *in,
                      struct firn_texts *out)
{
    for (size_t i = 0; i < in->n; i++) {
        const uint8_t *text = (const uint8_t *) text_at(in, i);
        size_t begin = 0, end = in->items[i].size;
        for (int64_t k = 0; k < stage->start && begin < end; k++) {
            if (firn_utf8_get(text + begin) != stage->code)
                break;
            begin += firn_utf8_size(text[begin]);
        }
        for (int64_t k = 0; k < stage->stop && end > begin; k++) {
            const size_t before = firn_utf8_before(text, end);
            if (firn_utf8_get(text + before) != stage->code)
                break;
            end = before;
        }
        firn_texts_add(out, (const char *) text + begin, end - begin);
    }
}

/* BPE: the suffix of a word's last token is a space. CTC: repetitions and padding go. */
static void run_words(const struct firn_decode_stage *stage, const struct firn_texts *in,
                      struct firn_texts *out)
{
    for (size_t i = 0; i < in->n; i++) {
        const char *text = text_at(in, i);
        const size_t size = in->items[i].size;
        if (stage->kind == CTC && i > 0 && in->items[i - 1].size == size &&
            memcmp(text_at(in, i - 1), text, size) == 0)
            continue;
        struct firn_str s = { 0 };
        if (size > 0)
            firn_str_add_n(&s, text, size);
        if (stage->kind == BPE) {
            replace_all(&s, stage->text, stage->size, " ", i + 1 < in->n ? 1 : 0);
        } else {
            replace_all(&s, stage->text, stage->size, "", 0);
            if (stage->cleans) {
                cleanup(&s);
                replace_all(&s, stage->other, stage->other_size, " ", 1);
            }
        }
        if (stage->kind == BPE || s.size > 0)
            firn_texts_add(out, s.data, s.size);
        out->failed = out->failed || s.failed;
        firn_str_free(&s);
    }
}

static firn_status run_stage(const struct firn_decode_stage *stage, const struct firn_texts *in,
                             struct firn_texts *out, struct firn_matcher *matcher,
                             struct firn_error *err)
{
    switch (stage->kind) {
    case BYTES:
        run_bytes(in, out);
        break;
    case WORDPIECE:
        run_wordpiece(stage, in, out);
        break;
    case METASPACE:
        run_metaspace(stage, in, out);
        break;
    case FALLBACK:
        run_fallback(in, out);
        break;
    case FUSE:
        firn_texts_add(out, in->bytes.data, in->bytes.size);
        break;
    case REPLACE:
        return run_replace(stage, in, out, matcher, err);
    case STRIP:
        run_strip(stage, in, out);
        break;
    case BPE:
    case CTC:
        run_words(stage, in, out);
        break;
    }
    return FIRN_OK;
}

firn_status firn_decoder_run(const struct firn_decoder *d, struct firn_texts *tokens,
                             struct firn_str *out, struct firn_error *err)
{
    struct firn_matcher matcher = { 0 };
    struct firn_texts other = { 0 };
    firn_status s = FIRN_OK;
    for (size_t i = 0; i < d->n && s == FIRN_OK; i++) {
        other.n = other.bytes.size = 0;
        s = run_stage(&d->stages[i], tokens, &other, &matcher, err);
        const struct firn_texts swap = *tokens;
        *tokens = other;
        other = swap;
    }
    if (s == FIRN_OK && !d->is_there)
        for (size_t i = 0; i < tokens->n; i++) {
            firn_str_add_n(out, " ", i > 0);
            firn_str_add_n(out, text_at(tokens, i), tokens->items[i].size);
        }
    else if (s == FIRN_OK && tokens->bytes.size > 0)
        firn_str_add_n(out, tokens->bytes.data, tokens->bytes.size);
    if (s == FIRN_OK && (tokens->failed || other.failed || out->failed))
        s = firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory to decode");
    firn_texts_free(&other);
    firn_matcher_free(&matcher);
    return s;
}
