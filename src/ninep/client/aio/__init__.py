"""The asyncio client. ``ninep.client.blocking`` is generated from the verbs in this package."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec

from ninep.client.aio import client as _client
from ninep.client.aio.client import AsyncClient, attach
from ninep.client.aio.connection import AsyncConnection, open_connection
from ninep.client.aio.file import AsyncFile

__all__ = ["AsyncClient", "AsyncConnection", "AsyncFile", "attach", "connect", "open_connection"]

P = ParamSpec("P")


class Connecting:
    """The result of ``connect``: ``await`` it, or use it with ``async with``."""

    def __init__(self, coming: Coroutine[Any, Any, AsyncClient]) -> None:
        self._coming = coming
        self._client: AsyncClient | None = None

    def __await__(self) -> Generator[Any, Any, AsyncClient]:
        return self._coming.__await__()

    async def __aenter__(self) -> AsyncClient:
        self._client = await self._coming
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()


def _enterable(function: Callable[P, Coroutine[Any, Any, AsyncClient]]) -> Callable[P, Connecting]:
    @wraps(function)
    def begin(*args: P.args, **kwargs: P.kwargs) -> Connecting:
        return Connecting(function(*args, **kwargs))

    return begin


connect = _enterable(_client.connect)
