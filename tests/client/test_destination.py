"""The destinations of `get` and `put`: never through a link that a server or an earlier copy made,
never two names into one file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.client.conftest import InThread
from tests.client.expect import refused
from tests.client.faces import Blocking
from tests.client.fake import FakeServer
from tests.client.test_copying import FakeTree, picture, remote_picture
from tests.support.client import TIMEOUT

from ninep.client import destination
from ninep.client.blocking import Client
from ninep.client.copied import Copied
from ninep.client.destination import Destination, Folder, typed_target
from ninep.client.local import Keep
from ninep.client.stat import from_attributes
from ninep.drivers.local import LocalDriver
from ninep.linux import S_IFIFO
from ninep.wire.types import Attributes


@pytest.fixture(params=[True, False], ids=["handles", "paths"])
def host(request, monkeypatch):
    """Hosts with handles relative to directories, and those without (Windows)."""
    if not request.param:
        monkeypatch.setattr(destination, "HANDLES", False)
        monkeypatch.setattr(destination, "_BY_HANDLE", False)


@pytest.fixture
def home(tmp_path) -> Iterator[Path]:
    """A directory that links refer to, and that must stay unchanged."""
    home = tmp_path / "home"
    (home / "ssh").mkdir(parents=True)
    (home / "rc").write_bytes(b"mine")
    yield home
    assert picture(home) == {"rc": b"mine", "ssh": None}


@pytest.fixture
def dest(tmp_path, home) -> Path:
    """A destination in which an earlier copy left links."""
    (tmp_path / "dest/dir").mkdir(parents=True)
    for place in ("dest", "dest/dir"):
        (tmp_path / place / "file").symlink_to(home / "rc")
        (tmp_path / place / "sub").symlink_to(home / "ssh")
    return tmp_path / "dest"


@pytest.fixture
def remote(linux):
    linux.makedirs("top/dir/sub")
    for path in ("file", "top/file", "top/dir/file", "top/dir/sub/keys"):
        linux.write_bytes(path, b"evil")
    linux.makedirs("sub")
    linux.write_bytes("sub/keys", b"evil")
    return linux


@pytest.mark.usefixtures("host", "home")
def test_a_tree_over_the_links_of_a_former_one(remote, dest):
    errors = []
    remote.get("top", dest, recursive=True, keep=Keep(times=True), onerror=errors.append)
    assert [(error.errno, str(error.filename)) for error in errors] == [(errno.ENOTDIR, str(dest / "dir/sub"))]
    assert "symbolic link" in errors[0].strerror
    assert (dest / "file").read_bytes() == (dest / "dir/file").read_bytes() == b"evil"
    assert not (dest / "file").is_symlink()
    assert (dest / "dir/sub").is_symlink()


@pytest.mark.usefixtures("host", "home")
def test_one_file_and_one_folder_into_the_destination(remote, dest):
    with Destination(str(dest)) as folder:
        remote.get("file", folder.child("file", "file"))
        with refused(errno.ENOTDIR, str(dest / "sub")):
            remote.get("sub", folder.child("sub", "sub"), recursive=True)
    assert (dest / "file").read_bytes() == b"evil"


@pytest.mark.usefixtures("host", "home")
def test_a_name_that_the_user_typed(remote, dest, tmp_path):
    """A link to a directory is followed, because the user typed it; a link to a file is
    replaced.
    """
    remote.get("file", dest / "file")
    assert (dest / "file").read_bytes() == b"evil"
    assert not (dest / "file").is_symlink()
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    remote.get("file", tmp_path / "way/file")
    remote.get("sub", tmp_path / "way", recursive=True)
    remote.get("sub", f"{tmp_path}/new/", recursive=True)
    assert picture(tmp_path / "real") == {"file": b"evil", "keys": b"evil"}
    assert picture(tmp_path / "new") == {"keys": b"evil"}
    with refused(errno.ENOENT):
        remote.get("file", f"{tmp_path}/none/")


def test_links_that_the_same_command_made(face, home, tmp_path):
    """The first source has a link where the second one has a folder, or a file."""
    top = tmp_path / "top"
    top.mkdir()
    copied = Copied()

    def take(tree, **options):
        errors = []
        with (
            FakeServer(tree.rules()) as server,
            face.connect(server.socket, dialect="9P2000.L", timeout=TIMEOUT) as client,
            Destination(str(top), copied) as folder,
        ):
            client.get("/", typed_target(str(top), copied), recursive=True, onerror=errors.append)
            if options:
                with refused(options["errno"]):
                    client.get("/x", folder.child("x", "x"), recursive=True)
        return [(error.errno, error.filename) for error in errors]

    assert take(FakeTree((b"x", 2, 10), target=bytes(home / "ssh"))) == []
    assert take(FakeTree((b"x", 0x80, 4)), errno=errno.ENOTDIR) == [(errno.ENOTDIR, str(top / "x"))]
    assert take(FakeTree((b"x", 0, 8)), errno=errno.EEXIST) == [(errno.EEXIST, str(top / "x"))]
    assert os.readlink(top / "x") == str(home / "ssh")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the host has no FIFOs")
@pytest.mark.usefixtures("host")
def test_a_fifo_in_the_way_is_not_opened(remote, tmp_path):
    os.mkfifo(tmp_path / "file")
    with Destination(str(tmp_path)) as folder, refused(errno.EEXIST, str(tmp_path / "file")):
        remote.get("file", folder.child("file", "file"))
    errors = []
    remote.get("top", tmp_path, recursive=True, onerror=errors.append)
    assert [(error.errno, str(error.filename)) for error in errors] == [(errno.EEXIST, str(tmp_path / "file"))]
    assert stat.S_ISFIFO((tmp_path / "file").stat().st_mode)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the host has no FIFOs")
def test_a_fifo_that_the_user_typed_is_written_to_if_it_is_read(remote, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with refused(errno.ENXIO, str(tmp_path / "fifo")):
        remote.get("file", tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    with os.fdopen(reader, "rb") as pipe:
        remote.get("file", tmp_path / "fifo")
        assert pipe.read() == b"evil"


def test_standard_output_is_written_on_not_anew(remote, tmp_path):
    """`/dev/fd/N` of this process, a link to a file on Linux: neither replaced nor truncated."""
    with open(tmp_path / "out", "wb", buffering=0) as out:
        out.write(b"before ")
        path = f"/dev/fd/{out.fileno()}"
        if not os.path.exists(path):
            pytest.skip("the host has no /dev/fd")
        remote.get("file", path)
        out.write(b" after ")
        if os.path.islink("/proc/self"):
            remote.get("file", f"/proc/self/fd/{out.fileno()}")
    assert (tmp_path / "out").read_bytes().startswith(b"before evil after ")


@pytest.mark.usefixtures("host")
def test_setuid_is_a_servers_word_only_when_asked(tmp_path):
    (tmp_path / "old").write_bytes(b"")
    (tmp_path / "old").chmod(0o6755)
    found = from_attributes(Attributes(mode=0o106755, uid=os.getuid(), gid=os.getgid()))
    for name, keep, mode in (
        ("plain", Keep(), 0o755),
        ("old", Keep(), 0o755),
        ("times", Keep(times=True), 0o755),
        ("owner", Keep(times=True, owner=True), 0o755),
        ("asked", Keep(times=True, owner=True, setid=True), 0o6755),
    ):
        with Destination(str(tmp_path)) as folder, folder.folder() as directory:
            file = directory.receive(name, 0o755)
            file.commit(found, keep)
            file.discard()
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) & ~0o022 == mode & ~0o022, name


@pytest.mark.usefixtures("host", "home")
def test_another_name_of_a_file_keeps_its_content(remote, home, dest):
    """A hard link is replaced, like a symbolic link."""
    (dest / "file").unlink()
    os.link(home / "rc", dest / "file")
    remote.get("top", dest, recursive=True, onerror=lambda error: None)
    assert (dest / "file").read_bytes() == b"evil"


@pytest.mark.skipif(not destination.HANDLES, reason="the host has no handles relative to directories")
def test_a_directory_that_is_swapped_for_a_link_meanwhile(remote, home, tmp_path):
    """By another program, while a file is being received: the file stays in the directory that was
    opened, nothing is written elsewhere.
    """
    top = tmp_path / "top"

    def swap(path, done, size):
        if path == "/top/dir/file" and not (tmp_path / "aside").exists():
            (top / "dir").rename(tmp_path / "aside")
            (top / "dir").symlink_to(home)

    errors = []
    remote.get("top", top, recursive=True, keep=Keep(times=True), onerror=errors.append, progress=swap)
    assert (tmp_path / "aside/file").read_bytes() == b"evil"
    assert {error.errno for error in errors} == {errno.ENOTDIR}


# -- names that become one ---------------------------------------------------------------------------------------------


@pytest.fixture
def folding(monkeypatch):
    """A host that writes every name in lower case."""
    plain = Folder.at
    monkeypatch.setattr(Folder, "at", lambda self, name: plain(self, name.lower()))


@pytest.mark.usefixtures("folding")
def test_two_names_that_the_host_takes_for_one(face, tmp_path):
    tree = FakeTree(
        (b"readme", 0, 8),
        (b"README", 0, 8),
        (b"sub", 0x80, 4),
        (b"SUB", 0x80, 4),
        (b"l", 2, 10),
        (b"L", 2, 10),
        target=b"t",
    )
    errors = []
    with (
        FakeServer(tree.rules()) as server,
        face.connect(server.socket, dialect="9P2000.L", timeout=TIMEOUT) as client,
    ):
        for _ in range(2):  # also over what is there already
            client.get("/", tmp_path / "x", recursive=True, onerror=errors.append)
    found = [(error.errno, error.filename2 or error.filename) for error in errors]
    assert sorted(found) == sorted([(errno.EEXIST, str(tmp_path / "x" / name)) for name in ("README", "SUB", "L")] * 2)
    assert picture(tmp_path / "x") == {"l": "t", "readme": b"evil", "sub": None, "sub/passwd": b"evil"}


def test_two_sources_of_one_name(linux, tmp_path):
    linux.makedirs("a/same")
    linux.makedirs("b/same")
    for path in ("a/file", "b/file", "a/same/one", "b/same/two", "a/same/three", "b/same/three"):
        linux.write_bytes(path, path.encode())
    errors = []
    with Destination(str(tmp_path)) as folder:
        linux.get("a/file", folder.child("file", ""))
        with refused(errno.EEXIST, str(tmp_path / "file")):
            linux.get("b/file", folder.child("file", ""))
        for path in ("a/same", "b/same"):
            linux.get(path, folder.child("same", ""), recursive=True, onerror=errors.append)
    assert [(error.errno, error.filename) for error in errors] == [(errno.EEXIST, str(tmp_path / "same/three"))]
    assert (tmp_path / "file").read_bytes() == b"a/file"
    assert sorted(os.listdir(tmp_path / "same")) == ["one", "three", "two"]
    with Destination(f"{tmp_path}/.", folder.copied) as again:  # the same folder, written otherwise
        linux.get("b/same", again.child("same", ""), recursive=True, onerror=errors.append)
    assert [error.errno for error in errors[1:]] == [errno.EEXIST] * 2
    linux.get("b/file", tmp_path / "file")  # another command
    assert (tmp_path / "file").read_bytes() == b"b/file"


# -- to the server -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["9P2000.L", "9P2000.u"])
def put_linked(request, connect, tmp_path):
    """A client, a tree to put, and links on the server where it goes."""
    client = connect(request.param)
    client.makedirs("outside/dir")
    client.write_bytes("outside/file", b"precious")
    client.mkdir("dest")
    client.symlink("/outside/file", "dest/file")
    client.symlink("../outside/dir", "dest/sub")
    (tmp_path / "dest/sub").mkdir(parents=True)
    (tmp_path / "dest/sub/x").write_bytes(b"new")
    (tmp_path / "dest/file").write_bytes(b"new")
    yield client, tmp_path / "dest"
    assert remote_picture(client, "/outside") == {"dir": None, "file": b"precious"}


def test_put_replaces_links_and_goes_through_none(put_linked):
    client, source = put_linked
    errors = []
    client.put(source, "dest", recursive=True, onerror=errors.append)
    assert [(error.errno, error.filename) for error in errors] == [(errno.ENOTDIR, "/dest/sub")]
    assert client.readlink("dest/sub") == "../outside/dir"
    assert client.stat("dest/file").is_file()
    assert client.read_bytes("dest/file") == b"new"


def test_put_of_one_thing_into_a_directory(put_linked):
    client, source = put_linked
    client.put(source / "file", "dest/file", follow=False)
    assert client.stat("dest/file").is_file()
    with refused(errno.ENOTDIR, "/dest/sub"):
        client.put(source / "sub", "dest/sub", recursive=True, follow=False)


def test_a_link_is_not_opened(extended):
    extended.write_bytes("file", b"precious")
    extended.symlink("file", "link")
    for mode in ("rb", "wb", "r+b"):
        with refused(errno.ELOOP, "link"):
            extended.open("link", mode)
    assert extended.read_bytes("file") == b"precious"


def test_put_does_not_overwrite_what_it_has_just_made(client, tmp_path):
    for place in ("a/same", "b/same"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "file").write_bytes(place.encode())
    copied = Copied()
    client.put(tmp_path / "a", "dest", recursive=True, copied=copied)
    errors = []
    client.put(tmp_path / "b", "dest", recursive=True, copied=copied, onerror=errors.append)
    assert [(error.errno, error.filename) for error in errors] == [(errno.EEXIST, "/dest/same/file")]
    assert client.read_bytes("dest/same/file") == b"a/same"
    client.put(tmp_path / "b", "dest", recursive=True)
    assert client.read_bytes("dest/same/file") == b"b/same"


@pytest.mark.parametrize("dialect", ["9P2000.L", "9P2000.u", "9P2000"])
def test_names_that_a_server_takes_for_one(connect, tmp_path, monkeypatch, dialect):
    """A server that folds case, by a client that sends every name in lower case."""
    client = connect(dialect)
    folded = getattr(client, "_thing", client)
    for name in ("README", "readme"):
        (tmp_path / "src" / f"d{name}").mkdir(parents=True)
        (tmp_path / "src" / name).write_bytes(name.encode())
        (tmp_path / "src" / f"d{name}" / name).write_bytes(name.encode())
    request = folded.connection.exchange.request

    def lower(message, undo=None):
        for field in ("name", "wnames"):
            value = getattr(message, field, None)
            if isinstance(value, bytes):
                setattr(message, field, value.lower())
            elif value:
                setattr(message, field, [name.lower() for name in value])
        return request(message, undo)

    monkeypatch.setattr(folded.connection.exchange, "request", lower)
    errors = []
    client.put(tmp_path / "src", "dest", recursive=True, onerror=errors.append)
    assert sorted((error.errno, error.filename) for error in errors) == [
        (errno.EEXIST, "/dest/dreadme"),
        (errno.EEXIST, "/dest/readme"),
    ]
    assert client.read_bytes("dest/readme") == b"README"
    assert client.read_bytes("dest/dreadme/readme") == b"README"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the host has no FIFOs")
def test_devices_and_fifos_are_made_when_asked(extended, tmp_path):
    (tmp_path / "src").mkdir()
    os.mkfifo(tmp_path / "src/fifo", 0o640)
    if os.getuid() == 0:
        os.mknod(tmp_path / "src/null", stat.S_IFCHR | 0o600, os.makedev(1, 300))
    keep = Keep(times=True, owner=True, specials=True)
    for _ in range(2):
        extended.put(tmp_path / "src", "dest", recursive=True, keep=keep)
    found = extended.stat("dest/fifo")
    assert (stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode)) == (S_IFIFO, 0o640)
    if os.getuid() == 0:
        assert stat.S_ISCHR(extended.stat("dest/null").st_mode)
        assert extended.stat("dest/null").st_rdev == 1 << 8 | 300 & 0xFF | (300 & ~0xFF) << 12
    extended.remove("dest/fifo")
    extended.write_bytes("dest/fifo", b"a file")
    with refused(errno.EEXIST, "/dest/fifo"):
        extended.put(tmp_path / "src", "dest", recursive=True, keep=keep)


def test_a_local_folder_served_and_copied_to_itself_stays_whole(tmp_path):
    """ninep's server of a real folder: its files have different inodes."""
    (tmp_path / "served").mkdir()
    (tmp_path / "src").mkdir()
    for n in range(20):
        (tmp_path / "src" / str(n)).write_bytes(b"%d" % n)
    server = InThread(LocalDriver(str(tmp_path / "served"), security_model="none"))
    try:
        with Blocking().connect(server.socket(), timeout=TIMEOUT) as client:
            for _ in range(2):
                client.put(tmp_path / "src", "dest", recursive=True)
            client.get("dest", tmp_path / "back", recursive=True)
    finally:
        server.stop()
    assert picture(tmp_path / "back") == picture(tmp_path / "src")


@pytest.mark.parametrize("dialect", ["9P2000.L", "9P2000.u", "9P2000"])
@pytest.mark.parametrize("model", ["none", "mapped-owner", "mapped-file"])
def test_what_this_host_serves_is_not_copied_onto_or_into_itself(tmp_path, dialect, model):
    """``put`` would empty the file before it reads it, and go on and on with the directory."""
    served = tmp_path / "served"
    (served / "dir" / "below").mkdir(parents=True)
    (served / "dir" / "file").write_bytes(b"content")
    before = (served / "dir" / "file").stat().st_mtime_ns
    server = InThread(LocalDriver(str(served), security_model=model))
    try:
        with Blocking().connect(server.socket(), dialect=dialect, timeout=TIMEOUT) as client:
            with pytest.raises(OSError, match="a file cannot be copied onto itself"):
                client.put(served / "dir" / "file", "dir/file")
            for target in ("dir", "dir/new", "dir/below/new"):
                with pytest.raises(OSError, match="a directory cannot be copied into itself"):
                    client.put(served / "dir", target, recursive=True)
            assert (served / "dir" / "file").read_bytes() == b"content"
            assert abs((served / "dir" / "file").stat().st_mtime_ns - before) < 1_000_000_000
            client.put(served / "dir", "copy", recursive=True, keep=Keep(times=True))
            client.put(served / "dir", "copy", recursive=True, keep=Keep(times=True))
            client.put(served / "dir" / "file", "copy/file", keep=Keep(times=True))
    finally:
        server.stop()
    assert (served / "copy" / "file").read_bytes() == b"content"


DIALECTS = pytest.mark.parametrize("dialect", ["9P2000.L", "9P2000.u", "9P2000"])
INSIDE = "a directory cannot be copied into itself"


@contextmanager
def client_of(folder: Path, dialect: str, model: str = "none") -> Iterator[Client]:
    """Of a server of this folder."""
    server = InThread(LocalDriver(str(folder), security_model=model))
    try:
        with Blocking().connect(server.socket(), dialect=dialect, timeout=TIMEOUT) as client:
            yield client
    finally:
        server.stop()


@pytest.fixture
def around(tmp_path) -> Path:
    """A folder of this host in which another one is served."""
    (tmp_path / "src/served/old").mkdir(parents=True)
    (tmp_path / "src/zoo").mkdir()
    for name in ("a", "served/b", "zoo/c"):
        (tmp_path / "src" / name).write_bytes(name.encode())
    return tmp_path / "src"


@DIALECTS
@pytest.mark.parametrize("model", ["none", "mapped-owner"])
@pytest.mark.parametrize("target", ["new", "", "old", "old/below"])
def test_a_folder_around_the_served_one_is_copied_once(around, dialect, model, target):
    """It meets its own destination, which the copy fills, on the way down."""
    errors: list[OSError] = []
    with client_of(around / "served", dialect, model) as client:
        client.put(around, target, recursive=True, onerror=errors.append)
    assert [(error.errno, INSIDE in error.strerror) for error in errors] == [(errno.EINVAL, True)]
    assert errors[0].filename == os.path.join(around / "served", target).rstrip("/")
    made = around / "served" / target
    assert (made / "a").read_bytes() == b"a"
    assert (made / "zoo/c").read_bytes() == b"zoo/c"
    assert not any(path.relative_to(made).parts.count("served") > 1 for path in made.rglob("*"))


@DIALECTS
@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("target", ["new", "old", "old/below"])
def test_a_served_folder_is_copied_once_to_a_place_in_it(around, dialect, target):
    errors: list[OSError] = []
    made = around / "served" / target
    with client_of(around, dialect) as client:
        client.get("/", made, recursive=True, onerror=errors.append)
    assert [(error.errno, INSIDE in error.strerror) for error in errors] == [(errno.EINVAL, True)]
    assert errors[0].filename == f"/served/{target}"
    assert (made / "a").read_bytes() == b"a"
    assert (made / "zoo/c").read_bytes() == b"zoo/c"
    assert not any(path.relative_to(made).parts.count("served") > 1 for path in made.rglob("*"))


@DIALECTS
@pytest.mark.usefixtures("host")
def test_a_served_folder_is_not_copied_onto_itself(around, dialect):
    before = around.stat().st_mtime_ns
    with client_of(around, dialect) as client:
        with pytest.raises(OSError, match=INSIDE):
            client.get("/", around, recursive=True)
        with pytest.raises(OSError, match=INSIDE):
            client.get("/zoo", around / "zoo", recursive=True)
    assert around.stat().st_mtime_ns == before
    assert (around / "zoo/c").read_bytes() == b"zoo/c"


@DIALECTS
def test_one_folder_by_two_servers_is_copied_once(around, dialect):
    errors: list[OSError] = []
    with client_of(around, dialect) as source, client_of(around / "served", dialect) as client:
        client.copy_from(source, "/", "new", recursive=True, onerror=errors.append)
    assert [INSIDE in error.strerror for error in errors] == [True]
    assert sorted(os.listdir(around / "served/new")) == ["a", "served", "zoo"]
    assert sorted(os.listdir(around / "served/new/served")) == ["b", "old"]


@DIALECTS
@pytest.mark.parametrize("dereference", [False, True])
def test_a_file_of_a_tree_that_the_server_has_under_another_name(around, dialect, dereference):
    """A hard link, or a link that is followed: opened for writing it would be emptied first."""
    (around / "served/src/zoo").mkdir(parents=True)
    (around / "served/src/hard").write_bytes(b"content")
    os.link(around / "served/src/hard", around / "hard")
    (around / "served/src/zoo/soft").write_bytes(b"content")
    (around / "zoo/soft").symlink_to(around / "served/src/zoo/soft")
    errors: list[OSError] = []
    with client_of(around / "served", dialect) as client:
        client.put(around, "src", recursive=True, dereference=dereference, onerror=errors.append)
    onto = [str(error.filename) for error in errors if "onto itself" in error.strerror]
    assert onto == ["/src/hard", "/src/zoo/soft"][: 1 + dereference]
    assert (around / "hard").read_bytes() == (around / "served/src/hard").read_bytes() == b"content"
    if dereference:
        assert (around / "served/src/zoo/soft").read_bytes() == b"content"


@DIALECTS
def test_a_directory_of_a_tree_that_the_server_has_too(around, dialect):
    (around / "served/dir").mkdir()
    (around / "served/dir/file").write_bytes(b"content")
    (around / "dir").symlink_to(around / "served/dir")
    errors: list[OSError] = []
    with client_of(around / "served", dialect) as client:
        client.put(around, "/", recursive=True, dereference=True, onerror=errors.append)
    assert [INSIDE in error.strerror for error in errors] == [True, True]
    assert sorted(error.filename for error in errors) == sorted(["/dir", str(around / "served")])
    assert (around / "dir/file").read_bytes() == b"content"
