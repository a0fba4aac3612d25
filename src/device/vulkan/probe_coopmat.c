/* SPDX-License-Identifier: Apache-2.0 */
/* The start-up test of cooperative matrices: one subgroup multiplies two small matrices of whole numbers. A compiler that does
 * not know them, a driver that does not do them, and a wrong result all mean that they are not used. */
#include "device/vulkan/state.h"

#include <stdlib.h>
#include <string.h>

static void setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    (void) call;
    d->groups[0] = 1;
    firn_spec(d, limits->coop_m);
    firn_spec(d, limits->coop_n);
    firn_spec(d, limits->coop_k);
}

const struct firn_kernel firn_vulkan_coopmat_kernel = { .name = "coopmat_test", .shader = "coopmat_test",
                                                        .needs = FIRN_CAP_COOPMAT, .setup = setup };

static float value(uint32_t i)
{
    return (float) ((i * 2654435761u >> 20) % 17) - 8;
}

static bool check(const float *x, const float *y, const struct firn_limits *l)
{
    for (uint32_t i = 0; i < l->coop_m; i++)
        for (uint32_t j = 0; j < l->coop_n; j++) {
            float sum = 0; /* exact in every order */
            for (uint32_t q = 0; q < l->coop_k; q++)
                sum += x[i * l->coop_k + q] * x[l->coop_m * l->coop_k + q * l->coop_n + j];
            if (y[i * l->coop_n + j] != sum)
                return false;
        }
    return y[l->coop_m * l->coop_n] == (float) l->subgroup_size;
}

static firn_status run(struct firn_vk *d, bool *works, struct firn_error *err)
{
    const struct firn_limits *l = &d->base.limits;
    const size_t n_in = (size_t) l->coop_k * (l->coop_m + l->coop_n), n_out = (size_t) l->coop_m * l->coop_n + 1;
    float *in = malloc(n_in * sizeof *in), *out = calloc(n_out, sizeof *out);
    firn_status s = in != NULL && out != NULL ? FIRN_OK
                                              : firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for the matrix test");
    for (uint32_t i = 0; s == FIRN_OK && i < n_in; i++)
        in[i] = value(i);
    if (s == FIRN_OK)
        s = firn_vk_probe_run(d, &firn_vulkan_coopmat_kernel, "cooperative matrix self-test", in, n_in * sizeof *in, out,
                              n_out * sizeof *out, err);
    if (s == FIRN_OK)
        *works = check(in, out, l);
    free(in);
    free(out);
    return s;
}

firn_status firn_vk_probe_coopmat(struct firn_vk *d, bool *works, struct firn_error *err)
{
    struct firn_error why = { 0 };
    *works = false;
    const firn_status s = run(d, works, &why);
    if (s == FIRN_ERR_DEVICE || s == FIRN_ERR_MEMORY)
        return firn_fail(err, s, .what = why.text);
    if (!*works)
        firn_log_line(&d->base.log, FIRN_LOG_WARN, "%s: cooperative matrices fail their test and are not used%s%s",
                      d->base.name, s != FIRN_OK ? ": " : "", why.text);
    return FIRN_OK;
}
