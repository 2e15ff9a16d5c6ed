"""``ninep serve``: options to exports and listeners, a clean start, a clean end.

Whatever is wrong is said in one line on stderr, with exit status 2, before anything is served. What is served is said on stderr too (standard
output may be the wire), with the line to type in a guest.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from ninep import config
from ninep.config import BadConfig, ExportConfig, ServerConfig
from ninep.server.limits import Limits
from ninep.transport import addresses

log = logging.getLogger("ninep.serve")
T = TypeVar("T")


class Checked(click.ParamType[Any]):
    """An option's text through a function that raises ``ValueError`` with a sentence."""

    def __init__(self, name: str, check: Callable[[str], Any]) -> None:
        self.name = name
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Click's call."""
        if not isinstance(value, str):
            return value
        try:
            return self._check(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _export(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise BadConfig(f"{text!r}: write NAME=DIR")
    return name, path


EXAMPLES = """\b
Examples:
  ninep serve ~/src                                share a folder with a guest of this machine
  ninep serve ~/src --read-only                    and let nobody change it
  ninep serve /srv --security-model passthrough    as root: owners and modes are the real ones
  ninep serve ~/a --export b=/data/b               two exports; mount the second with aname=b
  ninep serve ~/src --listen unix:/run/9p.sock     for QEMU, containers, ssh -L
  ninep serve ~/src --listen stdio                 from inetd, or at the end of a pipe
"""


@click.command(epilog=EXAMPLES)
@click.argument("dir", required=False, metavar="[DIR]")
@click.option(
    "--listen",
    "-l",
    multiple=True,
    metavar="ADDRESS",
    type=Checked("address", addresses.parse),
    help=f"Where to accept clients: HOST:PORT, unix:PATH, fd:N, stdio, systemd, vsock:CID:PORT, hyperv:VM:SERVICE. "
    f"Repeatable. [default: {addresses.DEFAULT}]",
)
@click.option(
    "--export",
    "-e",
    multiple=True,
    metavar="NAME=DIR",
    type=Checked("export", _export),
    help="Serve another folder, chosen by aname=NAME. Repeatable.",
)
@click.option(
    "--security-model",
    "-s",
    default="mapped-xattr",
    show_default=True,
    type=click.Choice([*config.SECURITY_MODELS, *config.ALIASES]),
    help="How owners, modes, devices and links of the guest are kept. mapped-xattr: in extended attributes, needs no root, the guest may "
    "chown and mknod as it likes. mapped-file: the same in hidden files. passthrough: for real, run it as root. "
    "none: as passthrough, what is not permitted is ignored.",
)
@click.option("--read-only", "-r", is_flag=True, help="Refuse every change.")
@click.option(
    "--fmode",
    default="600",
    show_default=True,
    metavar="OCTAL",
    type=Checked("mode", config.parse_mode),
    help="Real mode of new files in the mapped models.",
)
@click.option(
    "--dmode",
    default="700",
    show_default=True,
    metavar="OCTAL",
    type=Checked("mode", config.parse_mode),
    help="Real mode of new directories in the mapped models.",
)
@click.option(
    "--multidevs",
    default="remap",
    show_default=True,
    type=click.Choice(config.MULTIDEVS),
    help="A folder with several filesystems in it: keep inode numbers apart, refuse the others, or just warn.",
)
@click.option(
    "--msize",
    default="1M",
    show_default=True,
    metavar="SIZE",
    type=Checked("size", config.parse_size),
    help="The largest message, in bytes or with K or M; up to 4M.",
)
@click.option("--verbose", "-v", is_flag=True, help="Log who attaches and what is refused.")
@click.option("--trace", is_flag=True, help="Log every message.")
def serve(dir: str | None, listen: tuple[addresses.Address, ...], export: tuple[tuple[str, str], ...],
          security_model: str, read_only: bool, fmode: int, dmode: int, multidevs: str, msize: int,
          verbose: bool, trace: bool) -> None:  # fmt: skip
    """Serve a folder over 9P, to virtual machines, containers and other computers.

    Says the line to type in a Linux guest. Ends at SIGTERM or Ctrl-C, after answering what is in flight.
    """
    _logging(verbose=verbose, trace=trace)
    model = config.ALIASES.get(security_model, security_model)
    named = ([("", dir)] if dir else []) + list(export)
    # A round figure is meant as what one read carries: 1M lets 1 MiB through, with room for the header.
    size = msize + 24 if msize & (msize - 1) == 0 and msize >= 1 << 16 else msize
    try:
        settings = ServerConfig(
            [ExportConfig(path, name, model, fmode, dmode, multidevs, read_only) for name, path in named],
            listen or (addresses.parse(addresses.DEFAULT),),
            Limits(msize=size),
        )
        _run(lambda: _serve(settings))
    except (BadConfig, OSError) as error:
        refuse(_sentence(error))


def refuse(sentence: str) -> None:
    """One line on stderr, exit status 2."""
    click.echo(f"ninep serve: {sentence}", err=True)
    sys.exit(2)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _logging(*, verbose: bool, trace: bool) -> None:
    level = logging.DEBUG if trace else logging.INFO if verbose else logging.WARNING
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(message)s" if verbose or trace else "ninep: %(message)s")
    )
    root = logging.getLogger("ninep")
    root.addHandler(handler)
    root.setLevel(level)


def _run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """In the fastest event loop there is."""
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return asyncio.run(main())
    return uvloop.run(main())


async def _serve(settings: ServerConfig) -> None:
    from ninep.assembly import exports_of  # noqa: PLC0415 - opens nothing until the options are known to be good
    from ninep.server.server import Server  # noqa: PLC0415

    stopped = asyncio.Event()
    exports = exports_of(settings)
    async with Server(exports, settings.limits) as server:
        places = []
        for address in settings.listen:
            try:
                places.append(await server.listen(address))
            except OSError as error:
                raise OSError(error.errno, f"cannot listen on {address}: {error.strerror or error}") from error
        _on_signals(stopped)
        _announce(settings, places)
        if all(isinstance(address, addresses.Stdio | addresses.Descriptor) for address in settings.listen):
            # One connection was handed over: its end is ours.
            ending = [asyncio.create_task(stopped.wait()), asyncio.create_task(server.wait_idle())]
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            for task in ending:
                task.cancel()
        else:
            await stopped.wait()
        log.info("stopping")


def _on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:  # the Proactor loop of Windows has no signal handlers of its own
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))


def _announce(settings: ServerConfig, places: list[addresses.Address]) -> None:
    for export in settings.exports:
        what = [export.security_model] + (["read-only"] if export.read_only else [])
        name = f" as {export.name!r}" if export.name else ""
        click.echo(f"ninep: serving {export.path}{name} ({', '.join(what)})", err=True)
    for place in places:
        click.echo(f"ninep: listening on {place}", err=True)
    first = settings.exports[0].name
    for place in places:
        if line := mount_line(place, first, settings.limits.msize):
            click.echo(f"ninep: in a Linux guest: {line}", err=True)


def mount_line(place: addresses.Address, name: str, msize: int) -> str:
    """The command that mounts an export in a Linux guest; empty for places a kernel cannot reach by itself."""
    options = f"version=9p2000.L,msize={min(msize, 1 << 20)}" + (f",aname={name}" if name else "")
    match place:
        case addresses.Tcp(host, port):
            # In a guest with QEMU's user networking, the host's loopback is 10.0.2.2.
            local = host in {"127.0.0.1", "::1", "localhost", ""} or host.startswith("0.")
            return f"mount -t 9p -o trans=tcp,port={port},{options} {'10.0.2.2' if local else host} /mnt"
        case addresses.Unix(path):
            return f"mount -t 9p -o trans=unix,{options} {path} /mnt"
        case _:
            return ""
