"""Front ends and drivers that break the rules."""

from __future__ import annotations

import os
import re

import pytest

from ninep.host import shared

if not shared.AVAILABLE:
    pytest.skip("memory is shared by memfds, on Linux", allow_module_level=True)

from tests.support.vhost_back_end import Pair
from tests.support.vhost_front_end import USER, Lost, event
from tests.virtio.test_device import STEPS, Make, lines
from tests.virtio.test_device_memory import PLUGGED

from ninep.virtio import messages as m
from ninep.virtio.device import Device
from ninep.virtio.messages import Message, ProtocolFeature, Request, VringAddresses, VringState

NEEDS_RESET = 64
GATED = [(request, row.feature) for request, row in m.TABLE.items() if row.feature is not None]


def test_a_broken_ring_is_dead_until_the_guest_resets_it(running: Pair, caplog: pytest.LogCaptureFixture) -> None:
    front = running.front
    front.driver.put(front.driver.available_at + 2, "H", 100)
    os.eventfd_write(front.kick, 1)
    running.back.pump()
    assert front.failed()
    assert front.ask(Request.GET_STATUS) & NEEDS_RESET
    assert [line.split(": ")[0] for line in lines(caplog)] == [
        "ring 0 is broken, and served no more until the guest resets it"
    ]
    for name in ("kick", "enable"):
        STEPS[name](front)
    assert running.calls == []
    front.reset()
    front.start()
    assert running.calls == ["end", "start 0 at 0"]
    assert front.call(b"two", 10) == b"TWO"


def test_a_broken_ring_that_begins_where_it_broke_is_another_ring(running: Pair) -> None:
    front = running.front
    front.driver.put(front.driver.available_at + 2, "H", 100)
    os.eventfd_write(front.kick, 1)
    running.back.pump()
    front.driver.put(front.driver.available_at + 2, "H", 1)
    front.stop()
    front.start()
    assert running.calls == ["end", "start 0 at 1"]


def refused(pair: Pair, words: str) -> None:
    """The socket is closed, with these words; the role has nothing any more."""
    assert pair.back.error is not None
    assert re.search(words, str(pair.back.error))
    assert pair.back.closed
    with pytest.raises(Lost):
        pair.front.ask(Request.GET_FEATURES)


BEYOND = [
    (Request.SET_VRING_NUM, VringState(1, 8), 0),
    (Request.SET_VRING_BASE, VringState(1, 0), 0),
    (Request.GET_VRING_BASE, VringState(0xFFFF_FFFF, 0), 0),
    (Request.SET_VRING_ENABLE, VringState(2, 1), 0),
    (Request.SET_VRING_ADDR, VringAddresses(1, 0, USER, USER, USER, 0), 0),
    (Request.SET_VRING_KICK, 1, 1),
    (Request.SET_VRING_CALL, 255, 1),
    (Request.SET_VRING_ERR, 2, 1),
]


@pytest.mark.parametrize(("request_", "body", "count"), BEYOND, ids=[one.name for one, _, _ in BEYOND])
def test_a_ring_that_the_device_has_not(running: Pair, request_: Request, body: m.Body, count: int) -> None:
    running.front.send(request_, body, [running.front.kick] * count)
    refused(running, r"ring \d+: the device has 1 \(num_vqs=1\)")
    assert running.calls == ["stop 0", "end"]


@pytest.mark.parametrize("bit", [1, 26, 33, 34, 63])
def test_features_that_were_not_offered(pair: Pair, bit: int) -> None:
    pair.front.send(Request.SET_FEATURES, pair.front.features | 1 << bit)
    refused(pair, f"SET_FEATURES with bits that were not offered: {1 << bit:#x}")


@pytest.mark.parametrize("bit", [1, 5, 14, 63])
def test_protocol_features_that_were_not_offered(pair: Pair, bit: int) -> None:
    pair.front.send(Request.SET_PROTOCOL_FEATURES, 1 << bit)
    refused(pair, "SET_PROTOCOL_FEATURES with bits that were not offered")


BODIES: dict[int, m.Body] = {
    id(m.NOTHING): None,
    id(m.U64): 0,
    id(m.CONFIG): m.Config(0, 0, 0, b""),
    id(m.REGION): PLUGGED,
    id(m.INFLIGHT): m.Inflight(0, 0, 1, 8),
}


@pytest.mark.parametrize(("request_", "feature"), GATED, ids=[one.name for one, _ in GATED])
def test_requests_of_a_protocol_feature_that_was_not_agreed_on(
    make: Make, request_: Request, feature: ProtocolFeature
) -> None:
    pair = make(without=(feature,))
    pair.front.realize()
    row = m.TABLE[request_]
    pair.front.send(request_, BODIES[id(row.payload)], [pair.front.kick] * row.descriptors[0])
    refused(pair, f"{request_.name} without {feature.name}")


def test_a_table_with_another_number_of_descriptors(pair: Pair) -> None:
    pair.front.send(Request.SET_MEM_TABLE, (PLUGGED,), [])
    refused(pair, "SET_MEM_TABLE of 1 regions with 0 descriptors")


@pytest.mark.parametrize("wanted", [m.Inflight(0, 0, 0, 8), m.Inflight(0, 0, 2, 8), m.Inflight(0, 0, 1, 256)])
def test_an_in_flight_region_that_the_device_cannot_have(pair: Pair, wanted: m.Inflight) -> None:
    pair.front.send(Request.GET_INFLIGHT_FD, wanted)
    refused(pair, "in-flight regions of")


def test_an_acknowledgement_that_was_not_agreed_on_is_not_sent(make: Make) -> None:
    pair = make(without=(ProtocolFeature.REPLY_ACK,))
    pair.front.realize()
    pair.front.send(Request.SET_OWNER, flags=m.NEED_REPLY)
    assert pair.front.ask(Request.GET_STATUS) == 0


def test_descriptors_of_a_request_are_closed_whatever_becomes_of_it(pair: Pair) -> None:
    device: Device = pair.back.device
    given = [event(), event()]
    with pytest.raises(m.ProtocolError):
        device.request(Message(Request.SET_MEM_TABLE, 1, (PLUGGED,)), given[:])
    for descriptor in given:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
