/* SPDX-License-Identifier: Apache-2.0 */
/* A GGUF file of any bytes: its keys, and every value of every tensor that can be decoded. */
#include "model/gguf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_gguf g;
    struct firn_error err = { 0 };
    volatile double sum = 0;
    if (firn_gguf_parse(&g, "fuzz", data, size, &err) != FIRN_OK) {
        if (err.text[0] == '\0')
            abort(); /* every refusal has a reason */
        return 0;
    }
    for (size_t i = 0; i < g.keys.n; i++) {
        char name[200], text[64];
        double x = 0;
        const size_t n = g.keys.list[i].length < sizeof name ? g.keys.list[i].length : sizeof name - 1;
        memcpy(name, g.keys.list[i].name, n);
        name[n] = '\0';
        firn_gguf_number(&g, name, &x);
        sum += x + firn_gguf_text(&g, name, text, sizeof text)[0];
    }
    for (size_t i = 0; i < g.n_tensors; i++) {
        const struct firn_gguf_tensor *t = &g.tensors[i];
        const int64_t cols = t->shape.dim[t->shape.rank - 1], count = firn_shape_count(&t->shape);
        for (int turns = 0; turns < 2 && firn_gguf_type_name(t->type) != NULL; turns++) {
            const struct firn_packed p = { t->data, t->type, cols, turns && count / cols % 2 == 0 ? count / cols : 0 };
            float x[64];
            for (int64_t at = 0; at < count; at += 64) {
                firn_packed_read(&p, at, count - at < 64 ? count - at : 64, x);
                sum += (double) x[0];
            }
        }
    }
    firn_gguf_close(&g);
    return 0;
}
