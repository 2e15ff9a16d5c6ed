"""``ninep tls``: certificates for ``tls:`` where there is no certificate authority (``app.authority``)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

import click

from ninep.errors import not_installed

EXAMPLES: Final = """\b
Examples:
  ninep tls init ~/tls --host files.example --host 192.168.7.1
  ninep tls client ~/tls alice          then give alice the files alice.pem and ca.pem
  ninep tls revoke ~/tls alice          and 'ninep ctl reload', or start the server anew
"""
DAYS: Final = click.option(
    "--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long the certificate holds."
)
HOSTS: Final = click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name or address that clients connect to. Repeatable. Default: the name of this computer, and localhost.",
)
FOLDER: Final = click.argument("folder", type=click.Path(), metavar="DIR")


@click.group(epilog=EXAMPLES)
def tls() -> None:
    """Make certificates for 'ninep serve --listen tls:...' where there is no CA.

    A folder has a CA of its own and what it signs: who shows a certificate of it may connect, and
    clients know the server by it. Keys are not encrypted; ca-key.pem is needed by these commands alone.
    Needs the library cryptography: pip install 'ninep[tls]'.
    """


@tls.command()
@FOLDER
@HOSTS
@DAYS
def init(folder: str, hosts: tuple[str, ...], days: int) -> None:
    """Make a CA in DIR, and a certificate of the server.

    Prints what to type. A CA that is there is left as it is: 'ninep tls server' renews the certificate
    of the server.
    """
    with _made(folder) as made:
        named = hosts or _this_host()
        signer = made.create(folder, f"ninep {named[0]}")
        made.issue_server(folder, signer, named, days)
    _say_server(folder)
    click.echo(f"for each client: ninep tls client {folder} NAME")


@tls.command()
@FOLDER
@HOSTS
@DAYS
def server(folder: str, hosts: tuple[str, ...], days: int) -> None:
    """Renew the certificate of the server, or make one for other names."""
    with _made(folder) as made:
        made.issue_server(folder, made.load(folder), hosts or _this_host(), days)
    _say_server(folder)


@tls.command()
@FOLDER
@click.argument("name")
@DAYS
def client(folder: str, name: str, days: int) -> None:
    """Make a certificate of a client, or renew it.

    NAME is what rules call it: --allow cert:NAME, allow=cert:NAME of an export, --cert-user NAME=UID.
    """
    with _made(folder) as made:
        path = made.issue_client(folder, made.load(folder), name, days)
    click.echo(f"on the client: ninep ls tls://HOST/ --tls-ca ca.pem --tls-cert {os.path.basename(path)}")


@tls.command()
@FOLDER
@click.argument("name")
def revoke(folder: str, name: str) -> None:
    """Add the certificates of a client, renewed ones too, to the list of revoked ones, crl.pem.

    The server reads the list when it begins, and at a reload. Who is connected stays connected.
    """
    with _made(folder) as made:
        made.revoke(folder, made.load(folder), name)


def _this_host() -> tuple[str, ...]:
    return socket.gethostname(), "localhost", "127.0.0.1", "::1"


def _say_server(folder: str) -> None:
    files = ",".join(
        f"{key}={os.path.join(folder, name).replace(',', ',,')}"
        for key, name in (("cert", "server.pem"), ("client-ca", "ca.pem"), ("crl", "crl.pem"))
    )
    click.echo(f"the server: ninep serve DIR --listen tls::5640,{files}")


class _Failed(click.ClickException):
    """An error whose line begins with the name of the command."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.ctx = click.get_current_context()


@contextmanager
def _made(folder: str) -> Iterator[ModuleType]:
    """``app.authority``; its errors are lines."""
    try:
        from ninep.app import authority  # noqa: PLC0415 - the library is an extra
    except ImportError as error:
        if error.name is None or not error.name.startswith("cryptography"):
            raise
        raise _Failed(str(not_installed("this", "cryptography", "tls"))) from error
    try:
        yield authority
    except FileExistsError as error:
        raise _Failed(f"{folder} has a CA: 'ninep tls server {folder}' renews what it signs") from error
    except OSError as error:
        raise _Failed(f"{error.filename or folder}: {error.strerror}") from error
    except authority.BadName as error:
        raise click.UsageError(str(error)) from error
    except ValueError as error:
        raise _Failed(f"{folder}: the files of the CA are damaged: {error}") from error
