"""What the tests of the base messages share."""

from __future__ import annotations

import pytest
from tests.support.client import RawClient
from tests.wire.wire_examples import UNTOUCHED

from ninep.linux import NO_ID
from ninep.wire import messages as m
from ninep.wire.types import Stat

TOUCH_NOTHING = UNTOUCHED._replace(n_uid=NO_ID, n_gid=NO_ID, n_muid=NO_ID)


def stat_of(client: RawClient, fid: int) -> Stat:
    found: Stat = client.rpc(m.Tstat(fid)).stat
    return found


def wstat(client: RawClient, fid: int, **fields: object) -> None:
    client.rpc(m.Twstat(fid, TOUCH_NOTHING._replace(**fields)))  # type: ignore[arg-type]


@pytest.fixture
def file(any_client: RawClient) -> RawClient:
    """``/f`` with ``hello`` in it as fid 1, not open."""
    any_client.create(0, 1, b"f", b"hello")
    any_client.clunk(1)
    any_client.walk(0, 1, b"f")
    return any_client
