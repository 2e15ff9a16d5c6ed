/* Connecting, Tversion and Tattach, and the calls made one at a time before the measured part. */
#define _GNU_SOURCE
#include "p9load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

void die(const char *format, ...) {
    char b[400];
    va_list a;
    va_start(a, format);
    vsnprintf(b, sizeof b, format, a);
    va_end(a);
    for (char *p = b; *p; p++) if (*p == '"' || *p == '\\' || *p == '\n') *p = '\'';
    printf("{\"server\":\"%s\",\"workload\":\"%s\",\"fail\":\"%s\"}\n", opt.label, opt.workload, b);
    fflush(stdout);
    _exit(1);
}

static int dial_unix(const char *path) {
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    for (int i = 0; connect(fd, (void *)&a, sizeof a) < 0; i++) {
        if (errno != EAGAIN || i > 1000) { close(fd); return -1; } /* EAGAIN: the listen queue is full */
        usleep(1000);
    }
    return fd;
}
static int dial_tcp(const char *addr) {
    char host[64];
    snprintf(host, sizeof host, "%s", addr);
    char *port = strrchr(host, ':');
    if (!port) die("address: unix:PATH, vhost-user:PATH or 127.0.0.1:PORT");
    *port++ = 0;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((u16)atoi(port)) };
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1 || ntohl(a.sin_addr.s_addr) >> 24 != 127) die("only loopback addresses are allowed");
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    /* A full listen queue drops the SYN and the kernel would try again for a minute: long past the measured window. */
    struct timeval limit = { .tv_sec = 1 };
    if (!work->run) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (void *)&a, sizeof a) < 0) { int e = errno; close(fd); errno = e; return -1; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}
static const char *device(void) { return strncmp(opt.addr, "vhost-user:", 11) ? NULL : opt.addr + 11; }
int dial(void) {
    if (device()) return dial_unix(device());
    return !strncmp(opt.addr, "unix:", 5) ? dial_unix(opt.addr + 5) : dial_tcp(opt.addr);
}

int flush_out(struct conn *c) {
    if (c->ring) return ring_send(c);
    for (u32 o = 0; o < c->outlen;) {
        ssize_t n = send(c->fd, c->out + o, c->outlen - o, MSG_NOSIGNAL);
        if (n < 0) { if (errno == EINTR) continue; return -1; }
        o += (u32)n;
    }
    c->outlen = 0;
    return 0;
}
ssize_t receive(struct conn *c, u8 *to, u32 cap, int flags) { return c->ring ? ring_recv(c, to, cap, flags, 0) : recv(c->fd, to, cap, flags); }
void hang_up(struct conn *c) { if (c->ring) ring_hang_up(c); else shutdown(c->fd, SHUT_RDWR); }
static int read_full(int fd, u8 *p, u32 n) {
    while (n) {
        ssize_t k = recv(fd, p, n, 0);
        if (k <= 0) return -1;
        p += k; n -= (u32)k;
    }
    return 0;
}
static void room_for(u8 **buf, u32 *cap, u32 size) {
    if (size > *cap) { *cap = size + 4096; *buf = realloc(*buf, *cap); }
}
static u32 one_frame(struct conn *c, u8 **buf, u32 *cap, int *err) {
    u8 h[4];
    if (read_full(c->fd, h, 4) < 0) return 0;
    u32 size = g32(h);
    if (size < 7 || size > 64u << 20) { *err = EPROTO; return 0; }
    room_for(buf, cap, size);
    return read_full(c->fd, *buf + 4, size - 4) < 0 ? 0 : size;
}
static u32 one_message(struct conn *c, u8 **buf, u32 *cap) {
    room_for(buf, cap, opt.msize);
    ssize_t n = ring_recv(c, *buf, *cap, 0, 1);
    return n < 7 || g32(*buf) != (u32)n ? 0 : (u32)n;
}
/* Sends what is queued and reads one reply: its body, or NULL and an errno. */
const u8 *call(struct conn *c, u8 want, u32 *len, int *err) {
    static __thread u8 *buf;
    static __thread u32 cap;
    *err = ECONNRESET;
    if (flush_out(c) < 0) return NULL;
    u32 size = c->ring ? one_message(c, &buf, &cap) : one_frame(c, &buf, &cap, err);
    if (!size) return NULL;
    *len = size - 7;
    *err = 0;
    if (buf[4] == want) return buf + 7;
    *err = buf[4] == Rlerror && size >= 11 ? (int)g32(buf + 7) : buf[4] == Rerror ? EREMOTEIO : EPROTO;
    if (!*err) *err = EIO;
    return NULL;
}
static void must(struct conn *c, u8 want, const char *what) {
    u32 len;
    int err;
    if (!call(c, want, &len, &err)) die("setup %s: %s", what, strerror(err));
}

int start_session(struct conn *c) {
    const char *version = opt.base ? "9P2000" : "9P2000.L";
    u32 len;
    int err;
    c->outlen = 0;
    begin(c, Tversion, NOTAG); put32(c, opt.msize); putstr(c, version); end(c);
    const u8 *r = call(c, Tversion + 1, &len, &err);
    if (!r) return err;
    c->msize = g32(r);
    if (c->msize > opt.msize || g16(r + 4) != strlen(version) || memcmp(r + 6, version, strlen(version))) return EPROTONOSUPPORT;
    t_attach(c, 0, FID_ROOT);
    return call(c, Tattach + 1, &len, &err) ? 0 : err;
}
struct conn *new_conn(int id) {
    struct conn *c = calloc(1, sizeof *c);
    c->id = id;
    c->outcap = 65536;
    c->out = malloc(c->outcap);
    c->fd = dial();
    if (c->fd < 0) die("connect %s: %s", opt.addr, strerror(errno));
    if (device()) ring_start(c, c->fd);
    int e = start_session(c);
    if (e) die("version and attach: %s", strerror(e));
    c->incap = c->msize * 2 > 256u << 10 ? c->msize * 2 : 256u << 10;
    c->in = malloc(c->incap);
    c->slots = calloc((size_t)opt.depth, sizeof *c->slots);
    for (int i = 0; i < opt.depth; i++) {
        struct slot *s = &c->slots[i];
        s->c = c;
        s->id = i;
        s->rng = 0x9e3779b97f4a7c15ull * (u64)(id * 131 + i + 1);
        snprintf(s->name, sizeof s->name, "p%d-%d-%d", (int)getpid(), id, i);
        snprintf(s->name2, sizeof s->name2, "p%d-%d-%d.b", (int)getpid(), id, i);
    }
    return c;
}

/* Walks a path of any length, at most eight names a message (the protocol allows sixteen; some servers fewer). */
static void walk_path(struct conn *c, const char *path, u32 from, u32 to, const char *what) {
    char buf[4096];
    snprintf(buf, sizeof buf, "%s", path);
    char *next = buf, *names[8];
    do {
        int n = 0;
        while (n < 8 && next && *next) names[n++] = strsep(&next, "/");
        begin(c, Twalk, 0); put32(c, from); put32(c, to); put16(c, (u16)n);
        for (int i = 0; i < n; i++) putstr(c, names[i]);
        end(c);
        must(c, Twalk + 1, what);
        from = to;
    } while (next && *next);
}
/* Like the Linux client: fall back where the calls with a directory and a name are missing. */
static void probe(struct conn *c) {
    u32 len;
    int err;
    if (opt.base) return;
    t_unlink(c, 0, FID_WORK, "no-such-name-x", 0);
    call(c, Tunlinkat + 1, &len, &err);
    use_remove = err != ENOENT;
    t_renameat(c, 0, FID_WORK, "no-such-name-x", "no-such-name-y");
    call(c, Trenameat + 1, &len, &err);
    use_trename = err != ENOENT;
}
/* Walks this connection's share of the fids that are only held, 64 messages a batch. */
static void hold(struct conn *c) {
    char path[400];
    u32 len;
    int err, mine = opt.held / opt.conns;
    for (int i = 0; i < mine; i += 64) {
        int n = mine - i < 64 ? mine - i : 64;
        for (int k = 0; k < n; k++) {
            snprintf(path, sizeof path, "entry-%07d", (c->id * mine + i + k) % opt.entries);
            t_walk(c, (u16)k, FID_DIR, (u32)(FID_HELD + i + k), 1, path);
        }
        for (int k = 0; k < n; k++)
            if (!call(c, Twalk + 1, &len, &err)) die("fid %d of %d to be held: %s", i + k, mine, strerror(err));
    }
}
void prepare(struct conn *c) {
    char name[64];
    int needs = work->needs;
    agreed_msize = c->msize;
    c->start = FID_ROOT;
    if (*opt.start) { walk_path(c, opt.start, FID_ROOT, FID_START, "walk to the start"); c->start = FID_START; }
    if (needs & NEED_FILE) walk_path(c, "f4k", c->start, FID_FILE, "walk f4k");
    if (needs & NEED_XATTR) walk_path(c, "xa", c->start, FID_FILE, "walk xa");
    if (needs & NEED_DIR || opt.held) walk_path(c, opt.dir, FID_ROOT, FID_DIR, "walk to the directory");
    if (needs & (NEED_WORK | NEED_OUT)) walk_path(c, "w", FID_ROOT, FID_WORK, "walk w");
    if (needs & NEED_PROBE && !c->id) probe(c);
    if (needs & NEED_BIG) {
        walk_path(c, "big", FID_ROOT, FID_FILE, "walk big");
        t_open(c, 0, FID_FILE, 0);
        must(c, (opt.base ? Topen : Tlopen) + 1, "open big");
        c->nextoff = opt.bigsize / SMALL / (u64)opt.conns * (u64)c->id * SMALL;
    }
    if (needs & NEED_OUT) {
        snprintf(name, sizeof name, "p%d-out%d", (int)getpid(), c->id);
        t_walk(c, 0, FID_WORK, FID_FILE, 0);
        must(c, Twalk + 1, "clone w");
        t_create(c, 0, FID_FILE, name, 0);
        must(c, (opt.base ? Tcreate : Tlcreate) + 1, "create out");
    }
    if (opt.held) hold(c);
}
