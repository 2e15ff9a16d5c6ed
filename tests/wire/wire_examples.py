"""The bytes of every message, written by hand from intro(5), the 9P2000.u draft and the kernel's
net/9p/client.c.

Hex digits with any spaces, and ASCII between quotes. The tag is 0x0302 throughout, so its bytes are
``0203``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ninep.wire import messages as m
from ninep.wire.types import Attributes, Qid, Stat, Statfs

TAG = 0x0302

FILE = Qid(0x00, 1, 2)
FILE_QID = "00 01000000 0200000000000000"
FOLDER = Qid(0x80, 7, 0x1122334455667788)
FOLDER_QID = "80 07000000 8877665544332211"

STAT = Stat(1, 2, Qid(0, 3, 4), 0o644, 5, 6, 7, b"f", b"u", b"g", b"m", b"", 1000, 100, 1000)
PLAIN_STAT = Stat(1, 2, Qid(0, 3, 4), 0o644, 5, 6, 7, b"f", b"u", b"g", b"m")
STAT_FIXED = "0100 02000000 00 03000000 0400000000000000 a4010000 05000000 06000000 0700000000000000"
STAT_NAMES = "0100 'f' 0100 'u' 0100 'g' 0100 'm'"

UNTOUCHED = Stat(
    0xFFFF,
    0xFFFFFFFF,
    Qid(0xFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF),
    0xFFFFFFFF,
    0xFFFFFFFF,
    0xFFFFFFFF,
    0xFFFFFFFFFFFFFFFF,
)
UNTOUCHED_BYTES = (
    "ffff ffffffff ff ffffffff ffffffffffffffff ffffffff ffffffff ffffffff ffffffffffffffff 0000 0000 0000 0000"
)


def octets(text: str) -> bytes:
    """``"0200 'ab'"`` is ``b"\\x02\\x00ab"``."""
    pieces = re.split(r"'([^']*)'", text)
    return b"".join(piece.encode() if i % 2 else bytes.fromhex(piece) for i, piece in enumerate(pieces))


class Example(NamedTuple):
    message: m.Message
    extended: bytes
    plain: bytes
    plain_message: m.Message
    """The message for the plain bytes: fields that 9P2000 lacks have their defaults."""

    def __str__(self) -> str:
        return type(self.message).__name__


def _example(message: m.Message, extended: str, plain: str = "", plain_message: m.Message | None = None) -> Example:
    return Example(message, octets(extended), octets(plain or extended), plain_message or message)


EXAMPLES = [
    _example(m.Tversion(8192, b"9P2000.L"), "15000000 64 0203 00200000 0800 '9P2000.L'"),
    _example(m.Rversion(8192, b"unknown"), "14000000 65 0203 00200000 0700 'unknown'"),
    _example(
        m.Tauth(5, b"joe", b"home", 1000),
        "1a000000 66 0203 05000000 0300 'joe' 0400 'home' e8030000",
        "16000000 66 0203 05000000 0300 'joe' 0400 'home'",
        m.Tauth(5, b"joe", b"home"),
    ),
    _example(m.Rauth(Qid(8, 1, 2)), "14000000 67 0203 08 01000000 0200000000000000"),
    _example(
        m.Tattach(1, m.NOFID, b"", b"/", 0),
        "18000000 68 0203 01000000 ffffffff 0000 0100 '/' 00000000",
        "14000000 68 0203 01000000 ffffffff 0000 0100 '/'",
        m.Tattach(1, m.NOFID, b"", b"/"),
    ),
    _example(m.Rattach(FOLDER), f"14000000 69 0203 {FOLDER_QID}"),
    _example(
        m.Rerror(b"i/o error", 5),
        "16000000 6b 0203 0900 'i/o error' 05000000",
        "12000000 6b 0203 0900 'i/o error'",
        m.Rerror(b"i/o error"),
    ),
    _example(m.Rlerror(2), "0b000000 07 0203 02000000"),
    _example(m.Tflush(0x1234), "09000000 6c 0203 3412"),
    _example(m.Rflush(), "07000000 6d 0203"),
    _example(m.Twalk(1, 2, [b"usr", b"x"]), "19000000 6e 0203 01000000 02000000 0200 0300 'usr' 0100 'x'"),
    _example(m.Twalk(1, 2, []), "11000000 6e 0203 01000000 02000000 0000"),
    _example(m.Rwalk([FOLDER, FILE]), f"23000000 6f 0203 0200 {FOLDER_QID} {FILE_QID}"),
    _example(m.Rwalk([]), "09000000 6f 0203 0000"),
    _example(m.Tclunk(9), "0b000000 78 0203 09000000"),
    _example(m.Rclunk(), "07000000 79 0203"),
    _example(m.Topen(1, 0x11), "0c000000 70 0203 01000000 11"),
    _example(m.Ropen(FILE, 8168), f"18000000 71 0203 {FILE_QID} e81f0000"),
    _example(m.Tlopen(1, 0o100002), "0f000000 0c 0203 01000000 02800000"),
    _example(m.Rlopen(FOLDER, 0), f"18000000 0d 0203 {FOLDER_QID} 00000000"),
    _example(
        m.Tcreate(1, b"s", 0x02000000 | 0o777, 0, b"to"),
        "17000000 72 0203 01000000 0100 's' ff010002 00 0200 'to'",
        "13000000 72 0203 01000000 0100 's' ff010002 00",
        m.Tcreate(1, b"s", 0x02000000 | 0o777, 0),
    ),
    _example(
        m.Tcreate(1, b"f", 0o644, 1, b""),
        "15000000 72 0203 01000000 0100 'f' a4010000 01 0000",
        "13000000 72 0203 01000000 0100 'f' a4010000 01",
    ),
    _example(m.Rcreate(FILE, 8168), f"18000000 73 0203 {FILE_QID} e81f0000"),
    _example(
        m.Tlcreate(1, b"new", 0o101, 0o100644, 100), "1c000000 0e 0203 01000000 0300 'new' 41000000 a4810000 64000000"
    ),
    _example(m.Rlcreate(FILE, 4096), f"18000000 0f 0203 {FILE_QID} 00100000"),
    _example(m.Tread(1, (1 << 63) - 1, 4096), "17000000 74 0203 01000000 ffffffffffffff7f 00100000"),
    _example(m.Rread(b"data"), "0f000000 75 0203 04000000 'data'"),
    _example(m.Rread(b""), "0b000000 75 0203 00000000"),
    _example(m.Twrite(1, 256, b"hi"), "19000000 76 0203 01000000 0001000000000000 02000000 'hi'"),
    _example(m.Rwrite(2), "0b000000 77 0203 02000000"),
    _example(m.Tfsync(1, 1), "0f000000 32 0203 01000000 01000000"),
    _example(m.Rfsync(), "07000000 33 0203"),
    _example(m.Treaddir(1, 0, 8168), "17000000 28 0203 01000000 0000000000000000 e81f0000"),
    _example(
        m.Rreaddir(octets(f"{FOLDER_QID} 0100000000000000 04 0100 '.'")),
        f"24000000 29 0203 19000000 {FOLDER_QID} 0100000000000000 04 0100 '.'",
    ),
    _example(m.Tmkdir(1, b"dir", 0o40755, 0), "18000000 48 0203 01000000 0300 'dir' ed410000 00000000"),
    _example(m.Rmkdir(FOLDER), f"14000000 49 0203 {FOLDER_QID}"),
    _example(m.Tsymlink(1, b"ln", b"a/b", 5), "18000000 10 0203 01000000 0200 'ln' 0300 'a/b' 05000000"),
    _example(m.Rsymlink(Qid(2, 1, 2)), "14000000 11 0203 02 01000000 0200000000000000"),
    _example(
        m.Tmknod(1, b"null", 0o20666, 1, 3, 0),
        "21000000 12 0203 01000000 0400 'null' b6210000 01000000 03000000 00000000",
    ),
    _example(m.Rmknod(FILE), f"14000000 13 0203 {FILE_QID}"),
    _example(m.Tlink(1, 2, b"h"), "12000000 46 0203 01000000 02000000 0100 'h'"),
    _example(m.Rlink(), "07000000 47 0203"),
    _example(m.Trename(2, 1, b"h"), "12000000 14 0203 02000000 01000000 0100 'h'"),
    _example(m.Rrename(), "07000000 15 0203"),
    _example(m.Trenameat(1, b"a", 2, b"bb"), "16000000 4a 0203 01000000 0100 'a' 02000000 0200 'bb'"),
    _example(m.Rrenameat(), "07000000 4b 0203"),
    _example(m.Tunlinkat(1, b"d", 0x200), "12000000 4c 0203 01000000 0100 'd' 00020000"),
    _example(m.Runlinkat(), "07000000 4d 0203"),
    _example(m.Tremove(1), "0b000000 7a 0203 01000000"),
    _example(m.Rremove(), "07000000 7b 0203"),
    _example(m.Tstat(1), "0b000000 7c 0203 01000000"),
    _example(
        m.Rstat(STAT),
        f"4c000000 7d 0203 4300 4100 {STAT_FIXED} {STAT_NAMES} 0000 e8030000 64000000 e8030000",
        f"3e000000 7d 0203 3500 3300 {STAT_FIXED} {STAT_NAMES}",
        m.Rstat(PLAIN_STAT),
    ),
    _example(
        m.Twstat(1, UNTOUCHED),
        f"4c000000 7e 0203 01000000 3f00 3d00 {UNTOUCHED_BYTES} 0000 ffffffff ffffffff ffffffff",
        f"3e000000 7e 0203 01000000 3100 2f00 {UNTOUCHED_BYTES}",
    ),
    _example(m.Rwstat(), "07000000 7f 0203"),
    _example(m.Tgetattr(1, 0x3FFF), "13000000 18 0203 01000000 ff3f000000000000"),
    _example(
        m.Rgetattr(
            Attributes(
                0x3FFF,
                0,
                1,
                2,
                0o100644,
                1000,
                100,
                3,
                0x0801,
                5,
                4096,
                8,
                11,
                12,
                13,
                14,
                15,
                16,
                -1,
                999_999_999,
                9,
                10,
            )
        ),
        f"a0000000 19 0203 ff3f000000000000 {FILE_QID} a4810000 e8030000 64000000"
        "0300000000000000 0108000000000000 0500000000000000 0010000000000000 0800000000000000"
        "0b00000000000000 0c00000000000000 0d00000000000000 0e00000000000000 0f00000000000000 1000000000000000"
        "ffffffffffffffff ffc99a3b00000000 0900000000000000 0a00000000000000",
    ),
    _example(
        m.Tsetattr(1, 0x1FF, 0o100600, 1000, 100, 3, -2, 5, 6, 7),
        "43000000 1a 0203 01000000 ff010000 80810000 e8030000 64000000 0300000000000000"
        "feffffffffffffff 0500000000000000 0600000000000000 0700000000000000",
    ),
    _example(m.Rsetattr(), "07000000 1b 0203"),
    _example(m.Treadlink(1), "0b000000 16 0203 01000000"),
    _example(m.Rreadlink(b"a/b"), "0c000000 17 0203 0300 'a/b'"),
    _example(m.Tstatfs(1), "0b000000 08 0203 01000000"),
    _example(
        m.Rstatfs(Statfs(0x01021997, 4096, 3, 2, 1, 6, 5, 4, 255)),
        "43000000 09 0203 97190201 00100000 0300000000000000 0200000000000000 0100000000000000"
        "0600000000000000 0500000000000000 0400000000000000 ff000000",
    ),
    _example(m.Txattrwalk(1, 2, b"user.x"), "17000000 1e 0203 01000000 02000000 0600 'user.x'"),
    _example(m.Rxattrwalk(5), "0f000000 1f 0203 0500000000000000"),
    _example(m.Txattrcreate(1, b"user.x", 5, 1), "1f000000 20 0203 01000000 0600 'user.x' 0500000000000000 01000000"),
    _example(m.Rxattrcreate(), "07000000 21 0203"),
    _example(
        m.Tlock(1, 1, 1, 10, 0, 77, b"vm"),
        "28000000 34 0203 01000000 01 01000000 0a00000000000000 0000000000000000 4d000000 0200 'vm'",
    ),
    _example(m.Rlock(1), "08000000 35 0203 01"),
    _example(
        m.Tgetlock(1, 2, 10, 20, 77, b"vm"),
        "24000000 36 0203 01000000 02 0a00000000000000 1400000000000000 4d000000 0200 'vm'",
    ),
    _example(
        m.Rgetlock(1, 10, 20, 77, b"vm"), "20000000 37 0203 01 0a00000000000000 1400000000000000 4d000000 0200 'vm'"
    ),
]
