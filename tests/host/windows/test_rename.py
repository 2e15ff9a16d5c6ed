"""Renaming on the Windows host: bug 3, and what NTFS adds to it."""

import contextlib

import pytest
from tests.host.windows.box import Box, fake_box, refused
from tests.host.windows.outside import junction_data

from ninep import linux
from ninep.host.windows import info
from ninep.host.windows.api import Access, Attribute, Info
from ninep.host.windows.open import OURS
from ninep.host.windows.status import NtError, Status
from ninep.linux import Errno

CHANGES_OF_A_RENAME_OVER = 6  # two tries, target aside, source in its place, and the removal in two tries
MAY_FAIL = {3}  # moving the target to where the removed wait: then it goes aside within its directory


def test_within_a_directory(box: Box) -> None:
    box.outside.write("one", b"1")
    box.host.rename(box.root, b"one", box.root, b"two")
    assert box.outside.names() == {"two"}


def test_into_another_directory(box: Box) -> None:
    box.outside.write("file", b"1")
    box.outside.mkdir("dir")
    dir = box.host.open_path(box.root, b"dir")
    box.host.rename(box.root, b"file", dir, b"moved")
    assert box.outside.names() == {"dir"}
    assert box.outside.read("dir\\moved") == b"1"
    box.host.rename(dir, b"moved", box.root, b"back")
    assert box.outside.names() == {"dir", "back"}
    box.host.close(dir)


def test_replacing_a_file(box: Box) -> None:
    """Bug 3: the C runtime's rename refuses an existing target."""
    box.outside.write("one", b"1")
    box.outside.write("two", b"2")
    box.host.rename(box.root, b"one", box.root, b"two")
    assert box.outside.names() == {"two"}
    assert box.outside.read("two") == b"1"


def test_replacing_a_read_only_file(box: Box) -> None:
    """git does this (WSL has an issue about it)."""
    box.outside.write("one", b"1")
    box.outside.write("two", b"2")
    box.outside.make_readonly("two")
    box.host.rename(box.root, b"one", box.root, b"two")
    assert box.outside.names() == {"two"}
    assert box.outside.read("two") == b"1"
    assert not box.outside.attributes("two") & Attribute.READONLY


def test_a_read_only_file_is_renamed(box: Box) -> None:
    box.outside.write("one", b"1")
    box.outside.make_readonly("one")
    box.host.rename(box.root, b"one", box.root, b"two")
    assert box.outside.names() == {"two"}
    assert box.outside.attributes("two") & Attribute.READONLY


def test_replacing_an_open_file(box: Box) -> None:
    """The open handle keeps the old contents."""
    box.outside.write("one", b"1")
    box.outside.write("two", b"2")
    handle = box.host.open_at(box.root, b"two", linux.O_RDWR)
    box.host.rename(box.root, b"one", box.root, b"two")
    assert box.outside.read("two") == b"1"
    assert box.host.read(handle, 10, 0) == b"2"
    box.host.close(handle)
    assert box.outside.names() == {"two"}


def test_replacing_an_open_read_only_file(box: Box) -> None:
    box.outside.write("one", b"1")
    box.outside.write("two", b"2")
    box.outside.make_readonly("two")
    handle = box.host.open_at(box.root, b"two", linux.O_RDONLY)
    box.host.rename(box.root, b"one", box.root, b"two")
    assert box.outside.read("two") == b"1"
    box.host.close(handle)
    assert box.outside.names() == {"two"}


def test_directories(box: Box) -> None:
    box.outside.mkdir("one")
    box.outside.write("one\\file", b"1")
    box.host.rename(box.root, b"one", box.root, b"two")
    assert box.outside.names("two") == {"file"}
    box.outside.mkdir("empty")
    box.host.rename(box.root, b"two", box.root, b"empty")
    assert box.outside.names() == {"empty"}
    assert box.outside.names("empty") == {"file"}


def test_a_full_directory_is_not_replaced(box: Box) -> None:
    box.outside.mkdir("one")
    box.outside.mkdir("two")
    box.outside.write("two\\file", b"1")
    with refused(Errno.ENOTEMPTY):
        box.host.rename(box.root, b"one", box.root, b"two")
    assert box.outside.names() == {"one", "two"}
    assert box.outside.names("two") == {"file"}


def test_a_file_and_a_directory(box: Box) -> None:
    box.outside.write("file")
    box.outside.mkdir("dir")
    with refused(Errno.EISDIR):
        box.host.rename(box.root, b"file", box.root, b"dir")
    with refused(Errno.ENOTDIR):
        box.host.rename(box.root, b"dir", box.root, b"file")
    assert box.outside.names() == {"file", "dir"}


def test_a_directory_into_itself(box: Box) -> None:
    box.outside.mkdir("dir")
    dir = box.host.open_path(box.root, b"dir")
    with refused(Errno.EINVAL):
        box.host.rename(box.root, b"dir", dir, b"inner")
    box.host.make_dir(dir, b"a", 0o755)
    inner = box.host.open_path(dir, b"a")
    with refused(Errno.EINVAL):
        box.host.rename(box.root, b"dir", inner, b"b")
    box.host.close(inner)
    box.host.close(dir)
    assert box.outside.names() == {"dir"}


def test_a_directory_below_which_a_file_is_open(box: Box) -> None:
    """NTFS refuses, whoever has it open: EBUSY."""
    box.outside.mkdir("dir")
    box.outside.write("dir\\file")
    with box.outside.open("dir\\file", Access.READ_DATA), refused(Errno.EBUSY):
        box.host.rename(box.root, b"dir", box.root, b"other")
    assert box.outside.names() == {"dir"}


def test_a_directory_that_is_open_itself(box: Box) -> None:
    box.outside.mkdir("dir")
    box.outside.write("dir\\file")
    with box.outside.open("dir", Access.READ_DATA):
        box.host.rename(box.root, b"dir", box.root, b"other")
    assert box.outside.names() == {"other"}


def test_two_names_of_one_file(box: Box) -> None:
    """Nothing happens, as rename(2) has it: NT would take one name away."""
    box.outside.write("one", b"1")
    place = box.place(b"one")
    box.host.make_link(place, box.root, b"two")
    box.free(place)
    box.host.rename(box.root, b"one", box.root, b"two")
    assert box.outside.names() == {"one", "two"}


def test_onto_itself(box: Box) -> None:
    box.outside.write("one", b"1")
    box.host.rename(box.root, b"one", box.root, b"one")
    assert box.outside.names() == {"one"}


def test_to_another_case(box: Box) -> None:
    """One entry under a name that differs in case only: that is a rename (T21)."""
    box.outside.write("readme", b"1")
    box.host.rename(box.root, b"readme", box.root, b"README")
    assert box.outside.names() == {"README"}
    box.outside.mkdir("dir")
    box.host.rename(box.root, b"dir", box.root, b"Dir")
    assert box.outside.names() == {"README", "Dir"}


def test_over_a_name_in_another_case(box: Box) -> None:
    box.outside.write("one", b"1")
    box.outside.write("README", b"2")
    box.host.rename(box.root, b"one", box.root, b"readme")
    names = box.outside.names()
    assert {name.lower() for name in names} == {"readme"}
    assert len(names) == 1
    assert box.outside.read("readme") == b"1"


def test_a_running_program_is_not_replaced(ntfs: Box) -> None:
    ntfs.fake.volume.add("share\\program.exe", b"MZ").mapped = True
    ntfs.outside.write("new", b"1")
    with refused(Errno.EBUSY):
        ntfs.host.rename(ntfs.root, b"new", ntfs.root, b"program.exe")
    assert ntfs.outside.names() == {"program.exe", "new"}
    assert ntfs.outside.read("program.exe") == b"MZ"


@pytest.mark.parametrize("failing", range(1, 9))
def test_what_fails_half_way_is_undone(failing: int) -> None:
    """Without POSIX semantics an open target is moved aside: whatever fails, both are where they
    were.
    """
    with fake_box("share") as box:
        box.outside.write("one", b"1")
        box.outside.write("two", b"2")
        handle = box.host.open_at(box.root, b"two", linux.O_RDWR)
        changes = 0

        def fail(call: str) -> None:
            nonlocal changes
            changes += call == "change"
            if call == "change" and changes == failing:
                raise NtError(Status.INSUFFICIENT_RESOURCES, "injected")

        box.fake.before = fail
        done = failing in MAY_FAIL or failing > CHANGES_OF_A_RENAME_OVER
        with contextlib.nullcontext() if done else refused(Errno.ENOMEM):
            box.host.rename(box.root, b"one", box.root, b"two")
        box.fake.before = None
        box.host.close(handle)
        assert box.outside.names() == ({"two"} if done else {"one", "two"})
        assert box.outside.read("two") == (b"1" if done else b"2")


def test_a_link_to_a_directory_is_moved_itself(ntfs: Box) -> None:
    """Bug 2: never its target."""
    ntfs.outside.mkdir("junction")
    ntfs.outside.set_reparse("junction", 0xA0000003, junction_data("\\??\\C:\\share-secret"))
    ntfs.host.rename(ntfs.root, b"junction", ntfs.root, b"moved")
    assert ntfs.outside.names() == {"moved"}
    ntfs.outside.write("file")
    ntfs.host.rename(ntfs.root, b"file", ntfs.root, b"moved")
    assert ntfs.outside.names() == {"moved"}
    assert ntfs.host.stat_at(ntfs.root, b"moved").st_mode & linux.S_IFMT == linux.S_IFREG


def deaf_to_case(ntfs: Box, monkeypatch: pytest.MonkeyPatch, fail: str = "") -> None:
    """A system that takes a name in another case for the same name, and says that all is done."""
    change = ntfs.fake.change

    def same_or_other(handle: int, kind: int, data: bytes) -> None:
        link = ntfs.fake.handles[handle].link
        if kind in {Info.RENAME, Info.RENAME_EX} and link is not None:
            name = info.unpack_rename(data)[2]
            if name == fail and link.name.startswith(OURS.decode()):
                raise NtError(Status.INSUFFICIENT_RESOURCES, "change")
            if name.upper() == link.name.upper():
                return
        change(handle, kind, data)

    monkeypatch.setattr(ntfs.fake, "change", same_or_other)


@pytest.mark.parametrize("directory", [False, True], ids=["file", "dir"])
def test_to_another_case_where_that_is_no_other_name(
    ntfs: Box, monkeypatch: pytest.MonkeyPatch, directory: bool
) -> None:
    (ntfs.outside.mkdir if directory else ntfs.outside.write)("name")
    deaf_to_case(ntfs, monkeypatch)
    ntfs.host.rename(ntfs.root, b"name", ntfs.root, b"Name")
    assert ntfs.outside.names() == {"Name"}


def test_to_another_case_that_fails_half_way(ntfs: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    ntfs.outside.write("name")
    deaf_to_case(ntfs, monkeypatch, fail="Name")
    with refused(Errno.ENOMEM):
        ntfs.host.rename(ntfs.root, b"name", ntfs.root, b"Name")
    assert ntfs.outside.names() == {"name"}


def test_two_names_that_differ_in_case_where_case_counts(ntfs: Box) -> None:
    """Two links to one file in a case-sensitive directory: rename(2) leaves both."""
    volume = ntfs.fake.volume
    folder = volume.add("share\\dir")
    folder.case_sensitive = True
    file = volume.add("share\\dir\\name", b"x")
    volume.link(folder, "Name", file)
    dir = ntfs.host.open_path(ntfs.root, b"dir")
    ntfs.host.rename(dir, b"name", dir, b"Name")
    assert ntfs.outside.names("dir") == {"name", "Name"}
    ntfs.host.close(dir)
