"""What a model has to know of the filesystems that its files are on, by device (``st_dev``).

* Whether the times of a file tell of every change, so that what was read of it may be kept for as
  long as they stand. They move with each change, but in steps: the kernel's tick (up to 10 ms), or
  what the filesystem can write down: 1 s in the inodes of 128 bytes of ext4, 10 ms to 2 s on FAT
  and exFAT. A change in the same step as the last one leaves no trace. So only what had its last
  change longer ago than one step is believed, at the moment when it is looked at. A time that is a
  multiple of 10 ms is taken for one of the long steps: others hardly ever are. Where the clock is
  another computer's, it is compared with itself: the latest time that was seen there. Where ctime
  does not move with each change (FUSE, FAT) nothing is kept.
* Where other computers write too, how long what was read may be kept is a rule of the export
  (``Coherence``), and for such devices alone.
* Whether a file without a name (O_TMPFILE) can be given one that stays. Some programs behind FUSE
  say so and lose it at the close. So the first one of each device is closed and looked at, and
  where a program or another computer answers there is none.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from ninep import host
from ninep.host import Handle, Stat, Volume
from ninep.options import BadOption

STEP: Final = 10_000_000
"""Nanoseconds: times of filesystems with longer steps than the kernel's are multiples of this."""
LONGEST_STEP: Final = 2_000_000_000
"""Nanoseconds: FAT."""
SKEW: Final = 3_000_000_000
"""Nanoseconds that the clocks of the servers of one filesystem may differ."""


STRICT: Final = "strict"
CLOSE_TO_OPEN: Final = "close-to-open"
BY_KIND: Final = "auto"
RULES: Final = (BY_KIND, STRICT, CLOSE_TO_OPEN)
MAX_SECONDS: Final = 3600


class Coherence(NamedTuple):
    """What may be kept of owners, modes and listings on a file system that other computers write,
    too. Sizes and times are always asked.
    """

    rule: str = BY_KIND
    """``STRICT``: nothing. ``CLOSE_TO_OPEN``: for as long as ctime stands, where it moves with each
    change. ``BY_KIND``: the second on file systems whose kind is known for that, else the first.
    """
    seconds: float = 0.0
    """Besides, for so long, whatever ctime says of a change elsewhere."""

    @classmethod
    def parse(cls, text: str) -> Coherence:
        """A word of ``RULES``, or seconds. ``BadOption``."""
        if text in RULES:
            return cls(text)
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= MAX_SECONDS:
            raise BadOption(f"{text!r} is not one of {', '.join(RULES)}, or seconds up to {MAX_SECONDS}")
        return cls(CLOSE_TO_OPEN, seconds)

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.seconds:g}" if self.seconds else self.rule


def long_ago(changed: int, ctime: int, least: int) -> bool:
    """The last change, at the time ``changed`` of this computer's clock, is more than a step of it
    ago and ``least`` nanoseconds besides.
    """
    return time.time_ns() - changed > (least if ctime % STEP else LONGEST_STEP + least)


class Filesystem:
    """One device."""

    __slots__ = ("latest", "unnamed", "volume")

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.latest = 0
        """The latest ctime seen."""
        self.unnamed: bool | None = False if volume.slow else None
        """Files without a name can be used; None if that was not seen yet."""


class Filesystems:
    """The devices of one export, as far as they are known."""

    __slots__ = ("_by_device", "_only", "coherence")

    def __init__(self) -> None:
        self._by_device: dict[int, Filesystem] = {}
        self._only: Filesystem | None = None
        """The one of ``_by_device``, if there is no other."""
        self.coherence = Coherence()

    def rule_by(self, coherence: Coherence) -> None:
        """The rule of the export."""
        self.coherence = coherence

    def learn(self, device: int, volume: Volume) -> None:
        """A device was looked at."""
        known = self._by_device.get(device)
        if known is None or known.volume != volume:
            known = self._by_device[device] = Filesystem(volume)
            self._only = known if len(self._by_device) == 1 else None

    def settled(self, found: Stat, least: int) -> bool:
        """Any later change of this file is sure to give it another ctime; ``least``: nanoseconds of
        the longest tick.
        """
        known = self._by_device.get(found.st_dev)
        ctime = found.st_ctime_ns
        if known is None or not (known.volume.slow or not known.volume.ctime):
            return long_ago(ctime, ctime, least)
        if not self._by_ctime(known.volume):
            return False
        latest = known.latest
        known.latest = max(ctime, latest)
        return latest - ctime > LONGEST_STEP + SKEW

    def keeps(self, device: int) -> bool:
        """Whether a ctime of this device, unchanged, says that the file is."""
        known = self._by_device.get(device)
        return known is None or self._by_ctime(known.volume)

    def attr_timeout(self, device: int) -> int:
        """Nanoseconds for which what was read there is kept, if its ctime stands."""
        seconds = self.coherence.seconds
        if not seconds:
            return 0
        known = self._by_device.get(device)
        return int(seconds * 1e9) if known is not None and known.volume.slow else 0

    def _by_ctime(self, volume: Volume) -> bool:
        return volume.ctime and not (volume.slow and self.coherence.rule == STRICT)

    def unnamed(self, dir: Handle) -> bool | None:
        """Whether a file without a name that is made in this directory can be given one that stays;
        None if that was never seen.
        """
        known = self._only or self._filesystem_of(dir)
        return True if known is None else known.unnamed

    def saw_unnamed(self, dir: Handle, stays: bool) -> None:
        """It was seen."""
        known = self._filesystem_of(dir)
        if known is not None:
            known.unnamed = stays

    def _filesystem_of(self, dir: Handle) -> Filesystem | None:
        """None if nothing is known, or for a part of a device that is known under another number,
        such as a subvolume.
        """
        if self._only is not None:
            return self._only
        return self._by_device.get(host.stat(dir).st_dev) if self._by_device else None
