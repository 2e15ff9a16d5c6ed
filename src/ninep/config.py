"""What a server is told to serve, checked before anything is opened.

``ExportConfig`` and ``ServerConfig`` are what ``ninep serve`` makes of its options, and what a program may fill in itself. A value that
cannot be is ``BadConfig`` with a sentence for the person who wrote it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from ninep.layers.id_map import Ranges
from ninep.linux import NO_ID
from ninep.server.access import LOOPBACK, Access, Rule, parse_rule
from ninep.server.limits import MIN_MSIZE, Limits
from ninep.transport import addresses

SECURITY_MODELS = ("mapped-owner", "mapped-xattr", "mapped-file", "passthrough", "none")
AUTO = "auto"
"""In place of a security model: mapped-owner, or mapped-xattr where the filesystem has no permission bits (Windows)."""
ALIASES = {"mapped": "mapped-xattr"}
MULTIDEVS = ("remap", "forbid", "warn")
SQUASH = ("none", "root", "all", "peer")
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
    security_model: str = AUTO
    fmode: int = 0o600
    dmode: int = 0o700
    multidevs: str = "remap"
    read_only: bool = False
    allow: tuple[Rule, ...] = ()
    """Who may attach; empty: everybody who may connect."""
    devices: bool = False
    """Clients may make device nodes that are real on the host (passthrough, none)."""
    run_as_user: bool = False
    """Each request with the rights of the user who attached, as the host knows him (passthrough; root on Linux)."""
    squash: str = "none"
    """Whom to make into ``anon``: ``none``, ``root``, ``all``; or ``peer``: everybody is who the kernel says is at the other end."""
    anon: tuple[int, int] = (65534, 65534)
    map_uids: Ranges | None = None
    map_gids: Ranges | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be served."""
        if self.security_model not in (*SECURITY_MODELS, AUTO):
            raise BadConfig(f"{self.security_model!r} is not a security model: {', '.join((*SECURITY_MODELS, AUTO))}")
        if self.multidevs not in MULTIDEVS:
            raise BadConfig(f"{self.multidevs!r} is not a way with several devices: {', '.join(MULTIDEVS)}")
        if self.squash not in SQUASH:
            raise BadConfig(f"{self.squash!r} is not a way to squash: {', '.join(SQUASH)}")
        if self.run_as_user and self.security_model != "passthrough":
            raise BadConfig(
                f"the security model {self.security_model} keeps owners itself: running as the user needs passthrough"
            )
        if self.run_as_user and (self.map_uids or self.map_gids):
            raise BadConfig("ids cannot be mapped for users that requests are run as: the host has to know them")
        if (self.map_uids is None) != (self.map_gids is None):
            raise BadConfig("map both, uids and gids")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """All that ``ninep serve`` needs to know."""

    exports: Sequence[ExportConfig]
    listen: Sequence[addresses.Address] = (addresses.parse(addresses.DEFAULT),)
    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    access: Access = field(default_factory=Access)
    metrics: addresses.Tcp | None = None
    """Where to tell numbers over HTTP; with several workers each at a port of its own, from this one on."""
    ready_fd: int | None = None
    """A descriptor to write the addresses to, and to close, as soon as the server listens."""
    allow_overlap: bool = False
    """Serve exports that show the same files although they keep owners in different ways."""

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
        for address in (*self.listen, self.metrics):
            if isinstance(address, addresses.Tcp) and not self.access.remote and not stays_here(address.host):
                raise BadConfig(
                    f"{address} can be reached from other computers, and 9P has no passwords: say who may connect with --allow, "
                    f"for example --allow 192.168.0.0/16 (--allow any lets everybody in)"
                )


def parse_metrics(text: str) -> addresses.Tcp:
    """``HOST:PORT``, or a port of the loopback."""
    if text.startswith(("unix:", "vsock:", "hyperv:", "fd:")):
        raise BadConfig(f"{text!r}: metrics are told over HTTP: write PORT or HOST:PORT")
    return addresses.parse_tcp(text)


def stays_here(host: str) -> bool:
    """Only processes of this machine reach a TCP address: all that its name stands for are loopback addresses."""
    if not host:
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # no such name: listening will say so
    return all(
        any(ip_address(str(where[4][0]).partition("%")[0]) in network for network in LOOPBACK) for where in found
    )


# -- NAME=DIR[,OPTION...] ------------------------------------------------------------------------------------------------


def _one_of(*words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise BadConfig(f"{text!r} is none of {', '.join(words)}")
        return text

    return check


def parse_model(text: str) -> str:
    """A security model, under its name or an alias, or ``auto``."""
    return _one_of(*SECURITY_MODELS, AUTO)(ALIASES.get(text, text))


def parse_anon(text: str) -> tuple[int, int]:
    """``UID`` or ``UID:GID``."""
    numbers = text.split(":")
    if len(numbers) > 2 or not all(number.isdecimal() and int(number) < NO_ID for number in numbers):
        raise BadConfig(f"{text!r} is not UID or UID:GID")
    return int(numbers[0]), int(numbers[-1])


SETTINGS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "model": ("security_model", parse_model),
    "fmode": ("fmode", parse_mode),
    "dmode": ("dmode", parse_mode),
    "multidevs": ("multidevs", _one_of(*MULTIDEVS)),
    "allow": ("allow", parse_rule),
    "squash": ("squash", _one_of(*SQUASH)),
    "anon": ("anon", parse_anon),
    "map-uids": ("map_uids", Ranges.parse),
    "map-gids": ("map_gids", Ranges.parse),
}
"""KEY=VALUE of an export: the field of ``ExportConfig``, and how it is read. ``allow`` may be repeated."""
WORDS: Final[dict[str, tuple[str, Any]]] = {
    "ro": ("read_only", True),
    "rw": ("read_only", False),
    "devices": ("devices", True),
    "run-as-user": ("run_as_user", True),
}
_PART = re.compile(r"(?:[^,]|,,)+")


def parse_export(text: str) -> tuple[str, str, dict[str, Any]]:
    """``NAME=DIR[,OPTION...]`` as name, folder, and fields of ``ExportConfig``. A comma in a folder's name is written twice (as QEMU has it)."""
    name, equals, rest = text.partition("=")
    parts = [part.replace(",,", ",") for part in _PART.findall(rest)]
    if not equals or not name or _PART.match(rest) is None:
        raise BadConfig(f"{text!r}: write NAME=DIR or NAME=DIR,OPTION,...")
    path, *options = parts
    given: dict[str, Any] = {}
    for option in options:
        key, _, value = option.partition("=")
        if option in WORDS:
            field_name, setting = WORDS[option]
            given[field_name] = setting
        elif key in SETTINGS:
            field_name, read = SETTINGS[key]
            try:
                setting = read(value)
            except ValueError as error:
                raise BadConfig(f"{text!r}: {key}: {error}") from error
            given[field_name] = (*given.get(field_name, ()), setting) if key == "allow" else setting
        else:
            raise BadConfig(
                f"{text!r}: {option!r} is no option of an export: {', '.join([*WORDS, *(f'{key}=' for key in SETTINGS)])} "
                "(a comma in a folder's name is written twice)"
            )
    return name, path, given
