"""The configuration file read again where several processes serve (``server.worker_change``).

The parent reads and checks it, in a thread, and takes new addresses; it opens no export, since it
must make no call that can wait for a device. A worker gets the configuration as the parent read it, opens what is
new, says whether it could, and serves it when the parent says so. A worker that is started later
gets what is served then, and opens what was not open when the parent began.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import IO, Any, Final, NamedTuple, Protocol, TypeAlias

from ninep.app.build import limits_of
from ninep.app.config import ServerConfig
from ninep.app.ending import Hangup
from ninep.app.logging import set_level
from ninep.app.reload import (
    OTHER_SERVES,
    Built,
    NotReloaded,
    begin_notify,
    carried,
    describe,
    end_notify,
    in_thread,
    read,
    rebuilt,
    renewals,
    say_why,
    set_access,
)
from ninep.logs import ASKED_FOR
from ninep.server.exports import Export
from ninep.server.server import Server
from ninep.server.worker import FAILED, PREPARED, say
from ninep.server.worker_change import Change
from ninep.transport import Address, Bound, listeners

log = logging.getLogger("ninep.serve")

CHUNK: Final = 1 << 16
READ_WITHIN: Final = 20.0
"""Seconds for the files to be read. Until then no worker is started (a fork has the locks of that thread,
and not the thread), and another reload waits.
"""

_HANG_UP: Any = getattr(signal, "SIGHUP", None)
_Read: TypeAlias = tuple[ServerConfig, list[Callable[[], None]]]
"""The configuration, and what puts renewed certificates in place."""


class ChangeData(NamedTuple):
    """What a worker gets for a change."""

    settings: ServerConfig
    listening: Mapping[int, Address]
    """The addresses of the parent's sockets."""


@dataclass
class Served:
    """What the parent serves by its workers: the state of its reloads, and what a worker begins
    with.
    """

    settings: ServerConfig
    begun: ServerConfig
    """The configuration that the parent opened ``exports`` for."""
    exports: Sequence[Export]
    bound: dict[Address, Bound]
    """What is listened at, by addresses of the configuration."""
    listening: dict[int, Address]
    """The addresses of the sockets, by number."""
    sockets: dict[int, socket.socket]

    @classmethod
    def begin(cls, settings: ServerConfig, exports: Sequence[Export], bound: Sequence[Bound]) -> Served:
        """At the start."""
        served = cls(settings, settings, exports, {}, {}, {})
        for address, one in zip(settings.listen, bound, strict=True):
            served.add(address, one, served.numbered(one, 0))
        return served

    def numbered(self, bound: Bound, skip: int) -> dict[int, socket.socket]:
        """The sockets by numbers that none had before, but for ``skip`` of them."""
        first = max(self.listening, default=-1) + 1 + skip
        return dict(enumerate(bound.sockets, first))

    def add(self, address: Address, bound: Bound, sockets: Mapping[int, socket.socket]) -> None:
        """It is listened at."""
        self.bound[address] = bound
        self.sockets.update(sockets)
        self.listening.update(dict.fromkeys(sockets, bound.address))

    def remove(self, address: Address) -> None:
        """It is listened at no more; the sockets are closed already. Their numbers are used by no
        other.
        """
        bound = self.bound.pop(address)
        for number in self.numbers(bound):
            del self.sockets[number]
        bound.close()

    def numbers(self, bound: Bound) -> list[int]:
        """The numbers of what is bound."""
        return [number for number, sock in self.sockets.items() if any(sock is one for one in bound.sockets)]

    def built(self) -> Built:
        """In a new worker: what it serves. ``NotReloaded``."""
        if self.settings is self.begun:
            return Built(self.settings, self.exports, ())
        built = rebuilt(self.settings, self.begun, self.exports)
        set_access(built)
        return built


class ParentLoop(Protocol):
    """What reloads need of the parent."""

    def change(self, change: Change) -> None:
        """As ``Pool.change``."""

    def watch(self, descriptor: int, call: Callable[[], None]) -> None:
        """As ``Pool.watch``."""

    def unwatch(self, descriptor: int) -> None:
        """As ``Pool.unwatch``."""

    def start_none_until(self, when: float) -> None:
        """As ``Pool.start_none_until``."""


class _Reading:
    """A call in a thread of its own, which the end of the process does not wait for: the files may be on
    a device that does not answer.
    """

    def __init__(self, call: Callable[[], _Read]) -> None:
        self.began = monotonic()
        self.done, self._written = socket.socketpair()
        """Can be read when it is over."""
        self._call = call
        self._result: _Read | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name="ninep-reload", daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            self._error = error
        self._written.close()

    def result(self) -> _Read:
        """What the call returned, or raised."""
        if self._result is None:
            raise self._error or NotReloaded("it was not read")
        return self._result


class ParentReload:
    """The reloads of a server of several processes, in the parent."""

    def __init__(self, read_settings: Callable[[], ServerConfig], served: Served, loop: ParentLoop) -> None:
        self._read = read_settings
        self._served = served
        self._loop = loop
        self._hangup = Hangup()
        self._reading: _Reading | None = None
        self._again = self._ended = False

    def end(self) -> None:
        """Another process serves now: this one changes no more."""
        self._ended = True

    def hangup(self) -> bool:
        """SIGHUP: true asks to end."""
        if self._hangup.of_terminal():
            return True
        if self._ended:
            say_why(OTHER_SERVES)
            return False
        if self._reading is not None:
            if monotonic() - self._reading.began < READ_WITHIN:
                self._again = True
                return False
            say_why("the files of the configuration could not be read in time: they are read again")
            self._over(self._reading)
        begin_notify()
        now, addresses = self._served.settings, list(self._served.bound.items())
        self._reading = reading = _Reading(lambda: _read_files(self._read, now, addresses))
        self._loop.start_none_until(reading.began + READ_WITHIN)
        self._loop.watch(reading.done.fileno(), self._finish_reading)
        return False

    def _over(self, reading: _Reading) -> None:
        self._loop.unwatch(reading.done.fileno())
        reading.done.close()
        self._reading = None
        self._loop.start_none_until(0.0)

    def _finish_reading(self) -> None:
        reading = self._reading
        if reading is None:
            return
        self._over(reading)
        try:
            if self._ended:
                raise NotReloaded(OTHER_SERVES)  # noqa: TRY301 - as the rest
            self._begin(*reading.result())
        except NotReloaded as error:
            say_why(str(error))
            end_notify(str(error))
        except Exception:
            log.exception("the reload failed")
            end_notify("it failed")
        if self._again:
            self._again = False
            os.kill(os.getpid(), _HANG_UP)  # after this change

    def _begin(self, settings: ServerConfig, renewed: list[Callable[[], None]]) -> None:
        served = self._served
        bound = _bind([address for address in settings.listen if address not in served.bound])
        gone = [address for address in served.bound if address not in settings.listen]
        added: dict[int, socket.socket] = {}
        listening = dict(served.listening)
        by_address = []
        for address, one in bound.items():
            sockets = served.numbered(one, len(added))
            added.update(sockets)
            listening.update(dict.fromkeys(sockets, one.address))
            by_address.append((address, one, sockets))
        try:
            file = _write_change(ChangeData(settings, listening))
        except NotReloaded:
            _unbind(bound.values())
            raise

        def done(made: bool) -> None:
            file.close()
            if not made:
                _unbind(bound.values())
                end_notify("the log says why")
                return
            for put in renewed:
                put()
            for address in gone:
                served.remove(address)
            for address, one, sockets in by_address:
                served.add(address, one, sockets)
            before, served.settings = served.settings, settings
            set_level(settings)
            log.warning("reloaded: %s", describe(settings, before), extra=ASKED_FOR)
            end_notify()

        removed = [number for address in gone for number in served.numbers(served.bound[address])]
        self._loop.change(Change(file.fileno(), added, removed, done))


def _read_files(
    read_settings: Callable[[], ServerConfig], before: ServerConfig, bound: Iterable[tuple[Address, Bound]]
) -> _Read:
    """The configuration, and what the addresses that stay have from files: for workers that are started
    later. ``NotReloaded``.
    """
    settings = carried(read(read_settings), before)
    return settings, renewals(one.address for address, one in bound if address in settings.listen)


def _bind(addresses: Sequence[Address]) -> dict[Address, Bound]:
    bound: dict[Address, Bound] = {}
    for address in addresses:
        try:
            bound[address] = listeners.bind(address)
        except OSError as error:
            _unbind(bound.values())
            raise NotReloaded(f"cannot listen on {address}: {error.strerror or error}") from error
    return bound


def _unbind(bound: Collection[Bound]) -> None:
    for one in bound:
        for sock in one.sockets:
            sock.close()
        one.close()


def _write_change(sent: ChangeData) -> IO[bytes]:
    """A file without a name that says it, to processes that are forks of this one."""
    try:
        data = pickle.dumps(sent)
    except Exception as error:
        raise NotReloaded(f"a value of the configuration cannot be handed to the workers: {error}") from error
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when all have read it
    file.write(data)
    file.flush()
    return file


def _read_change(descriptor: int) -> ChangeData:
    """Read what the parent has written. The workers share its offset, and read without one."""
    read_at: Any = getattr(os, "pread", None)  # where there is fork(2)
    data = bytearray()
    try:
        while piece := read_at(descriptor, CHUNK, len(data)):
            data += piece
    finally:
        os.close(descriptor)
    sent: ChangeData = pickle.loads(data)  # noqa: S301 - of the process that this one is a fork of
    return sent


class WorkerReload:
    """The reloads in one worker (``server.worker.Follower``)."""

    def __init__(
        self,
        built: Built,
        server: Server,
        listening: dict[int, Address],
        control: socket.socket,
        give_up: Callable[[], None],
        leave: Callable[[], None],
    ) -> None:
        """``listening`` is kept up to date. ``give_up``: end this process cleanly. ``leave``: another
        server listens now.
        """
        self.leave = leave
        self._now = built
        self._server = server
        self._listening = listening
        self._control = control
        self._give_up = give_up
        self._next: tuple[Built, ChangeData, list[Callable[[], None]]] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._commit = self._abandoned = False

    def prepare(self, descriptor: int) -> None:
        """Open what is new."""
        self._commit = self._abandoned = False
        self._preparing = asyncio.get_running_loop().create_task(self._prepare(descriptor, self._preparing))

    async def _prepare(self, descriptor: int, before: asyncio.Task[None] | None) -> None:
        if before is not None:  # an abandoned one that still opens something
            await asyncio.wait([before])
        now = self._now
        try:
            sent = _read_change(descriptor)
            renewed = await in_thread(lambda: renewals(sent.listening.values()))
            built = await in_thread(lambda: rebuilt(sent.settings, now.settings, now.exports))
        except NotReloaded as error:
            say_why(str(error))
            self._fail()
        except Exception:
            log.exception("the reload failed")
            self._fail()
        else:
            self._next = built, sent, renewed
            say(self._control, PREPARED)
            if self._abandoned:
                self.abandon()
            elif self._commit:
                self.commit()

    def _fail(self) -> None:
        say(self._control, FAILED)
        if self._commit:
            log.error("this worker cannot follow a change: it ends")
            self._give_up()

    def commit(self) -> None:
        """Serve it."""
        self._commit = True
        if self._next is not None:
            (built, sent, renewed), self._next = self._next, None
            for put in renewed:
                put()
            self._make(built, sent)

    def _make(self, built: Built, sent: ChangeData) -> None:
        settings, before = built.settings, self._now.settings
        self._server.change_exports(built.exports, limits_of(settings), settings.access)
        set_access(built, self._server)
        self._listening.clear()
        self._listening.update(sent.listening)
        self._now = built
        set_level(settings)
        log.info("worker %d reloaded: %s", os.getpid(), describe(settings, before))

    def abandon(self) -> None:
        """Forget it."""
        self._abandoned = True
        if self._next is not None:
            (built, _, _), self._next = self._next, None
            built.close()
