"""The control socket of Windows: a named pipe, which the system opens for none but the user that the
server runs as, Administrators and SYSTEM (``host.windows.pipes``).

A thread accepts, and each connection has one, ``control_protocol.MAX_CONVERSATIONS`` of them: asyncio can make pipes,
but not with a security descriptor. They wait for the pipe, requests are answered in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from ninep.app.control_protocol import (
    IDLE,
    LONGEST_REQUEST,
    MAX_CONVERSATIONS,
    REQUEST_TIMEOUT,
    TOO_LONG,
    TOO_MANY,
    error_reply,
)
from ninep.host.windows.pipes import Closed, Pipe, PipeServer

log = logging.getLogger("ninep.serve")
Answer = Callable[[bytes], Coroutine[Any, Any, bytes]]
_NAME: Final = "ninep-control"


@asynccontextmanager
async def at_pipe(answer: Answer, server: PipeServer) -> AsyncIterator[None]:
    """Answer at a pipe, as long as the ``async with`` lasts. ``answer`` makes a reply of a request."""
    conversations = _Conversations(answer, server)
    threading.Thread(target=conversations.run, name=_NAME, daemon=True).start()
    try:
        yield
    finally:
        server.close()


class _Conversations:
    def __init__(self, answer: Answer, server: PipeServer) -> None:
        self._answer = answer
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._free = threading.BoundedSemaphore(MAX_CONVERSATIONS)

    def run(self) -> None:
        try:
            while True:
                pipe = self._server.accept()
                if self._free.acquire(blocking=False):
                    threading.Thread(target=self._converse, args=(pipe,), name=_NAME, daemon=True).start()
                else:
                    _refuse(pipe)
        except Closed:
            return
        except OSError as error:
            log.error("the control pipe answers no more: %s", error.strerror or error)  # noqa: TRY400 - no traceback is of use

    def _converse(self, pipe: Pipe) -> None:
        try:
            with pipe, suppress(OSError, CancelledError):  # TimeoutError among them
                while True:
                    pipe.within(IDLE)
                    line = pipe.readline(LONGEST_REQUEST)
                    pipe.within(REQUEST_TIMEOUT)
                    if not line.endswith(b"\n"):
                        if len(line) == LONGEST_REQUEST:
                            pipe.sendall(error_reply(TOO_LONG))
                        return
                    pipe.sendall(self._wait_for(self._answer(line)))
        finally:
            self._free.release()

    def _wait_for(self, answer: Coroutine[Any, Any, bytes]) -> bytes:
        try:
            return asyncio.run_coroutine_threadsafe(answer, self._loop).result()
        except RuntimeError:  # the loop is closed: the process is ending
            answer.close()
            raise Closed from None


def _refuse(pipe: Pipe) -> None:
    pipe.within(0.0)
    with pipe, suppress(OSError):
        pipe.sendall(error_reply(TOO_MANY))
