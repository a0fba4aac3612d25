/* SPDX-License-Identifier: Apache-2.0 */
/* Files: mapped reading, whole reading, writing that never leaves half a file, locks. */
#ifndef FIRN_BASE_FILE_H
#define FIRN_BASE_FILE_H

#include "firn/status.h"

#include <stdbool.h>
#include <stdint.h>

/* A file mapped read-only. `data` is NULL for an empty file. */
struct firn_map {
    const uint8_t *data;
    size_t size;
};
firn_status firn_map_open(struct firn_map *map, const char *path, struct firn_error *err);
void firn_map_close(struct firn_map *map);
/* Bytes of the map that are not needed soon: the process gives their memory back, the next read fetches them again. */
void firn_map_drop(const struct firn_map *map, const void *data, size_t size);

/* The whole file, with a NUL after its end (not counted in size); free() it. Fails above max_size.
 */
firn_status firn_file_read(const char *path, size_t max_size, char **data, size_t *size,
                           struct firn_error *err);

/* Writes beside `path`, fsyncs, renames over it and fsyncs the directory. */
firn_status firn_file_write(const char *path, const void *data, size_t size,
                            struct firn_error *err);

/* A file written in pieces under the same promise: visible under its name only after commit.
 * A failed write is remembered and returned by commit; abandon (or a failed commit) removes it. */
struct firn_writer;
firn_status firn_writer_open(struct firn_writer **writer, const char *path, struct firn_error *err);
firn_status firn_writer_put(struct firn_writer *writer, const void *data, size_t size,
                            struct firn_error *err);
firn_status firn_writer_commit(struct firn_writer **writer, struct firn_error *err);
void firn_writer_abandon(struct firn_writer **writer);

bool firn_path_exists(const char *path);
bool firn_path_is_dir(const char *path);
/* Joins with one slash; returns malloc'd text or NULL without memory. */
char *firn_path_join(const char *directory, const char *name);
/* Creates a directory and its missing parents; one that is there is no error. */
firn_status firn_dir_create(const char *path, struct firn_error *err);
firn_status firn_dir_sync(const char *path, struct firn_error *err);
firn_status firn_dir_remove(const char *path, struct firn_error *err); /* with all it holds */
/* True when the directory is missing or holds nothing. */
bool firn_dir_is_empty(const char *path);
/* Names in a directory, sorted, "." and ".." left out; free each and the list. */
firn_status firn_dir_list(const char *path, char ***names, size_t *count, struct firn_error *err);
void firn_dir_list_free(char **names, size_t count);
/* Bytes that an unprivileged user may still write below `path`; 0 when unknown. */
uint64_t firn_disk_free(const char *path);

/* An exclusive lock that the kernel drops when the process dies. FIRN_ERR_BUSY when held. */
firn_status firn_lock_take(int *fd, const char *path, struct firn_error *err);
void firn_lock_release(int *fd);

#endif
