"""A socket that is being made is closed if that fails; a dead peer is noticed."""

import socket

import pytest

from ninep.transport.sockets import closed_on_error, notice_loss


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


def test_tcp_asks_whether_the_other_machine_is_there() -> None:
    with socket.socket() as sock:
        notice_loss(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets here")
def test_others_need_not_ask() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        notice_loss(sock)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    notice_loss(None)
