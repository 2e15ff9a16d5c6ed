/* Processor time and memory of a process and its descendants, from /proc. */
#define _GNU_SOURCE
#include "p9load.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int slurp(const char *path, char *buf, size_t size) {
    FILE *f = fopen(path, "r");
    if (!f) return -1;
    size_t n = fread(buf, 1, size - 1, f);
    fclose(f);
    buf[n] = 0;
    return n ? 0 : -1;
}
static int parent_of(int pid) {
    char path[64], b[1024];
    int parent = -1;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (slurp(path, b, sizeof b) < 0) return -1;
    char *q = strrchr(b, ')'); /* the name before it may hold anything */
    if (q) sscanf(q + 2, "%*c %d", &parent);
    return parent;
}
static void add_memory(int pid, struct usage *u) {
    char path[64], b[4096];
    long v;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (slurp(path, b, sizeof b) < 0) return;
    char *p = strstr(b, "VmRSS:");
    if (p && sscanf(p, "VmRSS: %ld", &v) == 1) u->rss += v;
    if ((p = strstr(b, "VmHWM:")) && sscanf(p, "VmHWM: %ld", &v) == 1) u->peak += v;
}
static void add_threads(int pid, struct usage *u) {
    char path[400], b[128];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        unsigned long long ns;
        if (e->d_name[0] == '.') continue;
        u->threads++;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, e->d_name);
        if (!slurp(path, b, sizeof b) && sscanf(b, "%llu", &ns) == 1) u->sched += (double)ns / 1e9;
    }
    if (d) closedir(d);
}
static void add_process(int pid, struct usage *u, int reset_peak) {
    char path[64], b[1024];
    unsigned long user = 0, sys = 0;
    double hz = (double)sysconf(_SC_CLK_TCK);
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (slurp(path, b, sizeof b) < 0) return;
    char *q = strrchr(b, ')');
    if (q) sscanf(q + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
    u->user += (double)user / hz;
    u->sys += (double)sys / hz;
    u->procs++;
    snprintf(path, sizeof path, "/proc/%d/clear_refs", pid);
    FILE *f = reset_peak ? fopen(path, "w") : NULL;
    if (f) { fputs("5", f); fclose(f); }
    add_memory(pid, u);
    add_threads(pid, u);
}
struct usage usage_of(int pid, int reset_peak) {
    enum { MAX_PID = 4194304 };
    static int parent[MAX_PID + 1]; /* touched only where there are processes */
    struct usage u = { 0 };
    struct dirent *e;
    if (!pid) return u;
    DIR *d = opendir("/proc");
    while (d && (e = readdir(d))) {
        int p = atoi(e->d_name);
        if (p > 0 && p <= MAX_PID) parent[p] = parent_of(p);
    }
    if (d) rewinddir(d);
    while (d && (e = readdir(d))) {
        int p = atoi(e->d_name), up = p, steps = 64;
        if (p <= 0 || p > MAX_PID) continue;
        while (up > 1 && up != pid && steps--) up = parent[up];
        if (up == pid) add_process(p, &u, reset_peak);
    }
    if (d) closedir(d);
    return u;
}
