"""Requests of FUSE, as a kernel or a hostile one sends them. An input is a list of requests: the opcode,
the node id, and for each field a byte that chooses a value (``VALUES``); 0xFF begins a frame that is
taken as it stands.

The only legal outcomes:

* a request is answered once, with as many bytes as its header says and an errno of Linux or none; one
  that is never answered (FORGET and its like) is not;
* ``Malformed``, and nothing else, for what is not even a header with its length;
* nothing is logged as a defect of the server;
* at the end every node and file was given back, and the budgets are whole.
"""

from __future__ import annotations

import logging
from typing import Any

from tests.support.fuse_kernel import OFFERED, Kernel

from ninep.drivers.memory import MemoryDriver
from ninep.fuse.table import SILENT
from ninep.linux import XATTR_SIZE_MAX, Errno
from ninep.server.limits import Limits
from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec
from ninep.wire.fuse import REQUESTS, Malformed, Opcode

NAME = "fuse"
SESSION = False
LONGEST = 512

OPCODES = list(Opcode)
VALUES = (
    *range(9), 16, 24, 40, 64, 100, 0o102, 0o100644, 0o755, 255, 256, 4095, 4096, 65535, XATTR_SIZE_MAX, 1 << 20,
    (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 999_999_999, 1_000_000_000,
)  # fmt: skip
"""What numbers are: small ones are node ids and handles too."""
NAMES = (b"a", b"b", b"dir", b"", b".", b"..", b"a/b", b"x" * 255, b"x" * 256, b"user.a", b"security.capability")
WIDTHS = {"H": 16, "I": 32, "Q": 64, "q": 64}
RAW = 0xFF
LIMITS = Limits(msize=8192, fids=40, open_files=20, directories=3, locks=20, in_flight=8)


class _Defects(logging.Handler):
    """What the server says of itself."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))


_defects = _Defects()


def begin() -> None:
    """Listen to the log."""
    logging.getLogger("ninep.server").addHandler(_defects)


def finish() -> None:
    """No longer."""
    logging.getLogger("ninep.server").removeHandler(_defects)


class _Input:
    """The bytes of an input, one after the other; zeros behind its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, code: str) -> int:
        value = VALUES[self.byte() % len(VALUES)] & (1 << WIDTHS[code]) - 1
        return value - (1 << 64) if code == "q" and value >> 63 else value

    def fields(self, opcode: Opcode) -> list[Any]:
        form = REQUESTS[opcode]
        fields: list[Any] = [self.number(code) for code in form.numbers]
        fields += [NAMES[self.byte() % len(NAMES)] for _ in range(form.strings)]
        if form.data:
            fields.append(self.take(self.byte() % 64))
        return fields


def try_one(data: bytes) -> None:
    """Run one input. An exception is a finding."""
    kernel = Kernel(MemoryDriver(capacity=1 << 20, inodes=50, clock=lambda: 0), limits=LIMITS)
    kernel.init()
    run(kernel, data)


def run(kernel: Kernel, data: bytes) -> None:
    """What a kernel that has mounted asks, and its end."""
    _defects.found.clear()
    made = _Input(data)
    while made:
        number = made.byte()
        if number == RAW:
            _raw(kernel, made.take(made.byte()))
        else:
            _one(kernel, OPCODES[number % len(OPCODES)], made)
        while kernel.dispatcher.forget_some():
            pass
    kernel.run_threads()
    assert not _defects.found, "\n".join(_defects.found)
    kernel.end()


def _one(kernel: Kernel, opcode: Opcode, made: _Input) -> None:
    kernel.uid = kernel.gid = (made.byte() % 3) * 500
    unique = kernel.send(opcode, made.byte() % 12, *made.fields(opcode))
    if opcode in SILENT:
        assert unique not in kernel.replies, f"{opcode.name} was answered"
    else:
        kernel.run_threads()
        waits = any(one.unique == unique for one in kernel.dispatcher.waiting)
        assert (unique in kernel.replies) != waits, f"{opcode.name} was not answered once"
    _check(kernel)
    if opcode in {Opcode.INIT, Opcode.DESTROY}:
        kernel.close_sessions()
        if not kernel.dispatcher.session.minor:
            kernel.init()


def _raw(kernel: Kernel, frame: bytes) -> None:
    try:
        kernel.send_frame(frame)
    except Malformed:
        return
    kernel.run_threads()
    _check(kernel)
    kernel.close_sessions()
    if not kernel.dispatcher.session.minor:
        kernel.ask(Opcode.INIT, 0, f.MAJOR, f.MINOR, 0, OFFERED & 0xFFFFFFFF, b"")


def _check(kernel: Kernel) -> None:
    for whole in kernel.replies.values():
        size, error, _ = codec.unpack_out_header(whole)
        assert size == len(whole), "a length that is not the reply's"
        assert not error or -error in Errno._value2member_map_, f"errno {-error}"
    kernel.replies.clear()
