"""Registries: by name, from the project or from an installed package."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint

import pytest

from ninep.registry import Registry, UnknownName

OWN = {"errno": "ninep.linux:Errno", "refused": "ninep.errors:Refused"}


def kinds() -> Registry[type]:
    return Registry("ninep.tests", "a class", OWN, lambda thing: isinstance(thing, type))


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with entry points: one new, one that is no class, one that cannot be imported, one
    with a name that is taken.
    """
    found = [
        EntryPoint("ordered", "collections:OrderedDict", "ninep.tests"),
        EntryPoint("number", "ninep.linux:NO_ID", "ninep.tests"),
        EntryPoint("broken", "no_such_module:Thing", "ninep.tests"),
        EntryPoint("errno", "collections:Counter", "ninep.tests"),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [one for one in found if one.group == group])


def test_rows_of_the_project_are_imported_when_asked_for() -> None:
    assert kinds().names() == ("errno", "refused")
    assert kinds().get("errno").__name__ == "Errno"


def test_a_name_that_is_none_says_what_there_is() -> None:
    with pytest.raises(UnknownName, match=r"'errn' is not a class: errno, refused \(did you mean 'errno'\?\)"):
        kinds().get("errn")


@pytest.mark.usefixtures("_installed")
def test_other_packages_add_rows() -> None:
    assert kinds().names() == ("errno", "refused", "broken", "number", "ordered")
    assert kinds().get("ordered").__name__ == "OrderedDict"
    assert "ordered" in kinds()


@pytest.mark.usefixtures("_installed")
def test_no_package_takes_the_place_of_a_row(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert kinds().get("errno").__name__ == "Errno"
        assert kinds().names()
    assert "'errno' of collections:Counter is left out: the name is taken" in caplog.text


@pytest.mark.usefixtures("_installed")
def test_what_is_something_else_is_an_error_when_asked_for() -> None:
    with pytest.raises(TypeError, match=r"entry point 'number' of ninep\.tests \(ninep\.linux:NO_ID\) is not a class"):
        kinds().get("number")
    with pytest.raises(ModuleNotFoundError):
        kinds().get("broken")


def test_a_program_adds_one() -> None:
    made = kinds()
    made.add("mine", dict)
    assert made.get("mine") is dict
    with pytest.raises(ValueError, match="already"):
        made.add("errno", dict)
    with pytest.raises(TypeError):
        made.add("nothing", 7)  # type: ignore[arg-type]
