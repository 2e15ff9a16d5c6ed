"""What a front end has said about one ring."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ninep.virtio.messages import VringAddresses
from ninep.virtio.vring import NO_DESCRIPTOR, Vring

ADDRESSES = VringAddresses(ring=0, flags=0, descriptor=0x1000, used=0x3000, available=0x2000, log=0)


@pytest.fixture
def ring() -> Iterator[Vring]:
    one = Vring(0)
    yield one
    one.close()


def test_a_start_needs_a_size_addresses_and_a_kick(ring: Vring) -> None:
    ring.set_enabled(True)
    for step in (lambda: ring.set_size(256), lambda: ring.set_addresses(ADDRESSES), lambda: None):
        assert not ring.ready(enabled=True)
        step()
    ring.replace("kick", os.dup(0))
    assert ring.ready(enabled=False)


def test_what_it_is_without_being_told(ring: Vring) -> None:
    ring.set_size(256)
    ring.set_addresses(ADDRESSES)
    ring.replace("kick", os.dup(0))
    assert ring.ready(enabled=True)
    assert not ring.ready(enabled=False)
    ring.set_enabled(False)
    assert not ring.ready(enabled=True)


def test_a_broken_one_starts_afresh_with_the_next_kick(ring: Vring) -> None:
    ring.set_size(256)
    ring.set_addresses(ADDRESSES)
    ring.replace("kick", os.dup(0))
    ring.set_broken()
    assert not ring.ready(enabled=True)
    ring.halted()
    assert ring.kick == NO_DESCRIPTOR
    ring.replace("kick", os.dup(0))
    assert ring.ready(enabled=True)


def test_a_descriptor_that_is_replaced_is_closed(ring: Vring) -> None:
    first = os.dup(0)
    ring.replace("call", first)
    ring.replace("call", os.dup(0))
    if ring.call != first:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(first)
    ring.clear()
    assert (ring.kick, ring.call, ring.err) == (NO_DESCRIPTOR,) * 3


def test_the_same_reason_is_logged_once(ring: Vring) -> None:
    assert ring.set_start_error("no memory")
    assert not ring.set_start_error("no memory")
    assert ring.set_start_error("not aligned")
    ring.forget()
    assert ring.set_start_error("not aligned")


def test_a_ring_that_was_not_made_does_not_begin(ring: Vring) -> None:
    with pytest.raises(RuntimeError):
        ring.begin()
