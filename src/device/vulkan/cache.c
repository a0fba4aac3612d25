/* SPDX-License-Identifier: Apache-2.0 */
/* Files in the user's cache directory, each with a checksum in front: a broken one is as good as none. */
#include "device/vulkan/device.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/str.h"

#include <stdlib.h>

static const char magic[8] = "firncac1";
enum { HEADER = 16, MAX_FILE = 256 << 20 };

static char *path_of(const char *name)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    struct firn_str path = { 0 };
    if (cache != NULL && cache[0] == '/')
        firn_str_addf(&path, "%s/firn", cache);
    else if (home != NULL && home[0] == '/')
        firn_str_addf(&path, "%s/.cache/firn", home);
    else
        return NULL;
    if (path.failed || firn_dir_create(path.data, NULL) != FIRN_OK) {
        firn_str_free(&path);
        return NULL;
    }
    firn_str_addf(&path, "/%s", name);
    return path.data;
}

bool firn_vk_cache_read(const char *name, char **data, size_t *size)
{
    char *path = path_of(name), *bytes = NULL;
    size_t n = 0;
    *data = NULL;
    if (path != NULL && firn_file_read(path, MAX_FILE, &bytes, &n, NULL) == FIRN_OK && n > HEADER) {
        uint32_t crc;
        memcpy(&crc, bytes + 8, sizeof crc);
        if (memcmp(bytes, magic, sizeof magic) == 0 && firn_crc32c(0, bytes + HEADER, n - HEADER) == crc) {
            *size = n - HEADER;
            memmove(bytes, bytes + HEADER, *size);
            *data = bytes;
            bytes = NULL;
        }
    }
    free(bytes);
    free(path);
    return *data != NULL;
}

void firn_vk_cache_write(const char *name, const void *data, size_t size)
{
    char *path = path_of(name), *bytes = malloc(size + HEADER);
    if (path != NULL && bytes != NULL) {
        const uint32_t crc = firn_crc32c(0, data, size);
        memset(bytes, 0, HEADER);
        memcpy(bytes, magic, sizeof magic);
        memcpy(bytes + 8, &crc, sizeof crc);
        memcpy(bytes + HEADER, data, size);
        firn_file_write(path, bytes, size + HEADER, NULL);
    }
    free(bytes);
    free(path);
}
