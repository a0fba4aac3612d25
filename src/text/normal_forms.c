/* SPDX-License-Identifier: Apache-2.0 */
/* Unicode normalization (UAX 15) that also says which code point of the result stands for which of
 * the text: the same steps, in the same order, as the crate unicode-normalization-alignments. */
#include "text/normalize.h"

#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

void firn_change_add(struct firn_changes *list, uint32_t c, int32_t change)
{
    if (list->n == list->capacity) {
        const size_t capacity = list->n < 128 ? 256 : list->n * 2;
        struct firn_change *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL) {
            list->failed = true;
            return;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n++] = (struct firn_change){ c, change };
}

struct ordered {
    size_t at;
    unsigned class;
    struct firn_change item;
};

static int by_class(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Sorts the code points from `first` on by combining class, keeping the order of equal ones. */
static void sort_marks(struct firn_changes *list, size_t first)
{
    const size_t n = list->n - first;
    if (n < 2)
        return;
    struct firn_change *items = list->items + first;
    if (n > 32) { // nobody writes so many marks in a row, but a hostile text may
        struct ordered *all = malloc(n * sizeof *all);
        if (all == NULL) {
            list->failed = true;
            return;
        }
        for (size_t i = 0; i < n; i++)
            all[i] = (struct ordered){ i, firn_combining_class(items[i].c), items[i] };
        qsort(all, n, sizeof *all, by_class);
        for (size_t i = 0; i < n; i++)
            items[i] = all[i].item;
        free(all);
        return;
    }
    unsigned classes[32];
    for (size_t i = 0; i < n; i++) {
        const struct firn_change item = items[i];
        const unsigned class = firn_combining_class(item.c);
        size_t k = i;
        for (; k > 0 && classes[k - 1] > class; k--) {
            classes[k] = classes[k - 1];
            items[k] = items[k - 1];
        }
        classes[k] = class;
        items[k] = item;
    }
}

static void decompose(const struct firn_text *t, uint32_t begin, uint32_t end, bool is_compatible,
                      struct firn_changes *list)
{
    size_t pending = 0; // where the marks that are not yet in order begin
    list->n = 0;
    for (uint32_t i = begin; i < end && !list->failed;) {
        uint32_t out[FIRN_DECOMPOSED_MAX];
        const unsigned n = firn_decompose(firn_utf8_get(t->bytes + i), is_compatible, out);
        for (unsigned k = 0; k < n; k++) {
            if (firn_combining_class(out[k]) == 0) {
                sort_marks(list, pending);
                firn_change_add(list, out[k], k == 0 ? 0 : 1);
                pending = list->n;
            } else {
                firn_change_add(list, out[k], k == 0 ? 0 : 1);
            }
        }
        i += firn_utf8_size(t->bytes[i]);
    }
    sort_marks(list, pending);
}

/* Composes in place. A starter waits (`base`) while the marks after it are tried; what is composed
 * into it makes it stand for one code point more (or for none more, if that was inserted). */
static void compose(struct firn_changes *list)
{
    struct firn_change *items = list->items;
    size_t out = 0, base = 0;
    bool has_base = false;
    int last_class = -1; // of the last mark that stayed, -1: none since the base
    for (size_t i = 0; i < list->n; i++) {
        const struct firn_change item = items[i];
        const int class = (int) firn_combining_class(item.c);
        uint32_t composed = 0;
        if (has_base && last_class < class)
            composed = firn_compose(items[base].c, item.c);
        if (composed != 0) {
            items[base].c = composed;
            items[base].change += item.change - 1;
            continue;
        }
        if (class == 0) {
            has_base = true;
            base = out;
            last_class = -1;
        } else if (has_base) {
            last_class = class;
        }
        items[out++] = item;
    }
    list->n = out;
}

void firn_normal_form(enum firn_normal_form form, struct firn_text *t,
                      const struct firn_piece *piece, struct firn_changes *work)
{
    const uint8_t *s = t->bytes;
    firn_rewrite_open(t, piece, 0);
    for (uint32_t i = piece->begin; i < piece->end && !work->failed;) {
        // ASCII that is followed by ASCII stays as it is, whatever is around it
        uint32_t end = i;
        while (end < piece->end && s[end] < 0x80 && (end + 1 == piece->end || s[end + 1] < 0x80))
            end++;
        firn_rewrite_put_run(t, i, end);
        i = end;
        if (i == piece->end)
            break;
        do
            end++;
        while (end < piece->end && s[end] >= 0x80);
        decompose(t, i, end, form == FIRN_NFKC || form == FIRN_NFKD, work);
        if (form == FIRN_NFC || form == FIRN_NFKC)
            compose(work);
        for (size_t k = 0; k < work->n; k++)
            firn_rewrite_put(t, work->items[k].c, work->items[k].change);
        i = end;
    }
    firn_rewrite_close(t);
}
