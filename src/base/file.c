/* SPDX-License-Identifier: Apache-2.0 */
/* Files on POSIX: mapping, whole reading, and writing under a temporary name that is renamed over
 * the real one after fsync, so that a reader sees the old file or the new one and nothing between.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 18, MAX_IO_BYTES = 1 << 30 };

static firn_status fail_io(struct firn_error *err, const char *path, const char *what, int number)
{
    return firn_fail(err, number == ENOMEM ? FIRN_ERR_MEMORY : FIRN_ERR_IO, .file = path,
                     .what = FIRN_STR("%s: %s", what, strerror(number)));
}

/* Opens for reading; does not wait for the other end of a FIFO. */
static firn_status open_to_read(int *fd, struct stat *info, const char *path,
                                struct firn_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return fail_io(err, path, "cannot open", errno);
    int number = 0;
    if (fstat(*fd, info) != 0)
        number = errno;
    else if (S_ISDIR(info->st_mode))
        number = EISDIR;
    const bool is_device = number == 0 && (S_ISCHR(info->st_mode) || S_ISBLK(info->st_mode));
    if (number == 0 && !is_device)
        return FIRN_OK;
    close(*fd);
    *fd = -1;
    return is_device ? firn_fail(err, FIRN_ERR_IO, .file = path, .what = "is a device, not a file") /* it may have no end */
                     : fail_io(err, path, "cannot open", number);
}

firn_status firn_map_open(struct firn_map *map, const char *path, struct firn_error *err)
{
    struct stat info;
    int fd;
    *map = (struct firn_map){ 0 };
    firn_status s = open_to_read(&fd, &info, path, err);
    if (s)
        return s;
    if (!S_ISREG(info.st_mode)) {
        s = firn_fail(err, FIRN_ERR_IO, .file = path, .what = "is not a regular file");
    } else if (info.st_size < 0 || (uintmax_t) info.st_size > SIZE_MAX / 2) {
        s = firn_fail(err, FIRN_ERR_IO, .file = path, .what = "is too large for this machine");
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t) info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            s = fail_io(err, path, "cannot map", errno);
        else
            *map = (struct firn_map){ .data = data, .size = (size_t) info.st_size };
    }
    close(fd);
    return s;
}

void firn_map_close(struct firn_map *map)
{
    if (map->data != NULL)
        munmap((void *) (uintptr_t) map->data, map->size);
    *map = (struct firn_map){ 0 };
}

void firn_map_drop(const struct firn_map *map, const void *data, size_t size)
{
    const uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE), start = (uintptr_t) data, first = (uintptr_t) map->data;
    if (map->data == NULL || start < first || start - first > map->size || size > map->size - (start - first))
        return;
    const uintptr_t from = (start + page - 1) / page * page, to = (start + size) / page * page;
    if (from < to)
        (void) madvise((void *) from, to - from, MADV_DONTNEED);
}

/* Reads up to `size` bytes; less only at the end. Returns -1 with errno set on failure. */
static ssize_t read_some(int fd, char *data, size_t size)
{
    size_t used = 0;
    while (used < size) {
        const size_t want = size - used < MAX_IO_BYTES ? size - used : MAX_IO_BYTES;
        const ssize_t n = read(fd, data + used, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t) n;
    }
    return (ssize_t) used;
}

firn_status firn_file_read(const char *path, size_t max_size, char **data, size_t *size,
                           struct firn_error *err)
{
    struct stat info;
    int fd;
    *data = NULL;
    *size = 0;
    firn_status s = open_to_read(&fd, &info, path, err);
    if (s)
        return s;
    char *text = NULL;
    size_t used = 0, capacity = 0;
    if (!S_ISREG(info.st_mode))
        fcntl(fd, F_SETFL, 0); /* a pipe: wait for what is still to come */
    else if (info.st_size > 0 && (uintmax_t) info.st_size <= max_size)
        capacity = (size_t) info.st_size + 1; /* one more tells the end of the file */
    for (;;) {
        if (used == capacity) {
            if (used > max_size) {
                s = firn_fail(err, FIRN_ERR_FORMAT, .file = path, .what = "is too large",
                              .expected = FIRN_STR("at most %zu bytes", max_size));
                goto done;
            }
            const size_t most = max_size < SIZE_MAX ? max_size + 1 : max_size;
            capacity = capacity > most / 2 ? most : capacity * 2;
            if (capacity < 4096)
                capacity = most < 4096 ? most : 4096;
        }
        char *grown = realloc(text, capacity + 1);
        if (grown == NULL) {
            s = firn_fail(err, FIRN_ERR_MEMORY, .file = path, .what = "no memory to read it");
            goto done;
        }
        text = grown;
        const ssize_t n = read_some(fd, text + used, capacity - used);
        if (n < 0) {
            s = fail_io(err, path, "cannot read", errno);
            goto done;
        }
        used += (size_t) n;
        if (used < capacity)
            break;
    }
    text[used] = '\0';
    *data = text;
    *size = used;
    text = NULL;
done:
    free(text);
    close(fd);
    return s;
}

struct firn_writer {
    char *path, *temporary; /* temporary NULL: a device or pipe, written straight */
    int fd;
    int failed; /* errno of the first failed write */
    size_t used;
    char buffer[BUFFER_BYTES];
};

static void write_all(struct firn_writer *w, const char *data, size_t size)
{
    while (size > 0 && w->failed == 0) {
        const ssize_t n = write(w->fd, data, size < MAX_IO_BYTES ? size : MAX_IO_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            w->failed = n < 0 ? errno : EIO;
            return;
        }
        data += n;
        size -= (size_t) n;
    }
}

/* Creates "<path>.<pid>.<k>.tmp" with the rights that a new file gets. */
static int create_temporary(struct firn_writer *w)
{
    const size_t size = strlen(w->path) + 48;
    w->temporary = malloc(size);
    if (w->temporary == NULL)
        return ENOMEM;
    for (unsigned k = 0; k < 10000; k++) {
        snprintf(w->temporary, size, "%s.%ld.%u.tmp", w->path, (long) getpid(), k);
        w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0)
            return 0;
        if (errno != EEXIST)
            return errno;
    }
    return EEXIST;
}

firn_status firn_writer_open(struct firn_writer **writer, const char *path, struct firn_error *err)
{
    *writer = NULL;
    struct firn_writer *w = malloc(sizeof *w);
    if (w == NULL)
        return fail_io(err, path, "cannot create", ENOMEM);
    w->temporary = NULL;
    w->fd = -1;
    w->failed = 0;
    w->used = 0;
    w->path = strdup(path);
    struct stat info;
    int number = 0;
    if (w->path == NULL) {
        number = ENOMEM;
    } else if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        w->fd = open(path, O_WRONLY | O_CLOEXEC);
        number = w->fd < 0 ? errno : 0;
    } else {
        number = create_temporary(w);
    }
    if (number == 0) {
        *writer = w;
        return FIRN_OK;
    }
    free(w->temporary);
    free(w->path);
    free(w);
    return fail_io(err, path, "cannot create", number);
}

firn_status firn_writer_put(struct firn_writer *w, const void *data, size_t size,
                            struct firn_error *err)
{
    if (size >= sizeof w->buffer - w->used) {
        write_all(w, w->buffer, w->used);
        w->used = 0;
    }
    if (size >= sizeof w->buffer) {
        write_all(w, data, size);
    } else if (size > 0) {
        memcpy(w->buffer + w->used, data, size);
        w->used += size;
    }
    return w->failed == 0 ? FIRN_OK : fail_io(err, w->path, "cannot write", w->failed);
}

static void writer_free(struct firn_writer **writer)
{
    struct firn_writer *w = *writer;
    if (w->fd >= 0)
        close(w->fd);
    free(w->temporary);
    free(w->path);
    free(w);
    *writer = NULL;
}

/* The directory that holds `path`, malloc'd. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
}

firn_status firn_writer_commit(struct firn_writer **writer, struct firn_error *err)
{
    struct firn_writer *w = *writer;
    firn_status s = FIRN_OK;
    write_all(w, w->buffer, w->used);
    w->used = 0;
    if (w->failed == 0 && w->temporary != NULL && fsync(w->fd) != 0)
        w->failed = errno;
    if (close(w->fd) != 0 && w->failed == 0 && errno != EINTR)
        w->failed = errno;
    w->fd = -1;
    if (w->failed != 0) {
        s = fail_io(err, w->path, "cannot write", w->failed);
    } else if (w->temporary != NULL && rename(w->temporary, w->path) != 0) {
        s = fail_io(err, w->path, "cannot rename the finished file to it", errno);
    } else if (w->temporary != NULL) {
        char *parent = parent_of(w->path);
        s = parent == NULL ? fail_io(err, w->path, "cannot write", ENOMEM)
                           : firn_dir_sync(parent, err);
        free(parent);
        writer_free(writer);
        return s;
    }
    if (s)
        firn_writer_abandon(writer);
    else
        writer_free(writer);
    return s;
}

void firn_writer_abandon(struct firn_writer **writer)
{
    if (writer == NULL || *writer == NULL)
        return;
    if ((*writer)->temporary != NULL)
        unlink((*writer)->temporary);
    writer_free(writer);
}

firn_status firn_file_write(const char *path, const void *data, size_t size, struct firn_error *err)
{
    struct firn_writer *w = NULL;
    firn_status s = firn_writer_open(&w, path, err);
    if (s)
        return s;
    firn_writer_put(w, data, size, NULL); /* commit returns what went wrong */
    return firn_writer_commit(&w, err);
}
