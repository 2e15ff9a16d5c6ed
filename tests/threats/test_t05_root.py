"""T05: the root itself: what clients do to it, and what the host does to it meanwhile."""

from __future__ import annotations

import os
import shutil

import pytest
from tests.threats.lab import LINUX, Lab
from tests.threats.verbs import ROOT, SPARE, UNTOUCHED, setattr_

from ninep.linux import (
    AT_REMOVEDIR,
    GETATTR_BASIC,
    NO_ID,
    SETATTR_GID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
    Errno,
)
from ninep.wire import messages as m

STAYS = (Errno.EBUSY, Errno.EPERM)


def neighbours(lab: Lab) -> dict[str, tuple[int, int, int, int]]:
    """What is beside the export, and the folder they are all in (but for its times, which a
    temporary name would move).
    """
    found = {"..": os.stat(lab.base)} | {
        name: os.stat(lab.base / name) for name in os.listdir(lab.base) if name != "export"
    }
    return {name: (stat.st_ino, stat.st_mode, stat.st_uid, stat.st_gid) for name, stat in found.items()}


def test_the_root_is_not_removed_or_renamed(lab: Lab, dialect: bytes) -> None:
    before = neighbours(lab)
    with lab.client(dialect) as client:
        client.walk(ROOT, SPARE)
        client.refuses(m.Tremove(SPARE), *STAYS)
        client.refuses(m.Tclunk(SPARE), Errno.EBADF)  # clunked all the same, remove(5)
        client.refuses(m.Twstat(ROOT, UNTOUCHED._replace(name=b"elsewhere")), *STAYS)
        if client.dialect == LINUX:
            client.refuses(m.Trename(ROOT, ROOT, b"elsewhere"), *STAYS, Errno.EINVAL)
            client.mkdir(ROOT, b"d")
            client.walk(ROOT, 1, b"d")
            client.refuses(m.Trename(ROOT, 1, b"elsewhere"), *STAYS, Errno.EINVAL)
            client.refuses(m.Tunlinkat(ROOT, b".", AT_REMOVEDIR), Errno.EINVAL)
            client.refuses(m.Tunlinkat(1, b"..", AT_REMOVEDIR), Errno.ENOTEMPTY)
            client.refuses(m.Tlink(ROOT, ROOT, b"self"), Errno.EPERM)
        client.walk(ROOT, SPARE)
        client.errors_of(m.Topen(SPARE, 0x40))  # if it may be opened, to be removed at its clunk, nothing comes of that
        client.clunk(SPARE)
    assert neighbours(lab) == before
    assert lab.top.is_dir()


def test_attributes_of_the_root_are_those_of_the_exported_folder(lab: Lab) -> None:
    before = neighbours(lab)
    with lab.client() as client:
        client.rpc(setattr_(SETATTR_MODE, fid=ROOT, mode=0o40751))
        client.rpc(setattr_(SETATTR_UID | SETATTR_GID, fid=ROOT, uid=os.geteuid(), gid=os.getegid()))
        client.rpc(setattr_(SETATTR_MTIME, fid=ROOT))
        client.refuses(setattr_(SETATTR_SIZE, fid=ROOT, size=0), Errno.EISDIR)
        assert client.rpc(m.Tgetattr(ROOT, GETATTR_BASIC)).attributes.mode == 0o40751
    with lab.client() as client:
        assert client.rpc(m.Tgetattr(ROOT, GETATTR_BASIC)).attributes.mode == 0o40751
    assert neighbours(lab) == before


@pytest.mark.parametrize(
    "fate", ["removed", "removed for a link", "moved", "swapped for a link", "swapped for a folder"]
)
def test_what_the_host_does_to_the_root(lab: Lab, dialect: bytes, fate: str) -> None:
    """The handle held since the start is the export: not its path, and nothing that stands there
    later.
    """
    (lab.top / "file").write_bytes(b"our own")
    client = lab.client(dialect)
    client.walk(ROOT, 1, b"file")
    removed = fate.startswith("removed")
    if removed:
        shutil.rmtree(lab.top)
        if fate == "removed for a link":
            lab.top.symlink_to("canary")
    else:
        lab.top.rename(lab.base / "canary-elsewhere")
    if fate == "swapped for a link":
        lab.top.symlink_to("canary")
    elif fate == "swapped for a folder":
        lab.top.mkdir()
        (lab.top / "file").write_bytes(lab.canary.marker)
    if removed:
        client.refuses(m.Twalk(ROOT, SPARE, [b"file"]), Errno.ENOENT)
        client.refuses(m.Tstat(ROOT), Errno.ENOENT)
        client.refuses(m.Tcreate(ROOT, b"new", 0o644, 1), Errno.ENOENT)
        with lab.connect() as late:
            late.version(dialect)
            late.refuses(m.Tattach(0, m.NOFID, b"", b"", NO_ID), Errno.ENOENT)
        lab.gone = True
        lab.top.unlink(missing_ok=True)
        return
    client.walk(ROOT, SPARE, b"file")
    client.open(SPARE)
    assert client.read(SPARE) == b"our own"
    client.clunk(SPARE)
    client.create(ROOT, SPARE, b"new", b"made")
    assert (lab.base / "canary-elsewhere" / "new").read_bytes() == b"made"
    assert not os.path.exists(lab.top / "new")
