/* Puts itself between a program and the disk, and fails what is written to a ledger, or to files with
 * another name that TOLLGATE_TEST_FAULT_IN has, in the way that a file names: "ENOSPC", "EROFS" or "EIO" fail every write, "FSYNC" the order to keep what was
 * written. Without the file everything goes on as it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char fault[16];

/* Whether the descriptor leads to a ledger, and which fault there is. */
static int meant(int fd) {
    const char *name = getenv("TOLLGATE_TEST_FAULT");
    char link[64], path[4096];
    FILE *file = name ? fopen(name, "r") : NULL;
    if (!file) return 0;
    size_t length = fread(fault, 1, sizeof fault - 1, file);
    fclose(file);
    fault[length] = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t end = readlink(link, path, sizeof path - 1);
    if (end < 0) return 0;
    path[end] = 0;
    const char *in = getenv("TOLLGATE_TEST_FAULT_IN");
    return strstr(path, in ? in : "ledger.db") != NULL;
}

static int failing_write(int fd) {
    int saved = errno;
    if (!meant(fd) || strcmp(fault, "FSYNC") == 0) {
        errno = saved;
        return 0;
    }
    errno = strcmp(fault, "ENOSPC") == 0 ? ENOSPC : strcmp(fault, "EROFS") == 0 ? EROFS : EIO;
    return 1;
}

static int failing_sync(int fd) {
    int saved = errno;
    if (!meant(fd) || strcmp(fault, "FSYNC") != 0) {
        errno = saved;
        return 0;
    }
    errno = EIO;
    return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t count) {
    return failing_write(fd) ? -1 : NEXT(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return failing_write(fd) ? -1 : NEXT(pwrite)(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    return failing_write(fd) ? -1 : NEXT(pwrite64)(fd, bytes, count, offset);
}

int fsync(int fd) {
    return failing_sync(fd) ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd) {
    return failing_sync(fd) ? -1 : NEXT(fdatasync)(fd);
}
