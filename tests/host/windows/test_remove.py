"""Removing files, and links between them, on the Windows host."""

import pytest
from tests.host.windows.box import Box, fake_box, refused
from tests.host.windows.outside import junction_data

from ninep import linux
from ninep.host import NO_HANDLE, ObjectRef, iterate
from ninep.host.windows.api import Access, Attribute, Info
from ninep.linux import Errno

NEW = linux.O_CREAT | linux.O_EXCL | linux.O_RDWR


def test_a_file_goes(box: Box) -> None:
    box.outside.write("file")
    box.host.remove_file(box.root, b"file")
    assert box.outside.names() == set()


def test_a_read_only_file_goes(box: Box) -> None:
    box.outside.write("file")
    box.outside.make_readonly("file")
    box.host.remove_file(box.root, b"file")
    assert box.outside.names() == set()


def test_the_other_name_of_a_read_only_file_stays_read_only(box: Box) -> None:
    """Attributes belong to the file: where the attribute must be taken off for the removal, it
    comes back.
    """
    box.outside.write("one")
    place = box.place(b"one")
    box.host.make_link(place, box.root, b"two")
    box.free(place)
    box.outside.make_readonly("one")
    box.host.remove_file(box.root, b"one")
    assert box.outside.names() == {"two"}
    assert box.outside.attributes("two") & Attribute.READONLY


def test_an_open_file_lives_on(ntfs: Box) -> None:
    """Row 6, better: the name goes at once, the handle stays good, and the name can be
    used again.
    """
    host = ntfs.host
    handle = host.open_at(ntfs.root, b"file", NEW)
    host.write(handle, b"old", 0)
    host.remove_file(ntfs.root, b"file")
    assert ntfs.outside.names() == set()
    again = host.open_at(ntfs.root, b"file", NEW)
    host.write(again, b"new", 0)
    assert host.read(handle, 10, 0) == b"old"
    assert host.stat(handle).st_nlink == 0
    host.truncate(handle, 1)
    assert host.stat(handle).st_size == 1
    host.utimes(ObjectRef(handle, NO_HANDLE, b""), 100, 100)
    host.chmod(ObjectRef(handle, NO_HANDLE, b""), 0o444)
    assert host.stat(handle).st_mtime_ns == 100
    host.close(handle)
    assert host.read(again, 10, 0) == b"new"
    host.close(again)


def test_the_name_of_an_open_file_is_free_at_once(box: Box) -> None:
    """Also where there are no POSIX semantics: there it waits for its last handle in a directory
    that no client sees.
    """
    host = box.host
    box.outside.mkdir("dir")
    dir = host.open_path(box.root, b"dir")
    handle = host.open_at(dir, b"file", NEW)
    host.write(handle, b"old", 0)
    host.remove_file(dir, b"file")
    with refused(Errno.ENOENT):
        host.stat_at(dir, b"file")
    again = host.open_at(dir, b"file", NEW)
    host.write(again, b"new", 0)
    assert host.read(handle, 10, 0) == b"old"
    host.close(again)
    host.remove_file(dir, b"file")
    host.remove_dir(box.root, b"dir")
    host.close(dir)
    host.make_dir(box.root, b"dir", 0o755)
    assert host.read(handle, 10, 0) == b"old"
    host.close(handle)
    assert box.outside.names() == {"dir"}


def test_an_open_file_that_was_replaced_waits_elsewhere(box: Box) -> None:
    host = box.host
    box.outside.mkdir("dir")
    dir = host.open_path(box.root, b"dir")
    handle = host.open_at(dir, b"file", NEW)
    host.write(handle, b"old", 0)
    box.outside.write("new", b"new")
    host.rename(box.root, b"new", dir, b"file")
    host.remove_file(dir, b"file")
    host.remove_dir(box.root, b"dir")
    assert host.read(handle, 10, 0) == b"old"
    host.close(dir)
    host.close(handle)
    assert box.outside.names() == set()


def test_the_waiting_place_is_no_clients() -> None:
    """Neither seen, nor found, nor made; it goes with the export if nobody holds anything in it."""
    with fake_box("share") as box:
        box.outside.write("file")
        box.host.remove_file(box.root, b"file")
        assert ".ninep-removed" in {link.name for link in box.fake.volume.at("share").children.values()}
        listing = box.host.open_dir(ObjectRef(box.root, NO_HANDLE, b""))
        assert [entry.name for entry in iterate(listing)] == [b".", b".."]
        listing.close()
        for name in (b".ninep-removed", b".NINEP-Removed", ".n\u0131nep-removed".encode(), b".ninep-x"):
            with refused(Errno.ENOENT):
                box.host.open_path(box.root, name)
            with refused(Errno.EEXIST):
                box.host.make_dir(box.root, name, 0o755)
            with refused(Errno.EEXIST):
                box.host.rename(box.root, b"file", box.root, name)
        another = box.host.open_root("C:\\share")
        box.host.close(another)
        assert box.fake.volume.at("share").children == {}


def test_a_full_directory_is_not_even_moved() -> None:
    with fake_box("share") as box:
        box.outside.mkdir("dir")
        box.outside.write("dir\\file")
        with refused(Errno.ENOTEMPTY):
            box.host.remove_dir(box.root, b"dir")
        assert box.outside.names() == {"dir"}


def test_a_path_handle_survives_the_removal(ntfs: Box) -> None:
    ntfs.outside.write("file", b"xyz")
    place = ntfs.place(b"file")
    ntfs.host.remove_file(ntfs.root, b"file")
    found = ntfs.host.stat(place.path_handle)
    assert (found.st_size, found.st_nlink) == (3, 0)
    ntfs.host.utimes(place, 100, 100)
    assert ntfs.host.stat(place.path_handle).st_mtime_ns == 100
    with refused(Errno.ENOENT):
        ntfs.host.open_file(place, linux.O_RDONLY)
    ntfs.free(place)


def test_a_directory_with_an_open_handle_goes(ntfs: Box) -> None:
    ntfs.outside.mkdir("dir")
    path_handle = ntfs.host.open_path(ntfs.root, b"dir")
    ntfs.host.remove_dir(ntfs.root, b"dir")
    assert ntfs.outside.names() == set()
    listing = ntfs.outside.names
    assert listing() == set()
    ntfs.host.close(path_handle)


def test_a_running_program_stays(ntfs: Box) -> None:
    ntfs.fake.volume.add("share\\program.exe", b"MZ").mapped = True
    with refused(Errno.EBUSY):
        ntfs.host.remove_file(ntfs.root, b"program.exe")
    handle = ntfs.host.open_at(ntfs.root, b"program.exe", linux.O_RDWR)
    with refused(Errno.ETXTBSY):
        ntfs.host.truncate(handle, 0)
    ntfs.host.close(handle)
    assert ntfs.outside.names() == {"program.exe"}


def test_the_attribute_comes_back_if_the_removal_fails() -> None:
    with fake_box("share") as box:
        file = box.fake.volume.add("share\\file", b"")
        file.attributes |= Attribute.READONLY
        file.mapped = True
        with refused(Errno.EBUSY):
            box.host.remove_file(box.root, b"file")
        assert file.attributes & Attribute.READONLY


def test_delete_pending_is_enoent(ntfs: Box) -> None:
    """A name that another program has marked for deletion is gone for clients; it is listed until
    it goes.
    """
    ntfs.outside.write("file")
    with ntfs.outside.open("file", Access.DELETE | Access.READ_DATA) as handle:
        ntfs.calls.change(handle, Info.DISPOSITION, b"\1")
        for flags in (linux.O_RDONLY, linux.O_CREAT | linux.O_RDWR, NEW):
            with refused(Errno.ENOENT):
                ntfs.host.open_at(ntfs.root, b"file", flags)
        with refused(Errno.ENOENT):
            ntfs.host.remove_file(ntfs.root, b"file")
        listing = ntfs.host.open_dir(ObjectRef(ntfs.root, NO_HANDLE, b""))
        assert b"file" in {entry.name for entry in iterate(listing)}
        listing.close()
    assert ntfs.outside.names() == set()


# -- hard links --------------------------------------------------------------------------------------------------------


def test_a_hard_link(box: Box) -> None:
    """Row 12: NTFS has them, the patches refused."""
    host = box.host
    box.outside.write("one", b"contents")
    box.outside.mkdir("dir")
    dir = host.open_path(box.root, b"dir")
    place = box.place(b"one")
    host.make_link(place, dir, b"two")
    with refused(Errno.EEXIST):
        host.make_link(place, dir, b"two")
    assert host.stat(place.path_handle).st_nlink == 2
    assert host.stat_at(dir, b"two").st_ino == host.stat(place.path_handle).st_ino
    box.free(place)
    host.remove_file(box.root, b"one")
    assert host.stat_at(dir, b"two").st_nlink == 1
    assert box.outside.read("dir\\two") == b"contents"
    host.close(dir)


def test_no_hard_link_to_a_directory(box: Box) -> None:
    box.outside.mkdir("dir")
    place = box.place(b"dir")
    with refused(Errno.EPERM):
        box.host.make_link(place, box.root, b"link")
    box.free(place)


def test_no_hard_link_to_another_volume(ntfs: Box) -> None:
    from ninep.testing.fake_nt_volume import Volume

    ntfs.fake.volumes["D:"] = Volume()
    other = ntfs.host.open_root("D:\\")
    ntfs.outside.write("file")
    place = ntfs.place(b"file")
    with refused(Errno.EXDEV):
        ntfs.host.make_link(place, other, b"link")
    with refused(Errno.EXDEV):
        ntfs.host.rename(ntfs.root, b"file", other, b"file")
    ntfs.free(place)
    ntfs.host.close(other)


def test_too_many_links(ntfs: Box) -> None:
    file = ntfs.fake.volume.add("share\\file", b"")
    place = ntfs.place(b"file")
    for number in range(1023):
        ntfs.fake.volume.link(ntfs.fake.volume.at("share"), f"l{number}", file)
    with refused(Errno.EMLINK):
        ntfs.host.make_link(place, ntfs.root, b"one-too-many")
    ntfs.free(place)


@pytest.mark.parametrize("verb", ["remove_file", "remove_dir"])
def test_a_junction_is_removed_as_a_link(ntfs: Box, verb: str) -> None:
    """Never the folder that it leads to (bug 2)."""
    ntfs.outside.mkdir("junction")
    ntfs.outside.set_reparse("junction", 0xA0000003, junction_data("\\??\\C:\\share-secret"))
    if verb == "remove_dir":
        with refused(Errno.ENOTDIR):
            ntfs.host.remove_dir(ntfs.root, b"junction")
        assert ntfs.outside.names() == {"junction"}
    else:
        ntfs.host.remove_file(ntfs.root, b"junction")
        assert ntfs.outside.names() == set()
