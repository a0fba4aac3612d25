/* SPDX-License-Identifier: Apache-2.0 */
/* Writes, verifies and finds checkpoint directories. */
#include "train/checkpoint.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANIFEST "manifest.json"
enum { MAX_FILE_MIB = 1 << 20 }; /* a checkpoint's file is trusted to be below 1 TiB */

static json_t *manifest_of(int64_t step, const struct firn_checkpoint_file *files, int n_files)
{
    json_t *list = json_object(), *manifest = json_object();
    for (int i = 0; i < n_files; i++)
        json_object_set_new(list, files[i].name,
                            json_pack("{s:I,s:I}", "size", (json_int_t) files[i].size, "crc32c",
                                      (json_int_t) firn_crc32c(0, files[i].data, files[i].size)));
    json_object_set_new(manifest, "format", json_string("firn checkpoint 1"));
    json_object_set_new(manifest, "step", json_integer(step));
    json_object_set_new(manifest, "files", list);
    return manifest;
}

static firn_status write_into(const char *directory, int64_t step,
                              const struct firn_checkpoint_file *files, int n_files,
                              struct firn_error *err)
{
    firn_status status = FIRN_OK;
    for (int i = 0; i < n_files && status == FIRN_OK; i++) {
        char *path = firn_path_join(directory, files[i].name);
        status = path != NULL ? firn_file_write(path, files[i].data, files[i].size, err)
                              : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
        free(path);
    }
    if (status)
        return status;
    char *path = firn_path_join(directory, MANIFEST);
    json_t *manifest = manifest_of(step, files, n_files);
    status = path != NULL && manifest != NULL
                 ? firn_json_save(path, manifest, false, err)
                 : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a manifest");
    json_decref(manifest);
    free(path);
    return status ? status : firn_dir_sync(directory, err);
}

/* "step-000050" -> 50; -1 for anything else (temporary directories too). */
static int64_t step_of(const char *name)
{
    int64_t step;
    int used = 0;
    if (sscanf(name, "step-%" SCNd64 "%n", &step, &used) != 1 || name[used] != '\0' || step < 0)
        return -1;
    return step;
}

/* Removes what a killed process left half-written, and all but the newest `keep`. */
static firn_status clean(const char *directory, int keep, struct firn_error *err)
{
    char **names = NULL;
    size_t n = 0;
    int kept = 0;
    firn_status status = firn_dir_list(directory, &names, &n, err);
    for (size_t i = n; i-- > 0 && status == FIRN_OK;) { /* sorted: the newest last */
        const bool is_whole = step_of(names[i]) >= 0;
        const bool is_partial = strncmp(names[i], "partial-", 8) == 0;
        if (is_whole && (keep == 0 || kept++ < keep))
            continue;
        if (!is_whole && !is_partial)
            continue;
        char *path = firn_path_join(directory, names[i]);
        if (path != NULL)
            status = firn_dir_remove(path, err);
        free(path);
    }
    firn_dir_list_free(names, n);
    return status;
}

firn_status firn_checkpoint_write(const char *directory, int64_t step,
                                  const struct firn_checkpoint_file *files, int n_files, int keep,
                                  struct firn_error *err)
{
    struct firn_str partial = { 0 }, final = { 0 };
    uint64_t needed = 1 << 16;
    for (int i = 0; i < n_files; i++)
        needed += files[i].size + 4096;
    firn_status status = firn_dir_create(directory, err);
    if (status)
        return status;
    const uint64_t free_bytes = firn_disk_free(directory);
    if (free_bytes != 0 && free_bytes < needed)
        return firn_fail(err, FIRN_ERR_IO, .file = directory, .what = "too little disk for a checkpoint",
                         .expected = FIRN_STR("%" PRIu64 " bytes free", needed),
                         .got = FIRN_STR("%" PRIu64, free_bytes));
    firn_str_addf(&partial, "%s/partial-%06" PRId64, directory, step);
    firn_str_addf(&final, "%s/step-%06" PRId64, directory, step);
    if (partial.failed || final.failed) {
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
        goto done;
    }
    if (firn_path_exists(partial.data))
        status = firn_dir_remove(partial.data, err);
    if (status == FIRN_OK)
        status = firn_dir_create(partial.data, err);
    if (status == FIRN_OK)
        status = write_into(partial.data, step, files, n_files, err);
    if (status == FIRN_OK && firn_path_exists(final.data)) /* the same step again, after a resume */
        status = firn_dir_remove(final.data, err);
    if (status == FIRN_OK && rename(partial.data, final.data) != 0)
        status = firn_fail(err, FIRN_ERR_IO, .file = final.data, .what = strerror(errno));
    if (status == FIRN_OK)
        status = firn_dir_sync(directory, err);
    if (status == FIRN_OK)
        status = clean(directory, keep, err);
done:
    firn_str_free(&partial);
    firn_str_free(&final);
    return status;
}

static firn_status load_manifest(const char *path, json_t **manifest, struct firn_error *err)
{
    char *file = firn_path_join(path, MANIFEST);
    if (file == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    firn_status status = firn_json_load(file, manifest, err);
    if (status == FIRN_OK && !json_is_object(json_object_get(*manifest, "files"))) {
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = "files",
                           .expected = "a mapping of names", .got = "none");
        json_decref(*manifest);
        *manifest = NULL;
    }
    free(file);
    return status;
}

static firn_status check_file(const char *file, const json_t *entry, uint32_t crc, uint64_t size,
                              struct firn_error *err)
{
    const json_int_t want_size = json_integer_value(json_object_get(entry, "size"));
    const json_int_t want_crc = json_integer_value(json_object_get(entry, "crc32c"));
    if ((uint64_t) want_size != size)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file,
                         .expected = FIRN_STR("%" JSON_INTEGER_FORMAT " bytes", want_size),
                         .got = FIRN_STR("%" PRIu64, size));
    if (want_crc != (json_int_t) crc)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file,
                         .expected = FIRN_STR("checksum %08" PRIx64, (uint64_t) want_crc),
                         .got = FIRN_STR("%08" PRIx32, crc));
    return FIRN_OK;
}

static firn_status verify(const char *path, struct firn_error *err)
{
    json_t *manifest = NULL, *entry;
    const char *name;
    firn_status status = load_manifest(path, &manifest, err);
    if (status)
        return status;
    json_object_foreach (json_object_get(manifest, "files"), name, entry) {
        char *file = strchr(name, '/') == NULL ? firn_path_join(path, name) : NULL;
        uint32_t crc = 0;
        uint64_t size = 0;
        status = file != NULL ? firn_crc32c_file(file, &crc, &size, err)
                              : firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = name,
                                          .what = "is no file name");
        if (status == FIRN_OK)
            status = check_file(file, entry, crc, size, err);
        free(file);
        if (status)
            break;
    }
    json_decref(manifest);
    return status;
}

firn_status firn_checkpoint_find(const char *directory, const struct firn_log *log, char **path,
                                 int64_t *step, struct firn_error *err)
{
    char **names = NULL;
    size_t n = 0;
    *path = NULL;
    *step = 0;
    if (!firn_path_is_dir(directory))
        return FIRN_OK;
    firn_status status = firn_dir_list(directory, &names, &n, err);
    if (status)
        return status;
    int64_t newest = -1;
    char **broken = calloc(n + 1, sizeof *broken);
    for (;;) {
        size_t at = n;
        newest = -1;
        for (size_t i = 0; i < n && broken != NULL; i++)
            if (broken[i] == NULL && step_of(names[i]) > newest) {
                newest = step_of(names[i]);
                at = i;
            }
        if (at == n)
            break;
        char *candidate = firn_path_join(directory, names[at]);
        struct firn_error why = { 0 };
        if (candidate != NULL && verify(candidate, &why) == FIRN_OK) {
            *path = candidate;
            *step = newest;
            break;
        }
        firn_log_line(log, FIRN_LOG_WARN, "checkpoint %s is broken and is skipped: %s",
                      candidate != NULL ? candidate : names[at], why.text);
        free(candidate);
        broken[at] = names[at];
    }
    free(broken);
    firn_dir_list_free(names, n);
    return FIRN_OK;
}

firn_status firn_checkpoint_read(const char *path, const char *name, char **data, size_t *size,
                                 struct firn_error *err)
{
    json_t *manifest = NULL;
    firn_status status = load_manifest(path, &manifest, err);
    if (status)
        return status;
    const json_t *entry = json_object_get(json_object_get(manifest, "files"), name);
    char *file = firn_path_join(path, name);
    if (entry == NULL || file == NULL)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = name,
                           .what = "is not in the checkpoint's manifest");
    if (status == FIRN_OK)
        status = firn_file_read(file, (size_t) MAX_FILE_MIB << 20, data, size, err);
    if (status == FIRN_OK) {
        status = check_file(file, entry, firn_crc32c(0, *data, *size), *size, err);
        if (status) {
            free(*data);
            *data = NULL;
        }
    }
    free(file);
    json_decref(manifest);
    return status;
}
