/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and directories on POSIX: making, listing, removing, locking. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static firn_status fail_io(struct firn_error *err, const char *path, const char *what, int number)
{
    return firn_fail(err, number == ENOMEM ? FIRN_ERR_MEMORY : FIRN_ERR_IO, .file = path,
                     .what = FIRN_STR("%s: %s", what, strerror(number)));
}

bool firn_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool firn_path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *firn_path_join(const char *directory, const char *name)
{
    size_t n = strlen(directory);
    const size_t n_name = strlen(name);
    while (n > 1 && directory[n - 1] == '/')
        n--;
    const bool slash = n > 0 && directory[n - 1] != '/';
    char *path = malloc(n + n_name + 2);
    if (path == NULL)
        return NULL;
    memcpy(path, directory, n);
    if (slash)
        path[n++] = '/';
    memcpy(path + n, name, n_name + 1);
    return path;
}

firn_status firn_dir_create(const char *path, struct firn_error *err)
{
    char *part = strdup(path);
    if (part == NULL)
        return fail_io(err, path, "cannot create the directory", ENOMEM);
    int number = 0;
    for (char *c = part; number == 0 && *c != '\0'; c++) {
        if (c[1] != '\0' && c[1] != '/')
            continue; /* not the last letter of a component */
        const char after = c[1];
        c[1] = '\0';
        if (mkdir(part, 0777) != 0 && !firn_path_is_dir(part))
            number = errno == EEXIST ? ENOTDIR : errno;
        c[1] = after;
    }
    free(part);
    if (number == 0 && !firn_path_is_dir(path))
        number = ENOENT; /* the empty path */
    return number == 0 ? FIRN_OK : fail_io(err, path, "cannot create the directory", number);
}

firn_status firn_dir_sync(const char *path, struct firn_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_io(err, path, "cannot open the directory", errno);
    int number = fsync(fd) == 0 ? 0 : errno;
    if (number == EINVAL || number == ENOTSUP)
        number = 0; /* a file system that has no such thing */
    close(fd);
    return number == 0 ? FIRN_OK : fail_io(err, path, "cannot sync the directory", number);
}

/* Removes what the directory `fd` holds (and closes it). Links are removed, never followed. */
static int remove_entries(int fd, int depth)
{
    DIR *dir = depth > 256 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        const int number = depth > 256 ? ELOOP : errno;
        close(fd);
        return number;
    }
    int number = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            number = errno;
            break;
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        const int inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner >= 0)
            number = remove_entries(inner, depth + 1);
        if (number == 0 && unlinkat(fd, name, inner >= 0 ? AT_REMOVEDIR : 0) != 0)
            number = errno;
        if (number != 0)
            break;
    }
    closedir(dir);
    return number;
}

firn_status firn_dir_remove(const char *path, struct firn_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return FIRN_OK;
    int number = fd < 0 ? errno : remove_entries(fd, 0);
    if (number == 0 && rmdir(path) != 0)
        number = errno;
    return number == 0 ? FIRN_OK : fail_io(err, path, "cannot remove", number);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

firn_status firn_dir_list(const char *path, char ***names, size_t *count, struct firn_error *err)
{
    *names = NULL;
    *count = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return fail_io(err, path, "cannot list", errno);
    char **list = NULL;
    size_t n = 0, capacity = 0;
    int number = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            number = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (n == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            char **grown = realloc(list, capacity * sizeof *grown);
            if (grown == NULL) {
                number = ENOMEM;
                break;
            }
            list = grown;
        }
        list[n] = strdup(entry->d_name);
        if (list[n] == NULL) {
            number = ENOMEM;
            break;
        }
        n++;
    }
    closedir(dir);
    if (number != 0) {
        firn_dir_list_free(list, n);
        return fail_io(err, path, "cannot list", number);
    }
    if (n > 1)
        qsort(list, n, sizeof *list, by_bytes);
    *names = list;
    *count = n;
    return FIRN_OK;
}

void firn_dir_list_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

bool firn_dir_is_empty(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT;
    bool is_empty = true;
    const struct dirent *entry;
    while (is_empty && (entry = readdir(dir)) != NULL)
        is_empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(dir);
    return is_empty;
}

uint64_t firn_disk_free(const char *path)
{
    struct statvfs info;
    if (statvfs(path, &info) != 0)
        return 0;
    return (uint64_t) info.f_bavail * (uint64_t) info.f_frsize;
}

firn_status firn_lock_take(int *fd, const char *path, struct firn_error *err)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        return fail_io(err, path, "cannot open the lock", errno);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return FIRN_OK;
    const int number = errno;
    close(*fd);
    *fd = -1;
    if (number == EWOULDBLOCK)
        return firn_fail(err, FIRN_ERR_BUSY, .file = path,
                         .what = "another process holds the lock");
    return fail_io(err, path, "cannot lock", number);
}

void firn_lock_release(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
