"""The program in this process, and a server with an empty folder in memory to use it on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from tests.client.conftest import InThread
from tests.support.client import TIMEOUT

from ninep.cli.main import main
from ninep.client.blocking import Client, connect


class Done(NamedTuple):
    """The result of a call of the program."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode("utf-8", "surrogateescape").splitlines()


@pytest.fixture
def ninep(capfdbinary: Any) -> Callable[..., Done]:
    """`ninep("ls", ...)`: its output and exit status."""

    def run(*arguments: object) -> Done:
        status = main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err
        return Done(status, out, err.decode("utf-8", "surrogateescape"))

    return run


@pytest.fixture
def server() -> Iterator[str]:
    """The address of ninep's server with an empty folder."""
    thread = InThread()
    yield f"127.0.0.1:{thread.port()}"
    thread.stop()


@pytest.fixture
def files(server: str) -> Iterator[Client]:
    """A client of the same server, for preparing and checking files."""
    with connect(server, dialect="9P2000.L", n_uname=1000, gid=100, timeout=TIMEOUT) as client:
        yield client


def one_line(text: str) -> bool:
    """One terminated line, without control characters."""
    return re.fullmatch(r"[^\x00-\x1f\x7f]+\n", text) is not None


@pytest.fixture
def other():
    """Another server: its address, and a client of it."""
    thread = InThread()
    address = f"127.0.0.1:{thread.port()}"
    with connect(address, dialect="9P2000.L", timeout=TIMEOUT) as client:
        yield address, client
    thread.stop()
