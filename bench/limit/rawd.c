/* rawd - the least a 9P2000.L server can do: the limit set by the sockets and the file system calls of the machine.
 *
 * It makes the system calls a confined server has to make (one openat(O_PATH | O_NOFOLLOW) and one fstat a name, one fstat a
 * getattr) and nothing else.  Not a server to use: it trusts its client, checks no fid and no bound beyond the frame, and a
 * fid is an index into an array.  One thread a connection, blocking recv and send; the replies to everything found in one
 * recv leave in one send.       rawd DIR unix:PATH | 127.0.0.1:PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
enum { FIDS = 65536, MSIZE = 1 << 20, QID = 13, HEADER = 7 };

struct fid { int path, io; u64 pos; u8 *xattr; u32 xsize; char xname[256]; };
struct conn { int fd; u32 msize, top; struct fid *fids; u8 *in, *out; };
/* b: body of the request, r: body of the reply; returns the size of the reply's body or -errno */
typedef long (*verb)(struct conn *c, struct fid *f, const u8 *b, u8 *r);

static int root;

static u16 g16(const u8 *p) { u16 v; memcpy(&v, p, 2); return v; }
static u32 g32(const u8 *p) { u32 v; memcpy(&v, p, 4); return v; }
static u64 g64(const u8 *p) { u64 v; memcpy(&v, p, 8); return v; }
static void w16(u8 *p, u16 v) { memcpy(p, &v, 2); }
static void w32(u8 *p, u32 v) { memcpy(p, &v, 4); }
static void w64(u8 *p, u64 v) { memcpy(p, &v, 8); }
static long result(long r) { return r < 0 ? -errno : r; }

/* Fids are set up on first use, so that a connection does not pay for all of them. */
static struct fid *fid_of(struct conn *c, u32 n) {
    for (n %= FIDS; c->top <= n; c->top++) { c->fids[c->top].path = c->fids[c->top].io = -1; c->fids[c->top].xattr = NULL; }
    return &c->fids[n];
}
static void drop(struct fid *f) {
    if (f->io >= 0) close(f->io);
    if (f->path >= 0 && f->path != root) close(f->path);
    free(f->xattr);
    f->xattr = NULL;
    f->io = f->path = -1;
}
static const char *name_at(const u8 *p, char *buf) {
    u16 n = g16(p) > 255 ? 255 : g16(p);
    memcpy(buf, p + 2, n);
    buf[n] = 0;
    return buf;
}
static const u8 *after(const u8 *p) { return p + 2 + g16(p); }
static const char *proc_path(const struct fid *f, char *buf) { sprintf(buf, "/proc/self/fd/%d", f->path); return buf; }
static void put_qid(u8 *p, const struct stat *s) {
    p[0] = S_ISDIR(s->st_mode) ? 0x80 : S_ISLNK(s->st_mode) ? 2 : 0;
    w32(p + 1, (u32)s->st_mtim.tv_sec ^ (u32)s->st_mtim.tv_nsec);
    w64(p + 5, s->st_ino);
}
static long qid_reply(int at, const char *name, u8 *r) {
    struct stat st;
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
    put_qid(r, &st);
    return QID;
}
static long open_reply(int fd, u8 *r) {
    struct stat st;
    if (fstat(fd, &st) < 0) return -errno;
    put_qid(r, &st);
    w32(r + QID, 0);
    return QID + 4;
}

static long v_version(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    (void)f;
    c->msize = g32(b) < MSIZE ? g32(b) : MSIZE;
    w32(r, c->msize); w16(r + 4, 8); memcpy(r + 6, "9P2000.L", 8);
    return 14;
}
static long v_attach(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    struct stat st;
    (void)c, (void)b;
    drop(f);
    f->path = root;
    fstat(root, &st);
    put_qid(r, &st);
    return QID;
}
static long v_flush(struct conn *c, struct fid *f, const u8 *b, u8 *r) { (void)c, (void)f, (void)b, (void)r; return 0; }
static long v_clunk(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    char path[40];
    long e = 0;
    (void)c, (void)b, (void)r;
    if (f->xattr && f->xname[0]) e = result(setxattr(proc_path(f, path), f->xname, f->xattr, f->xsize, 0));
    drop(f);
    return e;
}
static long v_walk(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    struct fid *to = fid_of(c, g32(b + 4));
    u16 n = g16(b + 8);
    int at = f->path;
    struct stat st;
    char name[256];
    const u8 *p = b + 10;
    if (!n) at = fcntl(f->path, F_DUPFD_CLOEXEC, 0);
    for (u16 i = 0; i < n; i++, p = after(p)) {
        int next = openat(at, name_at(p, name), O_PATH | O_NOFOLLOW | O_CLOEXEC), e = errno;
        if (at != f->path) close(at);
        if (next < 0) { w16(r, i); return i ? 2 + QID * i : -e; }
        at = next;
        fstat(at, &st);
        put_qid(r + 2 + QID * i, &st);
    }
    to->path = at;
    to->io = -1;
    w16(r, n);
    return 2 + QID * n;
}
static long v_getattr(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    struct stat s;
    (void)c, (void)b;
    if (fstat(f->io >= 0 ? f->io : f->path, &s) < 0) return -errno;
    w64(r, 0x7ff); put_qid(r + 8, &s);
    w32(r + 21, s.st_mode); w32(r + 25, s.st_uid); w32(r + 29, s.st_gid); w64(r + 33, s.st_nlink); w64(r + 41, s.st_rdev);
    w64(r + 49, (u64)s.st_size); w64(r + 57, (u64)s.st_blksize); w64(r + 65, (u64)s.st_blocks);
    w64(r + 73, (u64)s.st_atim.tv_sec); w64(r + 81, (u64)s.st_atim.tv_nsec); w64(r + 89, (u64)s.st_mtim.tv_sec);
    w64(r + 97, (u64)s.st_mtim.tv_nsec); w64(r + 105, (u64)s.st_ctim.tv_sec); w64(r + 113, (u64)s.st_ctim.tv_nsec);
    memset(r + 121, 0, 32);
    return 153;
}
static long v_setattr(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    char path[40];
    (void)c, (void)r;
    return result(chmod(proc_path(f, path), g32(b + 8) & 07777)); /* the mode is all the benchmark sets */
}
static long v_lopen(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    char path[40];
    (void)c;
    f->io = open(proc_path(f, path), (int)(g32(b + 4) & (O_ACCMODE | O_DIRECTORY)) | O_CLOEXEC);
    f->pos = 0;
    return f->io < 0 ? -errno : open_reply(f->io, r);
}
static long v_lcreate(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    char name[256];
    (void)c;
    int fd = openat(f->path, name_at(b + 4, name), (int)(g32(after(b + 4)) & (O_ACCMODE | O_TRUNC)) | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return -errno;
    if (f->path != root) close(f->path);
    f->path = fd;
    f->io = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return open_reply(fd, r);
}
static u32 room(const struct conn *c, u32 count) { return count < c->msize - HEADER - 4 ? count : c->msize - HEADER - 4; }
static long v_read(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    u32 n = room(c, g32(b + 12));
    u64 off = g64(b + 4);
    ssize_t k;
    if (f->xattr) {
        if (off > f->xsize) off = f->xsize;
        k = n < f->xsize - off ? n : f->xsize - off;
        memcpy(r + 4, f->xattr + off, (size_t)k);
    } else if ((k = pread(f->io, r + 4, n, (off_t)off)) < 0) return -errno;
    w32(r, (u32)k);
    return 4 + k;
}
static long v_write(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    u32 n = g32(b + 12);
    u64 off = g64(b + 4);
    (void)c;
    if (f->xattr) {
        if (off > f->xsize || n > f->xsize - off) return -ENOSPC;
        memcpy(f->xattr + off, b + 16, n);
    } else {
        ssize_t k = pwrite(f->io, b + 16, n, (off_t)off);
        if (k < 0) return -errno;
        n = (u32)k;
    }
    w32(r, n);
    return 4;
}
/* Copies one batch of host entries; 1 when the reply is full. */
static int copy_entries(struct fid *f, const u8 *buf, long k, u8 **to, const u8 *limit) {
    u8 *q = *to;
    for (long i = 0; i < k;) {
        const u8 *d = buf + i;
        u32 n = (u32)strlen((const char *)d + 19);
        if (q + 24 + n > limit) { lseek(f->io, (off_t)f->pos, SEEK_SET); *to = q; return 1; }
        q[0] = d[18] == 4 ? 0x80 : 0; w32(q + 1, 0); memcpy(q + 5, d, 8); memcpy(q + 13, d + 8, 8);
        q[21] = d[18]; w16(q + 22, (u16)n); memcpy(q + 24, d + 19, n);
        f->pos = g64(d + 8);
        q += 24 + n;
        i += g16(d + 16);
    }
    *to = q;
    return 0;
}
static long v_readdir(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    u64 off = g64(b + 4);
    u8 buf[65536], *q = r + 4;
    const u8 *limit = q + room(c, g32(b + 12));
    if (off != f->pos) { lseek(f->io, (off_t)off, SEEK_SET); f->pos = off; }
    while (limit - q >= 300) {
        long k = syscall(SYS_getdents64, f->io, buf, (size_t)(limit - q) < sizeof buf ? (size_t)(limit - q) : sizeof buf);
        if (k < 0) return -errno;
        if (!k || copy_entries(f, buf, k, &q, limit)) break;
    }
    w32(r, (u32)(q - r - 4));
    return q - r;
}
static long v_statfs(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    struct statfs s;
    (void)c, (void)b;
    if (fstatfs(f->path, &s) < 0) return -errno;
    w32(r, (u32)s.f_type); w32(r + 4, (u32)s.f_bsize); w64(r + 8, s.f_blocks); w64(r + 16, s.f_bfree); w64(r + 24, s.f_bavail);
    w64(r + 32, s.f_files); w64(r + 40, s.f_ffree); w64(r + 48, 0); w32(r + 56, (u32)s.f_namelen);
    return 60;
}
static long v_symlink(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    char name[256], target[256];
    (void)c;
    if (symlinkat(name_at(after(b + 4), target), f->path, name_at(b + 4, name)) < 0) return -errno;
    return qid_reply(f->path, name, r);
}
static long v_readlink(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    ssize_t k = readlinkat(f->path, "", (char *)r + 2, 4096);
    (void)c, (void)b;
    if (k < 0) return -errno;
    w16(r, (u16)k);
    return 2 + k;
}
static long v_mkdir(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    char name[256];
    (void)c;
    if (mkdirat(f->path, name_at(b + 4, name), 0755) < 0) return -errno;
    return qid_reply(f->path, name, r);
}
static long v_unlinkat(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    char name[256];
    (void)c, (void)r;
    return result(unlinkat(f->path, name_at(b + 4, name), (int)g32(after(b + 4))));
}
static long v_renameat(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    char from[256], to[256];
    const u8 *p = after(b + 4);
    (void)r;
    return result(renameat(f->path, name_at(b + 4, from), fid_of(c, g32(p))->path, name_at(p + 4, to)));
}
static long v_xattrwalk(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    struct fid *x = fid_of(c, g32(b + 4));
    char path[40], name[256];
    u8 *value = malloc(65536);
    ssize_t k = getxattr(proc_path(f, path), name_at(b + 8, name), value, 65536);
    if (k < 0) { int e = errno; free(value); return -e; }
    x->path = x->io = -1;
    x->xattr = value;
    x->xsize = (u32)k;
    x->xname[0] = 0;
    w64(r, (u64)k);
    return 8;
}
static long v_xattrcreate(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    u64 size = g64(after(b + 4));
    (void)c, (void)r;
    if (size > 65536) return -E2BIG;
    name_at(b + 4, f->xname);
    f->xattr = calloc(1, 65536);
    f->xsize = (u32)size;
    return 0;
}
static long v_fsync(struct conn *c, struct fid *f, const u8 *b, u8 *r) { (void)c, (void)b, (void)r; return result(fsync(f->io)); }
static long v_lock(struct conn *c, struct fid *f, const u8 *b, u8 *r) {
    struct flock l = { .l_type = b[4] == 2 ? F_UNLCK : b[4] ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)g64(b + 9), .l_len = (off_t)g64(b + 17) };
    (void)c;
    r[0] = fcntl(f->io, F_OFD_SETLK, &l) < 0;
    return 1;
}
static const verb verbs[256] = {
    [8] = v_statfs, [12] = v_lopen, [14] = v_lcreate, [16] = v_symlink, [22] = v_readlink, [24] = v_getattr, [26] = v_setattr,
    [30] = v_xattrwalk, [32] = v_xattrcreate, [40] = v_readdir, [50] = v_fsync, [52] = v_lock, [72] = v_mkdir, [74] = v_renameat,
    [76] = v_unlinkat, [100] = v_version, [104] = v_attach, [108] = v_flush, [110] = v_walk, [116] = v_read, [118] = v_write, [120] = v_clunk,
};

static u32 answer(struct conn *c, const u8 *m, u8 *r) {
    verb v = verbs[m[4]];
    long n = v ? v(c, m[4] == 100 || m[4] == 108 ? NULL : fid_of(c, g32(m + HEADER)), m + HEADER, r + HEADER) : -EOPNOTSUPP;
    r[4] = n < 0 ? 7 : m[4] + 1;
    r[5] = m[5]; r[6] = m[6];
    if (n < 0) { w32(r + HEADER, (u32)-n); n = 4; }
    w32(r, (u32)n + HEADER);
    return (u32)n + HEADER;
}
static int send_all(int fd, const u8 *p, u32 n) {
    for (ssize_t k; n; p += k, n -= (u32)k) if ((k = send(fd, p, n, MSG_NOSIGNAL)) <= 0) return -1;
    return 0;
}
static void *serve(void *arg) {
    struct conn c = { .fd = (int)(long)arg, .msize = 65536 };
    u32 cap = 2 * MSIZE, have = 0, size;
    c.in = malloc(cap); c.out = malloc(2 * MSIZE); c.fids = malloc(FIDS * sizeof *c.fids);
    for (ssize_t k; (k = recv(c.fd, c.in + have, cap - have, 0)) > 0;) {
        u32 p = 0, o = 0;
        int broken = 0;
        have += (u32)k;
        while (!broken && have - p >= 4 && (size = g32(c.in + p)) <= have - p) {
            if (size < HEADER || size > c.msize) { broken = 1; break; }
            o += answer(&c, c.in + p, c.out + o);
            p += size;
            if (o + c.msize > 2 * MSIZE) { broken = send_all(c.fd, c.out, o) < 0; o = 0; }
        }
        if (broken || send_all(c.fd, c.out, o) < 0) break;
        have -= p;
        memmove(c.in, c.in + p, have);
    }
    close(c.fd);
    for (u32 i = 0; i < c.top; i++) drop(&c.fids[i]);
    free(c.fids); free(c.in); free(c.out);
    return NULL;
}
static int listen_on(const char *addr) {
    int l, one = 1;
    if (!strncmp(addr, "unix:", 5)) {
        struct sockaddr_un u = { .sun_family = AF_UNIX };
        snprintf(u.sun_path, sizeof u.sun_path, "%s", addr + 5);
        unlink(u.sun_path);
        l = socket(AF_UNIX, SOCK_STREAM, 0);
        if (bind(l, (void *)&u, sizeof u) < 0) return -1;
    } else {
        const char *port = strrchr(addr, ':');
        struct sockaddr_in s = { .sin_family = AF_INET, .sin_port = htons((u16)atoi(port ? port + 1 : "0")), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        l = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(l, (void *)&s, sizeof s) < 0) return -1;
    }
    return listen(l, 512) < 0 ? -1 : l;
}
int main(int argc, char **argv) {
    int l, one = 1;
    struct rlimit files;
    pthread_attr_t detached;
    pthread_t t;
    if (argc != 3 || (root = open(argv[1], O_PATH | O_DIRECTORY)) < 0 || (l = listen_on(argv[2])) < 0) { perror("rawd DIR ADDRESS"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int fd = accept(l, NULL, NULL);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        pthread_create(&t, &detached, serve, (void *)(long)fd);
    }
}
