"""Security models: how the owner, mode and type of a file are kept on the host. One module each; ``base`` says what a model decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ninep.host import Volume
from ninep.security.base import Owned, SecurityModel, Subject, Unsuitable
from ninep.security.mapped_file import MappedFile
from ninep.security.mapped_owner import MappedOwner
from ninep.security.mapped_xattr import MappedXattr
from ninep.security.none import Unowned
from ninep.security.passthrough import Passthrough

__all__ = ["AUTO", "MODELS", "Owned", "SecurityModel", "Subject", "Unsuitable", "security_model", "suitable_model"]

MODELS: dict[str, Callable[[int, int], SecurityModel]] = {
    "passthrough": lambda _fmode, _dmode: Passthrough(),
    "none": lambda _fmode, _dmode: Unowned(),
    "mapped-owner": MappedOwner,
    "mapped-xattr": MappedXattr,
    "mapped": MappedXattr,
    "mapped-file": MappedFile,
}
"""From the name, as the command line and the hypervisor spell it, to the model; called with fmode and dmode."""

AUTO: Final = "auto"
"""In place of a name: the model that ``suitable_model`` chooses."""
_SUITABLE: Final = {
    # real permission bits, attributes
    (True, True): "mapped-owner",
    (False, True): "mapped-xattr",  # NTFS and ReFS of Windows, whose attributes are named streams
}


def suitable_model(volume: Volume) -> str:
    """What suits an ordinary user on a filesystem, for who did not choose. ``Unsuitable`` where no model can keep owners out of sight."""
    name = _SUITABLE.get((volume.posix_owners, volume.xattrs))
    if name is None:
        raise Unsuitable(
            f"its filesystem ({volume.kind}) has no extended attributes to keep the guest's owners in; choose a security model: "
            "none serves plain files of your user and ignores chown, mapped-file keeps owners in hidden files"
        )
    return name


def security_model(name: str, fmode: int = 0o600, dmode: int = 0o700) -> SecurityModel:
    """The model of that name. ``fmode`` and ``dmode``: host permissions of files and directories that mapped models make.

    KeyError for an unknown name.
    """
    return MODELS[name](fmode & 0o777, dmode & 0o777)
