"""What a file system can do, found out by trying it: one row for each capability, with what is done
where it is missing.

``statfs`` tells what kind a file system is, and some kinds (FUSE, NFS) can be anything. So it is
tried, in a directory of its own below the folder, with a few small files.

* Nothing stays: the directory goes at the end, whatever failed. One that a killed process left goes
  with the next probe, once it is an hour old by that file system's own clock.
* ``writes`` false: nothing is written, and what cannot be told without is ``NOT_ASKED``.
* Bounded: what has no answer after ``LIMIT`` seconds is ``NO_ANSWER``. The thread that waits for it
  is left behind, and cleans up when the file system answers.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle, ObjectRef, Stat, Volume, iterate
from ninep.linux import (
    LOCK_WRLCK,
    O_CREAT,
    O_EXCL,
    O_RDWR,
    SEEK_DATA,
    Errno,
)

LIMIT: Final = 10.0
"""Seconds, for all that is tried together."""
PREFIX: Final = b".ninep-probe-"
_OURS: Final = re.compile(rb"\.ninep-probe-[0-9a-f]{16}")
OLD: Final = 3600 * 10**9
"""Nanoseconds after which a directory that a probe left is removed."""

YES: Final = "yes"
NO: Final = "no"
THIS_HOST: Final = "this host only"
"""Locks: the kernel here keeps them, and no other computer learns of them."""
NOT_USED: Final = "not used"
NOT_ASKED: Final = "not asked"
NO_ANSWER: Final = "no answer"

FUSE: Final = "fuse"
_CONTENT: Final = b"content"
_ENTRIES: Final = 48
_BATCH: Final = 256
"""Bytes of a batch of a listing: so small that there are many."""
_PART: Final = 1024
"""The same, for some part of the directory."""
_NO_UTF8: Final = b"\xff\xfe"
_HOLE: Final = 1 << 20
_NUMBERS: Final = 1 << 63
_NANOSECONDS: Final = 1_123_456_789_987_654_321
"""A time that each coarser step than 1 ns makes another one."""


class Found(NamedTuple):
    """One row of the answer."""

    name: str
    answer: str
    """``YES``, or one of the other words above, or what was measured."""
    without: str
    """What is done without it; empty where it is there."""


class Scratch:
    """A directory to try things in."""

    def __init__(self, dir: Handle, volume: Volume) -> None:
        self.dir = dir
        self.volume = volume

    def make(self, name: bytes, content: bytes = _CONTENT) -> Handle:
        """A new file, open for reading and writing."""
        handle = host.open_at(self.dir, name, O_RDWR | O_CREAT | O_EXCL, 0o600)
        if content:
            host.write(handle, content, 0)
        return handle

    def open(self, name: bytes) -> Handle:
        """A file that is there."""
        return host.open_at(self.dir, name, O_RDWR)

    def stat(self, name: bytes) -> Stat:
        """By name."""
        return host.stat_at(self.dir, name)


def _unnamed(scratch: Scratch) -> str:
    """Some programs behind FUSE lose such a file after its close, though it got a name."""
    if scratch.volume.slow:
        return NOT_USED
    handle = host.open_unnamed(scratch.dir, O_RDWR, 0o600)
    try:
        host.write(handle, _CONTENT, 0)
        host.make_link(ObjectRef(handle, NO_HANDLE, b""), scratch.dir, b"unnamed")
    finally:
        host.close(handle)
    return YES if scratch.stat(b"unnamed").st_size == len(_CONTENT) else NO


def _xattrs(scratch: Scratch) -> str:
    handle = scratch.make(b"xattrs")
    try:
        ref = ObjectRef(handle, NO_HANDLE, b"")
        host.set_xattr(ref, b"user.ninep.probe", _CONTENT)
        kept = host.get_xattr(ref, b"user.ninep.probe") == _CONTENT
        return YES if kept and b"user.ninep.probe" in host.list_xattrs(ref) else NO
    finally:
        host.close(handle)


def _rename(scratch: Scratch) -> str:
    host.close(scratch.make(b"new", b"newer content"))
    old = scratch.make(b"old")
    try:
        host.rename(scratch.dir, b"new", scratch.dir, b"old")
        kept = host.read(old, 64, 0) == _CONTENT
    finally:
        host.close(old)
    return YES if kept and scratch.stat(b"old").st_size != len(_CONTENT) else NO


def _locks(scratch: Scratch) -> str:
    """Locks that the kernel keeps by itself for a FUSE file system are in /proc/locks; those that
    it asks the file system for are not.
    """
    one = scratch.make(b"locks")
    try:
        two = scratch.open(b"locks")
        try:
            host.lock(one, LOCK_WRLCK, 0, 8)
            try:
                host.lock(two, LOCK_WRLCK, 4, 8)
            except OSError as error:
                if linux_errno(error) is not Errno.EAGAIN:
                    raise
            else:
                return NO
            return THIS_HOST if scratch.volume.kind == FUSE and _kept_here(host.stat(one).st_ino) else YES
        finally:
            host.close(two)
    finally:
        host.close(one)


def _kept_here(ino: int) -> bool:
    with suppress(OSError), open("/proc/locks", encoding="ascii") as lines:
        return any(line.split()[5].endswith(f":{ino}") for line in lines if len(line.split()) > 5)
    return False


def _cookies(scratch: Scratch) -> str:
    """That of each entry leads to what follows, also when what was read has been removed."""
    host.make_dir(scratch.dir, b"listing", 0o700)
    dir = host.open_path(scratch.dir, b"listing")
    try:
        names = {b"%d-%s" % (number, b"n" * 24) for number in range(_ENTRIES)}
        for name in names:
            host.close(host.open_at(dir, name, O_RDWR | O_CREAT | O_EXCL, 0o600))
        ref = ObjectRef(dir, scratch.dir, b"listing")
        # At first, since the kernel keeps a listing that was read whole.
        return YES if _stays(dir, ref, names) and _leads(ref) else NO
    finally:
        host.close(dir)


def _stays(dir: Handle, ref: ObjectRef, names: set[bytes]) -> bool:
    """A reader removes most of what it was given, is given more, and goes back to where it was: as
    one who has a reply with fewer entries than the host's batch, and ``rm -r``.
    """
    listing = host.open_dir(ref)
    try:
        batch = listing.read(0, _PART)
        removed = batch[: len(batch) * 7 // 8]
        gone = {entry[3] for entry in removed} - {b".", b".."}
        for name in gone:
            host.remove_file(dir, name)
        listing.read(batch[-1][1], _PART)
        seen: list[bytes] = []
        cookie = removed[-1][1]
        while batch := listing.read(cookie, _PART):
            cookie = batch[-1][1]
            seen += [entry[3] for entry in batch]
    finally:
        listing.close()
    rest = [name for name in seen if name not in (b".", b"..")]
    return len(rest) == len(names) - len(gone) and set(rest) == names - gone


def _leads(ref: ObjectRef) -> bool:
    listing, again = host.open_dir(ref), host.open_dir(ref)
    try:
        entries = list(iterate(listing))
        return (
            len({entry[3] for entry in entries}) == len(entries)
            and all(0 < entry[1] < _NUMBERS for entry in entries)
            and all(_same(again.read(entries[at][1], _BATCH), entries[at + 1 :]) for at in range(len(entries))[::-5])
        )
    finally:
        again.close()
        listing.close()


def _same(some: Sequence[tuple[int, int, int, bytes]], wanted: Sequence[tuple[int, int, int, bytes]]) -> bool:
    return [entry[3] for entry in some] == [entry[3] for entry in wanted[: len(some)]] and bool(some or not wanted)


def _times(scratch: Scratch) -> str:
    host.close(scratch.make(b"times"))
    path_handle = host.open_path(scratch.dir, b"times")
    try:
        host.utimes(ObjectRef(path_handle, scratch.dir, b"times"), _NANOSECONDS, _NANOSECONDS)
        kept = host.stat(path_handle).st_mtime_ns
    finally:
        host.close(path_handle)
    for step, name in ((1, "1 ns"), (100, "100 ns"), (10**3, "1 us"), (10**6, "1 ms"), (10**9, "1 s")):
        if kept == _NANOSECONDS // step * step:
            return name
    return "2 s or more" if abs(kept - _NANOSECONDS) < 3 * 10**9 else NO


def _ctime(scratch: Scratch) -> str:
    """Each change of an attribute: the model's own are extended ones where there are such."""
    handle = scratch.make(b"ctime")
    try:
        ref = ObjectRef(handle, NO_HANDLE, b"")
        _pause()
        before = host.stat(handle).st_ctime_ns
        host.set_xattr(ref, b"user.ninep.probe", b"1")
        between = host.stat(handle).st_ctime_ns
        _pause()
        host.set_xattr(ref, b"user.ninep.probe", b"2")
        return YES if before < between < host.stat(handle).st_ctime_ns else NO
    finally:
        host.close(handle)


def _pause() -> None:
    """More than a tick of the kernel."""
    threading.Event().wait(0.03)


def _sparse(scratch: Scratch) -> str:
    handle = scratch.make(b"sparse", b"")
    try:
        host.truncate(handle, 2 * _HOLE)
        host.write(handle, _CONTENT, _HOLE)
        host.sync(handle, datasync=False)
        return YES if 0 < host.seek(handle, 0, SEEK_DATA) <= _HOLE else NO
    finally:
        host.close(handle)


def _links(scratch: Scratch) -> str:
    host.close(scratch.make(b"one"))
    path_handle = host.open_path(scratch.dir, b"one")
    try:
        host.make_link(ObjectRef(path_handle, scratch.dir, b"one"), scratch.dir, b"two")
    finally:
        host.close(path_handle)
    one, two = scratch.stat(b"one"), scratch.stat(b"two")
    return YES if one.st_ino == two.st_ino and two.st_nlink == 2 else NO


def _copy(scratch: Scratch) -> str:
    source = scratch.make(b"source")
    try:
        target = scratch.make(b"target", b"")
        try:
            copied = host.copy_file_range(source, 0, target, 0, len(_CONTENT))
            return YES if copied == len(_CONTENT) == host.stat(target).st_size else NO
        finally:
            host.close(target)
    finally:
        host.close(source)


def _any_bytes(scratch: Scratch) -> str:
    host.close(scratch.make(_NO_UTF8))
    listing = host.open_dir(ObjectRef(scratch.dir, NO_HANDLE, b""))
    try:
        return YES if any(entry[3] == _NO_UTF8 for entry in iterate(listing)) else NO
    finally:
        listing.close()


def _inodes(scratch: Scratch) -> str:
    host.close(scratch.make(b"here"))
    before = scratch.stat(b"here").st_ino
    host.rename(scratch.dir, b"here", scratch.dir, b"there")
    return YES if scratch.stat(b"there").st_ino == before else NO


class Capability(NamedTuple):
    """A row of the table."""

    name: str
    ask: Callable[[Scratch], str]
    without: str


CAPABILITIES: Final = (
    Capability("unnamed files", _unnamed, "new files are made under their names (O_EXCL)"),
    Capability("xattrs", _xattrs, "mapped-file keeps owners in hidden files; clients have no attributes"),
    Capability("rename over", _rename, "a file that is replaced ends for those who have it open"),
    Capability("locks", _locks, "locks hold among the clients of this server alone (--locks)"),
    Capability("directory cookies", _cookies, "a listing is read whole when it begins, up to 100,000 entries"),
    Capability("times", _times, "nothing is kept for as long as a time stands"),
    Capability("ctime tells", _ctime, "owners and modes are read anew each time (--coherence)"),
    Capability("sparse files", _sparse, "holes are read as zeros"),
    Capability("hard links", _links, "link fails with the file system's own error"),
    Capability("copy_file_range", _copy, "copies are reads and writes"),
    Capability("names of any bytes", _any_bytes, "the file system changes or refuses names that are no UTF-8"),
    Capability("stable inodes", _inodes, "a file that is renamed is another one for clients"),
)


class _Probing:
    """One probe, in its thread."""

    def __init__(self, root: Handle) -> None:
        self.found: dict[str, str] = {}
        self.refused: OSError | None = None
        self._root = root

    def run(self) -> None:
        name = PREFIX + secrets.token_hex(8).encode()
        try:
            volume = host.volume(self._root, xattrs=False)
            host.make_dir(self._root, name, 0o700)
        except OSError as error:
            self.refused = error
            return
        try:
            dir = host.open_path(self._root, name)
            try:
                self._ask(Scratch(dir, volume))
                self._remove_old(host.stat(dir).st_mtime_ns, name)
            finally:
                host.close(dir)
        except OSError as error:
            self.refused = error
        finally:
            with suppress(OSError):
                remove(self._root, name)

    def _ask(self, scratch: Scratch) -> None:
        for capability in CAPABILITIES:
            try:
                self.found[capability.name] = capability.ask(scratch)
            except OSError:
                self.found[capability.name] = NO

    def _remove_old(self, now: int, mine: bytes) -> None:
        listing = host.open_dir(ObjectRef(self._root, NO_HANDLE, b""))
        try:
            names = [entry[3] for entry in iterate(listing) if _OURS.fullmatch(entry[3]) and entry[3] != mine]
        finally:
            listing.close()
        for name in names:
            with suppress(OSError):
                if now - host.stat_at(self._root, name).st_mtime_ns > OLD:
                    remove(self._root, name)


def remove(root: Handle, name: bytes, levels: int = 2) -> None:
    """A directory of a probe, with what is in it. ENOTEMPTY for more levels of directories than a
    probe makes.
    """
    if not levels:
        raise Refused(Errno.ENOTEMPTY)
    dir = host.open_path(root, name)
    try:
        listing = host.open_dir(ObjectRef(dir, root, name))
        try:
            names = [entry[3] for entry in iterate(listing) if entry[3] not in (b".", b"..")]
        finally:
            listing.close()
        for one in names:
            try:
                host.remove_file(dir, one)
            except OSError:
                remove(dir, one, levels - 1)
    finally:
        host.close(dir)
    host.remove_dir(root, name)


def probe(root: Handle, *, writes: bool = True, limit: float = LIMIT) -> tuple[Found, ...]:
    """What the file system of a directory can do, in the order of ``CAPABILITIES``.

    Args:
        root: a path handle of the directory, one that closes itself (``handle_cache.self_closing``):
            a thread that gets no answer keeps it.
        writes: something may be written, in a directory that is removed again.
        limit: seconds.

    Waits. Raises ``OSError`` if nothing can be written there.
    """
    if not writes:
        return tuple(Found(one.name, NOT_ASKED, "") for one in CAPABILITIES)
    probing, ended = _Probing(root), threading.Event()

    def work() -> None:
        try:
            probing.run()
        finally:
            ended.set()

    threading.Thread(target=work, name="ninep-probe", daemon=True).start()
    in_time = ended.wait(limit)
    if probing.refused is not None and not probing.found:
        raise probing.refused
    found = dict(probing.found)
    return tuple(_row(one, found.get(one.name, NO if in_time else NO_ANSWER)) for one in CAPABILITIES)


def _row(capability: Capability, answer: str) -> Found:
    there = answer not in (NO, NO_ANSWER, NOT_USED, THIS_HOST)
    return Found(capability.name, answer, "" if there else capability.without)


def lines(found: Sequence[Found]) -> list[str]:
    """For people."""
    width = max(len(one.name) for one in found)
    return [f"{one.name:<{width}}  {one.answer}" + (f": {one.without}" if one.without else "") for one in found]
