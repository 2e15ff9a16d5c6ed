"""What a service manager is told that has no socket. Those with one: ``tests/app/test_ready.py``."""

from __future__ import annotations

import pytest

from ninep.transport import service_manager


def test_a_manager_without_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_manager, "_others", [])
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    heard: list[str] = []
    service_manager.tell(heard.append)
    for state in ("READY=1", "STOPPING=1"):
        service_manager.notify(state)
    assert heard == ["READY=1", "STOPPING=1"]
