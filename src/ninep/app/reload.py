"""A configuration file read again while clients are served: checked, built, then put in the place of
what was served.

Rules

* Whatever is wrong (a mistake in the file, a folder that is not there, an address in use) changes
  nothing, and the log says why.
* An export is the same if its name, target and options are, but for who may attach and the limits
  of its clients (``exports.LIVE``): it stays open, and its clients notice nothing else. One that is
  not is opened anew, and the clients of the old are ended.
* What is built is built in a thread: a device that does not answer delays no request.
* Some options are those of a process from its start to its end (``FIXED``).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic_ns
from typing import Final, TypeVar

from ninep.app.build import check_together, limits_of
from ninep.app.config import ServerConfig
from ninep.app.exports import LIVE, ExportConfig, build
from ninep.app.logging import set_level
from ninep.app.settings import BadConfig
from ninep.logs import ASKED_FOR
from ninep.options import BadOption
from ninep.server.access import Access
from ninep.server.exports import Export, close_driver
from ninep.server.limits import BadLimit
from ninep.server.server import Server
from ninep.transport import Address, transport_of
from ninep.transport.service_manager import notify

log = logging.getLogger("ninep.serve")
T = TypeVar("T")

FIXED: Final = ("workers", "metrics", "control", "log_format", "audit_log", "audit_size", "pcap", "ready_fd")


OTHER_SERVES: Final = "another process serves now, and this one ends with its last connection"


class NotReloaded(Exception):
    """Nothing has changed; the text says why, a line each."""


@dataclass(frozen=True, slots=True)
class Built:
    """A configuration, and what was opened for it."""

    settings: ServerConfig
    exports: Sequence[Export]
    """In the order of ``settings.exports``."""
    opened: Sequence[Export]
    """Those that were opened now."""

    def close(self) -> None:
        """It is not to be served."""
        for export in self.opened:
            close_driver(export)


def read(settings: Callable[[], ServerConfig]) -> ServerConfig:
    """The configuration as it is now. ``NotReloaded``."""
    try:
        return settings()
    except BadConfig as error:
        raise NotReloaded(str(error)) from error
    except (BadOption, BadLimit, OSError) as error:
        raise NotReloaded(_sentence(error)) from error


def rebuilt(settings: ServerConfig, before: ServerConfig, exports: Sequence[Export]) -> Built:
    """Open what is not served yet. ``NotReloaded``: then nothing is open that was not before."""
    there = [(_but_live(config), export) for config, export in zip(before.exports, exports, strict=True)]
    made: list[Export] = []
    opened: list[Export] = []
    try:
        for config in settings.exports:
            wanted = _but_live(config)
            export = next((export for same, export in there if same == wanted), None)
            if export is None:
                export = build(config, settings.workers)
                opened.append(export)
            made.append(export)
        _check_mounts(settings, before, opened)
        check_together(settings, made)
    except (BadOption, OSError) as error:
        for export in opened:
            close_driver(export)
        raise NotReloaded(_sentence(error)) from error
    return Built(settings, made, opened)


def _but_live(config: ExportConfig) -> ExportConfig:
    return config.replaced(**LIVE)


def _check_mounts(settings: ServerConfig, before: ServerConfig, opened: Iterable[Export]) -> None:
    """A kernel that mounts an export by FUSE cannot be given another in its place."""
    changed = {export.name.strip("/") for export in opened}
    for address in settings.listen:
        if address in before.listen and transport_of(address).protocol and address.export.strip("/") in changed:
            raise BadOption(
                f"the export {address.export!r} cannot change while {address} mounts it: restart the server, or take the address away"
            )


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def renewals(addresses: Iterable[Address]) -> list[Callable[[], None]]:
    """What addresses that are listened at have from files, read again (certificates): each of these
    calls puts it in place. ``NotReloaded``.
    """
    found = []
    for address in addresses:
        renew = transport_of(address).renew
        if renew is not None:
            try:
                found.append(renew(address))
            except OSError as error:
                raise NotReloaded(f"{address}: {_sentence(error)}") from error
    return found


def set_access(built: Built, server: Server | None = None) -> None:
    """Who may attach from now on, and how much they may do, to exports that stayed open too.
    ``server``: what serves them already.
    """
    for config, export in zip(built.settings.exports, built.exports, strict=True):
        export.set_access(Access(config.get("allow"), closed=True))
        rates = config.rates(built.settings.workers)
        if rates != export.throttle.rates:
            export.throttle.change(rates)
    if server is not None:
        server.throttled()


def carried(settings: ServerConfig, before: ServerConfig) -> ServerConfig:
    """With what a process has from its start to its end; the log says which of that would be another.
    ``NotReloaded`` if it does not fit.
    """
    fixed = {name: getattr(before, name) for name in FIXED}
    for name, value in fixed.items():
        if getattr(settings, name) != value:
            log.warning("reload: %s is changed by a restart only", name.replace("_", "-"), extra=ASKED_FOR)
    try:
        return replace(settings, **fixed)
    except BadOption as error:
        raise NotReloaded(str(error)) from error


def describe(settings: ServerConfig, before: ServerConfig) -> str:
    """What a reload did, for the log."""
    new, old = [[_but_live(config) for config in one.exports] for one in (settings, before)]
    opened, closed = sum(one not in old for one in new), sum(one not in new for one in old)
    return f"{len(new)} exports, {opened} opened, {closed} closed"


def begin_notify() -> None:
    """The service manager is told (sd_notify(3), Type=notify-reload)."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns() // 1000}")


def end_notify(why: str = "") -> None:
    """It is over; ``why`` nothing has changed, if so."""
    notify("READY=1\nSTATUS=" + (f"not reloaded: {why.splitlines()[0]}" if why else "serving"))


def say_why(why: str) -> None:
    """Log why nothing has changed, each mistake a line."""
    for line in why.splitlines():
        log.error("not reloaded: %s", line, extra=ASKED_FOR)


class Reload:
    """The reloads of a server in one process: one at a time; what is asked for meanwhile is one more
    afterwards.
    """

    def __init__(
        self,
        read_settings: Callable[[], ServerConfig],
        settings: ServerConfig,
        exports: Sequence[Export],
        server: Server,
    ) -> None:
        self._read = read_settings
        self._settings = settings
        self._exports = exports
        self._server = server
        self._listening: dict[Address, Address] | None = None
        """What each address of the configuration became; None: the server has not begun."""
        self._again = False
        self._running: asyncio.Task[None] | None = None
        self._ended = False
        self._why = ""
        """Why the last one changed nothing; empty: it was good."""
        self.count = 0
        """How many there were, good or not."""

    def ask(self) -> None:
        """Reload, soon. In the event loop."""
        if self._ended:
            self._why = OTHER_SERVES
            say_why(OTHER_SERVES)
        elif self._running is None and self._listening is not None:
            self._running = asyncio.get_running_loop().create_task(self._run())
        else:
            self._again = True

    async def now(self) -> str:
        """Reload, and wait for its end: why nothing has changed, a line each, or nothing."""
        self.ask()
        while self._running is not None:
            await asyncio.shield(self._running)
        return self._why

    def end(self) -> None:
        """Another process serves now: this one changes no more."""
        self._ended = True

    def begin(self, listening: Sequence[Address]) -> None:
        """The server listens; ``listening`` is what the addresses of the configuration became."""
        self._listening = dict(zip(self._settings.listen, listening, strict=True))
        if self._again:
            self.ask()

    async def _run(self) -> None:
        try:
            while True:
                self._again = False
                await self._once()
                if not self._again:
                    break
        finally:
            self._running = None

    async def _once(self) -> None:
        begin_notify()
        try:
            await self._reload()
        except NotReloaded as error:
            self._why = str(error)
            say_why(self._why)
        except Exception:
            self._why = "it failed"
            log.exception("the reload failed")
        else:
            self._why = ""
        end_notify(self._why)
        self.count += 1

    def _prepared(
        self, before: ServerConfig, exports: Sequence[Export], listening: Mapping[Address, Address]
    ) -> tuple[Built, list[Callable[[], None]]]:
        """In a thread. ``NotReloaded``."""
        settings = carried(read(self._read), before)
        renewed = renewals(listening[address] for address in settings.listen if address in listening)
        return rebuilt(settings, before, exports), renewed

    async def _reload(self) -> None:
        before, exports, listening = self._settings, self._exports, self._listening or {}
        built, renewed = await in_thread(lambda: self._prepared(before, exports, listening))
        settings = built.settings
        added = [address for address in settings.listen if address not in listening]
        gone = [address for address in listening if address not in settings.listen]
        try:
            became = await self._server.change(
                built.exports,
                limits_of(settings),
                settings.access,
                added,
                [listening[address] for address in gone],
            )
        except (OSError, ValueError) as error:  # what was opened is closed there: it may have clients by now
            raise NotReloaded(f"cannot listen at a new address: {_sentence(error)}") from error
        set_access(built, self._server)
        for put in renewed:
            put()
        for address in gone:
            del listening[address]
        listening |= zip(added, became, strict=True)
        self._settings, self._exports = settings, built.exports
        set_level(settings)
        log.warning("reloaded: %s", describe(settings, before), extra=ASKED_FOR)


async def in_thread(call: Callable[[], T]) -> T:
    """Call in a thread of its own, which the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # the call's own

    def run() -> None:
        result, failed = None, None
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            failed = error
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            loop.call_soon_threadsafe(finish, result, failed)

    threading.Thread(target=run, name="ninep-reload", daemon=True).start()
    return await future
