"""``status`` and ``top``: what a running server is doing."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import Any, Final

import click

from ninep.app.control_client import Asking
from ninep.cli import output
from ninep.cli.servers import asking, server_options
from ninep.cli.status_table import clock, lines, rates

EXAMPLES: Final = """\b
Examples:
  ninep status                     the server of yours that is running
  ninep status --files --pid 4711  with the files that each client has open
  ninep status --json | jq '.processes[].clients[].peer'
"""
HOME_AND_CLEAR: Final = "\x1b[H\x1b[J"
FILES: Final = 100


def _two(server: Asking, interval: float, **fields: Any) -> tuple[Any, Any]:
    """Two statuses, some time apart: bytes are counted from the first on."""
    before = server.status(**fields)
    if interval:
        time.sleep(interval)
    return before, server.status(**fields) if interval else before


@click.command(epilog=EXAMPLES)
@server_options
@click.option("--files", is_flag=True, help="List the open files of each client, too (100 of each at most).")
@click.option("--interval", type=click.FloatRange(0, 3600), default=0.5, show_default=True, metavar="SECONDS",
              help="Look twice, so long apart, for rates; 0: look once, without rates.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as the control socket has it, with 'rates'.")
def status(path: str | None, pid: int | None, files: bool, interval: float, as_json: bool) -> None:
    """Show what a running 'ninep serve' is doing: exports, clients, locks, what is slow, limits that
    are near.

    Asks the control socket of the server, which answers its user and root.
    """
    with asking(path, pid) as server:
        before, now = _two(server, interval, files=FILES if files else 0)
    found = rates(before, now)
    if as_json:
        shown = {key: value for key, value in now.items() if key != "ok"}
        output.line(json.dumps(shown | {"rates": {name: rate._asdict() for name, rate in found.items()}}))
        return
    for line in lines(now, found, clock()):
        output.line(line)


@click.command(epilog="\b\nExamples:\n  ninep top\n  ninep top --delay 5 --pid 4711\n")
@server_options
@click.option("-d", "--delay", type=click.FloatRange(0.1, 3600), default=2.0, show_default=True, metavar="SECONDS",
              help="Seconds between two looks.")  # fmt: skip
@click.option("-n", "--count", type=click.IntRange(1), metavar="COUNT", help="End after so many looks.")
def top(path: str | None, pid: int | None, delay: float, count: int | None) -> None:
    """Show the same as 'status' again and again, the busiest clients first, until Ctrl-C.

    To a pipe, a file or a dumb terminal: once.
    """
    refreshing = output.is_terminal() and os.environ.get("TERM", "dumb") not in {"", "dumb"}
    looks = count if refreshing else 1
    with asking(path, pid) as server:
        before, now = _two(server, min(delay, 1.0))
        while True:
            width, height = shutil.get_terminal_size() if refreshing else (0, 0)
            shown = list(lines(now, rates(before, now), clock(), max(1, height) if refreshing else 1 << 20))
            if refreshing:
                output.line(HOME_AND_CLEAR + "\n".join(line[:width] for line in shown[: height - 1]))
                output.flush()
            else:
                for line in shown:
                    output.line(line)
            looks = None if looks is None else looks - 1
            if looks == 0:
                return
            time.sleep(delay)
            before, now = now, server.status()
