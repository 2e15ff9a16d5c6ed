"""``ninep service``: ``ninep serve --config FILE`` as a service of Windows (``app.service``)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn, TypeVar

import click

from ninep.app.hints import WINDOWS
from ninep.app.service_hints import VIRTUAL, firewall, folders
from ninep.app.settings import BadConfig, Sources, found_file
from ninep.cli.servers import fail
from ninep.host.config_paths import service_log
from ninep.host.windows import event_log, service_process, services
from ninep.host.windows.services import Control, Found, Start, State
from ninep.options import BadOption
from ninep.server.limits import BadLimit

EXAMPLES: Final = """\b
Examples, as an administrator:
  ninep service install --config C:\\ninep\\ninep.toml
  ninep service start
  ninep service reload          after a change of the file
  ninep service status
  ninep service stop
  ninep service remove
"""
INSTEAD: Final = (
    "this is for Windows; on Linux use a systemd unit (packaging/systemd/ninep.service), on macOS a job of launchd"
)
WITHIN: Final = 60.0
"""Seconds for a service to start or to end."""
WITHOUT_PASSWORD: Final = ("localsystem", "nt authority\\", "nt service\\")
STARTS: Final = {"auto": Start.AUTO, "manual": Start.MANUAL}
F = TypeVar("F", bound=Callable[..., Any])
NAME: Final = click.option(
    "--name", default="ninep", show_default=True, metavar="NAME", help="The name of the service."
)


@click.group(epilog=EXAMPLES)
def service() -> None:
    """Run 'ninep serve --config FILE' as a service of Windows.

    It logs to a file, and warnings to the event log of applications. On other systems use what starts
    services there (a systemd unit).
    """


@contextmanager
def _on_windows() -> Iterator[None]:
    """What goes wrong is a line on stderr, and exit status 1."""
    if not WINDOWS:
        fail(INSTEAD)
    try:
        yield
    except OSError as error:
        hint = " (only an administrator can do that)" if isinstance(error, PermissionError) else ""
        fail(f"{error.strerror or error}{hint}")


@service.command()
@NAME
@click.option("--config", "file", metavar="FILE", help="What is served. [default: the file at the usual place]")
@click.option("--account", metavar="ACCOUNT",
              help="Who the service is. [default: an account of its own, 'NT SERVICE\\NAME']")  # fmt: skip
@click.option("--start", type=click.Choice(list(STARTS)), default="auto", show_default=True,
              help="'auto': with the system.")  # fmt: skip
@click.option("--log", metavar="FILE", help="Where it logs. [default: %PROGRAMDATA%\\ninep\\NAME.log]")
def install(name: str, file: str | None, account: str | None, start: str, log: str | None) -> None:
    """Make a service, which is not started yet. It is started again when it fails.

    The file is checked first. Prints what is to be typed that this does not do: open the firewall, and
    let the account use the folders. The password of an account that needs one is asked for.
    """
    with _on_windows():
        file = file or found_file()
        if file is None:
            fail("there is no configuration file: --config FILE")
        file = os.path.abspath(file)
        try:
            settings = Sources(file=file).settings()
        except (BadConfig, BadOption, BadLimit) as error:
            fail(*str(error).splitlines())
        account = account or f"{VIRTUAL}{name}"
        known = account.endswith("$") or account.lower().startswith(WITHOUT_PASSWORD)
        password = None if known else click.prompt(f"Password of {account}", hide_input=True)
        words = ["run", "--name", name, "--config", file, "--log", os.path.abspath(log or service_log(name))]
        command = subprocess.list2cmdline([sys.executable, "-m", "ninep", "service", *words])
        event_log.add_source(name)
        services.install(name, f"ninep ({name})", f"Serves folders over 9P: {file}", command, account, password,
                         STARTS[start])  # fmt: skip
    click.echo(f"installed; ninep service start{'' if name == 'ninep' else f' --name {name}'}")
    for what, lines in {
        "to open the firewall": firewall(name, settings),
        "to let the service use a folder": folders(account, settings),
    }.items():
        for line in lines:
            click.echo(f"{what}: {line}")


@service.command("start")
@NAME
def start_(name: str) -> None:
    """Start it, and wait until clients can connect."""
    with _on_windows():
        services.start(name)
        found = services.wait_for(name, State.RUNNING, WITHIN)
    if found.state != State.RUNNING:
        fail(f"it does not run: {_state(found)}; its log and the event log say why")


@service.command()
@NAME
def stop(name: str) -> None:
    """Stop it, and wait for its end."""
    with _on_windows():
        services.control(name, Control.STOP)
        found = services.wait_for(name, State.STOPPED, WITHIN)
    if found.state != State.STOPPED:
        fail(f"it has not ended: {_state(found)}")


@service.command()
@NAME
def reload(name: str) -> None:
    """Let it read its configuration file again, as 'sc control NAME paramchange' does. What became of that
    is in its log; 'ninep ctl reload' waits for it.
    """
    with _on_windows():
        services.control(name, Control.PARAMCHANGE)


@service.command()
@NAME
def remove(name: str) -> None:
    """Stop it if it runs, and remove it. Files and logs stay."""
    with _on_windows():
        if services.query(name).state != State.STOPPED:
            with suppress(OSError):  # it ends by itself at this moment
                services.control(name, Control.STOP)
            services.wait_for(name, State.STOPPED, WITHIN)
        services.remove(name)
        event_log.remove_source(name)


@service.command()
@NAME
def status(name: str) -> None:
    """Show whether it runs, as which process, who it is, and what it runs. Exit status 1 if it does not
    run.
    """
    with _on_windows():
        found = services.query(name)
    starts = next((word for word, one in STARTS.items() if one == found.start), str(found.start))
    click.echo(f"{name}: {_state(found)}\n  account  {found.account}\n  starts   {starts}\n  runs     {found.command}")
    if found.state != State.RUNNING:
        click.get_current_context().exit(1)


def _state(found: Found) -> str:
    """For people."""
    word = found.state.name.lower().replace("_", " ")
    process = f", process {found.pid}" if found.pid else ""
    code = found.specific if found.exit_code == 1066 else found.exit_code
    failed = f", failed with {code}" if found.state == State.STOPPED and code not in {0, 1077} else ""
    return f"{word}{process}{failed}"


@service.command(hidden=True)
@click.option("--name", required=True)
@click.option("--config", required=True)
@click.option("--log", required=True)
def run(name: str, config: str, log: str) -> NoReturn:
    """Be the service: the system starts this."""
    from ninep.app.service import run_service  # noqa: PLC0415 - the commands need no server

    with _on_windows():
        service_process.current()
        sys.exit(run_service(name, config, log))
