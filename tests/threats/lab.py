"""What every attack is tried on: a served folder with something worth stealing beside it.

::

    base/export          served
    base/export-secret   a sibling whose name begins with the export's
    base/canary          files, folders, links, attributes: none of it may change, none of it may be read

``Lab`` is a real server in a thread (``tests.support.served``) over the real local driver, put
together as ``ninep serve`` does it. At its end it judges, whatever the attack was: the canary is
unchanged, no byte of it came in any reply, a second connection is still answered at once, nothing
unexpected was logged, and everything was given back: fids, open files, attributes, locks, handles.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from tests.support.client import TIMEOUT, Failed, RawClient
from tests.support.served import Served

from ninep.app.build import exports_of
from ninep.app.config import ServerConfig
from ninep.app.exports import ExportConfig
from ninep.errors import TEXTS
from ninep.linux import GETATTR_BASIC, Errno
from ninep.security import MODELS as SECURITY_MODELS
from ninep.server.exports import Layer
from ninep.server.handlers.attach import NOT_REQUIRED
from ninep.server.limits import Limits
from ninep.transport import addresses
from ninep.wire import messages as m

LINUX, UNIX, BASE = DIALECTS = (b"9P2000.L", b"9P2000.u", b"9P2000")
LONG = bool(os.environ.get("NINEP_LONG"))
"""Attack for as long, or as often, as the class of attack asks for; without it, for as long as
there is time in CI.
"""
MODELS = tuple(SECURITY_MODELS)
MAPPED = ("mapped-owner", "mapped-xattr", "mapped-file")
WORDS: dict[str, set[Errno]] = {}
for _code in Errno:
    WORDS.setdefault(TEXTS.get(_code, _code.name), set()).add(_code)
WORDS[NOT_REQUIRED.decode()] = {Errno.ENOENT}


def codes(failure: Failed) -> set[Errno]:
    """The errno of an error reply; in plain 9P2000 all that have those words."""
    return {Errno(failure.code)} if isinstance(failure.code, int) else WORDS[failure.code.partition(": ")[0]]


class Canary:
    """A tree that must stay as it is."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.marker = secrets.token_hex(24).encode()
        """Part of every secret name and every secret content."""
        (top / "dir" / self.marker.decode()).mkdir(parents=True)
        (top / "two").mkdir()
        (top / "two" / "leaf").write_bytes(b"a secret: " + self.marker)
        (top / "file").write_bytes(b"the secret: " + self.marker + b"\n" * 5000)
        (top / "file").chmod(0o640)
        (top / "dir" / "inner").write_bytes(self.marker)
        (top / "program").write_bytes(b"#!/bin/sh\n: " + self.marker)
        (top / "program").chmod(0o6755)
        (top / "link").symlink_to("file")
        os.mkfifo(top / "fifo")
        with suppress(OSError):
            os.setxattr(top / "file", "user.secret", self.marker)
        self._before = self.digest()

    def digest(self) -> dict[str, tuple[Any, ...]]:
        """All that can be told of the tree without changing it."""
        seen = {}
        for path in [self.top, *sorted(self.top.rglob("*"))]:
            found = path.lstat()
            content = b""
            if path.is_symlink():
                content = os.readlink(os.fsencode(path))
            elif path.is_file():
                content = hashlib.sha256(path.read_bytes()).digest()
            size = 0 if path.is_dir() else found.st_size  # ntfs-3g says another one when it has read a directory again
            names = [] if path.is_symlink() else os.listxattr(path)
            attributes = [(name, os.getxattr(path, name)) for name in names]
            seen[str(path)] = (
                found.st_mode, found.st_uid, found.st_gid, found.st_nlink, size, found.st_ino, found.st_rdev,
                found.st_mtime_ns, found.st_ctime_ns, content, attributes,
            )  # fmt: skip
        return seen

    def check(self) -> None:
        """Nothing has changed."""
        now = self.digest()
        assert now.keys() == self._before.keys(), f"entries of the canary: {now.keys() ^ self._before.keys()}"
        for path, before in self._before.items():
            assert now[path] == before, f"{path} was {before}, is {now[path]}"


class Attacker(RawClient):
    """A client that notices when it is told a secret."""

    def __init__(self, sock: socket.socket, secrets: tuple[bytes, ...] = ()) -> None:
        super().__init__(sock)
        self._secrets = secrets

    def receive_frame(self) -> bytes:
        frame = super().receive_frame()
        for secret in self._secrets:
            assert secret not in frame, "a reply has a byte of what is beside the export"
        return frame

    @property
    def linux(self) -> bool:
        return self.dialect == LINUX

    def errors_of(self, message: m.Message) -> set[Errno]:
        """What the server says: nothing if it did as asked, else the errno (in plain 9P2000 all
        that have its words).
        """
        try:
            self.rpc(message)
        except Failed as failure:
            return codes(failure)
        return set()

    def any_reply(self, tag: int) -> None:
        """A request that was sent is answered, whatever with."""
        with suppress(Failed):
            self.reply(tag)

    def refuses(self, message: m.Message, *expected: Errno) -> None:
        """The request fails, with one of these."""
        said = self.errors_of(message)
        assert said & set(expected), f"{message!r}: {said or 'done'} instead of {[code.name for code in expected]}"

    def walk_or_not(self, fid: int, newfid: int, *names: bytes) -> bool:
        """Walk all the way, or do not go at all."""
        try:
            return len(self.rpc(m.Twalk(fid, newfid, list(names))).qids) == len(names)
        except Failed:
            return False


class Records(logging.Handler):
    """What the server logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.INFO:
            self.seen.append(record)

    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.seen]


class Lab(Served):
    """A served folder and its judge. ``base`` is an empty folder of ours."""

    def __init__(
        self,
        base: Path,
        model: str = "passthrough",
        *,
        limits: Limits | None = None,
        loop: str = "uvloop",
        **export: Any,
    ) -> None:
        self.model = model
        self.base = base
        self.top = base / "export"
        self.canary = Canary(base / "canary")
        self.sibling = base / "export-secret"
        self.top.mkdir(exist_ok=True)
        self.sibling.mkdir()
        (self.sibling / "file").write_bytes(self.canary.marker)
        # Its clients come by socketpair(2), of which the kernel says what it says of a unix socket.
        listen = (addresses.parse(f"unix:{base / 'socket'}"),)
        self.settings = ServerConfig([ExportConfig(str(self.top), security_model=model, **export)], listen=listen)
        self.records = Records()
        super().__init__(exports=exports_of(self.settings), limits=limits, loop=loop)
        self.handles_before: set[str] = set()
        self.gone = False
        """The test removed the exported folder: nobody can attach any more, but versions are still
        agreed on.
        """

    def __enter__(self) -> Self:
        log = logging.getLogger("ninep")
        log.addHandler(self.records)
        self._level = log.level
        log.setLevel(logging.INFO)
        super().__enter__()
        self.client().close()  # whatever is made once is made now
        self.wait_until_idle()
        self.handles_before = handles()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        log = logging.getLogger("ninep")
        try:
            if kind is None:
                self.judge()
            super().__exit__(kind, *rest)
        finally:
            log.removeHandler(self.records)
            log.setLevel(self._level)

    def connect(self) -> Attacker:
        """A connection on which nothing was said yet."""
        ours, theirs = socket.socketpair()
        client = Attacker(ours, (self.canary.marker,))
        self._clients.append(client)
        self.call(self.server.adopt(theirs))
        return client

    def client(self, dialect: bytes = LINUX, msize: int = 8192 + 24) -> Attacker:
        """A connection with a session in which fid 0 is the root."""
        client = super().client(dialect, msize)
        assert isinstance(client, Attacker)
        return client

    def put_around(self, *layers: Layer) -> None:
        """Layers around everything that is served, outside of its policies."""
        for export in self.server.exports:
            export.layers = [*export.layers, *layers]

    # -- the judgement

    def judge(self) -> None:
        """See the module."""
        self.alive()
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.wait_until_idle()
        self.check_beside()
        errors = [record.getMessage() for record in self.records.seen if record.levelno >= logging.ERROR]
        assert not errors, errors
        assert not any(record.exc_info for record in self.records.seen)
        self.check_returned()

    def check_beside(self) -> None:
        """Nothing outside the export has changed."""
        self.canary.check()
        assert (self.sibling / "file").read_bytes() == self.canary.marker
        assert os.listdir(self.sibling) == ["file"]

    def alive(self) -> None:
        """A second connection is answered (and one that was not abused sees the root), and the
        server's loop does no more than a second's work before: in time of the processor, not of the
        clock.
        """
        before = self.processor()
        with self.connect() as second:
            second.version()
            if not self.gone:
                second.attach()
                second.rpc(m.Tgetattr(0, GETATTR_BASIC))
        took = self.processor() - before
        assert took < 1.0, f"another client waited for {took:.1f} s of other work"

    def processor(self) -> float:
        """Seconds of a processor that the server's loop has used so far."""
        assert self._thread.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    def check_returned(self) -> None:
        """Budgets are whole, and no handle is left but path handles of the root."""
        budgets, limits = self.server.budgets, self.server.limits
        left = [one.left for one in (budgets.fids, budgets.open_files, budgets.directories, budgets.xattr_bytes)]
        assert left == [limits.all_fids, limits.all_open_files, limits.all_directories, limits.all_xattr_bytes]
        assert len(self.server.admission) == 0
        gc.collect()
        more = handles() - self.handles_before
        assert len(more) <= 1, f"handles left open: {more}"  # a deferred close of the last connection may be among them


def handles() -> set[str]:
    """The descriptors of this process and what they lead to."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.add(f"{number}: {os.readlink(f'/proc/self/fd/{number}')}")
    return found


@contextmanager
def restless(seconds: float = 1e-4) -> Iterator[None]:
    """Threads of this process, the server's among them, take turns fifty times as often as they
    would.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def beside(*loops: Any) -> Iterator[list[BaseException]]:
    """Run host processes' work (functions that take a ``stop`` event) in threads as long as the
    ``with`` lasts. Gives what they fail with.
    """
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(loop: Any) -> None:
        try:
            loop(stop)
        except BaseException as failure:  # noqa: BLE001 - told in the test's thread
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(loop,)) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT)
    assert not failures, failures
