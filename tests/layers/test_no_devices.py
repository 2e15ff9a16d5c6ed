"""The layer that makes no devices."""

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.errors import Refused
from ninep.layers.no_devices import no_devices
from ninep.linux import GETATTR_BASIC, S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK, Errno
from ninep.node import User


def test_devices_are_refused_everywhere_below_it() -> None:
    root = no_devices(MemoryDriver().attach(User()), User())
    root.mkdir(b"dir", 0o755, 0, 0)
    for folder in (root, root.walk(b"dir")):
        for kind in (S_IFBLK, S_IFCHR):
            with pytest.raises(Refused) as caught:
                folder.mknod(b"device", kind | 0o600, 0x103, 0, 0)
            assert caught.value.code == Errno.EPERM
        for name, kind in ((b"fifo", S_IFIFO), (b"socket", S_IFSOCK)):
            folder.mknod(name, kind | 0o600, 0, 0, 0)
            assert folder.walk(name).getattr(GETATTR_BASIC).mode == kind | 0o600
