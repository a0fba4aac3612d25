/* SPDX-License-Identifier: Apache-2.0 */
/* The host devices: `cpu` runs each step's fast function over a pool of threads, `cpu:exact` its
 * reference. Buffers are plain memory, so weights are used where the file is mapped. */
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct cpu_device {
    struct firn_device base;
    struct firn_pool *pool;
};

struct cpu_buffer {
    struct firn_buffer base;
    char *data;
};

struct cpu_program {
    int n_steps;
    struct cpu_step {
        struct firn_call call;
        void (*host)(const struct firn_call *call);
    } steps[];
};

/* Large buffers come straight from the kernel: zeroed on first touch, and given back at once. */
static firn_status buffer_create(struct firn_device *d, enum firn_memory memory, size_t size,
                                 struct firn_buffer **out, struct firn_error *err)
{
    (void) d;
    struct cpu_buffer *b = calloc(1, sizeof *b);
    void *data = b == NULL ? MAP_FAILED
                           : mmap(NULL, size, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
        free(b);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = FIRN_STR("no %zu bytes of memory", size));
    }
    *b = (struct cpu_buffer){ { size, memory, false }, data };
    *out = &b->base;
    return FIRN_OK;
}

static firn_status buffer_import(struct firn_device *d, const void *data, size_t size,
                                 struct firn_buffer **out, struct firn_error *err)
{
    (void) d;
    struct cpu_buffer *b = calloc(1, sizeof *b);
    if (b == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a buffer");
    *b = (struct cpu_buffer){ { size, FIRN_MEM_DEVICE, true }, (char *) data };
    *out = &b->base;
    return FIRN_OK;
}

static void buffer_destroy(struct firn_device *d, struct firn_buffer *buffer)
{
    (void) d;
    struct cpu_buffer *b = (struct cpu_buffer *) buffer;
    if (!b->base.is_borrowed)
        munmap(b->data, b->base.size);
    free(b);
}

static firn_status buffer_write(struct firn_device *d, struct firn_buffer *b, size_t offset,
                                const void *data, size_t size, struct firn_error *err)
{
    (void) d;
    (void) err;
    memcpy(((struct cpu_buffer *) b)->data + offset, data, size);
    return FIRN_OK;
}

static firn_status buffer_read(struct firn_device *d, struct firn_buffer *b, size_t offset,
                               void *data, size_t size, struct firn_error *err)
{
    (void) d;
    (void) err;
    memcpy(data, ((struct cpu_buffer *) b)->data + offset, size);
    return FIRN_OK;
}

static void *address(const struct firn_bind *bind)
{
    return bind->buffer != NULL ? ((struct cpu_buffer *) bind->buffer)->data + bind->offset : NULL;
}

static firn_status program_create(struct firn_device *d, const struct firn_step *steps, int n_steps,
                                  struct firn_program **out, struct firn_error *err)
{
    struct cpu_program *p = calloc(1, sizeof *p + sizeof p->steps[0] * (size_t) n_steps);
    if (p == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a program");
    p->n_steps = n_steps;
    for (int i = 0; i < n_steps; i++) {
        const struct firn_step *s = &steps[i];
        struct firn_call *call = &p->steps[i].call;
        *call = s->call;
        for (int k = 0; k < s->n_in; k++)
            call->in[k].data = address(&s->in[k]);
        for (int j = 0; j < s->n_out; j++)
            call->out[j].data = address(&s->out[j]);
        call->scratch = address(&s->scratch);
        call->pool = ((struct cpu_device *) d)->pool;
        p->steps[i].host = s->host;
    }
    *out = (struct firn_program *) p;
    return FIRN_OK;
}

static void program_destroy(struct firn_device *d, struct firn_program *p)
{
    (void) d;
    free(p);
}

static firn_status run(struct firn_device *d, struct firn_program *const *programs, int n_programs,
                       struct firn_error *err)
{
    (void) d;
    (void) err;
    for (int i = 0; i < n_programs; i++) {
        const struct cpu_program *p = (const struct cpu_program *) programs[i];
        for (int k = 0; k < p->n_steps; k++)
            p->steps[k].host(&p->steps[k].call);
    }
    return FIRN_OK;
}

static void destroy(struct firn_device *d)
{
    struct cpu_device *cpu = (struct cpu_device *) d;
    firn_pool_destroy(&cpu->pool);
    free(cpu);
}

static const struct firn_device_ops cpu_ops = {
    .buffer_create = buffer_create,
    .buffer_import = buffer_import,
    .buffer_destroy = buffer_destroy,
    .write = buffer_write,
    .read = buffer_read,
    .program_create = program_create,
    .program_destroy = program_destroy,
    .run = run,
    .destroy = destroy,
};

/* The processor's name as Linux tells it; "host" elsewhere. */
static void read_name(char *name, size_t size)
{
    snprintf(name, size, "host");
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (f == NULL)
        return;
    char line[256];
    while (fgets(line, sizeof line, f) != NULL) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || value == NULL)
            continue;
        snprintf(name, size, "%.*s", (int) strcspn(value + 2, "\n"), value + 2);
        break;
    }
    fclose(f);
}

/* What may be taken without swapping: the page cache can go. 0: unknown. */
static uint64_t available(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");
    while (f != NULL && kib == 0 && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemAvailable: %llu", &kib) != 1)
            kib = 0;
    if (f != NULL)
        fclose(f);
    const long page = sysconf(_SC_PAGESIZE), pages = sysconf(_SC_AVPHYS_PAGES);
    return kib > 0 ? kib * 1024 : page > 0 && pages > 0 ? (uint64_t) page * (uint64_t) pages : 0;
}

firn_status firn_cpu_open(struct firn_device **out, bool exact, int n_threads,
                          struct firn_error *err)
{
    struct cpu_device *cpu = calloc(1, sizeof *cpu);
    if (cpu == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a device");
    const firn_status status = firn_pool_create(&cpu->pool, n_threads, err);
    if (status) {
        free(cpu);
        return status;
    }
    struct firn_device *d = &cpu->base;
    d->ops = &cpu_ops;
    d->is_host = true;
    d->is_exact = exact;
    snprintf(d->id, sizeof d->id, exact ? "cpu:exact" : "cpu");
    read_name(d->name, sizeof d->name);
    d->limits = (struct firn_limits){
        .device_class = FIRN_CLASS_HOST,
        .subgroup_size = 1,
        .max_lanes = 1,
        .max_groups = { UINT32_MAX, UINT32_MAX, UINT32_MAX },
        .max_binding_bytes = SIZE_MAX,
        .max_alloc_bytes = SIZE_MAX,
        .bind_align = 64,
        .memory_bytes = available(),
        .n_threads = firn_pool_threads(cpu->pool),
    };
    snprintf(d->driver, sizeof d->driver, exact ? "reference, float64 sums" : "%d threads",
             d->limits.n_threads);
    *out = d;
    return FIRN_OK;
}
