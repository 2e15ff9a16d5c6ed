"""What is to be typed for a service of Windows."""

from __future__ import annotations

import pytest

from ninep.app.config import ServerConfig
from ninep.app.exports import ExportConfig
from ninep.app.service_hints import firewall, folders
from ninep.server.access import parse_rule
from ninep.transport import addresses


def config(listen: str, *allow: str) -> ServerConfig:
    return ServerConfig(
        exports=(ExportConfig("D:\\srv"), ExportConfig("mem:", name="m")),
        listen=(addresses.parse(listen),),
        allow=tuple(parse_rule(rule) for rule in allow),
    )


RULE = 'New-NetFirewallRule -DisplayName "ninep 5640" -Direction Inbound -Protocol TCP -LocalPort 5640 -Action Allow'


@pytest.mark.parametrize(
    ("listen", "allow", "expected"),
    [
        ("127.0.0.1:5640", (), []),
        ("localhost:5640", (), []),
        (":5640", ("any",), [RULE]),
        (":5640", ("192.168.7.0/24", "fe80::/10", "loopback"), [f"{RULE} -RemoteAddress 192.168.7.0/24,fe80::/10"]),
        ("192.168.7.1:5640", ("10.0.0.7",), [f"{RULE} -RemoteAddress 10.0.0.7/32"]),
    ],
)
def test_the_firewall(listen: str, allow: tuple[str, ...], expected: list[str]) -> None:
    assert firewall("ninep", config(listen, *allow)) == expected


def test_folders_for_an_account_of_its_own() -> None:
    """Other accounts have rights already; memory needs none."""
    assert folders("NT SERVICE\\ninep", config("127.0.0.1:1")) == [
        'icacls "D:\\srv" /grant "NT SERVICE\\ninep:(OI)(CI)M"'
    ]
    assert folders("LocalSystem", config("127.0.0.1:1")) == []
