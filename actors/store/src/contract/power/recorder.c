/* Preloaded into a program: writes down in order what it does to the files of one folder, so that a test can say what
 * a disk holds when the power goes after any of it. What is written down is under one lock with what is done.
 *
 * A record: what was done (w write, t truncate, s sync, u unlink), how long the name is, the name, the place and the
 * length (8 bytes each), and of a write what was written. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static int record = -1;

__attribute__((constructor)) static void begin(void) {
    folder = getenv("RECORDED_FOLDER");
    const char *to = getenv("RECORD_TO");
    if (folder && to) record = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The name in the folder, or NULL. */
static const char *within(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    return length && !strncmp(path, folder, length) && path[length] == '/' ? path + length + 1 : NULL;
}

static const char *name_of(int file, char *path) {
    char link[64];
    if (record < 0 || file == record) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0) return NULL;
    path[length] = 0;
    return within(path);
}

static void put(const void *bytes, size_t length) {
    while (length) {
        ssize_t put = syscall(SYS_write, record, bytes, length);
        if (put <= 0) abort(); /* half a record would tell lies */
        bytes = (const char *)bytes + put;
        length -= (size_t)put;
    }
}

static void note(char what, const char *name, uint64_t place, uint64_t length, const void *bytes) {
    uint8_t head[2] = {(uint8_t)what, (uint8_t)strlen(name)};
    uint64_t numbers[2] = {place, length};
    put(head, sizeof head);
    put(name, head[1]);
    put(numbers, sizeof numbers);
    if (bytes) put(bytes, length);
}

#define RECORDED(type, file, call, noted)                                                                              \
    char path[PATH_MAX + 1];                                                                                           \
    const char *name = name_of(file, path);                                                                            \
    if (!name) return call;                                                                                            \
    pthread_mutex_lock(&one_at_a_time);                                                                                \
    type done = call;                                                                                                  \
    if (done >= 0) noted;                                                                                              \
    pthread_mutex_unlock(&one_at_a_time);                                                                              \
    return done

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t place) {
    RECORDED(ssize_t, file, syscall(SYS_pwrite64, file, bytes, length, place),
             note('w', name, (uint64_t)place, (uint64_t)done, bytes));
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t place) {
    return pwrite64(file, bytes, length, place);
}

ssize_t write(int file, const void *bytes, size_t length) {
    RECORDED(ssize_t, file, syscall(SYS_write, file, bytes, length),
             note('w', name, (uint64_t)(lseek(file, 0, SEEK_CUR) - done), (uint64_t)done, bytes));
}

int ftruncate64(int file, off64_t length) {
    RECORDED(int, file, (int)syscall(SYS_ftruncate, file, length), note('t', name, 0, (uint64_t)length, NULL));
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int fsync(int file) {
    RECORDED(int, file, (int)syscall(SYS_fsync, file), note('s', name, 0, 0, NULL));
}

int fdatasync(int file) {
    RECORDED(int, file, (int)syscall(SYS_fdatasync, file), note('s', name, 0, 0, NULL));
}

int unlink(const char *path) {
    const char *name = record < 0 ? NULL : within(path);
    if (!name) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_lock(&one_at_a_time);
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (done >= 0) note('u', name, 0, 0, NULL);
    pthread_mutex_unlock(&one_at_a_time);
    return done;
}
