"""Servers and clients for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.client import RawClient
from tests.support.lock_order import locks_in_order
from tests.support.served import Served

DIALECTS = (b"9P2000.L", b"9P2000.u", b"9P2000")


@pytest.fixture(autouse=True)
def lock_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Locks check the order in which they are taken."""
    with locks_in_order(monkeypatch):
        yield


@pytest.fixture
def served() -> Iterator[Served]:
    """A server whose driver never waits."""
    with Served() as server:
        yield server


@pytest.fixture
def waiting() -> Iterator[Served]:
    """A server whose driver is called in worker threads."""
    with Served("waits") as server:
        yield server


@pytest.fixture
def client(served: Served) -> RawClient:
    """A 9P2000.L session on it; fid 0 is the root."""
    return served.client()


@pytest.fixture(params=DIALECTS, ids=bytes.decode)
def any_client(served: Served, request: pytest.FixtureRequest) -> RawClient:
    """A session in each dialect."""
    return served.client(request.param)


@pytest.fixture(params=DIALECTS[1:], ids=bytes.decode)
def base_client(served: Served, request: pytest.FixtureRequest) -> RawClient:
    """A session in the dialects that know only the base messages."""
    return served.client(request.param)


@pytest.fixture
def unix_client(served: Served) -> RawClient:
    """A 9P2000.u session."""
    return served.client(b"9P2000.u")


@pytest.fixture
def plain_client(served: Served) -> RawClient:
    """A 9P2000 session."""
    return served.client(b"9P2000")
