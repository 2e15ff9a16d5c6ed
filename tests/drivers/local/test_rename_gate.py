"""A look by name waits for a rename that is under way."""

from __future__ import annotations

import threading

import pytest
from tests.support.client import TIMEOUT

from ninep.drivers.local import rename_gate
from ninep.drivers.local.rename_gate import RenameGate


@pytest.fixture
def gate() -> RenameGate:
    return RenameGate(threading.RLock())


def test_without_renames_a_name_that_leads_nowhere_is_gone(gate: RenameGate) -> None:
    assert gate.quiet_since(gate.ended)


def test_a_rename_that_has_ended_since_means_another_try(gate: RenameGate) -> None:
    before = gate.ended
    with gate:
        pass
    assert not gate.quiet_since(before)
    assert gate.quiet_since(gate.ended)


def test_one_that_is_under_way_is_waited_for(gate: RenameGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rename_gate, "RENAME_TIMEOUT", TIMEOUT)
    found: list[bool] = []
    with gate:
        looking = threading.Thread(target=lambda: found.append(gate.quiet_since(0)))
        looking.start()
        while not gate._waiting:
            pass
        assert found == []
    looking.join(TIMEOUT)
    assert found == [False]  # it ended: try again


def test_one_that_does_not_end_is_waited_for_no_longer_than_the_limit(
    gate: RenameGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rename_gate, "RENAME_TIMEOUT", 0.01)
    with gate:
        assert gate.quiet_since(gate.ended)


def test_one_that_fails_has_ended_as_well(gate: RenameGate) -> None:
    with pytest.raises(OSError, match="no"), gate:
        raise OSError("no")
    assert gate.ended == 1
