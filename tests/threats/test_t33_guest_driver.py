"""T33: a guest whose driver breaks the rules of its virtqueue, against the whole server.

The ring and its descriptors are the guest's memory: it can write anything there, at any moment.
What each wrong thing does to the device itself is in ``tests/virtio``; here it is done to a server
that others use: the device of that guest ends, it is said once in the log and on the device's ERR
eventfd, nothing of the guest's memory is written, no file is touched, and another guest's session
and a TCP client go on. A driver that is reset gets a working device again.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.served import Served
from tests.support.virtio_client import Ring
from tests.support.virtio_driver import INDIRECT, NEXT, WRITE, Driver

from ninep.linux import GETATTR_BASIC
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import EXTENDED

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="vhost-user is Linux's")
SIZE = 8
LINUX = codec(EXTENDED)
NOWHERE = 1 << 46
GETATTR = LINUX.encode(1, m.Tgetattr(0, GETATTR_BASIC))[0]


def offered(driver: Driver, head: int) -> None:
    """Make a head available that ``add`` did not give out."""
    driver.offer(head)


def alone(driver: Driver, address: int, length: int, flags: int = 0, following: int = 0) -> None:
    """A chain that begins with one descriptor as given."""
    driver.describe(0, address, length, flags, following)
    driver.offer(0)


def indices_too_far_ahead(driver: Driver) -> None:
    """More chains than the ring has places."""
    at = driver.available_at + 2
    driver.put(at, "H", (driver.get(at) + SIZE + 1) % (1 << 16))


def head_twice(driver: Driver) -> None:
    """A chain that is in flight is made available again."""
    driver.offer(0)
    driver.offer(0)


def two_in_a_loop(driver: Driver) -> None:
    """Descriptors that follow each other for ever."""
    driver.describe(0, Driver.BASE, 16, NEXT, 1)
    driver.describe(16, Driver.BASE, 16, NEXT, 0)
    driver.offer(0)


def written_before_read(driver: Driver) -> None:
    """A buffer to read behind one to write."""
    driver.describe(0, Driver.BASE, 64, WRITE | NEXT, 1)
    driver.describe(16, Driver.BASE, 64)
    driver.offer(0)


def table_in_a_table(driver: Driver) -> None:
    """An indirect descriptor in an indirect table."""
    table = driver.areas_at
    driver.describe(table, Driver.BASE, 16, INDIRECT)
    alone(driver, Driver.BASE + table, 16, INDIRECT)


WRONG: dict[str, Callable[[Driver], None]] = {
    "indices too far ahead": indices_too_far_ahead,
    "a head beyond the ring": lambda driver: offered(driver, SIZE),
    "a head of 65535": lambda driver: offered(driver, 0xFFFF),
    "memory in no region": lambda driver: alone(driver, NOWHERE, 64),
    "an address that wraps": lambda driver: alone(driver, (1 << 64) - 8, 64),
    "a buffer beyond the end": lambda driver: alone(driver, Driver.BASE, 0xFFFFFFFF),
    "a loop": two_in_a_loop,
    "a loop of one": lambda driver: alone(driver, Driver.BASE, 16, NEXT, 0),
    "a following one beyond the ring": lambda driver: alone(driver, Driver.BASE, 16, NEXT, SIZE),
    "written before read": written_before_read,
    "an indirect table of 17 bytes": lambda driver: alone(driver, Driver.BASE, 17, INDIRECT),
    "an indirect table of nothing": lambda driver: alone(driver, Driver.BASE, 0, INDIRECT),
    "a table of 4 GiB": lambda driver: alone(driver, Driver.BASE, 0xFFFFFFF0, INDIRECT),
    "an indirect table that goes on": lambda driver: alone(driver, Driver.BASE, 16, INDIRECT | NEXT, 1),
    "a table in a table": table_in_a_table,
    "nothing at all": lambda driver: alone(driver, Driver.BASE, 0),
    "nothing but room for a reply": lambda driver: alone(driver, Driver.BASE, 4096, WRITE),
    "less than a message": lambda driver: added(driver, [b"\x07\0\0\0\x18\0"], [64]),
    "a size that is not the message's": lambda driver: added(driver, [b"\x08\0\0\0" + GETATTR[4:]], [64]),
    "a size of 4 GiB": lambda driver: added(driver, [b"\xff" * 4 + GETATTR[4:]], [64]),
    "no room for a reply": lambda driver: added(driver, [GETATTR], []),
    "six bytes of room": lambda driver: added(driver, [GETATTR], [6]),
}


def added(driver: Driver, readable: list[bytes], writable: list[int]) -> None:
    """A chain that is right as a chain."""
    assert driver.add(readable, writable) is not None


class Folder:
    """A served folder with two guests and a client over TCP."""

    def __init__(self, served: Served, path: str) -> None:
        self.served = served
        self.path = path

    def guest(self) -> Ring:
        """A guest of its own."""
        return Ring(self.path, size=SIZE)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with Served() as served:
        path = f"{tmp_path}/vm.sock"
        served.call(served.server.listen(f"vhost-user:{path},tag=src"))
        yield Folder(served, path)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_broken_ring_ends_its_device_and_nothing_else(
    folder: Folder, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    with folder.guest() as honest, folder.guest() as hostile:
        other, tcp = honest.client(), folder.served.client()
        hostile.client().create(0, 1, b"mine", b"content")
        caplog.clear()
        with caplog.at_level(logging.WARNING, "ninep"):
            WRONG[wrong](hostile.front.driver)
            asked = bytes(hostile.front.guest.content)
            os.eventfd_write(hostile.front.kick, 1)
            folder.served.until(hostile.front.failed)
        assert len(caplog.records) == 1, caplog.text
        assert "tag=src" in caplog.text
        changed = [
            at
            for at, (was, now) in enumerate(zip(asked, bytes(hostile.front.guest.content), strict=True))
            if was != now
        ]
        assert set(changed) <= used_ring(hostile.front.driver)
        other.walk(0, 1, b"mine")
        tcp.walk(0, 1, b"mine")
        hostile.front.reset()
        hostile.front.start()
        hostile.client().walk(0, 1, b"mine")


def used_ring(driver: Driver) -> set[int]:
    """The only places of the ring that are the device's: the used ring, with avail_event."""
    return set(range(driver.used_at, driver.used_at + 4 + 8 * SIZE + 2))


def test_a_message_beyond_msize_is_not_copied_for_nothing(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """Memory is bounded as for a connection: what is no Twrite has 4 MiB at most, by many buffers
    that are the same memory.
    """
    with folder.guest() as honest, folder.guest() as hostile:
        other = honest.client()
        hostile.client()
        driver = hostile.front.driver
        table, count = driver.areas_at, 512
        length = len(driver.content) - driver.areas_at
        for number in range(count):
            following = 0 if number == count - 1 else number + 1
            driver.describe(table + 16 * number, Driver.BASE + driver.areas_at, length, NEXT, following)
        driver.describe(table + 16 * (count - 1), Driver.BASE, 64, WRITE)
        with caplog.at_level(logging.WARNING, "ninep"):
            alone(driver, Driver.BASE + table, 16 * count, INDIRECT)
            os.eventfd_write(hostile.front.kick, 1)
            folder.served.until(hostile.front.failed)
        assert f"a request of {(count - 1) * length} bytes" in caplog.text
        other.rpc(m.Tgetattr(0, GETATTR_BASIC))
