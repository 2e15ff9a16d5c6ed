"""qid paths: the hypervisor's numbers, without its collision."""

from __future__ import annotations

import pytest

from ninep.drivers.local.qids import OneDevice, QidMap, Unmapped, suffix
from ninep.errors import Refused
from ninep.linux import Errno


@pytest.mark.parametrize(
    ("index", "bits", "value"),
    [(1, 1, 1), (2, 3, 2), (3, 3, 6), (4, 5, 4), (5, 5, 20), (6, 5, 12), (7, 5, 28), (8, 7, 8)],
)
def test_suffix_is_the_index_reversed(index: int, bits: int, value: int) -> None:
    assert suffix(index) == (bits, value)


def test_the_first_device_keeps_its_numbers_and_one_bit() -> None:
    assert QidMap(7).path(7, 1234) == (1234 << 1) | 1


def test_later_devices_get_longer_suffixes() -> None:
    qids = QidMap(7)
    assert [qids.path(device, 100) for device in (7, 8, 9)] == [(100 << 1) | 1, (100 << 3) | 2, (100 << 3) | 6]


def test_high_inode_bits_draw_another_suffix() -> None:
    qids = QidMap(7)
    qids.path(7, 1)
    assert qids.path(7, 1 << 63 | 5) != qids.path(7, 5)


def test_no_two_files_share_a_path_whatever_bits_they_differ_in() -> None:
    qids = QidMap(1)
    inodes = [1, *(1 << bit for bit in range(1, 64)), *(1 << 63 | 1 << bit for bit in range(63)), (1 << 64) - 1]
    paths = {qids.path(device, ino) for device in range(1, 30) for ino in inodes}
    assert len(paths) == 29 * len(set(inodes))
    assert all(0 <= path < 1 << 64 for path in paths)


def test_a_path_stays() -> None:
    qids = QidMap(1)
    seen = {(device, ino): qids.path(device, ino) for device in (1, 2, 3) for ino in (5, 1 << 62, 1 << 63)}
    assert all(qids.path(device, ino) == path for (device, ino), path in seen.items())


def test_the_affix_makes_the_same_paths() -> None:
    qids = QidMap(1)
    for device in (1, 2, 3, 4, 5):
        bits, value, limit = qids.affix(device)
        assert limit > 1 << 50
        assert qids.path(device, 77) == 77 << bits | value


def test_more_devices_than_indices_are_told_apart_one_file_at_a_time() -> None:
    qids = QidMap(0)
    paths = {qids.path(device, 3) for device in range(65600)}
    assert len(paths) == 65600
    assert qids.path(65599, 3) & (1 << 33) - 1 == suffix(65536)[1]


def test_the_numbers_end_with_enfile() -> None:
    qids = QidMap(0)
    for device in range(65535):
        qids.path(device, 3)

    class Full(dict[int, tuple[int, int]]):
        def __len__(self) -> int:
            return 1 << 31  # as if so many files had been seen

    qids._taken = Full()
    with pytest.raises(Refused) as refused:
        qids.path(70000, 3)
    assert refused.value.code is Errno.ENFILE


def test_forbid_refuses_another_device_but_lists_it() -> None:
    qids = OneDevice(7)
    assert qids.path(7, 5) == 5
    assert qids.affix(8) == (0, 0, 1 << 64)
    with pytest.raises(Refused) as refused:
        qids.path(8, 5)
    assert refused.value.code is Errno.ENODEV


def test_warn_says_it_once(caplog: pytest.LogCaptureFixture) -> None:
    qids = Unmapped(7)
    assert [qids.path(7, 5), qids.path(8, 5), qids.path(8, 6)] == [5, 5, 6]
    assert [record.getMessage() for record in caplog.records] == [
        "several filesystems in one export: qid paths may clash (multidevs=warn)"
    ]


RARE = [1 << 63 | number for number in (5, 6, 7 << 40, 8)]


def test_inodes_of_64_bits_have_the_same_paths_in_every_server() -> None:
    """SeaweedFS has such numbers; its mounts have another device number on each host."""
    one, two = QidMap(40), QidMap(52)
    paths = [one.path(40, ino) for ino in RARE]
    assert [two.path(52, ino) for ino in reversed(RARE)] == paths[::-1]
    assert len(set(paths)) == len(RARE)


def test_two_of_one_hash_have_two_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ninep.drivers.local.qids._GOLDEN", 0)
    qids = QidMap(1)
    paths = [qids.path(1, ino) for ino in RARE]
    assert len(set(paths)) == len(RARE)
    assert [qids.path(1, ino) for ino in RARE] == paths
