"""The start of a session: negotiates dialect and message size (version(5)), and selects the
verbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ninep.client.aio.base import BaseVerbs
from ninep.client.aio.connection import AsyncConnection
from ninep.client.aio.dotl import LinuxVerbs
from ninep.client.aio.verbs import Verbs
from ninep.client.errors import DialectError
from ninep.wire.dialect import Dialect
from ninep.wire.messages import Rversion, Tversion

DEFAULT_MSIZE: Final = 1 << 20
PREFERENCE: Final = (Dialect.LINUX, Dialect.UNIX, Dialect.BASE)
VERBS: Final[dict[Dialect, type[Verbs]]] = {
    Dialect.LINUX: LinuxVerbs,
    Dialect.UNIX: BaseVerbs,
    Dialect.BASE: BaseVerbs,
}


async def negotiate(connection: AsyncConnection, dialects: Sequence[Dialect], msize: int) -> Verbs:
    """Negotiate the first of ``dialects`` that the server supports. ``DialectError`` if it supports
    none.

    Only an exact answer counts: a server of 9P2000.u may answer "9P2000" to "9P2000.L"; .u has to
    be requested by name.
    """
    answers = []
    for dialect in dialects:
        try:
            reply = await connection.call(Tversion(msize, dialect.value), Rversion)
        except ConnectionError:
            raise
        except TimeoutError as error:
            waited = f" within {connection.timeout:g} s" if connection.timeout is not None else ""
            words = f"no answer to the first message (Tversion){waited}: what listens there may be no 9P server"
            raise TimeoutError(error.errno, words) from None
        except OSError as error:  # diod answers with an error instead of "unknown"
            answers.append(f"{error.strerror} to {dialect.value.decode()}")
            continue
        if reply.version == dialect.value:
            connection.exchange.agree(dialect, reply.msize)
            return VERBS[dialect](connection)
        answers.append(f"{reply.version.decode('ascii', 'backslashreplace')} to {dialect.value.decode()}")
    raise DialectError(f"no common dialect: the server answered {', '.join(answers)}")


async def words_of_attach(connection: AsyncConnection, uname: bytes, aname: bytes) -> str:
    """What the server says of an attach that it refuses, in words, which plain 9P2000 has and
    9P2000.L has not; empty if it says nothing. The session ends by it.
    """
    words = ""
    with suppress(OSError):
        verbs = await negotiate(connection, (Dialect.BASE,), DEFAULT_MSIZE)
        try:
            await verbs.attach(uname, aname)
        except FileNotFoundError as error:
            words = error.strerror or ""
    return words
