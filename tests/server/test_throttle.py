"""Leaky buckets on a clock that the tests set: rates, bursts, the order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep.options import BadOption
from ninep.server.throttle import LIMITS, MAX_USERS, Bucket, Group, Limit, Rates, Throttle, parse_limit

RATES = st.integers(1, 10**9)
REQUESTS = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 1 << 20)), min_size=1, max_size=60)
"""Each comes so many seconds after the one before it, with so many units."""


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("bps-read=10M", Limit("bps-read", 10 << 20)),
        ("iops-total=500", Limit("iops-total", 500)),
        ("bps-total=1K:4K", Limit("bps-total", 1024, 4096)),
        ("bps-write=10M:50M:60", Limit("bps-write", 10 << 20, 50 << 20, 60)),
        ("iops-write=0.5", Limit("iops-write", 0.5)),
    ],
)
def test_limits_are_written_as_they_are_read(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit
    assert str(limit) == text
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("bps-reed=1M", "did you mean 'bps-read'"),
        ("bps-read", "write LIMIT=RATE"),
        ("bps-read=", "is not a size"),
        ("bps-read=0", "more than 0"),
        ("bps-read=2M:1M", "no less than the rate"),
        ("bps-read=1M:0", "no less than the rate"),
        ("bps-read=1M:2M:0.5", "1 to 86400 seconds"),
        ("bps-read=1M:2M:3:4", "RATE:MAX:SECONDS"),
    ],
)
def test_what_is_no_limit_is_refused_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(BadOption, match=why):
        parse_limit(text)


def served(bucket: Bucket, requests: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """When each is served."""
    now, times = 0.0, []
    for gap, units in requests:
        now += gap
        times.append((now + bucket.put(units, now), units))
    return times


@given(RATES, REQUESTS)
def test_no_more_than_the_rate_and_the_tenth_part_of_a_second_and_one_request(
    rate: int, requests: list[tuple[float, int]]
) -> None:
    times = served(Bucket(Limit("bps-total", rate), 0.0), requests)
    for first, (began, _) in enumerate(times):
        amount = 0
        for until, units in times[first:]:
            amount += units
            allowed = rate / 10 + rate * (until - began) + max(units for _, units in requests)
            assert amount <= allowed * (1 + 1e-9) + 1e-3


@given(RATES, st.integers(1, 20), st.integers(1, 30), REQUESTS)
def test_a_burst_is_no_faster_and_no_longer_than_allowed(
    rate: int, factor: int, seconds: int, requests: list[tuple[float, int]]
) -> None:
    most = rate * factor
    times = served(Bucket(Limit("bps-total", rate, most, seconds), 0.0), requests)
    largest = max(units for _, units in requests)
    amount = 0
    for until, units in times:
        amount += units
        assert amount <= (most * seconds + rate * until + largest) * (1 + 1e-9) + 1e-3
        if seconds > 1:
            assert amount <= (most / 10 + most * until + largest) * (1 + 1e-9) + 1e-3


@given(RATES, REQUESTS)
def test_requests_are_served_in_their_order_and_each_in_bounded_time(
    rate: int, requests: list[tuple[float, int]]
) -> None:
    times = served(Bucket(Limit("bps-total", rate), 0.0), requests)
    assert all(later >= earlier - 1e-6 for (earlier, _), (later, _) in pairwise(times))
    before = 0
    now = 0.0
    for (gap, units), (when, _) in zip(requests, times, strict=True):
        now += gap
        assert when <= now + before / rate + 1e-6  # what came before it, at the rate
        before += units


@given(RATES, REQUESTS)
def test_what_always_comes_in_time_never_waits(rate: int, requests: list[tuple[float, int]]) -> None:
    bucket, now = Bucket(Limit("bps-total", rate), 0.0), 0.0
    for _, units in requests:
        assert bucket.put(units, now) == pytest.approx(0, abs=1e-6)
        now += units / rate


def test_without_bursts_the_tenth_part_of_a_second_is_served_at_once() -> None:
    bucket = Bucket(Limit("iops-total", 100), 0.0)
    assert [bucket.put(1, 0.0) for _ in range(13)] == pytest.approx([0.0] * 11 + [0.01, 0.02])


def test_a_burst_as_qemu_documents_it() -> None:
    """docs/throttle.txt: iops-total=100, iops-total-max=2000, iops-total-max-length=60: 2000 per second
    for one minute, then 100.
    """
    bucket, now, counts = Bucket(Limit("iops-total", 100, 2000, 60), 0.0), 0.0, [0] * 80
    while now < 80:
        counts[int(now)] += 1
        now += bucket.put(1, now)
    assert sum(counts[:60]) == pytest.approx(2000 * 60, rel=0.01)
    assert sum(counts[70:]) == pytest.approx(100 * 10, rel=0.01)


def test_what_is_taken_back_can_be_used() -> None:
    bucket = Bucket(Limit("bps-read", 1000), 0.0)
    bucket.put(5000, 0.0)
    bucket.take_back(4900)
    assert bucket.put(1, 0.0) == 0
    assert bucket.put(1000, 0.0) == pytest.approx(0.001)
    bucket.take_back(10**6)
    assert bucket.empty(0.0)


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_counts_what_its_name_says(name: str) -> None:
    unit = 1000 if name.startswith("bps") else 1
    for writes in (False, True):
        group = Group([Limit(name, unit)], 0.0)
        assert group.put(1000, 0.0, writes=writes) == 0
        waits = group.put(1000, 0.0, writes=writes)
        counted = name.endswith(("total", "write" if writes else "read"))
        assert waits == pytest.approx(0.9 if counted else 0)


def test_of_several_limits_the_latest_time_counts() -> None:
    group = Group([Limit("bps-total", 1000), Limit("iops-write", 1), Limit("bps-write", 100)], 0.0)
    group.put(100, 0.0, writes=True)
    assert group.put(0, 0.0, writes=True) == pytest.approx(0.9)  # one operation per second, and 0.9 s of bytes
    assert group.put(0, 0.0, writes=False) == 0
    assert not group.empty(1.0)
    assert group.empty(3.0)


def test_the_groups_of_an_export_by_who_shares_them() -> None:
    throttle = Throttle(Rates((Limit("iops-total", 1),), (Limit("iops-total", 2),), (Limit("iops-total", 3),)))
    one: dict[Throttle, Group] = {}
    other: dict[Throttle, Group] = {}
    export, connection, user = throttle.groups(one, 1000, 0.0)
    assert throttle.groups(one, 1000, 0.0) == [export, connection, user]
    export_again, connection_of_other, user_again = throttle.groups(other, 1000, 0.0)
    assert (export_again, user_again) == (export, user)
    assert connection_of_other is not connection
    assert throttle.groups(one, 1001, 0.0)[2] is not user


def test_other_limits_begin_with_nothing_counted() -> None:
    throttle = Throttle(Rates((Limit("iops-total", 1),)))
    assert throttle.active
    (group,) = throttle.groups({}, 0, 0.0)
    throttle.change(Rates((Limit("iops-total", 2),)))
    (other,) = throttle.groups({}, 0, 0.0)
    assert other is not group
    throttle.change(Rates())
    assert not throttle.active
    assert throttle.groups({}, 0, 0.0) == []


def test_users_without_requests_are_forgotten_and_too_many_share_a_group() -> None:
    throttle = Throttle(Rates(user=(Limit("iops-total", 1),)))
    for uid in range(MAX_USERS):
        throttle.groups({}, uid, 0.0)[0].put(0, 0.0, writes=False)
    late = throttle.groups({}, "late", 0.5)[0]
    assert late.put(0, 0.5, writes=False) == 0
    assert throttle.groups({}, "later", 0.5)[0] is late
    assert throttle.groups({}, 7, 0.5)[0].put(0, 0.5, writes=False) > 0  # its own, as before
    assert throttle.groups({}, "latest", 5.0)[0] is not late
