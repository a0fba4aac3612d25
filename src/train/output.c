/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the output directory of a run. */
#include "train/output.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static firn_status clear(struct firn_output *o, struct firn_error *err)
{
    const char *const directories[] = { o->adapter, o->checkpoints, o->best };
    const char *const files[] = { o->log, o->report, o->summary, o->recipe };
    firn_status status = FIRN_OK;
    for (int i = 0; i < 3 && status == FIRN_OK; i++)
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

firn_status firn_output_open(struct firn_output *o, const char *directory, bool resume, bool overwrite,
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
                               .finished = firn_path_join(directory, "adapter/firn.json") };
    char *lock = firn_path_join(directory, ".lock");
    firn_status status = lock == NULL || o->finished == NULL || o->recipe == NULL || o->summary == NULL
                             ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path")
                             : FIRN_OK;
    if (status == FIRN_OK && !resume && !overwrite && firn_path_exists(directory) && !is_unused(directory))
        status = firn_fail(err, FIRN_ERR_USAGE, .file = directory,
                           .what = "holds something already; use --resume to go on with it, --overwrite to start anew, "
                                   "or another output");
    if (status == FIRN_OK)
        status = firn_dir_create(directory, err);
    if (status == FIRN_OK) {
        status = firn_lock_take(&o->lock, lock, err);
        if (status == FIRN_ERR_BUSY)
            status = firn_fail(err, FIRN_ERR_BUSY, .file = directory, .what = "another run is writing there");
    }
    if (status == FIRN_OK && overwrite && !resume)
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
    memset(o, 0, sizeof *o);
    o->lock = -1;
}
