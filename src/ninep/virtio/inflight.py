"""The in-flight region of vhost-user: which descriptor chains a device has taken and not returned.

The region is memory that the front end keeps while the device's process is restarted
(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD). Its layout and the order of the stores are those of
"Inflight I/O tracking", split virtqueue, in QEMU's docs/interop/vhost-user: a header of 16 bytes
(u64 features, u16 version, u16 desc_num, u16 last_batch_head, u16 used_idx), then 16 bytes for each
descriptor (u8 inflight, 5 bytes of padding, u16 next, u64 counter), in the host's byte order.

A process that ends between any two stores leaves a region from which ``recover`` finds exactly the
chains that the driver did not get back.

QEMU has no region for its generic device and for vhost-user-fs (hw/virtio/vhost-user-base.c,
vhost-user-fs.c). There, after an end without GET_VRING_BASE, it has a ring begin at the
used index: that is right if chains were returned in the order in which they were taken, or all of
them were. An orderly end returns all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ninep.virtio.errors import RingError

HEADER: Final = 16
ENTRY: Final = 16
ALIGNMENT: Final = 64
VERSION: Final = 1

# Places of the header's fields, in units of two bytes.
_VERSION, _DESC_NUM, _LAST_BATCH_HEAD, _USED_IDX = 4, 5, 6, 7


def region_size(size: int) -> int:
    """Bytes of the region of one queue of ``size`` descriptors, padded to a cache line."""
    return (HEADER + ENTRY * size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


class Inflight:
    """The region of one queue. The order of calls for a chain is ``take``, ``put``, ``commit``."""

    __slots__ = ("_bytes", "_counter", "_counters", "_shorts", "_size")

    def __init__(self, region: memoryview, size: int) -> None:
        """``region``: writable, format B, at least ``region_size(size)`` bytes. RingError if it was
        made for a queue of another size or by another version.
        """
        whole = HEADER + ENTRY * size
        if len(region) < whole:
            raise RingError(f"an in-flight region of {len(region)} bytes for {size} descriptors")
        self._bytes = region[:whole]
        self._shorts = self._bytes.cast("H")
        self._counters = self._bytes.cast("Q")
        self._size = size
        version, descriptors = self._shorts[_VERSION], self._shorts[_DESC_NUM]
        if version and (version, descriptors) != (VERSION, size):
            raise RingError(f"an in-flight region of version {version} with {descriptors} descriptors, not {size}")
        self._counter = max(self._counters[3::2].tolist()) + 1 if version else 1
        if self._counter >= 1 << 63:
            raise RingError(f"an in-flight region that counts {self._counter} chains")

    def start(self, used_index: int) -> None:
        """Initialize a region that is all zeros; any other is left as it is."""
        if not self._shorts[_VERSION]:
            self.reset(used_index)

    def reset(self, used_index: int) -> None:
        """No chain is in flight, and the used ring's index is ``used_index``."""
        shorts = self._shorts
        shorts[_VERSION] = 0
        self._bytes[HEADER:] = bytes(ENTRY * self._size)
        shorts[_DESC_NUM] = self._size
        shorts[_LAST_BATCH_HEAD] = 0
        shorts[_USED_IDX] = used_index
        self._counter = 1
        shorts[_VERSION] = VERSION

    def take(self, head: int) -> None:
        """A chain was taken from the available ring."""
        self._counters[3 + 2 * head] = self._counter
        self._counter += 1
        self._bytes[HEADER + ENTRY * head] = 1

    def put(self, head: int) -> None:
        """A chain gets into the used ring, whose index does not tell yet."""
        shorts = self._shorts
        shorts[11 + 8 * head] = shorts[_LAST_BATCH_HEAD]
        shorts[_LAST_BATCH_HEAD] = head

    def commit(self, heads: Iterable[int], used_index: int) -> None:
        """The used ring's index became ``used_index``: the chains of the last batch, ``heads``, are
        returned.
        """
        flags = self._bytes
        for head in heads:
            flags[HEADER + ENTRY * head] = 0
        self._shorts[_USED_IDX] = used_index

    def recover(self, used_index: int) -> list[int]:
        """The heads of the chains that were taken and not returned, oldest first, when the index in
        the used ring is ``used_index``.
        """
        shorts, flags = self._shorts, self._bytes
        batch = (used_index - shorts[_USED_IDX]) & 0xFFFF
        if batch > self._size:
            raise RingError(f"the used index is {batch} ahead of the in-flight region, of {self._size} descriptors")
        head = shorts[_LAST_BATCH_HEAD]
        for _ in range(batch):
            if head >= self._size:
                raise RingError(f"descriptor {head} of {self._size} in the in-flight region")
            flags[HEADER + ENTRY * head] = 0
            head = shorts[11 + 8 * head]
        shorts[_USED_IDX] = used_index
        heads = [head for head, taken in enumerate(flags[HEADER::ENTRY]) if taken]
        heads.sort(key=self._counters[3::2].tolist().__getitem__)
        return heads
