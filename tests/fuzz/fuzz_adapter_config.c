/* SPDX-License-Identifier: Apache-2.0 */
/* An adapter_config.json of any bytes: opened for BERT, matched against some paths, and written again. */
#include "peft/peft.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct firn_arch *find_bert(void)
{
    for (const struct firn_arch *const *a = firn_archs; *a != NULL; a++)
        if (strcmp((*a)->name, "bert") == 0)
            return *a;
    abort();
}

static void use(const struct firn_adapter *a, const struct firn_model *m)
{
    static const char *const paths[] = { "bert.encoder.layer.1.attention.self.query", "classifier", "cls.predictions", "",
                                         "bert.embeddings.word_embeddings" };
    for (int kind = 0; kind <= FIRN_SITE_OTHER; kind++)
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
            const struct firn_site s = { .kind = (enum firn_site_kind) kind, .path = paths[i], .n_in = 3, .n_out = 3 };
            char text[300];
            if (a->method->targets != NULL)
                a->method->targets(a->settings, &s);
            if (a->method->trains != NULL)
                a->method->trains(a->settings, &s, "bias", text, sizeof text);
        }
    json_decref(firn_adapter_config(a, m, FIRN_TASK_SEQ_CLS, "base"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_model m = { .directory = (char *) "fuzz", .arch = find_bert() };
    struct firn_adapter a;
    struct firn_error err = { 0 };
    json_t *config = NULL;
    if (firn_json_parse((const char *) data, size, "fuzz", &config, &err) != FIRN_OK)
        return 0;
    const firn_status status = firn_adapter_open(&a, &m, FIRN_TASK_SEQ_CLS, config, "fuzz", "", &err);
    if (status != FIRN_OK && err.text[0] == '\0')
        abort(); /* every refusal has a reason */
    if (status == FIRN_OK)
        use(&a, &m);
    firn_adapter_close(&a);
    json_decref(config);
    return 0;
}
