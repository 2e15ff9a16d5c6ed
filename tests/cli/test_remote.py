"""What the commands have in common: reports of failures."""

from __future__ import annotations

import pytest

from ninep.cli.remote import Remote
from ninep.client.address import parse_address


@pytest.fixture
def remote():
    return Remote("ninep find", {})


def test_below_a_directory_a_failure_is_reported_and_the_next_follows(remote, capsys):
    with remote.below():
        raise PermissionError(13, "Permission denied", "dir")
    assert capsys.readouterr().err == "ninep find: dir: Permission denied\n"
    assert remote.failed


def test_below_a_directory_nothing_follows_a_lost_connection(remote, capsys):
    with pytest.raises(ConnectionResetError), remote.below():
        raise ConnectionResetError(104, "reset")
    assert capsys.readouterr().err == ""


def test_each_of_several_servers_is_tried(remote, capsys):
    for name in ("host:1", "host:2"):
        remote._at = parse_address(name)
        with remote.each():
            raise ConnectionResetError(104, "reset")
    assert capsys.readouterr().err == "ninep find: host:1: reset\nninep find: host:2: reset\n"
