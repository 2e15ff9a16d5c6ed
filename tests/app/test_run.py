"""How a running server is ended, in a loop that has no signal handlers of its own: the Proactor
loop of Windows.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import pytest
from tests.support.client import TIMEOUT

from ninep.app import ending


class ProactorLike(asyncio.SelectorEventLoop):
    """What Windows does otherwise: signals come as to any Python program, and wake the loop through
    a socket.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.before = signal.set_wakeup_fd(self.theirs.fileno())
        self.add_reader(self.ours, lambda: self.ours.recv(1 << 16))

    def add_signal_handler(self, *_: object) -> None:
        raise NotImplementedError

    def close(self) -> None:
        if not self.is_closed():
            signal.set_wakeup_fd(self.before)
            self.remove_reader(self.ours)
            self.ours.close()
            self.theirs.close()
        super().close()


@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers of before, afterwards."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_a_full_pipe_is_no_failure(
    number: signal.Signals, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "_wait", None)

    async def serve() -> None:
        stopped = asyncio.Event()
        signals = ending.EndSignals(stopped.set)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ProactorLike)
        with contextlib.suppress(BlockingIOError):
            while True:
                loop.theirs.send(b"\0" * 4096)
        signal.raise_signal(number)
        await asyncio.wait_for(stopped.wait(), TIMEOUT)
        signals.close()

    with asyncio.Runner(loop_factory=ProactorLike) as runner:
        runner.run(serve())
    assert capfd.readouterr().err == ""
