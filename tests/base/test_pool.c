/* SPDX-License-Identifier: Apache-2.0 */
/* The pool runs each task once, however many threads there are and however often it sleeps. */
#include "check.h"

#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

struct count {
    int *calls; /* per task: written by whoever runs it */
    atomic_int per_thread[64];
    int n_threads;
    atomic_int wrong;
};

static void count_task(void *user, int index, int thread)
{
    struct count *c = user;
    c->calls[index]++;
    if (thread < 0 || thread >= c->n_threads)
        atomic_fetch_add(&c->wrong, 1);
    else
        atomic_fetch_add(&c->per_thread[thread], 1);
}

static void run_and_check(struct firn_pool *pool, int n_tasks)
{
    struct count c = { .calls = calloc((size_t) n_tasks + 1, sizeof(int)),
                       .n_threads = firn_pool_threads(pool) };
    firn_pool_run(pool, n_tasks, count_task, &c);
    int total = 0;
    for (int i = 0; i < n_tasks; i++)
        assert_int_equal(c.calls[i], 1);
    for (int i = 0; i < c.n_threads; i++)
        total += c.per_thread[i];
    assert_int_equal(total, n_tasks);
    assert_int_equal(c.wrong, 0);
    free(c.calls);
}

static void each_task_runs_once_on_any_number_of_threads(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    for (int n_threads = 1; n_threads <= 9; n_threads++) {
        struct firn_pool *pool = NULL;
        check_ok(firn_pool_create(&pool, n_threads, &err), &err);
        assert_int_equal(firn_pool_threads(pool), n_threads);
        for (int n_tasks = 0; n_tasks < 40; n_tasks++)
            run_and_check(pool, n_tasks);
        run_and_check(pool, 5000);
        firn_pool_destroy(&pool);
        assert_null(pool);
    }
    firn_pool_destroy(NULL);
}

static void no_pool_runs_tasks_in_order_on_this_thread(void **state)
{
    (void) state;
    assert_int_equal(firn_pool_threads(NULL), 1);
    run_and_check(NULL, 17);
}

static void short_runs_after_each_other_and_after_sleep_are_complete(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    struct firn_pool *pool = NULL;
    check_ok(firn_pool_create(&pool, 4, &err), &err);
    for (int i = 0; i < 3000; i++)
        run_and_check(pool, 2 + i % 5);
    for (int i = 0; i < 30; i++) {
        nanosleep(&(const struct timespec){ .tv_nsec = 1000000 }, NULL);
        run_and_check(pool, 2 + i % 5);
    }
    firn_pool_destroy(&pool);
}

static void a_pool_that_never_ran_can_be_destroyed(void **state)
{
    (void) state;
    for (int i = 0; i < 50; i++) {
        struct firn_pool *pool = NULL;
        assert_int_equal(firn_pool_create(&pool, 5, NULL), FIRN_OK);
        firn_pool_destroy(&pool);
    }
}

static void *run_many(void *argument)
{
    for (int i = 0; i < 200; i++) {
        int calls[16] = { 0 };
        struct count c = { .calls = calls, .n_threads = firn_pool_threads(argument) };
        firn_pool_run(argument, 16, count_task, &c);
        for (int k = 0; k < 16; k++)
            if (calls[k] != 1)
                return "a task did not run once";
    }
    return NULL;
}

static void two_threads_that_share_a_pool_take_turns(void **state)
{
    (void) state;
    struct firn_pool *pool = NULL;
    pthread_t threads[3];
    assert_int_equal(firn_pool_create(&pool, 3, NULL), FIRN_OK);
    for (size_t i = 0; i < N_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_many, pool), 0);
    for (size_t i = 0; i < N_OF(threads); i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    firn_pool_destroy(&pool);
}

static void the_environment_chooses_the_threads_when_nobody_else_does(void **state)
{
    (void) state;
    struct firn_pool *pool = NULL;
    struct firn_error err = { 0 };
    setenv("FIRN_THREADS", "3", 1);
    check_ok(firn_pool_create(&pool, 0, &err), &err);
    assert_int_equal(firn_pool_threads(pool), 3);
    firn_pool_destroy(&pool);
    check_ok(firn_pool_create(&pool, 2, &err), &err);
    assert_int_equal(firn_pool_threads(pool), 2);
    firn_pool_destroy(&pool);
    static const char *const bad[] = { "0", "-1", "2x", "many", "1025" };
    for (size_t i = 0; i < N_OF(bad); i++) {
        setenv("FIRN_THREADS", bad[i], 1);
        char text[100];
        snprintf(text, sizeof text, "FIRN_THREADS: expected a number from 1 to 1024, got %s",
                 bad[i]);
        check_fails(firn_pool_create(&pool, 0, &err), FIRN_ERR_USAGE, &err, text);
        assert_null(pool);
    }
    unsetenv("FIRN_THREADS");
    check_fails(firn_pool_create(&pool, -1, &err), FIRN_ERR_USAGE, &err,
                "threads: expected a number from 0 to 1024, got -1");
}

static void without_a_choice_there_are_as_many_threads_as_processors(void **state)
{
    (void) state;
    struct firn_pool *pool = NULL;
    cpu_set_t all, one;
    unsetenv("FIRN_THREADS");
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        skip();
    assert_int_equal(firn_pool_create(&pool, 0, NULL), FIRN_OK);
    assert_int_equal(firn_pool_threads(pool), CPU_COUNT(&all));
    firn_pool_destroy(&pool);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(firn_pool_create(&pool, 0, NULL), FIRN_OK);
    assert_int_equal(firn_pool_threads(pool), 1);
    firn_pool_destroy(&pool);
    sched_setaffinity(0, sizeof all, &all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_runs_once_on_any_number_of_threads),
        cmocka_unit_test(no_pool_runs_tasks_in_order_on_this_thread),
        cmocka_unit_test(short_runs_after_each_other_and_after_sleep_are_complete),
        cmocka_unit_test(a_pool_that_never_ran_can_be_destroyed),
        cmocka_unit_test(two_threads_that_share_a_pool_take_turns),
        cmocka_unit_test(the_environment_chooses_the_threads_when_nobody_else_does),
        cmocka_unit_test(without_a_choice_there_are_as_many_threads_as_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
