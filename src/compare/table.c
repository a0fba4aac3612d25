/* SPDX-License-Identifier: Apache-2.0 */
/* The results at one amount of data as a table of text. */
#include "compare/compare.h"

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

void firn_compare_table(const struct firn_compare *c, int size, struct firn_str *text)
{
    static const char *const heads[] = { "parameters", "bytes/task", "time",  "core time", "memory",
                                         "train",      "valid",      "test", "outside" };
    enum { COLUMNS = 9, PARTS = COLUMNS - FIRN_PART_COUNT };
    static const int widths[COLUMNS] = { 11, 10, 9, 9, 9, 11, 11, 11, 11 };
    const int first = name_width(c);
    if (c->sizes[size] > 0)
        firn_str_addf(text, "%" PRId64 " training examples, %d seeds: %s%s\n", c->sizes[size], c->n_seeds, c->metric,
                      c->is_share ? ", %" : "");
    else
        firn_str_addf(text, "all training examples, %d seeds: %s%s\n", c->n_seeds, c->metric, c->is_share ? ", %" : "");
    add_cell(text, "method", first, true);
    for (int k = 0; k < COLUMNS; k++)
        add_cell(text, heads[k], widths[k], false);
    firn_str_add(text, "\n");
    for (int m = 0; m < c->n_methods; m++) {
        char buffer[COLUMNS][64];
        const struct firn_statistic seconds = firn_compare_statistic(c, size, m, firn_cell_seconds);
        const struct firn_statistic cores = firn_compare_statistic(c, size, m, firn_cell_core_seconds);
        const double bytes = firn_compare_statistic(c, size, m, firn_cell_bytes).mean;
        const double memory = firn_compare_statistic(c, size, m, firn_cell_memory).mean;
        const double trainable = firn_compare_statistic(c, size, m, firn_cell_trainable).mean;
        const char *cells[COLUMNS] = {
            isfinite(trainable) ? firn_format(buffer[0], 64, "%.0f", trainable) : "-",
            bytes_text(buffer[1], 64, bytes),
            seconds.n > 0 ? firn_format(buffer[2], 64, "%.1f s", seconds.mean) : "-",
            cores.n > 0 ? firn_format(buffer[3], 64, "%.1f s", cores.mean) : "-",
            bytes_text(buffer[4], 64, memory),
        };
        for (int part = 0; part < FIRN_PART_COUNT; part++)
            cells[PARTS + part] = with_spread(buffer[PARTS + part], 64, firn_compare_quality(c, size, m, (enum firn_part) part),
                                          c->is_share);
        add_cell(text, c->methods[m].name, first, true);
        for (int k = 0; k < COLUMNS; k++)
            add_cell(text, cells[k], widths[k], false);
        firn_str_add(text, "\n");
    }
}
