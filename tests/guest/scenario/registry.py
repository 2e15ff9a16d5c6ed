"""The list of checks and what a check is given: a fresh folder, the same folder through another
mount, the setting.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """How the folder under test is mounted and served; what expectations.py decides by."""

    dialect: str = "local"  # 9P2000.L, 9P2000.u, 9P2000, or local: no 9P at all, the control
    cache: str = "none"  # the mount option: none, mmap, loose
    model: str = "none"  # the server's security model
    server: str = "root"  # who runs the server: root or user
    acl: bool = False  # mounted with posixacl
    bulk: bool = False  # also the checks that take long
    storage: str = "host"  # what the served folder is on: host, or a file system of a cluster


@dataclass(frozen=True)
class Place:
    """Where one check works."""

    here: str  # an empty folder
    there: str | None  # the same folder through a second mount
    setting: Setting

    def path(self, *names: str) -> str:
        return os.path.join(self.here, *names)

    def other(self, *names: str) -> str:
        """The same path through the second mount."""
        assert self.there is not None, "this check needs a second mount"
        return os.path.join(self.there, *names)


Check = Callable[[Place], None]
CHECKS: dict[str, Check] = {}
NEEDS_SECOND: set[str] = set()
BULK: set[str] = set()


def check(function: Check) -> Check:
    """Register a check under its own name."""
    assert function.__name__ not in CHECKS, function.__name__
    CHECKS[function.__name__] = function
    return function


def two_mounts(function: Check) -> Check:
    """The check needs a second mount of the same export."""
    NEEDS_SECOND.add(function.__name__)
    return function


def bulk(function: Check) -> Check:
    """The check takes long and runs only when asked for."""
    BULK.add(function.__name__)
    return function


def fails_with(errno: int, call: Callable[..., object], *arguments: object, **options: object) -> None:
    """Assert that the call raises OSError with this number."""
    expected, got = os.strerror(errno), "success"
    try:
        got = repr(call(*arguments, **options))
    except OSError as error:
        got = os.strerror(error.errno or 0)
    assert got == expected, f"expected {expected}, got {got}"


def as_user(uid: int, call: Callable[[], object], groups: tuple[int, ...] = ()) -> object:
    """The result of `call` in a child process with this uid and gid; its exception is
    raised here.
    """

    def become_and_call() -> object:
        os.setgroups(groups)
        os.setgid(uid)
        os.setuid(uid)
        return call()

    return in_child(become_and_call)


def in_child(call: Callable[[], object]) -> object:
    """The result of `call` in a child process; its exception is raised here."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            result: tuple[str, object] = ("value", call())
        except (OSError, AssertionError) as error:
            result = ("error", error)
        with os.fdopen(writer, "wb") as out:
            pickle.dump(result, out)
        sys.stdout.flush()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    assert data, "the child process died"
    kind, value = pickle.loads(data)
    if kind == "error":
        raise value
    return value


def put(path: str, data: bytes = b"", mode: int = 0o644) -> None:
    """Write a new file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def get(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()
