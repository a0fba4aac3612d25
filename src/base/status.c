/* SPDX-License-Identifier: Apache-2.0 */
/* Turns a failure record into one line of text. */
#include "firn/status.h"

#include <stdarg.h>
#include <stdio.h>

static void append(char *text, size_t size, size_t *used, const char *before, const char *word)
{
    if (word == NULL || *used >= size)
        return;
    int n = snprintf(text + *used, size - *used, "%s%s", before, word);
    if (n > 0)
        *used += (size_t) n;
}

firn_status firn_fail_with(struct firn_error *err, firn_status status,
                           const struct firn_failure *failure)
{
    if (err == NULL)
        return status;
    size_t used = 0;
    const size_t size = sizeof err->text;
    err->status = status;
    err->text[0] = '\0';
    append(err->text, size, &used, "", failure->file);
    append(err->text, size, &used, used > 0 ? ": " : "", failure->key);
    append(err->text, size, &used, used > 0 ? ": " : "", failure->what);
    if (failure->expected != NULL)
        append(err->text, size, &used, used > 0 ? ": expected " : "expected ", failure->expected);
    if (failure->got != NULL)
        append(err->text, size, &used, failure->expected != NULL ? ", got " : ": got ",
               failure->got);
    for (char *c = err->text; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    return status;
}

const char *firn_format(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(buffer, size, format, args);
    va_end(args);
    return buffer;
}

const char *firn_status_name(firn_status status)
{
    static const char *const names[] = { "ok",    "memory",      "io",     "format", "shape",
                                         "usage", "unsupported", "device", "busy",   "stopped" };
    return (size_t) status < sizeof names / sizeof names[0] ? names[status] : "unknown";
}
