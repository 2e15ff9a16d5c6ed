"""Twstat: all that it asks for or nothing (stat(5)), whichever part fails, over memory and over a
folder in each security model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.handlers.conftest import stat_of, wstat
from tests.support.client import Failed, RawClient, refused
from tests.support.served import Served

from ninep.drivers.local import LocalDriver, new_handle_cache
from ninep.drivers.memory import MemoryDriver
from ninep.linux import Errno
from ninep.node import Driver
from ninep.security import MODELS

TARGET = b"precious"
ALL = {"mode": 0o640, "mtime": 12345, "atime": 54321}


@pytest.fixture(params=["memory", "mapped-file"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    if request.param == "memory":
        return MemoryDriver()
    return LocalDriver(str(tmp_path), request.param, handles=new_handle_cache(1000))


@pytest.fixture
def served(driver: Driver) -> Iterator[Served]:
    with Served(driver=driver) as server:
        yield server


@pytest.fixture
def file(base_client: RawClient) -> RawClient:
    """``/f`` with ``hello`` in it as fid 1, and ``/target``."""
    base_client.create(0, 1, b"f", b"hello", mode=0o644)
    base_client.clunk(1)
    base_client.create(0, 2, b"target", TARGET, mode=0o600)
    base_client.clunk(2)
    base_client.walk(0, 1, b"f")
    wstat(base_client, 1, mtime=1000, atime=2000)
    return base_client


def state(client: RawClient) -> tuple[object, ...]:
    """All that a client sees of both files."""
    seen: list[object] = []
    for name in (b"f", b"target"):
        client.walk(0, 9, name)
        found = stat_of(client, 9)
        seen += [found.name, found.length, found.mode, found.mtime, found.uid, found.gid, found.qid.path]
        client.clunk(9)
    client.walk(0, 9, b"target")
    client.open(9)
    seen.append(bytes(client.read(9)))
    client.clunk(9)
    return tuple(seen)


@pytest.mark.parametrize("name", [b"", b"free", b"target"], ids=["no name", "free name", "taken name"])
@pytest.mark.parametrize("length", [None, 3, 9], ids=["", "shorter", "longer"])
@pytest.mark.parametrize("verb", ["setattr", "setattr done", "move", "file.truncate", "open"])
def test_an_error_leaves_all_as_it_was(
    served: Served, file: RawClient, verb: str, length: int | None, name: bytes
) -> None:
    """Whichever call to the driver fails, and (``done``) although it has done its work."""
    fields = ALL if length is None else {**ALL, "length": length}
    before = state(file)
    verb, _, done = verb.partition(" ")
    calls = served.faults.calls[verb]
    served.faults.fail(verb, Errno.EIO, after=bool(done))
    expected = {Errno.EEXIST} if name == b"target" and file.dialect == b"9P2000" else {Errno.EIO}
    try:
        wstat(file, 1, name=name, **fields)
    except Failed as failure:
        if not any(failure.stands_for(code) for code in expected):
            raise
    else:
        # The call was not needed, or another way was found.
        assert served.faults.calls[verb] == calls or verb == "open"
        return
    served.faults.clear()
    if verb == "file.truncate" and name == b"target" and Errno.EIO in expected:
        # What was replaced before the cut failed is gone: the rule says so. The name is changed
        # back.
        file.walk(0, 3, b"f")
        assert (stat_of(file, 3).length, stat_of(file, 3).mode) == before[1:3]
    else:
        assert state(file) == before


def test_a_cut_that_fails_after_a_rename(served: Served, file: RawClient) -> None:
    """The name is changed back. (Of a file that was replaced nothing is left: the rule says so.)"""
    before = state(file)
    served.faults.fail("file.truncate", Errno.EIO)
    with refused(Errno.EIO):
        wstat(file, 1, name=b"free", length=1, mode=0o600)
    assert state(file) == before


def test_a_rename_that_is_refused(file: RawClient, served: Served) -> None:
    """Of a file onto a directory: nothing was cut and nothing else changed by then."""
    file.mkdir(0, b"d")
    before = state(file)
    for length in (1, 9):
        with refused(Errno.EEXIST if file.dialect == b"9P2000" else Errno.EISDIR):
            wstat(file, 1, name=b"d", length=length, **ALL)
        assert state(file) == before


def test_all_at_once(file: RawClient) -> None:
    owner = {"n_uid": os.geteuid()} if file.dialect == b"9P2000.u" else {}
    for length in (3, 9):
        wstat(file, 1, name=b"g%d" % length, length=length, **ALL, **owner)
        found = stat_of(file, 1)
        assert (found.name, found.length, found.mode) == (b"g%d" % length, length, 0o640)
        assert (found.mtime, found.atime) == (ALL["mtime"], ALL["atime"])
    file.open(1, 0)
    assert file.read(1) == b"hel" + bytes(6)


def test_through_an_open_file(file: RawClient) -> None:
    """Whatever its mode became: the rights are those of the open."""
    file.open(1, 1)
    wstat(file, 1, mode=0o444)
    wstat(file, 1, name=b"g", length=2, mode=0o400)
    assert (stat_of(file, 1).name, stat_of(file, 1).length, stat_of(file, 1).mode) == (b"g", 2, 0o400)


class TestFolder:
    """What a real file system refuses."""

    @pytest.fixture(params=MODELS)
    def driver(self, request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
        return LocalDriver(str(tmp_path), request.param, handles=new_handle_cache(1000))

    def test_a_length_that_no_file_can_have(self, file: RawClient) -> None:
        before = state(file)
        names = [b"free", b"target"] if file.dialect == b"9P2000.u" else [b"free"]
        for name in names:
            with refused(Errno.EFBIG):
                wstat(file, 1, name=name, length=1 << 62, **ALL)
            assert state(file) == before

    def test_a_length_of_what_has_none(self, file: RawClient, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("f")
        file.mkdir(0, b"d")
        for name, refusal in ((b"link", Errno.ELOOP), (b"d", Errno.EISDIR)):
            file.walk(0, 3, name)
            with refused(refusal):
                wstat(file, 3, name=b"new", length=2, mtime=5)
            file.clunk(3)
            file.walk(0, 3, name)
            assert stat_of(file, 3).mtime != 5
            file.clunk(3)

    def test_a_mode_of_a_link(self, file: RawClient, tmp_path: Path) -> None:
        """Linux has none, and says so after the owner was changed; the file that the link was to
        replace is still there.
        """
        (tmp_path / "link").symlink_to("f")
        before = state(file)
        file.walk(0, 3, b"link")
        found = stat_of(file, 3)
        try:
            owner = {"uid": b"7"} if file.dialect == b"9P2000" else {"n_uid": 7}
            wstat(file, 3, name=b"target", mode=found.mode & ~0o777 | 0o600, **owner)
        except Failed:
            assert state(file) == before
            assert os.path.lexists(tmp_path / "link")
            assert stat_of(file, 3).uid == found.uid
