"""What a walk asks of the host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.linux import GETATTR_BASIC, GETATTR_BTIME


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of stat since then."""
    made: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        call = getattr(host, name)
        return lambda *args: made.append(name) or call(*args)

    for name in ("stat", "stat_at", "stat_same_mount"):
        monkeypatch.setattr(host, name, counted(name))
    return made


@pytest.mark.skipif(host.BY_NAME, reason="there a walk looks again for other reasons")
@pytest.mark.parametrize("held", [False, True])
def test_a_look_up_stats_a_file_once_less(root: LocalNode, folder: Path, looks: list[str], held: bool) -> None:
    """Than a walk and a getattr; what else a model looks at is its own."""
    taken = []
    for name in (b"one", b"two"):
        (folder / name.decode()).mkdir()
        keeper = root.walk(name) if held else None
        looks.clear()
        if name == b"one":
            node = root.walk(name)
            node.getattr(GETATTR_BASIC | GETATTR_BTIME)
        else:
            node, _ = root.look_up(name, GETATTR_BASIC | GETATTR_BTIME)
        taken.append(len(looks))
        for one in filter(None, (node, keeper)):
            one.release()
    assert taken[1] == taken[0] - 1
