"""T34: a front end that breaks vhost-user, or whose memory could go away, against the whole server.

Whoever may open the socket shares his guest's memory with the server: no message of his may do
more than close his own connection, and no file of his may end the process. What each wrong message
does to the device itself is in ``tests/virtio``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.descriptors import open_descriptors
from tests.support.served import Served
from tests.support.virtio_client import Ring

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="vhost-user is Linux's")

if sys.platform == "linux":
    from tests.support.vhost_front_end import FrontEnd, Lost, memory

    from ninep.virtio import messages as m
    from ninep.virtio.messages import Region, Request, VringState

SIZE = 8


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as served:
        yield served


@pytest.fixture
def path(served: Served, tmp_path: Path) -> str:
    """The socket that the server listens at."""
    path = f"{tmp_path}/vm.sock"
    served.call(served.server.listen(f"vhost-user:{path},tag=src"))
    return path


def head(request: int, size: int, flags: int = 1) -> bytes:
    return m.HEADER.pack(request, flags, size)


WRONG: dict[str, Callable[[FrontEnd], None]] = {
    "no request of any version": lambda front: front.raw(b"\xff" * 12),
    "a payload of 4 GiB": lambda front: front.raw(head(2, 0xFFFFFFFF)),
    "an answer": lambda front: front.raw(head(1, 0, flags=5)),
    "a request of the log": lambda front: front.raw(head(6, 8) + bytes(8)),
    "a descriptor for nothing": lambda front: front.raw(head(3, 0), [front.kick]),
    "as many descriptors as the kernel takes": lambda front: front.raw(head(5, 264), [front.kick] * 253),
    "a descriptor in the middle": lambda front: (front.raw(head(12, 8)), front.raw(bytes(8), [front.kick]))[0],
    "a ring too many": lambda front: front.send(Request.GET_VRING_BASE, VringState(255, 0)),
    "features of other devices": lambda front: front.send(Request.SET_FEATURES, (1 << 64) - 1),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_message_closes_its_own_connection(path: str, wrong: str) -> None:
    with Ring(path, size=SIZE) as honest, Ring(path, size=SIZE) as hostile:
        other = honest.client()
        hostile.client()
        before = open_descriptors()
        WRONG[wrong](hostile.front)
        with pytest.raises((Lost, ConnectionResetError)):
            hostile.front.ask(Request.GET_FEATURES)
        other.walk(0, 1)
        assert not open_descriptors() - before  # the server is in this process


def test_memory_that_could_shrink_is_not_used(served: Served, path: str) -> None:
    """An access to it afterwards would be SIGBUS, the end of the server."""
    with Ring(path, size=SIZE) as honest, Ring(path, size=SIZE) as hostile:
        other = honest.client()
        hostile.client()
        descriptor = memory(0x4000, sealed=False)
        region = Region(1 << 40, 0x4000, 1 << 40, 0)
        assert hostile.front.acknowledged(Request.ADD_MEM_REG, region, [descriptor]) == 1
        os.ftruncate(descriptor, 0)
        driver = hostile.front.driver
        driver.describe(0, region.guest, 64)
        driver.offer(0)
        os.eventfd_write(hostile.front.kick, 1)
        served.until(hostile.front.failed)
        other.walk(0, 1)
        os.close(descriptor)
