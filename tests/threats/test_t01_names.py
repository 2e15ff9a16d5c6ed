"""T01: names that traverse, in every field that takes a name.

``..``, slashes and NUL in walk, create, mkdir, mknod, symlink, link, rename, unlinkat and wstat;
from the root, a folder, a file; and ``..`` as often as one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.threats.lab import BASE, LINUX, UNIX, Attacker, Lab

from ninep.linux import AT_REMOVEDIR, NO_ID, Errno
from ninep.wire import messages as m
from ninep.wire.modes import DMDIR, DMLINK, DMSYMLINK
from ninep.wire.types import Stat

NO_NAMES = (
    b"", b"/", b"//", b"/etc", b"/etc/passwd", b"../x", b"../canary", b"../canary/file", b"a/../..", b"a/b", b"./a", b"a/.", b"a/",
    b"../", b"./", b"\0", b"..\0", b".\0x", b"a\0", b"a\0/../../canary", b"../export-secret/file",
)  # fmt: skip
ROOT, FOLDER, FILE, MADE = 0, 1, 2, 9
UNTOUCHED = Stat(0xFFFF, 0xFFFFFFFF, (0xFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF), *[0xFFFFFFFF] * 3, 0xFFFFFFFFFFFFFFFF)  # type: ignore[arg-type]

Build = Callable[[int, bytes], m.Message]
ENOENT, EEXIST, EISDIR = {Errno.ENOENT}, {Errno.EEXIST}, {Errno.EISDIR}
CREATES = (EEXIST, EEXIST)
RENAMES = (EISDIR, EISDIR)
UNLINKS = ({Errno.EINVAL}, {Errno.ENOTEMPTY})

MESSAGES: dict[str, tuple[tuple[bytes, ...], Build, tuple[set[Errno], set[Errno]]]] = {
    "Tlcreate": ((LINUX,), lambda fid, name: m.Tlcreate(fid, name, 2, 0o644, NO_ID), CREATES),
    "Tcreate": ((LINUX, UNIX, BASE), lambda fid, name: m.Tcreate(fid, name, 0o644, 2), CREATES),
    "Tcreate folder": ((LINUX, UNIX, BASE), lambda fid, name: m.Tcreate(fid, name, DMDIR | 0o755, 0), CREATES),
    "Tcreate link": (
        (LINUX, UNIX),
        lambda fid, name: m.Tcreate(fid, name, DMSYMLINK | 0o777, 0, b"../canary"),
        CREATES,
    ),
    "Tcreate hard link": ((LINUX, UNIX), lambda fid, name: m.Tcreate(fid, name, DMLINK, 0, b"%d" % FILE), CREATES),
    "Tmkdir": ((LINUX,), lambda fid, name: m.Tmkdir(fid, name, 0o755, NO_ID), CREATES),
    "Tmknod": ((LINUX,), lambda fid, name: m.Tmknod(fid, name, 0o100644, 0, 0, NO_ID), CREATES),
    "Tsymlink": ((LINUX,), lambda fid, name: m.Tsymlink(fid, name, b"../canary/file", NO_ID), CREATES),
    "Tlink": ((LINUX,), lambda fid, name: m.Tlink(fid, FILE, name), CREATES),
    "Trename": ((LINUX,), lambda fid, name: m.Trename(FILE, fid, name), RENAMES),
    "Trenameat old": ((LINUX,), lambda fid, name: m.Trenameat(fid, name, ROOT, b"new"), RENAMES),
    "Trenameat new": ((LINUX,), lambda fid, name: m.Trenameat(FOLDER, b"in", fid, name), RENAMES),
    "Tunlinkat": ((LINUX,), lambda fid, name: m.Tunlinkat(fid, name, 0), UNLINKS),
    "Tunlinkat folder": ((LINUX,), lambda fid, name: m.Tunlinkat(fid, name, AT_REMOVEDIR), UNLINKS),
    "Twstat": ((LINUX, UNIX, BASE), lambda fid, name: m.Twstat(fid, UNTOUCHED._replace(name=name)), RENAMES),
}


def cases() -> Iterator[object]:
    for message, (dialects, _, _) in MESSAGES.items():
        for dialect in dialects:
            yield pytest.param(message, dialect, id=f"{message}-{dialect.decode()}")


def prepared(lab: Lab, dialect: bytes) -> Attacker:
    """Fids for a folder and a file in it; everything the attacks may not touch is on the host
    already.
    """
    (lab.top / "folder" / "a").mkdir(parents=True)
    (lab.top / "folder" / "in").write_bytes(b"content")
    client = lab.client(dialect)
    client.walk(ROOT, FOLDER, b"folder")
    client.walk(ROOT, FILE, b"folder", b"in")
    return client


def tree(lab: Lab) -> list[str]:
    return sorted(str(path.relative_to(lab.base)) for path in lab.base.rglob("*") if ".virtfs" not in str(path))


@pytest.mark.parametrize(("message", "dialect"), list(cases()))
def test_no_message_takes_a_name_that_is_none(lab: Lab, message: str, dialect: bytes) -> None:
    _, build, (dot, dotdot) = MESSAGES[message]
    client = prepared(lab, dialect)
    before = tree(lab)
    for fid in (ROOT, FOLDER, FILE):
        for name in NO_NAMES:
            if message == "Twstat" and not name:
                continue  # the word for "leave the name alone"
            client.refuses(build(fid, name), *ENOENT)
        client.refuses(build(fid, b"."), *dot)
        client.refuses(build(fid, b".."), *dotdot)
    assert tree(lab) == before


def test_walk_takes_no_name_that_is_none(lab: Lab, dialect: bytes) -> None:
    client = prepared(lab, dialect)
    for fid in (ROOT, FOLDER, FILE):
        for name in NO_NAMES:
            client.refuses(m.Twalk(fid, MADE, [name]), Errno.ENOENT, Errno.ENOTDIR if fid == FILE else Errno.ENOENT)
    for name in NO_NAMES:
        assert (
            client.rpc(m.Twalk(ROOT, MADE, [b"folder", name, b"in"])).qids
            == client.rpc(m.Twalk(ROOT, 8, [b"folder"])).qids
        )
        client.clunk(8)
        client.refuses(m.Tclunk(MADE), Errno.EBADF)


def test_upwards_is_never_further_than_the_root(lab: Lab, dialect: bytes) -> None:
    client = prepared(lab, dialect)
    root = client.rpc(m.Twalk(ROOT, MADE, [b"."])).qids[0]
    client.clunk(MADE)
    for start in (ROOT, FOLDER):
        for names in ([b".."] * 16, [b"..", b"."] * 8, [b".", b"..", b"..", b"."] * 4, [b".."]):
            assert client.rpc(m.Twalk(start, MADE, names)).qids[-1] == root, (start, names)
            client.clunk(MADE)
    client.refuses(m.Twalk(FILE, MADE, [b".."]), Errno.ENOTDIR)
    client.walk(FOLDER, 5, b"a")
    assert client.walk(5, MADE, b"..", b"..")[-1] == root
    client.clunk(MADE)
    for outside in (b"canary", b"export-secret", b"export"):
        names = [b"..", b"..", b"..", outside]
        assert len(client.rpc(m.Twalk(5, MADE, names)).qids) == 3
        client.refuses(m.Tclunk(MADE), Errno.EBADF)


def test_upwards_after_the_folder_was_moved_on_the_host(lab: Lab, dialect: bytes) -> None:
    """A folder that a host process moves out of the export while a client is in it: ``..`` is the
    host's parent, and ends where the export does, at the folder that was moved. When it is back, so
    is the way up.
    """
    client = prepared(lab, dialect)
    client.walk(FOLDER, 5, b"a")
    (lab.top / "folder").rename(lab.base / "canary-beside")
    for up in (2, 3, 4):
        assert not client.walk_or_not(5, MADE, *[b".."] * up)
    client.walk(5, MADE, b"..")
    client.refuses(m.Twalk(MADE, 6, [b".."]), Errno.ESTALE)
    assert not client.walk_or_not(MADE, 6, b"canary")
    (lab.base / "canary-beside").rename(lab.top / "folder")
    root = client.rpc(m.Twalk(ROOT, 8, [b"."])).qids[0]
    assert client.rpc(m.Twalk(5, 7, [b"..", b"..", b".."])).qids[-1] == root
    assert not client.walk_or_not(7, 6, b"canary")
