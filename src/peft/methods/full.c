/* SPDX-License-Identifier: Apache-2.0 */
/* Full fine-tuning: every tensor of the model's class trains, under its own name. */
#include "model/model.h"

#include <stdio.h>

static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    (void) settings;
    snprintf(text, size, "%s%s%s", s->path, s->path[0] != '\0' ? "." : "", part);
    return text;
}

const struct firn_method firn_method_full = { .name = "full", .peft_type = "FULL", .trains = trains };
