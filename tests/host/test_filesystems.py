"""What is known of filesystems by the number of statfs(2)."""

import pytest

from ninep.host._filesystems import KINDS, Kind, kind_of


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (0xEF53, Kind("ext4")),
        (0x4D44, Kind("vfat", ctime=False)),
        (0x65735546, Kind("fuse", slow=True, ctime=False)),
        (0x6969, Kind("nfs", slow=True)),
        (0x9FA0, Kind("procfs", pseudo=True, ctime=False)),
        (0x12345, Kind("0x12345")),
    ],
)
def test_kinds(number: int, kind: Kind) -> None:
    assert kind_of(number) == kind


def test_what_the_kernel_shows_is_not_storage() -> None:
    assert not [kind.name for kind in KINDS.values() if kind.pseudo and (kind.slow or kind.ctime)]


def test_a_name_is_of_one_kind() -> None:
    names = [kind.name for kind in KINDS.values()]
    assert len(names) == len(set(names))
