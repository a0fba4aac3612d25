/* SPDX-License-Identifier: Apache-2.0 */
/* What the data says about the four things that are said of small trained parts: fewer parameters, less overfitting,
 * better out of domain, good on little data. Each method is held against full fine-tuning, with Welch's statistic over
 * seeds: a difference below two standard errors is none. */
#include "compare/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int baseline_of(const struct firn_compare *c)
{
    for (int m = 0; m < c->n_methods; m++)
        if (strcmp(json_string_value(json_object_get(c->methods[m].settings, "type")), "full") == 0)
            return m;
    return 0;
}

/* Better is positive, whatever the metric. */
static double sign_of(const struct firn_compare *c)
{
    return c->is_share ? 1 : -1;
}

/* By how much a method's model does worse on new examples than on those it saw. */
static struct firn_statistic gap(const struct firn_compare *c, int size, int method, enum firn_part seen, enum firn_part unseen)
{
    struct firn_statistic s = { .mean = NAN };
    double sum = 0, squares = 0;
    for (int k = 0; k < c->n_seeds; k++) {
        const struct firn_cell *cell = firn_compare_cell(c, size, method, k);
        const double x = sign_of(c) * (cell->quality[seen] - cell->quality[unseen]);
        if (!cell->is_done || !isfinite(x))
            continue;
        sum += x;
        squares += x * x;
        s.n++;
    }
    if (s.n > 0)
        s.mean = sum / s.n;
    s.spread = s.n > 1 ? sqrt(fmax(0, squares - sum * sum / s.n) / (s.n - 1)) : 0;
    return s;
}

/* -1, 0, 1: a is below, not measurably different from, above b. */
static int compare(struct firn_statistic a, struct firn_statistic b)
{
    if (a.n < 2 || b.n < 2)
        return 0;
    const double error = sqrt(a.spread * a.spread / a.n + b.spread * b.spread / b.n), d = a.mean - b.mean;
    return d > 2 * error && d > 0 ? 1 : d < -2 * error && d < 0 ? -1 : 0;
}

static struct firn_statistic better(const struct firn_compare *c, int size, int method, enum firn_part part)
{
    struct firn_statistic s = firn_compare_quality(c, size, method, part);
    s.mean *= sign_of(c);
    return s;
}

static const char *points(const struct firn_compare *c, char text[64], double difference)
{
    return c->is_share ? firn_format(text, 64, "%+.1f points", 100 * difference) : firn_format(text, 64, "%+.3f", difference);
}

struct claim {
    const char *says, *holds, *fails, *open;
};

/* One sentence: which methods bear a claim out, which speak against it, which neither. */
static void judge(const struct firn_compare *c, struct firn_str *text, const struct claim *claim, const int *verdict,
                  const double *difference, int base)
{
    const char *const words[3] = { claim->fails, claim->open, claim->holds };
    firn_str_addf(text, "%s", claim->says);
    for (int v = 1; v >= -1; v--) {
        bool is_first = true;
        for (int m = 0; m < c->n_methods; m++) {
            char buffer[64];
            if (m == base || verdict[m] != v || !isfinite(difference[m]))
                continue;
            firn_str_addf(text, is_first ? " %s: " : ", ", words[v + 1]);
            firn_str_addf(text, "%s (%s)", c->methods[m].name, points(c, buffer, difference[m]));
            is_first = false;
        }
        if (!is_first)
            firn_str_add(text, ".");
    }
    firn_str_add(text, "\n");
}

static void add_parameters(const struct firn_compare *c, struct firn_str *text, int base, int size)
{
    const double all = firn_compare_statistic(c, size, base, firn_cell_trainable).mean;
    firn_str_addf(text, "Fewer parameters, as a share of the %.0f that %s trains:", all, c->methods[base].name);
    for (int m = 0, n = 0; m < c->n_methods; m++) {
        const double x = firn_compare_statistic(c, size, m, firn_cell_trainable).mean;
        if (m == base || !isfinite(x))
            continue;
        firn_str_addf(text, "%s %s %.3f %%", n++ > 0 ? "," : "", c->methods[m].name, 100 * x / all);
    }
    firn_str_add(text, ".\n");
}

static const char *amount(const struct firn_compare *c, int size, char text[64])
{
    return c->sizes[size] > 0 ? firn_format(text, 64, "%lld examples", (long long) c->sizes[size]) : "all examples";
}

void firn_compare_findings(const struct firn_compare *c, struct firn_str *text)
{
    enum { MAX = 1000 };
    const int base = baseline_of(c);
    int smallest = -1, largest = -1, verdict[MAX];
    double difference[MAX];
    char at[64];
    for (int s = 0; s < c->n_sizes; s++) {
        if (firn_compare_quality(c, s, base, FIRN_PART_TRAIN).n == 0)
            continue;
        const int64_t n = c->sizes[s] > 0 ? c->sizes[s] : INT64_MAX;
        if (smallest < 0 || n < (c->sizes[smallest] > 0 ? c->sizes[smallest] : INT64_MAX))
            smallest = s;
        if (largest < 0 || n > (c->sizes[largest] > 0 ? c->sizes[largest] : INT64_MAX))
            largest = s;
    }
    if (largest < 0 || c->n_methods < 2)
        return;
    if (c->n_seeds < 2)
        firn_str_add(text, "With one seed no difference can be told from chance; give two or more.\n");
    add_parameters(c, text, base, largest);
    const bool has_test = firn_compare_quality(c, largest, base, FIRN_PART_TEST).n > 0;
    const enum firn_part inside = has_test ? FIRN_PART_TEST : FIRN_PART_VALIDATION;
    for (int k = 0; k < 2; k++) {
        const int size = k == 0 ? smallest : largest;
        if (k == 1 && smallest == largest)
            break;
        for (int m = 0; m < c->n_methods; m++) {
            const struct firn_statistic a = gap(c, size, m, FIRN_PART_TRAIN, inside);
            const struct firn_statistic b = gap(c, size, base, FIRN_PART_TRAIN, inside);
            verdict[m] = -compare(a, b);
            difference[m] = a.mean - b.mean;
        }
        const struct claim claim = {
            FIRN_STR("Less overfitting with %s (gap between training and %s %s, against %s):", amount(c, size, at),
                     firn_part_words[inside], c->metric, c->methods[base].name),
            "a smaller gap", "a LARGER gap, against the claim", "no measurable difference" };
        judge(c, text, &claim, verdict, difference, base);
    }
    if (firn_compare_quality(c, largest, base, FIRN_PART_OUT).n > 0) {
        for (int m = 0; m < c->n_methods; m++) {
            const struct firn_statistic a = better(c, largest, m, FIRN_PART_OUT), b = better(c, largest, base, FIRN_PART_OUT);
            verdict[m] = compare(a, b);
            difference[m] = a.mean - b.mean;
        }
        const struct claim claim = { FIRN_STR("Better out of domain with %s (%s there, against %s):",
                                              amount(c, largest, at), c->metric, c->methods[base].name),
                                     "better", "WORSE, against the claim", "no measurable difference" };
        judge(c, text, &claim, verdict, difference, base);
    }
    for (int m = 0; m < c->n_methods; m++) {
        const struct firn_statistic a = better(c, smallest, m, inside), b = better(c, smallest, base, inside);
        verdict[m] = compare(a, b);
        difference[m] = a.mean - b.mean;
    }
    const struct claim claim = { FIRN_STR("Good on little data, %s (%s %s, against %s):", amount(c, smallest, at),
                                          firn_part_words[inside], c->metric, c->methods[base].name),
                                 "better", "WORSE, against the claim", "no measurable difference" };
    judge(c, text, &claim, verdict, difference, base);
}
