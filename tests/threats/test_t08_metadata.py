"""T08: forged metadata: by clients, through the names and attributes that the mapped models keep
for themselves, and by whoever else writes in the exported folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.threats.lab import BASE, LINUX, UNIX, Attacker, Lab, beside
from tests.threats.test_t01_names import MESSAGES
from tests.threats.verbs import FILE, FOLDER, ROOT, SPARE

from ninep.linux import GETATTR_BASIC, NO_ID, XATTR_REPLACE, Errno
from ninep.wire import messages as m

RESERVED = (b".virtfs_metadata", b".virtfs_metadata_root")
ATTRIBUTES = (
    b"user.virtfs.uid",
    b"user.virtfs.gid",
    b"user.virtfs.mode",
    b"user.virtfs.rdev",
    b"user.virtfs.x",
    b"user.virtfs.",
)
GARBAGE = (
    b"",
    b"\0",
    b"x" * 100,
    b"\xff" * 4,
    b"\xff" * 8,
    b"\0\x30\0\0",
    b"\0\0\0\xf0",
    b"1" * 500,
    (0o30644).to_bytes(4, "little"),
)


def own_tree(lab: Lab, client: Attacker) -> None:
    """``folder/file`` with owner and mode that the model recorded."""
    client.mkdir(ROOT, b"folder")
    client.walk(ROOT, FOLDER, b"folder")
    client.walk(FOLDER, FILE)
    if client.linux:
        client.rpc(m.Tlcreate(FILE, b"in", 2, 0o640, 5))
    else:
        client.rpc(m.Tcreate(FILE, b"in", 0o640, 2))
    client.clunk(FILE)
    client.walk(FOLDER, FILE, b"in")


@pytest.fixture
def hidden(labs: Callable[..., Lab]) -> Lab:
    return labs("mapped-file")


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("dialect", [LINUX, UNIX, BASE], ids=bytes.decode)
def test_no_message_takes_a_reserved_name(hidden: Lab, message: str, name: bytes, dialect: bytes) -> None:
    dialects, build, _ = MESSAGES[message]
    if dialect not in dialects:
        return
    with hidden.client(dialect) as client:
        own_tree(hidden, client)
        for fid in (ROOT, FOLDER):
            client.refuses(
                build(fid, name), Errno.EINVAL, *((Errno.EBUSY,) if (message, fid) == ("Twstat", ROOT) else ())
            )


@pytest.mark.parametrize("name", RESERVED)
def test_no_walk_reaches_a_reserved_name(hidden: Lab, dialect: bytes, name: bytes) -> None:
    with hidden.client(dialect) as client:
        own_tree(hidden, client)
        for fid in (ROOT, FOLDER):
            client.refuses(m.Twalk(fid, SPARE, [name]), Errno.EINVAL)
        assert not client.walk_or_not(ROOT, SPARE, b"folder", name)
        assert not client.walk_or_not(ROOT, SPARE, b"folder", b".", name, b"in")
        client.open(FOLDER)
        listed = client.read(FOLDER, 0, 8000) if not client.linux else b"".join(client.names(FOLDER))
        assert name not in listed


def test_links_lead_to_no_metadata(hidden: Lab) -> None:
    with hidden.client() as client:
        own_tree(hidden, client)
        for target in (b".virtfs_metadata", b"folder/.virtfs_metadata/in"):
            client.rpc(m.Tsymlink(ROOT, b"link", target, NO_ID))
            client.walk(ROOT, SPARE, b"link")
            client.refuses(m.Tlopen(SPARE, 0), Errno.ELOOP)
            assert not client.walk_or_not(ROOT, SPARE + 1, b"link", b"in")
            client.clunk(SPARE)
            client.rpc(m.Tunlinkat(ROOT, b"link", 0))


def test_attributes_of_the_model_are_not_the_clients(labs: Callable[..., Lab]) -> None:
    lab = labs("mapped-xattr")
    with lab.client() as client:
        own_tree(lab, client)
        before = client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes
        for name in ATTRIBUTES:
            client.refuses(m.Txattrwalk(FILE, SPARE, name), Errno.ENODATA)
            for size, flags in ((4, 0), (0, XATTR_REPLACE), (0, 0), (4, XATTR_REPLACE)):
                client.walk(FOLDER, SPARE, b"in")
                if not client.errors_of(m.Txattrcreate(SPARE, name, size, flags)):
                    if size:
                        client.rpc(m.Twrite(SPARE, 0, b"\0" * size))
                    client.refuses(m.Tclunk(SPARE), Errno.EACCES)
                else:
                    client.clunk(SPARE)
        size = client.rpc(m.Txattrwalk(FILE, SPARE, b"")).size
        assert b"virtfs" not in client.read(SPARE, 0, size)
        after = client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes
        assert (after.mode, after.uid, after.gid) == (before.mode, before.uid, before.gid) == (0o100640, 0, 5)


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: value[:8].hex() or "empty")
def test_garbage_in_attributes_is_no_reply_that_a_kernel_chokes_on(
    labs: Callable[..., Lab], dialect: bytes, value: bytes
) -> None:
    """A process of the host wrote it. The judge looks at every reply."""
    lab = labs("mapped-xattr")
    with lab.client(dialect) as client:
        own_tree(lab, client)
        for name in ATTRIBUTES[:4]:
            os.setxattr(lab.top / "folder" / "in", name, value)
            os.setxattr(lab.top / "folder", name, value)
        look_at_everything(client)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"virtfs.mode=\n", b"virtfs.mode=-1\n", b"virtfs.mode=99999999999999999999\n", b"virtfs.mode=12\0\n" * 1000, b"\xff\xfe\n",
        b"virtfs.uid=0x5\nvirtfs.mode=9\n", b"virtfs.mode=%d\n" % 0o30644, b"virtfs.mode=%d\n" % 0o40755,
        b"virtfs.rdev=-5\nvirtfs.mode=%d\n" % 0o20644,
    ],
    ids=range(10),
)  # fmt: skip
def test_garbage_in_metadata_files_is_no_reply_that_a_kernel_chokes_on(
    hidden: Lab, dialect: bytes, content: bytes
) -> None:
    with hidden.client(dialect) as client:
        own_tree(hidden, client)
        (hidden.top / "folder" / ".virtfs_metadata" / "in").write_bytes(content)
        (hidden.top / ".virtfs_metadata" / "folder").write_bytes(content)
        (hidden.top / ".virtfs_metadata_root").write_bytes(content)
        look_at_everything(client)


def look_at_everything(client: Attacker) -> None:
    """All that a client asks of a folder and a file."""
    for fid in (ROOT, FOLDER, FILE):
        client.errors_of(m.Tstat(fid))
        if client.linux:
            client.errors_of(m.Tgetattr(fid, GETATTR_BASIC))
            client.errors_of(m.Treadlink(fid))
    for names in ([b"folder"], [b"folder", b"in"]):
        client.errors_of(m.Twalk(ROOT, SPARE, names))
        client.errors_of(m.Topen(SPARE, 0))
        client.errors_of(m.Tread(SPARE, 0, 4000))
        if client.linux:
            client.errors_of(m.Treaddir(SPARE, 0, 4000))
        client.errors_of(m.Tclunk(SPARE))


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "link to a file": lambda place, canary: place.symlink_to(canary / "file"),
    "link to a folder": lambda place, canary: place.symlink_to(canary / "dir"),
    "fifo": lambda place, _: os.mkfifo(place),
    "file": lambda place, _: place.write_bytes(b"virtfs.uid=5\n"),
    "folder": lambda place, _: place.mkdir(),
    "hard link to the file itself": lambda place, _: os.link(place.parent.parent / "in", place),
}


@pytest.mark.parametrize("plant", PLANTED)
@pytest.mark.parametrize("where", ["record", "directory", "root"])
def test_what_a_host_process_plants_where_metadata_is_kept(hidden: Lab, plant: str, where: str) -> None:
    """Links and FIFOs in the place of metadata are not followed, not opened, and not waited for."""
    with hidden.client() as client:
        own_tree(hidden, client)
        place = {
            "record": hidden.top / "folder" / ".virtfs_metadata" / "in",
            "directory": hidden.top / "folder" / ".virtfs_metadata",
            "root": hidden.top / ".virtfs_metadata_root",
        }[where]
        if os.path.lexists(place):
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        if where != "record" and plant.startswith("hard link"):
            return
        PLANTED[plant](place, hidden.canary.top)
        look_at_everything(client)
        for fid, name in ((FOLDER, b"new"), (ROOT, b"new")):
            client.walk(fid, SPARE)
            client.errors_of(m.Tlcreate(SPARE, name, 2, 0o600, 7))
            client.errors_of(m.Tclunk(SPARE))
            client.errors_of(m.Tmkdir(fid, b"newdir", 0o700, 7))
        for fid in (ROOT, FOLDER, FILE):
            client.errors_of(m.Tsetattr(fid, 0x7, 0o100600, 8, 9, 0, 0, 0, 0, 0))
        client.errors_of(m.Trenameat(FOLDER, b"in", ROOT, b"in"))
        client.errors_of(m.Tunlinkat(ROOT, b"in", 0))
        client.errors_of(m.Tunlinkat(ROOT, b"folder", 0x200))


def test_metadata_flipped_to_links_while_attributes_change(hidden: Lab) -> None:
    """The record, and the folder of records, are exchanged with links to the canary all
    the time.
    """
    with hidden.client() as client:
        own_tree(hidden, client)
        records = hidden.top / "folder" / ".virtfs_metadata"
        (hidden.top / "folder" / "link").symlink_to(hidden.canary.top)

        def exchanging(stop: object) -> None:
            while not stop.is_set():  # type: ignore[attr-defined]
                try:
                    os.rename(records, hidden.top / "folder" / "away")
                    os.rename(hidden.top / "folder" / "link", records)
                    os.rename(records, hidden.top / "folder" / "link")
                    os.rename(hidden.top / "folder" / "away", records)
                except OSError:
                    shutil.rmtree(records, ignore_errors=True)

        with beside(exchanging):
            for number in range(400):
                client.errors_of(m.Tsetattr(FILE, 0x7, 0o100600 | number % 64, number, 9, 0, 0, 0, 0, 0))
                client.errors_of(m.Tgetattr(FILE, GETATTR_BASIC))
                client.errors_of(m.Tmkdir(FOLDER, b"d%d" % number, 0o700, number))
