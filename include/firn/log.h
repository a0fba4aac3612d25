/* SPDX-License-Identifier: Apache-2.0 */
/// Log lines go to one callback with a level; without a callback they are dropped.
#ifndef FIRN_LOG_H
#define FIRN_LOG_H

#include "firn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum firn_log_level {
    FIRN_LOG_ERROR, // work was lost
    FIRN_LOG_WARN,  // the result may surprise
    FIRN_LOG_INFO,  // once per run
    FIRN_LOG_DEBUG, // once per plan
    FIRN_LOG_TRACE, // once per step
};

struct firn_log {
    void (*line)(void *user, enum firn_log_level level, const char *text); // one line, no line feed
    void *user;
};

/// Formats one line and hands it to `log` (NULL allowed: the line is dropped).
FIRN_API void firn_log_line(const struct firn_log *log, enum firn_log_level level,
                            const char *format, ...) FIRN_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
