/* SPDX-License-Identifier: Apache-2.0 */
/* The disk cache: one file an entry, `<kind>-<key>`, with a header and a CRC32C. Files are written beside
 * and renamed, so that processes that share the folder see whole files only. They are not fsynced: a
 * file that a crash has torn fails its CRC and is made again. */
#include "device/vulkan/cache.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct header {
    char magic[8];
    uint64_t a, b; /* the key */
    uint64_t size;
    uint32_t crc;
    uint32_t reserved;
};
static const char magic[8] = "firnvc1";
#define MAX_ENTRY ((size_t) 256 << 20)

struct firn_vk_key firn_vk_key_start(const char *kind)
{
    struct firn_vk_key key = { FIRN_FNV_START, FIRN_FNV_START ^ 0x9e3779b97f4a7c15u };
    firn_vk_key_add(&key, kind, strlen(kind));
    return key;
}

void firn_vk_key_add(struct firn_vk_key *key, const void *data, size_t size)
{
    const uint64_t n = size;
    key->a = firn_fnv1a(firn_fnv1a(key->a, &n, sizeof n), data, size);
    key->b = firn_fnv1a(firn_fnv1a(key->b, data, size), &n, sizeof n);
}

void firn_vk_cache_open(struct firn_vk_cache *cache)
{
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *owned = NULL;
    cache->directory = NULL;
    if (base == NULL || base[0] != '/') { /* a relative path is to be ignored: XDG base directories */
        if (home == NULL || home[0] != '/')
            return;
        base = owned = firn_path_join(home, ".cache");
    }
    char *directory = base != NULL ? firn_path_join(base, "firn") : NULL;
    free(owned);
    if (directory != NULL && firn_dir_create(directory, NULL) != FIRN_OK) {
        free(directory);
        directory = NULL;
    }
    cache->directory = directory;
}

void firn_vk_cache_close(struct firn_vk_cache *cache)
{
    free(cache->directory);
    cache->directory = NULL;
}

static bool path_of(const struct firn_vk_cache *cache, const char *kind,
                    const struct firn_vk_key *key, struct firn_str *path)
{
    if (cache->directory == NULL)
        return false;
    firn_str_addf(path, "%s/%s-%016llx", cache->directory, kind, (unsigned long long) key->a);
    return !path->failed;
}

void *firn_vk_cache_load(const struct firn_vk_cache *cache, const char *kind,
                         const struct firn_vk_key *key, size_t *size)
{
    struct firn_str path = { 0 };
    char *file = NULL;
    void *content = NULL;
    size_t n = 0;
    *size = 0;
    if (!path_of(cache, kind, key, &path) ||
        firn_file_read(path.data, MAX_ENTRY, &file, &n, NULL) != FIRN_OK)
        goto done;
    struct header h;
    if (n < sizeof h)
        goto done;
    memcpy(&h, file, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0 || h.a != key->a || h.b != key->b ||
        h.size != n - sizeof h || h.crc != firn_crc32c(0, file + sizeof h, n - sizeof h))
        goto done;
    content = malloc(h.size > 0 ? h.size : 1);
    if (content == NULL)
        goto done;
    memcpy(content, file + sizeof h, h.size);
    *size = h.size;
done:
    free(file);
    firn_str_free(&path);
    return content;
}

static bool write_all(FILE *file, const void *data, size_t size)
{
    return size == 0 || fwrite(data, 1, size, file) == size;
}

void firn_vk_cache_store(const struct firn_vk_cache *cache, const char *kind,
                         const struct firn_vk_key *key, const void *data, size_t size)
{
    struct firn_str path = { 0 }, beside = { 0 };
    if (!path_of(cache, kind, key, &path) || size > MAX_ENTRY)
        goto done;
    firn_str_addf(&beside, "%s.XXXXXX", path.data);
    const int fd = beside.failed ? -1 : mkstemp(beside.data);
    if (fd < 0)
        goto done;
    FILE *file = fdopen(fd, "wb");
    if (file == NULL) {
        close(fd);
        unlink(beside.data);
        goto done;
    }
    struct header h = { .a = key->a, .b = key->b, .size = size, .crc = firn_crc32c(0, data, size) };
    memcpy(h.magic, magic, sizeof magic);
    bool whole = write_all(file, &h, sizeof h) && write_all(file, data, size);
    whole = fclose(file) == 0 && whole;
    if (!whole || rename(beside.data, path.data) != 0)
        unlink(beside.data);
done:
    firn_str_free(&beside);
    firn_str_free(&path);
}
