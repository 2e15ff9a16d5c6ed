"""Exported folders that are no plain ones: the root of a volume, with and without a tag, and two
exports of a volume.
"""

import pytest
from tests.host.windows.outside import junction_data
from tests.host.windows.test_driver import attached, close_path_handles_where_they_belong

from ninep import linux
from ninep.host import NO_HANDLE, ObjectRef, iterate
from ninep.host.windows.api import Attribute, Tag
from ninep.host.windows.host import NtHost
from ninep.linux import GETATTR_BASIC
from ninep.testing.fake_nt import FakeNt
from ninep.testing.fake_nt_volume import Volume

__all__ = ["close_path_handles_where_they_belong"]


class MountedNt(FakeNt):
    """The root of the volume has a mount point's tag for who asks, as under Wine, and no way that
    leads from it.
    """

    def query(self, handle: int, kind: int, size: int, *, partial: bool = False) -> bytes:
        root = self.volume.root
        root.reparse = (Tag.MOUNT_POINT, junction_data("\\??\\D:\\"))
        try:
            return super().query(handle, kind, size, partial=partial)
        finally:
            root.reparse = None


@pytest.mark.parametrize("kind", [FakeNt, MountedNt], ids=["plain", "mount point"])
@pytest.mark.parametrize("model", ["mapped-xattr", "mapped-file", "none"])
def test_the_root_of_a_volume(monkeypatch: pytest.MonkeyPatch, kind: type[FakeNt], model: str) -> None:
    nt = kind()
    nt.volume.root.attributes |= Attribute.REPARSE_POINT if kind is MountedNt else 0
    for root in attached(monkeypatch, "ntfs", model, nt, "C:\\"):
        found = root.getattr(GETATTR_BASIC)
        assert (found.mode & linux.S_IFMT, found.nlink > 0) == (linux.S_IFDIR, True)
        root.mkdir(b"new", 0o755, 0, 0)
        listing = root.opendir()
        assert b"new" in {entry[-1] for entry in listing.read(0, 8192)}
        listing.close()
        new = root.walk(b"new")
        above = new.parent()
        assert above is root
        above.release()
        new.release()


def test_a_closed_export_leaves_the_other_one_of_its_volume() -> None:
    fake = FakeNt({"C:": Volume()})
    fake.volume.add("one")
    fake.volume.add("two")
    host = NtHost(fake)
    one = host.open_root("C:\\one")
    two = host.open_root("C:\\two")
    host.close(one)
    listing = host.open_dir(ObjectRef(two, NO_HANDLE, b""))
    assert len(list(iterate(listing))) == 2
    listing.close()
    host.close(two)
    assert not fake.handles
