/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the output directory of a run. */
#include "train/output.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static firn_status clear(struct firn_output *o, struct firn_error *err)
{
    const char *const directories[] = { o->adapter, o->checkpoints, o->best, o->tensorboard };
    const char *const files[] = { o->log, o->report, o->summary, o->recipe };
    firn_status status = FIRN_OK;
    for (int i = 0; i < 4 && status == FIRN_OK; i++)
        if (firn_path_exists(directories[i]))
            status = firn_dir_remove(directories[i], err);
    for (int i = 0; i < 4; i++)
        unlink(files[i]);
    return status;
}

/* True when all that lies there is the lock of a run that ended before it wrote anything. */
static bool is_unused(const char *directory)
{
    char **names = NULL;
    size_t n = 0;
    bool unused = true;
    if (firn_dir_list(directory, &names, &n, NULL) != FIRN_OK)
        return true;
    for (size_t i = 0; i < n; i++)
        unused &= strcmp(names[i], ".lock") == 0;
    firn_dir_list_free(names, n);
    return unused;
}

/* Could the directory be made, or written into? Asked of the nearest part of its path that is there. */
static firn_status check_place(const char *directory, struct firn_error *err)
{
    char *path = firn_path_join(directory, ""); /* room for a point */
    if (path == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    for (char *slash; !firn_path_exists(path);) {
        slash = strrchr(path, '/');
        if (slash == NULL || slash == path)
            strcpy(path, slash == NULL ? "." : "/");
        else
            *slash = '\0';
    }
    const bool is_good = firn_path_is_dir(path) && access(path, W_OK | X_OK) == 0;
    const firn_status status =
        is_good ? FIRN_OK
                : firn_fail(err, FIRN_ERR_IO, .file = directory, .what = FIRN_STR("%s cannot be written into", path));
    free(path);
    return status;
}

firn_status firn_output_open(struct firn_output *o, const char *directory, bool resume, bool overwrite, bool is_dry,
                             struct firn_error *err)
{
    *o = (struct firn_output){ .lock = -1,
                               .directory = firn_path_join(directory, ""),
                               .adapter = firn_path_join(directory, "adapter"),
                               .checkpoints = firn_path_join(directory, "checkpoints"),
                               .best = firn_path_join(directory, "best"),
                               .log = firn_path_join(directory, "log.jsonl"),
                               .report = firn_path_join(directory, "report.html"),
                               .summary = firn_path_join(directory, "summary.json"),
                               .recipe = firn_path_join(directory, "recipe.yaml"),
                               .tensorboard = firn_path_join(directory, "tensorboard"),
                               .finished = firn_path_join(directory, "adapter/firn.json") };
    char *lock = firn_path_join(directory, ".lock");
    firn_status status = lock == NULL || o->finished == NULL || o->recipe == NULL || o->summary == NULL ||
                                 o->tensorboard == NULL
                             ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path")
                             : FIRN_OK;
    if (status == FIRN_OK && !resume && !overwrite && firn_path_exists(directory) && !is_unused(directory))
        status = firn_fail(err, FIRN_ERR_USAGE, .file = directory,
                           .what = "holds something already; use --resume to go on with it, --overwrite to start anew, "
                                   "or another output");
    if (status == FIRN_OK && is_dry)
        status = check_place(directory, err);
    if (status == FIRN_OK && !is_dry)
        status = firn_dir_create(directory, err);
    if (status == FIRN_OK && !is_dry) {
        status = firn_lock_take(&o->lock, lock, err);
        if (status == FIRN_ERR_BUSY)
            status = firn_fail(err, FIRN_ERR_BUSY, .file = directory, .what = "another run is writing there");
    }
    if (status == FIRN_OK && overwrite && !resume && !is_dry)
        status = clear(o, err);
    free(lock);
    if (status)
        firn_output_close(o);
    return status;
}

void firn_output_close(struct firn_output *o)
{
    if (o->lock >= 0)
        firn_lock_release(&o->lock);
    free(o->directory);
    free(o->adapter);
    free(o->checkpoints);
    free(o->best);
    free(o->log);
    free(o->report);
    free(o->summary);
    free(o->recipe);
    free(o->finished);
    free(o->tensorboard);
    memset(o, 0, sizeof *o);
    o->lock = -1;
}
