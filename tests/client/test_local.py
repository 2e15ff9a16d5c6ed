"""The local side of a copy."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from tests.client.expect import refused

from ninep.client.destination import (
    Destination,
    Folder,
    PartialFile,
    SpecialFile,
    checked_name,
    file_target,
    typed_target,
)
from ninep.client.local import NOTHING, Keep
from ninep.client.stat import from_attributes
from ninep.wire.types import Attributes

FOUND = from_attributes(
    Attributes(
        mode=0o100754, size=3, atime_sec=5, mtime_sec=1_000_000_000, mtime_nsec=7, uid=os.getuid(), gid=os.getgid()
    )
)


def folder_of(path) -> Folder:
    with Destination(os.path.dirname(path)) as destination:
        return destination.folder()


def begin(path, mode) -> PartialFile:
    return folder_of(path).receive(os.path.basename(path), mode)


def make_directory(path):
    with folder_of(path) as folder:
        folder.make_directory(os.path.basename(path))


def make_link(path, target):
    with folder_of(path) as folder:
        folder.make_link(os.path.basename(path), target)


def arrive(path, data=b"new", keep=NOTHING, mode=0o644):
    file = begin(path, mode)
    try:
        file.write(data)
        file.commit(FOUND, keep)
    finally:
        file.discard()


def test_a_file_appears_when_it_is_complete(tmp_path):
    file = begin(tmp_path / "file", 0o640)
    file.write(b"half ")
    assert not (tmp_path / "file").exists()
    file.write(b"whole")
    file.commit(FOUND, NOTHING)
    file.discard()
    assert (tmp_path / "file").read_bytes() == b"half whole"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_is_discarded_leaves_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    file = begin(tmp_path / "file", 0o640)
    file.write(b"half")
    file.discard()
    file.discard()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o604)
    arrive(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o604


def test_times_and_permissions_are_kept_when_asked(tmp_path):
    arrive(tmp_path / "file", keep=Keep(times=True))
    found = (tmp_path / "file").stat()
    assert (found.st_mtime_ns, found.st_atime_ns) == (1_000_000_000_000_000_007, 5_000_000_000)
    assert stat.S_IMODE(found.st_mode) == 0o754


def test_suid_is_kept_only_with_the_owner():
    assert Keep(times=True).mode(0o104755) == 0o755
    assert Keep(owner=True).mode(0o104755) == 0o4755


def test_a_link_is_replaced_not_written_through(tmp_path):
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("outside")
    arrive(tmp_path / "link")
    assert (tmp_path / "outside").read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink()


def test_a_directory_is_not_replaced(tmp_path):
    with refused(errno.EISDIR):
        arrive(tmp_path)


def test_a_device_is_written_to():
    target = typed_target(os.devnull)
    with target.destination, target.destination.folder() as folder:
        stream = file_target(target, folder, 0o644)
        stream.write(b"new")
        stream.commit(FOUND, NOTHING)
        stream.discard()
    assert isinstance(stream, SpecialFile)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_directory_is_made_or_found_but_no_link_is_one(tmp_path):
    make_directory(tmp_path / "dir")
    make_directory(tmp_path / "dir")
    (tmp_path / "link").symlink_to("dir")
    with pytest.raises(NotADirectoryError, match="symbolic link"):
        make_directory(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="not a directory"):
        make_directory(tmp_path / "file")


def test_links_replace_links_only(tmp_path):
    make_link(tmp_path / "link", "one")
    make_link(tmp_path / "link", "two")
    assert os.readlink(tmp_path / "link") == "two"
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_link(tmp_path / "file", "two")


def test_a_target_that_no_link_can_have(tmp_path):
    """An invalid target from the server is an OSError, after which a copy continues."""
    with refused(errno.EINVAL, str(tmp_path / "link")):
        make_link(tmp_path / "link", "a\0b")
    assert not os.path.lexists(tmp_path / "link")


def test_children_stay_children(tmp_path):
    assert checked_name("name", "shown") == "name"
    with refused(errno.EINVAL, "remote/.."):
        checked_name("..", "remote/..")
