/* A preloaded library that simulates a failing disk for one process. It counts the calls that this
   process makes on files under a folder, and injects a fault at the k-th call.

   SHIM_UNDER   the folder, an absolute path; calls on the folder itself count too
   SHIM_CALLS   the calls that count: "all"; those that "change" the disk; or those that may need
                space on it, "grow"
   SHIM_AT      k, from 1; 0 only counts
   SHIM_HOW     "once": the k-th call fails; "on": it and all later calls fail; "short": as "on",
                but a write first writes half of its bytes; "before", "after": SIGKILL before or
                after the call
   SHIM_ERRNO   the error number
   SHIM_LOG     a file that gets a line for each counted call: its name and path

   Child processes are not affected. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4096

enum kind { READS, REMOVES, GROWS }; /* the effect of a call on the disk */

static char under[PATH_MAX];
static char *opened[FILES]; /* the path of each open file under the folder */
static char how[16];
static enum kind least;
static int error_number, log_file = -1;
static long at, calls;
static pid_t watched;

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

/* Runs when the library is loaded, and again in a process forked later with other settings. */
__attribute__((constructor)) void start_shim(void) {
    snprintf(under, sizeof under, "%s", setting("SHIM_UNDER"));
    snprintf(how, sizeof how, "%s", setting("SHIM_HOW"));
    least = !strcmp(setting("SHIM_CALLS"), "grow")     ? GROWS
            : !strcmp(setting("SHIM_CALLS"), "change") ? REMOVES
                                                       : READS;
    at = atol(setting("SHIM_AT"));
    error_number = atoi(setting("SHIM_ERRNO"));
    log_file = open(setting("SHIM_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    unsetenv("LD_PRELOAD");
    watched = getpid();
}

/* The absolute path if it is under the folder, else NULL; valid until the next call. */
static const char *by_path(int folder, const char *path) {
    static __thread char whole[2 * PATH_MAX];
    char here[PATH_MAX];
    const char *base = "";
    size_t length = strlen(under);
    if (getpid() != watched || !length || !path)
        return NULL;
    if (path[0] != '/')
        base = folder == AT_FDCWD               ? getcwd(here, sizeof here)
               : folder >= 0 && folder < FILES ? opened[folder]
                                               : NULL;
    if (!base)
        return NULL;
    snprintf(whole, sizeof whole, "%s%s%s", base, *base ? "/" : "", path);
    if (strncmp(whole, under, length) || (whole[length] && whole[length] != '/'))
        return NULL;
    return whole;
}

static const char *by_file(int file) {
    return getpid() == watched && file >= 0 && file < FILES ? opened[file] : NULL;
}

static int remember(int file, const char *path) {
    if (file >= 0 && file < FILES)
        opened[file] = strdup(path);
    return file;
}

/* Count the call if it is one of the selected kind; return whether it is. */
static int counts(const char *name, const char *path, enum kind kind) {
    if (!path || kind < least)
        return 0;
    calls++;
    if (log_file >= 0)
        dprintf(log_file, "%s %s\n", name, path);
    return 1;
}

static int is_now(const char *what) { return calls == at && !strcmp(how, what); }

static int fails(void) {
    if (is_now("before"))
        kill(watched, SIGKILL);
    int is_on = !strcmp(how, "on") || !strcmp(how, "short");
    if (!at || !(is_now("once") || (is_on && calls >= at)))
        return 0;
    errno = error_number;
    return 1;
}

static void after(void) {
    if (is_now("after"))
        kill(watched, SIGKILL);
}

/* Define a wrapper of a C library function that injects faults. */
#define CALL(type, failed, name, parameters, arguments, path, kind)                             \
    type name parameters {                                                                         \
        static type(*real) parameters;                                                             \
        if (!real)                                                                                 \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                    \
        if (!counts(#name, path, kind))                                                         \
            return real arguments;                                                                 \
        if (fails())                                                                               \
            return failed;                                                                         \
        type result = real arguments;                                                              \
        after();                                                                                   \
        return result;                                                                             \
    }

/* The same for functions that open and may create a file. */
#define OPEN(name, parameters, arguments, folder, last)                                            \
    int name parameters {                                                                          \
        static int(*real) parameters;                                                              \
        if (!real)                                                                                 \
            real = (int(*) parameters)dlsym(RTLD_NEXT, #name);                                     \
        mode_t mode = 0;                                                                           \
        int makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;                         \
        if (makes) {                                                                               \
            va_list more;                                                                          \
            va_start(more, last);                                                                  \
            mode = va_arg(more, mode_t);                                                           \
            va_end(more);                                                                          \
        }                                                                                          \
        const char *where = by_path(folder, path);                                                 \
        if (!counts(#name, where, makes || (flags & O_TRUNC) ? GROWS : READS))                     \
            return where ? remember(real arguments, where) : real arguments;                       \
        if (fails())                                                                               \
            return -1;                                                                             \
        int result = remember(real arguments, where);                                              \
        after();                                                                                   \
        return result;                                                                             \
    }

/* The same for functions that write, which may write half of their bytes. */
#define WRITE(name, parameters, arguments)                                                         \
    ssize_t name parameters {                                                                      \
        static ssize_t(*real) parameters;                                                          \
        if (!real)                                                                                 \
            real = (ssize_t(*) parameters)dlsym(RTLD_NEXT, #name);                                 \
        if (!counts(#name, by_file(file), GROWS))                                                  \
            return real arguments;                                                                 \
        int half = is_now("short") && size > 1;                                                    \
        if (!half && fails())                                                                      \
            return -1;                                                                             \
        if (half)                                                                                  \
            size /= 2;                                                                             \
        ssize_t result = real arguments;                                                           \
        after();                                                                                   \
        return result;                                                                             \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD, flags)
OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), folder,
     flags)
WRITE(write, (int file, const void *data, size_t size), (file, data, size))
WRITE(pwrite, (int file, const void *data, size_t size, off_t place), (file, data, size, place))
CALL(FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode),
     by_path(AT_FDCWD, path), mode[0] == 'r' ? READS : GROWS)
CALL(DIR *, NULL, opendir, (const char *path), (path), by_path(AT_FDCWD, path), READS)
CALL(ssize_t, -1, read, (int file, void *data, size_t size), (file, data, size), by_file(file),
     READS)
CALL(ssize_t, -1, pread, (int file, void *data, size_t size, off_t place),
     (file, data, size, place), by_file(file), READS)
CALL(int, -1, fsync, (int file), (file), by_file(file), GROWS)
CALL(int, -1, fdatasync, (int file), (file), by_file(file), GROWS)
CALL(int, -1, ftruncate, (int file, off_t size), (file, size), by_file(file), GROWS)
CALL(int, -1, flock, (int file, int operation), (file, operation), by_file(file), READS)
CALL(int, -1, fstat, (int file, struct stat *found), (file, found), by_file(file), READS)
CALL(int, -1, stat, (const char *path, struct stat *found), (path, found),
     by_path(AT_FDCWD, path), READS)
CALL(int, -1, lstat, (const char *path, struct stat *found), (path, found),
     by_path(AT_FDCWD, path), READS)
CALL(int, -1, fstatat, (int folder, const char *path, struct stat *found, int flags),
     (folder, path, found, flags), by_path(folder, path), READS)
/* Without access, which does not report errors. */
CALL(int, -1, rename, (const char *from, const char *to), (from, to), by_path(AT_FDCWD, to), GROWS)
CALL(int, -1, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to),
     by_path(b, to), GROWS)
CALL(int, -1, link, (const char *from, const char *to), (from, to), by_path(AT_FDCWD, to), GROWS)
CALL(int, -1, mkdir, (const char *path, mode_t mode), (path, mode), by_path(AT_FDCWD, path), GROWS)
CALL(int, -1, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode),
     by_path(folder, path), GROWS)
CALL(int, -1, unlink, (const char *path), (path), by_path(AT_FDCWD, path), REMOVES)
CALL(int, -1, unlinkat, (int folder, const char *path, int flags), (folder, path, flags),
     by_path(folder, path), REMOVES)
CALL(int, -1, rmdir, (const char *path), (path), by_path(AT_FDCWD, path), REMOVES)

#ifdef __GLIBC__ /* has second names for functions with an offset argument */
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD, flags)
OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), folder,
     flags)
WRITE(pwrite64, (int file, const void *data, size_t size, off64_t place),
      (file, data, size, place))
CALL(FILE *, NULL, fopen64, (const char *path, const char *mode), (path, mode),
     by_path(AT_FDCWD, path), mode[0] == 'r' ? READS : GROWS)
CALL(ssize_t, -1, pread64, (int file, void *data, size_t size, off64_t place),
     (file, data, size, place), by_file(file), READS)
CALL(int, -1, ftruncate64, (int file, off64_t size), (file, size), by_file(file), GROWS)
CALL(int, -1, fstat64, (int file, struct stat64 *found), (file, found), by_file(file), READS)
CALL(int, -1, stat64, (const char *path, struct stat64 *found), (path, found),
     by_path(AT_FDCWD, path), READS)
CALL(int, -1, lstat64, (const char *path, struct stat64 *found), (path, found),
     by_path(AT_FDCWD, path), READS)
CALL(int, -1, fstatat64, (int folder, const char *path, struct stat64 *found, int flags),
     (folder, path, found, flags), by_path(folder, path), READS)
#endif

/* The file is closed even if the call fails, as on Linux. */
int close(int file) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "close");
    const char *path = by_file(file);
    int is_counted = counts("close", path, READS);
    int failed = is_counted && fails();
    if (path) {
        free(opened[file]);
        opened[file] = NULL;
    }
    int result = real(file);
    if (failed)
        errno = error_number;
    else if (is_counted)
        after();
    return failed ? -1 : result;
}
