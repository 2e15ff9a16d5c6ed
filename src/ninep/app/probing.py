"""A folder that is tried before it is served."""

from __future__ import annotations

from typing import NamedTuple

from ninep import host
from ninep.drivers.local.handle_cache import self_closing
from ninep.drivers.local.probe import Found, probe
from ninep.drivers.local.second_mount import compare
from ninep.security import Unsuitable, suitable_model


class ProbeResult(NamedTuple):
    """What was found."""

    kind: str
    """Of file system."""
    waits: bool
    """Every call may wait for a program or another computer."""
    model: str
    """The security model that suits; empty if none does."""
    found: tuple[Found, ...]


def probe_folder(dir: str, other: str | None = None, *, writes: bool = True) -> ProbeResult:
    """What the file system of a folder can do; ``other``: the same folder by another mount. Without
    ``writes`` nothing is made there. ``OSError``.
    """
    root = self_closing(host.open_root(dir))
    volume = host.volume(root)
    found = probe(root, writes=writes)
    if other is not None and writes:
        found += compare(root, self_closing(host.open_root(other)))
    try:
        model = suitable_model(volume)
    except Unsuitable:
        model = ""
    return ProbeResult(volume.kind, volume.slow, model, found)
