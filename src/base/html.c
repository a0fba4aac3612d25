/* SPDX-License-Identifier: Apache-2.0 */
/* Writes HTML and SVG into a text. */
#include "base/html.h"

#include <math.h>

enum { WIDTH = 640, HEIGHT = 300, LEFT = 50, RIGHT = 16, TOP = 20, BOTTOM = 34, LEGEND = 18, TICKS = 12, COLOURS = 8 };

void firn_html_text(struct firn_str *s, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '<')
            firn_str_add(s, "&lt;");
        else if (*text == '>')
            firn_str_add(s, "&gt;");
        else if (*text == '&')
            firn_str_add(s, "&amp;");
        else if (*text == '"')
            firn_str_add(s, "&quot;");
        else
            firn_str_add_n(s, text, 1);
    }
}

void firn_html_head(struct firn_str *s, const char *title)
{
    firn_str_add(s, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>firn: ");
    firn_html_text(s, title);
    firn_str_add(s, "</title><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>"
                    ":root{color-scheme:light dark;--text:#222;--back:#fff;--faint:#555;--line:#ddd;--box:#f4f4f4}"
                    "@media(prefers-color-scheme:dark){:root{--text:#ddd;--back:#181818;--faint:#aaa;--line:#444;--box:#262626}}"
                    "body{font:15px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:var(--text);"
                    "background:var(--back)}table{border-collapse:collapse}th{text-align:left;font-weight:normal;"
                    "color:var(--faint);padding-right:1em;vertical-align:top}td{padding:1px 8px}.n td,.n th{text-align:right;"
                    "white-space:nowrap}.n th{padding:1px 8px}.n td:first-child,.n th:first-child{text-align:left}"
                    ".n tr{border-bottom:1px solid var(--line)}.wide{overflow-x:auto}svg{width:100%;min-width:560px}"
                    "svg text{font:11px sans-serif;fill:var(--text)}.left{text-anchor:end}.middle{text-anchor:middle}"
                    ".grid{stroke:var(--line)}pre{background:var(--box);padding:1em;overflow:auto}.wrap{white-space:pre-wrap}"
                    "figure{margin:1.5em 0;overflow-x:auto}figcaption{font-weight:bold}</style></head><body>\n<h1>");
    firn_html_text(s, title);
    firn_str_add(s, "</h1>\n");
}

const char *firn_html_colour(int i)
{
    static const char *const colours[COLOURS] = { "#4477aa", "#ee6677", "#228833", "#aa3377",
                                                  "#ccbb44", "#66ccee", "#888888", "var(--text)" };
    return colours[i % COLOURS];
}

bool firn_html_is_dashed(int i)
{
    return i / COLOURS % 2 == 1;
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
    if (p->log_x && f->x1 > f->x0) { /* room around dots */
        const double room = 0.03 * (f->x1 - f->x0);
        f->x0 -= room;
        f->x1 += room;
    }
    if (f->y0 == f->y1) {
        const double room = f->y0 != 0 ? 0.05 * fabs(f->y0) : 1;
        f->y0 -= room;
        f->y1 += room;
    }
    return true;
}

/* 1, 2 or 5 times a power of ten, so that about five steps fit. */
static double round_step(double range)
{
    const double power = pow(10, floor(log10(range / 5))), x = range / 5 / power;
    return power * (x <= 1 ? 1 : x <= 2 ? 2 : x <= 5 ? 5 : 10);
}

/* 0.05, 20, 5k, 10M. */
static void add_mark(struct firn_str *s, double x, double y, double value)
{
    const bool is_large = value >= 1e6, is_middle = value >= 1e4 && !is_large;
    firn_str_addf(s, "<text x=\"%.1f\" y=\"%.1f\" class=\"middle\">%.6g%s</text>", x, y,
                  is_large ? value / 1e6 : is_middle ? value / 1e3 : value, is_large ? "M" : is_middle ? "k" : "");
}

/* Amounts that all lines share: there, as far as they do not run into each other. */
static void mark_shared(struct firn_str *s, const struct firn_plot *p, const struct frame *f, double bottom)
{
    double seen[TICKS];
    int n = 0;
    for (int k = 0; k < p->n; k++)
        for (size_t i = 0; i < p->lines[k].n; i++) {
            const double x = px(f, p->lines[k].x[i]);
            bool is_free = isfinite(x) && n < TICKS;
            for (int j = 0; j < n && is_free; j++)
                is_free = fabs(seen[j] - x) > 40;
            if (!is_free)
                continue;
            seen[n++] = x;
            add_mark(s, x, bottom, p->lines[k].x[i]);
        }
}

/* Each power of ten, and where they are few also twice and five times it. */
static void mark_decades(struct firn_str *s, const struct frame *f, double bottom)
{
    static const double factors[] = { 1, 2, 5 };
    const double low = floor(f->x0 * log10(2)), high = f->x1 * log10(2);
    for (double power = low; power <= high; power++)
        for (int i = 0; i < (high - low > 4 ? 1 : 3); i++) {
            const double value = factors[i] * pow(10, power);
            if (log2(value) >= f->x0 && log2(value) <= f->x1)
                add_mark(s, px(f, value), bottom, value);
        }
}

static void add_x_axis(struct firn_str *s, const struct firn_plot *p, const struct frame *f)
{
    const double bottom = f->height - BOTTOM + 14, step = round_step(f->x1 > f->x0 ? f->x1 - f->x0 : 1);
    if (p->log_x && p->shares_x)
        mark_shared(s, p, f, bottom);
    else if (p->log_x)
        mark_decades(s, f, bottom);
    for (double x = ceil(f->x0 / step) * step; !p->log_x && x <= f->x1 + step * 1e-9; x += step)
        add_mark(s, px(f, x), bottom, x);
    firn_str_addf(s, "<text x=\"%d\" y=\"%.1f\" class=\"middle\">%s</text>", (LEFT + WIDTH - RIGHT) / 2, bottom + 14,
                  p->x_name);
}

static void add_axes(struct firn_str *s, const struct firn_plot *p, const struct frame *f)
{
    const double step = round_step(f->y1 - f->y0);
    for (double value = ceil(f->y0 / step) * step; value <= f->y1 + step * 1e-9; value += step) {
        const double y = py(f, value);
        firn_str_addf(s, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>"
                         "<text x=\"%d\" y=\"%.1f\" class=\"left\">%.4g</text>",
                      LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, fabs(value) < step * 1e-9 ? 0.0 : value);
    }
    if (p->y_name != NULL)
        firn_str_addf(s, "<text x=\"2\" y=\"11\">%s</text>", p->y_name);
    add_x_axis(s, p, f);
}

/* `aside`: pixels by which the line's points stand beside their x. */
static void add_line(struct firn_str *s, const struct frame *f, const struct firn_plot_line *l, double aside)
{
    firn_str_addf(s, "<polyline fill=\"none\" style=\"stroke:%s\" stroke-width=\"1.5\"%s points=\"", l->colour,
                  l->is_dashed ? " stroke-dasharray=\"5 3\"" : "");
    for (size_t i = 0; i < l->n; i++)
        if (isfinite(l->y[i]) && isfinite(px(f, l->x[i])))
            firn_str_addf(s, "%.1f,%.1f ", px(f, l->x[i]) + aside, py(f, l->y[i]));
    firn_str_add(s, "\"/>");
    for (size_t i = 0; i < l->n; i++) {
        const double d = spread_of(l, i), x = px(f, l->x[i]) + aside;
        if (!isfinite(l->y[i]) || !isfinite(x))
            continue;
        if (d > 0)
            firn_str_addf(s, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" style=\"stroke:%s\"/>", x, x,
                          py(f, l->y[i] - d), py(f, l->y[i] + d), l->colour);
        if (!l->has_marks)
            continue;
        firn_str_addf(s, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" style=\"stroke:%s;fill:%s\"><title>", x, py(f, l->y[i]),
                      l->colour, l->is_dashed ? "var(--back)" : l->colour);
        firn_html_text(s, l->name);
        firn_str_addf(s, ": %.4g at %.6g", l->y[i], l->x[i]);
        if (d > 0)
            firn_str_addf(s, ", spread %.2g", d);
        firn_str_add(s, "</title></circle>");
    }
}

static void add_legend(struct firn_str *s, const struct firn_plot_line *l, int k)
{
    const int x = LEFT + k % 4 * ((WIDTH - LEFT) / 4), y = HEIGHT + LEGEND * (k / 4 + 1) - 6;
    firn_str_addf(s, "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke-width=\"2\" style=\"stroke:%s\"%s/>", x, x + 20,
                  y - 4, y - 4, l->colour, l->is_dashed ? " stroke-dasharray=\"5 3\"" : "");
    if (l->has_marks)
        firn_str_addf(s, "<circle cx=\"%d\" cy=\"%d\" r=\"3.5\" style=\"stroke:%s;fill:%s\"/>", x + 10, y - 4, l->colour,
                      l->is_dashed ? "var(--back)" : l->colour);
    firn_str_addf(s, "<text x=\"%d\" y=\"%d\">", x + 26, y);
    firn_html_text(s, l->name);
    firn_str_add(s, "</text>");
}

void firn_html_plot(struct firn_str *s, const struct firn_plot *p)
{
    struct frame f;
    if (!fit(&f, p))
        return;
    const int rows = (p->n + 3) / 4;
    firn_str_add(s, "<figure><figcaption>");
    firn_html_text(s, p->title);
    firn_str_addf(s, "</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT + LEGEND * rows);
    firn_html_text(s, p->title);
    firn_str_add(s, "\">");
    add_axes(s, p, &f);
    for (int k = 0; k < p->n; k++) {
        add_line(s, &f, &p->lines[k], p->shares_x ? 3 * (k - (p->n - 1) / 2.0) : 0);
        add_legend(s, &p->lines[k], k);
    }
    firn_str_add(s, "</svg></figure>\n");
}
