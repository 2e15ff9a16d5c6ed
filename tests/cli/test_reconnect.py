"""Commands whose connection is lost: those that copy go on, at the same or at another address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.client.relay import Relay
from tests.support.client import TIMEOUT

from ninep.client.blocking import Client

BIG = 12 << 20  # more than the client keeps a copy of


def port_of(server: str) -> int:
    return int(server.rpartition(":")[2])


def test_put_begins_the_file_again(ninep: Any, server: str, files: Client, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"0123456789abcdef" * (BIG // 16))
    with Relay(port_of(server), cut=35) as relay:
        done = ninep("put", "--reconnect", TIMEOUT, tmp_path / "big", f"127.0.0.1:{relay.port}/big")
        assert relay.connections == 2
    assert done.status == 0
    lost, again = done.err.splitlines()
    assert lost.startswith(f"ninep put: 127.0.0.1:{relay.port}: connection lost (")
    assert lost.endswith(f"trying again for {TIMEOUT:g} s")
    assert again == f"ninep put: 127.0.0.1:{relay.port}: connected again"
    assert files.read_bytes("big") == (tmp_path / "big").read_bytes()


def test_get_goes_on_in_the_middle(ninep: Any, server: str, files: Client, tmp_path: Path) -> None:
    files.write_bytes("big", b"0123456789abcdef" * (BIG // 16))
    with Relay(port_of(server), cut=20, piece=10) as relay:
        done = ninep("get", f"127.0.0.1:{relay.port}/big", tmp_path)
        assert relay.connections == 2
    assert done.status == 0
    assert (tmp_path / "big").read_bytes() == files.read_bytes("big")


def test_without_it_a_lost_connection_is_an_error(ninep: Any, server: str) -> None:
    with Relay(port_of(server), cut=5) as relay:
        done = ninep("ls", f"127.0.0.1:{relay.port}/")
        assert relay.connections == 1
    assert done.status == 1
    assert "the server closed the connection" in done.err


def test_the_next_of_several_addresses(ninep: Any, server: str, files: Client) -> None:
    files.write_bytes("f", b"")
    with Relay(port_of(server)) as relay:
        gone = relay.port
    assert ninep("ls", f"tcp:127.0.0.1:{gone},tcp:{server}/").lines == ["f"]
    assert ninep("stat", f"127.0.0.1:{gone},{server}/f").status == 0


def test_the_first_connection_is_tried_again_if_that_is_asked_for(ninep: Any, server: str, files: Client) -> None:
    files.write_bytes("f", b"content")
    with Relay(port_of(server), cut=1) as relay:
        done = ninep("cat", "--reconnect", TIMEOUT, f"127.0.0.1:{relay.port}/f")
        assert relay.connections == 2
    assert done.out == b"content"
    assert done.err.endswith("connected\n")
    with Relay(port_of(server), cut=1) as relay:
        assert ninep("cat", f"127.0.0.1:{relay.port}/f").status == 1  # what it does by default
        assert relay.connections == 1
