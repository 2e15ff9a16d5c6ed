"""What to type in a guest fits where the server listens."""

from __future__ import annotations

import shlex
import socket

import pytest

from ninep.app import hints
from ninep.transport import Address, tcp_hints
from ninep.transport.addresses import parse
from ninep.transport.hints import GUEST, HERE
from ninep.transport.inherited import Descriptor, Systemd
from ninep.transport.stdio import Stdio
from ninep.transport.tcp import Tcp
from ninep.transport.tcp_hints import ELSEWHERE, GUEST_OR_ELSEWHERE, IPV6, MIRRORED, WSL
from ninep.transport.unix import Unix
from ninep.transport.vsock import Vsock

OWN = {socket.AF_INET: "192.0.2.7", socket.AF_INET6: "2001:db8::7"}
OPTIONS = "version=9p2000.L,msize=1048576"


@pytest.fixture(autouse=True)
def _own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_hints, "_own_address", lambda family=socket.AF_INET: OWN[family])


def of(address: Address, name: str = "", msize: int = 1 << 20 | 24, *, windows: bool = False) -> list[tuple[str, str]]:
    return [(hint.where, hint.line) for hint in hints.hints(address, name, msize, windows=windows)]


def tcp(host: str, port: int = 5640) -> str:
    return f"mount -t 9p -o trans=tcp,port={port},{OPTIONS} {host} /mnt"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (Tcp("127.0.0.1", 5640), [(GUEST, tcp("10.0.2.2"))]),
        (Tcp("localhost", 564), [(GUEST, tcp("10.0.2.2", 564))]),
        (Tcp("127.0.0.5", 5640), [(f"{HERE}, as root", tcp("127.0.0.5"))]),
        (
            Tcp("::1", 5640),
            [
                (f"{HERE}, as root, if its 9p client knows IPv6", tcp("::1")),
                (f"{HERE}, without a mount", "ninep ls [::1]:5640/"),
            ],
        ),
        (Tcp("", 564), [(GUEST, tcp("10.0.2.2", 564)), (ELSEWHERE, tcp("192.0.2.7", 564))]),
        (Tcp("0.0.0.0", 5640), [(GUEST, tcp("10.0.2.2")), (ELSEWHERE, tcp("192.0.2.7"))]),
        (Tcp("::", 5640), [(f"{GUEST_OR_ELSEWHERE} {IPV6}", tcp("2001:db8::7"))]),
        (Tcp("192.0.2.1", 5640), [(GUEST_OR_ELSEWHERE, tcp("192.0.2.1"))]),
        (Tcp("2001:db8::1", 5640), [(f"{GUEST_OR_ELSEWHERE} whose 9p client knows IPv6", tcp("2001:db8::1"))]),
        (
            Unix("/run/9p.sock"),
            [("on this computer, as root", f"mount -t 9p -o trans=unix,{OPTIONS} /run/9p.sock /mnt")],
        ),
        (Vsock(1, 5640), [(HERE, "ninep ls vsock:1:5640/")]),
        (Stdio(), []),
        (Descriptor(3), []),
        (Systemd(), []),
    ],
    ids=str,
)
def test_what_fits_an_address(address: Address, expected: list[tuple[str, str]]) -> None:
    assert of(address) == expected


@pytest.mark.parametrize("address", ["vsock:-1:5640", "vsock:3:5640", "hyperv:children:5640", "hyperv:any:5640"])
def test_a_virtual_machine_reaches_its_host(address: str) -> None:
    """The kernel has no address for it: a program opens the connection, behind a unix socket."""
    (where, line), without_a_mount = of(parse(address))
    assert where == GUEST
    assert line.startswith("socat UNIX-LISTEN:/run/ninep.sock VSOCK-CONNECT:2:5640 & ")
    assert line.endswith(f"mount -t 9p -o trans=unix,{OPTIONS} /run/ninep.sock /mnt")
    assert without_a_mount == (f"{GUEST}, without a mount", "ninep ls vsock:2:5640/")


def test_a_hyperv_service_without_a_port() -> None:
    assert of(parse("hyperv:any:11111111-2222-3333-4444-555555555555")) == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (Tcp("127.0.0.1", 5640), (MIRRORED, tcp("127.0.0.1"))),
        (Tcp("192.0.2.1", 5640), (WSL, tcp("192.0.2.1"))),
        (Tcp("", 5640), (WSL, tcp("192.0.2.7"))),
    ],
    ids=str,
)
def test_on_windows_wsl_too(address: Tcp, expected: tuple[str, str]) -> None:
    assert of(address, windows=True)[-1] == expected
    assert expected not in of(address)


def test_it_can_be_pasted() -> None:
    ((_, line),) = of(Unix("/run/my socket"), "a b;c", 8192)
    options = "trans=unix,version=9p2000.L,msize=8192,aname=a b;c"
    assert shlex.split(line) == ["mount", "-t", "9p", "-o", options, "/run/my socket", "/mnt"]


def test_not_for_a_name_that_mount_cannot_say() -> None:
    assert of(Tcp("", 1), "a,b") == []


def test_a_computer_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_hints, "_own_address", lambda family=socket.AF_INET: "")
    assert of(Tcp("", 5640)) == [(GUEST, tcp("10.0.2.2"))]
