/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that claim tasks from one atomic counter. A worker spins for some microseconds after its
 * last task, since the next run is usually that near, then sleeps on a condition variable. */
#include "base/pool.h"

#include "base/str.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 1024, SPINS = 2000 };

struct worker {
    struct firn_pool *pool;
    pthread_t thread;
    int index;
};

struct firn_pool {
    pthread_mutex_t turn; /* held during a run */
    pthread_mutex_t lock; /* guards the sleep of workers and of the caller */
    pthread_cond_t wake, finished;
    /* A task is claimed by counting this down. Who succeeds may read the fields below: the run
     * cannot end, and they cannot change, before it is counted in `n_done`. */
    atomic_int n_left;
    int n_tasks;
    void (*task)(void *user, int index, int thread);
    void *user;
    atomic_int n_done;
    atomic_int n_asleep;
    atomic_bool is_caller_asleep, stop;
    int spins;
    int n_threads, n_started;
    struct worker workers[];
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Claims and runs tasks until none is left. */
static void work(struct firn_pool *pool, int thread)
{
    int left = atomic_load(&pool->n_left);
    while (left > 0) {
        if (!atomic_compare_exchange_weak(&pool->n_left, &left, left - 1))
            continue;
        const int n_tasks = pool->n_tasks;
        pool->task(pool->user, n_tasks - left, thread);
        if (atomic_fetch_add(&pool->n_done, 1) + 1 == n_tasks &&
            atomic_load(&pool->is_caller_asleep)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
        left = atomic_load(&pool->n_left);
    }
}

static void *worker_main(void *argument)
{
    const struct worker *worker = argument;
    struct firn_pool *pool = worker->pool;
    while (!atomic_load(&pool->stop)) {
        work(pool, worker->index);
        int spin = pool->spins;
        while (spin > 0 && atomic_load_explicit(&pool->n_left, memory_order_relaxed) == 0) {
            relax();
            spin--;
        }
        if (spin > 0)
            continue;
        pthread_mutex_lock(&pool->lock);
        atomic_fetch_add(&pool->n_asleep,
                         1); /* before the look at n_left: a caller sees one or the other */
        while (atomic_load(&pool->n_left) == 0 && !atomic_load(&pool->stop))
            pthread_cond_wait(&pool->wake, &pool->lock);
        atomic_fetch_sub(&pool->n_asleep, 1);
        pthread_mutex_unlock(&pool->lock);
    }
    return NULL;
}

void firn_pool_run(struct firn_pool *pool, int n_tasks,
                   void (*task)(void *user, int index, int thread), void *user)
{
    if (pool == NULL || pool->n_threads == 1 || n_tasks <= 1) {
        for (int i = 0; i < n_tasks; i++)
            task(user, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->turn);
    pool->n_tasks = n_tasks;
    pool->task = task;
    pool->user = user;
    atomic_store(&pool->n_done, 0);
    atomic_store(&pool->n_left, n_tasks);
    const int n_asleep = atomic_load(&pool->n_asleep);
    if (n_asleep > 0) {
        pthread_mutex_lock(&pool->lock);
        if (n_tasks - 1 >= n_asleep)
            pthread_cond_broadcast(&pool->wake);
        else
            for (int i = 0; i < n_tasks - 1; i++)
                pthread_cond_signal(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
    work(pool, 0);
    for (int spin = pool->spins; spin > 0 && atomic_load(&pool->n_done) < n_tasks; spin--)
        relax();
    if (atomic_load(&pool->n_done) < n_tasks) {
        pthread_mutex_lock(&pool->lock);
        atomic_store(&pool->is_caller_asleep, true);
        while (atomic_load(&pool->n_done) < n_tasks)
            pthread_cond_wait(&pool->finished, &pool->lock);
        atomic_store(&pool->is_caller_asleep, false);
        pthread_mutex_unlock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->turn);
}

/* Processors that this process may run on. */
static int processors(void)
{
#if defined(__linux__)
    /* the kernel may know more processors than a cpu_set_t holds: grow until it accepts the size */
    for (int n = 1024; n <= 1 << 20; n *= 4) {
        cpu_set_t *set = CPU_ALLOC(n);
        if (set == NULL)
            break;
        const int count = sched_getaffinity(0, CPU_ALLOC_SIZE(n), set) == 0
                              ? CPU_COUNT_S(CPU_ALLOC_SIZE(n), set)
                              : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int) n;
}

static firn_status choose_threads(int *n_threads, struct firn_error *err)
{
    const char *text = getenv("FIRN_THREADS");
    int64_t value;
    if (text == NULL || *text == '\0') {
        const int n = processors();
        *n_threads = n < MAX_THREADS ? n : MAX_THREADS;
        return FIRN_OK;
    }
    if (!firn_int_parse(text, &value) || value < 1 || value > MAX_THREADS)
        return firn_fail(err, FIRN_ERR_USAGE, .key = "FIRN_THREADS",
                         .expected = FIRN_STR("a number from 1 to %d", MAX_THREADS), .got = text);
    *n_threads = (int) value;
    return FIRN_OK;
}

firn_status firn_pool_create(struct firn_pool **out, int n_threads, struct firn_error *err)
{
    *out = NULL;
    if (n_threads < 0 || n_threads > MAX_THREADS)
        return firn_fail(err, FIRN_ERR_USAGE, .key = "threads",
                         .expected = FIRN_STR("a number from 0 to %d", MAX_THREADS),
                         .got = FIRN_STR("%d", n_threads));
    if (n_threads == 0) {
        firn_status s = choose_threads(&n_threads, err);
        if (s)
            return s;
    }
    struct firn_pool *pool = calloc(1, sizeof *pool + (size_t) n_threads * sizeof pool->workers[0]);
    if (pool == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a thread pool");
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->finished, NULL);
    pool->n_threads = n_threads;
    /* more threads than processors: whoever spins keeps another from its work */
    pool->spins = n_threads > processors() ? 0 : SPINS;
    for (int i = 1; i < n_threads; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){ .pool = pool, .index = i };
        const int number = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (number != 0) {
            firn_pool_destroy(&pool);
            return firn_fail(err, FIRN_ERR_MEMORY,
                             .what = FIRN_STR("cannot start thread %d of %d: %s", i + 1, n_threads,
                                              strerror(number)));
        }
        pool->n_started = i;
    }
    *out = pool;
    return FIRN_OK;
}

void firn_pool_destroy(struct firn_pool **out)
{
    struct firn_pool *pool = out == NULL ? NULL : *out;
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i <= pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
    free(pool);
    *out = NULL;
}

int firn_pool_threads(const struct firn_pool *pool)
{
    return pool == NULL ? 1 : pool->n_threads;
}
