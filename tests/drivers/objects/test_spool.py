"""Local copies."""

from __future__ import annotations

import errno
import tempfile
import threading
from tempfile import TemporaryFile
from typing import Any

import pytest

from ninep.drivers.objects.spool import SMALL, Budget, Spool


class Disk:
    """A file on a disk that has room for so many bytes more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - closed by the spool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "no space")
        taken = self._file.write(data[: self.room])
        self.room -= taken
        return taken


def test_a_collection_at_any_moment() -> None:
    """The garbage collector may end a content (that an exception's frames held) in the middle of a change."""

    class Count(int):
        def __add__(self, other: int) -> int:
            spools.clear()
            return int(self) + other

    budget = Budget(1 << 30)
    spools = [Spool(budget)]
    changing = threading.Thread(target=budget.change, args=(1,), daemon=True)
    budget.used = Count(0)
    changing.start()
    changing.join(10)
    assert not changing.is_alive()
    assert budget.used == 1


@pytest.mark.parametrize("room", [10, SMALL, SMALL + 10], ids=["when it spills", "then", "in a write"])
def test_a_disk_that_gets_full(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    budget, disks = Budget(1 << 30), list[Disk]()

    def make(**_: Any) -> Disk:
        disks.append(Disk(room))
        return disks[-1]

    spool = Spool(budget)
    spool.write(0, b"a" * SMALL)
    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    for _ in range(2):
        with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOSPC):
            spool.write(SMALL, b"b" * 100)
        assert spool.size == budget.used == SMALL
        assert spool.read(0, SMALL + 100) == b"a" * SMALL
    monkeypatch.undo()
    disks[-1].room = 2 * SMALL
    spool.write(SMALL, b"b" * 100)
    assert spool.read(0, SMALL + 100) == b"a" * SMALL + b"b" * 100
