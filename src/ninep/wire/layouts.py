"""Parts of messages that have more than one field: stat records and directory entries; sizes of
headers; and the error for what does not match its type.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ninep.linux import NO_ID
from ninep.wire.modes import Encoding
from ninep.wire.types import Buffer, Dirent, Qid, Stat

HEADER_SIZE = 7
IOHDRSZ = 24  # the header that Linux and QEMU subtract from msize for Tread and Twrite payloads
READ_HEADER = 11  # size[4] type[1] tag[2] count[4]
WRITE_HEADER = 23  # of Twrite: size[4] type[1] tag[2] fid[4] offset[8] count[4]
DIRENT_SIZE = 24  # qid[13] offset[8] type[1] len[2]
# type[2] dev[4] qid[13] mode[4] atime[4] mtime[4] length[8] and four string lengths (stat(5)),
# without the size[2] in front
STAT_BASE = 47

header = struct.Struct("<IBH").unpack_from
"""(size, type, tag) of the frame at an offset: ``header(buffer, offset)``."""

io_reply = struct.Struct("<IBHI").pack
"""The first 11 bytes of Rread, and the whole of Rwrite: ``io_reply(size, type, tag, count)``."""


class Malformed(ValueError):
    """The body of a message does not match its type."""


_STAT_FIXED = struct.Struct("<HHIBIQIIIQ")  # its own size, then type .. length
_U16 = struct.Struct("<H")
_NO_IDS = (NO_ID,) * 3


def pack_stat(stat: Stat, encoding: Encoding) -> bytes:
    """A stat record with its ``size[2]`` in front, as in the data of a directory (stat(5))."""
    strings = (stat.name, stat.uid, stat.gid, stat.muid, stat.extension)[: encoding.strings]
    body = b"".join([_U16.pack(len(text)) + text for text in strings])
    if encoding.unix_fields:
        body += encoding.ids.pack(stat.n_uid, stat.n_gid, stat.n_muid)
    size = _STAT_FIXED.size - 2 + len(body)
    return _STAT_FIXED.pack(size, stat.type, stat.dev, *stat.qid, stat.mode, stat.atime, stat.mtime, stat.length) + body


def unpack_stat(buffer: Buffer, start: int, end: int, encoding: Encoding) -> tuple[Stat, int]:
    """The record at ``start``, and the offset of its end. ``Malformed`` if it is not a whole
    record.
    """
    try:
        size, kind, dev, qtype, version, path, mode, atime, mtime, length = _STAT_FIXED.unpack_from(buffer, start)
        stop = start + 2 + size
        if stop > end:
            raise Malformed("stat record over the end")
        position = start + _STAT_FIXED.size
        strings = []
        for _ in range(encoding.strings):
            (count,) = _U16.unpack_from(buffer, position)
            strings.append(bytes(buffer[position + 2 : position + 2 + count]))
            position += 2 + count
        ids = encoding.ids.unpack_from(buffer, position)
    except struct.error as error:
        raise Malformed(f"stat record: {error}") from None
    if position + encoding.ids.size != stop:
        raise Malformed("stat record: wrong size")
    qid = Qid(qtype, version, path)
    if not ids:
        strings.append(b"")
    return Stat._make((kind, dev, qid, mode, atime, mtime, length, *strings, *(ids or _NO_IDS))), stop


_DIRENT = struct.Struct("<BIQQBH").pack
LONG_NAMES = "left out of listings: names of more than 255 bytes, which Linux's client cannot take, such as one of %d bytes that begins with %r"
"""Log message, written once per export."""


def pack_dirents(entries: Sequence[Dirent], room: int, longest: int = 0xFFFF) -> tuple[list[bytes], int]:
    """Pack as many whole entries as fit in ``room`` bytes. Returns the buffers and the number of
    entries consumed.

    An entry whose name is longer than ``longest`` bytes is consumed and left out. The server passes
    NAME_MAX: Linux's client has a buffer of 256 bytes for a name, and discards the rest of a reply
    after a longer one (fs/9p/vfs_dir.c, net/9p/protocol.c p9dirent_read).
    """
    pieces: list[bytes] = []
    add = pieces.append
    pack = _DIRENT
    taken = 0
    for qid_type, version, path, cookie, kind, name in entries:
        length = len(name)
        if length > longest:
            taken += 1
            continue
        room -= 24 + length
        if room < 0:
            break
        add(pack(qid_type, version, path, cookie, kind, length))
        add(name)
        taken += 1
    return pieces, taken


_DIRENT_HEAD = struct.Struct("<BIQQBH").unpack_from


def unpack_dirents(data: Buffer) -> list[Dirent]:
    """The entries of an Rreaddir. ``Malformed`` if the last one is incomplete."""
    data = bytes(data)
    entries = []
    position, end = 0, len(data)
    while position < end:
        try:
            *head, length = _DIRENT_HEAD(data, position)
        except struct.error:
            raise Malformed("directory entry cut off") from None
        position += DIRENT_SIZE + length
        if position > end:
            raise Malformed("directory entry cut off")
        entries.append(Dirent._make((*head, data[position - length : position])))
    return entries
