"""Whole sessions on folders of the host. An input is a conversation (``frames``). The exports are
one folder for each security model, by its name, ``read-only`` (passthrough), and ``waits``
(mapped-file, every request in a worker thread).

A call that changes something on the host can be made to fail (except removals: their failure would
prevent the cleanup that is checked).

The only legal outcomes: those of ``conversation``; and

* files beside the exported folders are unchanged, and no byte of them is in a reply; files in the
  read-only folder are unchanged;
* no temporary file and no handle is left;
* no new device exists (it would be a real one).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.served import Waits

from fuzz import conversation
from fuzz.conversation import LIMITS, Conversation
from ninep import host
from ninep.app.build import exports_of
from ninep.app.config import ServerConfig
from ninep.app.exports import ExportConfig
from ninep.node import Node, User
from ninep.security import MODELS as SECURITY_MODELS
from ninep.server.budgets import Budgets
from ninep.server.exports import Export, Exports

NAME = "local"
SESSION = True
LONGEST = 4096
SECRET = b"what-no-client-may-read"
TEMPORARY = b".virtfs_metadata_new."


class Host:
    """The host's changing calls, one of which can be made to fail."""

    VERBS = ("chmod", "chown", "make_dir", "make_link", "make_node", "make_symlink", "open_at", "open_unnamed", "open_path", "rename", "set_xattr",
             "truncate", "utimes", "write")  # fmt: skip

    def __init__(self) -> None:
        self.left = 0
        self._honest = {verb: getattr(host, verb) for verb in self.VERBS}
        for verb, call in self._honest.items():
            setattr(host, verb, self._failing(call))

    def _failing(self, call: Callable[..., object]) -> Callable[..., object]:
        def verb(*arguments: object) -> object:
            if self.left:
                self.left -= 1
                if not self.left:
                    raise OSError(errno.ENOSPC, "by order")
            return call(*arguments)

        return verb

    def fail(self, number: int) -> None:
        """Make the n-th call from now fail."""
        self.left = number % 8 + 1

    def close(self) -> None:
        """Restore the calls."""
        for verb, call in self._honest.items():
            setattr(host, verb, call)


class Folders:
    """The exported folders and the unexported folder beside them, made once per process."""

    def __init__(self) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="ninep-fuzz."))
        self.canary = self.top / "canary"
        (self.canary / "inner").mkdir(parents=True)
        (self.canary / "secret").write_bytes(SECRET)
        (self.canary / "inner" / SECRET.decode()).write_bytes(SECRET)
        for name in (*SECURITY_MODELS, "read-only", "waits"):
            self.fill(name)
        self.umask = os.umask(0)
        settings = [ExportConfig(str(self.top / model), model, security_model=model) for model in SECURITY_MODELS]
        settings.append(
            ExportConfig(str(self.top / "read-only"), "read-only", security_model="passthrough", read_only=True)
        )
        settings.append(ExportConfig(str(self.top / "waits"), "waits", security_model="mapped-file"))
        self.touched: set[str] = set()
        self.host = Host()
        exports = exports_of(ServerConfig(settings))
        for export in exports:
            export.layers = [*export.layers, self._notices(export)]
        self.exports = Exports(exports)
        self.beside = self.snapshot(self.canary)
        self.unchanged = self.snapshot(self.top / "read-only")
        self.handles = self.open_handles()

    def _notices(self, export: Export) -> Any:
        def layer(root: Node, _: User) -> Node:
            self.touched.add(export.name)
            return Waits(root, Waits) if export.name == "waits" else root

        return layer

    def fill(self, name: str) -> None:
        """Make the initial content."""
        folder = self.top / name
        folder.mkdir(exist_ok=True)
        (folder / "dir").mkdir()
        (folder / "file").write_bytes(b"some content\n" * 9)
        (folder / "link").symlink_to("../canary/secret")
        os.mkfifo(folder / "pipe")

    @staticmethod
    def snapshot(folder: Path) -> dict[str, tuple[int, ...]]:
        """Everything that a change would affect."""
        found = {}
        for path in (folder, *folder.rglob("*")):
            seen = path.lstat()
            found[str(path)] = (
                seen.st_mode,
                seen.st_uid,
                seen.st_gid,
                seen.st_nlink,
                seen.st_size,
                seen.st_mtime_ns,
                seen.st_ctime_ns,
            )
        return found

    @staticmethod
    def open_handles() -> set[str]:
        """The open handles of the process, except that of this listing."""
        found = set()
        for number in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                found.add(f"{number}: {os.readlink('/proc/self/fd/' + number)}")
        return found

    def check(self) -> None:
        """Check after a conversation; the folders that were attached to are made again."""
        for export in self.exports:
            table = export.driver._table  # type: ignore[attr-defined]
            assert (table.total_refs, table.root.refs) == (0, 1), (
                f"references to nodes of {export.name}: {table.total_refs}, {table.root.refs}"
            )
        now = self.open_handles()
        assert now <= self.handles, f"handles left open: {now - self.handles}"
        assert self.snapshot(self.canary) == self.beside, "the canary has changed"
        if "read-only" in self.touched:
            assert self.snapshot(self.top / "read-only") == self.unchanged, "the read-only folder has changed"
        beside = set(os.listdir(self.top)) ^ {*SECURITY_MODELS, "canary", "read-only", "waits"}
        assert not beside, f"beside the exports: {beside}"
        for name in self.touched - {"read-only"}:
            self._judge(os.fsencode(self.top / name), hidden=name in {"mapped-file", "waits"})
            self._empty(self.top / name)
            self.fill(name)
        self.touched.clear()

    @staticmethod
    def _judge(folder: bytes, *, hidden: bool) -> None:
        """``hidden``: clients cannot make names like those of temporary files, so any such file is
        the server's.
        """
        for where, folders, files in os.walk(folder):
            for name in (*folders, *files):
                assert not (hidden and name.startswith(TEMPORARY)), f"left behind: {name!r} in {where!r}"
                kind = os.lstat(os.path.join(where, name)).st_mode
                assert not stat.S_ISBLK(kind), f"a block device: {name!r}"
                assert not stat.S_ISCHR(kind), f"a device: {name!r}"

    def close(self) -> None:
        """Check that nothing is left."""
        self.host.close()
        self.exports.close()
        os.umask(self.umask)
        shutil.rmtree(self.top)

    @staticmethod
    def _empty(folder: Path) -> None:
        """Remove the content and all changes of a folder, but not the folder itself, which the
        driver has open.
        """
        if os.getuid():  # modes restrict other users than root
            for where, _, _ in os.walk(folder):
                os.chmod(where, 0o700)
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for attribute in os.listxattr(folder):
            os.removexattr(folder, attribute)
        os.chown(folder, os.getuid(), os.getgid())
        folder.chmod(0o755)


_made: list[Folders] = []


def begin() -> None:
    """Make the folders."""
    conversation.listen()
    _made.append(Folders())


def try_one(data: bytes) -> None:
    """Run one input. An exception is a finding."""
    folders = _made[-1]
    try:
        Conversation(folders.exports, Budgets(LIMITS), SECRET, folders.host.fail).run(data)
    finally:
        folders.host.left = 0
    folders.check()


def finish() -> None:
    """Remove the folders."""
    conversation.finish()
    _made.pop().close()
