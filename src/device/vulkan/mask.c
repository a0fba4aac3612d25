/* SPDX-License-Identifier: Apache-2.0 */
/* The words of FIRN_CAPS. */
#include "device/vulkan/mask.h"

#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What Vulkan 1.1 promises on every device; `none` gives exactly this. */
enum { MIN_LANES = 128, MIN_SHARED = 16 << 10, MIN_GROUPS = 65535, MAX_BIND_ALIGN = 256 };
#define MIN_BINDING ((uint64_t) 128 << 20)

static const struct {
    const char *word;
    uint32_t bit;
} words[] = {
    { "subgroup", FIRN_CAP_SUBGROUP }, { "shmem", FIRN_CAP_SHMEM },
    { "f16", FIRN_CAP_F16 },           { "storage16", FIRN_CAP_STORAGE16 },
    { "coopmat", FIRN_CAP_COOPMAT },   { "int8dot", FIRN_CAP_INT8DOT },
    { "bf16", FIRN_CAP_BF16 },         { "software", FIRN_CAP_SOFTWARE },
    { "round16", FIRN_CAP_ROUND16 },
};
enum { N_WORDS = sizeof words / sizeof words[0] };

void firn_vk_caps_text(uint32_t caps, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < N_WORDS; i++) {
        if (!(caps & words[i].bit))
            continue;
        const int n = snprintf(text + used, size - used, "%s%s", used > 0 ? " " : "", words[i].word);
        if (n < 0 || (size_t) n >= size - used)
            return;
        used += (size_t) n;
    }
}

static firn_status unknown(const char *word, struct firn_error *err)
{
    static const char *const known[] = { "none", "-subgroup", "-shmem", "+shmem", "-f16",
                                         "-storage16", "-coopmat", "-int8dot", "-bf16",
                                         "-software", "+round16", "-unified", "maxbuf=", "shmem=", "lanes=", "slice=", "watchdog=", NULL };
    const char *nearest = firn_nearest(word, known);
    return firn_fail(err, FIRN_ERR_USAGE, .file = "FIRN_CAPS", .key = word,
                     .what = nearest != NULL ? FIRN_STR("unknown; did you mean %s?", nearest) : NULL,
                     .expected = "none, or a list of -subgroup -shmem +shmem -f16 -storage16 -coopmat "
                                 "-int8dot -bf16 -software +round16 -unified maxbuf=128M shmem=16K lanes=128 slice=1G watchdog=250");
}

/* "16K", "128M", "1G", "1024"; 0 when it is not such a size. */
static uint64_t parse_size(const char *text)
{
    if (!isdigit((unsigned char) *text))
        return 0;
    char *end;
    const unsigned long long value = strtoull(text, &end, 10);
    int shift = 0;
    if (*end == 'K' || *end == 'M' || *end == 'G')
        shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30, end++;
    return *end != '\0' || value > UINT64_MAX >> shift ? 0 : (uint64_t) value << shift;
}

static uint32_t lower(uint32_t have, uint64_t want)
{
    return want < have ? (uint32_t) want : have;
}

static firn_status apply(const char *word, struct firn_limits *l, bool *is_unified,
                         struct firn_error *err)
{
    if (strcmp(word, "none") == 0 || strcmp(word, "-unified") == 0)
        *is_unified = false;
    if (strcmp(word, "-unified") == 0)
        return FIRN_OK;
    if (strcmp(word, "none") == 0) {
        l->caps = 0;
        l->max_lanes = lower(l->max_lanes, MIN_LANES);
        l->shared_bytes = lower(l->shared_bytes, MIN_SHARED);
        l->bind_align = l->bind_align < MAX_BIND_ALIGN ? MAX_BIND_ALIGN : l->bind_align;
        for (int i = 0; i < 3; i++)
            l->max_groups[i] = lower(l->max_groups[i], MIN_GROUPS);
        if (l->max_binding_bytes > MIN_BINDING)
            l->max_binding_bytes = MIN_BINDING;
        return FIRN_OK;
    }
    if (word[0] == '-' || strcmp(word, "+shmem") == 0 || strcmp(word, "+round16") == 0) {
        for (int i = 0; i < N_WORDS; i++) {
            if (strcmp(word + 1, words[i].word) != 0)
                continue;
            l->caps = word[0] == '-' ? l->caps & ~words[i].bit : l->caps | words[i].bit;
            return FIRN_OK;
        }
        return unknown(word, err);
    }
    const char *equals = strchr(word, '=');
    const uint64_t value = equals != NULL ? parse_size(equals + 1) : 0;
    if (strncmp(word, "maxbuf=", 7) == 0 && value >= 4096) {
        if (value < l->max_binding_bytes)
            l->max_binding_bytes = value;
    } else if (strncmp(word, "slice=", 6) == 0 && value > 0) {
        l->slice_flops = value;
    } else if (strncmp(word, "watchdog=", 9) == 0 && value > 0 && value < 1000000) {
        l->patience_ms = (uint32_t) value;
    } else if (strncmp(word, "shmem=", 6) == 0 && value > 0) {
        l->shared_bytes = lower(l->shared_bytes, value);
    } else if (strncmp(word, "lanes=", 6) == 0 && value > 0) {
        l->max_lanes = lower(l->max_lanes, value);
    } else {
        return unknown(word, err);
    }
    return FIRN_OK;
}

firn_status firn_vk_mask(const char *text, struct firn_limits *limits, bool *is_unified,
                         struct firn_error *err)
{
    if (text == NULL)
        return FIRN_OK;
    while (*text != '\0') {
        const size_t n = strcspn(text, ", ");
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int) (n < sizeof word ? n : sizeof word - 1), text);
        if (n > 0) {
            const firn_status s = apply(word, limits, is_unified, err);
            if (s != FIRN_OK)
                return s;
        }
        text += n + (text[n] != '\0');
    }
    return FIRN_OK;
}
