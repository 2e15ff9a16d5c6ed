"""Options of sockets that the kernel has as structures."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any

import pytest

from ninep.host import sockets
from ninep.host.sockets import Credentials, peer_credentials, set_receive_timeout


class Answering:
    """A socket of a system that answers an option by these bytes."""

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.asked: tuple[int, int, int] | None = None

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        self.asked = (level, option, size)
        return self.value


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="ucred of Linux")
def test_the_process_at_the_other_end() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_credentials(one) == Credentials(os.getuid(), os.getgid(), os.getpid())


def test_nothing_is_known_where_the_option_is_not_supported() -> None:
    class Refusing:
        def getsockopt(self, *_: int) -> bytes:
            raise OSError(95, "Operation not supported")

    assert peer_credentials(Refusing()) is None


@pytest.mark.parametrize(("count", "gid"), [(2, 20), (0, None)])
def test_xucred_of_macos(monkeypatch: pytest.MonkeyPatch, count: int, gid: int | None) -> None:
    """``u_int cr_version; uid_t cr_uid; short cr_ngroups; gid_t cr_groups[16]``."""
    value = struct.pack("=IIhxx16I", 0, 501, count, 20, 12, *[0] * 14)
    sock: Any = Answering(value)
    monkeypatch.setattr(socket, "LOCAL_PEERCRED", 1, raising=False)
    monkeypatch.setattr(sockets, "_OPTIONS", (("LOCAL_PEERCRED", sockets._xucred),))
    assert peer_credentials(sock) == Credentials(501, gid, None)
    assert sock.asked == (0, 1, len(value))


@pytest.mark.skipif(os.name == "nt", reason="Windows has milliseconds in a DWORD there, and no busy polling")
def test_a_recv_that_finds_nothing_ends() -> None:
    one, other = socket.socketpair()
    with one, other:
        set_receive_timeout(one, 0.002)
        begin = time.monotonic()
        with pytest.raises(BlockingIOError):
            one.recv(1)
        assert time.monotonic() - begin >= 0.002
        other.send(b"x")
        assert one.recv(1) == b"x"
