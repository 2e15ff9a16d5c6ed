"""A message while a server does not answer: after a few seconds, instead of only the timeout after
a minute.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

HINT_AFTER = 3.0
"""Seconds. A server that is running answers sooner, also over a slow network."""


@contextmanager
def hinting(command: str, address: str, timeout: float | None) -> Iterator[None]:
    """Write to stderr, once, that there is no answer yet, if the block takes longer than
    ``HINT_AFTER``.
    """
    limit = f"up to {timeout:g} s" if timeout else "without a limit"

    def hint() -> None:
        words = f"no answer yet from {address}: is a 9P server listening there? Waiting {limit}, Ctrl-C ends"
        click.echo(f"{command}: {words}", err=True)

    timer = threading.Timer(HINT_AFTER, hint)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
