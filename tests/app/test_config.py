"""What a server is told to serve: read from text, and refused with a sentence where it
cannot be.
"""

from __future__ import annotations

from typing import Any

import pytest

from ninep.app.config import ServerConfig
from ninep.app.exports import ExportConfig, parse_export
from ninep.layers.id_map import parse_user
from ninep.options import BadOption
from ninep.server.access import parse_rule
from ninep.transport import addresses
from ninep.transport.tcp import stays_here


@pytest.mark.parametrize(
    ("text", "name", "path", "given"),
    [
        ("a=/srv", "a", "/srv", {}),
        ("a=/srv,ro", "a", "/srv", {"read_only": True}),
        ("a=/s,,rv,rw", "a", "/s,rv", {"read_only": False}),
        ("a=/srv,,,rw", "a", "/srv,", {"read_only": False}),
        ("a=/srv,model=mapped,fmode=640", "a", "/srv", {"security_model": "mapped-xattr", "fmode": 0o640}),
        ("a=/x=y,devices", "a", "/x=y", {"devices": True}),
        ("a=/srv,xattrs=all", "a", "/srv", {"xattrs": "all"}),
        ("a=/srv,squash=all,anon=5:6", "a", "/srv", {"squash": "all", "anon": (5, 6)}),
    ],
)
def test_an_export_is_read_from_its_text(text: str, name: str, path: str, given: dict[str, Any]) -> None:
    assert parse_export(text) == (name, path, given)


def test_an_export_may_name_several_peers() -> None:
    _, _, given = parse_export("a=/srv,allow=uid:5,allow=10.0.0.0/8")
    assert given == {"allow": (parse_rule("uid:5"), parse_rule("10.0.0.0/8"))}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a=",
        "=/srv",
        "a=,ro",
        "a=/srv,rx",
        "a=/srv,model=ntfs",
        "a=/srv,ro=yes",
        "a=/srv,fmode=9",
        "a=/srv,allow=me",
    ],
)
def test_what_is_no_export_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadOption, match=r"."):
        parse_export(text)


@pytest.mark.parametrize(("text", "ids"), [("5", (5, 5)), ("5:6", (5, 6))])
def test_a_user_is_a_number_or_two(text: str, ids: tuple[int, int]) -> None:
    assert parse_user(text) == ids


@pytest.mark.parametrize("text", ["", "x", "1:2:3", "-1", "4294967295"])
def test_what_is_no_user_is_refused(text: str) -> None:
    with pytest.raises(BadOption):
        parse_user(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"security_model": "ext4"},
        {"multidevs": "ignore"},
        {"squash": "some"},
        {"run_as_user": True, "security_model": "mapped-xattr"},
        {"map_uids": object()},
        {"run_as_user": True, "security_model": "passthrough", "map_uids": object(), "map_gids": object()},
    ],
)
def test_an_export_that_contradicts_itself_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(BadOption):
        ExportConfig("/srv", **settings)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("127.8.8.8", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
    ],
)
def test_which_addresses_other_computers_reach(host: str, *, here: bool) -> None:
    assert stays_here(host) is here


def test_other_computers_are_let_in_only_when_asked_for() -> None:
    everywhere = [addresses.parse("0.0.0.0:5640")]
    with pytest.raises(BadOption, match="--allow"):
        ServerConfig([ExportConfig("/srv")], listen=everywhere)
    with pytest.raises(BadOption, match="--allow"):
        ServerConfig([ExportConfig("/srv")], listen=everywhere, allow=(parse_rule("uid:5"),))
    ServerConfig([ExportConfig("/srv")], listen=everywhere, allow=(parse_rule("192.0.2.0/24"),))
