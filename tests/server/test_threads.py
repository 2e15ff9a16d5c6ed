"""Requests in worker threads come back together, where several are done by the time the loop looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

from ninep.server.requests import Request, Requests
from ninep.server.table import TABLES
from ninep.server.threads import Finished, Threads
from ninep.wire.dialect import Dialect
from ninep.wire.messages import Tgetattr


class Held:
    """Workers whose jobs are done when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[Future[Any]] = []

    def submit(self, storage: Hashable, call: Callable[..., Any], /, *args: Any) -> Future[Any]:
        self.jobs.append(Future())
        return self.jobs[-1]


class NoFids:
    """As much of a session as is asked for."""

    fids: dict[int, Any] = {}  # noqa: RUF012 - empty for good


def test_those_that_are_done_are_taken_together() -> None:
    async def run() -> list[list[int]]:
        requests, workers, taken = Requests(), Held(), []

        def done(finished: Finished) -> None:
            taken.append([request.tag for request, _ in finished])

        threads = Threads(workers, 10, requests)
        entry = TABLES[Dialect.LINUX][Tgetattr.number]
        for tag in range(3):
            requests.hold(Request(tag, entry, (tag, 0x7FF), NoFids()))  # type: ignore[arg-type]
        threads.run(done)
        for job in workers.jobs[:2]:
            job.set_result(())
        await asyncio.sleep(0)
        workers.jobs[2].set_result(())
        await asyncio.sleep(0)
        return taken

    assert asyncio.run(run()) == [[0, 1], [2]]
