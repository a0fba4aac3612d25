/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of self-contained HTML pages: escaped text, the head with its style, line plots as SVG. */
#ifndef FIRN_BASE_HTML_H
#define FIRN_BASE_HTML_H

#include "base/str.h"

/* `text` with <, >, & and " escaped. */
void firn_html_text(struct firn_str *s, const char *text);
/* From the doctype to the <h1> with the page's title. */
void firn_html_head(struct firn_str *s, const char *title);

/* A line through n points; y that is not finite leaves a point out. spread (may be NULL): half the height of a bar
 * through each point. */
struct firn_plot_line {
    const char *name, *colour;
    const double *x, *y, *spread;
    size_t n;
    bool has_marks; /* a dot at each point */
    bool is_dashed;
};

struct firn_plot {
    const char *title, *x_name, *y_name; /* y_name: NULL where the title says it */
    bool log_x;     /* x > 0, logarithmic */
    bool shares_x;  /* all lines have points at the same few x: these are marked, and points stand side by side, so that
                       their bars can be told apart */
    const struct firn_plot_line *lines;
    int n;
};

/* Adds nothing when no line has a point. */
void firn_html_plot(struct firn_str *s, const struct firn_plot *p);
/* One of eight colours that people with colour blindness tell apart (Paul Tol's bright scheme, and that of the text);
 * then they come again, and lines are dashed. */
const char *firn_html_colour(int i);
bool firn_html_is_dashed(int i);

#endif
