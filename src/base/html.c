/* SPDX-License-Identifier: Apache-2.0 */
/* Writes HTML and SVG into a text. */
#include "base/html.h"

#include <math.h>

enum { WIDTH = 640, HEIGHT = 260, LEFT = 60, RIGHT = 10, TOP = 10, BOTTOM = 34, LEGEND = 16, TICKS = 12 };

void firn_html_text(struct firn_str *s, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '<')
            firn_str_add(s, "&lt;");
        else if (*text == '>')
            firn_str_add(s, "&gt;");
        else if (*text == '&')
            firn_str_add(s, "&amp;");
        else
            firn_str_add_n(s, text, 1);
    }
}

void firn_html_head(struct firn_str *s, const char *title)
{
    firn_str_add(s, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>firn: ");
    firn_html_text(s, title);
    firn_str_add(s, "</title><style>body{font:15px/1.5 sans-serif;max-width:880px;margin:2em auto;padding:0 1em}"
                    "table{border-collapse:collapse}th{text-align:left;font-weight:normal;color:#555;"
                    "padding-right:1em;vertical-align:top}td{padding:1px 8px}.n td{text-align:right}"
                    ".n td:first-child{text-align:left}svg{width:100%}svg text{font:11px sans-serif}"
                    ".left{text-anchor:end}.middle{text-anchor:middle}.grid{stroke:#ddd}"
                    "pre{background:#f4f4f4;padding:1em;overflow:auto}figure{margin:1em 0}</style></head><body>\n<h1>");
    firn_html_text(s, title);
    firn_str_add(s, "</h1>\n");
}

const char *firn_html_colour(int i)
{
    static const char *const colours[] = { "#4477aa", "#ee6677", "#228833", "#aa3377",
                                           "#ccbb44", "#66ccee", "#777777", "#000000" };
    return colours[i % 8];
}

struct frame {
    double x0, x1, y0, y1, height;
    bool log_x;
};

static double across(const struct frame *f, double x)
{
    return f->log_x ? log2(x) : x;
}

static double px(const struct frame *f, double x)
{
    return LEFT + (WIDTH - RIGHT - LEFT) * (f->x1 > f->x0 ? (across(f, x) - f->x0) / (f->x1 - f->x0) : 0.5);
}

static double py(const struct frame *f, double y)
{
    return TOP + (f->height - BOTTOM - TOP) * (f->y1 - y) / (f->y1 - f->y0);
}

static double spread_of(const struct firn_plot_line *l, size_t i)
{
    return l->spread != NULL && isfinite(l->spread[i]) ? l->spread[i] : 0;
}

static bool fit(struct frame *f, const struct firn_plot *p)
{
    *f = (struct frame){ INFINITY, -INFINITY, INFINITY, -INFINITY, HEIGHT, p->log_x };
    for (int k = 0; k < p->n; k++)
        for (size_t i = 0; i < p->lines[k].n; i++) {
            const double y = p->lines[k].y[i], d = spread_of(&p->lines[k], i), x = across(f, p->lines[k].x[i]);
            if (!isfinite(y) || !isfinite(x))
                continue;
            f->x0 = fmin(f->x0, x);
            f->x1 = fmax(f->x1, x);
            f->y0 = fmin(f->y0, y - d);
            f->y1 = fmax(f->y1, y + d);
        }
    if (!(f->y0 <= f->y1))
        return false;
    if (f->y0 == f->y1)
        f->y1 = f->y0 + (f->y0 != 0 ? fabs(f->y0) : 1);
    return true;
}

/* A logarithmic axis is marked where the points are, a linear one at its ends. */
static void add_axes(struct firn_str *s, const struct firn_plot *p, const struct frame *f)
{
    for (int i = 0; i <= 4; i++) {
        const double value = f->y1 - (f->y1 - f->y0) * i / 4.0, y = py(f, value);
        firn_str_addf(s, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>"
                         "<text x=\"%d\" y=\"%.1f\" class=\"left\">%.4g</text>",
                      LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, value);
    }
    const double bottom = f->height - BOTTOM + 14;
    double seen[TICKS];
    int n = 0;
    for (int k = 0; k < p->n && p->log_x; k++)
        for (size_t i = 0; i < p->lines[k].n; i++) {
            const double x = px(f, p->lines[k].x[i]);
            bool is_free = isfinite(x) && n < TICKS;
            for (int j = 0; j < n && is_free; j++)
                is_free = fabs(seen[j] - x) > 40;
            if (!is_free)
                continue;
            seen[n++] = x;
            firn_str_addf(s, "<text x=\"%.1f\" y=\"%.1f\" class=\"middle\">%.6g</text>", x, bottom, p->lines[k].x[i]);
        }
    if (!p->log_x)
        firn_str_addf(s, "<text x=\"%d\" y=\"%.1f\">%.6g</text><text x=\"%d\" y=\"%.1f\" class=\"left\">%.6g</text>",
                      LEFT, bottom, f->x0, WIDTH - RIGHT, bottom, f->x1);
    firn_str_addf(s, "<text x=\"%d\" y=\"%.1f\" class=\"middle\">%s</text>", (LEFT + WIDTH - RIGHT) / 2, bottom + 14,
                  p->x_name);
}

static void add_line(struct firn_str *s, const struct frame *f, const struct firn_plot_line *l)
{
    firn_str_addf(s, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", l->colour);
    for (size_t i = 0; i < l->n; i++)
        if (isfinite(l->y[i]))
            firn_str_addf(s, "%.1f,%.1f ", px(f, l->x[i]), py(f, l->y[i]));
    firn_str_add(s, "\"/>");
    for (size_t i = 0; i < l->n; i++) {
        const double d = spread_of(l, i), x = px(f, l->x[i]);
        if (!isfinite(l->y[i]))
            continue;
        if (l->has_marks)
            firn_str_addf(s, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>", x, py(f, l->y[i]), l->colour);
        if (d > 0)
            firn_str_addf(s, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>", x, x,
                          py(f, l->y[i] - d), py(f, l->y[i] + d), l->colour);
    }
}

void firn_html_plot(struct firn_str *s, const struct firn_plot *p)
{
    struct frame f;
    if (!fit(&f, p))
        return;
    const int rows = (p->n + 3) / 4;
    firn_str_add(s, "<figure><figcaption>");
    firn_html_text(s, p->title);
    firn_str_addf(s, "</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\">", WIDTH, HEIGHT + LEGEND * rows);
    add_axes(s, p, &f);
    for (int k = 0; k < p->n; k++) {
        add_line(s, &f, &p->lines[k]);
        firn_str_addf(s, "<text x=\"%d\" y=\"%d\" fill=\"%s\">&#9632; ", LEFT + k % 4 * ((WIDTH - LEFT) / 4),
                      HEIGHT + LEGEND * (k / 4 + 1) - 6, p->lines[k].colour);
        firn_html_text(s, p->lines[k].name);
        firn_str_add(s, "</text>");
    }
    firn_str_add(s, "</svg></figure>\n");
}
