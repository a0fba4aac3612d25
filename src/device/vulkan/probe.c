/* SPDX-License-Identifier: Apache-2.0 */
/* The start-up test of subgroup arithmetic: some drivers advertise it and sum wrongly. A full work group
 * sums a known pattern; the verdict is kept on disk for this device and driver. */
#include "device/vulkan/compile.h"
#include "device/vulkan/state.h"

#include <stdlib.h>
#include <string.h>

enum { GROUPS = 3 };

static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    (void) call;
    d->groups[0] = GROUPS;
    firn_spec(d, limits->max_lanes < 256 ? limits->max_lanes : 256);
}

const struct firn_kernel firn_vulkan_probe_kernel = { .name = "subgroup_test",
                                                      .shader = "subgroup_test",
                                                      .needs = FIRN_CAP_SUBGROUP,
                                                      .setup = setup };

/* x[i] = a small integer, so that every order of summation is exact. */
static uint32_t pattern(uint32_t i)
{
    return (i * 2654435761u >> 20) % 1000;
}

/* out[i] holds {the sum over i's subgroup, its id, its size} as the shader saw them. */
static bool check(const uint32_t *out, uint32_t lanes, uint32_t subgroup_size)
{
    for (uint32_t g = 0; g < GROUPS; g++)
        for (uint32_t i = 0; i < lanes; i++) {
            const uint32_t *mine = out + 4 * (g * lanes + i);
            uint32_t sum = 0, count = 0;
            for (uint32_t j = 0; j < lanes; j++)
                if (out[4 * (g * lanes + j) + 1] == mine[1]) {
                    sum += pattern(g * lanes + j);
                    count++;
                }
            if (mine[0] != sum || mine[2] != subgroup_size || mine[3] != count || count == 0)
                return false;
        }
    return true;
}

firn_status firn_vk_probe_run(struct firn_vk *d, const struct firn_kernel *kernel, const char *label, const void *in,
                              size_t in_size, void *out, size_t out_size, struct firn_error *err)
{
    struct firn_device *dev = &d->base;
    struct firn_step step = { .label = label, .n_in = 1, .n_out = 1, .kernel = kernel };
    struct firn_program *program = NULL;
    step.in[0].size = in_size;
    step.out[0].size = out_size;
    firn_status s = firn_vk_buffer_create(dev, FIRN_MEM_INPUT, in_size, &step.in[0].buffer, err);
    if (s == FIRN_OK)
        s = firn_vk_buffer_create(dev, FIRN_MEM_OUTPUT, out_size, &step.out[0].buffer, err);
    if (s == FIRN_OK)
        s = firn_vk_write(dev, step.in[0].buffer, 0, in, in_size, err);
    if (s == FIRN_OK)
        s = firn_vk_program_create(dev, &step, 1, &program, err);
    if (s == FIRN_OK)
        s = firn_vk_run(dev, &program, 1, err);
    if (s == FIRN_OK)
        s = firn_vk_read(dev, step.out[0].buffer, 0, out, out_size, err);
    firn_vk_program_destroy(dev, program);
    firn_vk_buffer_destroy(dev, step.in[0].buffer);
    firn_vk_buffer_destroy(dev, step.out[0].buffer);
    return s;
}

static firn_status run(struct firn_vk *d, bool *works, struct firn_error *err)
{
    struct firn_dispatch dispatch = { 0 };
    setup(NULL, &d->base.limits, &dispatch);
    const uint32_t lanes = dispatch.spec[0];
    const size_t n = (size_t) lanes * GROUPS;
    uint32_t *in = malloc(n * sizeof *in), *out = calloc(4 * n, sizeof *out);
    firn_status s = FIRN_OK;
    if (in == NULL || out == NULL)
        s = firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for the subgroup test");
    for (uint32_t i = 0; s == FIRN_OK && i < n; i++)
        in[i] = pattern(i);
    if (s == FIRN_OK)
        s = firn_vk_probe_run(d, &firn_vulkan_probe_kernel, "subgroup self-test", in, n * sizeof *in, out,
                              4 * n * sizeof *out, err);
    if (s == FIRN_OK)
        *works = check(out, lanes, d->caps.limits.subgroup_size);
    free(in);
    free(out);
    return s;
}

static struct firn_vk_key key_of(const struct firn_vk_caps *c, const struct firn_limits *limits)
{
    struct firn_vk_key key = firn_vk_key_start("subgroup test 1");
    firn_vk_key_add(&key, c->uuid, sizeof c->uuid);
    firn_vk_key_add(&key, c->driver_uuid, sizeof c->driver_uuid);
    firn_vk_key_add(&key, &c->props.driverVersion, sizeof c->props.driverVersion);
    firn_vk_key_add(&key, c->props.deviceName, strlen(c->props.deviceName));
    firn_vk_key_add(&key, &limits->max_lanes, sizeof limits->max_lanes);
    return key;
}

bool firn_vk_probe_known(const struct firn_vk_cache *cache, const struct firn_vk_caps *caps,
                         const struct firn_limits *limits, bool *works)
{
    const struct firn_vk_key key = key_of(caps, limits);
    size_t size;
    char *verdict = firn_vk_cache_load(cache, "subgroup", &key, &size);
    const bool is_known = verdict != NULL && size == 1;
    if (is_known)
        *works = verdict[0] == 'y';
    free(verdict);
    return is_known;
}

firn_status firn_vk_probe_subgroup(struct firn_vk *d, bool *works, struct firn_error *err)
{
    if (firn_vk_probe_known(&d->cache, &d->caps, &d->base.limits, works))
        return FIRN_OK;
    struct firn_error why = { 0 };
    *works = false;
    const firn_status s = run(d, works, &why);
    if (s == FIRN_ERR_DEVICE || s == FIRN_ERR_MEMORY)
        return firn_fail(err, s, .what = why.text);
    if (!*works)
        firn_log_line(&d->base.log, FIRN_LOG_WARN,
                      "%s: subgroup arithmetic fails its test and is not used%s%s", d->base.name,
                      s != FIRN_OK ? ": " : "", why.text);
    if (s == FIRN_OK) {
        const struct firn_vk_key key = key_of(&d->caps, &d->base.limits);
        firn_vk_cache_store(&d->cache, "subgroup", &key, *works ? "y" : "n", 1);
    }
    return FIRN_OK;
}
