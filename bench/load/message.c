/* Bytes of the T-messages p9load sends.  Queued in the connection's buffer; the loop of the connection sends them. */
#include "p9load.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { O_RDWR_ = 02, O_CREAT_ = 0100, O_TRUNC_ = 01000, O_LARGEFILE_ = 0100000, O_DIRECTORY_ = 0200000 };
static u8 *pattern;

static void need(struct conn *c, u32 n) {
    if (c->outlen + n <= c->outcap) return;
    while (c->outlen + n > c->outcap) c->outcap *= 2;
    c->out = realloc(c->out, c->outcap);
    if (!c->out) die("out of memory");
}
void put8(struct conn *c, u8 v) { need(c, 1); c->out[c->outlen++] = v; }
void put16(struct conn *c, u16 v) { need(c, 2); memcpy(c->out + c->outlen, &v, 2); c->outlen += 2; }
void put32(struct conn *c, u32 v) { need(c, 4); memcpy(c->out + c->outlen, &v, 4); c->outlen += 4; }
void put64(struct conn *c, u64 v) { need(c, 8); memcpy(c->out + c->outlen, &v, 8); c->outlen += 8; }
void putstrn(struct conn *c, const void *s, u32 n) {
    put16(c, (u16)n);
    need(c, n);
    memcpy(c->out + c->outlen, s, n);
    c->outlen += n;
}
void putstr(struct conn *c, const char *s) { putstrn(c, s, (u32)strlen(s)); }
void begin(struct conn *c, u8 type, u16 tag) { c->mstart = c->outlen; put32(c, 0); put8(c, type); put16(c, tag); }
void end(struct conn *c) { u32 n = c->outlen - c->mstart; memcpy(c->out + c->mstart, &n, 4); }

void t_fid(struct conn *c, u16 tag, u8 type, u32 fid) { begin(c, type, tag); put32(c, fid); end(c); }
void t_walk(struct conn *c, u16 tag, u32 fid, u32 newfid, int n, ...) {
    begin(c, Twalk, tag); put32(c, fid); put32(c, newfid); put16(c, (u16)n);
    va_list a;
    va_start(a, n);
    for (int i = 0; i < n; i++) putstr(c, va_arg(a, const char *));
    va_end(a);
    end(c);
}
void t_walk_one(struct conn *c, u16 tag, u32 fid, u32 newfid, const void *name, u32 len) {
    begin(c, Twalk, tag); put32(c, fid); put32(c, newfid); put16(c, 1); putstrn(c, name, len); end(c);
}
void t_attach(struct conn *c, u16 tag, u32 fid) {
    begin(c, Tattach, tag); put32(c, fid); put32(c, NOFID); putstr(c, opt.uname); putstr(c, opt.aname);
    if (!opt.base) put32(c, opt.n_uname);
    end(c);
}
void t_getattr(struct conn *c, u16 tag, u32 fid) {
    if (opt.base) { t_fid(c, tag, Tstat, fid); return; }
    begin(c, Tgetattr, tag); put32(c, fid); put64(c, 0x7ff); end(c);
}
void t_setattr_mode(struct conn *c, u16 tag, u32 fid, u32 mode) {
    begin(c, Tsetattr, tag); put32(c, fid); put32(c, 1); put32(c, mode); put32(c, 0); put32(c, 0);
    for (int i = 0; i < 5; i++) put64(c, 0);
    end(c);
}
void t_open(struct conn *c, u16 tag, u32 fid, u32 flags) {
    begin(c, opt.base ? Topen : Tlopen, tag); put32(c, fid);
    if (opt.base) put8(c, (u8)flags); else put32(c, flags | O_LARGEFILE_);
    end(c);
}
void t_opendir(struct conn *c, u16 tag, u32 fid) { t_open(c, tag, fid, opt.base ? 0 : O_DIRECTORY_); }
void t_create(struct conn *c, u16 tag, u32 fid, const char *name, int rdwr) {
    u32 flags = rdwr ? O_RDWR_ : 1;
    begin(c, opt.base ? Tcreate : Tlcreate, tag); put32(c, fid); putstr(c, name);
    if (opt.base) { put32(c, 0644); put8(c, (u8)flags); }
    else { put32(c, flags | O_CREAT_ | O_TRUNC_ | O_LARGEFILE_); put32(c, 0100644); put32(c, 0); }
    end(c);
}
void t_mkdir(struct conn *c, u16 tag, u32 fid, const char *name) {
    begin(c, opt.base ? Tcreate : Tmkdir, tag); put32(c, fid); putstr(c, name);
    if (opt.base) { put32(c, 0x80000000u | 0755); put8(c, 0); } else { put32(c, 0755); put32(c, 0); }
    end(c);
}
void t_symlink(struct conn *c, u16 tag, u32 fid, const char *name, const char *target) {
    begin(c, Tsymlink, tag); put32(c, fid); putstr(c, name); putstr(c, target); put32(c, 0); end(c);
}
void t_unlink(struct conn *c, u16 tag, u32 dir, const char *name, u32 flags) {
    begin(c, Tunlinkat, tag); put32(c, dir); putstr(c, name); put32(c, flags); end(c);
}
void t_renameat(struct conn *c, u16 tag, u32 dir, const char *from, const char *to) {
    begin(c, Trenameat, tag); put32(c, dir); putstr(c, from); put32(c, dir); putstr(c, to); end(c);
}
void t_rename(struct conn *c, u16 tag, u32 fid, u32 dir, const char *to) {
    begin(c, Trename, tag); put32(c, fid); put32(c, dir); putstr(c, to); end(c);
}
/* 9P2000 renames by a Twstat whose other fields say "leave it". */
void t_wstat_name(struct conn *c, u16 tag, u32 fid, const char *name) {
    u16 size = (u16)(2 + 4 + 13 + 4 + 4 + 4 + 8 + 2 + strlen(name) + 2 + 2 + 2);
    begin(c, Twstat, tag); put32(c, fid); put16(c, (u16)(size + 2)); put16(c, size);
    put16(c, 0xffff); put32(c, ~0u); put8(c, 0xff); put32(c, ~0u); put64(c, ~0ull);
    put32(c, ~0u); put32(c, ~0u); put32(c, ~0u); put64(c, ~0ull);
    putstr(c, name); put16(c, 0); put16(c, 0); put16(c, 0);
    end(c);
}
void t_xattrwalk(struct conn *c, u16 tag, u32 fid, u32 newfid, const char *name) {
    begin(c, Txattrwalk, tag); put32(c, fid); put32(c, newfid); putstr(c, name); end(c);
}
void t_xattrcreate(struct conn *c, u16 tag, u32 fid, const char *name, u64 size) {
    begin(c, Txattrcreate, tag); put32(c, fid); putstr(c, name); put64(c, size); put32(c, 0); end(c);
}
void t_lock(struct conn *c, u16 tag, u32 fid, u8 type, u32 pid) {
    begin(c, Tlock, tag); put32(c, fid); put8(c, type); put32(c, 0); put64(c, 0); put64(c, 0); put32(c, pid);
    putstr(c, "localhost"); end(c);
}
void t_read(struct conn *c, u16 tag, u32 fid, u64 off, u32 n) {
    begin(c, Tread, tag); put32(c, fid); put64(c, off); put32(c, n); end(c);
}
void t_readdir(struct conn *c, u16 tag, u32 fid, u64 off, u32 n) {
    begin(c, opt.base ? Tread : Treaddir, tag); put32(c, fid); put64(c, off); put32(c, n); end(c);
}
void make_pattern(void) {
    u32 n = opt.block > SMALL ? opt.block : SMALL;
    pattern = malloc(n);
    for (u32 i = 0; i < n; i++) pattern[i] = (u8)(i * 7 + 3);
    for (u32 i = 0; i < SMALL; i++) small_data[i] = (u8)(i * 5 % 251);
}
void t_write(struct conn *c, u16 tag, u32 fid, u64 off, u32 n) {
    begin(c, Twrite, tag); put32(c, fid); put64(c, off); put32(c, n);
    need(c, n);
    memcpy(c->out + c->outlen, pattern, n);
    if (n >= 8) memcpy(c->out + c->outlen, &off, 8);
    c->outlen += n;
    end(c);
}
void t_fsync(struct conn *c, u16 tag, u32 fid) { begin(c, Tfsync, tag); put32(c, fid); put32(c, 0); end(c); }
void t_flush(struct conn *c, u16 tag, u16 oldtag) { begin(c, Tflush, tag); put16(c, oldtag); end(c); }
