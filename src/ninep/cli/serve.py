"""``ninep serve``: options to exports and listeners.

The options are rows of the configuration, the drivers, the security models and the layers, those of
installed packages included: nothing here names one.

An error is one line on stderr before anything is served: exit status 2 for a wrong command line, 1
for what fails here (no such folder, an address in use). Exports and addresses are printed on stderr
too (standard output can be the connection), with the line to type in a guest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import click

from ninep.app.config import ADDRESS_GROUP, MessageOptions, ServerConfig
from ninep.app.exports import EXPORTS, export_rows, parse_export
from ninep.app.hints import WINDOWS
from ninep.app.settings import BadConfig, CommandLine, NamedExport, Sources, found_file
from ninep.cli.groups import Grouped, grouped
from ninep.cli.params import Checked, complete
from ninep.cli.rows import given, options_of
from ninep.drivers import DRIVERS, FOLDER
from ninep.options import FLAG, BadOption, number, rows, show_amount
from ninep.security import MODELS
from ninep.server.limits import ROWS, BadLimit, Limits, option_name, parse_limit
from ninep.transport import TRANSPORTS, addresses

LIMITS = "Limits"
FILE = "Configuration file"
SERVER_ROWS = rows(ServerConfig)
EXPORT_ROWS = [row for row in export_rows() if row.name not in {one.name for one in SERVER_ROWS}]
GROUPS = list(dict.fromkeys([EXPORTS, *(row.group for row in (*SERVER_ROWS, *EXPORT_ROWS))]))

LIMIT_TABLE = "\n".join(
    f"  {f'{name}={show_amount(getattr(Limits(), row.name))}':26} {row.metadata['meaning']} ({row.metadata['beyond']})"
    for name, row in ROWS.items()
    if name != "msize"
)
MODEL_TABLE = "\n".join(f"  {name:14} {MODELS.get(name).help}" for name in MODELS)
WORDS = [word for row in export_rows() for word in (row.words or ([row.key] if row.kind is FLAG else []))]
KEYS = [
    "model=...",
    *(f"{row.key}=..." for row in export_rows() if row.kind is not FLAG and row.name != "security_model"),
]


def _address_options() -> str:
    """The options of each kind of address; those that are the same as before are not said again."""
    lines: list[str] = []
    first: dict[str, str] = {}
    for name in TRANSPORTS:
        transport = TRANSPORTS.get(name)
        if transport.options is None:
            continue
        lines.append(f"  {transport.form.partition(',')[0]}")
        for row in rows(transport.options):
            key = f"{row.key}={row.show(row.default)}"
            same = first.get(row.help)
            lines.append(f"    ,{key:22} {f'As of {same}.' if same else row.help}")
            first.setdefault(row.help, f"{name}:")
    return "\n".join(lines)


ADDRESSES = _address_options()
SCHEMES = "\n".join(f"  {f'{name}:':8} {DRIVERS.get(name).help}" for name in DRIVERS if name != FOLDER)

ON_UNIX = """\b
Examples:
  ninep serve ~/src                                share a folder with a guest of this machine
  ninep serve ~/src --read-only                    the same, read-only
  ninep serve /srv --security-model passthrough    as root: owners and modes are the real ones
  ninep serve ~/a --export b=/data/b,ro            two exports; mount the second with aname=b
  ninep serve ~/src --listen vhost-user:/run/vm.sock,tag=src    a virtio device of a guest: the fastest way
  ninep serve ~/src --listen unix:/run/9p.sock     for hyperkit, containers, ssh -L
  ninep serve ~/src --listen stdio                 from inetd, or over a pipe
  ninep serve /srv --listen :5640 --allow 192.168.7.0/24    to other computers
  ninep serve /srv --listen tls::5640,cert=cert.pem,key=key.pem,client-ca=ca.pem    to those with a certificate
"""
ON_WINDOWS = """\b
Examples:
  ninep serve C:\\Users\\me\\src                      share a folder with a guest of this machine, or with WSL 2
  ninep serve C:\\Users\\me\\src --read-only          without letting it change anything
  ninep serve D:\\                                  a whole drive
  ninep serve C:\\a --export b=D:\\data\\b,ro         two exports; mount the second with aname=b
  ninep serve C:\\src --listen hyperv:children:564    to Hyper-V virtual machines (Python 3.12 or newer)
  ninep serve C:\\src --listen stdio                at the end of a pipe
  ninep serve D:\\srv --listen :5640 --allow 192.168.7.0/24    to other computers
"""


def examples(*, windows: bool) -> str:
    """What to type, in the paths of this system."""
    return ON_WINDOWS if windows else ON_UNIX


EXAMPLES = f"""{examples(windows=WINDOWS)}
\b
Security models: what is real on the host
{MODEL_TABLE}

\b
An export:  NAME=DIR[,OPTION...]  (a comma in DIR is written twice)
  {", ".join([*WORDS, *KEYS])}
  An option that is not given is that of the command line.
  allow=WHO may be repeated; then no other peer can attach. allow=WHO=ro, =nodev or =ro+nodev says
  what it may do; the first WHO that names it counts.
  In place of DIR:
{SCHEMES}

\b
Options of an address:  ADDRESS[,OPTION...]
{ADDRESSES}

\b
Peers (WHO):
  192.168.0.0/16, 10.0.0.7, fe80::/10    computers (TCP). Without any, only processes of this machine.
  any                                    all computers that can reach the address. 9P has no passwords!
  uid:N, gid:N                           users of this machine (unix socket). Without any, all
                                         that the mode of the socket permits.
  cid:N                                  virtual machines (vsock). Without any, all.
  cert:NAME                              certificates of clients (tls: with client-ca), by the common
                                         name or an alternative one. Without any, all.
  psk:NAME                               clients with this pre-shared key (tls: with psk). Without any, all.

\b
Limits:  --limit NAME=VALUE
{LIMIT_TABLE}
"""


F = TypeVar("F", bound=Callable[..., Any])
PARAMETERS: Final = (
    click.argument("dir", required=False, metavar="[DIR]", shell_complete=complete("dir")),
    grouped(
        FILE,
        "--config",
        metavar="FILE",
        shell_complete=complete("file"),
        help="Read exports and options from a TOML file. The command line takes precedence. Without DIR, "
        "--export and --config: from the file that is found at the usual place.",
    ),
    grouped(
        EXPORTS,
        "--export",
        "-e",
        multiple=True,
        metavar="NAME=DIR[,...]",
        type=Checked("export", parse_export),
        help="Serve another folder, chosen by aname=NAME, with options of its own (see below). Repeatable.",
    ),
    options_of(sorted((*EXPORT_ROWS, *SERVER_ROWS), key=lambda row: GROUPS.index(row.group))),
    grouped(
        ADDRESS_GROUP,
        "--port",
        type=Checked("port", number(0, 65535).read),
        metavar="N",
        help="Same as --listen N: this TCP port of the loopback interface.",
    ),
    options_of(rows(MessageOptions)),
    grouped(
        LIMITS,
        "--limit",
        multiple=True,
        metavar="NAME=VALUE",
        type=Checked("limit", parse_limit),
        help="Change a limit (see below). Repeatable.",
    ),
)


def serve_options(function: F) -> F:
    """All options of ``ninep serve``, for a command that calls ``sources`` with them."""
    for decorate in reversed(PARAMETERS):
        function = decorate(function)
    return function


def sources(dir: str | None, config: str | None, export: tuple[tuple[str, str, dict[str, Any]], ...],
            limit: tuple[tuple[str, float], ...], **options: Any) -> Sources:  # fmt: skip
    """What the command line says, and the file that it names or that is found."""
    named = [*([NamedExport("", dir, {})] if dir else []), *(NamedExport(*one) for one in export)]
    asked = CommandLine(exports=named, options=given(_with_port(options)), limits=_once(limit))
    return Sources(asked, config if config is not None or named else found_file())


def _with_port(options: dict[str, Any]) -> dict[str, Any]:
    """``--port N`` is the address that ``--listen N`` is."""
    port = options.pop("port", None)
    if port is None:
        return options
    if options.get("listen"):
        raise BadOption("--port and --listen exclude each other: write --listen HOST:PORT")
    return options | {"listen": (addresses.parse(str(port)),)}


def _once(limits: tuple[tuple[str, float], ...]) -> dict[str, float]:
    """Limits by name. ``BadOption`` for one that is given twice."""
    found: dict[str, float] = {}
    for name, value in limits:
        if found.setdefault(name, value) != value:
            shown = option_name(name)
            raise BadOption(f"--limit {shown}={found[name]:g} and --limit {shown}={value:g} exclude each other")
    return found


@click.command(cls=Grouped, epilog=EXAMPLES)
@serve_options
def serve(**options: Any) -> int:
    """Serve a folder over 9P, to virtual machines, containers and other computers.

    Prints the command to type in a Linux guest. Ends at SIGTERM, SIGHUP or Ctrl-C, after answering
    what is in flight. With a configuration file SIGHUP reads it again.
    """
    from ninep.app.logging import set_up  # noqa: PLC0415 - as run
    from ninep.app.run import run  # noqa: PLC0415 - 'ninep config' reads the same options and runs nothing

    try:
        asked = sources(**options)
        settings = asked.settings()
        set_up(settings)
        return run(settings, None if asked.file is None else asked.settings)
    except BadConfig as error:
        refuse(str(error), 1)
    except (BadOption, BadLimit) as error:
        refuse(str(error), 2)
    except OSError as error:
        refuse(_sentence(error), 1)


def refuse(sentence: str, status: int) -> NoReturn:
    """Lines on stderr, and the end."""
    for line in sentence.splitlines():
        click.echo(f"ninep serve: {line}", err=True)
    sys.exit(status)


def _sentence(error: OSError) -> str:
    if error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
