/* SPDX-License-Identifier: Apache-2.0 */
/* `firn devices`: every device, its class and limits, and the kernels it will not use. */
#include "cli/command.h"
#include "device/device.h"
#include "firn/ops.h"
#include "graph/op.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct flags {
    bool json, kernels, warm;
};

static const struct firn_option flags[] = {
    FIRN_FLAG_JSON(json),
    { "kernels", .type = FIRN_OPTION_BOOL, .offset = offsetof(struct flags, kernels),
      .help = "list each kernel, and why a device does not use it" },
    { NULL },
};

static const char *cap_names(uint32_t caps, char *text, size_t size)
{
    static const char *const names[] = { "subgroup", "shmem", "f16", "storage16", "coopmat",
                                         "int8dot",  "bf16",  "software" };
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < 8; i++)
        if (caps >> i & 1u && used < size)
            used += (size_t) snprintf(text + used, size - used, "%s%s", used > 0 ? " " : "",
                                      names[i]);
    return text;
}

static void print_kernels(const struct firn_device *d)
{
    char text[128];
    for (const struct firn_op *const *op = firn_op_list(); *op != NULL; op++)
        for (const struct firn_kernel *k = (*op)->kernels; k != NULL && k->name != NULL; k++) {
            const uint32_t missing = k->needs & ~d->limits.caps, clash = k->never & d->limits.caps;
            printf("    %-32s %s%s\n", k->name,
                   missing ? "no: lacks " : clash ? "no: not for " : "yes",
                   missing || clash ? cap_names(missing ? missing : clash, text, sizeof text) : "");
        }
}

static void print_info(const struct firn_device_info *i)
{
    printf("%-10s %s\n", i->id, i->name);
    printf("    class %s, type %s, driver %s%s%s\n", i->device_class, i->type, i->driver,
           i->api[0] ? ", Vulkan " : "", i->api);
    if (i->memory_bytes > 0)
        printf("    memory %.1f GiB", (double) i->memory_bytes / 0x1p30);
    if (i->max_lanes > 1)
        printf(", subgroup %" PRIu32 ", shared %" PRIu32 " KiB, lanes %" PRIu32 ", binding %.0f MiB",
               i->subgroup_size, i->shared_bytes / 1024, i->max_lanes,
               (double) i->max_binding_bytes / 0x1p20);
    printf("\n");
    if (i->caps[0] != '\0')
        printf("    can %s\n", i->caps);
    if (i->unusable[0] != '\0')
        printf("    not usable: %s\n", i->unusable);
}

static json_t *info_json(const struct firn_device_info *i)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:i,s:i,s:i,s:I,s:s,s:s}", "id", i->id, "name",
                     i->name, "driver", i->driver, "api", i->api, "class", i->device_class, "type",
                     i->type, "memory_bytes", (json_int_t) i->memory_bytes, "subgroup_size",
                     (int) i->subgroup_size, "shared_bytes", (int) i->shared_bytes, "max_lanes",
                     (int) i->max_lanes, "max_binding_bytes", (json_int_t) i->max_binding_bytes,
                     "caps", i->caps, "unusable", i->unusable);
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    const struct flags *f = args->values;
    struct firn_device_info *list = NULL;
    int count = 0;
    firn_status status = firn_device_list(&list, &count, err);
    json_t *all = json_array();
    for (int i = 0; i < count && status == FIRN_OK; i++) {
        if (f->json) {
            json_array_append_new(all, info_json(&list[i]));
            continue;
        }
        print_info(&list[i]);
        struct firn_device *d = NULL;
        if (f->kernels && list[i].unusable[0] == '\0' &&
            firn_device_open(&d, list[i].id, NULL, NULL) == FIRN_OK && !d->is_host)
            print_kernels(d);
        firn_device_close(&d);
    }
    if (f->json && status == FIRN_OK) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
    }
    json_decref(all);
    free(list);
    return status;
}

const struct firn_command firn_command_devices = {
    .name = "devices",
    .words = "",
    .summary = "lists every device: class, limits, kernels",
    .text = "Lists every Vulkan device in the loader's order (the N of vulkan:N), then cpu. `auto` is the\n"
            "first discrete GPU, else an integrated one, else cpu.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
