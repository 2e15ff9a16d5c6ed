"""Addresses of Hyper-V sockets."""

import pytest

from ninep.transport import BadAddress
from ninep.transport.hints import Mount
from ninep.transport.hyperv import hints, parse, parse_remote

VM = "12345678-1234-1234-1234-123456789abc"
PORT_564 = "00000234-facb-11e6-bd58-64006a7986d3"


def test_a_port_is_a_service_of_linux_guests() -> None:
    address = parse(f"{VM}:564")
    assert address.sockaddr == (VM, PORT_564)
    assert str(address) == f"hyperv:{VM}:{PORT_564}"
    assert parse(f"{VM.upper()}:{PORT_564}") == address


def test_wildcards_can_be_listened_at_and_not_connected_to() -> None:
    assert not parse("children:564").names_one
    assert parse_remote("parent:564").names_one
    with pytest.raises(BadAddress, match="any machine"):
        parse_remote("children:564")


@pytest.mark.parametrize("text", ["", "children", "guest:564", f"{VM}:service"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadAddress):
        parse(text)


def test_a_guest_connects_by_vsock() -> None:
    assert hints(parse("children:564"), Mount("", 8192))[1].line == "ninep ls vsock:2:564/"
    assert hints(parse(f"children:{VM}"), Mount("", 8192)) == []
