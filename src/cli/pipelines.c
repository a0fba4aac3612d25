/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what the driver says of every kernel: registers, spills, shared memory, instructions. */
#include "cli/pipelines.h"

#include "plan/conform.h"

#include <jansson.h>
#include <stdio.h>

struct report {
    json_t *list; /* NULL: lines */
    int n, n_failed;
};

static void print_line(const struct firn_pipeline_result *r)
{
    printf("%s %s", r->op, r->kernel->name);
    for (int i = 0; i < r->dispatch->n_spec; i++)
        printf("%s%u", i > 0 ? "," : " [", r->dispatch->spec[i]);
    printf("%s", r->dispatch->n_spec > 0 ? "]" : "");
    if (r->reason[0] != '\0')
        printf(": does not compile: %s", r->reason);
    for (int i = 0; i < r->code->n_figures; i++)
        printf("%s %s %.10g", i > 0 ? "," : ":", r->code->figures[i].name, r->code->figures[i].value);
    printf("\n");
}

static json_t *as_json(const struct firn_pipeline_result *r)
{
    json_t *figures = json_object(), *spec = json_array();
    for (int i = 0; i < r->code->n_figures; i++)
        json_object_set_new(figures, r->code->figures[i].name, json_real(r->code->figures[i].value));
    for (int i = 0; i < r->dispatch->n_spec; i++)
        json_array_append_new(spec, json_integer(r->dispatch->spec[i]));
    return json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:i,s:o,s:s}", "op", r->op, "kernel", r->kernel->name, "shader",
                     r->kernel->shader, "defines", r->kernel->defines != NULL ? r->kernel->defines : "", "constants", spec,
                     "shapes", r->shapes, "error", r->reason, "subgroup_size", (int) r->code->subgroup_size, "figures",
                     figures, "code", r->code->text != NULL ? r->code->text : "");
}

static void on_result(void *user, const struct firn_pipeline_result *r)
{
    struct report *report = user;
    report->n++;
    report->n_failed += r->reason[0] != '\0';
    if (report->list != NULL)
        json_array_append_new(report->list, as_json(r));
    else
        print_line(r);
}

firn_status firn_pipelines_print(struct firn_device *device, const char *filter, bool wants_json, struct firn_error *err)
{
    struct report report = { .list = wants_json ? json_array() : NULL };
    firn_status status = firn_conform_pipelines(device, filter, on_result, &report, err);
    if (status == FIRN_OK && report.list != NULL) {
        json_t *all = json_pack("{s:s,s:s,s:s,s:O}", "device", device->id, "name", device->name, "driver", device->driver,
                                "pipelines", report.list);
        json_dumpf(all, stdout, JSON_INDENT(1));
        json_decref(all);
        printf("\n");
    } else if (status == FIRN_OK) {
        printf("# %d pipelines, %d do not compile\n", report.n, report.n_failed);
    }
    json_decref(report.list);
    if (status == FIRN_OK && report.n_failed > 0)
        status = firn_fail(err, FIRN_ERR_DEVICE, .file = device->id, .what = FIRN_STR("%d pipelines do not compile", report.n_failed));
    if (status == FIRN_OK && report.n == 0)
        status = firn_fail(err, FIRN_ERR_USAGE, .key = "--filter", .what = "matches no kernel of this device");
    return status;
}
