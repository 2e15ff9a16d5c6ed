/* Options, the table of workloads, the measured window and the JSON line at its end. */
#define _GNU_SOURCE
#include "p9load.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { L = 1, ENTRIES = 1 };
const struct workload workloads[] = {
    { "getattr", w_getattr, 0, NEED_FILE, 0 },
    { "held", w_held, 0, NEED_HELD, 0 },
    { "flush", w_flush, 0, 0, 0 },
    { "statfs", w_statfs, L, 0, 0 },
    { "setattr", w_setattr, L, NEED_FILE, 0 },
    { "clone", w_clone, 0, NEED_FILE, 0 },
    { "walk1", w_walk1, 0, 0, 0 },
    { "walk4", w_walk4, 0, 0, 0 },
    { "statpath", w_statpath, 0, 0, 0 },
    { "orc", w_orc, 0, 0, 0 },
    { "create", w_create, 0, NEED_WORK | NEED_PROBE, 0 },
    { "mkdir", w_mkdir, 0, NEED_WORK | NEED_PROBE, 0 },
    { "symlink", w_symlink, L, NEED_WORK | NEED_PROBE, 0 },
    { "rename", w_rename, 0, NEED_WORK | NEED_PROBE, 0 },
    { "xattr", w_xattr, L, NEED_XATTR, 0 },
    { "xattrset", w_xattrset, L, NEED_XATTR, 0 },
    { "lock", w_lock, L, NEED_WORK, 0 },
    { "fsync", w_fsync, L, NEED_WORK, 0 },
    { "read", w_read, 0, NEED_BIG, 0 },
    { "randread", w_randread, 0, NEED_BIG, 0 },
    { "write", w_write, 0, NEED_OUT, 0 },
    { "readdir", w_readdir, 0, NEED_DIR, ENTRIES },
    { "readdircold", w_readdircold, L, NEED_DIR, ENTRIES },
    { "lsl", w_lsl, 0, NEED_DIR, ENTRIES },
    { "attach", w_attach, 0, 0, 0 },
    { "connect", NULL, 0, 0, 0 },
};

struct options opt = {
    .aname = "", .uname = "root", .workload = "getattr", .label = "", .start = "", .dir = "dirs/10000", .msize = 1 << 20,
    .block = 4096, .conns = 1, .depth = 1, .nfiles = 1000, .entries = 10000, .seconds = 2, .warmup = 0.3, .bigsize = 64ull << 20,
};
const struct workload *work;
int use_remove, use_trename;
u32 agreed_msize;
u8 small_data[SMALL];
volatile int g_stop, g_drain, g_count;

static void usage_exit(void) {
    fprintf(stderr,
        "p9load -s unix:PATH|vhost-user:PATH|127.0.0.1:PORT -w WORKLOAD [-P L|9] [-a aname] [-u uname] [-U n_uname] [-m msize]\n"
        "  [-c connections] [-q outstanding on each] [-t seconds | -n operations of each slot] [-W warm-up seconds]\n"
        "  [-b block] [--start PATH] [--dir PATH --entries N] [--hold FIDS] [--pid PID] [--label NAME]\n"
        "  [--bigsize BYTES] [--nfiles N]\nworkloads:");
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) fprintf(stderr, " %s", workloads[i].name);
    fprintf(stderr, "\ntree: bench/tree.py makes it\n");
    exit(2);
}
static void parse_options(int argc, char **argv) {
    enum { START = 256, DIRECTORY, ENTRIES_, HOLD, PID, LABEL, BIGSIZE, NFILES };
    static const struct option longs[] = {
        { "start", 1, 0, START }, { "dir", 1, 0, DIRECTORY }, { "entries", 1, 0, ENTRIES_ }, { "hold", 1, 0, HOLD }, { "pid", 1, 0, PID },
        { "label", 1, 0, LABEL }, { "bigsize", 1, 0, BIGSIZE }, { "nfiles", 1, 0, NFILES }, { 0, 0, 0, 0 },
    };
    int o;
    while ((o = getopt_long(argc, argv, "s:w:P:a:u:U:m:c:q:t:n:W:b:", longs, NULL)) != -1) switch (o) {
        case 's': opt.addr = optarg; break;
        case 'w': opt.workload = optarg; break;
        case 'P': opt.base = optarg[0] == '9'; break;
        case 'a': opt.aname = optarg; break;
        case 'u': opt.uname = optarg; break;
        case 'U': opt.n_uname = (u32)strtoul(optarg, 0, 0); break;
        case 'm': opt.msize = (u32)strtoul(optarg, 0, 0); break;
        case 'c': opt.conns = atoi(optarg); break;
        case 'q': opt.depth = atoi(optarg); break;
        case 't': opt.seconds = atof(optarg); break;
        case 'n': opt.count = strtoull(optarg, 0, 0); break;
        case 'W': opt.warmup = atof(optarg); break;
        case 'b': opt.block = (u32)strtoul(optarg, 0, 0); break;
        case START: opt.start = optarg; break;
        case DIRECTORY: opt.dir = optarg; break;
        case ENTRIES_: opt.entries = atoi(optarg); break;
        case HOLD: opt.held = atoi(optarg); break;
        case PID: opt.pid = atoi(optarg); break;
        case LABEL: opt.label = optarg; break;
        case BIGSIZE: opt.bigsize = strtoull(optarg, 0, 0); break;
        case NFILES: opt.nfiles = atoi(optarg); break;
        default: usage_exit();
        }
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) if (!strcmp(workloads[i].name, opt.workload)) work = &workloads[i];
    if (!work || !opt.addr || opt.conns < 1 || opt.conns > 4096 || opt.depth < 1 || opt.depth > 1024 || opt.block < 8) usage_exit();
    if (opt.base && work->l_only) die("not a workload of 9P2000");
    if (work->needs & NEED_HELD && opt.held < opt.conns) die("held needs --hold, at least one fid a connection");
}

/* Waits for the end of the window, or for the end of everything that could fill it. */
static void wait_until(u64 end, struct worker *ws, int n) {
    for (u64 t; (t = now()) < end && !g_stop; usleep(end - t > 5000000 ? 5000 : (unsigned)((end - t) / 1000 + 1))) {
        int done = 0;
        for (int i = 0; i < n; i++) done += ws[i].done;
        if (done == n) return;
    }
}
static double cpu_of(const struct rusage *r) {
    return (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) + (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6;
}
struct window { u64 begin, end; struct usage s0, s1; struct rusage c0, c1; long rss_before; };

static void open_window(struct window *w) { w->s0 = usage_of(opt.pid, 0); getrusage(RUSAGE_SELF, &w->c0); w->begin = now(); g_count = 1; }
static void close_window(struct window *w) { g_count = 0; w->end = now(); getrusage(RUSAGE_SELF, &w->c1); w->s1 = usage_of(opt.pid, 0); }

static void run(struct window *win, struct worker *ws, int n, struct conn **all) {
    void *(*body)(void *) = work->run ? drive : storm;
    if (opt.count) open_window(win);
    for (int i = 0; i < n; i++) pthread_create(&ws[i].thread, NULL, body, &ws[i]);
    if (opt.count) {
        for (int i = 0; i < n; i++) pthread_join(ws[i].thread, NULL);
        close_window(win);
        return;
    }
    wait_until(now() + (u64)(opt.warmup * 1e9), ws, n);
    open_window(win);
    wait_until(win->begin + (u64)(opt.seconds * 1e9), ws, n);
    close_window(win);
    /* Let the slots come to the end of their operations, so that the next run finds no half made files. */
    g_drain = 1;
    wait_until(now() + 500000000ull, ws, n);
    g_stop = 1;
    for (int i = 0; work->run && i < opt.conns; i++) hang_up(all[i]);
    for (int i = 0; i < n; i++) pthread_join(ws[i].thread, NULL);
}
static int report(const struct window *win, const struct worker *ws, int n) {
    static struct worker sum;
    for (int i = 0; i < n; i++) {
        const struct worker *w = &ws[i];
        for (int b = 0; b < BUCKETS; b++) sum.hist[b] += w->hist[b];
        sum.ops += w->ops; sum.items += w->items; sum.bytes += w->bytes; sum.errs += w->errs; sum.latsum += w->latsum; sum.shortio += w->shortio;
        if (w->maxlat > sum.maxlat) sum.maxlat = w->maxlat;
        if (w->first[0] && !sum.first[0]) memcpy(sum.first, w->first, sizeof sum.first);
    }
    double secs = (double)(win->end - win->begin) / 1e9, units = (double)(work->per_entry ? sum.items : sum.ops);
    double ticks = win->s1.user - win->s0.user + win->s1.sys - win->s0.sys, sched = win->s1.sched - win->s0.sched;
    double cpu = sched > ticks ? sched : ticks; /* schedstat is finer, but forgets threads that have ended */
    printf("{\"server\":\"%s\",\"workload\":\"%s\",\"dialect\":\"%s\",\"conns\":%d,\"depth\":%d,\"block\":%u,\"msize\":%u,\"secs\":%.4f,",
        opt.label, opt.workload, opt.base ? "9P2000" : "9P2000.L", opt.conns, opt.depth, opt.block, agreed_msize, secs);
    printf("\"ops\":%llu,\"rate\":%.1f,\"unit\":\"%s\",\"mb_s\":%.2f,\"errors\":%llu,\"error\":\"%s\",\"short_io\":%llu,", (unsigned long long)sum.ops,
        units / secs, work->per_entry ? "entry" : "op", (double)sum.bytes / secs / 1e6, (unsigned long long)sum.errs, sum.first, (unsigned long long)sum.shortio);
    printf("\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"mean_us\":%.1f,", percentile(sum.hist, sum.ops, .5),
        percentile(sum.hist, sum.ops, .9), percentile(sum.hist, sum.ops, .99), percentile(sum.hist, sum.ops, .999), (double)sum.maxlat / 1e3,
        sum.ops ? (double)sum.latsum / (double)sum.ops / 1e3 : 0.0);
    printf("\"server_cpu_us\":%.3f,\"server_cores\":%.3f,\"client_cores\":%.3f,\"rss_before_kb\":%ld,\"rss_kb\":%ld,\"peak_kb\":%ld,\"procs\":%d,\"threads\":%d,\"held\":%d}\n",
        units > 0 ? cpu / units * 1e6 : 0.0, cpu / secs, (cpu_of(&win->c1) - cpu_of(&win->c0)) / secs, win->rss_before, win->s1.rss, win->s1.peak,
        win->s1.procs, win->s1.threads, opt.held);
    return sum.errs ? 3 : 0;
}
int main(int argc, char **argv) {
    parse_options(argc, argv);
    make_pattern();
    struct window win = { .rss_before = usage_of(opt.pid, 1).rss };
    int n = work->run ? 1 : opt.conns; /* a thread drives all connections; only `connect` blocks in each */
    struct worker *ws = calloc((size_t)n, sizeof *ws);
    struct conn **all = calloc((size_t)opt.conns, sizeof *all);
    for (int i = 0; work->run && i < opt.conns; i++) {
        all[i] = new_conn(i);
        prepare(all[i]);
    }
    ws[0].conns = all;
    ws[0].nconns = work->run ? opt.conns : 0;
    run(&win, ws, n, all);
    return report(&win, ws, n);
}
