"""Files on file systems whose every call may wait."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.drivers.local.conftest import make

from ninep import host
from ninep.drivers.local import LocalDriver, LocalNode
from ninep.drivers.local.slow import LARGE
from ninep.linux import O_RDONLY, O_RDWR
from ninep.node import User


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalNode:
    real = host.volume
    monkeypatch.setattr(host, "volume", lambda *a, **b: real(*a, **b)._replace(slow=True))
    return LocalDriver(str(tmp_path), "none").attach(User())


@pytest.mark.parametrize("flags", [O_RDONLY, O_RDWR])
@pytest.mark.parametrize(("count", "together"), [(LARGE, 1), (LARGE - 1, 2)])
def test_large_reads_of_one_file_take_turns(
    root: LocalNode, monkeypatch: pytest.MonkeyPatch, flags: int, count: int, together: int
) -> None:
    """Small ones go side by side: the second is there while the first waits."""
    make(root, b"file", os.urandom(2 * LARGE))
    file = root.walk(b"file").open(flags)
    real, inside, most = host.read, [0], [0]
    begun, second = threading.Event(), threading.Event()

    def read(*arguments: Any) -> bytes:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        if inside[0] == 2:
            second.set()
        begun.set()
        second.wait(None if together == 2 else 0.2)  # without turns the second one would come
        try:
            return real(*arguments)
        finally:
            inside[0] -= 1

    monkeypatch.setattr(host, "read", read)
    got: list[int] = []
    threads = [threading.Thread(target=lambda at=at: got.append(len(file.read(at, count)))) for at in (0, LARGE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert begun.is_set()
    assert got == [count, count]
    assert most[0] == together
    file.close()
