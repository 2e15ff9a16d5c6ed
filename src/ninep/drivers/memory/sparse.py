"""The content of a file in memory. Holes take no memory, and growing copies nothing.

The content is stored in chunks of 64 KiB, each as long as the data written to it; missing bytes
read as zeros. This module has no notion of files, times or limits: callers reserve the space that
``growth`` returns before they write.
"""

from __future__ import annotations

from collections.abc import Sequence

from ninep.wire.types import Buffer

CHUNK = 1 << 16


class Sparse:
    """Up to 2**63 - 1 bytes, with holes."""

    __slots__ = ("allocated", "chunks", "size")

    def __init__(self) -> None:
        self.size = 0
        self.allocated = 0
        """Bytes of memory used."""
        self.chunks: dict[int, bytearray] = {}

    def read(self, offset: int, count: int) -> bytes | bytearray:
        """Up to ``count`` bytes from ``offset``, fewer at the end."""
        count = min(count, self.size - offset)
        if count <= 0:
            return b""
        index, at = divmod(offset, CHUNK)
        if at + count <= CHUNK:
            return self._part(index, at, count)
        result = bytearray()
        while count:
            part = self._part(index, at, min(count, CHUNK - at))
            result += part
            count -= len(part)
            index, at = index + 1, 0
        return result

    def read_into(self, offset: int, buffers: Sequence[memoryview]) -> int:
        """As ``read``, into buffers; how many bytes."""
        begin, size = offset, max(self.size, offset)
        for buffer in buffers:
            into = buffer[: size - offset]
            while into:
                index, at = divmod(offset, CHUNK)
                room = into[: CHUNK - at]
                with memoryview(self.chunks.get(index, b"")) as chunk, chunk[at : at + len(room)] as part:
                    room[: len(part)] = part
                    known = len(part)
                room[known:] = bytes(len(room) - known)
                offset += len(room)
                into = into[len(room) :]
        return offset - begin

    def _part(self, index: int, at: int, count: int) -> bytearray:
        """A copy of bytes of one chunk (a view would prevent the chunk from growing)."""
        part = self.chunks.get(index, bytearray())[at : at + count]
        if len(part) < count:
            part += bytes(count - len(part))
        return part

    def growth(self, offset: int, count: int) -> int:
        """The number of bytes that ``write`` would allocate."""
        index, at = divmod(offset, CHUNK)
        more = 0
        while count:
            part = min(count, CHUNK - at)
            chunk = self.chunks.get(index)
            more += max(0, at + part - (len(chunk) if chunk is not None else 0))
            count -= part
            index, at = index + 1, 0
        return more

    def write(self, offset: int, data: Buffer) -> None:
        """Write ``data`` at ``offset``. Empty data changes nothing, not even the size."""
        view = memoryview(data)
        if view:
            self.size = max(self.size, offset + len(view))
        index, at = divmod(offset, CHUNK)
        while view:
            part = view[: CHUNK - at]
            chunk = self.chunks.setdefault(index, bytearray())
            before = len(chunk)
            if at > before:
                chunk.extend(bytes(at - before))
            chunk[at : at + len(part)] = part
            self.allocated += len(chunk) - before
            view = view[len(part) :]
            index, at = index + 1, 0

    def extend(self, size: int) -> None:
        """Be at least so long, with a hole at the end."""
        self.size = max(self.size, size)

    def clear(self, offset: int, count: int) -> None:
        """Make a hole: bytes up to the end of a chunk take no memory any more."""
        end = offset + count
        for index in [index for index in self.chunks if offset < (index + 1) * CHUNK and index * CHUNK < end]:
            chunk = self.chunks[index]
            first, last = max(0, offset - index * CHUNK), min(len(chunk), end - index * CHUNK)
            if last < len(chunk):
                chunk[first:last] = bytes(last - first)
                continue
            self.allocated -= max(0, len(chunk) - first)
            del chunk[first:]
            if not chunk:
                del self.chunks[index]

    def allocate(self, offset: int, count: int) -> None:
        """Take the memory of a range, of which ``growth`` says how much it is."""
        index, at = divmod(offset, CHUNK)
        while count:
            part = min(count, CHUNK - at)
            chunk = self.chunks.setdefault(index, bytearray())
            more = max(0, at + part - len(chunk))
            chunk.extend(bytes(more))
            self.allocated += more
            count -= part
            index, at = index + 1, 0

    def seek(self, offset: int, *, hole: bool) -> int | None:
        """Where data or a hole begin, not before ``offset``, which is before the end; None if there
        are no data. A chunk is data as far as it is stored.
        """
        if hole:
            index, at = divmod(offset, CHUNK)
            while at < len(self.chunks.get(index, b"")):
                at = len(self.chunks[index])
                if at == CHUNK:
                    index, at = index + 1, 0
            return min(self.size, index * CHUNK + at)
        for index in sorted(self.chunks):
            begin, end = index * CHUNK, index * CHUNK + len(self.chunks[index])
            if begin < end > offset:
                start = max(begin, offset)
                return start if start < self.size else None
        return None

    def truncate(self, size: int) -> None:
        """Set the size; a larger size adds a hole."""
        if size < self.size:
            last, at = divmod(size, CHUNK)
            for index in [index for index in self.chunks if index >= last]:
                keep = at if index == last else 0
                self.allocated -= max(0, len(self.chunks[index]) - keep)
                del self.chunks[index][keep:]
                if not keep:
                    del self.chunks[index]
        self.size = size
