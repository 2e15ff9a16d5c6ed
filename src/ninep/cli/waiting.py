"""A hint while a server does not answer: the user is told after some seconds what is waited for, not after a minute that it was in vain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

HINT_AFTER = 3.0
"""Seconds. A server that is there answers in less, also over a slow network."""


@contextmanager
def hinting(command: str, address: str, timeout: float | None) -> Iterator[None]:
    """Say on stderr, once, that there is no answer yet, if the block takes longer than ``HINT_AFTER``."""
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
