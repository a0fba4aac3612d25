/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations and templates: the first line of the input is a template, the rest JSON, in every chat format. */
#include "data/chat.h"

#include <stdlib.h>
#include <string.h>

static void check(const struct firn_marked *m)
{
    size_t at = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (m->marks[i].begin < at || m->marks[i].end < m->marks[i].begin || m->marks[i].end > m->text.size)
            abort();
        at = m->marks[i].end;
    }
}

static void fill(const char *template, const json_t *row)
{
    struct firn_marked m = { 0 };
    struct firn_error err = { 0 };
    if (firn_template_check(template, "a", "fuzz", &err) == FIRN_OK)
        free(firn_template_only_field(template, "a"));
    else if (err.text[0] == '\0')
        abort(); /* every refusal has a reason */
    firn_template_fill(template, row, "a", false, "fuzz", 1, &m, &err);
    check(&m);
    firn_marked_free(&m);
}

static void render(const json_t *messages)
{
    for (const struct firn_chat_format *f = firn_chat_formats; f->name != NULL; f++) {
        const struct firn_chat c = { .format = *f, .bos = "<s>", .eos = "</s>" };
        struct firn_marked m = { 0 };
        struct firn_error err = { 0 };
        if (firn_chat_render(&c, messages, false, "fuzz", 1, &m, &err) != FIRN_OK && err.text[0] == '\0')
            abort();
        check(&m);
        firn_marked_free(&m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data, *end = size > 0 ? memchr(text, '\n', size) : NULL;
    json_t *tree = NULL;
    if (end == NULL)
        return 0;
    char *template = strndup(text, (size_t) (end - text));
    if (template != NULL && firn_json_parse(end + 1, size - (size_t) (end + 1 - text), "fuzz", &tree, NULL) == FIRN_OK) {
        fill(template, tree);
        render(tree);
    }
    json_decref(tree);
    free(template);
    return 0;
}
