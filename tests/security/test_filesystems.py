"""What is believed of a file's times, by the steps and the clock of its filesystem; files without a
name.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ninep import host
from ninep.host import Volume
from ninep.options import BadOption
from ninep.security.attr_cache import RACY, AttrCache
from ninep.security.filesystems import LONGEST_STEP, SKEW, Coherence, Filesystems, long_ago

NOW = 1_700_000_000_123_456_789
SECOND = 10**9
DISK = Volume("ext4", slow=False, xattrs=True, posix_owners=True, unique_ino=True, read_only=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=NOW)
    monkeypatch.setattr(time, "time_ns", lambda: clock.now)
    return clock


def inode(ctime: int, device: int = 1) -> os.stat_result:
    return SimpleNamespace(st_ino=1, st_dev=device, st_ctime_ns=ctime)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("age", "fine", "coarse"),
    [(RACY, False, False), (RACY + 1, True, False), (SECOND, True, False), (LONGEST_STEP + RACY + SECOND, True, True)],
)
def test_a_time_in_long_steps_is_believed_later(clock: SimpleNamespace, age: int, fine: bool, coarse: bool) -> None:
    changed = NOW - age
    assert long_ago(changed, changed, RACY) is fine
    assert long_ago(changed, changed // SECOND * SECOND, RACY) is coarse


def test_what_was_read_in_the_same_second_as_a_change_is_not_kept(clock: SimpleNamespace) -> None:
    """ext4 with inodes of 128 bytes: two changes of one second have one ctime."""
    known = AttrCache[str](Filesystems())
    found = inode(NOW // SECOND * SECOND)
    known.store_read(found, "before the second change")
    assert known.get(found) is None
    clock.now += LONGEST_STEP + SECOND
    known.store_read(found, "after it")
    assert known.get(found) == "after it"


def test_another_computers_clock_is_compared_with_itself(clock: SimpleNamespace) -> None:
    """It may be years behind: its own latest time counts."""
    filesystems = Filesystems()
    filesystems.learn(1, DISK._replace(kind="nfs", slow=True))
    changed = NOW - 10**18
    assert not filesystems.settled(inode(changed), RACY)
    assert not filesystems.settled(inode(changed), RACY), "nothing was seen to happen since"
    assert not filesystems.settled(inode(changed + LONGEST_STEP + SKEW + 1), RACY), "the latest itself"
    assert filesystems.settled(inode(changed), RACY)


@pytest.mark.parametrize("slow", [True, False])
def test_nothing_is_kept_where_ctime_says_nothing(clock: SimpleNamespace, slow: bool) -> None:
    filesystems = Filesystems()
    filesystems.learn(1, DISK._replace(slow=slow, ctime=False))
    known = AttrCache[str](filesystems)
    known.store_read(inode(NOW - 10**15 + 7), "read")
    known.store_written(inode(NOW - 10**15 + 7), "written")
    assert known.get(inode(NOW - 10**15 + 7)) is None
    known.store_read(inode(NOW - 10**15 + 7, device=2), "elsewhere")
    assert known.get(inode(NOW - 10**15 + 7, device=2)) == "elsewhere"


def test_files_without_a_name_by_device(tmp_path: Path) -> None:
    filesystems = Filesystems()
    dir = host.open_root(str(tmp_path))
    device = host.stat(dir).st_dev
    try:
        assert filesystems.unnamed(dir), "nothing is known: as the host says"
        filesystems.learn(device, DISK)
        assert filesystems.unnamed(dir) is None
        filesystems.saw_unnamed(dir, stays=True)
        assert filesystems.unnamed(dir)
        filesystems.learn(device, DISK)
        assert filesystems.unnamed(dir), "looked at again, and still the same"
        filesystems.learn(device + 1, DISK._replace(kind="fuse", slow=True))
        assert filesystems.unnamed(dir)
        filesystems.learn(device, DISK._replace(kind="fuse", slow=True))
        assert filesystems.unnamed(dir) is False, "never where a program answers"
    finally:
        host.close(dir)


class TestCoherence:
    """What is kept where other computers write, too."""

    @staticmethod
    def cache(rule: str, **volume: object) -> AttrCache[str]:
        filesystems = Filesystems()
        filesystems.rule_by(Coherence.parse(rule))
        filesystems.learn(1, DISK._replace(slow=True, **volume))  # type: ignore[arg-type]
        filesystems.settled(inode(NOW), RACY)  # the latest time that was seen there
        return AttrCache[str](filesystems)

    LONG_AGO = NOW - 3600 * SECOND

    @pytest.mark.parametrize(
        ("rule", "ctime", "kept"),
        [
            ("auto", True, True),
            ("auto", False, False),
            ("strict", True, False),
            ("close-to-open", True, True),
            ("close-to-open", False, False),
            ("5", True, True),
            ("5", False, True),
        ],
    )
    def test_what_was_read_is_kept_as_the_rule_says(
        self, clock: SimpleNamespace, rule: str, ctime: bool, kept: bool
    ) -> None:
        known, found = self.cache(rule, ctime=ctime), inode(self.LONG_AGO)
        known.store_read(found, "read")
        assert (known.get(found) == "read") is kept

    def test_seconds_end(self, clock: SimpleNamespace) -> None:
        known, found = self.cache("5", ctime=False), inode(self.LONG_AGO)
        known.store_read(found, "read")
        clock.now += 5 * SECOND
        assert known.get(found) == "read"
        clock.now += 1
        assert known.get(found) is None

    def test_our_own_change_counts_at_once(self, clock: SimpleNamespace) -> None:
        """The ctime of a FUSE file system need not move with it."""
        known, found = self.cache("5", ctime=False), inode(self.LONG_AGO)
        known.store_read(found, "read")
        known.store_written(found, "ours")
        assert known.get(found) == "ours"

    def test_a_disk_is_no_matter_of_the_rule(self, clock: SimpleNamespace) -> None:
        filesystems = Filesystems()
        filesystems.rule_by(Coherence.parse("strict"))
        filesystems.learn(1, DISK)
        known, found = AttrCache[str](filesystems), inode(self.LONG_AGO)
        known.store_read(found, "read")
        assert known.get(found) == "read"

    @pytest.mark.parametrize("text", ["auto", "strict", "close-to-open", "0.5", "30"])
    def test_is_written_as_it_is_read(self, text: str) -> None:
        assert str(Coherence.parse(text)) == text

    @pytest.mark.parametrize("text", ["", "loose", "0", "-1", "nan", "3601", "inf"])
    def test_what_is_no_rule(self, text: str) -> None:
        with pytest.raises(BadOption):
            Coherence.parse(text)
