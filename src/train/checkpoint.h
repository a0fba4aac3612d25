/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints on disk: a directory of files with a manifest of sizes and checksums, written beside its
 * name and renamed when it is whole. What the files mean is the trainer's affair. */
#ifndef FIRN_TRAIN_CHECKPOINT_H
#define FIRN_TRAIN_CHECKPOINT_H

#include "firn/log.h"

#include <stdbool.h>
#include <stdint.h>

struct firn_checkpoint_file {
    const char *name;
    const void *data;
    size_t size;
};

/* Writes `directory`/step-000050 with the files and, last, manifest.json; everything is fsynced before the rename and
 * after it. Then removes older checkpoints beyond the newest `keep` (0: keeps all). On failure the older ones stay. */
firn_status firn_checkpoint_write(const char *directory, int64_t step,
                                  const struct firn_checkpoint_file *files, int n_files, int keep,
                                  struct firn_error *err);

/* Path of the newest checkpoint whose manifest and checksums hold; *path NULL when there is none. A broken one is
 * named in a warning and skipped. free(*path). */
firn_status firn_checkpoint_find(const char *directory, const struct firn_log *log, char **path,
                                 int64_t *step, struct firn_error *err);

/* One file of a checkpoint, verified against the manifest; free(*data). */
firn_status firn_checkpoint_read(const char *path, const char *name, char **data, size_t *size,
                                 struct firn_error *err);

#endif
