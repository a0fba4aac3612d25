/* SPDX-License-Identifier: Apache-2.0 */
/* Learning-rate schedules. */
#include "train/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

double firn_schedule_rate(const struct firn_schedule *s, int64_t k)
{
    const double step = (double) k, warmup = (double) s->warmup, total = (double) s->total;
    if (k < s->warmup && s->type != FIRN_SCHEDULE_CONSTANT)
        return s->peak * step / fmax(1, warmup);
    switch (s->type) {
    case FIRN_SCHEDULE_CONSTANT:
    case FIRN_SCHEDULE_CONSTANT_WARMUP:
        return s->peak;
    case FIRN_SCHEDULE_LINEAR:
        return s->peak * fmax(0, (total - step) / fmax(1, total - warmup));
    case FIRN_SCHEDULE_COSINE:
        return s->peak * fmax(0, 0.5 * (1 + cos(pi * (step - warmup) / fmax(1, total - warmup))));
    case FIRN_SCHEDULE_INVERSE_SQRT: {
        const double scale = s->warmup > 0 ? warmup : 10000;
        return s->peak / sqrt((step + scale - warmup) / scale);
    }
    }
    return s->peak;
}
