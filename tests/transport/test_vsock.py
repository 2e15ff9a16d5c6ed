"""Addresses of vsock sockets."""

import pytest

from ninep.transport import BadAddress
from ninep.transport.hints import HERE, Mount
from ninep.transport.vsock import Vsock, hints, parse, parse_remote


@pytest.mark.parametrize("text", ["2:564", "3:1", "1:5640"])
def test_an_address_can_be_read_again(text: str) -> None:
    address = parse(text)
    assert str(address) == f"vsock:{text}"
    assert parse_remote(text) == address


def test_any_machine_can_be_listened_for_and_not_connected_to() -> None:
    address = parse("-1:564")
    assert address.sockaddr == (0xFFFFFFFF, 564)
    assert not address.names_one
    with pytest.raises(BadAddress, match="any machine"):
        parse_remote("-1:564")


@pytest.mark.parametrize("text", ["", "2", "a:564", "2:-1", "2:4294967296", "4294967296:1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadAddress):
        parse(text)


def test_hints() -> None:
    assert hints(Vsock(1, 564), Mount("", 8192)) == [(HERE, "ninep ls vsock:1:564/")]
    assert hints(Vsock(2, 564), Mount("", 8192))[1].line == "ninep ls vsock:2:564/"
