"""Memory of a virtual machine that is plugged in and out, and the config space."""

from __future__ import annotations

import os

import pytest

from ninep.host import shared

if not shared.AVAILABLE:
    pytest.skip("memory is shared by memfds, on Linux", allow_module_level=True)

from tests.support.vhost_back_end import PROFILE, Pair
from tests.support.vhost_front_end import USER
from tests.support.vhost_front_end import memory as memfd
from tests.virtio.test_device import Make, lines

from ninep.virtio import messages as m
from ninep.virtio.messages import ProtocolFeature, Region, Request

PLUGGED = Region(guest=0x1_0000_0000, size=0x4000, user=USER + 0x1000_0000, offset=0)


@pytest.mark.parametrize("without", [(), (ProtocolFeature.CONFIGURE_MEM_SLOTS,)], ids=["slots", "table"])
def test_memory_is_plugged_in_and_out_while_a_ring_runs(make: Make, without: tuple[ProtocolFeature, ...]) -> None:
    pair = make(without=without)
    pair.front.realize()
    pair.front.start()
    driver = pair.front.driver
    descriptor = pair.front.plug(PLUGGED)
    os.pwrite(descriptor, b"plugged in", 0x1000)
    head = driver.add([bytes(10)], [10], direct=True)
    assert head is not None
    driver.describe(16 * head, PLUGGED.guest + 0x1000, 10, 1, driver.requests[head].descriptors[1])
    driver.kick()
    os.eventfd_write(pair.front.kick, 1)
    assert pair.front.collect() == b"PLUGGED IN"
    pair.front.unplug()
    assert pair.front.call(b"one", 10) == b"ONE"
    assert pair.calls == ["start 0 at 0"]


def test_a_ring_whose_memory_goes_stops_until_it_is_there_again(running: Pair) -> None:
    guest = running.front.guest
    assert running.front.acknowledged(Request.REM_MEM_REG, guest.region) == 0
    assert running.calls == ["stop 0"]
    halves = [
        guest.region._replace(size=0x1000),
        Region(guest.region.guest + 0x1000, guest.region.size - 0x1000, USER + 0x1000, 0x1000),
    ]
    for half in halves:
        assert running.front.acknowledged(Request.ADD_MEM_REG, half, [guest.descriptor]) == 0
    assert running.calls == ["resume 0 at 1"]
    assert running.front.call(b"two", 10) == b"TWO"


def test_a_ring_that_is_in_another_file_now_is_another_ring(running: Pair) -> None:
    guest = running.front.guest
    other = memfd(guest.region.size)
    assert running.front.acknowledged(Request.REM_MEM_REG, guest.region) == 0
    assert running.front.acknowledged(Request.ADD_MEM_REG, guest.region, [other]) == 0
    assert running.calls == ["stop 0", "end", "start 0 at 1"]
    assert running.front.failed()  # it is all zeros, and cannot begin at 1
    os.close(other)


def test_memory_that_is_refused_leaves_the_device_as_it_was(running: Pair, caplog: pytest.LogCaptureFixture) -> None:
    unsealed = memfd(PLUGGED.size, sealed=False)
    assert running.front.acknowledged(Request.ADD_MEM_REG, PLUGGED, [unsealed]) == 1
    assert running.front.acknowledged(Request.SET_MEM_TABLE, (PLUGGED,), [unsealed]) == 1
    assert running.front.acknowledged(Request.REM_MEM_REG, PLUGGED) == 1
    assert [line.split(":")[0] for line in lines(caplog)] == [
        "ADD_MEM_REG refused",
        "SET_MEM_TABLE refused",
        "REM_MEM_REG refused",
    ]
    assert running.front.call(b"two", 10) == b"TWO"
    os.close(unsealed)


def test_unsealed_memory_by_the_operators_word(make: Make) -> None:
    pair = make(unsealed=True, sealed=False)
    pair.front.realize()
    pair.front.start()
    assert pair.front.call(b"one", 10) == b"ONE"


def test_a_descriptor_with_rem_mem_reg_is_closed_and_not_used(running: Pair) -> None:
    assert running.front.acknowledged(Request.REM_MEM_REG, PLUGGED, [running.front.kick]) == 1
    running.front.plug(PLUGGED)
    assert running.front.acknowledged(Request.REM_MEM_REG, PLUGGED, [running.front.kick]) == 0


@pytest.mark.parametrize(("size", "answer"), [(5, b"\x03\0tag"), (3, b"\x03\0t"), (8, b"\x03\0tag\0\0\0"), (0, b"")])
def test_the_answer_has_the_size_that_was_asked_for(
    pair: Pair, size: int, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert pair.front.config(size) == answer
    assert pair.front.config(size) == answer
    told = f"the front end has {size} bytes of config space, the device 5: give it config_size=5"
    assert lines(caplog) == ([told] if size != 5 else [])


def test_a_part_of_the_config_space(pair: Pair) -> None:
    answer = pair.front.ask(Request.GET_CONFIG, m.Config(2, 3, 0, bytes(3)))
    assert answer == m.Config(2, 3, 0, b"tag")


def test_the_config_space_is_read_only(pair: Pair) -> None:
    assert pair.front.acknowledged(Request.SET_CONFIG, m.Config(2, 3, 0, b"new")) == 1
    assert pair.front.config(5) == b"\x03\0tag"


def test_a_device_without_config_space_offers_none(make: Make) -> None:
    pair = make(profile=PROFILE._replace(config=b""))
    pair.front.realize()
    assert ProtocolFeature.CONFIG not in pair.front.agreed
