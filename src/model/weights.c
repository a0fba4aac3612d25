/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the weight files of a model directory. */
#include "model/weights.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/str.h"
#include "model/gguf_model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_SHARDS = 4096 };

static firn_status add_file(struct firn_weights *w, const char *directory, const char *name,
                            struct firn_error *err)
{
    struct firn_safetensors *files = realloc(w->files, sizeof *files * (w->n_files + 1));
    char *path = firn_path_join(directory, name);
    firn_status status = FIRN_OK;
    if (files != NULL)
        w->files = files;
    if (files == NULL || path == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a model's files");
    if (status == FIRN_OK)
        status = firn_safetensors_open(&w->files[w->n_files], path, err);
    if (status == FIRN_OK)
        w->n_files++;
    free(path);
    return status;
}

/* A shard's name comes from a file: plain characters only, so that it cannot leave the directory. */
static bool is_plain_name(const char *name)
{
    const size_t n = strlen(name);
    if (n == 0 || n > 255 || name[0] == '.')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

/* True for a regular file of the directory itself. Hub caches hold links into their own blobs/ folder: those only are
 * followed, since the name comes from a file that somebody else wrote. */
static bool is_own_file(const char *directory, const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return true; /* opening it says why not */
    if (!S_ISLNK(info.st_mode))
        return S_ISREG(info.st_mode);
    char *blobs = firn_path_join(directory, "../../blobs");
    char *root = blobs != NULL ? realpath(blobs, NULL) : NULL, *target = realpath(path, NULL);
    const size_t n = root != NULL ? strlen(root) : 0;
    const bool is_inside = root != NULL && target != NULL && strncmp(root, target, n) == 0 && target[n] == '/' &&
                           strchr(target + n + 1, '/') == NULL;
    free(blobs);
    free(root);
    free(target);
    return is_inside;
}

static const struct firn_safetensors *find_file(const struct firn_weights *w, const char *directory, const char *name)
{
    const size_t prefix = strlen(directory);
    for (size_t i = 0; i < w->n_files; i++)
        if (strcmp(w->files[i].path + prefix + (w->files[i].path[prefix] == '/'), name) == 0)
            return &w->files[i];
    return NULL;
}

static firn_status open_shard(struct firn_weights *w, const char *directory, const char *index, const char *name,
                              struct firn_error *err)
{
    if (w->n_files >= MAX_SHARDS)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = index, .key = name,
                         .expected = FIRN_STR("at most %d files", MAX_SHARDS), .got = "more");
    char *path = firn_path_join(directory, name);
    const bool is_own = path != NULL && is_own_file(directory, path);
    free(path);
    if (!is_own)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = index, .key = name, .expected = "a file in this directory",
                         .got = "a link or something else");
    return add_file(w, directory, name, err);
}

/* Every tensor must be in the file that the index names, and in no other. */
static firn_status check_index(const struct firn_weights *w, const char *directory, const char *index,
                               const json_t *map, struct firn_error *err)
{
    size_t n_tensors = 0;
    const char *tensor;
    json_t *value;
    json_object_foreach ((json_t *) map, tensor, value) {
        const struct firn_safetensors *file = find_file(w, directory, json_string_value(value));
        if (firn_safetensors_find(file, tensor) == NULL)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = index, .key = tensor,
                             .expected = FIRN_STR("a tensor of %s", json_string_value(value)), .got = "none there");
    }
    for (size_t i = 0; i < w->n_files; i++)
        n_tensors += w->files[i].count;
    if (n_tensors == json_object_size(map))
        return FIRN_OK;
    return firn_fail(err, FIRN_ERR_FORMAT, .file = index, .key = "weight_map",
                     .expected = FIRN_STR("the %zu tensors of its files", n_tensors),
                     .got = FIRN_STR("%zu", json_object_size(map)));
}

static firn_status open_shards(struct firn_weights *w, const char *directory, const char *index,
                               struct firn_error *err)
{
    json_t *root = NULL, *value;
    const char *tensor;
    firn_status status = firn_json_load(index, &root, err);
    if (status)
        return status;
    const json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = index, .key = "weight_map",
                           .expected = "a mapping of tensors to files", .got = "none");
    json_object_foreach ((json_t *) map, tensor, value) {
        const char *name = json_string_value(value);
        if (status)
            break;
        if (name == NULL || json_string_length(value) != strlen(name) || !is_plain_name(name))
            status = firn_fail(err, FIRN_ERR_FORMAT, .file = index, .key = tensor,
                               .expected = "the name of a file in this directory",
                               .got = name != NULL ? name : "something else");
        else if (find_file(w, directory, name) == NULL)
            status = open_shard(w, directory, index, name, err);
    }
    if (status == FIRN_OK)
        status = check_index(w, directory, index, map, err);
    json_decref(root);
    return status;
}

static firn_status explain_missing(const char *directory, struct firn_error *err)
{
    static const char how[] = "python -c \"from transformers import AutoModel; "
                              "AutoModel.from_pretrained('NAME').save_pretrained('DIR')\"";
    char *pickle = firn_path_join(directory, "pytorch_model.bin");
    const bool has_pickle = pickle != NULL && firn_path_exists(pickle);
    free(pickle);
    if (!firn_path_is_dir(directory))
        return firn_fail(err, FIRN_ERR_IO, .file = directory,
                         .what = FIRN_STR("is no directory; firn reads local model directories. To get one: %s", how));
    if (has_pickle)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = directory,
                         .what = FIRN_STR("holds only a pickle (pytorch_model.bin), which firn never reads. To get "
                                          "safetensors: %s", how));
    return firn_fail(err, FIRN_ERR_IO, .file = directory,
                     .expected = "model.safetensors or model.safetensors.index.json", .got = "neither");
}

/* The paths of the one file or the index; *path NULL when neither is there. */
static firn_status find_files(const char *directory, char **path, bool *is_index, struct firn_error *err)
{
    static const char *const names[] = { "model.safetensors", "model.safetensors.index.json" };
    *path = NULL;
    for (int i = 0; i < 2 && *path == NULL; i++) {
        *is_index = i == 1;
        *path = firn_path_join(directory, names[i]);
        if (*path == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
        if (!firn_path_exists(*path)) {
            free(*path);
            *path = NULL;
        }
    }
    return *path != NULL ? FIRN_OK : explain_missing(directory, err);
}

firn_status firn_weights_check(const char *directory, struct firn_error *err)
{
    char *path;
    bool is_index;
    firn_status status = firn_gguf_locate(directory, &path, err);
    if (status == FIRN_OK && path == NULL)
        status = find_files(directory, &path, &is_index, err);
    free(path);
    return status;
}

firn_status firn_weights_open(struct firn_weights *w, const char *directory, struct firn_error *err)
{
    char *path;
    bool is_index;
    memset(w, 0, sizeof *w);
    firn_status status = find_files(directory, &path, &is_index, err);
    if (status == FIRN_OK)
        status = is_index ? open_shards(w, directory, path, err) : add_file(w, directory, "model.safetensors", err);
    free(path);
    if (status)
        firn_weights_close(w);
    return status;
}

void firn_weights_close(struct firn_weights *w)
{
    for (size_t i = 0; i < w->n_files; i++)
        firn_safetensors_close(&w->files[i]);
    for (size_t i = 0; i < w->n_copies; i++) {
        free(w->copies[i].path);
        free(w->copies[i].data);
    }
    for (size_t i = 0; i < w->n_made; i++) {
        free(w->made[i]->tensor.data);
        free(w->made[i]->name);
        free(w->made[i]);
    }
    free(w->made);
    free(w->files);
    free(w->copies);
    memset(w, 0, sizeof *w);
}

static const struct firn_tensor *find_exact(const struct firn_weights *w, const char *path, const char **file)
{
    for (size_t i = 0; i < w->n_files; i++) {
        const struct firn_tensor *t = firn_safetensors_find(&w->files[i], path);
        if (t != NULL && file != NULL)
            *file = w->files[i].path;
        if (t != NULL)
            return t;
    }
    return firn_weights_find_made(w, path);
}

static const struct firn_tensor *find_prefixed(const struct firn_weights *w, const char *prefix, const char *path,
                                               const char **file)
{
    const size_t n = strlen(prefix);
    const struct firn_tensor *t = find_exact(w, path, file);
    if (t == NULL && strncmp(path, prefix, n) == 0 && path[n] == '.')
        t = find_exact(w, path + n + 1, file);
    return t != NULL ? t : find_exact(w, FIRN_STR("%s.%s", prefix, path), file);
}

/* T5's one table has four names; files hold any of them. */
static const struct firn_tensor *find_shared(const struct firn_weights *w, const char **file)
{
    static const char *const names[] = { "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight" };
    const struct firn_tensor *t = NULL;
    for (int i = 0; i < 3 && t == NULL; i++)
        t = find_exact(w, names[i], file);
    return t;
}

const struct firn_tensor *firn_weights_find(const struct firn_weights *w, const char *prefix, const char *path,
                                            const char **file)
{
    const struct firn_tensor *t = find_prefixed(w, prefix, path, file);
    if (t == NULL && strcmp(path, "shared.weight") == 0)
        return find_shared(w, file);
    static const struct { const char *now, *before; } old[] = { { "LayerNorm.weight", "LayerNorm.gamma" },
                                                                { "LayerNorm.bias", "LayerNorm.beta" } };
    const size_t n = strlen(path);
    for (int i = 0; i < 2 && t == NULL; i++) {
        const size_t end = strlen(old[i].now);
        if (n >= end && n < 400 && strcmp(path + n - end, old[i].now) == 0)
            t = find_prefixed(w, prefix, FIRN_STR("%.*s%s", (int) (n - end), path, old[i].before), file);
    }
    return t;
}

const void *firn_weights_copy(const struct firn_weights *w, const char *path)
{
    for (size_t i = 0; i < w->n_copies; i++)
        if (strcmp(w->copies[i].path, path) == 0)
            return w->copies[i].data;
    return NULL;
}

firn_status firn_weights_keep(struct firn_weights *w, const char *path, void *data)
{
    struct firn_copy *copies = realloc(w->copies, sizeof *copies * (w->n_copies + 1));
    char *name = firn_strdup(path);
    if (copies != NULL)
        w->copies = copies;
    if (copies == NULL || name == NULL) {
        free(name);
        return FIRN_ERR_MEMORY;
    }
    w->copies[w->n_copies++] = (struct firn_copy){ name, data };
    return FIRN_OK;
}

float *firn_weights_room(struct firn_weights *w, const char *path, int64_t n)
{
    float *values = (float *) firn_weights_copy(w, path);
    if (values != NULL)
        return values;
    values = malloc(sizeof *values * (size_t) (n + 1));
    if (values == NULL || firn_weights_keep(w, path, values) != FIRN_OK) {
        free(values);
        return NULL;
    }
    return values;
}

const struct firn_packed *firn_weights_packed(const struct firn_tensor *t)
{
    return ((const struct firn_named_tensor *) ((const char *) t - offsetof(struct firn_named_tensor, tensor)))->packed;
}

void firn_weights_forget(const struct firn_tensor *t)
{
    struct firn_named_tensor *named =
        (struct firn_named_tensor *) ((char *) (uintptr_t) t - offsetof(struct firn_named_tensor, tensor));
    if (named->packed == NULL || !named->is_copied)
        return;
    free(named->tensor.data);
    named->tensor.data = NULL;
    named->is_copied = false;
}

void firn_weights_drop(const struct firn_weights *w, const struct firn_tensor *t)
{
    const struct firn_named_tensor *named =
        (const struct firn_named_tensor *) ((const char *) t - offsetof(struct firn_named_tensor, tensor));
    for (size_t i = 0; i < w->n_files; i++)
        if (!w->files[i].is_borrowed)
            firn_map_drop(&w->files[i].map, named->packed != NULL ? named->packed->bytes : t->data, named->size_bytes);
}

firn_status firn_weights_fingerprint(const struct firn_weights *w, char text[32], struct firn_error *err)
{
    uint32_t all = 0;
    uint64_t total = 0;
    for (size_t i = 0; i < w->n_files; i++) {
        uint32_t crc = 0;
        uint64_t size = 0;
        const firn_status status = firn_crc32c_file(w->files[i].path, &crc, &size, err);
        if (status)
            return status;
        all = firn_crc32c(all, &crc, sizeof crc);
        total += size;
    }
    firn_format(text, 32, "%08" PRIx32 "%016" PRIx64, all, total);
    return FIRN_OK;
}
