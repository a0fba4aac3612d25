/* SPDX-License-Identifier: Apache-2.0 */
/* Counts processor time and the most memory held during one call. The allocator of the C library is stood in for by
 * functions that count; mapped files are not memory of the process. */
#include "limits.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Sanitizers slow everything down; without them 50 ms is what the design promises. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#define MOST_MS 1000.0
#else
#define MOST_MS 50.0
#endif
/* Twice the file, and what a file of no size may ask for (base/json.c). */
#define MOST_BYTES(size) (2 * (int64_t) (size) + (9 << 20))

double worst_ms, worst_ratio;

#if defined(__GLIBC__) && !defined(SANITIZED)
#include <malloc.h>
const int hostile_counts_memory = 1;
static _Atomic int64_t held, most;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

static void *grown(void *p)
{
    if (p != NULL) {
        const int64_t now = atomic_fetch_add(&held, (int64_t) malloc_usable_size(p)) + (int64_t) malloc_usable_size(p);
        int64_t before = atomic_load(&most);
        while (now > before && !atomic_compare_exchange_weak(&most, &before, now)) { }
    }
    return p;
}

static void shrunk(void *p)
{
    if (p != NULL)
        atomic_fetch_sub(&held, (int64_t) malloc_usable_size(p));
}

void *malloc(size_t n)
{
    return grown(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return grown(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    const int64_t before = p != NULL ? (int64_t) malloc_usable_size(p) : 0;
    void *q = __libc_realloc(p, n);
    if (q != NULL || n == 0)
        atomic_fetch_sub(&held, before);
    return grown(q);
}

void *memalign(size_t align, size_t n)
{
    return grown(__libc_memalign(align, n));
}

void *aligned_alloc(size_t align, size_t n)
{
    return grown(__libc_memalign(align, n));
}

int posix_memalign(void **p, size_t align, size_t n)
{
    *p = grown(__libc_memalign(align, n));
    return *p == NULL ? 12 : 0;
}

void free(void *p)
{
    shrunk(p);
    __libc_free(p);
}
#else
const int hostile_counts_memory = 0;
static int64_t held, most;
#endif

/* Thousands of files are written here, and none need outlast the machine. */
int fsync(int fd);
int fsync(int fd)
{
    return fd < 0 ? -1 : 0;
}

static double now_ms(void)
{
    struct timespec t = { 0 };
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double) t.tv_sec * 1e3 + (double) t.tv_nsec * 1e-6;
}

firn_status limited(const struct reader *r, size_t size, const char *what)
{
    struct firn_error err = { 0 };
    const int64_t before = held;
    most = before;
    const double start = now_ms();
    const firn_status status = r->read(scratch_path(r->place), &err);
    const double ms = now_ms() - start;
    const int64_t bytes = most - before;
    const double ratio = (double) bytes / (double) MOST_BYTES(size);
    worst_ms = ms > worst_ms ? ms : worst_ms;
    worst_ratio = ratio > worst_ratio ? ratio : worst_ratio;
    if (status != FIRN_OK && err.text[0] == '\0')
        fail_msg("%s, %s: %s without a reason", r->name, what, firn_status_name(status));
    if (status != FIRN_OK && err.status != status)
        fail_msg("%s, %s: two statuses for '%s'", r->name, what, err.text);
    if (ms > MOST_MS)
        fail_msg("%s, %s: %.1f ms of processor time, at most %.0f (%s)", r->name, what, ms, MOST_MS, err.text);
    if (bytes > MOST_BYTES(size))
        fail_msg("%s, %s: %lld bytes of memory for a file of %zu (%s)", r->name, what, (long long) bytes, size, err.text);
    if (held > before && strcmp(what, "the first time") != 0)
        fail_msg("%s, %s: %lld bytes are never given back (%s)", r->name, what, (long long) (held - before), err.text);
    return status;
}

uint8_t *hostile_bytes(const char *name, size_t *size)
{
    FILE *f = fopen(scratch_path(name), "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = (size_t) ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    fclose(f);
    return bytes;
}

void hostile_write(const char *name, const void *bytes, size_t size)
{
    remove(scratch_path(name)); // a file that is cut and written again may wait for the disk
    FILE *f = fopen(scratch_path(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}
