"""Files that a filter driver keeps (OneDrive's and other cloud providers', deduplicated,
compressed, projected ones): the file itself, not a link.
"""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from tests.host.windows.box import Box, refused
from tests.host.windows.outside import symlink_data
from tests.host.windows.test_driver import FAKED, attached, close_path_handles_where_they_belong

from ninep import host as host_module
from ninep import linux
from ninep.drivers.local import ExportError, LocalDriver
from ninep.errors import linux_errno
from ninep.host import NO_HANDLE, ObjectRef, iterate
from ninep.host.windows.api import Attribute, Tag
from ninep.host.windows.host import NtHost
from ninep.host.windows.status import NtError, Status
from ninep.linux import Errno
from ninep.node import Node, WouldBlock, serve_in_this_thread
from ninep.testing.fake_nt import FakeNt
from ninep.testing.fake_nt_volume import File

__all__ = ["close_path_handles_where_they_belong"]

CLOUD_7 = 0x9000701A
FILTERED = [Tag.CLOUD, CLOUD_7, 0x9000F01A, Tag.DEDUP, Tag.WIM, Tag.WOF, Tag.HSM, Tag.PROJFS]
HERE = b"contents on this computer"
THERE = b"contents in the cloud"


@pytest.fixture
def in_the_event_loop() -> Iterator[None]:
    """This thread serves, and must not wait."""
    serve_in_this_thread(1)
    yield
    serve_in_this_thread(-1)


def tagged(box: Box, name: str, content: bytes | None, tag: int = CLOUD_7) -> File:
    return box.fake.volume.add(f"share\\{name}", content, reparse=(tag, b"\1\2\3"))


def entries(box: Box, place: ObjectRef) -> dict[bytes, int]:
    listing = box.host.open_dir(place)
    found = {entry.name: entry.type for entry in iterate(listing) if entry.name not in {b".", b".."}}
    listing.close()
    return found


@pytest.mark.parametrize("tag", FILTERED, ids=hex)
def test_a_file_is_read_written_and_removed_as_any_other(ntfs: Box, tag: int) -> None:
    host = ntfs.host
    file = tagged(ntfs, "file", HERE, tag)
    place = ntfs.place(b"file")
    found = host.stat(place.path_handle)
    assert (found.st_mode, found.st_size) == (linux.S_IFREG | 0o777, len(HERE))
    assert entries(ntfs, ObjectRef(ntfs.root, NO_HANDLE, b"")) == {b"file": linux.DT_REG}
    for handle in (host.open_file(place, linux.O_RDWR), host.open_at(ntfs.root, b"file", linux.O_RDWR)):
        assert host.read(handle, 8, 0) == HERE[:8]
        host.close(handle)
    handle = host.open_file(place, linux.O_WRONLY | linux.O_TRUNC)
    assert host.write(handle, b"new", 0) == 3
    host.close(handle)
    assert bytes(file.streams[""].data) == b"new"
    host.set_xattr(place, b"user.a", b"1")
    host.chmod(place, 0o444)
    assert host.stat(place.path_handle).st_mode == linux.S_IFREG | 0o555
    ntfs.free(place)
    host.rename(ntfs.root, b"file", ntfs.root, b"other")
    host.remove_file(ntfs.root, b"other")
    assert ntfs.outside.names() == set()


@pytest.mark.parametrize("tag", [Tag.CLOUD, CLOUD_7, Tag.PROJFS], ids=hex)
def test_a_directory_is_walked_listed_filled_and_removed(ntfs: Box, tag: int) -> None:
    host = ntfs.host
    tagged(ntfs, "dir", None, tag)
    place = ntfs.place(b"dir")
    assert host.stat(place.path_handle).st_mode == linux.S_IFDIR | 0o777
    host.close(host.open_at(place.path_handle, b"file", linux.O_RDWR | linux.O_CREAT | linux.O_EXCL))
    host.make_dir(place.path_handle, b"sub", 0o700)
    assert entries(ntfs, place) == {b"file": linux.DT_REG, b"sub": linux.DT_DIR}
    listing = host.open_dir(place)
    assert len(listing.read(0)) == len(listing.read(0)) == 4
    listing.close()
    with refused(Errno.EISDIR):
        host.remove_file(ntfs.root, b"dir")
    with refused(Errno.ENOTEMPTY):
        host.remove_dir(ntfs.root, b"dir")
    host.remove_file(place.path_handle, b"file")
    host.remove_dir(place.path_handle, b"sub")
    ntfs.free(place)
    host.remove_dir(ntfs.root, b"dir")
    assert ntfs.outside.names() == set()


def test_a_tag_without_a_driver_for_it_is_seen_and_not_opened(ntfs: Box) -> None:
    tagged(ntfs, "file", HERE, 0x80001234)
    place = ntfs.place(b"file")
    assert ntfs.host.stat(place.path_handle).st_size == len(HERE)
    with refused(Errno.ENXIO):
        ntfs.host.open_file(place, linux.O_RDONLY)
    ntfs.free(place)
    ntfs.host.remove_file(ntfs.root, b"file")


def test_looking_fetches_nothing(ntfs: Box) -> None:
    """Sizes, types and streams are on this computer; a backup or a search must not download a whole
    account.
    """
    host = ntfs.host
    ntfs.fake.volume.add_placeholder("share\\far", THERE)
    place = ntfs.place(b"far")
    assert host.stat(place.path_handle).st_size == host.stat_at(ntfs.root, b"far").st_size == len(THERE)
    assert entries(ntfs, ObjectRef(ntfs.root, NO_HANDLE, b"")) == {b"far": linux.DT_REG}
    host.set_xattr(place, b"user.a", b"1")
    assert (host.get_xattr(place, b"user.a"), host.list_xattrs(place)) == (b"1", [b"user.a"])
    host.utimes(place, 100, 100)
    host.rename(ntfs.root, b"far", ntfs.root, b"farther")
    ntfs.free(place)
    assert not ntfs.fake.counts["fetch"]


@pytest.mark.parametrize("attribute", [Attribute.RECALL_ON_DATA_ACCESS, Attribute.RECALL_ON_OPEN, Attribute.OFFLINE])
def test_what_is_in_the_cloud_is_fetched_in_a_thread_that_may_wait(
    ntfs: Box, in_the_event_loop: None, attribute: Attribute
) -> None:
    host = ntfs.host
    file = ntfs.fake.volume.add_placeholder("share\\far", THERE)
    file.attributes = file.attributes & ~(Attribute.RECALL_ON_DATA_ACCESS | Attribute.OFFLINE) | attribute
    place = ntfs.place(b"far")
    for flags in (linux.O_RDONLY, linux.O_RDWR):
        with pytest.raises(WouldBlock):
            host.open_file(place, flags)
        with pytest.raises(WouldBlock):
            host.open_at(ntfs.root, b"far", flags)
    assert not ntfs.fake.counts["fetch"]
    serve_in_this_thread(-1)
    handle = host.open_file(place, linux.O_RDWR)
    serve_in_this_thread(1)
    if attribute != Attribute.RECALL_ON_OPEN:
        for verb in (
            lambda: host.read_now(handle, 4, 0),
            lambda: host.read_into_now(handle, [memoryview(bytearray(4))], 0),
            lambda: host.write(handle, b"x", 0),
            lambda: host.write_from(handle, [memoryview(bytearray(4))], 0),
            lambda: host.truncate(handle, 4),
        ):
            with pytest.raises(WouldBlock):
                verb()
        assert not ntfs.fake.counts["fetch"]
    serve_in_this_thread(-1)
    assert host.read(handle, 8, 0) == THERE[:8]
    serve_in_this_thread(1)
    with refused(Errno.EOPNOTSUPP):  # it is here now, and the caller reads at once
        host.read_now(handle, 4, 0)
    with refused(Errno.EOPNOTSUPP):
        host.read_into_now(handle, [memoryview(bytearray(4))], 0)
    assert host.write(handle, b"C", 0) == 1
    assert ntfs.fake.counts["fetch"] == 1
    host.close(handle)
    ntfs.free(place)


def test_names_that_are_in_the_cloud_are_fetched_before_the_event_loop_reads_them(
    ntfs: Box, in_the_event_loop: None
) -> None:
    directory = tagged(ntfs, "dir", None)
    directory.attributes |= Attribute.RECALL_ON_DATA_ACCESS
    place = ntfs.place(b"dir")
    with pytest.raises(WouldBlock):
        ntfs.host.open_dir(place)
    serve_in_this_thread(-1)
    before = ntfs.fake.counts["query_directory"]
    listing = ntfs.host.open_dir(place)
    assert ntfs.fake.counts["query_directory"] == before + 1
    serve_in_this_thread(1)
    assert len(listing.read(0)) == 2
    listing.close()
    ntfs.free(place)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.CLOUD_FILE_PROVIDER_NOT_RUNNING, Errno.ENXIO),
        (Status.CLOUD_FILE_NETWORK_UNAVAILABLE, Errno.ENETUNREACH),
        (Status.CLOUD_FILE_REQUEST_TIMEOUT, Errno.ETIMEDOUT),
        (Status.CLOUD_FILE_ACCESS_DENIED, Errno.EACCES),
    ],
)
def test_a_provider_that_cannot_supply_it(ntfs: Box, status: Status, code: Errno) -> None:
    """The reader is told why, and reads no zeros in its place; the next one may have
    better luck.
    """
    ntfs.fake.volume.add_placeholder("share\\far", THERE)
    ntfs.fake.volume.provider = status
    handle = ntfs.host.open_at(ntfs.root, b"far", linux.O_RDONLY)
    with refused(code):
        ntfs.host.read(handle, 4, 0)
    ntfs.fake.volume.provider = None
    assert ntfs.host.read(handle, 4, 0) == THERE[:4]
    ntfs.host.close(handle)


@pytest.mark.parametrize("honoured", [True, False], ids=["", "old kernel"])
def test_a_placeholder_becomes_a_link_between_look_and_open(ntfs: Box, honoured: bool) -> None:
    ntfs.fake.honours_dont_reparse = honoured
    file = tagged(ntfs, "file", HERE)
    place = ntfs.place(b"file")
    query = ntfs.fake.counts["query"]

    def swap(call: str) -> None:
        if call == "create" and ntfs.fake.counts["query"] > query:
            file.reparse = (Tag.SYMLINK, symlink_data("\\??\\C:\\share-secret\\canary"))

    ntfs.fake.before = swap
    with pytest.raises(OSError) as failure:  # noqa: PT011 - one of two, below
        ntfs.host.open_file(place, linux.O_RDWR)
    ntfs.fake.before = None
    assert linux_errno(failure.value) in {Errno.ELOOP, Errno.ESTALE}
    ntfs.free(place)


# -- the exported folder itself ----------------------------------------------------------------------------------------


def cloud_folder() -> FakeNt:
    fake = FakeNt()
    fake.volume.add("OneDrive", None, reparse=(CLOUD_7, b"\1\2\3"))
    fake.volume.add("OneDrive\\sub", None, reparse=(CLOUD_7, b"\1\2\3"))
    fake.volume.add("OneDrive\\sub\\here", HERE, reparse=(CLOUD_7, b"\1\2\3"))
    fake.volume.add_placeholder("OneDrive\\sub\\far", THERE, CLOUD_7)
    return fake


def test_a_onedrive_folder_says_what_it_is_and_is_served_by_threads(caplog: pytest.LogCaptureFixture) -> None:
    host = NtHost(cloud_folder())
    with caplog.at_level(logging.WARNING):
        root = host.open_root("C:\\OneDrive")
    (message,) = caplog.messages
    assert message == (
        "C:\\OneDrive is a OneDrive folder, or another cloud provider's: files that are not on this computer are downloaded when clients read or "
        "write them, and clients wait for that"
    )
    volume = host.volume(root)
    assert (volume.slow, volume.xattrs) == (True, True)
    assert host.stat(root).st_mode == linux.S_IFDIR | 0o777
    host.close(root)


@pytest.mark.parametrize("model", ["mapped-xattr", "mapped-file", "none", "passthrough"])
def test_a_onedrive_folder_is_served(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    fake = cloud_folder()
    for root in attached(monkeypatch, "ntfs", model, fake, "C:\\OneDrive"):
        assert not root.inline
        sub = root.walk(b"sub")
        listing = sub.opendir()
        assert {entry[-1] for entry in listing.read(0, 8192)} >= {b"here", b"far"}
        listing.close()
        for name, content in ((b"here", HERE), (b"far", THERE)):
            node = sub.walk(name)
            assert node.getattr(linux.GETATTR_BASIC).size == len(content)
            file = node.open(linux.O_RDONLY)
            assert bytes(file.read(0, 100)) == content
            file.close()
            node.release()
        sub.release()


def test_a_cloud_folder_inside_of_an_exported_one(monkeypatch: pytest.MonkeyPatch, in_the_event_loop: None) -> None:
    """The session stays in the event loop; what is not on this computer is asked of threads."""
    for root in attached(monkeypatch, "ntfs", "mapped-xattr"):
        volume = FAKED[-1][0].volume
        volume.add("share\\OneDrive", None, reparse=(CLOUD_7, b"\1\2\3"))
        volume.add_placeholder("share\\OneDrive\\far", THERE, CLOUD_7)
        assert root.inline
        directory = root.walk(b"OneDrive")
        node: Node = directory.walk(b"far")
        assert node.getattr(linux.GETATTR_BASIC).size == len(THERE)
        with pytest.raises(WouldBlock):
            node.open(linux.O_RDONLY)
        file = asyncio.run(asyncio.to_thread(node.open, linux.O_RDONLY))
        with pytest.raises(WouldBlock):
            file.read_now(0, 100)
        assert bytes(asyncio.run(asyncio.to_thread(file.read, 0, 100))) == THERE
        assert bytes(file.read_now(0, 100)) == THERE
        file.close()
        node.release()
        directory.release()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.CLOUD_FILE_PROVIDER_NOT_RUNNING, "that is not running: start it first"),
        (Status.CLOUD_FILE_NETWORK_UNAVAILABLE, "the network cannot be reached"),
        (Status.IO_REPARSE_TAG_NOT_HANDLED, "is not running on this computer"),
    ],
)
def test_a_folder_that_cannot_be_opened_says_why(monkeypatch: pytest.MonkeyPatch, status: Status, words: str) -> None:
    fake = cloud_folder()

    def fail(call: str) -> None:
        if call == "create":
            raise NtError(status, call)

    fake.before = fail
    monkeypatch.setattr(host_module, "open_root", NtHost(fake).open_root)
    with pytest.raises(ExportError, match=words):
        LocalDriver("C:\\OneDrive", "mapped-xattr")
