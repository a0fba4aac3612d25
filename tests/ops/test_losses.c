/* SPDX-License-Identifier: Apache-2.0 */
/* The loss in chunks of rows and the gradients that it hands out, in double on the exact device: against the loss
 * in one piece, and against finite differences. Rows and joins on the way. */
#include "../base/check.h"

#include "base/rng.h"
#include "grad/grad.h"
#include "ops/ops.h"
#include "plan/plan.h"

#include <math.h>

enum { M = 150, C = 3, V = 5 };

/* A graph with its plan and its memory. */
struct problem {
    struct firn_graph *g;
    struct firn_device *device;
    struct firn_store *store;
    struct firn_plan *plan;
};

static firn_val leaf(struct firn_graph *g, enum firn_leaf kind, const char *name, struct firn_shape shape)
{
    const firn_val v = firn_graph_leaf(g, kind, name, FIRN_F64, shape);
    if (kind == FIRN_LEAF_PARAM)
        firn_graph_want(g, v);
    return v;
}

static void output(struct firn_graph *g, const char *name, firn_val v)
{
    /* through an op: a gradient may be a view, or a value that is placed already */
    firn_graph_place(g, firn_scale(g, v, 1), leaf(g, FIRN_LEAF_OUTPUT, name, firn_val_shape(g, v)));
}

static void fill(struct problem *p, const struct firn_value *v)
{
    struct firn_error err = { 0 };
    const int64_t n = firn_shape_count(&v->shape);
    double *x = calloc((size_t) n + 1, sizeof *x);
    int32_t *ids = calloc((size_t) n + 1, sizeof *ids);
    assert_true(x != NULL && ids != NULL);
    for (int64_t i = 0; i < n; i++) {
        x[i] = strcmp(v->name, "one") == 0 ? 1 : firn_normal(11, (uint32_t) v->name[0], 0, (uint64_t) i);
        ids[i] = i % 7 == 3 ? -100 : (int32_t) (i % V);
    }
    const bool is_int = v->dtype == FIRN_I32;
    check_ok(firn_store_add(p->store, v->leaf, v->name, (size_t) n * (is_int ? 4 : 8), is_int ? (void *) ids : x,
                            &err), &err);
    free(x);
    free(ids);
}

static void start(struct problem *p)
{
    struct firn_error err = { 0 };
    check_ok(firn_graph_check(p->g, &err), &err);
    check_ok(firn_cpu_open(&p->device, true, 1, &err), &err);
    check_ok(firn_store_create(&p->store, p->device, &err), &err);
    for (uint32_t id = 1; id < firn_graph_n_values(p->g); id++) {
        const struct firn_value *v = firn_graph_value(p->g, (firn_val){ id });
        if (v->node == FIRN_NO_NODE && !firn_is_value(v->base) && v->leaf != FIRN_LEAF_OUTPUT)
            fill(p, v);
    }
    check_ok(firn_plan_create(&p->plan, p->g, &p->device->limits, true, true, &err), &err);
    check_ok(firn_plan_bind(p->plan, p->store, &err), &err);
}

static void stop(struct problem *p)
{
    firn_plan_destroy(&p->plan);
    firn_store_destroy(&p->store);
    firn_device_close(&p->device);
    firn_graph_destroy(&p->g);
}

static void run(struct problem *p)
{
    struct firn_error err = { 0 };
    check_ok(firn_plan_run(p->plan, true, false, &err), &err);
}

static void read_back(struct problem *p, const char *name, double *x, size_t n)
{
    struct firn_error err = { 0 };
    check_ok(firn_store_read(p->store, name, 0, x, sizeof *x * n, &err), &err);
}

/* The loss times `factor`, and its gradients by h, w and b in dh, dw, db. */
static struct problem linear(const struct firn_linear_loss_params *params, float factor)
{
    struct problem p = { .g = firn_graph_create() };
    const firn_val h = leaf(p.g, FIRN_LEAF_PARAM, "h", firn_dims(M, C));
    const firn_val w = leaf(p.g, FIRN_LEAF_PARAM, "w", firn_dims(V, C));
    const firn_val b = leaf(p.g, FIRN_LEAF_PARAM, "b", firn_dims(V));
    const firn_val labels = firn_graph_leaf(p.g, FIRN_LEAF_INPUT, "labels", FIRN_I32, firn_dims(M));
    const firn_val scale = leaf(p.g, FIRN_LEAF_INPUT, "scale", firn_dims(1));
    struct firn_linear_loss_params with = *params;
    with.bias = b;
    firn_val loss = firn_linear_loss(p.g, h, w, labels, scale, &with), dy = { 0 }, dx[3];
    if (factor != 1) {
        loss = firn_scale(p.g, loss, factor);
        dy = leaf(p.g, FIRN_LEAF_INPUT, "one", firn_dims(1));
    }
    firn_grad(p.g, loss, dy, (firn_val[]){ h, w, b }, 3, dx);
    output(p.g, "loss", loss);
    output(p.g, "dh", dx[0]);
    output(p.g, "dw", dx[1]);
    output(p.g, "db", dx[2]);
    start(&p);
    return p;
}

static void check_equal(struct problem *a, struct problem *b, const char *name, size_t n, double factor)
{
    double x[M * C], y[M * C];
    read_back(a, name, x, n);
    read_back(b, name, y, n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs(x[i] - factor * y[i]) <= 1e-12 * (1 + fabs(x[i]))))
            fail_msg("%s[%zu]: %.17g and %.17g", name, i, x[i], factor * y[i]);
}

static void the_loss_in_chunks_is_the_loss_in_one_piece(void **state)
{
    (void) state;
    struct problem whole = linear(&(struct firn_linear_loss_params){ .smoothing = 0.1f }, 1);
    struct problem parts = linear(&(struct firn_linear_loss_params){ .smoothing = 0.1f, .chunk = 50 }, 1);
    run(&whole);
    run(&parts);
    assert_true(firn_graph_n_nodes(parts.g) > firn_graph_n_nodes(whole.g));
    check_equal(&whole, &parts, "loss", 1, 1);
    check_equal(&whole, &parts, "dh", M * C, 1);
    check_equal(&whole, &parts, "dw", V * C, 1);
    check_equal(&whole, &parts, "db", V, 1);
    stop(&whole);
    stop(&parts);
}

static void gradients_that_are_handed_out_follow_what_is_done_with_the_loss(void **state)
{
    (void) state;
    struct problem one = linear(&(struct firn_linear_loss_params){ .chunk = 64 }, 1);
    struct problem three = linear(&(struct firn_linear_loss_params){ .chunk = 64 }, -3);
    run(&one);
    run(&three);
    check_equal(&three, &one, "loss", 1, -3);
    check_equal(&three, &one, "dh", M * C, -3);
    check_equal(&three, &one, "dw", V * C, -3);
    check_equal(&three, &one, "db", V, -3);
    stop(&one);
    stop(&three);
}

/* Central differences of the loss by every element of `x`. */
static void check_slopes(struct problem *p, const char *x, const char *dx, size_t n)
{
    struct firn_error err = { 0 };
    double values[M * C], slopes[M * C], loss[2];
    const double step = 1e-5;
    run(p);
    read_back(p, x, values, n);
    read_back(p, dx, slopes, n);
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < 2; k++) {
            const double moved = values[i] + (k == 0 ? step : -step);
            check_ok(firn_store_write(p->store, x, 8 * i, &moved, 8, &err), &err);
            run(p);
            read_back(p, "loss", &loss[k], 1);
        }
        check_ok(firn_store_write(p->store, x, 8 * i, &values[i], 8, &err), &err);
        const double slope = (loss[0] - loss[1]) / (2 * step);
        if (!(fabs(slope - slopes[i]) <= 1e-6 * (1 + fabs(slope)))) /* alpha and cap are f32 numbers in double sums */
            fail_msg("%s[%zu]: %.9g, differences give %.9g", dx, i, slopes[i], slope);
    }
}

static void check_all_slopes(const struct firn_linear_loss_params *params)
{
    struct problem p = linear(params, 1);
    check_slopes(&p, "h", "dh", M * C);
    check_slopes(&p, "w", "dw", V * C);
    check_slopes(&p, "b", "db", V);
    stop(&p);
}

static void slopes_in_chunks_are_those_of_the_loss(void **state)
{
    (void) state;
    check_all_slopes(&(struct firn_linear_loss_params){ .chunk = 1, .smoothing = 0.1f, .scale_logits = 0.5f });
}

static void slopes_of_soft_capped_logits_are_those_of_the_loss(void **state)
{
    (void) state;
    check_all_slopes(&(struct firn_linear_loss_params){ .chunk = 64, .softcap = 1.5f });
}

static void picked_columns_give_their_gradients_back(void **state)
{
    (void) state;
    static const int32_t numbers[] = { 3, 0, -1, 4 }, inverse[] = { 1, -1, -1, 0, 3 };
    struct firn_error err = { 0 };
    struct problem p = { .g = firn_graph_create() };
    const firn_val x = leaf(p.g, FIRN_LEAF_PARAM, "x", firn_dims(7, 5)), c = leaf(p.g, FIRN_LEAF_INPUT, "c", firn_dims(7, 4));
    const firn_val at = firn_graph_leaf(p.g, FIRN_LEAF_INPUT, "at", FIRN_I32, firn_dims(4));
    const firn_val back = firn_graph_leaf(p.g, FIRN_LEAF_INPUT, "back", FIRN_I32, firn_dims(5));
    const firn_val loss = firn_sum(p.g, firn_mul(p.g, firn_pick_columns(p.g, x, at, back), c));
    firn_val dx = { 0 };
    firn_grad(p.g, loss, leaf(p.g, FIRN_LEAF_INPUT, "one", firn_dims(1)), &x, 1, &dx);
    output(p.g, "loss", loss);
    output(p.g, "dx", dx);
    start(&p);
    check_ok(firn_store_write(p.store, "at", 0, numbers, sizeof numbers, &err), &err);
    check_ok(firn_store_write(p.store, "back", 0, inverse, sizeof inverse, &err), &err);
    check_slopes(&p, "x", "dx", 7 * 5);
    stop(&p);
}

static void a_frozen_output_layer_costs_no_gradient_of_its_own(void **state)
{
    (void) state;
    struct firn_graph *g = firn_graph_create();
    const firn_val h = leaf(g, FIRN_LEAF_PARAM, "h", firn_dims(M, C));
    const firn_val w = leaf(g, FIRN_LEAF_WEIGHT, "w", firn_dims(V, C));
    const firn_val labels = firn_graph_leaf(g, FIRN_LEAF_INPUT, "labels", FIRN_I32, firn_dims(M));
    const firn_val scale = leaf(g, FIRN_LEAF_INPUT, "scale", firn_dims(1));
    firn_linear_loss(g, h, w, labels, scale, &(struct firn_linear_loss_params){ .chunk = 64 });
    int products = 0;
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++)
        products += strcmp(firn_graph_node(g, i)->op->name, "matmul") == 0;
    assert_null(firn_graph_error(g));
    assert_int_equal(products, 3 * 2); /* logits and dh of three chunks */
    firn_graph_destroy(&g);
}

static void chunks_start_where_any_device_can_bind_them(void **state)
{
    (void) state;
    struct firn_graph *g = firn_graph_create();
    const firn_val h = leaf(g, FIRN_LEAF_PARAM, "h", firn_dims(1000, 7));
    const firn_val w = leaf(g, FIRN_LEAF_WEIGHT, "w", firn_dims(30522, 7));
    const firn_val labels = firn_graph_leaf(g, FIRN_LEAF_INPUT, "labels", FIRN_I32, firn_dims(1000));
    const firn_val scale = leaf(g, FIRN_LEAF_INPUT, "scale", firn_dims(1));
    firn_linear_loss(g, h, w, labels, scale, &(struct firn_linear_loss_params){ .smoothing = 0 });
    assert_null(firn_graph_error(g));
    int views = 0;
    for (uint32_t id = 1; id < firn_graph_n_values(g); id++) {
        int64_t offset;
        firn_graph_root(g, (firn_val){ id }, &offset);
        assert_int_equal(offset % 64, 0);
        views += offset > 0;
    }
    assert_true(views > 3);
    firn_graph_destroy(&g);
}

static void rows_joined_again_are_the_whole_and_pass_its_gradient(void **state)
{
    (void) state;
    struct problem p = { .g = firn_graph_create() };
    const firn_val x = leaf(p.g, FIRN_LEAF_PARAM, "x", firn_dims(20, 3));
    const firn_val dy = leaf(p.g, FIRN_LEAF_INPUT, "d", firn_dims(20, 3));
    firn_val parts[10], dx;
    for (int i = 0; i < 10; i++) /* more than one node joins */
        parts[i] = firn_scale(p.g, firn_rows(p.g, x, 2 * i, 2), 1);
    const firn_val y = firn_join_rows(p.g, parts, 10);
    firn_grad(p.g, y, dy, &x, 1, &dx);
    output(p.g, "y", y);
    output(p.g, "dx", dx);
    output(p.g, "same_x", x);
    output(p.g, "same_d", dy);
    start(&p);
    run(&p);
    double got[60], want[60];
    read_back(&p, "y", got, 60);
    read_back(&p, "same_x", want, 60);
    assert_memory_equal(got, want, sizeof want);
    read_back(&p, "dx", got, 60);
    read_back(&p, "same_d", want, 60);
    assert_memory_equal(got, want, sizeof want);
    stop(&p);
}

static void a_bad_chunk_of_rows_fails_the_graph_and_says_why(void **state)
{
    (void) state;
    struct firn_graph *g = firn_graph_create();
    const firn_val x = leaf(g, FIRN_LEAF_PARAM, "x", firn_dims(20, 3));
    assert_false(firn_is_value(firn_rows(g, x, 15, 6)));
    assert_string_equal(firn_graph_error(g), "rows: rows 15 + 6 of 20");
    firn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_in_chunks_is_the_loss_in_one_piece),
        cmocka_unit_test(gradients_that_are_handed_out_follow_what_is_done_with_the_loss),
        cmocka_unit_test(slopes_in_chunks_are_those_of_the_loss),
        cmocka_unit_test(slopes_of_soft_capped_logits_are_those_of_the_loss),
        cmocka_unit_test(picked_columns_give_their_gradients_back),
        cmocka_unit_test(a_frozen_output_layer_costs_no_gradient_of_its_own),
        cmocka_unit_test(chunks_start_where_any_device_can_bind_them),
        cmocka_unit_test(rows_joined_again_are_the_whole_and_pass_its_gradient),
        cmocka_unit_test(a_bad_chunk_of_rows_fails_the_graph_and_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
