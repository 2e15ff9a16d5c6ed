"""Addresses as people write them."""

import pytest

from ninep.transport.addresses import (
    DEFAULT,
    HYPERV_WILDCARDS,
    Address,
    BadAddress,
    Descriptor,
    HyperV,
    Stdio,
    Systemd,
    Tcp,
    Unix,
    Vsock,
    parse,
)

VM = "11111111-2222-3333-4444-555555555555"
GOOD: dict[str, Address] = {
    "127.0.0.1:5640": Tcp("127.0.0.1", 5640),
    "localhost:0": Tcp("localhost", 0),
    ":5640": Tcp("", 5640),
    "[::1]:564": Tcp("::1", 564),
    "[::]:65535": Tcp("::", 65535),
    "systemd:1": Tcp("systemd", 1),  # a host may be called anything
    "server.example.org:564": Tcp("server.example.org", 564),
    "unix:/run/9p.sock": Unix("/run/9p.sock"),
    "unix:relative": Unix("relative"),
    "unix:a:b": Unix("a:b"),
    "fd:3": Descriptor(3),
    "stdio": Stdio(),
    "systemd": Systemd(),
    "vsock:3:5640": Vsock(3, 5640),
    "vsock:-1:0": Vsock(-1, 0),
    "vsock:4294967295:4294967295": Vsock(0xFFFFFFFF, 0xFFFFFFFF),
    f"hyperv:{VM}:5640": HyperV(VM, "00001608-facb-11e6-bd58-64006a7986d3"),
    f"hyperv:{VM.upper()}:{VM}": HyperV(VM, VM),
    "hyperv:any:1": HyperV(HYPERV_WILDCARDS["any"], "00000001-facb-11e6-bd58-64006a7986d3"),
}


@pytest.mark.parametrize(("text", "address"), GOOD.items())
def test_what_they_mean(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.parametrize("text", GOOD)
def test_what_is_said_can_be_typed(text: str) -> None:
    address = parse(text)
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected HOST:PORT"),
        ("5640", "expected HOST:PORT"),
        ("localhost", "expected HOST:PORT"),
        ("localhost:", "not a port"),
        ("localhost:9p", "not a port"),
        ("localhost:-1", "not a port"),
        ("localhost:--1", "not a port"),
        ("localhost:65536", "not a port"),
        ("localhost:\u0665", "not a port"),
        ("::1:5640", "in brackets"),
        ("unix:", "needs a path"),
        ("unix:a\0b", "needs a path"),
        ("fd:", "not a descriptor"),
        ("fd:x", "not a descriptor"),
        ("fd:-1", "not a descriptor"),
        ("stdio:", "not a port"),
        ("vsock:3", "not a vsock port"),
        ("vsock::1", "not a CID"),
        ("vsock:-2:1", "not a CID"),
        ("vsock:1:4294967296", "not a vsock port"),
        ("hyperv:", "expected hyperv:VM:SERVICE"),
        ("hyperv:any", "expected hyperv:VM:SERVICE"),
        ("hyperv:nobody:1", "GUIDs"),
        ("hyperv:any:x", "GUIDs"),
        ("hyperv:any:4294967296", "GUIDs"),
    ],
)
def test_what_they_do_not(text: str, why: str) -> None:
    with pytest.raises(BadAddress, match=why):
        parse(text)


def test_nobody_from_elsewhere_by_default() -> None:
    assert parse(DEFAULT) == Tcp("127.0.0.1", 5640)
