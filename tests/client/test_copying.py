"""Files and trees between hosts, with both clients; and trees of hostile servers."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from tests.client.expect import refused
from tests.client.fake import ROOT, FakeServer
from tests.support.client import TIMEOUT

from ninep.client.errors import ProtocolError
from ninep.client.local import Keep
from ninep.linux import S_IFIFO
from ninep.wire.codec import pack_dirents
from ninep.wire.messages import (
    Rgetattr,
    Rlerror,
    Rlopen,
    Rread,
    Rreaddir,
    Rreadlink,
    Rwalk,
    Tgetattr,
    Tlopen,
    Tread,
    Treaddir,
    Treadlink,
    Twalk,
)
from ninep.wire.types import Attributes, Dirent, Qid


@pytest.fixture(params=["9P2000.L", "9P2000.u", "9P2000"])
def client(request, connect):
    return connect(request.param)


@pytest.fixture
def linux(connect):
    return connect("9P2000.L")


def picture(top: Path) -> dict[str, object]:
    """Everything below a directory: contents, link targets, None for directories."""
    found: dict[str, object] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        found[name] = os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


def remote_picture(client, top: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for path, directories, others in client.walk(top):
        prefix = path[len(top) :].strip("/")
        for entry in directories:
            found[f"{prefix}/{entry.name}".strip("/")] = None
        for entry in others:
            name = f"{prefix}/{entry.name}".strip("/")
            found[name] = client.readlink(entry.path) if entry.is_symlink() else client.read_bytes(entry.path)
    return found


@pytest.fixture
def source(tmp_path):
    top = tmp_path / "source"
    for name in ("a/deep/deeper", "b", "empty"):
        (top / name).mkdir(parents=True)
    (top / "file").write_bytes(b"top")
    (top / "a/file").write_bytes(os.urandom(300_000))
    (top / "a/deep/deeper/file").write_bytes(b"")
    (top / "b/Grüße").write_bytes(b"x")
    return top


# -- one file


def test_a_file_there_and_back(client, tmp_path):
    (tmp_path / "here").write_bytes(b"content" * 10_000)
    client.put(tmp_path / "here", "there")
    client.get("there", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"content" * 10_000


def test_permissions_go_along(linux, tmp_path):
    (tmp_path / "here").write_bytes(b"")
    (tmp_path / "here").chmod(0o751)
    linux.put(tmp_path / "here", "there")
    assert stat.S_IMODE(linux.stat("there").st_mode) == 0o751


def test_times_and_owner_go_along_when_asked(linux, tmp_path):
    (tmp_path / "here").write_bytes(b"")
    os.utime(tmp_path / "here", ns=(5, 1_234_567_890_123_456_789))
    linux.put(tmp_path / "here", "there", keep=Keep(times=True, owner=True))
    found = linux.stat("there")
    assert (found.st_mtime_ns, found.st_uid) == (1_234_567_890_123_456_789, os.getuid())
    linux.get("there", tmp_path / "back", keep=Keep(times=True))
    assert (tmp_path / "back").stat().st_mtime_ns == 1_234_567_890_123_456_789


def test_progress_is_reported(client, tmp_path):
    (tmp_path / "here").write_bytes(bytes(5000))
    reports = []
    client.put(tmp_path / "here", "there", progress=lambda *args: reports.append(args))
    assert reports == [(str(tmp_path / "here"), 0, 5000), (str(tmp_path / "here"), 5000, 5000)]
    reports.clear()
    client.get("there", tmp_path / "back", progress=lambda *args: reports.append(args))
    assert (reports[0], reports[-1]) == (("/there", 0, 5000), ("/there", 5000, 5000))


def test_a_link_to_what_is_meant_is_followed(linux, tmp_path):
    linux.write_bytes("file", b"meant")
    linux.symlink("file", "link")
    linux.get("link", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"meant"
    (tmp_path / "copy").write_bytes(b"changed")
    linux.put(tmp_path / "copy", "link")
    assert linux.read_bytes("file") == b"changed"


def test_what_is_not_copied(linux, tmp_path):
    linux.mkdir("dir")
    linux.mknod("fifo", S_IFIFO | 0o600)
    with refused(errno.EISDIR, "dir"):
        linux.get("dir", tmp_path / "x")
    with refused(errno.EISDIR, str(tmp_path)):
        linux.put(tmp_path, "x")
    with refused(errno.EOPNOTSUPP, "/fifo"):
        linux.get("fifo", tmp_path / "x")
    with refused(errno.ENOENT, "missing"):
        linux.get("missing", tmp_path / "x")
    with refused(errno.ENOENT, str(tmp_path / "missing")):
        linux.put(tmp_path / "missing", "x")
    with refused(errno.ENOENT):
        linux.get("fifo/../missing", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    assert sorted(linux.listdir()) == ["dir", "fifo"]


# -- trees


def test_a_tree_there_and_back(client, source, tmp_path):
    client.put(source, "copy", recursive=True)
    assert remote_picture(client, "/copy") == picture(source)
    client.get("copy", tmp_path / "back", recursive=True)
    assert picture(tmp_path / "back") == picture(source)


def test_over_what_is_there(linux, source, tmp_path):
    linux.put(source, "copy", recursive=True)
    (source / "file").write_bytes(b"newer")
    (source / "link").symlink_to("a")
    linux.put(source, "copy", recursive=True)
    linux.put(source, "copy", recursive=True)
    assert remote_picture(linux, "/copy") == picture(source)
    linux.get("copy", tmp_path / "back", recursive=True)
    linux.get("copy", tmp_path / "back", recursive=True)
    assert picture(tmp_path / "back") == picture(source)


def test_links_stay_links_or_are_followed(linux, source):
    (source / "link").symlink_to("a/file")
    (source / "dirlink").symlink_to("b")
    (source / "dangling").symlink_to("nowhere")
    linux.put(source, "kept", recursive=True)
    assert linux.readlink("kept/link") == "a/file"
    assert linux.readlink("kept/dangling") == "nowhere"
    errors = []
    linux.put(source, "followed", recursive=True, dereference=True, onerror=errors.append)
    assert linux.read_bytes("followed/link") == (source / "a/file").read_bytes()
    assert linux.listdir("followed/dirlink") == ["Grüße"]
    assert [error.filename for error in errors] == [str(source / "dangling")]


def test_a_circle_of_links_ends(linux, source):
    (source / "a/up").symlink_to("..")
    errors = []
    linux.put(source, "copy", recursive=True, dereference=True, onerror=errors.append)
    assert [error.errno for error in errors] == [errno.ELOOP]


def test_directories_without_permissions_are_filled_first(linux, source, tmp_path):
    (source / "a/deep").chmod(0o500)
    try:
        linux.put(source, "copy", recursive=True, keep=Keep(times=True))
        assert stat.S_IMODE(linux.stat("copy/a/deep").st_mode) == 0o500
        linux.put(source, "plain", recursive=True)
        assert stat.S_IMODE(linux.stat("plain/a/deep").st_mode) == 0o500
        linux.get("copy", tmp_path / "back", recursive=True, keep=Keep(times=True))
        assert stat.S_IMODE((tmp_path / "back/a/deep").stat().st_mode) == 0o500
        assert (tmp_path / "back/a").stat().st_mtime_ns == (source / "a").stat().st_mtime_ns
    finally:
        for path in (source / "a/deep", tmp_path / "back/a/deep"):
            if path.exists():
                path.chmod(0o700)


def test_failures_are_reported_and_the_copy_continues(linux, tmp_path):
    linux.makedirs("top/dir")
    linux.mknod("top/fifo", S_IFIFO | 0o600)
    linux.write_bytes("top/file", b"1")
    linux.write_bytes("top/taken", b"2")
    (tmp_path / "back/taken").mkdir(parents=True)
    errors = []
    linux.get("top", tmp_path / "back", recursive=True, onerror=errors.append)
    assert sorted((error.errno, str(error.filename)) for error in errors) == sorted(
        [(errno.EOPNOTSUPP, "/top/fifo"), (errno.EISDIR, str(tmp_path / "back/taken"))]
    )
    assert (tmp_path / "back/file").read_bytes() == b"1"
    assert (tmp_path / "back/dir").is_dir()
    with refused(errno.EOPNOTSUPP):
        linux.get("top", tmp_path / "other", recursive=True)


# -- trees of hostile servers


class FakeTree:
    """Rules for a `FakeServer` that shows one directory; entries are (name, qid type, d_type).

    `plays` gives the results of the first, second ... walk to a name.
    """

    def __init__(
        self, *entries: tuple[bytes, int, int], target: bytes = b"", plays: dict[bytes, list[int]] | None = None
    ) -> None:
        self._plays = plays or {}
        self._qids = {name: Qid(kind, 0, n + 2) for n, (name, kind, _) in enumerate(entries)}
        listing = [Dirent(*self._qids[name], n + 1, dtype, name) for n, (name, _, dtype) in enumerate(entries)]
        self._data = b"".join(pack_dirents(listing, 1 << 16)[0])
        self._fids = {0: (ROOT, 0)}
        self._listed = False
        self._target = target

    def rules(self):
        return {
            Twalk: self.walk,
            Tgetattr: lambda t: Rgetattr(Attributes(mode=self.mode(t.fid), size=4)),
            Tlopen: lambda t: Rlopen(self._fids[t.fid][0], 0),
            Treaddir: self.readdir,
            Treadlink: Rreadlink(self._target),
            Tread: lambda t: Rread(b"evil"[t.offset :]),
        }

    def mode(self, fid):
        return {0x80: 0o040755, 2: 0o120777}.get(self._fids[fid][0].type, 0o100644)

    def walk(self, t):
        qid, depth = self._fids[t.fid]
        qids = []
        for name in t.wnames:
            if qid.type != 0x80:
                break
            qid, depth = self._qids.get(name, Qid(0, 0, 99)), depth + 1
            if self._plays.get(name):
                qid = Qid(self._plays[name].pop(0), 0, 7)
            qids.append(qid)
        if t.wnames and not qids:
            return Rlerror(20)
        if len(qids) == len(t.wnames):
            self._fids[t.newfid] = (qid, depth)
        return Rwalk(qids)

    def readdir(self, t):
        depth = self._fids[t.fid][1]
        if t.offset:
            return Rreaddir(b"")
        if depth:
            return Rreaddir(b"".join(pack_dirents([Dirent(0, 0, 50, 1, 8, b"passwd")], 1000)[0]))
        return Rreaddir(self._data)


@pytest.fixture
def cage(tmp_path):
    """A folder to copy into, beside files that must stay unchanged."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/passwd").write_bytes(b"precious")
    yield tmp_path / "target"
    assert (tmp_path / "outside/passwd").read_bytes() == b"precious"
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["passwd"]
    assert {path.name for path in tmp_path.iterdir()} <= {"outside", "target"}


def take(face, tree, target):
    """Copy everything from a hostile server. Returns the reported errors."""
    errors = []
    with (
        FakeServer(tree.rules()) as server,
        face.connect(server.socket, dialect="9P2000.L", timeout=TIMEOUT) as client,
    ):
        client.get("/", target, recursive=True, onerror=errors.append)
    return errors


@pytest.mark.parametrize("name", [b"../outside/passwd", b"/tmp/evil", b"..\x00", b"a/b"])
def test_names_that_lead_out(face, cage, name):
    with pytest.raises(ProtocolError):
        take(face, FakeTree((name, 0, 8)), cage)
    assert list(cage.iterdir()) == []


def test_a_link_and_a_directory_of_one_name(face, cage):
    """The link is made last and is not followed: files below the name stay inside."""
    link, directory = (b"x", 2, 10), (b"x", 0x80, 4)
    for first, second in ((link, directory), (directory, link)):
        # looked at both, listed, opened what is in it, read the link
        plays = {b"x": [first[1], second[1], 0x80, 0x80, 2]}
        errors = take(face, FakeTree(first, second, target=b"../outside", plays=plays), cage)
        assert [(error.errno, error.filename2) for error in errors] == [(errno.EEXIST, str(cage / "x"))]
        assert (cage / "x/passwd").read_bytes() == b"evil"


def test_a_link_and_a_file_of_one_name(face, cage):
    plays = {b"x": [2, 0, 0, 2]}
    errors = take(face, FakeTree((b"x", 2, 10), (b"x", 0, 8), target=b"../outside/passwd", plays=plays), cage)
    assert [error.errno for error in errors] == [errno.EEXIST]
    assert (cage / "x").read_bytes() == b"evil"


def test_a_link_of_an_earlier_copy_is_not_followed(face, cage):
    assert take(face, FakeTree((b"x", 2, 10), target=b"../outside"), cage) == []
    assert os.readlink(cage / "x") == "../outside"
    errors = take(face, FakeTree((b"x", 0x80, 4)), cage)
    assert [error.errno for error in errors] == [errno.ENOTDIR]


def test_a_file_replaces_a_link_of_an_earlier_copy(face, cage):
    take(face, FakeTree((b"x", 2, 10), target=b"../outside/passwd"), cage)
    assert take(face, FakeTree((b"x", 0, 8)), cage) == []
    assert not (cage / "x").is_symlink()
    assert (cage / "x").read_bytes() == b"evil"


def test_wrong_types_of_entries(face, cage):
    errors = take(face, FakeTree((b"dir", 0, 4), (b"file", 0x80, 8), (b"link", 0, 10), target=b"x"), cage)
    assert all(isinstance(error, OSError) for error in errors)
    assert {path.name for path in cage.iterdir()} <= {"dir", "file", "link"}


def test_a_copy_that_breaks_off_leaves_no_half_file(face, cage):
    tree = FakeTree((b"file", 0, 8))
    rules = tree.rules()
    rules[Tread] = lambda t: server.hang_up() if t.offset else Rread(b"half")
    rules[Tgetattr] = lambda t: Rgetattr(Attributes(mode=tree.mode(t.fid), size=1000))
    server = FakeServer(rules)
    with (
        server,
        face.connect(server.socket, dialect="9P2000.L", timeout=TIMEOUT) as client,
        pytest.raises(ConnectionError),
    ):
        client.get("/", cage, recursive=True, onerror=lambda error: None)
    assert list(cage.iterdir()) == []


class TestBetweenServers:
    """`copy_from`, here of a server to itself: two connections, as two addresses of it have."""

    @pytest.fixture
    def source(self, connect):
        files = connect("9P2000.L")
        files.makedirs("top/dir")
        files.write_bytes("top/file", b"1" * 5_000_000)
        files.write_bytes("top/dir/deep", b"2")
        files.utime("top/file", mtime=5 * 10**9)
        return files

    def test_a_tree(self, client, source):
        moved = []
        client.copy_from(
            source, "top", "new", recursive=True, keep=Keep(times=True), progress=lambda *one: moved.append(one)
        )
        assert remote_picture(source, "new") == remote_picture(source, "top")
        assert source.stat("new/file").st_mtime_ns == 5 * 10**9
        assert ("/top/file", 5_000_000, 5_000_000) in moved

    def test_an_empty_file_and_one_in_place_of_another(self, client, source):
        source.write_bytes("empty", b"")
        client.copy_from(source, "empty", "top/file")
        assert source.read_bytes("top/file") == b""

    def test_errors_have_the_path_of_their_server(self, client, source):
        with refused(errno.ENOENT, "there:/nothing"):
            client.copy_from(source, "nothing", "new", shown=lambda path: f"there:/{path.lstrip('/')}")
        with refused(errno.ENOENT, "/none/new"):
            client.copy_from(source, "top/file", "/none/new")
        with refused(errno.EISDIR, "/top"):
            client.copy_from(source, "top", "new")

    def test_what_is_the_same(self, linux, source):
        source.link("top/file", "hard")
        with pytest.raises(OSError, match="onto itself"):
            linux.copy_from(source, "top/file", "hard")
        with pytest.raises(OSError, match="into itself"):
            linux.copy_from(source, "top", "top/dir/below", recursive=True)
        assert len(source.read_bytes("top/file")) == 5_000_000
