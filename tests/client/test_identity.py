"""The defaults for the user of an attach."""

from __future__ import annotations

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


def test_variables_that_posix_does_not_name_are_not_believed(nameless):
    pwd = pytest.importorskip("pwd", reason="the host has no user database")
    nameless.setenv("LNAME", "eve")
    nameless.setenv("USERNAME", "eve")
    assert user_name() == pwd.getpwuid(os.getuid()).pw_name


def test_then_the_number(nameless):
    def unknown(uid):
        raise KeyError(uid)

    nameless.setattr("pwd.getpwuid", unknown)
    assert user_name() == str(os.getuid())
