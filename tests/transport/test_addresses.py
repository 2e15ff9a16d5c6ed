"""Addresses as people write them."""

import pytest

from ninep.transport import Address, BadAddress
from ninep.transport.addresses import DEFAULT, Location, parse, parse_location, parse_tcp
from ninep.transport.hyperv import WILDCARDS, HyperV
from ninep.transport.inherited import Descriptor, Systemd
from ninep.transport.stdio import Stdio
from ninep.transport.tcp import Tcp, TcpServers
from ninep.transport.unix import Unix
from ninep.transport.vsock import Vsock

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
    "hyperv:any:1": HyperV(WILDCARDS["any"], "00000001-facb-11e6-bd58-64006a7986d3"),
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
        ("65536", "not a port"),
        ("nowhere", "expected HOST:PORT"),
        ("localhost:", "not a port"),
        ("localhost:9p", "not a port"),
        ("localhost:-1", "not a port"),
        ("localhost:--1", "not a port"),
        ("localhost:65536", "not a port"),
        ("localhost:\u0665", "not a port"),
        ("::1:5640", "in brackets"),
        ("unix:", "needs a path"),
        ("unix:a\0b", "null byte"),
        ("fd:", "not a descriptor"),
        ("fd:x", "not a descriptor"),
        ("fd:-1", "not a descriptor"),
        ("stdio:", "not a port"),
        ("vsock:3", "expected vsock:CID:PORT"),
        ("vsock::1", "not a CID"),
        ("vsock:-2:1", "not a CID"),
        ("vsock:1:4294967296", "not a vsock port"),
        ("hyperv:", "expected hyperv:VM:SERVICE"),
        ("hyperv:any", "expected hyperv:VM:SERVICE"),
        ("hyperv:nobody:1", "GUIDs"),
        ("hyperv:any:x", "GUIDs"),
        ("hyperv:any:4294967296", "GUIDs"),
        ("http://host:80", "not a transport of 9P"),
        ("tcp://host:5640/share", "--export NAME=DIR"),
        ("host:5640/share", "--export NAME=DIR"),
        ("tcp:nowhere", "expected HOST:PORT"),
        ("tcp!", "expected tcp!HOST!PORT"),
        ("tcp!host!", "expected tcp!HOST!PORT"),
        ("tcp!host!x", "not a port"),
        ("il!host!9fs", "IL is not supported"),
        ("/run/9p.sock", "unix:/run/9p.sock"),
        ("./9p.sock", "unix:./9p.sock"),
        ("C:\\Users\\ann", "path on this computer"),
        ("\\\\server\\share", "path on this computer"),
        ("ann@host:5640", "no user"),
        ("::1", r"\[::1\]:5640"),
        ("[::1", r"\[ADDRESS\]:PORT"),
        ("[host]:1", r"\[ADDRESS\]:PORT"),
    ],
)
def test_what_they_do_not(text: str, why: str) -> None:
    with pytest.raises(BadAddress, match=why):
        parse(text)


SPELLINGS: dict[str, str] = {
    "26000": "127.0.0.1:26000",
    "localhost": "localhost:5640",
    "127.0.0.1": "127.0.0.1:5640",
    "[::1]": "[::1]:5640",
    "*:5640": ":5640",
    "tcp:127.0.0.1:564": "127.0.0.1:564",
    "tcp:[::1]:564": "[::1]:564",
    "tcp:5640": "127.0.0.1:5640",
    "tcp::5640": ":5640",
    "tcp://127.0.0.1:564": "127.0.0.1:564",
    "TCP://127.0.0.1:564/": "127.0.0.1:564",
    "tcp://:5640": ":5640",
    "9p://localhost": "localhost:5640",
    "9p://[::1]:564/": "[::1]:564",
    "tcp!host!564": "host:564",
    "tcp!host!9fs": "host:564",
    "tcp!host!styx": "host:6666",
    "tcp!host": "host:5640",
    "tcp!*!564": ":564",
    "net!::1!564": "[::1]:564",
    "unix!/tmp/ns.ann.:0/acme": "unix:/tmp/ns.ann.:0/acme",
    "unix:///run/9p.sock": "unix:/run/9p.sock",
    "vsock://3:5640": "vsock:3:5640",
    "vsock!3!5640": "vsock:3:5640",
    "hyperv://any:5640/": "hyperv:any:5640",
}


@pytest.mark.parametrize(("text", "own"), SPELLINGS.items())
def test_spellings_of_other_programs(text: str, own: str) -> None:
    assert parse(text) == parse(own)


@pytest.mark.parametrize(
    ("text", "address", "path"),
    [
        ("host", Tcp("host", 5640), "/"),
        ("host/dir", Tcp("host", 5640), "/dir"),
        ("5641/dir", Tcp("127.0.0.1", 5641), "/dir"),
        ("a:564,b/dir", TcpServers("a", 564, (Tcp("b", 5640),)), "/dir"),
        ("tcp:a:564,tcp:[::1]:564/dir", TcpServers("a", 564, (Tcp("::1", 564),)), "/dir"),
        (":5641/dir", Tcp("127.0.0.1", 5641), "/dir"),
        ("tcp:host:564/a:b", Tcp("host", 564), "/a:b"),
        ("tcp://host/a//b/", Tcp("host", 5640), "/a//b/"),
        ("9p://[::1]:564/a", Tcp("::1", 564), "/a"),
        ("tcp!host!9fs/a", Tcp("host", 564), "/a"),
        ("tcp!host/a", Tcp("host", 5640), "/a"),
        ("unix:///run/s:/a", Unix("/run/s"), "/a"),
        ("unix!/tmp/ns.ann.:0/acme", Unix("/tmp/ns.ann.:0/acme"), "/"),
        ("vsock://2:5640/a", Vsock(2, 5640), "/a"),
        (f"hyperv:parent:{VM}/a", HyperV(WILDCARDS["parent"], VM), "/a"),
    ],
)
def test_locations(text: str, address: Tcp | Unix | Vsock | HyperV, path: str) -> None:
    assert parse_location(text) == Location(address, path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no server"),
        ("/dir", "no server"),
        ("host:/dir", ": host/dir$"),
        ("host:0", "not a port number"),
        ("host,", "after the last"),
        ("host,,other/x", "between two commas"),
        ("C:\\x", "path on this computer"),
        ("C:/x", "path on this computer"),
        ("https://host/x", "not a transport of 9P"),
        ("unix:", "no socket"),
        ("unix!", "no socket"),
        ("unix:/s:dir", "must begin with '/'"),
        ("a\0b", "null byte"),
        ("vsock:2", "expected vsock:CID:PORT"),
    ],
)
def test_what_is_no_location(text: str, why: str) -> None:
    with pytest.raises(BadAddress, match=why):
        parse_location(text)


def test_an_address_without_a_port_where_there_is_no_usual_one() -> None:
    assert parse_tcp("9564") == Tcp("127.0.0.1", 9564)
    with pytest.raises(BadAddress, match="HOST:PORT"):
        parse_tcp("localhost")


def test_the_default_is_the_loopback() -> None:
    assert parse(DEFAULT) == Tcp("127.0.0.1", 5640)
