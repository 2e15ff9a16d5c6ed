"""A virtqueue in the event loop: turns, signals, polling, pauses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest
from tests.support.virtio_driver import Driver

from ninep.transport import virtqueue
from ninep.transport.virtqueue import CHAINS_A_SIGNAL, LONGEST_PAUSE, WARM_UP, Virtqueue
from ninep.virtio.ring import Chain, RingError


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something that it will do by itself is done."""
    while not condition():  # noqa: ASYNC110 - there is no event for what is looked at
        await asyncio.sleep(0)


class Guest:
    """A driver, and the kick and signals of its ring."""

    def __init__(
        self, serve: Callable[[Chain], int | None] | None = None, *, idle: bool = False, size: int = 64
    ) -> None:
        self.driver = Driver(size, event_idx=True, indirect=True)
        self.kicked, self.kick = os.pipe()
        os.set_blocking(self.kicked, False)
        self.signals = 0
        self.errors: list[RingError] = []
        self.queue = Virtqueue(serve or (lambda _: 0), lambda _: None, self.errors.append, lambda: idle)

    def start(self) -> None:
        self.queue.start(self.driver.device(), self.kicked, self.signalled)

    def signalled(self) -> None:
        self.signals += 1

    def ask(self, count: int = 1) -> None:
        """Make requests available, and kick if that is asked for."""
        for _ in range(count):
            assert self.driver.add([b"x"], [1]) is not None
        if self.driver.kick():
            os.write(self.kick, bytes(8))

    async def answers(self, count: int) -> None:
        """Until so many have come back."""
        for _ in range(count):
            await until(lambda: self.driver.take() is not None)

    def close(self) -> None:
        self.queue.stop()
        os.close(self.kicked)
        os.close(self.kick)


def test_what_is_there_at_the_start_is_served() -> None:
    async def main() -> None:
        guest = Guest()
        guest.ask(3)
        guest.start()
        await guest.answers(3)
        guest.ask(2)
        await guest.answers(2)
        guest.close()

    asyncio.run(main())


def test_several_go_under_one_signal() -> None:
    async def main() -> None:
        guest = Guest()
        guest.ask(3 * CHAINS_A_SIGNAL)
        guest.driver.disable_signals()
        assert guest.driver.enable_signals()
        guest.start()
        await guest.answers(1)
        assert 1 <= guest.signals <= 3
        await guest.answers(3 * CHAINS_A_SIGNAL - 1)
        guest.close()

    asyncio.run(main())


def test_nothing_is_served_while_it_is_paused() -> None:
    async def main() -> None:
        served = []

        def serve(chain: Chain) -> int:
            served.append(chain.head)
            if len(served) == 2:
                guest.queue.pause()
            return 0

        guest = Guest(serve)
        guest.ask(5)
        guest.start()
        await guest.answers(2)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(served) == 2
        guest.queue.resume()
        await guest.answers(3)
        guest.close()

    asyncio.run(main())


def test_what_is_pushed_later_goes_by_a_flush() -> None:
    async def main() -> None:
        chains: list[Chain] = []
        guest = Guest(chains.append)
        guest.ask(2)
        guest.start()
        await until(lambda: len(chains) == 2)
        for chain in chains:
            guest.queue.push(chain.head, 1)
        assert guest.driver.take() is None
        guest.queue.flush()
        await guest.answers(2)
        guest.close()

    asyncio.run(main())


def test_the_event_loop_runs_whatever_the_guest_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn ends, although there is always more in the ring."""
    monkeypatch.setattr(virtqueue, "LONGEST", 0.0)

    async def main() -> None:
        served = 0

        def serve(chain: Chain) -> int:
            nonlocal served
            served += 1
            guest.driver.take()
            guest.ask()
            return 0

        guest = Guest(serve)
        guest.ask(8)
        guest.start()
        for _ in range(10):
            await asyncio.sleep(0)
        assert served > CHAINS_A_SIGNAL
        guest.close()

    asyncio.run(main())


class TestWaiting:
    """With a guest each of whose kicks is prompt, on a machine where no turn takes long."""

    @pytest.fixture(autouse=True)
    def _prompt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(virtqueue, "PROMPT", float("inf"))
        monkeypatch.setattr(virtqueue, "LONGEST", float("inf"))

    async def kicks(self, guest: Guest, count: int) -> None:
        for _ in range(count):
            guest.ask()
            await guest.answers(1)

    def test_the_ring_is_looked_at_less_and_less_if_that_finds_nothing(self) -> None:
        async def main() -> None:
            guest = Guest(idle=True)
            guest.start()
            await asyncio.sleep(0)
            queue = guest.queue
            for pause in (WARM_UP, 2 * WARM_UP, LONGEST_PAUSE, LONGEST_PAUSE):
                queue._pause, queue._skip = pause, 0
                await self.kicks(guest, WARM_UP)
                assert queue._prompt == 0, "no kick came in time"
                assert (queue._pause, queue._skip) == (min(2 * pause, LONGEST_PAUSE), pause - 1)
            await self.kicks(guest, WARM_UP)
            assert queue._skip == LONGEST_PAUSE - 2, "not looked at"
            guest.close()

        asyncio.run(main())

    def test_serves_what_comes_meanwhile_without_a_kick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main() -> None:
            guest = Guest(idle=True)
            guest.start()
            await self.kicks(guest, WARM_UP - 1)
            looks = 0

            def clock() -> float:
                nonlocal looks
                looks += 1
                if looks in {5, 15}:  # while the ring is looked at
                    assert guest.driver.add([b"x"], [1]) is not None
                return looks * virtqueue.POLL / 8

            monkeypatch.setattr(virtqueue, "monotonic", clock)
            await self.kicks(guest, 1)
            await guest.answers(2)
            assert guest.queue._pause == 2 * WARM_UP  # the last look found nothing
            guest.close()

        asyncio.run(main())

    def test_the_kick_is_waited_for_without_the_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:

        async def main() -> None:
            guest = Guest(idle=True)
            guest.start()
            await self.kicks(guest, WARM_UP - 1)
            waited = 0

            def poll(seconds: float, most: int) -> list[tuple[int, int]]:
                nonlocal waited
                assert (seconds, most) == (virtqueue.KICK_TIMEOUT, 1)
                assert guest.driver.take() is not None, "answered before it waits"
                waited += 1
                if waited > 3:
                    return []
                guest.ask()
                return [(guest.kicked, 1)]

            guest.queue._poll = poll
            guest.ask()
            await until(lambda: waited > 0)
            assert waited == 4, "all in one turn of the loop"
            assert guest.queue._prompt == 0, "the last one did not come"
            guest.queue._poll = lambda *_: []
            await self.kicks(guest, 1)
            guest.close()

        asyncio.run(main())

    def test_not_beside_other_work(self) -> None:
        async def main() -> None:
            guest = Guest(idle=False)
            guest.start()
            await self.kicks(guest, 2 * WARM_UP)
            assert guest.queue._pause == WARM_UP
            guest.close()

        asyncio.run(main())


def test_a_driver_that_breaks_the_rules() -> None:
    async def main() -> None:
        guest = Guest()
        guest.start()
        guest.driver.put(guest.driver.available_at + 2, "H", 999)
        os.write(guest.kick, bytes(8))
        await until(lambda: bool(guest.errors))
        assert not guest.queue.running
        guest.queue.push(0, 1)
        guest.queue.flush()  # the ring is stopped
        guest.close()

    asyncio.run(main())
