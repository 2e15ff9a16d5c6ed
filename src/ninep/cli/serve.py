"""``ninep serve``: options to exports and listeners, a clean start, a clean end.

Whatever is wrong is said in one line on stderr, with exit status 2, before anything is served. What is served is said on stderr too (standard
output may be the wire), with the line to type in a guest.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from ninep import config
from ninep.cli import running
from ninep.config import BadConfig, ExportConfig, ServerConfig
from ninep.drivers.local import ExportError
from ninep.server.limits import Limits
from ninep.transport import addresses


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
@click.option(
    "--workers",
    "-w",
    default=1,
    show_default=True,
    metavar="N",
    type=click.IntRange(1, 256),
    help="Processes that share the work, one for each core to fill. Connections are spread evenly.",
)
@click.option("--verbose", "-v", is_flag=True, help="Log who attaches and what is refused.")
@click.option("--trace", is_flag=True, help="Log every message.")
def serve(dir: str | None, listen: tuple[addresses.Address, ...], export: tuple[tuple[str, str], ...],
          security_model: str, read_only: bool, fmode: int, dmode: int, multidevs: str, msize: int,
          workers: int, verbose: bool, trace: bool) -> None:  # fmt: skip
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
            workers,
        )
        running.run(settings)
    except (BadConfig, ExportError, OSError) as error:
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
