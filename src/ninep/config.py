"""What a server is told to serve, checked before anything is opened.

``ExportConfig`` and ``ServerConfig`` are what ``ninep serve`` makes of its options, and what a program may fill in itself. A value that
cannot be is ``BadConfig`` with a sentence for the person who wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ninep.server.limits import MIN_MSIZE, Limits
from ninep.transport import addresses

SECURITY_MODELS = ("mapped-xattr", "mapped-file", "passthrough", "none")
ALIASES = {"mapped": "mapped-xattr"}
MULTIDEVS = ("remap", "forbid", "warn")
MAX_MSIZE = 4 << 20 | 24


class BadConfig(ValueError):
    """A setting that cannot be."""


def parse_mode(text: str) -> int:
    """Permission bits in octal, with or without a leading 0 or 0o; QEMU reads ``600`` as decimal, which nobody means."""
    digits = text.removeprefix("0o").removeprefix("0O")
    if not digits or any(digit not in "01234567" for digit in digits) or int(digits, 8) > 0o777:
        raise BadConfig(f"{text!r} is not a mode: write permission bits in octal, 0 to 777")
    return int(digits, 8)


def parse_size(text: str) -> int:
    """Bytes, or KiB and MiB with a K or M behind."""
    factor = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:].upper(), 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdigit():
        raise BadConfig(f"{text!r} is not a size: write bytes, or a number with K or M behind")
    return int(digits) * factor


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """One folder and how it is served."""

    path: str
    name: str = ""
    security_model: str = "mapped-xattr"
    fmode: int = 0o600
    dmode: int = 0o700
    multidevs: str = "remap"
    read_only: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be served."""
        if self.security_model not in SECURITY_MODELS:
            raise BadConfig(f"{self.security_model!r} is not a security model: {', '.join(SECURITY_MODELS)}")
        if self.multidevs not in MULTIDEVS:
            raise BadConfig(f"{self.multidevs!r} is not a way with several devices: {', '.join(MULTIDEVS)}")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """All that ``ninep serve`` needs to know."""

    exports: Sequence[ExportConfig]
    listen: Sequence[addresses.Address] = (addresses.parse(addresses.DEFAULT),)
    limits: Limits = field(default_factory=Limits)
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if not self.exports:
            raise BadConfig("nothing to serve: name a folder")
        names = [export.name.strip("/") for export in self.exports]
        for name in names:
            if names.count(name) > 1:
                raise BadConfig(
                    f"two exports are named {name!r}" if name else "two folders without a name: use --export NAME=DIR"
                )
        if not MIN_MSIZE <= self.limits.msize <= MAX_MSIZE:
            raise BadConfig(f"msize {self.limits.msize}: {MIN_MSIZE} to {MAX_MSIZE} are possible")
        if self.workers > 1 and any(isinstance(address, addresses.Stdio) for address in self.listen):
            raise BadConfig("stdio is one connection: it needs one worker")
        if sum(isinstance(address, addresses.Stdio) for address in self.listen) > 1:
            raise BadConfig("stdio can be listened at once only")
