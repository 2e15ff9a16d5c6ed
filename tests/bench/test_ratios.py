"""Ratios are of servers measured in the same round; the median of the rounds is what counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench.changes import CHANGES, Change
from bench.rounds import ratio, runs
from bench.sample import Cores, Sample, cores_for
from bench.servers import BY_KEY
from bench.targets import Check, verdicts
from bench.workloads import LOADS, WORKLOADS, Load

CELL = Sample(
    server="ninep", workload="getattr", load="1x1", round=0, value=100.0, unit="op/s", mean_us=0, p50_us=0, p99_us=0,
    max_us=0, server_cpu_us=0, server_cores=0, client_cores=0, rss_before_kb=0, rss_kb=0, msize=0, errors=0, error="",
)  # fmt: skip


def rounds(server: str, *values: float) -> list[Sample]:
    return [replace(CELL, server=server, round=n, value=v) for n, v in enumerate(values)]


def test_a_ratio_compares_within_the_round() -> None:
    # The machine was ten times slower in the second round: no ratio sees it.
    r = ratio(rounds("ninep", 200, 20, 210) + rounds("diod", 100, 10, 100), "ninep", "diod", "getattr", "1x1")
    assert r is not None
    assert (r.median, r.low, r.high) == (2.0, 2.0, 2.1)


def test_a_round_with_wrong_replies_does_not_count() -> None:
    bad = [replace(s, errors=1, error="x") if s.round == 0 else s for s in rounds("ninep", 900, 100, 100)]
    r = ratio(bad + rounds("diod", 100, 100, 100), "ninep", "diod", "getattr", "1x1")
    assert r is not None
    assert r.median == 1.0


def test_a_cell_without_a_good_round_has_no_ratio() -> None:
    assert ratio(rounds("ninep", 1.0), "ninep", "diod", "getattr", "1x1") is None


def test_a_target_is_judged_as_it_is_printed() -> None:
    samples = rounds("ninep", 99.6) + rounds("diod", 100.0)
    assert [v.met for v in verdicts(samples)] == [True]
    samples = rounds("ninep", 99.4) + rounds("diod", 100.0)
    assert [v.met for v in verdicts(samples)] == [False]


def test_client_and_server_share_a_core_only_with_one_request_in_flight() -> None:
    assert cores_for(Load(1, 1), (0, 1)) == Cores((0,), (0,))
    assert cores_for(Load(1, 16), (0, 1)) == Cores((0,), (1,))
    assert cores_for(Load(8, 1), (0, 1), server_cores=2) == Cores((0, 1), (0, 1))
    assert cores_for(Load(8, 1), (3,)) == Cores((3,), (3,))


def test_cells_that_do_not_exist_are_not_run() -> None:
    by_key = {w.key: w for w in WORKLOADS}
    assert not runs(BY_KEY["ninep"], by_key["connect"], Load(1, 16))
    assert not runs(BY_KEY["ninep-9p2000"], by_key["setattr"], Load(1, 1))
    assert not runs(BY_KEY["pyroute2"], by_key["create"], Load(1, 1))


def test_a_bound_may_be_an_upper_or_a_lower_one() -> None:
    assert Check("memory", 59.0, "MB", 60).met
    assert not Check("memory", float("inf"), "MB", 60).met
    assert not Check("workers", 1.5, "x", 1.6, at_most=False).met
    assert Check("latency", 1e9, "us", None).met


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.commit)
def test_changes_name_cells_that_are_measured(change: Change) -> None:
    by_key = {w.key: w for w in WORKLOADS}
    loads = {x.key: x for x in LOADS}
    assert all(runs(BY_KEY["ninep"], by_key[w], loads[x]) for w in change.workloads for x in change.loads)
