"""Worker threads and who gets them: no storage gets all, what hangs is replaced, what is cancelled
is forgotten.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from tests.support.client import TIMEOUT

from ninep.server import offload as offload_module
from ninep.server.offload import FEW, Offload


class Hang:
    """Calls that do not return until they may."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.may = threading.Event()
        self.count = 0

    def __call__(self, *_: object) -> str:
        self.began.release()
        assert self.may.wait(TIMEOUT)
        return "returned"

    def all_began(self, count: int) -> None:
        for _ in range(count):
            assert self.began.acquire(timeout=TIMEOUT)


@pytest.fixture
def hang() -> Iterator[Hang]:
    hang = Hang()
    yield hang
    hang.may.set()


def in_loop(test: Callable[[], None]) -> None:
    async def run() -> None:
        test()

    asyncio.run(run())


def begun(jobs: list[Future[Any]]) -> int:
    return sum(job.running() for job in jobs)


def test_a_storage_that_hangs_gets_half_and_the_next_half_of_the_rest(hang: Hang) -> None:
    def test() -> None:
        offload = Offload(64, "t")
        counts = []
        for storage, expected in (("a", 32), ("b", 16), ("c", 8), ("d", 4), ("e", 3), ("f", 1)):
            jobs = [offload.submit(storage, hang) for _ in range(100)]
            hang.all_began(expected)
            counts.append(begun(jobs))
        assert counts == [32, 16, 8, 4, 3, 1]
        offload.shutdown()

    in_loop(test)


def test_a_healthy_storage_finds_a_thread(hang: Hang) -> None:
    def test() -> None:
        offload = Offload(8, "t")
        for _ in range(100):
            offload.submit("hung", hang)
        assert [offload.submit("healthy", pow, 2, i).result(TIMEOUT) for i in range(50)] == [2**i for i in range(50)]
        offload.shutdown()

    in_loop(test)


def made_quick(offload: Offload, storage: str) -> None:
    for _ in range(200):
        offload.submit(storage, int).result(TIMEOUT)


def test_a_quick_storage_has_one_thread_for_its_jobs(hang: Hang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload_module, "QUICK", TIMEOUT)  # whatever this machine does meanwhile
    monkeypatch.setattr(offload_module, "HELP", TIMEOUT)

    async def run() -> None:
        offload = Offload(8, "t")
        made_quick(offload, "a")
        first = offload.submit("a", hang)
        hang.all_began(1)
        jobs = [offload.submit("a", threading.get_ident) for _ in range(20)]
        assert begun(jobs) == 0
        other = offload.submit("b", pow, 2, 3)  # not known to be quick
        assert other.result(TIMEOUT) == 8
        hang.may.set()
        first.result(TIMEOUT)
        assert len({job.result(TIMEOUT) for job in jobs}) == 1
        offload.shutdown()

    asyncio.run(run())


def test_what_waits_for_a_quick_storage_gets_threads_if_it_is_not(hang: Hang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload_module, "QUICK", TIMEOUT)

    async def run() -> None:
        offload = Offload(8, "t")
        made_quick(offload, "a")
        offload.submit("a", hang)
        jobs = [asyncio.wrap_future(offload.submit("a", pow, 2, number)) for number in range(20)]
        assert await asyncio.wait_for(asyncio.gather(*jobs), TIMEOUT) == [2**number for number in range(20)]
        offload.shutdown()

    asyncio.run(run())


def test_what_is_behind_those_that_hang_gets_the_first_thread_that_is_free(
    hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload_module, "QUICK", TIMEOUT)

    async def run() -> None:
        offload, second = Offload(4, "t"), Hang()
        made_quick(offload, "a")
        offload.submit("a", hang)
        offload.submit("a", hang)
        last = offload.submit("a", second)
        waiting = [asyncio.wrap_future(offload.submit("a", int)) for _ in range(5)]
        await asyncio.to_thread(second.all_began, 1)
        second.may.set()
        assert last.result(TIMEOUT) == "returned"
        assert await asyncio.wait_for(asyncio.gather(*waiting), TIMEOUT) == [0] * 5
        offload.shutdown()

    asyncio.run(run())


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_few_threads(threads: int, hang: Hang) -> None:
    def test() -> None:
        offload = Offload(threads, "t")
        jobs = [offload.submit("a", hang) for _ in range(9)]
        hang.all_began(min(threads, FEW))
        assert begun(jobs) == min(threads, FEW)
        hang.may.set()
        assert [job.result(TIMEOUT) for job in jobs] == ["returned"] * 9
        offload.shutdown()

    in_loop(test)


def test_those_that_wait_take_turns(hang: Hang) -> None:
    order: list[str] = []

    def test() -> None:
        offload = Offload(1, "t")
        first = offload.submit("a", hang)
        jobs = [offload.submit(storage, order.append, storage) for storage in "aaabbc"]
        hang.may.set()
        first.result(TIMEOUT)
        for job in jobs:
            job.result(TIMEOUT)
        offload.shutdown()

    in_loop(test)
    assert "".join(order) == "abcaba"


def test_a_thread_that_hangs_is_replaced_and_told_of_once(hang: Hang, caplog: pytest.LogCaptureFixture) -> None:
    def test() -> None:
        offload = Offload(2, "t", hung=0.0)
        jobs = [offload.submit(storage, hang) for storage in ("a", "b")]
        hang.all_began(2)
        waiting = offload.submit("c", pow, 2, 3)
        assert not waiting.running()
        offload.find_hung()
        assert offload.hung == 2
        assert waiting.result(TIMEOUT) == 8
        offload.find_hung()
        assert len([record for record in caplog.records if "has not answered" in record.message]) == 2
        hang.may.set()
        assert [job.result(TIMEOUT) for job in jobs] == ["returned"] * 2
        offload.shutdown()

    in_loop(test)


def test_what_hangs_still_counts_for_its_storage(hang: Hang) -> None:
    def test() -> None:
        offload = Offload(8, "t", hung=0.0)
        jobs = [offload.submit("a", hang) for _ in range(100)]
        hang.all_began(4)
        for _ in range(10):
            offload.find_hung()
        assert begun(jobs) == 4
        assert offload.hung == 4
        offload.shutdown()

    in_loop(test)


def test_no_more_are_replaced_than_there_are(hang: Hang) -> None:
    def test() -> None:
        offload = Offload(3, "t", hung=0.0)
        began = 0
        for storage in range(20):
            offload.submit(storage, hang)
            offload.find_hung()
            began += hang.began.acquire(timeout=TIMEOUT if storage < 6 else 0)
        assert began == 6
        assert offload.hung == 3
        offload.shutdown()

    in_loop(test)


def test_what_is_cancelled_is_kept_no_longer(hang: Hang) -> None:
    class Buffer:
        pass

    def test() -> None:
        offload = Offload(1, "t")
        offload.submit("a", hang)
        hang.all_began(1)
        buffer = Buffer()
        gone = weakref.ref(buffer)
        job = offload.submit("a", id, buffer)
        assert job.cancel()
        del buffer
        gc.collect()
        assert gone() is None
        assert not offload._storages["a"].waiting
        offload.shutdown()

    in_loop(test)


def test_an_idle_thread_keeps_no_result() -> None:
    class Result:
        pass

    def test() -> None:
        offload = Offload(2, "t")
        gone = weakref.ref(offload.submit("a", Result).result(TIMEOUT))
        idle = threading.Event()
        offload.submit("a", idle.set)
        assert idle.wait(TIMEOUT)
        gc.collect()
        assert gone() is None
        offload.shutdown()

    in_loop(test)


def test_errors_are_told() -> None:
    def test() -> None:
        offload = Offload(2, "t")
        with pytest.raises(ZeroDivisionError):
            offload.submit("a", divmod, 1, 0).result(TIMEOUT)
        offload.shutdown()
        with pytest.raises(RuntimeError):
            offload.submit("a", int)

    in_loop(test)


def test_at_the_end_what_waits_is_cancelled_and_threads_end(hang: Hang) -> None:
    before = set(threading.enumerate())

    def test() -> None:
        offload = Offload(2, "t")
        first = [offload.submit("a", hang) for _ in range(2)]
        hang.all_began(2)
        waiting = [offload.submit("a", int) for _ in range(5)]
        offload.shutdown()
        assert all(job.cancelled() for job in waiting)
        hang.may.set()
        assert [job.result(TIMEOUT) for job in first] == ["returned"] * 2

    in_loop(test)
    for thread in set(threading.enumerate()) - before:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_the_interpreter_ends_although_a_thread_hangs() -> None:
    script = """
import asyncio, threading
from ninep.server.offload import Offload
async def main():
    offload, begun = Offload(2, "t"), threading.Event()
    offload.submit("a", lambda: (begun.set(), threading.Event().wait()))
    begun.wait()
    offload.shutdown()
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=TIMEOUT, check=False).returncode == 0
