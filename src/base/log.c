/* SPDX-License-Identifier: Apache-2.0 */
/* Formats a log line for the callback that the caller gave. */
#include "firn/log.h"

#include <stdarg.h>
#include <stdio.h>

void firn_log_line(const struct firn_log *log, enum firn_log_level level, const char *format, ...)
{
    if (log == NULL || log->line == NULL)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log->line(log->user, level, text);
}
