"""The two clients behind one interface: tests are written once, in blocking style, and run with
each.

`Driven` gives an object of the asyncio client the methods of its blocking equivalent: coroutines
are run to their end, asynchronous iterators are stepped, and their results are wrapped in turn.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from ninep.client import aio, blocking
from ninep.client.aio.client import AsyncClient
from ninep.client.aio.connection import AsyncConnection
from ninep.client.aio.file import AsyncFile

WRAPPED = (AsyncClient, AsyncConnection, AsyncFile)


class Driven:
    def __init__(self, runner: asyncio.Runner, thing: Any) -> None:
        self._runner = runner
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        if not callable(value) or isinstance(value, type):
            return self._wrap(value)
        return lambda *args, **kwargs: self._settle(value(*map(_bare, args), **kwargs))

    def _settle(self, value: Any) -> Any:
        if inspect.iscoroutine(value):
            return self._wrap(self._runner.run(value))
        if isinstance(value, AsyncIterator) and not isinstance(value, WRAPPED):
            return self._steps(value)
        return self._wrap(value)

    def _wrap(self, value: Any) -> Any:
        return Driven(self._runner, value) if isinstance(value, WRAPPED) else value

    def _steps(self, values: AsyncIterator[Any]) -> Iterator[Any]:
        async def one() -> Any:
            return await anext(values)

        try:
            while True:
                try:
                    value = self._runner.run(one())
                except StopAsyncIteration:
                    return
                yield self._wrap(value)
        finally:
            self._runner.run(values.aclose())  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Any]:
        return self._steps(aiter(self._thing))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _bare(thing: Any) -> Any:
    return thing._thing if isinstance(thing, Driven) else thing


class Blocking:
    """The blocking client."""

    name = "blocking"

    def connect(self, address: Any, *args: Any, **kwargs: Any) -> Any:
        return blocking.connect(address, *args, **kwargs)

    def connection(self, sock: Any, timeout: float | None = None) -> Any:
        return blocking.Connection.over_socket(sock, timeout)

    def attach(self, connection: Any, *args: Any, **kwargs: Any) -> Any:
        return blocking.attach(connection, *args, **kwargs)

    def pass_time(self) -> None:
        """Lets background work happen: here there is none."""


class Asynchronous:
    """The asyncio client, with its own event loop that runs during each call."""

    name = "asyncio"

    def __init__(self) -> None:
        self.runner = asyncio.Runner()

    def _run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        async def call() -> Any:
            return await function(*args, **kwargs)

        return Driven(self.runner, self.runner.run(call()))

    def connect(self, address: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run(aio.connect, address, *args, **kwargs)

    def connection(self, sock: Any, timeout: float | None = None) -> Any:
        return self._run(aio.AsyncConnection.over_socket, sock, timeout)

    def attach(self, connection: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run(aio.attach, connection._thing, *args, **kwargs)
