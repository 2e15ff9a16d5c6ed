"""Who gets a connection: the worker that has the fewest, if it lives. (What processes do:
tests/cli/test_serve.py, tests/faults/test_kill.py.)
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.support.client import TIMEOUT

from ninep.server.worker import Handed, Worker, take_messages
from ninep.server.workers import Pool

Make = Callable[[int], tuple[Worker, socket.socket]]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture
def worker() -> Iterator[Make]:
    """`worker(connections)`: a worker as the parent sees it, and its own end of the line."""
    with ExitStack() as stack:

        def make(connections: int) -> tuple[Worker, socket.socket]:
            ours, theirs = (stack.enter_context(one) for one in socket.socketpair())
            ours.setblocking(False)
            theirs.setblocking(False)
            made = Worker(0, ours, 0, theirs)
            made.connections = connections
            return made, theirs

        yield make


def come(pool: Pool, listening: socket.socket) -> socket.socket:
    client = socket.create_connection(listening.getsockname())
    pool._accept(listening)
    return client


def handed(theirs: socket.socket) -> int:
    """How many connections came over a worker's line."""
    got = [one for one in take_messages(theirs) or [] if isinstance(one, Handed)]
    for one in got:
        one.sock.close()
    return len(got)


@pytest.fixture
def pool_of(listening: socket.socket) -> Iterator[Callable[..., Pool]]:
    """`pool_of(worker, ...)`: a parent with these, which does not run."""
    pools: list[Pool] = []

    def make(*workers: Worker) -> Pool:
        pools.append(Pool([listening], 0, lambda *_: None))
        pools[-1].workers = list(workers)
        return pools[-1]

    yield make
    for pool in pools:
        pool._selector.close()
        pool._wake.close()
        pool._woken.close()


def test_the_one_with_the_fewest(listening: socket.socket, worker: Make, pool_of: Callable[..., Pool]) -> None:
    (busy, busy_end), (idle, idle_end) = worker(2), worker(1)
    pool = pool_of(busy, idle)
    with come(pool, listening), come(pool, listening):
        assert (handed(busy_end), handed(idle_end)) == (1, 1)
    assert (busy.connections, idle.connections) == (3, 2)


def test_one_that_has_just_died_is_passed_over(
    listening: socket.socket, worker: Make, pool_of: Callable[..., Pool]
) -> None:
    (dead, dead_end), (alive, alive_end) = worker(0), worker(5)
    dead_end.close()
    pool = pool_of(dead, alive)
    with come(pool, listening):
        assert handed(alive_end) == 1
    assert (dead.connections, alive.connections) == (0, 6)


def test_without_any_the_client_is_let_go(listening: socket.socket, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    with come(pool, listening) as client:
        client.settimeout(TIMEOUT)
        assert client.recv(1) == b""
