"""The defaults for the user of an attach."""

from __future__ import annotations

import getpass
import os

import pytest

from ninep.client.identity import user_name


@pytest.fixture
def nameless(monkeypatch):
    """An environment without the user's name, as in services, containers and `env -i`."""
    for variable in ("USER", "LOGNAME", "USERNAME", "LNAME"):
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


def test_the_environment_comes_first(nameless):
    nameless.setenv("LOGNAME", "glenda")
    assert user_name() == "glenda"
    nameless.setenv("USER", "ann")
    assert user_name() == "ann"


@pytest.mark.usefixtures("nameless")
def test_then_the_user_database():
    pwd = pytest.importorskip("pwd", reason="the host has no user database")
    assert user_name() == pwd.getpwuid(os.getuid()).pw_name != "nobody"


@pytest.mark.parametrize("error", [OSError, KeyError, ImportError])
def test_then_the_number(nameless, error):
    def unknown():
        raise error("no such user")

    nameless.setattr(getpass, "getuser", unknown)
    assert user_name() == str(os.getuid())
