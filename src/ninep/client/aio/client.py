"""The client: an attached export, with ``connect`` and ``attach``."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from time import monotonic
from types import TracebackType
from typing import Final, NamedTuple, Self

from ninep.client.address import Address, parse_address
from ninep.client.aio.connection import AsyncConnection, open_connection, wait
from ninep.client.aio.copying import Copying
from ninep.client.aio.session import DEFAULT_MSIZE, PREFERENCE, negotiate, words_of_attach
from ninep.client.aio.verbs import Verbs
from ninep.client.errors import no_such_export
from ninep.client.identity import group_id, user_id, user_name
from ninep.client.paths import RemotePath, encode
from ninep.client.recovery import Attempts, Redial, may_pass
from ninep.transport.connecting import with_files
from ninep.wire.dialect import Dialect

DEFAULT_TIMEOUT: Final = 60.0


class AsyncClient(Copying):
    """An attached export, made by ``connect`` or ``attach``; any number of tasks may use it at
    once.

    Paths use ``/`` and start at the root of the export, with or without a leading ``/``. Errors are
    the ``OSError`` that the functions of ``os`` raise, with the numbers of this host and the path
    as ``filename``; a broken connection raises ``ConnectionError`` (``ProtocolError`` if the server
    violated the protocol), an exceeded deadline ``TimeoutError``.
    """

    def __init__(self, verbs: Verbs, root: int, gid: int, *, owns_connection: bool) -> None:
        super().__init__(verbs, root, gid)
        self._owns_connection = owns_connection
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.connection.peer} {self.dialect.value.decode()}{' closed' if self._closed else ''}>"

    @property
    def dialect(self) -> Dialect:
        """The negotiated dialect."""
        return self.connection.dialect

    @property
    def msize(self) -> int:
        """The size of the largest message, in bytes."""
        return self.connection.msize

    async def close(self) -> None:
        """Close the connection, if this client made it; otherwise clunk the root. Files that are
        still open become unusable.
        """
        if self._closed:
            return
        self._closed = True
        if self._owns_connection:
            await self.connection.close()
        else:
            self.verbs.release(self.root)

    async def attach(
        self, aname: str = "", *, uname: str | None = None, n_uname: int | None = None, gid: int | None = None
    ) -> AsyncClient:
        """Attach another export, or the same for another user, on the same connection. Closing the
        first client closes the connection.
        """
        return await _attached(self.verbs, aname, uname, n_uname, gid, owns_connection=False)

    async def read_bytes(self, path: RemotePath, *, follow: bool = False) -> bytes:
        """The content of a file."""
        async with await self.open(path, follow=follow) as file:
            return await file.read()

    async def write_bytes(
        self, path: RemotePath, data: bytes, *, permissions: int = 0o666, follow: bool = False
    ) -> int:
        """Replace the content of a file by ``data``, creating the file if it does not exist.
        Returns the number of bytes.
        """
        async with await self.open(path, "wb", permissions=permissions, follow=follow) as file:
            return await file.write(data)


async def connect(
    address: str | Address | socket.socket,
    aname: str = "",
    *,
    uname: str | None = None,
    n_uname: int | None = None,
    gid: int | None = None,
    dialect: str | None = None,
    msize: int = DEFAULT_MSIZE,
    timeout: float | None = DEFAULT_TIMEOUT,
    tls_ca: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    tls_psk: str | None = None,
    reconnect: float = 0,
    on_reconnect: Callable[[str], object] | None = None,
    first_connect: float | None = None,
) -> AsyncClient:
    """Connect to a server and attach an export.

    ``address`` is parsed by ``client.address``, or a connected socket; ``aname`` is the name of the
    export, if the server has several. ``uname`` and ``n_uname`` are the user (default: of this
    process), ``gid`` the group of new files. ``dialect`` is ``9P2000.L``, ``9P2000.u`` or
    ``9P2000``; default: the first of these that the server supports. ``msize`` is the largest
    message requested, in bytes. ``timeout``, in seconds, applies to connecting and to each request;
    None: no limit. For ``tls://HOST:PORT``, names of files in PEM form: ``tls_ca`` has the certificates
    of the CAs that may have signed the server's (default: those that the system trusts), ``tls_cert``
    and ``tls_key`` have what is shown to a server that asks; ``tls_psk`` has a pre-shared key in place of all
    these (Python 3.13).

    With ``reconnect``, a connection that cannot be made because no server listens is tried again for so
    many seconds. One that is lost later is made again at the same address, for at most so long, and
    files stay open: what is safe to repeat is repeated, the rest raises ``OutcomeUnknown``,
    ``NotWritten`` or ESTALE (the page "Several gateways" has the rules). ``first_connect`` is another
    time for the first connection, 0: one attempt.
    ``on_reconnect`` is called with a sentence when that begins, and when it is done.

    Raises ``OSError`` if the connection or the attach fails, ``DialectError`` if the server
    supports none of the dialects, ``TimeoutError`` after ``timeout``.
    """
    dialects = PREFERENCE if dialect is None else (Dialect(dialect.encode()),)
    wanted = _Wanted(dialects, msize, aname, uname, n_uname, gid)
    if isinstance(address, socket.socket):
        if reconnect:
            raise ValueError("reconnect needs an address; a socket cannot be connected again")
        return await _begun(await AsyncConnection.over_socket(address, timeout), wanted)
    parsed = parse_address(address) if isinstance(address, str) else address
    parsed = with_files(parsed, tls_ca, tls_cert, tls_key, tls_psk)
    if not reconnect:
        return await _begun(await open_connection(parsed, timeout), wanted)
    seconds = reconnect if first_connect is None else first_connect
    return await _first(Redial(parsed, reconnect, on_reconnect), seconds, timeout, wanted)


class _Wanted(NamedTuple):
    """What a connection is to begin with."""

    dialects: Sequence[Dialect]
    msize: int
    aname: str
    uname: str | None
    n_uname: int | None
    gid: int | None


async def _begun(connection: AsyncConnection, wanted: _Wanted) -> AsyncClient:
    try:
        verbs = await negotiate(connection, wanted.dialects, wanted.msize)
        return await _attached(verbs, wanted.aname, wanted.uname, wanted.n_uname, wanted.gid, owns_connection=True)
    except BaseException:
        await connection.close()
        raise


async def _first(redial: Redial, seconds: float, timeout: float | None, wanted: _Wanted) -> AsyncClient:
    """Connect for the first time, and again while that may help (``recovery.may_pass``)."""
    began = monotonic()
    try:
        return await _begun(await open_connection(redial.address, timeout, redial), wanted)
    except OSError as error:
        left = seconds - (monotonic() - began)
        if left <= 0 or not may_pass(error):
            raise
        last = error
    redial.waiting(last, seconds)
    for pause in Attempts().pauses(left, 0, monotonic):
        await wait(pause)
        try:
            client = await _begun(await open_connection(redial.address, timeout, redial), wanted)
        except OSError as error:
            if not may_pass(error):
                raise
            last = error
        else:
            redial.say("connected")
            return client
    raise last


async def attach(
    connection: AsyncConnection,
    aname: str = "",
    *,
    uname: str | None = None,
    n_uname: int | None = None,
    gid: int | None = None,
    dialect: str | None = None,
    msize: int = DEFAULT_MSIZE,
) -> AsyncClient:
    """As ``connect``, on an existing connection (pipes of a subprocess, a socket of another
    transport).
    """
    dialects = PREFERENCE if dialect is None else (Dialect(dialect.encode()),)
    verbs = await negotiate(connection, dialects, msize)
    return await _attached(verbs, aname, uname, n_uname, gid, owns_connection=True)


async def _attached(
    verbs: Verbs, aname: str, uname: str | None, n_uname: int | None, gid: int | None, *, owns_connection: bool
) -> AsyncClient:
    name = encode(user_name() if uname is None else uname)
    try:
        root, _ = await verbs.attach(name, encode(aname), user_id() if n_uname is None else n_uname)
    except FileNotFoundError as error:
        words = await words_of_attach(verbs.connection, name, encode(aname)) if owns_connection else ""
        raise no_such_export(aname, error, words or error.strerror or "") from None
    if owns_connection:
        verbs.connection.reconnects()
    return AsyncClient(verbs, root, group_id() if gid is None else gid, owns_connection=owns_connection)
