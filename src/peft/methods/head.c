/* SPDX-License-Identifier: Apache-2.0 */
/* Head only: the classification head trains, the body is frozen. PEFT has no such type: files are those
 * of a LoRA whose update is zero, with the head as its saved module. */
#include "model/model.h"

#include <stdio.h>

static firn_status open_head(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                             struct firn_error *err)
{
    (void) settings;
    (void) m;
    if (task == FIRN_TASK_SEQ_CLS || task == FIRN_TASK_TOKEN_CLS)
        return FIRN_OK;
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "method head",
                     .expected = "sequence_classification or token_classification", .got = firn_task_words[task]);
}

static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    (void) settings;
    if (!firn_is_head(s->path))
        return NULL;
    snprintf(text, size, "%s.%s", s->path, part);
    return text;
}

const struct firn_method firn_method_head = {
    .name = "head", .peft_type = "HEAD", .saves_as = "{\"peft_type\":\"LORA\"}",
    .open = open_head, .trains = trains };
