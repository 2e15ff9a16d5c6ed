/* A virtqueue instead of a socket: p9load as the driver and the front end of a vhost-user device (address vhost-user:PATH).
 *
 * Requests are laid out as Linux's trans_virtio does it: one indirect descriptor each, the T-message, then a place for the
 * R-message; payloads of reads and writes are pages of their own.  Numbers and layouts: docs/interop/vhost-user.rst of QEMU,
 * virtio 1.2 section 2.7.  Signals both ways follow VIRTIO_RING_F_EVENT_IDX.
 */
#define _GNU_SOURCE
#include "p9load.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GET_FEATURES = 1, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 5, SET_VRING_NUM = 8, SET_VRING_ADDR = 9, SET_VRING_BASE = 10,
    SET_VRING_KICK = 12, SET_VRING_CALL, SET_PROTOCOL_FEATURES = 16, SET_VRING_ENABLE = 18 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, QUEUE = 128, PAGE = 4096, SMALL_REPLY = 8192, MOST_MSIZE = 125 * PAGE };
#define FEATURES (1ull << 28 | 1ull << 29 | 1ull << 30 | 1ull << 32) /* INDIRECT_DESC, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1 */
#define GUEST 0x40000000ull /* where the memory is for the "guest" */

struct desc { u64 addr; u32 len; u16 flags, next; };
struct used_elem { u32 id, len; };
struct ring {
    int sock, kick, call;
    u8 *mem, *data;
    size_t each;                   /* bytes of a request's buffers */
    struct desc *desc, *tables;    /* tables: QUEUE of them, each of QUEUE */
    u16 *avail, *used;             /* flags, idx, entries, event */
    u16 avail_idx, seen;
    u8 busy[QUEUE];
};

static void request(struct ring *r, u32 type, const void *payload, u32 n, int fd) {
    u32 head[3] = { type, 1, n };
    struct iovec iov[2] = { { head, sizeof head }, { (void *)payload, n } };
    union { char b[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { .b = { 0 } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
    if (fd >= 0) {
        m.msg_control = control.b;
        m.msg_controllen = sizeof control.b;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    if (sendmsg(r->sock, &m, MSG_NOSIGNAL) != (ssize_t)(sizeof head + n)) die("vhost-user request %u: %s", type, strerror(errno));
}
static void request64(struct ring *r, u32 type, u64 value, int fd) { request(r, type, &value, sizeof value, fd); }
static void request_pair(struct ring *r, u32 type, u32 value) {
    u32 pair[2] = { 0, value };
    request(r, type, pair, sizeof pair, -1);
}
static u64 offered(struct ring *r) {
    struct { u32 type, flags, size; u64 value; } __attribute__((packed)) a;
    request(r, GET_FEATURES, NULL, 0, -1);
    if (recv(r->sock, &a, sizeof a, MSG_WAITALL) != sizeof a || a.type != GET_FEATURES) die("vhost-user: no answer");
    return a.value;
}

/* Connects, gives the memory away and starts the one ring. */
void ring_start(struct conn *c, int sock) {
    struct ring *r = c->ring = calloc(1, sizeof *r);
    size_t avail = sizeof(struct desc) * QUEUE, used = avail + PAGE, tables = used + 2 * PAGE;
    size_t data = tables + sizeof(struct desc) * QUEUE * QUEUE, size;
    if (opt.depth > QUEUE) die("at most %d outstanding on a ring", QUEUE);
    if (opt.msize > MOST_MSIZE) opt.msize = MOST_MSIZE;
    r->each = 2 * (size_t)((opt.msize + 2 * PAGE) & ~(u32)(PAGE - 1));
    size = data + r->each * QUEUE;
    int memory = memfd_create("p9load", MFD_ALLOW_SEALING);
    if (memory < 0 || ftruncate(memory, (off_t)size) || fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) die("memfd: %s", strerror(errno));
    r->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (r->mem == MAP_FAILED) die("mmap: %s", strerror(errno));
    r->sock = sock;
    r->desc = (void *)r->mem;
    r->avail = (void *)(r->mem + avail);
    r->used = (void *)(r->mem + used);
    r->tables = (void *)(r->mem + tables);
    r->data = r->mem + data;
    r->kick = eventfd(0, 0);
    r->call = c->fd = eventfd(0, EFD_NONBLOCK);
    u64 offer = offered(r), user = (u64)(uintptr_t)r->mem;
    if ((offer & FEATURES) != FEATURES) die("the device offers features %llx", (unsigned long long)offer);
    request64(r, SET_PROTOCOL_FEATURES, 0, -1);
    request(r, SET_OWNER, NULL, 0, -1);
    request64(r, SET_FEATURES, FEATURES | (offer & 1), -1);
    struct { u32 n, pad; u64 guest, size, user, offset; } table = { 1, 0, GUEST, size, user, 0 };
    request(r, SET_MEM_TABLE, &table, sizeof table, memory);
    request_pair(r, SET_VRING_NUM, QUEUE);
    request_pair(r, SET_VRING_BASE, 0);
    struct { u32 index, flags; u64 desc, used, avail, log; } at = { 0, 0, user, user + used, user + avail, 0 };
    request(r, SET_VRING_ADDR, &at, sizeof at, -1);
    request64(r, SET_VRING_CALL, 0, r->call);
    request64(r, SET_VRING_KICK, 0, r->kick);
    request_pair(r, SET_VRING_ENABLE, 1);
    close(memory);
}

static u64 guest(const struct ring *r, const void *p) { return GUEST + (u64)((const u8 *)p - r->mem); }
/* Descriptors of a buffer: its first `head` bytes, then pages. */
static int describe(struct ring *r, struct desc *d, int n, u8 *at, u32 head, u32 size, u16 flags) {
    for (u32 part = head < size ? head : size; size; at += part, size -= part, part = size < PAGE ? size : PAGE) {
        d[n] = (struct desc){ guest(r, at), part, (u16)(flags | NEXT), (u16)(n + 1) };
        n++;
    }
    return n;
}
static u8 *place(struct ring *r, int slot) { return r->data + (size_t)slot * r->each; }
static u8 *reply_place(struct ring *r, int slot) { return place(r, slot) + r->each / 2; }

static void add(struct conn *c, const u8 *m, u32 size) {
    struct ring *r = c->ring;
    u16 tag = g16(m + 5);
    int slot = tag == NOTAG ? 0 : tag, n;
    if (slot >= QUEUE || r->busy[slot]) die("tag %u on the ring twice", tag);
    r->busy[slot] = 1;
    u8 *out = place(r, slot) + PAGE - 23, *in = reply_place(r, slot) + PAGE - 11; /* payloads begin at a page */
    memcpy(out, m, size);
    u32 room = m[4] == Tread || m[4] == Treaddir ? 11 + g32(m + 19) : SMALL_REPLY;
    if (room > c->msize && c->msize) room = c->msize;
    struct desc *d = r->tables + slot * QUEUE;
    n = describe(r, d, 0, out, m[4] == Twrite ? 23 : size, size, 0);
    n = describe(r, d, n, in, room == SMALL_REPLY ? room : 11, room, WRITE);
    d[n - 1].flags &= (u16)~NEXT;
    r->desc[slot] = (struct desc){ guest(r, d), (u32)n * sizeof *d, INDIRECT, 0 };
    r->avail[2 + r->avail_idx++ % QUEUE] = (u16)slot;
}
/* Makes what is queued available, and kicks if the device asks for it. */
int ring_send(struct conn *c) {
    struct ring *r = c->ring;
    u16 before = r->avail_idx;
    for (u32 p = 0; p < c->outlen; p += g32(c->out + p)) add(c, c->out + p, g32(c->out + p));
    c->outlen = 0;
    __atomic_store_n(&r->avail[1], r->avail_idx, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    u16 event = __atomic_load_n(&r->used[2 + 4 * QUEUE], __ATOMIC_RELAXED);
    if ((u16)(r->avail_idx - event - 1) < (u16)(r->avail_idx - before)) eventfd_write(r->kick, 1);
    return 0;
}
/* Copies the replies there are, as far as they fit, or one of them. */
static u32 collect(struct ring *r, u8 *to, u32 cap, int one) {
    struct used_elem *elements = (void *)(r->used + 2);
    u32 n = 0;
    while (r->seen != __atomic_load_n(&r->used[1], __ATOMIC_ACQUIRE)) {
        struct used_elem e = elements[r->seen % QUEUE];
        if (e.id >= QUEUE || !r->busy[e.id] || e.len > r->each / 2) die("the device returned descriptor %u, %u bytes", e.id, e.len);
        if (n + e.len > cap) break;
        memcpy(to + n, reply_place(r, (int)e.id) + PAGE - 11, e.len);
        n += e.len;
        r->busy[e.id] = 0;
        r->seen++;
        if (one) break;
    }
    return n;
}
/* As recv(2) on a stream; `one`: a single message. */
ssize_t ring_recv(struct conn *c, u8 *to, u32 cap, int flags, int one) {
    struct ring *r = c->ring;
    for (eventfd_t count;;) {
        u32 n = collect(r, to, cap, one);
        __atomic_store_n(&r->avail[2 + QUEUE], r->seen, __ATOMIC_RELEASE);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (n) {
            if (r->seen != __atomic_load_n(&r->used[1], __ATOMIC_ACQUIRE)) eventfd_write(r->call, 1); /* more than fits: look again */
            return n;
        }
        if (r->seen != __atomic_load_n(&r->used[1], __ATOMIC_ACQUIRE)) continue;
        if (g_stop) return 0;
        struct pollfd wait[2] = { { r->call, POLLIN, 0 }, { r->sock, POLLIN, 0 } };
        if (eventfd_read(r->call, &count) == 0) continue;
        if (flags & MSG_DONTWAIT) { errno = EAGAIN; return -1; }
        poll(wait, 2, -1);
        if (wait[1].revents) return 0;
    }
}
/* Wakes the thread that waits in ring_recv. */
void ring_hang_up(struct conn *c) { eventfd_write(c->ring->call, 1); }
