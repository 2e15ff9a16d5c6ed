"""Locks that check their order."""

import threading

import pytest

from ninep.testing.lock_order import LockOrder


def test_the_order_is_held() -> None:
    order = LockOrder(("outer",), ("inner",))
    outer, inner = order.watch(threading.RLock(), "outer"), order.watch(threading.RLock(), "inner")
    with outer, outer, inner, inner, outer:
        pass
    with inner, pytest.raises(AssertionError, match="outer is taken while inner is held"):
        outer.acquire()
    with outer, inner:
        pass


def test_two_of_one_name_have_no_order() -> None:
    order = LockOrder(("lock",))
    one, two = (order.watch(threading.Lock(), "lock") for _ in range(2))
    with one, pytest.raises(AssertionError):
        two.acquire()
    assert order.broken == ["lock is taken while lock is held"]


def test_one_of_a_group_at_a_time() -> None:
    order = LockOrder(("lock table", "listing"), ("inner",))
    table, listing, inner = (order.watch(threading.Lock(), name) for name in ("lock table", "listing", "inner"))
    with table, inner:
        pass
    with listing, inner:
        pass
    with table, pytest.raises(AssertionError, match="listing is taken while lock table is held"):
        listing.acquire()


def test_a_condition_waits_on_it() -> None:
    lock = LockOrder(("lock",)).watch(threading.RLock(), "lock")
    changed = threading.Condition(lock)  # type: ignore[arg-type]
    seen = []

    def change() -> None:
        with changed:
            seen.append(True)
            changed.notify_all()

    with changed:
        thread = threading.Thread(target=change)
        thread.start()
        assert changed.wait_for(lambda: seen)
    thread.join()
