"""``ninep serve``: options to exports and listeners, a clean start, a clean end.

Whatever is wrong is said in one line on stderr before anything is served: exit status 2 for what cannot be meant, 1 for what cannot be done here
(a folder that is not there, an address in use). What is served is said on stderr too (standard
output may be the wire), with the line to type in a guest.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import click

from ninep import config, logs
from ninep.cli import running
from ninep.cli.groups import Grouped, grouped
from ninep.cli.params import ParamType
from ninep.config import BadConfig, ExportConfig, ServerConfig
from ninep.layers.id_map import Ranges
from ninep.server.access import Access, Rule, parse_rule
from ninep.server.limits import ROWS, BadLimit, Limits, parse_limit, show_amount
from ninep.transport import addresses


class Checked(ParamType):
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


LIMIT_TABLE = "\n".join(
    f"  {f'{name}={show_amount(getattr(Limits(), row.name))}':26} {row.metadata['meaning']} ({row.metadata['beyond']})"
    for name, row in ROWS.items()
    if name != "msize"
)
EXAMPLES = f"""\b
Examples:
  ninep serve ~/src                                share a folder with a guest of this machine
  ninep serve ~/src --read-only                    and let nobody change it
  ninep serve /srv --security-model passthrough    as root: owners and modes are the real ones
  ninep serve ~/a --export b=/data/b,ro            two exports; mount the second with aname=b
  ninep serve ~/src --listen unix:/run/9p.sock     for QEMU, containers, ssh -L
  ninep serve ~/src --listen stdio                 from inetd, or at the end of a pipe
  ninep serve /srv --listen :5640 --allow 192.168.7.0/24    to other computers

\b
An export:  NAME=DIR[,OPTION...]  (a comma in DIR is written twice)
  {", ".join([*config.WORDS, *(f"{key}=..." for key in config.SETTINGS)])}
  What is not said is as the other options say; allow=WHO may be repeated, and lets nobody else attach.

\b
WHO may connect:
  192.168.0.0/16, 10.0.0.7, fe80::/10    computers (TCP). Without any, only processes of this machine.
  any                                    all computers that can reach the address. 9P has no passwords!
  uid:N, gid:N                           users of this machine (unix socket). Without any, whom its mode lets in.
  cid:N                                  virtual machines (vsock). Without any, all.

\b
Limits:  --limit NAME=VALUE
{LIMIT_TABLE}
"""

SERVED = "What is served"
WHERE = "Where"
WHO = "Who may"
LIMITS = "How much"
SAID = "What it says"


@click.command(cls=Grouped, epilog=EXAMPLES)
@click.argument("dir", required=False, metavar="[DIR]")
@grouped(
    SERVED,
    "--export",
    "-e",
    multiple=True,
    metavar="NAME=DIR[,...]",
    type=Checked("export", config.parse_export),
    help="Serve another folder, chosen by aname=NAME, with options of its own (see below). Repeatable.",
)
@grouped(
    SERVED,
    "--security-model",
    "-s",
    default=config.AUTO,
    show_default="mapped-owner, or mapped-xattr where there are no permission bits",
    type=click.Choice([*config.SECURITY_MODELS, *config.ALIASES, config.AUTO]),
    help="What of the guest's owners, modes and links is real on the host. mapped-owner: permission bits and links are, owners and devices "
    "are kept in extended attributes; needs no root, the guest may chown and mknod as it likes. mapped-xattr: nothing is, all is kept in such "
    "attributes, in QEMU's format. mapped-file: the same in hidden files. passthrough: everything is, run it as root. none: as passthrough, "
    "what is not permitted is ignored.",
)
@grouped(SERVED, "--read-only", "-r", is_flag=True, help="Refuse every change.")
@grouped(
    SERVED,
    "--fmode",
    default="600",
    show_default=True,
    metavar="OCTAL",
    type=Checked("mode", config.parse_mode),
    help="Real mode of new files in mapped-xattr and mapped-file; in mapped-owner what every file of the guest has at least.",
)
@grouped(
    SERVED,
    "--dmode",
    default="700",
    show_default=True,
    metavar="OCTAL",
    type=Checked("mode", config.parse_mode),
    help="The same for directories.",
)
@grouped(
    SERVED,
    "--devices",
    is_flag=True,
    help="Let clients make real device nodes (passthrough, none). In the mapped models they are harmless and always allowed.",
)
@grouped(
    SERVED,
    "--multidevs",
    default="remap",
    show_default=True,
    type=click.Choice(config.MULTIDEVS),
    help="A folder with several filesystems in it: keep inode numbers apart, refuse the others, or just warn.",
)
@grouped(
    SERVED,
    "--allow-overlap",
    is_flag=True,
    help="Serve exports that show the same files although they keep owners in different ways: clients of one can then forge what the other shows.",
)
@grouped(
    WHERE,
    "--listen",
    "-l",
    multiple=True,
    metavar="ADDRESS",
    type=Checked("address", addresses.parse),
    help=f"Where to accept clients: HOST:PORT, unix:PATH, fd:N, stdio, systemd, vsock:CID:PORT, hyperv:VM:SERVICE. "
    f"Repeatable. [default: {addresses.DEFAULT}]",
)
@grouped(
    WHERE,
    "--workers",
    "-w",
    default=1,
    show_default=True,
    metavar="N",
    type=click.IntRange(1, 256),
    help="Processes that share the work, one for each core to fill. Connections are spread evenly.",
)
@grouped(
    WHO,
    "--allow",
    multiple=True,
    metavar="WHO",
    type=Checked("peer", parse_rule),
    help="Who may connect: a network, any, uid:N, gid:N, cid:N (see below). Repeatable. Needed to listen off the loopback.",
)
@grouped(
    WHO,
    "--squash",
    default="none",
    show_default=True,
    type=click.Choice(config.SQUASH),
    help="Make root, or everybody, the user of --anon. peer: everybody is who the kernel says is at the other end of the unix socket, "
    "whatever the client says.",
)
@grouped(
    WHO,
    "--anon",
    default="65534",
    show_default=True,
    metavar="UID[:GID]",
    type=Checked("user", config.parse_anon),
    help="Who they become.",
)
@grouped(
    WHO,
    "--map-uids",
    metavar="CLIENT:HOST:N,...",
    type=Checked("ranges", Ranges.parse),
    help="N uids of clients, from CLIENT on, are those from HOST on. With --map-gids.",
)
@grouped(
    WHO, "--map-gids", metavar="CLIENT:HOST:N,...", type=Checked("ranges", Ranges.parse), help="The same for groups."
)
@grouped(
    WHO,
    "--run-as-user",
    is_flag=True,
    help="Do each request with the rights of the user who attached, as this machine knows him (passthrough, as root, on Linux).",
)
@grouped(
    WHO,
    "--socket-mode",
    default="600",
    show_default=True,
    metavar="OCTAL",
    type=Checked("mode", config.parse_mode),
    help="Permissions of unix sockets: who may write may connect.",
)
@grouped(
    LIMITS,
    "--msize",
    default="1M",
    show_default=True,
    metavar="SIZE",
    type=Checked("size", config.parse_size),
    help="The largest message, in bytes or with K or M; up to 4M.",
)
@grouped(
    LIMITS,
    "--limit",
    multiple=True,
    metavar="NAME=VALUE",
    type=Checked("limit", parse_limit),
    help="Change a limit (see below). Repeatable.",
)
@grouped(
    SAID,
    "--metrics",
    metavar="ADDRESS",
    type=Checked("address", config.parse_metrics),
    help="Tell numbers to Prometheus over HTTP: PORT (on the loopback) or HOST:PORT. With --workers each process at a port of its own, from "
    "this one on. Needs ninep[metrics].",
)
@grouped(
    SAID,
    "--ready-fd",
    metavar="N",
    type=click.IntRange(0),
    help="Write the addresses to this descriptor, a line each, and close it, as soon as clients can connect. (A service manager is told through "
    "NOTIFY_SOCKET, with Type=notify.)",
)
@grouped(SAID, "--verbose", "-v", is_flag=True, help="Log who attaches and what is refused.")
@grouped(SAID, "--trace", is_flag=True, help="Log every message.")
def serve(dir: str | None, listen: tuple[addresses.Address, ...], export: tuple[tuple[str, str, dict[str, Any]], ...],
          security_model: str, read_only: bool, allow_overlap: bool, fmode: int, dmode: int, multidevs: str, msize: int,
          limit: tuple[tuple[str, float], ...], allow: tuple[Rule, ...], socket_mode: int,
          workers: int, metrics: addresses.Tcp | None, ready_fd: int | None, verbose: bool, trace: bool, **users: Any) -> int:  # fmt: skip
    """Serve a folder over 9P, to virtual machines, containers and other computers.

    Says the line to type in a Linux guest. Ends at SIGTERM, SIGHUP or Ctrl-C, after answering what is in flight.
    """
    _logging(verbose=verbose, trace=trace)
    for_all: dict[str, Any] = {
        "security_model": config.parse_model(security_model),
        "read_only": read_only,
        "fmode": fmode,
        "dmode": dmode,
        "multidevs": multidevs,
    } | users
    named: list[tuple[str, str, dict[str, Any]]] = ([("", dir, {})] if dir else []) + list(export)
    # A round figure is meant as what one read carries: 1M lets 1 MiB through, with room for the header.
    size = msize + 24 if msize & (msize - 1) == 0 and msize >= 1 << 16 else msize
    try:
        settings = ServerConfig(
            [ExportConfig(path, name, **(for_all | given)) for name, path, given in named],
            [_with_mode(place, socket_mode) for place in listen] or (addresses.parse(addresses.DEFAULT),),
            Limits(**({"msize": size} | dict(limit))),  # type: ignore[arg-type] # parse_limit saw to it
            workers,
            Access(allow),
            metrics,
            ready_fd,
            allow_overlap,
        )
        return running.run(settings)
    except (BadConfig, BadLimit) as error:
        refuse(str(error), 2)
    except OSError as error:
        refuse(_sentence(error), 1)


def _with_mode(place: addresses.Address, mode: int) -> addresses.Address:
    return replace(place, mode=mode) if isinstance(place, addresses.Unix) else place


def refuse(sentence: str, status: int) -> NoReturn:
    """One line on stderr, and the end."""
    click.echo(f"ninep serve: {sentence}", err=True)
    sys.exit(status)


def _sentence(error: OSError) -> str:
    if error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _logging(*, verbose: bool, trace: bool) -> None:
    level = logging.DEBUG if trace else logging.INFO if verbose else logging.WARNING
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logs.Plain("%(asctime)s %(levelname)s %(message)s" if verbose or trace else "ninep: %(message)s")
    )
    handler.addFilter(logs.Sparing())
    root = logging.getLogger("ninep")
    root.addHandler(handler)
    root.setLevel(level)
