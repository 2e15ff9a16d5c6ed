"""Common code of the client commands: options of a connection, connections, and reports of
failures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from ninep.cli.globs import expanded, has_pattern
from ninep.cli.params import SIZE
from ninep.cli.show import printable
from ninep.cli.waiting import hinting
from ninep.client.address import Address, Location
from ninep.client.errors import ServerPath
from ninep.transport import BadAddress

if TYPE_CHECKING:
    from ninep.client.blocking import Client

CONNECTION: Final = (
    "aname",
    "uname",
    "uid",
    "dialect",
    "msize",
    "timeout",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "tls_psk",
    "reconnect",
)
RECONNECT: Final = 30.0
"""Seconds that commands that copy wait for another connection, unless told otherwise."""
DIALECTS: Final = ("9P2000.L", "9P2000.u", "9P2000")


class Remote:
    """The connections of one command, opened on demand and closed at its end, and its failures."""

    def __init__(self, command: str, options: dict[str, Any]) -> None:
        self.command = command
        self.failed = False
        self._options = options
        self._clients: dict[Address, Client] = {}
        self._stack = ExitStack()
        self._at: Address | None = None

    @property
    def aname(self) -> str:
        """The name of the export that was asked for; empty if none was."""
        name: str = self._options["aname"]
        return name

    @property
    def uid(self) -> int | None:
        """The user id that was asked for."""
        uid: int | None = self._options["uid"]
        return uid

    def client(self, location: Location) -> Client:
        """The client for a location's server. Paths of errors are on this one from now on."""
        from ninep.client.blocking import connect  # noqa: PLC0415 - 'ninep ls --help' needs no client

        self._at = address = location.address
        client = self._clients.get(address)
        if client is None:
            options = self._options
            timeout = options["timeout"] or None
            try:
                with hinting(self.command, str(address), timeout):
                    client = connect(
                        address,
                        options["aname"],
                        uname=options["uname"],
                        n_uname=options["uid"],
                        dialect=options["dialect"],
                        msize=options["msize"],
                        timeout=timeout,
                        tls_ca=options["tls_ca"],
                        tls_cert=options["tls_cert"],
                        tls_key=options["tls_key"],
                        tls_psk=options["tls_psk"],
                        reconnect=options["reconnect"],
                        on_reconnect=lambda words: self._reconnected(address, words),
                        first_connect=options["first_connect"],
                    )
                self._stack.enter_context(client)
            except BadAddress as error:  # one that has no use for --tls-ca
                raise click.UsageError(str(error).replace("_", "-")) from None
            except OSError as error:
                if error.filename is None:
                    error.filename = str(location)
                raise
            self._clients[address] = client
        return client

    def _reconnected(self, address: Address, words: str) -> None:
        click.echo(f"{self.command}: {printable(str(address))}: {printable(words)}", err=True)

    def expand(self, locations: Iterable[Location]) -> Iterator[Location]:
        """The locations with patterns replaced by what matches them (``globs``)."""
        for location in locations:
            if not has_pattern(location.path):
                yield location
                continue
            found: list[Location] = []
            with self.each(location):
                found = expanded(self.client(location), location)
            yield from found

    def report(self, error: OSError, about: str | None = None) -> None:
        """Report a failure: a line on stderr, and exit status 1 at the end."""
        self.failed = True
        words = error.strerror or " ".join(map(str, error.args)) or type(error).__name__
        name = about or self._shown(error.filename)
        if not name and self._at is not None and isinstance(error, ConnectionError | TimeoutError):
            name = str(self._at)
        other = f" -> {self._shown(error.filename2)}" if error.filename2 and about is None else ""
        prefix = f"{printable(name + other)}: " if name else ""
        click.echo(f"{self.command}: {prefix}{printable(words)}", err=True)

    @contextmanager
    def each(self, about: Location | str | None = None) -> Iterator[None]:
        """One of several items: its failure is reported, and the next item follows."""
        try:
            yield
        except OSError as error:
            self.report(error, None if about is None else str(about))

    def _shown(self, name: object) -> str:
        """A path of an error; one of a server with the server before it."""
        text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name or "")
        if isinstance(name, ServerPath) and self._at is not None:
            return str(Location(self._at, text if text.startswith("/") else f"/{text}"))
        return text

    @contextmanager
    def below(self) -> Iterator[None]:
        """One of several directories or files of a tree: as ``each``, but a lost connection is raised:
        nothing that follows could be read.
        """
        try:
            yield
        except ConnectionError:
            raise
        except OSError as error:
            self.report(error)

    def close(self) -> None:
        """Close all connections."""
        self._stack.close()


def _reconnect_option(default: float) -> Callable[[Any], Any]:
    return click.option(
        "--reconnect",
        type=click.FloatRange(min=0),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help="Connect again for so long when the connection is lost, and continue; 0: that is an error. "
        "If given, the first connection is tried for so long, too.",
    )


_OPTIONS: Final = (
    click.option("--tls-psk", metavar="FILE",
                 help="For tls://: a line IDENTITY:KEY, with a pre-shared key in hexadecimal, in place of certificates."),
    click.option("--tls-key", metavar="FILE", help="The private key of --tls-cert, if it is not in the same file."),
    click.option("--tls-cert", metavar="FILE", help="For tls://: the certificate to show to the server, in PEM form."),
    click.option("--tls-ca", metavar="FILE", help="For tls://: the CAs whose certificates are trusted  [default: the system's]"),
    click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS",
                 help="Maximum time of one request; 0: no limit."),
    click.option("--msize", type=SIZE, default=1 << 20, metavar="BYTES", help="Largest message to request (K, M)  [default: 1M]"),
    click.option("--dialect", type=click.Choice(DIALECTS), help="Use this dialect only  [default: the first that the server supports]"),
    click.option("--uid", type=click.IntRange(0, 0xFFFFFFFF), metavar="UID", help="Numeric user id of the attach  [default: yours]"),
    click.option("--uname", metavar="NAME", help="User name of the attach  [default: yours]"),
    click.option("--aname", metavar="NAME", default="", help="Name of the export, if the server has several."),
)  # fmt: skip


class RemoteCommand(click.Command):
    """A command whose help lists the options of the connection separately."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Called by click."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Connection": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections["Connection" if param.name in CONNECTION else "Options"].append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def remote_command(*examples: str, reconnect: float = 0) -> Callable[[Callable[..., None]], click.Command]:
    """Decorator for a command with the options of a connection.

    The function gets a ``Remote`` as its first argument. An ``OSError`` that it raises is reported.
    ``examples`` are shown at the end of the help; ``reconnect`` is the default of that option.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        def run(**parameters: Any) -> None:
            options = {name: parameters.pop(name) for name in CONNECTION}
            _run(function, options, parameters)

        run.__doc__ = function.__doc__
        # click lists the last decorator's option first: the command's own, in order, then those of
        # the connection
        own = getattr(function, "__click_params__", [])
        decorated: Any = run
        for option in (_reconnect_option(reconnect), *_OPTIONS):
            option(decorated)
        decorated.__click_params__ += own
        epilog = "\b\nExamples:\n" + "".join(f"  {example}\n" for example in examples)
        return click.command(function.__name__, cls=RemoteCommand, epilog=epilog)(decorated)

    return decorate


def _run(function: Callable[..., None], options: dict[str, Any], parameters: dict[str, Any]) -> None:
    context = click.get_current_context()
    # Only if it was named: a mistake in an address should not take 30 s to tell.
    named = context.get_parameter_source("reconnect") is not ParameterSource.DEFAULT
    options["first_connect"] = options["reconnect"] if named else 0.0
    remote = Remote(context.command_path, options)
    try:
        function(remote, **parameters)
    except OSError as error:
        remote.report(error)
    finally:
        remote.close()
    if remote.failed:
        context.exit(1)
