"""What a client is told of a file that it has just made, in every dialect, model and kind of file:
the same as another client later, and what was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK, S_ISDIR, S_ISLNK, S_ISREG
from typing import NamedTuple

import pytest
from tests.serving import may_become_another_user
from tests.support.client import RawClient
from tests.support.served import Served
from tests.threats.verbs import setattr_

from ninep.drivers.local import LocalDriver, new_handle_cache
from ninep.linux import GETATTR_BASIC, O_CREAT, O_RDWR, SETATTR_GID, SETATTR_MODE
from ninep.wire import messages as m
from ninep.wire.modes import (
    DMDEVICE,
    DMDIR,
    DMLINK,
    DMNAMEDPIPE,
    DMSOCKET,
    DMSYMLINK,
    EXTENDED,
    major,
    minor,
    mode_to_wire,
)
from ninep.wire.modes import (
    PLAIN as PLAIN_MODES,
)

pytestmark = pytest.mark.skipif(not may_become_another_user(), reason="gives files away: needs root")
LINUX, UNIX, BASE = b"9P2000.L", b"9P2000.u", b"9P2000"
MAPPED = ("mapped-xattr", "mapped-file", "mapped-owner")
TARGET = b"some/where else"
USER, GROUP, DIRECTORYS_GROUP = 1005, 1006, 1077
MADE, OTHER = 2, 3


class Kind(NamedTuple):
    """The mode that is asked for; Tcreate's words for it; the device number; the length that a
    client then sees (None: the host's own, of a directory).
    """

    mode: int
    perm: int
    extension: bytes = b""
    rdev: tuple[int, int] = (0, 0)
    length: int | None = 0


KINDS = {
    "file": Kind(S_IFREG | 0o640, 0o640),
    "directory": Kind(S_IFDIR | 0o750, DMDIR | 0o750, length=None),
    "link": Kind(S_IFLNK | 0o777, DMSYMLINK | 0o777, TARGET, length=len(TARGET)),
    "FIFO": Kind(S_IFIFO | 0o620, DMNAMEDPIPE | 0o620),
    "socket": Kind(S_IFSOCK | 0o600, DMSOCKET | 0o600),
    "character device": Kind(S_IFCHR | 0o644, DMDEVICE | 0o644, b"c 1 3", (1, 3)),
    "block device": Kind(S_IFBLK | 0o604, DMDEVICE | 0o604, b"b 7 200", (7, 200)),
}
PLAIN = {"file", "directory"}
"""The kinds of 9P2000."""


class Seen(NamedTuple):
    """Of a getattr or stat, what both have."""

    qid: tuple[int, int]
    mode: int
    owner: tuple[int, int]
    length: int
    times: tuple[int, int]
    device: bytes | tuple[int, int]


@pytest.fixture(params=["passthrough", "none", *MAPPED])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "export"
    made.mkdir(mode=0o755)
    return made


def serving(folder: Path, model: str) -> Served:
    options = {} if model in MAPPED else {"devices": True}
    return Served(driver=LocalDriver(str(folder), model, handles=new_handle_cache(100), **options))


@pytest.fixture
def served(folder: Path, model: str) -> Iterator[Served]:
    with serving(folder, model) as served:
        yield served
    served.driver.close()


def attached(served: Served, dialect: bytes) -> RawClient:
    """As USER, where the dialect has a word for it."""
    client = served.connect()
    client.version(dialect)
    client.attach(uname=b"", n_uname=USER)
    return client


def make(client: RawClient, kind: Kind) -> None:
    """MADE is the new file."""
    if client.dialect != LINUX:
        client.walk(0, MADE)
        client.rpc(m.Tcreate(MADE, b"new", kind.perm, 0, kind.extension))  # the fid is the new file
    elif S_ISREG(kind.mode):
        client.walk(0, MADE)
        client.rpc(m.Tlcreate(MADE, b"new", O_RDWR | O_CREAT, kind.mode & 0o7777, GROUP))
    else:
        if S_ISDIR(kind.mode):
            client.rpc(m.Tmkdir(0, b"new", kind.mode & 0o7777, GROUP))
        elif S_ISLNK(kind.mode):
            client.rpc(m.Tsymlink(0, b"new", TARGET, GROUP))
        else:
            client.rpc(m.Tmknod(0, b"new", kind.mode, *kind.rdev, GROUP))
        client.walk(0, MADE, b"new")


def look(client: RawClient, fid: int = MADE) -> Seen:
    if client.dialect == LINUX:
        a = client.rpc(m.Tgetattr(fid, GETATTR_BASIC)).attributes
        device: bytes | tuple[int, int] = (major(a.rdev), minor(a.rdev))
        times = (a.atime_sec, a.mtime_sec)
        return Seen((a.qid_type, a.qid_path), a.mode, (a.uid, a.gid), a.size, times, device)
    s = client.rpc(m.Tstat(fid)).stat
    owner = (s.n_uid, s.n_gid) if client.dialect == UNIX else (int(s.uid), int(s.gid))
    assert (int(s.uid), int(s.gid)) == owner
    assert s.name == b"new"
    return Seen((s.qid.type, s.qid.path), s.mode, owner, s.length, (s.atime, s.mtime), s.extension)


def seconds(folder: Path) -> int:
    """The clock of the file system, as it stamps what is made now."""
    stamp = folder.parent / "stamp"
    stamp.touch()
    return int(os.stat(stamp).st_mtime)


def expected_owner(dialect: bytes, model: str, what: str, asked_for: int) -> tuple[int, int]:
    """Who names nobody is the server. Tcreate has no word for a group: where it is only recorded it
    is the directory's (create(5)).
    """
    if model == "mapped-owner" and what == "link":
        return os.geteuid(), DIRECTORYS_GROUP  # nothing can be recorded of it
    group = asked_for if dialect == LINUX else DIRECTORYS_GROUP if model in MAPPED else os.getegid()
    return (os.geteuid() if dialect == BASE else USER), group


def expected_device(dialect: bytes, kind: Kind) -> bytes | tuple[int, int]:
    """Or the extension of a stat record: where a link leads, or how many names there are."""
    if dialect == LINUX:
        return kind.rdev
    if dialect == BASE or kind.extension or not (S_ISREG(kind.mode) or S_ISDIR(kind.mode)):
        return kind.extension
    return b"HARDLINKCOUNT %d" % (2 if S_ISDIR(kind.mode) else 1)


@pytest.mark.parametrize(
    ("dialect", "what"),
    [(dialect, what) for dialect in (LINUX, UNIX, BASE) for what in KINDS if dialect != BASE or what in PLAIN],
    ids=lambda word: word.decode() if isinstance(word, bytes) else word,
)
def test_what_was_made_is_what_was_asked_for(
    served: Served, folder: Path, model: str, dialect: bytes, what: str
) -> None:
    kind = KINDS[what]
    admin = served.client()
    admin.rpc(setattr_(SETATTR_MODE | SETATTR_GID, fid=0, mode=0o777, gid=DIRECTORYS_GROUP))
    client, began = attached(served, dialect), seconds(folder)
    make(client, kind)
    seen, ended = look(client), seconds(folder)
    linux = dialect == LINUX
    assert seen.mode == (kind.mode if linux else mode_to_wire(kind.mode, EXTENDED if dialect == UNIX else PLAIN_MODES))
    assert seen.owner == expected_owner(dialect, model, what, GROUP)
    if kind.length is not None:
        assert seen.length == kind.length
    elif not linux:
        assert seen.length == 0, "stat(5): of directories"
    assert all(began <= moment <= ended for moment in seen.times)
    assert seen.device == expected_device(dialect, kind)
    client.walk(0, OTHER, b"new")
    assert look(client, OTHER) == seen
    client.clunk(MADE, OTHER)
    with serving(folder, model) as later:
        other = attached(later, dialect)
        other.walk(0, OTHER, b"new")
        assert look(other, OTHER) == seen, "what was kept in the process is what is stored"
    later.driver.close()


@pytest.mark.parametrize("dialect", [LINUX, UNIX], ids=bytes.decode)
def test_a_second_name_is_of_the_same_file(served: Served, dialect: bytes) -> None:
    client = attached(served, dialect)
    client.create(0, OTHER, b"old", b"content", 0o640)
    if dialect == LINUX:
        client.rpc(m.Tlink(0, OTHER, b"new"))
        client.walk(0, MADE, b"new")
        assert client.rpc(m.Tgetattr(MADE, GETATTR_BASIC)).attributes.nlink == 2
        assert look(client) == look(client, OTHER)
    else:
        client.walk(0, MADE)
        client.rpc(m.Tcreate(MADE, b"new", DMLINK | 0o777, 0, b"%d" % OTHER))
        first = client.rpc(m.Tstat(OTHER)).stat
        assert client.rpc(m.Tstat(MADE)).stat == first._replace(name=b"new")
        assert (first.length, first.mode, first.n_uid) == (7, 0o640, USER)
