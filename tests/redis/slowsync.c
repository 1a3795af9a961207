/* Preloaded into a server: a disk whose fsync is slow while a file `delay` says so (seconds), and that knows what it has.
 *
 * After each fsync of an append-only file, FILE.synced holds how many octets of FILE a power cut can no longer take.
 * SLOWSYNC names the directory of `delay`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void wait_as_told(void) {
    char path[PATH_MAX], text[32] = "";
    struct timespec step = {0, 20 * 1000 * 1000};
    snprintf(path, sizeof path, "%s/delay", getenv("SLOWSYNC"));
    for (double waited = 0;; waited += 0.02) {
        FILE *file = fopen(path, "r");
        if (!file)
            return;
        if (!fgets(text, sizeof text, file))
            text[0] = 0;
        fclose(file);
        if (waited >= atof(text))
            return;
        nanosleep(&step, NULL);
    }
}

static int sync_slowly(int fd, const char *name) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char link[64], path[PATH_MAX + 16];
    struct stat before;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX);
    int is_log = length > 4 && !strncmp(path + length - 4, ".aof", 4) && fstat(fd, &before) == 0;
    if (is_log)
        wait_as_told();
    int result = real(fd);
    if (is_log && result == 0) {
        strcpy(path + length, ".synced");
        FILE *ledger = fopen(path, "w");
        if (ledger) {
            fprintf(ledger, "%lld\n", (long long)before.st_size);
            fclose(ledger);
        }
    }
    return result;
}

int fsync(int fd) { return sync_slowly(fd, "fsync"); }
int fdatasync(int fd) { return sync_slowly(fd, "fdatasync"); }
