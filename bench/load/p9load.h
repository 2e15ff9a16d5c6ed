/* p9load - a neutral load generator for 9P2000.L and 9P2000 servers.
 *
 * Every connection has `depth` slots.  A slot is a state machine with one request in flight, its own tag (its number) and its
 * own fids, so the number of requests outstanding on a connection is always `depth`.  A thread owns one or more connections:
 * one is driven with plain blocking recv and send (two system calls a round trip), more with epoll.  Requests that become
 * ready while one received buffer is parsed leave in one send.  The latency of an operation runs from queueing its first
 * request to parsing its last reply.  The result is one JSON object on stdout; the exit status is 3 if any reply was wrong.
 */
#ifndef P9LOAD_H
#define P9LOAD_H
#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

enum {
    Rlerror = 7, Tstatfs = 8, Tlopen = 12, Tlcreate = 14, Tsymlink = 16, Trename = 20, Treadlink = 22, Tgetattr = 24,
    Tsetattr = 26, Txattrwalk = 30, Txattrcreate = 32, Treaddir = 40, Tfsync = 50, Tlock = 52, Tmkdir = 72, Trenameat = 74,
    Tunlinkat = 76, Tversion = 100, Tattach = 104, Rerror = 107, Tflush = 108, Twalk = 110, Topen = 112, Tcreate = 114,
    Tread = 116, Twrite = 118, Tclunk = 120, Tremove = 122, Tstat = 124, Twstat = 126
};

/* The fids of a connection: one for each job, eight for each slot, and those held only to be held. */
enum { FID_ROOT = 0, FID_FILE = 1, FID_WORK = 2, FID_DIR = 3, FID_START = 4, FID_SLOTS = 16, FID_HELD = (1 << 24) + 16384 };
#define SLOTFID(s, k) ((u32)FID_SLOTS + (u32)(s)->id * 8u + (u32)(k))
#define NOFID 0xffffffffu
#define NOTAG 0xffffu
#define SMALL 4096u /* size of every small file of the tree */
#define BUCKETS 4096

struct slot {
    struct conn *c;
    int id, pc, idle;
    u8 want;                     /* type of the reply waited for */
    int err;                     /* errno of the reply, 0 when it is the one wanted */
    const u8 *r;                 /* body of the reply, after size, type and tag */
    u32 rlen;
    u64 t0, off, rng, done;      /* start of the operation; file offset; xorshift state; operations done */
    u32 cnt, seq, entries, i;
    char name[64], name2[64], ename[96];
    u8 *names;                   /* names of one Rreaddir, kept for `lsl` */
    u32 nnames, pos, namecap;
};
struct conn {
    int fd, id, dead;
    u8 *in, *out;
    u32 inlen, incap, outlen, outcap, mstart, msize, start;
    u64 nextoff;
    struct ring *ring;           /* instead of a stream; fd is then what signals replies */
    struct slot *slots;
    struct worker *w;
};
struct worker {
    pthread_t thread;
    volatile int done;
    int nconns;
    struct conn **conns;
    u64 hist[BUCKETS], ops, items, bytes, errs, maxlat, latsum, allops, shortio;
    char first[160];             /* the first wrong reply, in words */
};
typedef void (*workload_fn)(struct slot *);

/* What has to be walked or opened on each connection before a workload can run. */
enum { NEED_FILE = 1, NEED_XATTR = 2, NEED_BIG = 4, NEED_DIR = 8, NEED_WORK = 16, NEED_PROBE = 32, NEED_OUT = 64, NEED_HELD = 128 };
struct workload {
    const char *name;
    workload_fn run;             /* NULL: `connect`, which has no slots */
    int l_only, needs, per_entry;
};
extern const struct workload workloads[];

struct options {
    const char *addr, *aname, *uname, *workload, *label, *start, *dir;
    u32 n_uname, msize, block;
    int conns, depth, pid, base, nfiles, entries, held;
    double seconds, warmup;
    u64 count, bigsize;
};
extern struct options opt;
extern const struct workload *work;
extern int use_remove, use_trename;              /* the server lacks Tunlinkat, Trenameat */
extern u32 agreed_msize;
extern u8 small_data[SMALL];                     /* what every small file holds */
extern volatile int g_stop, g_drain, g_count;    /* g_count: the measured window is open */

/* message.c */
static inline u16 g16(const u8 *p) { return (u16)(p[0] | p[1] << 8); }
static inline u32 g32(const u8 *p) { return (u32)g16(p) | (u32)g16(p + 2) << 16; }
static inline u64 g64(const u8 *p) { return (u64)g32(p) | (u64)g32(p + 4) << 32; }
void begin(struct conn *c, u8 type, u16 tag);
void end(struct conn *c);
void put8(struct conn *c, u8 v);
void put16(struct conn *c, u16 v);
void put32(struct conn *c, u32 v);
void put64(struct conn *c, u64 v);
void putstr(struct conn *c, const char *s);
void putstrn(struct conn *c, const void *s, u32 n);
void make_pattern(void);
void t_fid(struct conn *c, u16 tag, u8 type, u32 fid);
void t_walk(struct conn *c, u16 tag, u32 fid, u32 newfid, int n, ...);
void t_walk_one(struct conn *c, u16 tag, u32 fid, u32 newfid, const void *name, u32 len);
void t_attach(struct conn *c, u16 tag, u32 fid);
void t_getattr(struct conn *c, u16 tag, u32 fid);
void t_setattr_mode(struct conn *c, u16 tag, u32 fid, u32 mode);
void t_open(struct conn *c, u16 tag, u32 fid, u32 flags);
void t_opendir(struct conn *c, u16 tag, u32 fid);
void t_create(struct conn *c, u16 tag, u32 fid, const char *name, int rdwr);
void t_mkdir(struct conn *c, u16 tag, u32 fid, const char *name);
void t_symlink(struct conn *c, u16 tag, u32 fid, const char *name, const char *target);
void t_unlink(struct conn *c, u16 tag, u32 dir, const char *name, u32 flags);
void t_renameat(struct conn *c, u16 tag, u32 dir, const char *from, const char *to);
void t_rename(struct conn *c, u16 tag, u32 fid, u32 dir, const char *to);
void t_wstat_name(struct conn *c, u16 tag, u32 fid, const char *name);
void t_xattrwalk(struct conn *c, u16 tag, u32 fid, u32 newfid, const char *name);
void t_xattrcreate(struct conn *c, u16 tag, u32 fid, const char *name, u64 size);
void t_lock(struct conn *c, u16 tag, u32 fid, u8 type, u32 pid);
void t_read(struct conn *c, u16 tag, u32 fid, u64 off, u32 n);
void t_readdir(struct conn *c, u16 tag, u32 fid, u64 off, u32 n);
void t_write(struct conn *c, u16 tag, u32 fid, u64 off, u32 n);
void t_fsync(struct conn *c, u16 tag, u32 fid);
void t_flush(struct conn *c, u16 tag, u16 oldtag);

/* ring.c */
void ring_start(struct conn *c, int sock);
int ring_send(struct conn *c);
ssize_t ring_recv(struct conn *c, u8 *to, u32 cap, int flags, int one);
void ring_hang_up(struct conn *c);

/* session.c */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
int dial(void);
int flush_out(struct conn *c);
ssize_t receive(struct conn *c, u8 *to, u32 cap, int flags);
void hang_up(struct conn *c);
const u8 *call(struct conn *c, u8 want, u32 *len, int *err);
int start_session(struct conn *c);
struct conn *new_conn(int id);
void prepare(struct conn *c);

/* engine.c */
u64 now(void);
void op_begin(struct slot *s);
void add_items(struct slot *s, u64 n);
int op_done(struct slot *s, u64 bytes);
int op_failed(struct slot *s);
void note(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *drive(void *worker);
void *storm(void *worker);
u64 random64(struct slot *s);
double percentile(const u64 *hist, u64 ops, double q);

/* usage.c: processor time and memory of a process tree, from /proc */
struct usage {
    double user, sys, sched;
    long rss, peak;
    int procs, threads;
};
struct usage usage_of(int pid, int reset_peak);

/* io.c and ops.c: the workloads */
void w_getattr(struct slot *s), w_held(struct slot *s), w_flush(struct slot *s), w_statfs(struct slot *s), w_setattr(struct slot *s),
    w_clone(struct slot *s), w_walk1(struct slot *s), w_walk4(struct slot *s), w_statpath(struct slot *s), w_orc(struct slot *s),
    w_create(struct slot *s), w_mkdir(struct slot *s), w_symlink(struct slot *s), w_rename(struct slot *s), w_xattr(struct slot *s),
    w_xattrset(struct slot *s), w_lock(struct slot *s), w_fsync(struct slot *s), w_attach(struct slot *s), w_read(struct slot *s),
    w_randread(struct slot *s), w_write(struct slot *s), w_readdir(struct slot *s), w_readdircold(struct slot *s),
    w_lsl(struct slot *s);

/* The state machines: a workload is a function that is entered again at the place where it waited for its reply.
 * RPC gives the slot up until the reply came and leaves for `fail` if it is not the one wanted. */
#define BEGIN switch (s->pc) { case 0:
#define END(again) FAILED(again); case -1: return; }
#define WAIT_AT(type, n) do { s->want = (u8)((type) + 1); s->pc = (n) + 1; return; case (n) + 1:; } while (0)
#define WAIT(type) WAIT_AT(type, __COUNTER__)
#define RPC(type) do { WAIT(type); if (s->err) goto fail; } while (0)
#define CHECK(x) do { if (!(x)) goto fail; } while (0)
#define STOP do { s->idle = 1; s->pc = -1; return; } while (0)
#define DONE(bytes) do { if (op_done(s, bytes)) STOP; } while (0)
/* The common end: count the wrong reply, give up the slot's fid, start over. */
#define FAILED(again) fail: if (op_failed(s)) STOP; t_fid(s->c, TAG, Tclunk, SLOTFID(s, 0)); WAIT(Tclunk); goto again
#define TAG ((u16)s->id)
#endif
