/* Driving the connections: receive, hand each reply to its slot, send what became ready; and the accounting. */
#define _GNU_SOURCE
#include "p9load.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

u64 now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}
u64 random64(struct slot *s) {
    u64 x = s->rng;
    x ^= x << 13; x ^= x >> 7; x ^= x << 17;
    return s->rng = x;
}

/* ---- latencies: 64 buckets for each power of two ---- */
static int bucket(u64 v) {
    if (v < 64) return (int)v;
    int e = 63 - __builtin_clzll(v), b = (e - 5) * 64 + (int)(v >> (e - 6) & 63);
    return b < BUCKETS ? b : BUCKETS - 1;
}
static u64 lowest(int b) {
    if (b < 64) return (u64)b;
    return (64ull + (u64)(b % 64)) << (b / 64 - 1);
}
double percentile(const u64 *hist, u64 ops, double q) {
    u64 target = (u64)(q * (double)ops), seen = 0;
    for (int b = 0; b < BUCKETS; b++) if ((seen += hist[b]) > target) return (double)lowest(b) / 1e3;
    return 0;
}
static void tally(struct worker *w, u64 ns, u64 bytes) {
    w->ops++;
    w->bytes += bytes;
    w->latsum += ns;
    if (ns > w->maxlat) w->maxlat = ns;
    w->hist[bucket(ns)]++;
}

/* ---- what the state machines report ---- */
void note(struct worker *w, const char *format, ...) {
    if (w->errs++) return;
    va_list a;
    va_start(a, format);
    vsnprintf(w->first, sizeof w->first, format, a);
    va_end(a);
    for (char *p = w->first; *p; p++) if (*p == '"' || *p == '\\' || (u8)*p < 32) *p = '\'';
}
static int finished(struct slot *s) { return g_drain || (opt.count && s->done >= opt.count); }
void op_begin(struct slot *s) { s->t0 = now(); }
void add_items(struct slot *s, u64 n) { if (g_count) s->c->w->items += n; }
int op_done(struct slot *s, u64 bytes) {
    struct worker *w = s->c->w;
    s->done++;
    w->allops++;
    if (g_count) tally(w, now() - s->t0, bytes);
    return finished(s);
}
int op_failed(struct slot *s) {
    struct worker *w = s->c->w;
    note(w, "%s after T%d: %s", opt.workload, s->want - 1, s->ename[0] ? s->ename : s->err ? strerror(s->err) : "unexpected contents");
    s->done++;
    if (w->errs > 200 && !w->allops) g_stop = 1; /* nothing works: do not go on for the whole time */
    return finished(s);
}

/* ---- one connection ---- */
static u8 base_reply(u8 want) {
    switch (want - 1) {
    case Tgetattr: return Tstat + 1;
    case Tlopen: return Topen + 1;
    case Tlcreate: case Tmkdir: return Tcreate + 1;
    case Treaddir: return Tread + 1;
    default: return want;
    }
}
static void wrong_reply(struct slot *s, u8 type) {
    s->err = type == Rlerror && s->rlen >= 4 ? (int)g32(s->r) : type == Rerror ? EREMOTEIO : EPROTO;
    if (!s->err) s->err = EIO;
    if (type == Rerror && s->rlen >= 2) {
        u32 n = g16(s->r);
        if (n > s->rlen - 2) n = s->rlen - 2;
        snprintf(s->ename, sizeof s->ename, "%.*s", (int)n, (const char *)s->r + 2);
    }
}
static int parse(struct conn *c) {
    u32 p = 0;
    while (c->inlen - p >= 4) {
        u32 size = g32(c->in + p);
        if (size < 7 || size > c->msize) { note(c->w, "reply of %u bytes, msize is %u", size, c->msize); return -1; }
        if (c->inlen - p < size) break;
        const u8 *m = c->in + p;
        u16 tag = g16(m + 5);
        p += size;
        if (tag >= opt.depth || c->slots[tag].idle) { note(c->w, "unexpected tag %u", tag); return -1; }
        struct slot *s = &c->slots[tag];
        s->r = m + 7;
        s->rlen = size - 7;
        s->err = 0;
        s->ename[0] = 0;
        if (m[4] != (opt.base ? base_reply(s->want) : s->want)) wrong_reply(s, m[4]);
        work->run(s);
        if (g_stop) return 0;
    }
    if (p && (c->inlen -= p)) memmove(c->in, c->in + p, c->inlen);
    return 0;
}
static int pump(struct conn *c, int flags) {
    ssize_t n = receive(c, c->in + c->inlen, c->incap - c->inlen, flags);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) { if (!g_stop) note(c->w, "the server closed the connection"); return -1; }
    c->inlen += (u32)n;
    if (parse(c) < 0) return -1;
    return c->outlen ? flush_out(c) : 0;
}
static int idle(struct conn *c) {
    for (int i = 0; i < opt.depth; i++) if (!c->slots[i].idle) return 0;
    return 1;
}

/* ---- one thread ---- */
static void drive_one(struct conn *c) {
    while (!g_stop && !idle(c)) if (pump(c, 0) < 0) { c->dead = 1; return; }
}
static void drive_many(struct worker *w) {
    struct epoll_event ev[256];
    int ep = epoll_create1(0), live = w->nconns;
    for (int i = 0; i < w->nconns; i++) {
        ev[0].events = EPOLLIN;
        ev[0].data.ptr = w->conns[i];
        epoll_ctl(ep, EPOLL_CTL_ADD, w->conns[i]->fd, ev);
    }
    while (!g_stop && live > 0) {
        int n = epoll_wait(ep, ev, 256, 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            int broken = pump(c, MSG_DONTWAIT) < 0;
            if (!broken && !idle(c)) continue;
            c->dead = broken;
            epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
            live--;
        }
    }
    close(ep);
}
void *drive(void *arg) {
    struct worker *w = arg;
    for (int i = 0; i < w->nconns; i++) {
        struct conn *c = w->conns[i];
        c->w = w;
        for (int k = 0; k < opt.depth; k++) work->run(&c->slots[k]);
        if (flush_out(c) < 0) c->dead = 1;
    }
    if (w->nconns == 1) drive_one(w->conns[0]); else drive_many(w);
    w->done = 1;
    return NULL;
}
/* The workload without slots: connect, Tversion, Tattach, Tclunk, close. */
void *storm(void *arg) {
    static __thread u8 out[65536];
    struct worker *w = arg;
    struct conn c = { .outcap = sizeof out, .out = out };
    for (u64 n = 0; !g_stop && !g_drain && (!opt.count || n < opt.count); n++) {
        u64 t0 = now();
        u32 len;
        int err = 0;
        c.fd = dial();
        if (c.fd < 0) { err = errno ? errno : EIO; if (err == EINPROGRESS) continue; } /* not accepted in time: slow, not wrong */
        else {
            err = start_session(&c);
            if (!err) { t_fid(&c, 0, Tclunk, FID_ROOT); call(&c, Tclunk + 1, &len, &err); }
            close(c.fd);
        }
        if (err) {
            note(w, "connect: %s", strerror(err));
            if (w->errs > 100 && !w->allops) g_stop = 1;
            usleep(1000);
            continue;
        }
        w->allops++;
        if (g_count) tally(w, now() - t0, 0);
    }
    w->done = 1;
    return NULL;
}
