"""The registry of security models: which is chosen, by name or for a filesystem."""

from __future__ import annotations

from typing import Any

import pytest

from ninep.host import Volume
from ninep.options import BadOption
from ninep.security import AUTO, MODELS, Choice, Unsuitable, model_rows, security_model, suitable_model


def volume(**given: Any) -> Volume:
    return Volume("ext4", slow=False, xattrs=True, posix_owners=True, unique_ino=True, read_only=False)._replace(
        **given
    )


@pytest.mark.parametrize("name", list(MODELS))
def test_each_model_is_made_by_its_name(name: str) -> None:
    assert security_model(name).name == name


def test_the_hypervisors_name_is_an_alias() -> None:
    assert security_model("mapped").name == "mapped-xattr"


def test_what_suits_a_filesystem() -> None:
    assert suitable_model(volume()) == "mapped-owner"
    assert suitable_model(volume(kind="NTFS", posix_owners=False)) == "mapped-xattr"
    assert suitable_model(volume(kind="nfs", slow=True, xattrs=False)) == "mapped-file"
    with pytest.raises(Unsuitable, match=r"its filesystem \(vfat\) has no extended attributes"):
        suitable_model(volume(kind="vfat", xattrs=False, posix_owners=False))


def test_a_choice_is_checked_before_the_model_is_made() -> None:
    assert Choice().name == AUTO
    assert Choice("none", {"devices": False}).name == "none"
    for model, options in (("nothing", {}), ("none", {"fmode": 0o600}), (security_model("none"), {"devices": True})):
        with pytest.raises(BadOption):
            Choice(model, options)  # type: ignore[arg-type]


def test_an_instance_stays_what_it_is() -> None:
    model = security_model("none")
    assert Choice(model)(volume()) is model


def test_options_and_the_models_that_have_them() -> None:
    found = {name: models for name, (_, models) in model_rows().items()}
    assert set(found["fmode"]) == set(found["dmode"]) == {"mapped-owner", "mapped-xattr", "mapped-file"}
    assert set(found["xattrs"]) == set(MODELS)
    assert set(found["devices"]) == {"passthrough", "none"}
