/* Workloads of metadata and small files.  Each is one operation repeated; see p9load.h for how the macros work. */
#include "p9load.h"
#include <stdio.h>
#include <string.h>

#define S_IFREG_ 0100000u
#define TARGET "../d1/d2/g"

/* Is the Rgetattr (Rstat) waiting in s that of one of the tree's small files? */
static int small_file(const struct slot *s) {
    if (opt.base) return s->rlen >= 49 && !(g32(s->r + 23) & 0x80000000u) && g64(s->r + 35) == SMALL;
    return s->rlen == 153 && (g64(s->r) & 0x7ff) == 0x7ff && (g32(s->r + 21) & 0170000) == S_IFREG_ && g64(s->r + 49) == SMALL;
}
static int empty_file(const struct slot *s) {
    if (opt.base) return s->rlen >= 49 && g64(s->r + 35) == 0;
    return s->rlen == 153 && (g32(s->r + 21) & 0170000) == S_IFREG_ && g64(s->r + 49) == 0;
}
/* Is it an Rwalk of n names, the last of them no directory and, with n > 1, the one before a directory? */
static int walked(const struct slot *s, u32 n) {
    if (s->rlen != 2 + 13 * n || g16(s->r) != n) return 0;
    return n == 0 || (!(s->r[2 + 13 * (n - 1)] & 0x80) && (n == 1 || s->r[2 + 13 * (n - 2)] == 0x80));
}
/* Is it an Rread of the attribute user.test, 64 times the letter v? */
static int test_value(const struct slot *s) {
    if (s->rlen != 68 || g32(s->r) != 64) return 0;
    for (int i = 4; i < 68; i++) if (s->r[i] != 'v') return 0;
    return 1;
}
static int locked(const struct slot *s) { return s->rlen == 1 && s->r[0] == 0; }
/* Unlike a DONE in a loop this leaves the fid behind, which is what each operation has to pay for. */
#define CLUNK(fid) do { t_fid(c, TAG, Tclunk, fid); RPC(Tclunk); CHECK(s->rlen == 0); } while (0)
#define REMOVE_FID(fid) do { t_fid(c, TAG, Tremove, fid); RPC(Tremove); CHECK(s->rlen == 0); } while (0)
#define UNLINK(name, flags) do { t_unlink(c, TAG, FID_WORK, name, flags); RPC(Tunlinkat); CHECK(s->rlen == 0); } while (0)

void w_getattr(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) { op_begin(s); t_getattr(c, TAG, FID_FILE); RPC(Tgetattr); CHECK(small_file(s)); DONE(0); }
    END(again)
}
/* getattr of one of the held fids, chosen at random: every entry of the directory is an empty file */
void w_held(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        t_getattr(c, TAG, (u32)FID_HELD + (u32)(random64(s) % (u64)(opt.held / opt.conns)));
        RPC(Tgetattr); CHECK(empty_file(s));
        DONE(0);
    }
    END(again)
}
void w_flush(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) { op_begin(s); t_flush(c, TAG, 0x7777); RPC(Tflush); CHECK(s->rlen == 0); DONE(0); }
    END(again)
}
void w_statfs(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) { op_begin(s); t_fid(c, TAG, Tstatfs, FID_ROOT); RPC(Tstatfs); CHECK(s->rlen == 60); DONE(0); }
    END(again)
}
void w_setattr(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) { op_begin(s); t_setattr_mode(c, TAG, FID_FILE, ++s->seq & 1 ? 0644 : 0640); RPC(Tsetattr); CHECK(s->rlen == 0); DONE(0); }
    END(again)
}
void w_clone(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) { op_begin(s); t_walk(c, TAG, FID_FILE, SLOTFID(s, 0), 0); RPC(Twalk); CHECK(walked(s, 0)); CLUNK(SLOTFID(s, 0)); DONE(0); }
    END(again)
}
void w_walk1(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) { op_begin(s); t_walk(c, TAG, c->start, SLOTFID(s, 0), 1, "f4k"); RPC(Twalk); CHECK(walked(s, 1)); CLUNK(SLOTFID(s, 0)); DONE(0); }
    END(again)
}
void w_walk4(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        t_walk(c, TAG, c->start, SLOTFID(s, 0), 4, "d1", "d2", "d3", "f"); RPC(Twalk); CHECK(walked(s, 4));
        CLUNK(SLOTFID(s, 0));
        DONE(0);
    }
    END(again)
}
void w_statpath(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        t_walk(c, TAG, c->start, SLOTFID(s, 0), 3, "d1", "d2", "g"); RPC(Twalk); CHECK(walked(s, 3));
        t_getattr(c, TAG, SLOTFID(s, 0)); RPC(Tgetattr); CHECK(small_file(s));
        CLUNK(SLOTFID(s, 0));
        DONE(0);
    }
    END(again)
}
/* open, read, close: of a thousand files, one at random */
void w_orc(struct slot *s) {
    struct conn *c = s->c;
    char name[32];
    BEGIN
again:
    for (;;) {
        op_begin(s);
        snprintf(name, sizeof name, "f%04u", (u32)(random64(s) % (u64)opt.nfiles));
        t_walk(c, TAG, FID_ROOT, SLOTFID(s, 0), 2, "files", name); RPC(Twalk); CHECK(walked(s, 2));
        t_open(c, TAG, SLOTFID(s, 0), 0); RPC(Tlopen); CHECK(s->rlen == 17);
        t_read(c, TAG, SLOTFID(s, 0), 0, SMALL); RPC(Tread);
        CHECK(s->rlen == SMALL + 4 && g32(s->r) == SMALL && !memcmp(s->r + 4, small_data, SMALL));
        CLUNK(SLOTFID(s, 0));
        DONE(SMALL);
    }
    END(again)
}
void w_create(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        t_walk(c, TAG, FID_WORK, SLOTFID(s, 0), 0); RPC(Twalk); CHECK(walked(s, 0));
        t_create(c, TAG, SLOTFID(s, 0), s->name, 0); RPC(Tlcreate); CHECK(s->rlen == 17);
        t_write(c, TAG, SLOTFID(s, 0), 0, SMALL); RPC(Twrite); CHECK(s->rlen == 4 && g32(s->r) == SMALL);
        if (opt.base) { REMOVE_FID(SLOTFID(s, 0)); DONE(SMALL); continue; }
        CLUNK(SLOTFID(s, 0));
        if (use_remove) { t_walk(c, TAG, FID_WORK, SLOTFID(s, 0), 1, s->name); RPC(Twalk); REMOVE_FID(SLOTFID(s, 0)); }
        else UNLINK(s->name, 0);
        DONE(SMALL);
    }
    END(again)
}
void w_mkdir(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        if (opt.base) {
            t_walk(c, TAG, FID_WORK, SLOTFID(s, 0), 0); RPC(Twalk);
            t_mkdir(c, TAG, SLOTFID(s, 0), s->name); RPC(Tmkdir); CHECK(s->rlen == 17 && s->r[0] == 0x80);
            REMOVE_FID(SLOTFID(s, 0));
            DONE(0);
            continue;
        }
        t_mkdir(c, TAG, FID_WORK, s->name); RPC(Tmkdir); CHECK(s->rlen == 13 && s->r[0] == 0x80);
        if (use_remove) { t_walk(c, TAG, FID_WORK, SLOTFID(s, 0), 1, s->name); RPC(Twalk); REMOVE_FID(SLOTFID(s, 0)); }
        else UNLINK(s->name, 0x200);
        DONE(0);
    }
    END(again)
}
void w_symlink(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        t_symlink(c, TAG, FID_WORK, s->name, TARGET); RPC(Tsymlink); CHECK(s->rlen == 13);
        t_walk(c, TAG, FID_WORK, SLOTFID(s, 0), 1, s->name); RPC(Twalk); CHECK(walked(s, 1));
        t_fid(c, TAG, Treadlink, SLOTFID(s, 0)); RPC(Treadlink);
        CHECK(s->rlen == 2 + sizeof TARGET - 1 && !memcmp(s->r + 2, TARGET, sizeof TARGET - 1));
        if (use_remove) REMOVE_FID(SLOTFID(s, 0));
        else { CLUNK(SLOTFID(s, 0)); UNLINK(s->name, 0); }
        DONE(0);
    }
    END(again)
}
/* one private file per slot, renamed to and fro */
void w_rename(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
    t_walk(c, TAG, FID_WORK, SLOTFID(s, 1), 0); WAIT(Twalk);
    t_create(c, TAG, SLOTFID(s, 1), s->name, 0); WAIT(Tlcreate);
    t_fid(c, TAG, Tclunk, SLOTFID(s, 1)); WAIT(Tclunk);
    if (opt.base || use_trename) { t_walk(c, TAG, FID_WORK, SLOTFID(s, 1), 1, s->name); WAIT(Twalk); }
again:
    for (s->seq = 0;;) {
        op_begin(s);
        const char *from = s->seq & 1 ? s->name2 : s->name, *to = s->seq & 1 ? s->name : s->name2;
        if (opt.base) { t_wstat_name(c, TAG, SLOTFID(s, 1), to); RPC(Twstat); }
        else if (use_trename) { t_rename(c, TAG, SLOTFID(s, 1), FID_WORK, to); RPC(Trename); }
        else { t_renameat(c, TAG, FID_WORK, from, to); RPC(Trenameat); }
        CHECK(s->rlen == 0);
        s->seq++;
        DONE(0);
    }
    END(again)
}
void w_xattr(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        t_xattrwalk(c, TAG, FID_FILE, SLOTFID(s, 0), "user.test"); RPC(Txattrwalk); CHECK(s->rlen == 8 && g64(s->r) == 64);
        t_read(c, TAG, SLOTFID(s, 0), 0, 64); RPC(Tread); CHECK(test_value(s));
        CLUNK(SLOTFID(s, 0));
        DONE(64);
    }
    END(again)
}
void w_xattrset(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        t_walk(c, TAG, FID_FILE, SLOTFID(s, 0), 0); RPC(Twalk); CHECK(walked(s, 0));
        t_xattrcreate(c, TAG, SLOTFID(s, 0), "user.bench", 32); RPC(Txattrcreate); CHECK(s->rlen == 0);
        t_write(c, TAG, SLOTFID(s, 0), 0, 32); RPC(Twrite); CHECK(s->rlen == 4 && g32(s->r) == 32);
        CLUNK(SLOTFID(s, 0));
        DONE(32);
    }
    END(again)
}
void w_lock(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
    t_walk(c, TAG, FID_WORK, SLOTFID(s, 1), 0); WAIT(Twalk);
    t_create(c, TAG, SLOTFID(s, 1), s->name, 1); WAIT(Tlcreate);
again:
    for (;;) {
        op_begin(s);
        t_lock(c, TAG, SLOTFID(s, 1), 1, 4242); RPC(Tlock); CHECK(locked(s));
        t_lock(c, TAG, SLOTFID(s, 1), 2, 4242); RPC(Tlock); CHECK(locked(s));
        DONE(0);
    }
    END(again)
}
void w_attach(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) { op_begin(s); t_attach(c, TAG, SLOTFID(s, 0)); RPC(Tattach); CHECK(s->rlen == 13 && s->r[0] == 0x80); CLUNK(SLOTFID(s, 0)); DONE(0); }
    END(again)
}
