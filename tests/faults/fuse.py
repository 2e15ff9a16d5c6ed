"""A filesystem in memory that the kernel mounts, and that fails or waits as it is told: real errors
of a real filesystem.

    with Faulty(folder) as disk:
        disk.fail(changing=3, code=Errno.EIO)       # the third request from now that changes anything
        disk.hold("WRITE"); ...; disk.go()

Run as a program it is the server behind ``/dev/fuse`` (its protocol: linux/fuse.h, version 7.31),
told what to do over its standard input. One thread, no caches, no O_TMPFILE, hard links and user
attributes. Needs root.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import stat
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

OPCODES = {
    "LOOKUP": 1, "FORGET": 2, "GETATTR": 3, "SETATTR": 4, "READLINK": 5, "SYMLINK": 6, "MKNOD": 8, "MKDIR": 9, "UNLINK": 10, "RMDIR": 11,
    "RENAME": 12, "LINK": 13, "OPEN": 14, "READ": 15, "WRITE": 16, "STATFS": 17, "RELEASE": 18, "FSYNC": 20, "SETXATTR": 21, "GETXATTR": 22,
    "LISTXATTR": 23, "REMOVEXATTR": 24, "FLUSH": 25, "INIT": 26, "OPENDIR": 27, "READDIR": 28, "RELEASEDIR": 29, "FSYNCDIR": 30, "CREATE": 35,
    "INTERRUPT": 36, "DESTROY": 38, "BATCH_FORGET": 42, "RENAME2": 45, "TMPFILE": 51,
}  # fmt: skip
NAMES = {number: name for name, number in OPCODES.items()}
CHANGING = {
    "SETATTR",
    "SYMLINK",
    "MKNOD",
    "MKDIR",
    "UNLINK",
    "RMDIR",
    "RENAME",
    "RENAME2",
    "LINK",
    "WRITE",
    "SETXATTR",
    "REMOVEXATTR",
    "CREATE",
}
SILENT = {"FORGET", "BATCH_FORGET", "INTERRUPT"}
ROOT = 1


class Faulty:
    """The mount, from ``with`` to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        import pytest

        self.folder.mkdir(exist_ok=True)
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._line() != "ready":
            assert self._server.stderr
            said = self._server.stderr.read().strip().splitlines()
            self.__exit__()
            pytest.skip(f"no FUSE here: {said[-1:]}")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=False, capture_output=True)
        self.die()
        for pipe in (self._server.stdin, self._server.stdout, self._server.stderr):
            if pipe is not None:
                pipe.close()

    def die(self) -> None:
        """The program behind the mount is gone: ENOTCONN from now on."""
        self._server.send_signal(signal.SIGKILL)
        self._server.wait()

    def fail(self, *, changing: int, code: int) -> None:
        """The n-th request from now that changes anything fails, once."""
        self._tell(f"fail {changing} {int(code)}")

    def fail_all(self, verb: str, code: int) -> None:
        """Every request of a kind fails, until ``calm``."""
        self._tell(f"all {OPCODES[verb]} {int(code)}")

    def failed(self) -> str:
        """What was hit by ``fail``; empty if nothing was. And nothing fails any more."""
        return self._tell("failed")

    def hold(self, verb: str) -> None:
        """Requests of a kind are not answered, until ``go``."""
        self._tell(f"hold {OPCODES[verb]}")

    def held(self) -> int:
        """How many wait."""
        return int(self._tell("held"))

    def go(self) -> None:
        """Answer what waits, and wait no more."""
        self._tell("go")

    def stop(self) -> None:
        """The program takes no request from the kernel, until ``resume``."""
        self._server.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """See ``stop``."""
        self._server.send_signal(signal.SIGCONT)

    def lose(self) -> None:
        """From now on files can be made without a name (O_TMPFILE), and a name that they are given
        goes when they are closed.
        """
        self._tell("lose")

    def lost(self) -> str:
        """How many names went."""
        return self._tell("lost")

    def _tell(self, words: str) -> str:
        assert self._server.stdin
        self._server.stdin.write(words + "\n")
        self._server.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._server.stdout
        return self._server.stdout.readline().strip()


# -- the program -------------------------------------------------------------------------------------------------------


@dataclass
class Node:
    number: int
    mode: int
    uid: int
    gid: int
    data: bytearray = field(default_factory=bytearray)
    children: dict[bytes, int] = field(default_factory=dict)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    links: int = 1
    rdev: int = 0
    nameless: bool = False
    times: list[int] = field(default_factory=lambda: [time.time_ns()] * 3)

    def attr(self) -> bytes:
        atime, mtime, ctime = self.times
        size = len(self.data)
        links = 2 if stat.S_ISDIR(self.mode) else self.links
        seconds = [moment // 10**9 for moment in (atime, mtime, ctime)]
        rest = [moment % 10**9 for moment in (atime, mtime, ctime)]
        return struct.pack(
            "<6Q10I",
            self.number,
            size,
            (size + 511) // 512,
            *seconds,
            *rest,
            self.mode,
            links,
            self.uid,
            self.gid,
            self.rdev,
            4096,
            0,
        )

    def entry(self) -> bytes:
        return struct.pack("<4Q2I", self.number, 0, 0, 0, 0, 0) + self.attr()

    def touch(self, *, data: bool = False) -> None:
        self.times[2] = time.time_ns()
        if data:
            self.times[1] = self.times[2]


class Filesystem:
    """What is stored, and a method for each request."""

    def __init__(self) -> None:
        self.nodes = {ROOT: Node(ROOT, stat.S_IFDIR | 0o755, 0, 0)}
        self.owner = (0, 0)
        self.losing = False
        self.lost = 0

    def answer(self, name: str, number: int, body: bytes) -> bytes:
        method = getattr(self, name.lower(), None)
        if method is None:
            raise OSError(errno.ENOSYS, name)
        reply: bytes = method(self.nodes.get(number), body)
        return reply

    def _child(self, node: Node, name: bytes) -> Node:
        if name not in node.children:
            raise OSError(errno.ENOENT, "")
        return self.nodes[node.children[name]]

    def _make(self, parent: Node, name: bytes, mode: int) -> Node:
        if name in parent.children:
            raise OSError(errno.EEXIST, "")
        made = Node(max(self.nodes) + 1, mode, *self.owner)
        self.nodes[made.number] = made
        parent.children[name] = made.number
        parent.touch(data=True)
        return made

    def init(self, _: Any, body: bytes) -> bytes:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 1 << 5, 16, 12, 131072, 1, 0, 0, *[0] * 8)

    def lookup(self, node: Node, body: bytes) -> bytes:
        return self._child(node, body[:-1]).entry()

    def getattr(self, node: Node, _: bytes) -> bytes:
        return struct.pack("<Q2I", 0, 0, 0) + node.attr()

    def setattr(self, node: Node, body: bytes) -> bytes:
        valid, _, _, size, _, atime, mtime, _, ansec, mnsec, _, mode, _, uid, gid, _ = struct.unpack(
            "<2I6Q8I", body[:88]
        )
        if valid & 1:
            node.mode = stat.S_IFMT(node.mode) | mode & 0o7777
        node.uid, node.gid = uid if valid & 2 else node.uid, gid if valid & 4 else node.gid
        if valid & 8:
            node.data = node.data[:size].ljust(size, b"\0")
        if valid & 16:
            node.times[0] = atime * 10**9 + ansec
        if valid & 32:
            node.times[1] = mtime * 10**9 + mnsec
        node.touch(data=bool(valid & 8))
        return self.getattr(node, b"")

    def readlink(self, node: Node, _: bytes) -> bytes:
        return bytes(node.data)

    def symlink(self, node: Node, body: bytes) -> bytes:
        name, target, _ = body.split(b"\0")
        made = self._make(node, name, stat.S_IFLNK | 0o777)
        made.data = bytearray(target)
        return made.entry()

    def mknod(self, node: Node, body: bytes) -> bytes:
        made = self._make(node, body[16:-1], int.from_bytes(body[:4], "little"))
        made.rdev = int.from_bytes(body[4:8], "little")
        return made.entry()

    def mkdir(self, node: Node, body: bytes) -> bytes:
        return self._make(node, body[8:-1], stat.S_IFDIR | int.from_bytes(body[:4], "little")).entry()

    def unlink(self, node: Node, body: bytes) -> bytes:
        gone = self._child(node, body[:-1])
        gone.links -= 1
        gone.touch()
        del node.children[body[:-1]]
        node.touch(data=True)
        return b""

    def rmdir(self, node: Node, body: bytes) -> bytes:
        if self._child(node, body[:-1]).children:
            raise OSError(errno.ENOTEMPTY, "")
        return self.unlink(node, body)

    def rename(self, node: Node, body: bytes, skip: int = 8) -> bytes:
        target = self.nodes[int.from_bytes(body[:8], "little")]
        old, new, _ = body[skip:].split(b"\0")
        moved = self._child(node, old)
        if new in target.children:
            replaced = self.nodes[target.children[new]]
            if replaced is moved:
                return b""
            if replaced.children:
                raise OSError(errno.ENOTEMPTY, "")
            replaced.links -= 1
        del node.children[old]
        target.children[new] = moved.number
        for one in (moved, node, target):
            one.touch(data=one is not moved)
        return b""

    def rename2(self, node: Node, body: bytes) -> bytes:
        if int.from_bytes(body[8:12], "little"):
            raise OSError(errno.EINVAL, "flags")
        return self.rename(node, body, 16)

    def link(self, node: Node, body: bytes) -> bytes:
        target = self.nodes[int.from_bytes(body[:8], "little")]
        if body[8:-1] in node.children:
            raise OSError(errno.EEXIST, "")
        node.children[body[8:-1]] = target.number
        target.links += 1
        target.touch()
        return target.entry()

    def open(self, _: Node, __: bytes) -> bytes:
        return struct.pack("<Q2I", 0, 0, 0)

    def opendir(self, node: Node, body: bytes) -> bytes:
        return self.open(node, body)

    def create(self, node: Node, body: bytes) -> bytes:
        mode = int.from_bytes(body[4:8], "little")
        return self._make(node, body[16:-1], stat.S_IFREG | mode & 0o7777).entry() + self.open(node, b"")

    def read(self, node: Node, body: bytes) -> bytes:
        _, offset, size = struct.unpack("<2QI", body[:20])
        return bytes(node.data[offset : offset + size])

    def write(self, node: Node, body: bytes) -> bytes:
        _, offset, size = struct.unpack("<2QI", body[:20])
        node.data.extend(bytes(max(0, offset - len(node.data))))
        node.data[offset : offset + size] = body[40 : 40 + size]
        node.touch(data=True)
        return struct.pack("<2I", size, 0)

    def statfs(self, _: Node, __: bytes) -> bytes:
        return struct.pack("<5Q10I", 1000, 500, 500, 1000, 500, 4096, 255, 4096, 0, *[0] * 6)

    def flush(self, _: Node, __: bytes) -> bytes:
        return b""

    releasedir = fsync = fsyncdir = destroy = flush

    def tmpfile(self, _: Node, body: bytes) -> bytes:
        if not self.losing:
            raise OSError(errno.EOPNOTSUPP, "")
        mode = int.from_bytes(body[4:8], "little")
        made = Node(max(self.nodes) + 1, stat.S_IFREG | mode & 0o7777, *self.owner, links=0, nameless=True)
        self.nodes[made.number] = made
        return made.entry() + self.open(made, b"")

    def release(self, node: Node, _: bytes) -> bytes:
        if node is not None and node.nameless:
            node.nameless = False
            for directory in self.nodes.values():
                for name in [name for name, number in directory.children.items() if number == node.number]:
                    del directory.children[name]
                    self.lost += 1
        return b""

    def readdir(self, node: Node, body: bytes) -> bytes:
        _, offset, size = struct.unpack("<2QI", body[:20])
        entries = [(b".", node.number), (b"..", ROOT), *node.children.items()]
        data = b""
        for place, (name, number) in enumerate(entries[offset:], offset + 1):
            kind = stat.S_IFMT(self.nodes[number].mode) >> 12
            one = struct.pack("<2Q2I", number, place, len(name), kind) + name
            one += b"\0" * (-len(one) % 8)
            if len(data) + len(one) > size:
                break
            data += one
        return data

    def setxattr(self, node: Node, body: bytes) -> bytes:
        size, flags = struct.unpack("<2I", body[:8])
        name, _, value = body[8:].partition(b"\0")
        if (flags == 1 and name in node.xattrs) or (flags == 2 and name not in node.xattrs):
            raise OSError(errno.EEXIST if flags == 1 else errno.ENODATA, "")
        node.xattrs[name] = value[:size]
        node.touch()
        return b""

    def getxattr(self, node: Node, body: bytes) -> bytes:
        name = body[8:-1]
        if name not in node.xattrs:
            raise OSError(errno.ENODATA, "")
        return self._sized(node.xattrs[name], body)

    def listxattr(self, node: Node, body: bytes) -> bytes:
        return self._sized(b"".join(name + b"\0" for name in node.xattrs), body)

    @staticmethod
    def _sized(value: bytes, body: bytes) -> bytes:
        room = int.from_bytes(body[:4], "little")
        if not room:
            return struct.pack("<2I", len(value), 0)
        if len(value) > room:
            raise OSError(errno.ERANGE, "")
        return value

    def removexattr(self, node: Node, body: bytes) -> bytes:
        if body[:-1] not in node.xattrs:
            raise OSError(errno.ENODATA, "")
        del node.xattrs[body[:-1]]
        node.touch()
        return b""


class Program:
    """Requests of the kernel, orders on standard input."""

    def __init__(self, folder: str) -> None:
        self.files = Filesystem()
        self.device = os.open("/dev/fuse", os.O_RDWR)
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"ninep-test", folder.encode(), b"fuse", 2 | 4, options.encode()):
            raise OSError(ctypes.get_errno(), "mount")
        self.countdown, self.code, self.hit = -1, 0, ""
        self.always: dict[int, int] = {}
        self.holding: set[int] = set()
        self.waiting: list[bytes] = []

    def run(self) -> None:
        print("ready", flush=True)
        while True:
            for ready in select.select([self.device, sys.stdin], [], [])[0]:
                if ready is sys.stdin:
                    words = sys.stdin.readline().split()
                    if not words:
                        return
                    print(self.order(*words), flush=True)
                else:
                    try:
                        self.serve(os.read(self.device, 1 << 18))
                    except OSError as error:
                        if error.errno == errno.ENODEV:
                            return
                        raise

    def order(self, word: str, *arguments: str) -> object:
        numbers = [int(text) for text in arguments]
        match word:
            case "fail":
                self.countdown, self.code, self.hit = *numbers, ""  # type: ignore[assignment]
            case "all":
                self.always[numbers[0]] = numbers[1]
            case "failed":
                self.countdown = -1
                self.always.clear()
                return self.hit
            case "lose":
                self.files.losing = True
            case "lost":
                return self.files.lost
            case "hold":
                self.holding.add(numbers[0])
            case "held":
                return len(self.waiting)
            case "go":
                self.holding.clear()
                waiting, self.waiting = self.waiting, []
                for request in waiting:
                    self.serve(request)
        return "done"

    def serve(self, request: bytes) -> None:
        _, opcode, unique, number, uid, gid = struct.unpack("<2I2Q2I", request[:32])
        name = NAMES.get(opcode, "?")
        if name in SILENT:
            return
        if opcode in self.holding:
            self.waiting.append(request)
            return
        self.files.owner = (uid, gid)
        code, reply = 0, b""
        try:
            self._fault(name, opcode)
            reply = self.files.answer(name, number, request[40:])
        except OSError as error:
            code = error.errno or errno.EIO
        try:
            os.write(self.device, struct.pack("<IiQ", 16 + len(reply), -code, unique) + reply)
        except OSError as error:
            if error.errno != errno.ENOENT:  # nobody waits for it any more
                raise

    def _fault(self, name: str, opcode: int) -> None:
        if opcode in self.always:
            self.hit = name
            raise OSError(self.always[opcode], "by order")
        if name in CHANGING and self.countdown > 0:
            self.countdown -= 1
            if not self.countdown:
                self.hit = name
                raise OSError(self.code, "by order")


if __name__ == "__main__":
    Program(sys.argv[1]).run()
