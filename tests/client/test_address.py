"""Addresses of servers, and paths on them."""

from __future__ import annotations

import pytest

from ninep.client.address import Location, parse_address, parse_location
from ninep.transport.hyperv import WILDCARDS, HyperV
from ninep.transport.tcp import Tcp
from ninep.transport.unix import Unix
from ninep.transport.vsock import Vsock

SERVICE = "00001608-facb-11e6-bd58-64006a7986d3"


@pytest.mark.parametrize(
    ("text", "address", "path"),
    [
        ("host", Tcp("host", 5640), "/"),
        ("host/dir/file", Tcp("host", 5640), "/dir/file"),
        ("host:564", Tcp("host", 564), "/"),
        ("127.0.0.1:5640/a:b", Tcp("127.0.0.1", 5640), "/a:b"),
        ("[::1]:5640/x", Tcp("::1", 5640), "/x"),
        ("[::1]/x", Tcp("::1", 5640), "/x"),
        ("unix:/run/9p.sock", Unix("/run/9p.sock"), "/"),
        ("unix:/run/9p.sock:/dir", Unix("/run/9p.sock"), "/dir"),
        ("unix:rel.sock:/", Unix("rel.sock"), "/"),
        ("host:1//a//", Tcp("host", 1), "//a//"),
        ("vsock:2:5640", Vsock(2, 5640), "/"),
        ("vsock:1:4294967295/a:b", Vsock(1, 0xFFFFFFFF), "/a:b"),
        ("hyperv:parent:5640/x", HyperV(WILDCARDS["parent"], SERVICE), "/x"),
        ("5641", Tcp("127.0.0.1", 5641), "/"),
        ("5641/dir", Tcp("127.0.0.1", 5641), "/dir"),
        (":5641/dir", Tcp("127.0.0.1", 5641), "/dir"),
        ("tcp:host:564/a:b", Tcp("host", 564), "/a:b"),
        ("tcp://host:564/a//b", Tcp("host", 564), "/a//b"),
        ("9p://host", Tcp("host", 5640), "/"),
        ("9p://[::1]:564/a", Tcp("::1", 564), "/a"),
        ("tcp!host!564", Tcp("host", 564), "/"),
        ("tcp!host!9fs/a", Tcp("host", 564), "/a"),
        ("unix:///run/9p.sock:/dir", Unix("/run/9p.sock"), "/dir"),
        ("unix!/tmp/ns.ann.:0/acme", Unix("/tmp/ns.ann.:0/acme"), "/"),
        ("vsock://2:5640/x", Vsock(2, 5640), "/x"),
        (f"hyperv:{SERVICE}:{SERVICE.upper()}", HyperV(SERVICE, SERVICE), "/"),
    ],
)
def test_locations(text, address, path):
    assert parse_location(text) == Location(address, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "/dir",
        "host:",
        "host:x",
        "host:0",
        "host:65536",
        "::1",
        "[::1",
        "[]:1",
        "[::1]x",
        "unix:",
        "unix::/x",
        "unix:/s:dir",
        "a\0b",
        "vsock:",
        "vsock:2",
        "vsock:x:1",
        "vsock:2:1:/path",
        "vsock:-1:5640",
        "vsock:4294967295:5640",
        "hyperv:parent",
        "hyperv:nobody:1",
        "hyperv:any:5640",
        "hyperv:children:5640/x",
    ],
)
def test_what_is_no_location(text):
    with pytest.raises(ValueError, match=r"."):
        parse_location(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://host/x", "not a transport of 9P"),
        ("C:\\x", "path on this computer"),
        ("ann@host/x", "no user"),
        ("tcp!host!http", "not a port"),
        ("il!host!9fs", "IL is not supported"),
    ],
)
def test_what_else_could_be_meant(text, words):
    with pytest.raises(ValueError, match=words) as caught:
        parse_location(text)
    assert str(caught.value).startswith(repr(text))


@pytest.mark.parametrize(("text", "meant"), [("box:564:/a/b", "box:564/a/b"), ("box:/a", "box/a")])
def test_a_colon_as_scp_has_it(text, meant):
    with pytest.raises(ValueError, match=f": {meant}$"):
        parse_location(text)
    assert str(parse_location(meant)).endswith(meant.partition("/")[2])


def test_an_address_has_no_path():
    assert parse_address("host:1") == Tcp("host", 1)
    assert parse_address("vsock:2:1") == Vsock(2, 1)
    assert parse_address("tcp://host:1/") == parse_address("tcp!host!1") == Tcp("host", 1)
    for text in ("tcp://host:1/dir", "host:1/", "host/dir", "unix:s:/x", "vsock:2:1/", "hyperv:parent:1/x"):
        with pytest.raises(ValueError, match="path"):
            parse_address(text)


@pytest.mark.parametrize(
    "text", ["host:5640/a/b", "[::1]:5640/", "unix:/s:/x", "vsock:2:5640/x", f"hyperv:{SERVICE}:{SERVICE}/x"]
)
def test_written_as_it_is_read(text):
    assert str(parse_location(text)) == text
