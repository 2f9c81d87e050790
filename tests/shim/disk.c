// A disk that is slow, full or broken: put before the C library with LD_PRELOAD, steered by the environment.
//
// DISK_DELAY_MS: every flush takes that long. DISK_FULL: while this file is there, writes to stores find no room.
// DISK_BAD_FLUSH=n, DISK_BAD_WRITE=n: from the nth flush of (write to) a store on, it fails with an I/O error.
// DISK_BAD_FILE_FLUSH=n: the same for flushes of the file itself, and not of what lies beside it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return 1;
}

static int is_the_file(int fd) {
    char path[4096];
    size_t length = path_of(fd, path, sizeof path) ? strlen(path) : 0;
    return length > 3 && strcmp(path + length - 3, ".db") == 0;
}

static int of_a_store(int fd) {
    char path[4096];
    if (!path_of(fd, path, sizeof path)) return 0;
    return strstr(path, ".db") != NULL && strstr(path, ".lock") == NULL && strstr(path, "-shm") == NULL;
}

static int turn_comes(const char *name, int *passed) {
    const char *at = getenv(name);
    return at && __atomic_add_fetch(passed, 1, __ATOMIC_SEQ_CST) >= atoi(at);
}

static int flush(int fd, const char *name) {
    static int flushes, file_flushes;
    const char *delay = getenv("DISK_DELAY_MS");
    if (of_a_store(fd)) {
        if (turn_comes("DISK_BAD_FLUSH", &flushes)) {
            errno = EIO;
            return -1;
        }
        if (is_the_file(fd) && turn_comes("DISK_BAD_FILE_FLUSH", &file_flushes)) {
            errno = EIO;
            return -1;
        }
        if (delay) {
            long millis = atol(delay);
            struct timespec time = {millis / 1000, millis % 1000 * 1000000};
            nanosleep(&time, NULL);
        }
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return flush(fd, "fsync"); }
int fdatasync(int fd) { return flush(fd, "fdatasync"); }

static int refused(int fd) {
    static int writes;
    const char *full = getenv("DISK_FULL");
    if (!full && !getenv("DISK_BAD_WRITE")) return 0;
    if (!of_a_store(fd)) return 0;
    if (full && access(full, F_OK) == 0) {
        errno = ENOSPC;
        return 1;
    }
    if (turn_comes("DISK_BAD_WRITE", &writes)) {
        errno = EIO;
        return 1;
    }
    return 0;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    if (refused(fd)) return -1;
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    return real(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (refused(fd)) return -1;
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return real(fd, bytes, count, at);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (refused(fd)) return -1;
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return real(fd, bytes, count);
}
