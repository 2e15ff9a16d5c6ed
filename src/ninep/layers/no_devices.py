"""An export in which clients make no device nodes (mount(8) has ``nodev``): EPERM, as mknod(2) says to
a user who may not. FIFOs and sockets are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ninep.errors import Refused
from ninep.layers import LayerType
from ninep.layers.base import Wrapper
from ninep.linux import S_IFBLK, S_IFCHR, S_IFMT, Errno
from ninep.node import Node, Qid, User
from ninep.options import FLAG, OptionSet, option


class NoDevices(Wrapper):
    """A node below which there are no new devices."""

    __slots__ = ()

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        if mode & S_IFMT in {S_IFBLK, S_IFCHR}:
            raise Refused(Errno.EPERM, "no devices are made here")
        return super().mknod(name, mode, rdev, uid, gid)


def no_devices(root: Node, user: User) -> Node:  # noqa: ARG001 - the same for all users
    """The layer."""
    return NoDevices(root, no_devices)


@dataclass(frozen=True, kw_only=True)
class NoDevicesOptions(OptionSet):
    """Whether an export has the layer."""

    no_devices: bool = option(False, FLAG, "Refuse to make device nodes.", group="Exports", words={"nodev": True})


LAYER: Final = LayerType(800, NoDevicesOptions, lambda options, _export: no_devices if options.no_devices else None)
