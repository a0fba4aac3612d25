/* SPDX-License-Identifier: Apache-2.0 */
/* `firn conform`: every kernel the device can run against cpu:exact, every backward rule against finite
 * differences; TAP on stdout, JUnit XML and an HTML report on request. */
#include "plan/conform.h"

#include "base/file.h"
#include "cli/command.h"
#include "cli/pipelines.h"
#include "device/vulkan/vulkan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flags {
    char *device, *filter, *junit, *html;
    int64_t seed;
    bool json, list, pipelines, validate, no_gradients;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_DEVICE(device),
    { "filter", .type = FIRN_OPTION_TEXT, .offset = AT(filter), .unit = "TEXT",
      .help = "only operations or kernels whose name contains this" },
    { "junit", .type = FIRN_OPTION_TEXT, .offset = AT(junit), .unit = "FILE",
      .help = "also write JUnit XML" },
    { "html", .type = FIRN_OPTION_TEXT, .offset = AT(html), .unit = "FILE",
      .help = "also write a self-contained page" },
    { "seed", .type = FIRN_OPTION_INT, .offset = AT(seed), .fallback = "1",
      .help = "of the inputs; $FIRN_SEED sets it too" },
    { "list", .type = FIRN_OPTION_BOOL, .offset = AT(list), .help = "list the operations and leave" },
    { "validate", .type = FIRN_OPTION_BOOL, .offset = AT(validate),
      .help = "run under the Vulkan validation layers; a message is a failure" },
    { "no-gradients", .type = FIRN_OPTION_BOOL, .offset = AT(no_gradients),
      .help = "leave out the finite differences, which do not depend on the device" },
    { "pipelines", .type = FIRN_OPTION_BOOL, .offset = AT(pipelines),
      .help = "compile all, run none; print what the driver says: registers, spills (--json: code too)" },
    FIRN_FLAG_JSON(json),
    { NULL },
};

/* Everything that is written while results come in. */
struct report {
    const struct flags *f;
    int n;
    struct firn_str junit, html;
    json_t *list;
    char title[200];
};

static void add_xml(struct firn_str *s, const char *text)
{
    for (; *text != '\0'; text++) {
        const char *as = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;"
                       : *text == '"' ? "&quot;" : NULL;
        if (as != NULL)
            firn_str_add(s, as);
        else
            firn_str_add_n(s, text, 1);
    }
}

static void failure_text(const struct firn_conform_result *r, const struct report *report,
                         char *text, size_t size)
{
    if (r->reason[0] != '\0')
        snprintf(text, size, "%s", r->reason);
    else
        snprintf(text, size, "%s[%lld]: got %.9g, want %.9g, allowed %.3g, seed %lld on %s",
                 r->most.what != NULL ? r->most.what : "?", (long long) r->most.index, r->most.got, r->most.want, r->most.allowed,
                 (long long) report->f->seed, report->title);
}

static void on_result(void *user, const struct firn_conform_result *r)
{
    static const char *const words[] = { "pass", "fail", "skip" };
    struct report *report = user;
    char name[400], text[600];
    snprintf(name, sizeof name, "%s %s case %d %s", r->op, r->kernel, r->case_index, r->shapes);
    failure_text(r, report, text, sizeof text);
    report->n++;
    if (!report->f->json) {
        printf("%sok %d - %s", r->verdict == FIRN_FAILED ? "not " : "", report->n, name);
        if (r->verdict == FIRN_SKIPPED)
            printf(" # SKIP %s", r->reason);
        else
            printf(" # %.3f of the bound", r->most.ratio);
        printf("\n");
        if (r->verdict == FIRN_FAILED)
            printf("# %s\n", text);
    }
    firn_str_add(&report->junit, "<testcase classname=\"");
    add_xml(&report->junit, r->op);
    firn_str_add(&report->junit, "\" name=\"");
    add_xml(&report->junit, name);
    firn_str_add(&report->junit, "\">");
    if (r->verdict != FIRN_PASS) {
        firn_str_add(&report->junit, r->verdict == FIRN_FAILED ? "<failure message=\"" : "<skipped message=\"");
        add_xml(&report->junit, text);
        firn_str_add(&report->junit, "\"/>");
    }
    firn_str_add(&report->junit, "</testcase>\n");
    firn_str_addf(&report->html, "<tr class=\"%s\"><td>%s</td><td>%s</td><td>%d</td><td>",
                  words[r->verdict], r->op, r->kernel, r->case_index);
    add_xml(&report->html, r->shapes);
    firn_str_addf(&report->html, "</td><td>%s</td><td>%.3f</td><td>", words[r->verdict],
                  isfinite(r->most.ratio) ? r->most.ratio : 1e9);
    if (r->verdict != FIRN_PASS)
        add_xml(&report->html, text);
    firn_str_add(&report->html, "</td></tr>\n");
    if (report->f->json)
        json_array_append_new(report->list,
                              json_pack("{s:s,s:s,s:i,s:s,s:s,s:f,s:s}", "op", r->op, "kernel",
                                        r->kernel, "case", r->case_index, "shapes", r->shapes,
                                        "verdict", words[r->verdict], "of_bound",
                                        isfinite(r->most.ratio) ? r->most.ratio : 1e9, "text",
                                        r->verdict == FIRN_PASS ? "" : text));
}

static void list_ops(void)
{
    for (const struct firn_op *const *op = firn_op_list(); *op != NULL; op++) {
        printf("%-24s %s\n", (*op)->name, (*op)->math != NULL ? (*op)->math : "");
        for (const struct firn_kernel *k = (*op)->kernels; k != NULL && k->name != NULL; k++)
            printf("    %-32s shaders/%s.comp %s\n", k->name, k->shader,
                   k->defines != NULL ? k->defines : "");
    }
}

static firn_status write_reports(const struct flags *f, struct report *report,
                                 const struct firn_conform_counts *n, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    struct firn_str out = { 0 };
    if (f->junit != NULL) {
        firn_str_addf(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"firn conform\" "
                            "tests=\"%d\" failures=\"%d\" skipped=\"%d\">\n",
                      report->n, n->failed, n->skipped);
        firn_str_add(&out, report->junit.data != NULL ? report->junit.data : "");
        firn_str_add(&out, "</testsuite>\n");
        status = firn_file_write(f->junit, out.data, out.size, err);
        firn_str_free(&out);
    }
    if (f->html != NULL && status == FIRN_OK) {
        firn_str_add(&out, "<!doctype html><meta charset=\"utf-8\"><title>firn conform</title><style>"
                           "body{font:14px sans-serif;margin:2em}td,th{padding:2px 8px;text-align:left}"
                           ".fail{background:#fbb}.skip{color:#888}</style><h1>firn conform</h1><p>");
        add_xml(&out, report->title);
        firn_str_addf(&out, "<p>%d passed, %d failed, %d skipped<table><tr><th>operation<th>kernel<th>"
                            "case<th>shapes<th>verdict<th>of the bound<th></tr>\n",
                      n->passed, n->failed, n->skipped);
        firn_str_add(&out, report->html.data != NULL ? report->html.data : "");
        firn_str_add(&out, "</table>\n");
        status = firn_file_write(f->html, out.data, out.size, err);
        firn_str_free(&out);
    }
    return status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    const struct flags *f = args->values;
    if (f->list) {
        list_ops();
        return FIRN_OK;
    }
    struct firn_device *device = NULL;
    const struct firn_device_params open = { .validation = f->validate, .statistics = f->pipelines, .log = firn_stderr_log };
    firn_status status = firn_device_open(&device, f->device, &open, err);
    if (status)
        return status;
    if (f->pipelines) {
        status = firn_pipelines_print(device, f->filter, f->json, err);
        firn_device_close(&device);
        return status;
    }
    struct report report = { .f = f, .list = json_array() };
    snprintf(report.title, sizeof report.title, "%s: %.80s (%.80s)", device->id, device->name,
             device->driver);
    const char *seed = getenv("FIRN_SEED");
    const struct firn_conform_params params = {
        .filter = f->filter, .seed = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t) f->seed,
        .result = on_result, .user = &report };
    struct firn_conform_counts counts = { 0 };
    if (!f->json)
        printf("TAP version 13\n# %s\n", report.title);
    status = firn_conform_kernels(device, &params, &counts, err);
    if (status == FIRN_OK && !f->no_gradients)
        status = firn_conform_gradients(&params, &counts, err);
    const uint64_t messages = f->validate && !device->is_host ? firn_vulkan_messages(device) : 0;
    if (status == FIRN_OK)
        status = write_reports(f, &report, &counts, err);
    if (f->json && status == FIRN_OK) {
        json_t *all = json_pack("{s:s,s:i,s:i,s:i,s:I,s:O}", "device", report.title, "passed",
                                counts.passed, "failed", counts.failed, "skipped", counts.skipped,
                                "validation_messages", (json_int_t) messages, "results", report.list);
        json_dumpf(all, stdout, JSON_INDENT(1));
        json_decref(all);
        printf("\n");
    } else if (status == FIRN_OK) {
        printf("1..%d\n# %d passed, %d failed, %d skipped\n", report.n, counts.passed, counts.failed,
               counts.skipped);
        if (f->validate)
            printf("# %llu validation messages\n", (unsigned long long) messages);
    }
    if (status == FIRN_OK && (counts.failed > 0 || messages > 0))
        status = firn_fail(err, FIRN_ERR_DEVICE, .file = device->id,
                           .what = FIRN_STR("%d comparisons failed, %llu validation messages",
                                            counts.failed, (unsigned long long) messages));
    if (status == FIRN_OK && report.n == 0)
        status = firn_fail(err, FIRN_ERR_USAGE, .key = "--filter", .what = "matches no operation");
    json_decref(report.list);
    firn_str_free(&report.junit);
    firn_str_free(&report.html);
    firn_device_close(&device);
    return status;
}

const struct firn_command firn_command_conform = {
    .name = "conform",
    .words = "",
    .summary = "checks every kernel of a device against the reference",
    .text = "Runs every kernel variant of every operation, forward and backward, that the device can run\n"
            "against cpu:exact, with bounds computed from the type and the length of the sums, and every\n"
            "backward rule against finite differences in double. FIRN_CAPS hides capabilities, so that the\n"
            "paths of smaller devices can be tested. Exit code 0: all agree. --pipelines runs nothing: what a driver\n"
            "makes of the kernels can be read where the device is not (RADV_FORCE_FAMILY=navi31 for Mesa's RADV).",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
