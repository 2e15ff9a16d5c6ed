"""A socket that is being made is closed if that fails."""

import socket

import pytest

from ninep.transport.sockets import closed_on_error


def test_all_that_were_made_until_then() -> None:
    made: list[socket.socket] = []

    def make() -> None:
        with closed_on_error(made):
            made.append(socket.socket())
            made.append(socket.socket())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make()
    assert [sock.fileno() for sock in made] == [-1, -1]


def test_none_when_nothing_fails() -> None:
    with socket.socket() as sock:
        with closed_on_error([sock]):
            pass
        assert sock.fileno() >= 0
