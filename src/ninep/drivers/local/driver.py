"""A folder of the host, exported."""

from __future__ import annotations

import os

from ninep import host
from ninep.drivers.local.node import LocalNode, SlowNode
from ninep.drivers.local.pins import Pins, hold, shared_pins
from ninep.drivers.local.qids import MULTIDEVS
from ninep.drivers.local.tree import Tree
from ninep.errors import Refused, linux_errno
from ninep.host import Handle, Volume
from ninep.host._mounts import areas, lineage
from ninep.linux import Errno
from ninep.node import Driver, Source, User
from ninep.security import AUTO, MODELS, Unsuitable, security_model, suitable_model


class ExportError(OSError):
    """The folder cannot be exported; the text is one sentence for the person who starts the server."""


_WHY = {
    Errno.ENOENT: "there is no such folder",
    Errno.ENOTDIR: "it is not a folder",
    Errno.EACCES: "permission denied",
    Errno.ELOOP: "its path runs in a circle of links",
}


class LocalDriver(Driver):
    """Serves the folder ``path``.

    ``security_model``: a key of ``ninep.security.MODELS``, or ``auto``. ``fmode``, ``dmode``: host permissions of files and directories that a mapped
    model makes. ``multidevs``: ``remap``, ``forbid`` or ``warn``, what to do about other filesystems mounted below. ``pins``: how many
    handles the nodes may keep; exports of one process share them unless told otherwise. ``devices``: clients may make device nodes
    that are ones for the host too (in ``passthrough`` and ``none``; EPERM otherwise).

    Raises ``ExportError`` if the folder is missing or its filesystem unfit for the model, ValueError for unknown words.

    The process's umask takes away from what clients ask for and has to be put right by a second call for each file: set it to 0.
    """

    threadsafe = True

    def __init__(
        self,
        path: str,
        security_model: str = "passthrough",
        fmode: int = 0o600,
        dmode: int = 0o700,
        multidevs: str = "remap",
        pins: Pins | None = None,
        *,
        devices: bool = True,
    ) -> None:
        if security_model not in (*MODELS, AUTO):
            raise ValueError(f"no security model {security_model!r}: there are {', '.join((*MODELS, AUTO))}")
        if multidevs not in MULTIDEVS:
            raise ValueError(f"no multidevs {multidevs!r}: there are {', '.join(MULTIDEVS)}")
        opened, self.volume = _open(path)
        """What the filesystem of the folder can do."""
        root = hold(opened)
        try:
            model = make_model(_name(security_model, self.volume), fmode, dmode)
            model.check(self.volume)
        except Unsuitable as error:
            raise ExportError(f"cannot export {path}: {error}") from error
        model.devices = devices
        found = host.stat(root)
        self._path = path
        self._tree = tree = Tree(model, MULTIDEVS[multidevs](found.st_dev), pins or shared_pins())
        kind = SlowNode if self.volume.slow else LocalNode
        device, ino = found.st_dev, found.st_ino
        tree.root = kind(tree, None, b"/", device, ino, tree.qids.path(device, ino))
        with tree.lock:
            tree.pins.keep(tree.root, root)

    def attach(self, user: User) -> LocalNode:  # noqa: ARG002 - who may attach is decided above, and as whom here below
        root = self._tree.root
        found = host.stat(root.held())
        if not found.st_nlink:
            raise Refused(Errno.ENOENT, "the exported folder was removed")
        return root.seen(found).clone()

    def source(self) -> Source:
        return Source(os.path.abspath(self._path), self._tree.model.name, lineage(self._path), areas(self._path))

    def close(self) -> None:
        tree = self._tree
        with tree.lock:
            tree.settle()
            tree.root.claims -= 1
            tree.pins.drop(tree.root)


make_model = security_model


def _open(path: str) -> tuple[Handle, Volume]:
    try:
        root = host.open_root(path)
        try:
            return root, host.volume(root)
        except OSError:
            host.close(root)
            raise
    except OSError as error:
        why = _WHY.get(linux_errno(error)) or getattr(error, "strerror", None) or str(error)
        raise ExportError(f"cannot export {path}: {why}") from error


def _name(model: str, volume: Volume) -> str:
    return suitable_model(volume) if model == AUTO else model


def model_of(path: str, security_model: str = AUTO) -> str:
    """The name of the security model that a folder is served with. ``ExportError`` as ``LocalDriver`` raises it."""
    if security_model != AUTO:
        return security_model
    root, volume = _open(path)
    host.close(root)
    try:
        return suitable_model(volume)
    except Unsuitable as error:
        raise ExportError(f"cannot export {path}: {error}") from error
