/* SPDX-License-Identifier: Apache-2.0 */
/* `firn train`: a progress line on a terminal, plain lines in a pipe. */
#include "cli/recipe_args.h"
#include "cli/stop.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

struct flags {
    char *device;
    bool resume, overwrite, dry_run, json;
    int64_t check;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_RECIPE_DEVICE(device),
    { "resume", .type = FIRN_OPTION_BOOL, .offset = AT(resume),
      .help = "go on from the newest whole checkpoint; start at step 0 where there is none" },
    { "overwrite", .type = FIRN_OPTION_BOOL, .offset = AT(overwrite),
      .help = "start anew in an output directory that holds a run" },
    { "check", .type = FIRN_OPTION_INT, .offset = AT(check), .unit = "N", .fallback = "0", .max = 1000000,
      .help = "hold each operation of the first N steps against cpu:exact; stop at the first that is wrong" },
    { "dry-run", .type = FIRN_OPTION_BOOL, .offset = AT(dry_run),
      .help = "read everything, say what would be trained, and stop; nothing is written" },
    { "json", .type = FIRN_OPTION_BOOL, .offset = AT(json), .help = "progress as JSON lines" },
    { NULL },
};

struct screen {
    bool is_terminal, json;
    int shown; /* columns of the line on the terminal */
};

static int columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

static void clear_line(struct screen *s)
{
    if (s->shown > 0)
        fprintf(stderr, "\r%*s\r", s->shown, "");
    s->shown = 0;
}

static double peak_mib(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (double) usage.ru_maxrss / 1024 : 0;
}

static void duration(double seconds, char *text, size_t size)
{
    const long s = seconds > 0 && seconds < 1e8 ? (long) seconds : 0;
    if (s >= 3600)
        snprintf(text, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else
        snprintf(text, size, "%ldm%02lds", s / 60, s % 60);
}

static void show_metrics(struct screen *s, const struct firn_progress *p)
{
    clear_line(s);
    if (s->json) {
        json_t *o = firn_metrics_json(p->metrics);
        json_object_set_new(o, "step", json_integer(p->step));
        json_dumpf(o, stdout, JSON_COMPACT);
        printf("\n");
        json_decref(o);
    } else if (isfinite(p->metrics->accuracy)) {
        printf("step %lld: validation loss %.4f, accuracy %.2f %%\n", (long long) p->step, p->metrics->loss,
               100 * p->metrics->accuracy);
    } else {
        printf("step %lld: validation loss %.4f\n", (long long) p->step, p->metrics->loss);
    }
    fflush(stdout);
}

static void on_progress(void *user, const struct firn_progress *p)
{
    struct screen *s = user;
    char left[32], line[200];
    if (p->metrics != NULL) {
        show_metrics(s, p);
        return;
    }
    if (s->json) {
        if (p->is_logged)
            printf("{\"step\": %lld, \"total\": %lld, \"loss\": %.6g, \"learning_rate\": %.6g, \"tokens_per_second\": %.1f}\n",
                   (long long) p->step, (long long) p->total, p->loss, p->rate, p->tokens_per_second);
        fflush(stdout);
        return;
    }
    duration(p->seconds_left, left, sizeof left);
    if (s->is_terminal) {
        enum { WIDTH = 20 };
        char bar[WIDTH + 1];
        const int filled = (int) (WIDTH * p->step / (p->total > 0 ? p->total : 1));
        memset(bar, ' ', WIDTH);
        memset(bar, '#', (size_t) filled);
        bar[WIDTH] = '\0';
        const int n = snprintf(line, sizeof line, "[%s] %lld/%lld loss %.4f, %.0f tokens/s, %s left, %.0f MiB", bar,
                               (long long) p->step, (long long) p->total, p->loss, p->tokens_per_second, left, peak_mib());
        const int width = columns() - 1;
        line[n < width ? n : width] = '\0';
        fprintf(stderr, "\r%s%*s", line, s->shown > (int) strlen(line) ? s->shown - (int) strlen(line) : 0, "");
        s->shown = (int) strlen(line);
        if (p->step == p->total)
            clear_line(s);
        fflush(stderr);
    } else if (p->is_logged) {
        printf("step %lld/%lld epoch %.2f loss %.4f rate %.3g, %.0f tokens/s, %s left, %.0f MiB\n", (long long) p->step,
               (long long) p->total, p->epoch, p->loss, p->rate, p->tokens_per_second, left, peak_mib());
        fflush(stdout);
    }
}

/* What is said once a run, too. */
static void say(void *user, enum firn_log_level level, const char *text)
{
    if (level == FIRN_LOG_INFO)
        fprintf(stderr, "%s\n", text);
    else
        firn_stderr_log.line(user, level, text);
}

static void print_dry(const struct firn_recipe *r, const struct firn_dry_run *c)
{
    const double mib = 0x1p20;
    if (c->is_finished) {
        printf("output     %s: this run is finished, --resume has nothing to do\n", r->output);
        return;
    }
    printf("model      %s, %lld parameters\n", r->model, (long long) (c->total - c->trainable));
    printf("method     %s trains %lld of %lld (%.3f %%)\n", json_string_value(json_object_get(r->method, "type")),
           (long long) c->trainable, (long long) c->total, 100.0 * (double) c->trainable / (double) c->total);
    printf("data       %lld examples of up to %lld tokens (%lld left out), %lld to validate on, %lld to test on",
           (long long) c->examples, (long long) c->longest, (long long) c->skipped, (long long) c->validation,
           (long long) c->test);
    printf(c->labels > 0 ? ", %lld labels\n" : "\n", (long long) c->labels);
    printf("steps      %lld, %lld an epoch, each of %lld x %lld examples\n", (long long) c->steps, (long long) c->per_epoch,
           (long long) c->accumulation, (long long) c->batch);
    printf("memory     %.1f MiB: base %.1f, adapter %.2f, gradients and moments %.2f, activations %.1f\n",
           (double) (c->base_bytes + c->adapter_bytes + c->optimizer_bytes + c->activation_bytes) / mib,
           (double) c->base_bytes / mib, (double) c->adapter_bytes / mib, (double) c->optimizer_bytes / mib,
           (double) c->activation_bytes / mib);
    printf("device     %s\n", c->device != NULL ? c->device : "");
    printf("output     %s, from step %lld\n", r->output, (long long) c->done);
}

static void print_dry_json(const struct firn_dry_run *c)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = { { "trainable", c->trainable },
                    { "total", c->total },
                    { "examples", c->examples },
                    { "skipped", c->skipped },
                    { "validation", c->validation },
                    { "test", c->test },
                    { "longest", c->longest },
                    { "labels", c->labels },
                    { "steps", c->steps },
                    { "steps_per_epoch", c->per_epoch },
                    { "done", c->done },
                    { "batch_size", c->batch },
                    { "gradient_accumulation_steps", c->accumulation },
                    { "base_bytes", (int64_t) c->base_bytes },
                    { "adapter_bytes", (int64_t) c->adapter_bytes },
                    { "optimizer_bytes", (int64_t) c->optimizer_bytes },
                    { "activation_bytes", (int64_t) c->activation_bytes } };
    json_t *o = json_object();
    json_object_set_new(o, "is_finished", json_boolean(c->is_finished));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && !c->is_finished; i++)
        json_object_set_new(o, numbers[i].name, json_integer(numbers[i].value));
    if (c->device != NULL)
        json_object_set_new(o, "device", json_string(c->device));
    json_dumpf(o, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(o);
}

static firn_status dry_run(const struct firn_recipe *recipe, const struct firn_train_params *params, bool json,
                         struct firn_error *err)
{
    struct firn_dry_run c;
    const firn_status status = firn_train_dry(recipe, params, &c, err);
    if (status == FIRN_OK && json)
        print_dry_json(&c);
    else if (status == FIRN_OK)
        print_dry(recipe, &c);
    free(c.device);
    return status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    const struct flags *f = args->values;
    struct firn_recipe recipe;
    firn_status status = firn_recipe_from_args(&recipe, args, "train", f->device, err);
    if (status)
        return status;
    struct screen screen = { .is_terminal = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO), .json = f->json };
    const struct firn_train_params params = { .resume = f->resume, .overwrite = f->overwrite, .check = f->check,
                                              .log = { .line = say },
                                              .progress = on_progress, .user = &screen, .stop = firn_stop_on_signals() };
    if (status == FIRN_OK)
        status = f->dry_run ? dry_run(&recipe, &params, f->json, err) : firn_train(&recipe, &params, err);
    clear_line(&screen);
    if (status == FIRN_OK && !f->json && !f->dry_run)
        printf("adapter: %s/adapter\n", recipe.output);
    firn_recipe_free(&recipe);
    return status;
}

const struct firn_command firn_command_train = {
    .name = "train",
    .words = "RECIPE [section.key=value ...]",
    .min_words = 1,
    .max_words = 1000,
    .summary = "fine-tunes a model as a recipe says",
    .text = "Trains, evaluates, and leaves in the recipe's output: adapter/ (files that Hugging Face PEFT loads), checkpoints/,\n"
            "log.jsonl, report.html and the effective recipe.yaml. SIGINT or SIGTERM: a checkpoint is saved and the exit code\n"
            "is 3; --resume goes on and ends with the same bytes. --dry-run does all but train: it reads recipe, model and data\n"
            "(the test data too), plans the longest batch on the device, and says what a run would be; what would stop a run stops it.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .has_recipe = true,
    .run = run,
};
