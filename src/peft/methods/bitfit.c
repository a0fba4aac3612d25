/* SPDX-License-Identifier: Apache-2.0 */
/* BitFit (Ben Zaken et al. 2022): every bias vector trains, of layers and of norms, and the classification head; all else
 * is frozen. PEFT has no such type: files are those of a LoRA with bias "all" whose update is zero. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    (void) settings;
    if (strcmp(part, "bias") != 0 && !firn_is_head(s->path))
        return NULL;
    snprintf(text, size, "%s%s%s", s->path, s->path[0] != '\0' ? "." : "", part);
    return text;
}

/* Biases are vectors of the body: a model without them would train its head only, under another name. */
static firn_status check_params(const void *settings, const struct firn_model *m, const struct firn_param_set *params,
                                const char *file, struct firn_error *err)
{
    (void) settings;
    for (size_t i = 0; i < params->count; i++)
        if (!firn_is_head(params->list[i].name))
            return FIRN_OK;
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "method bitfit",
                     .expected = "a model with bias vectors",
                     .got = FIRN_STR("%s, a %s model, whose layers and norms have none; lora or head would train it",
                                     m->directory, m->arch->name));
}

const struct firn_method firn_method_bitfit = {
    .name = "bitfit",
    .peft_type = "BITFIT",
    .saves_as = "{\"peft_type\":\"LORA\",\"bias\":\"all\"}",
    .trains = trains,
    .check_params = check_params,
};
