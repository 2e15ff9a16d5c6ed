/* Workloads that move data or list directories. */
#include "p9load.h"
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 64 << 20, HEADROOM = 24 }; /* bytes written over and over by all connections; what msize leaves to headers */

/* How much of the block still missing one message can move: what the kernel's client does with a large read or write. */
static u32 piece(const struct slot *s) {
    u32 left = opt.block - s->cnt, room = s->c->msize - HEADROOM;
    return left < room ? left : room;
}
/* The big file holds its own offset every eight bytes, so misplaced data shows. */
static int right_data(const struct slot *s) {
    u32 n = g32(s->r);
    u64 at = s->off + s->cnt, end = at + n;
    if (n >= 8 && !(at & 7) && g64(s->r + 4) != at) return 0;
    return n < 16 || (end & 7) || g64(s->r + 4 + n - 8) == end - 8;
}
static u64 next_offset(struct slot *s, u64 window) {
    struct conn *c = s->c;
    if (c->nextoff + opt.block > window) c->nextoff = 0;
    u64 off = c->nextoff;
    c->nextoff += opt.block;
    return off;
}
static void read_blocks(struct slot *s, int at_random) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        s->off = at_random ? random64(s) % (opt.bigsize / opt.block) * opt.block : next_offset(s, opt.bigsize);
        for (s->cnt = 0; s->cnt < opt.block; s->cnt += g32(s->r)) { /* a short read is legal: ask for the rest */
            t_read(c, TAG, FID_FILE, s->off + s->cnt, piece(s)); RPC(Tread);
            CHECK(s->rlen >= 4 && g32(s->r) && g32(s->r) <= piece(s) && s->rlen == g32(s->r) + 4 && right_data(s));
            if (g32(s->r) != piece(s)) c->w->shortio++;
        }
        DONE(opt.block);
    }
    END(again)
}
void w_read(struct slot *s) { read_blocks(s, 0); }
void w_randread(struct slot *s) { read_blocks(s, 1); }

void w_write(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        s->off = next_offset(s, WINDOW / (u64)opt.conns);
        for (s->cnt = 0; s->cnt < opt.block; s->cnt += g32(s->r)) { /* so is a short write */
            t_write(c, TAG, FID_FILE, s->off + s->cnt, piece(s)); RPC(Twrite);
            CHECK(s->rlen == 4 && g32(s->r) && g32(s->r) <= piece(s));
            if (g32(s->r) != piece(s)) c->w->shortio++;
        }
        DONE(opt.block);
    }
    END(again)
}
void w_fsync(struct slot *s) {
    struct conn *c = s->c;
    BEGIN
    t_walk(c, TAG, FID_WORK, SLOTFID(s, 1), 0); WAIT(Twalk);
    t_create(c, TAG, SLOTFID(s, 1), s->name, 0); WAIT(Tlcreate);
again:
    for (;;) {
        op_begin(s);
        t_write(c, TAG, SLOTFID(s, 1), 0, SMALL); RPC(Twrite); CHECK(s->rlen == 4 && g32(s->r) == SMALL);
        t_fsync(c, TAG, SLOTFID(s, 1)); RPC(Tfsync); CHECK(s->rlen == 0);
        DONE(SMALL);
    }
    END(again)
}

/* ---- directories ---- */
static int is_dot(const u8 *name, u32 n) { return name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')); }
static void keep_name(struct slot *s, const u8 *name, u32 n, u32 at) { s->names[at] = (u8)n; memcpy(s->names + at + 1, name, n); s->nnames++; }

/* Takes one reply apart: its number of entries or -1; moves the slot's directory offset; keeps the names if asked. */
static int take_entries(struct slot *s, int keep) {
    if (s->rlen < 4 || s->rlen != 4 + g32(s->r)) return -1;
    u32 bytes = g32(s->r), p = 4, end = 4 + bytes, used = 0, n, entries = 0;
    s->nnames = s->pos = 0;
    if (keep && s->namecap < bytes + 64) { s->namecap = bytes + 64; s->names = realloc(s->names, s->namecap); }
    for (const u8 *name; p < end; entries++) {
        if (opt.base) {
            if (p + 43 > end) return -1;
            u32 size = g16(s->r + p) + 2u;
            name = s->r + p + 43; n = g16(s->r + p + 41);
            if (size < 49 || p + size > end || 43 + n > size) return -1;
            p += size;
        } else {
            if (p + 24 > end) return -1;
            name = s->r + p + 24; n = g16(s->r + p + 22);
            s->off = g64(s->r + p + 13);
            p += 24 + n;
            if (p > end) return -1;
        }
        if (n == 0 || n > 255) return -1;
        if (keep && !is_dot(name, n)) { keep_name(s, name, n, used); used += n + 1; }
    }
    if (opt.base) s->off += bytes;
    return (int)entries;
}
/* Lists the directory from its beginning; with `stat_each` also walks to, stats and clunks every entry, as `ls -l` does; with `changed`
 * changes the directory before (chmod moves its ctime), so that a server has to read it again and no reply kept from before will do. */
static void list(struct slot *s, int stat_each, int changed) {
    struct conn *c = s->c;
    int n;
    BEGIN
again:
    for (;;) {
        op_begin(s);
        if (changed) { t_setattr_mode(c, TAG, FID_DIR, 0755); RPC(Tsetattr); }
        t_walk(c, TAG, FID_DIR, SLOTFID(s, 0), 0); RPC(Twalk);
        t_opendir(c, TAG, SLOTFID(s, 0)); RPC(Tlopen);
        for (s->off = 0, s->entries = 0;;) {
            t_readdir(c, TAG, SLOTFID(s, 0), s->off, c->msize - HEADROOM); RPC(Treaddir);
            if (g_drain) STOP;
            n = take_entries(s, stat_each);
            CHECK(n >= 0);
            if (!n) break;
            s->entries += (u32)n;
            if (!stat_each) { add_items(s, (u64)n); continue; }
            for (s->i = 0; s->i < s->nnames; s->i++) {
                t_walk_one(c, TAG, FID_DIR, SLOTFID(s, 1), s->names + s->pos + 1, s->names[s->pos]); RPC(Twalk);
                CHECK(s->rlen == 15 && g16(s->r) == 1);
                s->pos += 1u + s->names[s->pos];
                t_getattr(c, TAG, SLOTFID(s, 1)); RPC(Tgetattr); CHECK(s->rlen >= 49);
                t_fid(c, TAG, Tclunk, SLOTFID(s, 1)); RPC(Tclunk);
                add_items(s, 1);
                if (g_drain) STOP;
            }
        }
        CHECK(s->entries == (u32)opt.entries || s->entries == (u32)opt.entries + 2); /* with or without . and .. */
        t_fid(c, TAG, Tclunk, SLOTFID(s, 0)); RPC(Tclunk);
        DONE(0);
    }
    END(again)
}
void w_readdir(struct slot *s) { list(s, 0, 0); }
void w_readdircold(struct slot *s) { list(s, 0, 1); }
void w_lsl(struct slot *s) { list(s, 1, 0); }
