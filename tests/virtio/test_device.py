"""A virtio device and its front end: what QEMU does, and what no front end may do."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import pytest

from ninep.host import shared

if not shared.AVAILABLE:
    pytest.skip("memory is shared by memfds, on Linux", allow_module_level=True)

from tests.support.vhost_back_end import PROFILE, Pair
from tests.support.vhost_front_end import USER, FrontEnd, event
from tests.support.vhost_front_end import memory as memfd

from ninep.virtio import messages as m
from ninep.virtio.messages import ProtocolFeature, Request, VringAddresses, VringState

Make = Callable[..., Pair]


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    """What was logged, without the name of the device."""
    found = [record for record in caplog.records if record.name == "ninep.virtio" and record.levelno >= level]
    return [record.getMessage().removeprefix("vhost-user:test: ") for record in found]


# -- a guest's life ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "without",
    [
        (),
        (ProtocolFeature.CONFIGURE_MEM_SLOTS,),
        (ProtocolFeature.REPLY_ACK,),
        (ProtocolFeature.STATUS, ProtocolFeature.MQ, ProtocolFeature.INFLIGHT_SHMFD),
        tuple(ProtocolFeature),
    ],
    ids=lambda without: "+".join(bit.name for bit in without) or "all agreed",
)
def test_a_guest_boots_and_its_requests_are_answered(make: Make, without: tuple[ProtocolFeature, ...]) -> None:
    pair = make(without=without)
    pair.front.realize()
    pair.front.start()
    assert pair.calls == ["start 0 at 0"]
    assert [pair.front.call(b"request %d" % n, 20) for n in range(20)] == [b"REQUEST %d" % n for n in range(20)]


def test_without_protocol_features_a_ring_is_enabled_at_once(make: Make) -> None:
    pair = make()
    pair.front.features = pair.front.wanted & ~(1 << 30)
    pair.front.start()
    assert pair.calls == ["start 0 at 0"]
    assert pair.front.call(b"one", 10) == b"ONE"


def test_the_log_of_a_boot(running: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "ninep.virtio"):
        running.front.stop()
        running.front.start()
        running.front.reset()
        running.front.config(5)
        running.front.start()
        running.front.close_socket()
    assert lines(caplog) == [
        "reset: the guest probes the device anew",
        "ring 0 started: 8 descriptors, features INDIRECT_DESC EVENT_IDX VERSION_1 0x1",
        "the front end is gone",
    ]
    assert lines(caplog, logging.DEBUG)[:3] == ["ring 0 stopped at 1", "ring 0 goes on at 1", "ring 0 stopped at 1"]


def test_stop_and_cont_resume_the_ring(running: Pair) -> None:
    running.front.stop()
    running.front.start()
    assert running.calls == ["stop 0", "resume 0 at 1"]
    assert running.front.call(b"two", 10) == b"TWO"


def test_requests_in_flight_at_a_stop_are_answered_when_the_guest_goes_on(running: Pair) -> None:
    running.back.role.holds = True
    running.front.offer([b"slow"], [10])
    running.front.stop()
    running.back.role.holds = False
    running.front.start()
    assert running.front.collect() == b"SLOW"
    assert running.calls == ["stop 0", "resume 0 at 2"]


def test_requests_that_came_while_it_was_stopped_are_answered(running: Pair) -> None:
    running.front.stop()
    running.front.driver.add([b"early"], [10])
    running.front.start()
    assert running.front.collect() == b"EARLY"


def test_another_driver_begins_with_new_sessions(running: Pair) -> None:
    running.front.reset()
    running.front.start()
    assert running.calls == ["stop 0", "end", "start 0 at 0"]
    assert running.front.call(b"two", 10) == b"TWO"


def test_a_driver_that_has_served_no_request_may_be_followed_by_another(pair: Pair) -> None:
    pair.front.start()
    pair.front.reset()
    pair.front.config(5)
    pair.front.start()
    assert pair.calls == ["start 0 at 0", "stop 0", "end", "start 0 at 0"]


def test_a_ring_that_was_written_while_it_was_stopped_is_another(running: Pair) -> None:
    running.front.stop()
    running.front.driver.put(running.front.driver.used_at + 2, "H", 7)
    running.front.start()
    assert running.calls == ["stop 0", "end", "start 0 at 1"]


def test_other_features_are_another_driver(running: Pair) -> None:
    running.front.stop()
    running.front.features &= ~(1 << 29)
    running.front.start()
    assert running.calls == ["stop 0", "end", "start 0 at 1"]


def test_reading_the_config_space_ends_sessions_only_while_nothing_runs(running: Pair) -> None:
    assert running.front.config(5) == b"\x03\0tag"
    assert running.calls == []
    running.front.stop()
    assert running.front.config(5) == b"\x03\0tag"
    assert running.front.config(5) == b"\x03\0tag"
    assert running.calls == ["stop 0", "end"]


def test_the_front_end_goes(running: Pair) -> None:
    running.front.close_socket()
    assert running.calls == ["stop 0", "end"]


def test_a_front_end_that_never_started_a_ring_goes(pair: Pair) -> None:
    pair.front.close_socket()
    assert pair.calls == []


# -- the server is restarted -------------------------------------------------------------------------------------------


def test_a_back_end_that_comes_back_goes_on_after_what_was_returned(make: Make, running: Pair) -> None:
    running.back.role.holds = True
    running.front.offer([b"lost"], [10])
    running.back.close()
    again = make(guest=running.front.guest)
    again.front.lost()
    again.front.realize()
    again.front.start()
    assert again.calls == ["start 0 at 1"]
    assert again.front.collect() == b"LOST"


def test_what_was_in_flight_is_recovered_by_the_region(make: Make, pair: Pair) -> None:
    """Not in the order it came in: the used index cannot tell which request is missing."""
    region = pair.front.inflight()
    pair.front.start()
    pair.back.role.holds = True
    pair.front.offer([b"first"], [10])
    pair.front.offer([b"second"], [10])
    second = pair.back.role.held.pop()
    assert pair.back.role.queue is not None
    pair.back.role.queue.push(second.head, 0)
    pair.back.role.queue.publish()
    pair.back.role.holds = False
    pair.back.close()
    assert pair.front.collect() == b""
    again = make(guest=pair.front.guest)
    again.front.lost()
    again.front.realize()
    again.front.give_inflight(region)
    again.front.start()
    assert again.front.collect() == b"FIRST"
    assert again.front.call(b"third", 10) == b"THIRD"
    os.close(region[1])


def test_what_was_in_flight_before_a_reset_is_forgotten(pair: Pair) -> None:
    region = pair.front.inflight()
    pair.front.start()
    pair.back.role.holds = True
    pair.front.offer([b"old"], [10])
    pair.front.reset()
    pair.front.give_inflight(region)
    pair.front.start()
    assert pair.back.role.held == []
    assert pair.calls == ["start 0 at 0", "stop 0", "end", "start 0 at 0"]
    os.close(region[1])


def test_the_region_has_room_for_every_ring_and_cannot_change_its_size(make: Make) -> None:
    pair = make(profile=PROFILE._replace(queues=3))
    pair.front.realize()
    given, descriptor = pair.front.inflight(queues=3, queue_size=128)
    assert given == m.Inflight(3 * 2112, 0, 3, 128)
    assert os.fstat(descriptor).st_size == given.size
    for size in (given.size - 1, given.size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)
    os.close(descriptor)


WRONG_REGIONS = {
    "its file could shrink": (m.Inflight(4096, 0, 1, 8), False),
    "8192 bytes at 0 in a file of 4096": (m.Inflight(8192, 0, 1, 8), True),
    "4096 bytes at 8 in a file of 4096": (m.Inflight(4096, 8, 1, 8), True),
    "1024 bytes at 4 in a file of 4096": (m.Inflight(1024, 4, 1, 8), True),
    "64 bytes at 0 in a file": (m.Inflight(64, 0, 1, 128), True),
    "4096 bytes at 18446744073709551608 in a file": (m.Inflight(4096, (1 << 64) - 8, 1, 8), True),
}


@pytest.mark.parametrize(("words", "wrong"), WRONG_REGIONS.items(), ids=list(WRONG_REGIONS))
def test_a_wrong_region_is_refused(
    pair: Pair, words: str, wrong: tuple[m.Inflight, bool], caplog: pytest.LogCaptureFixture
) -> None:
    given, sealed = wrong
    descriptor = memfd(4096, sealed=sealed)
    assert pair.front.acknowledged(Request.SET_INFLIGHT_FD, given, [descriptor]) == 1
    assert words in lines(caplog)[-1]
    pair.front.start()
    assert pair.front.call(b"one", 10) == b"ONE"
    os.close(descriptor)


def test_a_region_of_another_queue_size_keeps_the_ring_from_starting(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    region = pair.front.inflight(queue_size=4)
    pair.front.start()
    assert pair.calls == []
    assert lines(caplog)[-1].startswith("ring 0 does not start: an in-flight region of")
    os.close(region[1])


# -- rings -------------------------------------------------------------------------------------------------------------


STEPS: dict[str, Callable[[FrontEnd], None]] = {
    "num": lambda front: front.send(Request.SET_VRING_NUM, VringState(0, front.guest.size)),
    "addr": lambda front: front.send(Request.SET_VRING_ADDR, front.addresses),
    "kick": lambda front: front.send(Request.SET_VRING_KICK, 0, [front.kick]),
    "enable": lambda front: front.send(Request.SET_VRING_ENABLE, VringState(0, 1)),
    "memory": lambda front: front.send(Request.ADD_MEM_REG, front.guest.region, [front.guest.descriptor]),
}


@pytest.mark.parametrize("last", STEPS)
def test_a_ring_starts_when_all_is_there_in_whatever_order(pair: Pair, last: str) -> None:
    pair.front.send(Request.SET_FEATURES, pair.front.features)
    pair.front.send(Request.SET_VRING_CALL, 0, [pair.front.signal])
    for name, step in STEPS.items():
        if name != last:
            step(pair.front)
    assert pair.calls == []
    STEPS[last](pair.front)
    assert pair.calls == ["start 0 at 0"]
    assert pair.front.call(b"one", 10) == b"ONE"


def test_a_ring_is_disabled_and_enabled(running: Pair) -> None:
    running.front.send(Request.SET_VRING_ENABLE, VringState(0, 0))
    running.front.offer([b"two"], [10])
    assert running.calls == ["stop 0"]
    running.front.send(Request.SET_VRING_ENABLE, VringState(0, 1))
    assert running.calls == ["resume 0 at 1"]
    assert running.front.collect() == b"TWO"


def test_all_rings_are_disabled_by_reset_owner(running: Pair) -> None:
    running.front.send(Request.RESET_OWNER)
    assert running.calls == ["stop 0"]
    running.front.send(Request.SET_VRING_ENABLE, VringState(0, 1))
    assert running.calls == ["resume 0 at 1"]


def test_status_0_stops_rings_until_they_are_kicked(running: Pair) -> None:
    running.front.send(Request.SET_STATUS, 0)
    running.front.send(Request.SET_VRING_ENABLE, VringState(0, 1))
    assert running.calls == ["stop 0"]
    running.front.stop()
    running.front.start()
    assert running.calls == ["resume 0 at 1"]


def test_a_device_that_is_reset_knows_nothing_but_its_memory(running: Pair) -> None:
    assert running.front.acknowledged(Request.RESET_DEVICE) == 0
    assert running.calls == ["stop 0", "end"]
    for name in ("kick", "enable"):
        STEPS[name](running.front)
    assert running.calls == []
    running.front.reset()
    running.front.start()
    assert running.calls == ["start 0 at 0"]
    assert running.front.call(b"two", 10) == b"TWO"


def test_status_is_what_was_set(pair: Pair) -> None:
    assert pair.front.ask(Request.GET_STATUS) == 0
    pair.front.send(Request.SET_STATUS, 11)
    assert pair.front.ask(Request.GET_STATUS) == 11


def test_a_base_that_was_set_and_never_used_is_answered(pair: Pair) -> None:
    pair.front.send(Request.SET_VRING_BASE, VringState(0, 77))
    assert pair.front.ask(Request.GET_VRING_BASE, VringState(0, 0)) == (0, 77)


WRONG_ADDRESSES = {
    "its descriptor table at 0x7f0000000008 is not aligned to 16": VringAddresses(0, 0, USER + 8, USER, USER, 0),
    "its available ring at 0x7f0000000001 is not aligned to 2": VringAddresses(0, 0, USER, USER, USER + 1, 0),
    "its used ring at 0x7f0000000002 is not aligned to 4": VringAddresses(0, 0, USER, USER + 2, USER, 0),
    "its descriptor table: 128 bytes at user address 0x10000": VringAddresses(0, 0, 0x10000, USER, USER, 0),
    "its used ring: 70 bytes at user address 0x7effffffffe0": VringAddresses(0, 0, USER, USER - 32, USER, 0),
    "its available ring: 22 bytes at user address 0xfffffffffffffffe": VringAddresses(0, 0, USER, USER, 2**64 - 2, 0),
}


@pytest.mark.parametrize(("words", "addresses"), WRONG_ADDRESSES.items(), ids=list(WRONG_ADDRESSES))
def test_a_ring_with_wrong_addresses_does_not_start(
    pair: Pair, words: str, addresses: VringAddresses, caplog: pytest.LogCaptureFixture
) -> None:
    front = pair.front
    front.send(Request.SET_FEATURES, front.features)
    assert front.tell_memory() == 0
    for request, body in ((Request.SET_VRING_NUM, VringState(0, 8)), (Request.SET_VRING_ADDR, addresses)):
        front.send(request, body)
    for name in ("kick", "enable", "enable"):
        STEPS[name](front)
    assert pair.calls == []
    assert [line for line in lines(caplog) if f"ring 0 does not start: {words}" in line] == lines(caplog)[-1:]
    front.send(Request.SET_VRING_ADDR, front.addresses)
    assert pair.calls == ["start 0 at 0"]


@pytest.mark.parametrize("size", [0, 3, 256, 0xFFFF_FFFF])
def test_a_size_that_no_ring_has_is_refused(pair: Pair, size: int, caplog: pytest.LogCaptureFixture) -> None:
    assert pair.front.acknowledged(Request.SET_VRING_NUM, VringState(0, size)) == 1
    assert lines(caplog) == [f"SET_VRING_NUM refused: a ring of {size} descriptors: a power of two, at most 128"]
    for name in ("memory", "addr", "kick", "enable"):
        STEPS[name](pair.front)
    assert pair.calls == []


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (Request.SET_VRING_NUM, VringState(0, 16)),
        (Request.SET_VRING_BASE, VringState(0, 16)),
        (Request.SET_VRING_ADDR, VringAddresses(0, 0, USER, USER, USER, 0)),
    ],
)
def test_a_ring_that_runs_is_not_set_up_otherwise(running: Pair, request_: Request, body: m.Body) -> None:
    assert running.front.acknowledged(request_, body) == 1
    assert running.calls == []
    assert running.front.call(b"two", 10) == b"TWO"


def test_the_same_addresses_may_be_told_again(running: Pair) -> None:
    assert running.front.acknowledged(Request.SET_VRING_ADDR, running.front.addresses) == 0
    assert running.calls == []


def test_a_base_beyond_16_bits_is_refused(pair: Pair) -> None:
    assert pair.front.acknowledged(Request.SET_VRING_BASE, VringState(0, 0x10000)) == 1


def test_two_rings_of_one_device_end_together(make: Make) -> None:
    pair = make(profile=PROFILE._replace(queues=2))
    pair.front.realize()
    pair.front.start()
    second = event()
    pair.front.send(Request.SET_VRING_NUM, VringState(1, 8))
    pair.front.send(Request.SET_VRING_ADDR, pair.front.addresses._replace(ring=1))
    pair.front.send(Request.SET_VRING_KICK, 1, [second])
    pair.front.send(Request.SET_VRING_ENABLE, VringState(1, 1))
    assert pair.calls == ["start 0 at 0", "start 1 at 0"]
    for ring in (0, 1):
        pair.front.ask(Request.GET_VRING_BASE, VringState(ring, 0))
        pair.front.send(Request.SET_VRING_BASE, VringState(ring, 5))
    driver = pair.front.driver
    for place in (driver.available_at, driver.used_at):
        driver.put(place + 2, "H", 5)
    for ring, kick in ((0, pair.front.kick), (1, second)):
        pair.front.send(Request.SET_VRING_KICK, ring, [kick])
    assert pair.calls == ["stop 0", "stop 1", "end", "start 0 at 5", "start 1 at 5"]
    os.close(second)


# -- kicks and signals -------------------------------------------------------------------------------------------------


def test_rings_are_not_polled(running: Pair, caplog: pytest.LogCaptureFixture) -> None:
    assert running.front.acknowledged(Request.SET_VRING_KICK, m.VRING_NOFD) == 1
    assert running.calls == ["stop 0"]
    assert lines(caplog)[-1] == "SET_VRING_KICK refused: rings are not polled: they start with a kick descriptor"
    running.front.send(Request.SET_VRING_KICK, 0, [running.front.kick])
    assert running.calls == ["resume 0 at 1"]


def test_a_driver_that_polls_is_not_signalled(running: Pair) -> None:
    running.front.send(Request.SET_VRING_CALL, m.VRING_NOFD)
    running.front.signalled()
    running.front.offer([b"two"], [10])
    assert not running.front.signalled()
    assert running.front.driver.take() is not None


def test_another_signal_descriptor_is_signalled_at_once(running: Pair) -> None:
    """What was signalled to the one before may have had nobody who waits."""
    running.front.signalled()
    running.front.send(Request.SET_VRING_CALL, 0, [running.front.signal])
    assert running.front.signalled()


@pytest.mark.parametrize("request_", [Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR])
def test_kicks_and_signals_are_eventfds_or_pipes(pair: Pair, request_: Request) -> None:
    """A write to any other file might wait for ever."""
    null, (reading, writing) = os.open(os.devnull, os.O_RDWR), os.pipe()
    assert pair.front.acknowledged(request_, 0, [null]) == 1
    assert pair.front.acknowledged(request_, 0, [reading if request_ is Request.SET_VRING_KICK else writing]) == 0
    for descriptor in (null, reading, writing):
        os.close(descriptor)


def test_a_full_signal_descriptor_does_not_block(running: Pair) -> None:
    running.front.signalled()
    os.eventfd_write(running.front.signal, 2**64 - 2)
    running.front.driver.enable_signals()
    running.front.offer([b"two"], [10])
    assert running.front.driver.take() is not None


@pytest.mark.parametrize("request_", [Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR])
@pytest.mark.parametrize(("value", "count"), [(0, 0), (m.VRING_NOFD, 1)])
def test_a_descriptor_comes_exactly_if_the_payload_says_so(
    pair: Pair, request_: Request, value: int, count: int
) -> None:
    pair.front.send(request_, value, [pair.front.kick] * count)
    assert str(pair.back.error) == f"{count} descriptors with {value:#x} for a ring"
