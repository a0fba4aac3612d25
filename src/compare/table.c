/* SPDX-License-Identifier: Apache-2.0 */
/* The results at one amount of data as a table, of text or of a page. */
#include "compare/compare.h"

#include "base/html.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *with_spread(char *text, size_t size, struct firn_statistic s, bool is_share)
{
    const double f = is_share ? 100 : 1;
    if (s.n == 0)
        return "-";
    if (s.n == 1)
        return firn_format(text, size, "%.*f", is_share ? 1 : 3, f * s.mean);
    return firn_format(text, size, "%.*f ±%.*f", is_share ? 1 : 3, f * s.mean, is_share ? 1 : 3, f * s.spread);
}

static const char *bytes_text(char *text, size_t size, double bytes)
{
    return !isfinite(bytes)   ? "-"
           : bytes < 0x1p20   ? firn_format(text, size, "%.0f KiB", ceil(bytes / 0x1p10))
           : bytes < 0x1p30   ? firn_format(text, size, "%.1f MiB", bytes / 0x1p20)
                              : firn_format(text, size, "%.2f GiB", bytes / 0x1p30);
}

/* Columns by characters, not bytes: the sign of the spread has two. */
static void add_cell(struct firn_str *s, const char *text, int width, bool left)
{
    int shown = 0;
    for (const char *p = text; *p != '\0'; p++)
        shown += ((unsigned char) *p & 0xc0) != 0x80;
    const int pad = width > shown ? width - shown : 0;
    firn_str_addf(s, "%*s%s%*s  ", left ? 0 : pad, "", text, left ? pad : 0, "");
}

static int name_width(const struct firn_compare *c)
{
    int width = 6;
    for (int m = 0; m < c->n_methods; m++)
        if ((int) strlen(c->methods[m].name) > width)
            width = (int) strlen(c->methods[m].name);
    return width;
}

enum { COLUMNS = 9, PARTS = COLUMNS - FIRN_PART_COUNT };
static const char *const heads[] = { "parameters", "bytes/task", "time", "core time", "memory",
                                     "train",      "valid",      "test", "outside" };

struct row {
    char buffer[COLUMNS][64];
    const char *cells[COLUMNS];
};

static const char *seconds_text(char text[64], struct firn_statistic s)
{
    return s.n > 0 ? firn_format(text, 64, "%.1f s", s.mean) : "-";
}

static void fill_row(const struct firn_compare *c, int size, int m, struct row *r)
{
    const double trainable = firn_compare_statistic(c, size, m, firn_cell_trainable).mean;
    r->cells[0] = isfinite(trainable) ? firn_format(r->buffer[0], 64, "%.0f", trainable) : "-";
    r->cells[1] = bytes_text(r->buffer[1], 64, firn_compare_statistic(c, size, m, firn_cell_bytes).mean);
    r->cells[2] = seconds_text(r->buffer[2], firn_compare_statistic(c, size, m, firn_cell_seconds));
    r->cells[3] = seconds_text(r->buffer[3], firn_compare_statistic(c, size, m, firn_cell_core_seconds));
    r->cells[4] = bytes_text(r->buffer[4], 64, firn_compare_statistic(c, size, m, firn_cell_memory).mean);
    for (int part = 0; part < FIRN_PART_COUNT; part++)
        r->cells[PARTS + part] = with_spread(r->buffer[PARTS + part], 64,
                                             firn_compare_quality(c, size, m, (enum firn_part) part), c->is_share);
}

static void add_heading(const struct firn_compare *c, int size, struct firn_str *text)
{
    if (c->sizes[size] > 0)
        firn_str_addf(text, "%" PRId64 " training examples", c->sizes[size]);
    else
        firn_str_add(text, "all training examples");
    firn_str_addf(text, ", %d seeds: %s%s", c->n_seeds, c->metric, c->is_share ? ", %" : "");
}

void firn_compare_table(const struct firn_compare *c, int size, struct firn_str *text)
{
    static const int widths[COLUMNS] = { 11, 10, 9, 9, 9, 11, 11, 11, 11 };
    const int first = name_width(c);
    add_heading(c, size, text);
    firn_str_add(text, "\n");
    add_cell(text, "method", first, true);
    for (int k = 0; k < COLUMNS; k++)
        add_cell(text, heads[k], widths[k], false);
    firn_str_add(text, "\n");
    for (int m = 0; m < c->n_methods; m++) {
        struct row r;
        fill_row(c, size, m, &r);
        add_cell(text, c->methods[m].name, first, true);
        for (int k = 0; k < COLUMNS; k++)
            add_cell(text, r.cells[k], widths[k], false);
        firn_str_add(text, "\n");
    }
}

/* The caption is a summary, so that the table can be folded away. */
void firn_compare_table_html(const struct firn_compare *c, int size, struct firn_str *text)
{
    firn_str_add(text, "<summary>");
    add_heading(c, size, text);
    firn_str_add(text, "</summary>\n<div class=\"wide\"><table class=\"n\"><tr><th>method");
    for (int k = 0; k < COLUMNS; k++)
        firn_str_addf(text, "<th>%s", heads[k]);
    firn_str_add(text, "</tr>\n");
    for (int m = 0; m < c->n_methods; m++) {
        struct row r;
        fill_row(c, size, m, &r);
        firn_str_add(text, "<tr><td>");
        firn_html_text(text, c->methods[m].name);
        for (int k = 0; k < COLUMNS; k++)
            firn_str_addf(text, "<td>%s", r.cells[k]);
        firn_str_add(text, "</tr>\n");
    }
    firn_str_add(text, "</table></div>\n");
}
