/* SPDX-License-Identifier: Apache-2.0 */
/* Opens devices by name; checks arguments before a device's own functions see them. */
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static firn_status open_auto(struct firn_device **device, const struct firn_device_params *params,
                             struct firn_error *err)
{
    struct firn_device_info *list = NULL;
    int count = 0, best = -1, best_rank = 0;
    if (firn_device_list(&list, &count, NULL) != FIRN_OK)
        count = 0;
    for (int i = 0; i < count; i++) {
        const int rank = strcmp(list[i].type, "discrete") == 0     ? 3
                         : strcmp(list[i].type, "integrated") == 0 ? 2
                         : strcmp(list[i].type, "virtual") == 0    ? 1
                                                                   : 0;
        if (list[i].unusable[0] == '\0' && rank > best_rank) {
            best = i;
            best_rank = rank;
        }
    }
    const int index = best >= 0 ? atoi(list[best].id + strlen("vulkan:")) : -1;
    free(list);
    if (index >= 0 && firn_vulkan_open(device, index, NULL, params, NULL) == FIRN_OK)
        return FIRN_OK;
    return firn_cpu_open(device, false, params->n_threads, err);
}

static firn_status open_vulkan(struct firn_device **device, const char *which,
                               const struct firn_device_params *params, struct firn_error *err)
{
    char *end;
    const long index = strtol(which, &end, 10);
    if (end != which && *end == '\0' && index >= 0 && index < 1000)
        return firn_vulkan_open(device, (int) index, NULL, params, err);
    return firn_vulkan_open(device, -1, which, params, err);
}

firn_status firn_device_open(struct firn_device **device, const char *name,
                             const struct firn_device_params *params, struct firn_error *err)
{
    static const struct firn_device_params defaults = { 0 };
    if (params == NULL)
        params = &defaults;
    *device = NULL;
    if (name == NULL || name[0] == '\0' || strcmp(name, "auto") == 0)
        name = getenv("FIRN_DEVICE");
    firn_status status;
    if (name == NULL || name[0] == '\0' || strcmp(name, "auto") == 0)
        status = open_auto(device, params, err);
    else if (strcmp(name, "cpu") == 0 || strcmp(name, "cpu:exact") == 0)
        status = firn_cpu_open(device, name[3] != '\0', params->n_threads, err);
    else if (strcmp(name, "vulkan") == 0)
        status = firn_vulkan_open(device, 0, NULL, params, err);
    else if (strncmp(name, "vulkan:", 7) == 0)
        status = open_vulkan(device, name + 7, params, err);
    else
        status = firn_fail(err, FIRN_ERR_USAGE, .key = "device",
                           .expected = "auto, cpu, cpu:exact, vulkan:N or vulkan:NAME", .got = name);
    if (status == FIRN_OK)
        (*device)->log = params->log;
    return status;
}

void firn_device_close(struct firn_device **device)
{
    if (*device != NULL)
        (*device)->ops->destroy(*device);
    *device = NULL;
}

const char *firn_device_name(const struct firn_device *device)
{
    return device->name;
}

const char *firn_device_id(const struct firn_device *device)
{
    return device->id;
}

firn_status firn_device_list(struct firn_device_info **list, int *count, struct firn_error *err)
{
    struct firn_device_info *found = NULL;
    int n = 0;
    if (firn_vulkan_list(&found, &n, NULL) != FIRN_OK)
        n = 0; /* no driver, no loader: the cpu device is still there */
    struct firn_device *cpu = NULL;
    firn_status status = firn_cpu_open(&cpu, false, 0, err);
    struct firn_device_info *all = NULL;
    if (status == FIRN_OK) {
        all = realloc(found, sizeof *all * (size_t) (n + 1));
        if (all == NULL)
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the device list");
    }
    if (status != FIRN_OK) {
        free(found);
        firn_device_close(&cpu);
        return status;
    }
    struct firn_device_info *info = &all[n];
    memset(info, 0, sizeof *info);
    snprintf(info->id, sizeof info->id, "cpu");
    snprintf(info->name, sizeof info->name, "%s", cpu->name);
    snprintf(info->driver, sizeof info->driver, "%s", cpu->driver);
    snprintf(info->device_class, sizeof info->device_class, "host");
    snprintf(info->type, sizeof info->type, "cpu");
    info->memory_bytes = cpu->limits.memory_bytes;
    firn_device_close(&cpu);
    *list = all;
    *count = n + 1;
    return FIRN_OK;
}

/* What is alive, by kind of memory; a device's own buffers (staging) are not among them. */
static void count(struct firn_device *d, const struct firn_buffer *b, bool is_born)
{
    uint64_t *sum = b->is_borrowed ? &d->borrowed : &d->bytes[b->memory];
    *sum = is_born ? *sum + b->size : *sum - b->size;
}

firn_status firn_buffer_create(struct firn_device *d, enum firn_memory memory, size_t size,
                               struct firn_buffer **out, struct firn_error *err)
{
    assert(size > 0);
    *out = NULL;
    const firn_status status = d->ops->buffer_create(d, memory, size, out, err);
    if (status == FIRN_OK)
        count(d, *out, true);
    return status;
}

firn_status firn_buffer_import(struct firn_device *d, const void *data, size_t size,
                               struct firn_buffer **out, struct firn_error *err)
{
    assert(d->ops->buffer_import != NULL && size > 0);
    *out = NULL;
    const firn_status status = d->ops->buffer_import(d, data, size, out, err);
    if (status == FIRN_OK)
        count(d, *out, true);
    return status;
}

void firn_buffer_destroy(struct firn_device *d, struct firn_buffer **b)
{
    if (*b != NULL) {
        count(d, *b, false);
        d->ops->buffer_destroy(d, *b);
    }
    *b = NULL;
}

static inline bool in_range(const struct firn_buffer *b, size_t offset, size_t size)
{
    return offset <= b->size && size <= b->size - offset;
}

firn_status firn_buffer_write(struct firn_device *d, struct firn_buffer *b, size_t offset,
                              const void *data, size_t size, struct firn_error *err)
{
    assert(in_range(b, offset, size));
    return size > 0 ? d->ops->write(d, b, offset, data, size, err) : FIRN_OK;
}

firn_status firn_buffer_read(struct firn_device *d, struct firn_buffer *b, size_t offset, void *data,
                             size_t size, struct firn_error *err)
{
    assert(in_range(b, offset, size));
    return size > 0 ? d->ops->read(d, b, offset, data, size, err) : FIRN_OK;
}

firn_status firn_program_create(struct firn_device *d, const struct firn_step *steps, int n_steps,
                                struct firn_program **out, struct firn_error *err)
{
    *out = NULL;
    return d->ops->program_create(d, steps, n_steps, out, err);
}

void firn_program_destroy(struct firn_device *d, struct firn_program **p)
{
    if (*p != NULL)
        d->ops->program_destroy(d, *p);
    *p = NULL;
}

firn_status firn_program_run(struct firn_device *d, struct firn_program *const *programs,
                             int n_programs, struct firn_error *err)
{
    return n_programs > 0 ? d->ops->run(d, programs, n_programs, err) : FIRN_OK;
}
