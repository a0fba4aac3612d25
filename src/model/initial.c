/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a model that was never trained, as transformers draws them: matrices normal with the configuration's
 * initializer_range (or the architecture's own rule), biases zero, norms one. */
#include "model/model.h"

#include "base/hash.h"
#include "base/rng.h"

#include <string.h>

static float of_vector(const struct firn_model *m, const char *name)
{
    const size_t n = strlen(name);
    const bool is_bias = n >= 4 && strcmp(name + n - 4, "bias") == 0;
    return is_bias ? 0 : 1 - m->config.norm_offset;
}

void firn_model_initial(const struct firn_model *m, const struct firn_param_set *params, uint64_t seed, float *flat)
{
    for (size_t i = 0; i < params->count; i++) {
        const struct firn_param *p = &params->list[i];
        const uint32_t stream = (uint32_t) firn_fnv1a(FIRN_FNV_START, p->name, strlen(p->name));
        double std = m->arch->init_std != NULL ? m->arch->init_std(&m->config, p->name) : 0;
        if (std <= 0)
            std = m->config.init_range > 0 ? m->config.init_range : 0.02;
        float *x = flat + p->offset;
        const float constant = of_vector(m, p->name);
        for (int64_t k = 0; k < firn_shape_count(&p->shape); k++)
            x[k] = p->shape.rank > 1 ? (float) (std * (double) firn_normal(seed, stream, 0, (uint64_t) k)) : constant;
    }
}
