/* SPDX-License-Identifier: Apache-2.0 */
/// Status codes and the error text that every fallible function fills.
///
/// A function that can fail returns `firn_status` and takes `struct firn_error *err` last; NULL is
/// allowed where the text is not wanted. The library never prints and never exits.
#ifndef FIRN_STATUS_H
#define FIRN_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FIRN_API __attribute__((visibility("default")))
#define FIRN_PRINTF(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#else
#define FIRN_API
#define FIRN_PRINTF(format_at, first_at)
#endif

typedef enum firn_status {
    FIRN_OK = 0,
    FIRN_ERR_MEMORY,      // the host or the device has not enough memory
    FIRN_ERR_IO,          // a file could not be read, written or found
    FIRN_ERR_FORMAT,      // a file is there and its content is wrong
    FIRN_ERR_SHAPE,       // sizes that do not fit together
    FIRN_ERR_USAGE,       // a key, flag or value that the caller chose is wrong (exit code 2)
    FIRN_ERR_UNSUPPORTED, // right, but not something that this build or device does
    FIRN_ERR_DEVICE,      // a driver call failed or the device was lost
    FIRN_ERR_BUSY,        // another process holds it
    FIRN_ERR_STOPPED,     // stopped by request (a signal); work so far is saved (exit code 3)
} firn_status;

/// Filled by the function that failed first; `text` is one line without a line feed.
struct firn_error {
    firn_status status;
    char text[1000];
};

/// What an error says. All are optional, none is kept: they are copied into the text.
struct firn_failure {
    const char *file;     // the file that is wrong
    const char *key;      // the tensor, key, line or flag in it
    const char *what;     // a short sentence, where expected/got do not say it all
    const char *expected;
    const char *got;
};

/// Fills `err` (NULL allowed) and returns `status`, so that a caller can `return firn_fail(...)`:
///
///     return firn_fail(err, FIRN_ERR_SHAPE, .file = path, .key = name,
///                      .expected = FIRN_STR("[%d]", n), .got = FIRN_STR("[%d]", m));
///     // model.safetensors: bert.pooler.dense.bias: expected [384], got [48]
#define firn_fail(err, status, ...)                                                               \
    firn_fail_with((err), (status), &(const struct firn_failure){ __VA_ARGS__ })
FIRN_API firn_status firn_fail_with(struct firn_error *err, firn_status status,
                                    const struct firn_failure *failure);

/// Formats into a buffer that lives as long as the enclosing block.
#define FIRN_STR(...) firn_format((char[512]){ 0 }, 512, __VA_ARGS__)
FIRN_API const char *firn_format(char *buffer, size_t size, const char *format, ...)
    FIRN_PRINTF(3, 4);

/// A short word for a status: "io", "format", ...
FIRN_API const char *firn_status_name(firn_status status);

#ifdef __cplusplus
}
#endif
#endif
