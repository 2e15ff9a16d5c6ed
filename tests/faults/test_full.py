"""A disk that is really full, of bytes or of files: the client is told ENOSPC, nothing is half
written, and all goes on when there is room again.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.faults import disks
from tests.faults.disks import needs_root
from tests.serving import keeps_user_attributes
from tests.support.client import Failed, RawClient
from tests.threats.lab import MAPPED, Attacker, Lab
from tests.threats.verbs import setattr_

from ninep.linux import GETATTR_BASIC, O_RDWR, SETATTR_GID, SETATTR_MODE, SETATTR_SIZE, SETATTR_UID, Errno
from ninep.wire import messages as m

pytestmark = needs_root
State = dict[bytes, tuple[object, ...]]
Verb = Callable[[RawClient], object]
ROOT, FILE, FOLDER, NEW = 0, 1, 2, 3
BIG = b"B" * 6000


@pytest.fixture(params=["passthrough", *MAPPED])  # none is passthrough with other errors
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ninep-full.") as folder:
        yield Path(folder)


@pytest.fixture(params=["tmpfs", "tmpfs without inodes", "ext4"])
def lab(request: pytest.FixtureRequest, base: Path, model: str) -> Iterator[Lab]:
    """A lab whose export is a small disk. An image of ext4 must be clean at the end."""
    image = base / "image"
    with ExitStack() as stack:
        if request.param == "ext4":
            stack.enter_context(disks.ext4(base / "export", image))
        else:
            more = ",nr_inodes=60" if request.param.endswith("inodes") else ",nr_inodes=10000"
            stack.enter_context(disks.tmpfs(base / "export", "size=1m" + more))
        if model in {"mapped-owner", "mapped-xattr"} and not keeps_user_attributes(base / "export"):
            pytest.skip("this kernel's tmpfs keeps no user attributes")
        with Lab(base, model) as made:
            yield made
    if request.param == "ext4":
        assert disks.consistent(image) == ""


def prepare(client: RawClient) -> None:
    """A file and a folder, owned by somebody else than the server."""
    client.create(ROOT, FILE, b"file", b"content")
    client.clunk(FILE)
    client.walk(ROOT, FILE, b"file")
    client.rpc(setattr_(SETATTR_UID | SETATTR_GID, fid=FILE, uid=1000, gid=100))
    client.rpc(setattr_(SETATTR_MODE, fid=FILE, mode=0o640))
    client.mkdir(ROOT, b"folder")
    client.walk(ROOT, FOLDER, b"folder")
    set_attribute(client, FILE, b"user.old", b"value")


def set_attribute(client: RawClient, fid: int, name: bytes, value: bytes) -> None:
    client.walk(fid, 20)
    try:
        client.rpc(m.Txattrcreate(20, name, len(value), 0))
        client.rpc(m.Twrite(20, 0, value))
    finally:
        client.clunk(20)


def get_attribute(client: RawClient, fid: int, name: bytes) -> bytes | None:
    try:
        size = client.rpc(m.Txattrwalk(fid, 21, name)).size
    except Failed:
        return None
    value = client.read(21, 0, size)
    client.clunk(21)
    return value


def names(client: RawClient, fid: int) -> list[bytes]:
    client.walk(fid, 22)
    client.open(22)
    found = client.names(22)
    client.clunk(22)
    return found


def state(client: RawClient) -> State:
    """All that clients can tell."""
    found: State = {}
    for folder in (ROOT, FOLDER):
        for name in names(client, folder):
            if name == b"ballast":
                continue
            client.walk(folder, 23, name)
            attributes = client.rpc(m.Tgetattr(23, GETATTR_BASIC)).attributes
            content: object = None
            if stat.S_ISREG(attributes.mode):
                values = [get_attribute(client, 23, key) for key in (b"user.old", b"user.new")]
                client.open(23)
                content = client.read(23, 0, 8000), *values
            client.clunk(23)
            found[b"%d/%s" % (folder, name)] = (oct(attributes.mode), attributes.uid, attributes.gid, content)
    return found


def write(client: RawClient, offset: int, data: bytes) -> None:
    client.walk(FILE, 24)
    client.open(24, O_RDWR)
    try:
        done = client.rpc(m.Twrite(24, offset, data)).count
        if done < len(data):  # as write(2): the rest is told when it is tried
            client.rpc(setattr_(SETATTR_SIZE, fid=24, size=len(b"content")))
            raise Failed(Errno.ENOSPC)
    finally:
        client.clunk(24)


def create(client: RawClient) -> None:
    client.walk(FOLDER, NEW)
    try:
        client.rpc(m.Tlcreate(NEW, b"made", O_RDWR, 0o6711, 100))
    finally:
        client.clunk(NEW)


VERBS: dict[str, Verb] = {
    "create": create,
    "mkdir": lambda client: client.rpc(m.Tmkdir(FOLDER, b"made", 0o2751, 100)),
    "symlink": lambda client: client.rpc(m.Tsymlink(FOLDER, b"made", b"t" * 900, 100)),
    "mknod": lambda client: client.rpc(m.Tmknod(FOLDER, b"made", stat.S_IFIFO | 0o611, 0, 0, 100)),
    "link": lambda client: client.rpc(m.Tlink(FOLDER, FILE, b"made")),
    "rename": lambda client: client.rpc(m.Trenameat(ROOT, b"file", FOLDER, b"made")),
    "write": lambda client: write(client, 8192, BIG),
    "chmod": lambda client: client.rpc(setattr_(SETATTR_MODE, fid=FILE, mode=0o600)),
    "chown": lambda client: client.rpc(setattr_(SETATTR_UID | SETATTR_GID, fid=FILE, uid=1, gid=2)),
    "chmod of a folder": lambda client: client.rpc(setattr_(SETATTR_MODE, fid=FOLDER, mode=0o700)),
    "set an attribute": lambda client: set_attribute(client, FILE, b"user.new", b"v" * 900),
    "replace an attribute": lambda client: set_attribute(client, FILE, b"user.old", b"w" * 900),
}
MAKES = {"create", "mkdir", "symlink", "mknod", "link"}


def attempt(client: Attacker, verb: str) -> bool:
    """True if it was done; False if the client was told that there is no room."""
    said = None
    try:
        VERBS[verb](client)
    except Failed as failure:
        said = failure.code
    assert said in {None, Errno.ENOSPC}, f"{verb}: {said}"
    return said is None


def refill(lab: Lab) -> None:
    """Bytes, and files if there is a small number of them: as many as go in."""
    disks.fill(lab.top)
    with contextlib.suppress(OSError):
        for number in range(100 if os.statvfs(lab.top).f_files < 100 else 0):
            (lab.top / f"ballast{number}").touch()


def make_room(lab: Lab) -> None:
    for path in lab.top.glob("ballast*"):
        path.unlink()


def only_ours(found: State) -> State:
    return {name: what for name, what in found.items() if not name.startswith(b"0/ballast")}


def test_nothing_is_half_done(lab: Lab) -> None:
    client = lab.client()
    prepare(client)
    refused = set()
    for verb in VERBS:
        before = only_ours(state(client))
        litter = hidden(lab.top)
        refill(lab)
        done = attempt(client, verb)
        after = only_ours(state(client))
        assert done == (after != before), f"{verb}: {'done' if done else 'refused'}, but {after} after {before}"
        if done:
            make_room(lab)
            undo(client, lab)
            continue
        refused.add(verb)
        assert hidden(lab.top) == litter, f"{verb} left something behind"
        make_room(lab)
        assert attempt(client, verb), f"{verb} fails although there is room"
        assert only_ours(state(client)) != before
        undo(client, lab)
    assert refused & (MAKES | {"write"}), f"the disk was not full: only {refused} failed"
    client.clunk(FILE, FOLDER)


def hidden(top: Path) -> set[str]:
    """Everything on disk but the ballast and its records, by name."""
    found = {str(path.relative_to(top)) for path in top.rglob("*")}
    return {name for name in found if "ballast" not in name and not name.endswith(".virtfs_metadata")}


def undo(client: RawClient, lab: Lab) -> None:
    """The same files as at first, for the next verb."""
    for folder in (ROOT, FOLDER):
        for name in names(client, folder):
            if name != b"folder":
                directory = client.walk(folder, 25, name)[0].type == 0x80
                client.clunk(25)
                client.rpc(m.Tunlinkat(folder, name, 0x200 if directory else 0))
    client.clunk(FILE, FOLDER)
    client.rpc(m.Tunlinkat(ROOT, b"folder", 0x200))
    assert names(client, ROOT) in ([], [b"lost+found"])
    prepare(client)


@pytest.mark.parametrize("model", ["passthrough", "mapped-file"])
def test_what_was_told_to_be_written_is_there(base: Path, model: str) -> None:
    """A file that grows until the disk is full: each count that was answered is in the file, in
    order, and Tfsync says the same.
    """
    with disks.tmpfs(base / "export", "size=512k"), Lab(base, model) as lab:
        client = lab.client(msize=65536)
        client.create(ROOT, FILE, b"grows")
        size, told = 0, set()
        for turn in range(100):
            try:
                size += client.rpc(m.Twrite(FILE, size, bytes([turn]) * 9000)).count
            except Failed as failure:
                told.add(failure.code)
                break
        assert told == {Errno.ENOSPC}
        assert size > 100_000
        client.rpc(m.Tfsync(FILE, 0))
        content = (lab.top / "grows").read_bytes()
        assert len(content) == size
        assert all(content[at] == at // 9000 for at in range(0, size, 500))
        client.rpc(setattr_(SETATTR_SIZE, fid=FILE, size=0))
        assert client.rpc(m.Twrite(FILE, 0, b"again")).count == 5
        assert "ENOSPC" in " ".join(lab.records.messages()), "people are told too"
