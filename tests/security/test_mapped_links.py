"""Links kept as files: that a stat record of 9P2000.u has to read the target is no access."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ninep.drivers.local import LocalNode
from ninep.server.stat_record import stat_of
from ninep.wire.modes import EXTENDED

LONG_AGO = 1_000_000_000 * 10**9


@pytest.mark.skipif(not hasattr(os, "O_NOATIME"), reason="this host cannot read a file without marking it as accessed")
@pytest.mark.parametrize("model", ["mapped-xattr", "mapped-file"])
def test_a_stat_moves_no_access_time(attach: Callable[..., LocalNode], folder: Path, model: str) -> None:
    root = attach(model)
    root.symlink(b"link", b"target", 5, 6)
    os.utime(folder / "link", ns=(LONG_AGO, LONG_AGO + 1))  # what relatime would move at the first access
    node = root.walk(b"link")
    before = os.stat(folder / "link")
    assert stat_of(node, EXTENDED).extension == b"target"
    assert os.stat(folder / "link") == before
    node.release()
