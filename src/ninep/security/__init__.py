"""Security models: how the owner, mode and type of a file are kept on the host. One module each;
``base`` says what a model decides.

A model is a row of ``MODELS``: a ``ModelType`` in its module, or at an entry point
``ninep.security`` of another package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ninep.host import Volume
from ninep.options import BadOption, Row, rows
from ninep.registry import Registry, UnknownName
from ninep.security.base import FileRef, Owned, SecurityModel, Unsuitable
from ninep.security.options import ModelType

__all__ = [
    "ALIASES",
    "AUTO",
    "MODELS",
    "Choice",
    "FileRef",
    "ModelType",
    "Owned",
    "SecurityModel",
    "Unsuitable",
    "model_rows",
    "security_model",
    "suitable_model",
]

MODELS: Final[Registry[ModelType]] = Registry(
    "ninep.security",
    "a security model",
    {
        "mapped-owner": "ninep.security.mapped_owner:MODEL",
        "mapped-xattr": "ninep.security.mapped_xattr:MODEL",
        "mapped-file": "ninep.security.mapped_file:MODEL",
        "passthrough": "ninep.security.passthrough:MODEL",
        "none": "ninep.security.none:MODEL",
    },
    lambda thing: isinstance(thing, ModelType),
)
"""From the name, as the command line and the hypervisor spell it, to the model."""
ALIASES: Final = {"mapped": "mapped-xattr"}
"""Other spellings; QEMU's."""

AUTO: Final = "auto"
"""In place of a name: the model that ``suitable_model`` chooses."""
_SUITABLE: Final = {
    # real permission bits, attributes
    (True, True): "mapped-owner",
    (False, True): "mapped-xattr",  # NTFS and ReFS of Windows, whose attributes are named streams
}


def suitable_model(volume: Volume) -> str:
    """What suits an ordinary user on a filesystem when no model is named. ``Unsuitable`` where no
    model can keep owners out of sight.
    """
    name = _SUITABLE.get((volume.posix_owners, volume.xattrs))
    if name is None and volume.slow and volume.posix_owners:  # a cluster or FUSE
        name = "mapped-file"
    if name is None:
        raise Unsuitable(
            f"its filesystem ({volume.kind}) has no extended attributes to keep the guest's owners in; choose a security model: "
            "none serves plain files of your user and ignores chown, mapped-file keeps owners in hidden files"
        )
    return name


def security_model(name: str, **options: object) -> SecurityModel:
    """The model of that name with these options. ``BadOption`` for a name or an option that does
    not exist.
    """
    row = _row(name)
    try:
        return row.make(row.options.of(options))
    except BadOption as error:
        raise BadOption(f"security model {name}: {error}") from error


class Choice:
    """A security model, chosen but not made yet: by name, ``AUTO``, or an instance.

    Args:
        model: which. options: of the model, by their Python names. With ``AUTO``, those that the
        model found does not have are an error when it is made.

    Raises:
        BadOption: there is no such model, or it has no such option, or a value cannot be.
    """

    __slots__ = ("_options", "model")

    def __init__(self, model: str | SecurityModel = AUTO, options: Mapping[str, object] | None = None) -> None:
        self.model = ALIASES.get(model, model) if isinstance(model, str) else model
        self._options = dict(options or {})
        if isinstance(self.model, SecurityModel):
            if self._options:
                raise BadOption(f"{', '.join(self._options)}: the security model is made already")
        elif self.model != AUTO:
            _row(self.model).options.of(self._options)

    @property
    def name(self) -> str:
        """The name of the model, or ``AUTO``."""
        return self.model if isinstance(self.model, str) else self.model.name

    def __call__(self, volume: Volume) -> SecurityModel:
        """The model for a filesystem. ``Unsuitable`` if it cannot be served with it."""
        model = self.model
        if isinstance(model, str):
            model = security_model(suitable_model(volume) if model == AUTO else model, **self._options)
        model.check(volume)
        return model


def model_rows() -> dict[str, tuple[Row, tuple[str, ...]]]:
    """The options of all models by their names, and which models have each."""
    found: dict[str, tuple[Row, tuple[str, ...]]] = {}
    for name in MODELS:
        for row in rows(MODELS.get(name).options):
            _, models = found.get(row.name, (row, ()))
            found[row.name] = (row, (*models, name))
    return found


def _row(name: str) -> ModelType:
    try:
        return MODELS.get(ALIASES.get(name, name))
    except UnknownName as error:
        raise BadOption(str(error)) from error
