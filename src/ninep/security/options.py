"""The options of the security models, and what a row of their registry says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ninep.options import FLAG, OptionSet, choice, mode, option
from ninep.security.base import SecurityModel

EXPORTS: Final = "Exports"
"""The heading of ``--help`` that these stand under."""
MODE: Final = mode()


class ModelType(NamedTuple):
    """A row of ``ninep.security.MODELS``."""

    help: str
    """What of the guest's owners, modes and links is real on the host: a clause without
    the name.
    """
    options: type[OptionSet]
    make: Callable[[Any], SecurityModel]
    """Called with the options."""


@dataclass(frozen=True, kw_only=True)
class NoOptions(OptionSet):
    """None."""


@dataclass(frozen=True, kw_only=True)
class XattrOptions(OptionSet):
    """Of all models."""

    xattrs: str = option(
        "user",
        choice(("user", "all")),
        "Extended attributes of clients. user: user.* and POSIX ACLs. all: trusted.* and security.* too, for overlayfs and setcap in a guest: only "
        "recorded in the mapped models; for real in passthrough and none, where a file capability is a privilege on this machine.",
        group=EXPORTS,
    )


@dataclass(frozen=True, kw_only=True)
class MappedOptions(XattrOptions):
    """Of the models that keep owners and modes in attributes or records."""

    fmode: int = option(
        0o600,
        MODE,
        "Host mode of new files in mapped-xattr and mapped-file; in mapped-owner the bits that every file of the guest has at least.",
        group=EXPORTS,
    )
    dmode: int = option(0o700, MODE, "The same for directories.", group=EXPORTS)


@dataclass(frozen=True, kw_only=True)
class RealOptions(XattrOptions):
    """Of the models whose files are what they seem on the host."""

    devices: bool = option(
        False,
        FLAG,
        "Let clients make device nodes that are ones for the host too (passthrough, none). The mapped models keep devices as plain files and "
        "need no permission for it.",
        group=EXPORTS,
    )
