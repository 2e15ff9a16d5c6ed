"""Whole sessions over the memory driver. An input is a conversation (``frames``).

There are three exports of the same folder:

* the default: requests are served in the event loop;
* ``waits``: every request goes to a worker thread;
* ``misses``: every Tread does.

The only legal outcomes: those that ``conversation`` states; and every node, file and listing that the server got of the driver was released
exactly once and not used after that (``ninep.testing.audit``).
"""

from __future__ import annotations

from tests.support.served import Misses, Waits

from fuzz.conversation import LIMITS, Conversation, finish, listen
from ninep.drivers.memory import MemoryDriver
from ninep.linux import NO_ID, O_RDWR
from ninep.node import User
from ninep.server.budgets import Budgets
from ninep.server.exports import Export, Exports
from ninep.testing.audit import Audit

__all__ = ["LONGEST", "NAME", "SESSION", "begin", "finish", "try_one"]

NAME = "memory"
SESSION = True
LONGEST = 4096
begin = listen
CLOCK = 1_700_000_000_000_000_000


def folder() -> MemoryDriver:
    """What there is before a conversation."""
    driver = MemoryDriver(capacity=1 << 20, inodes=64, clock=lambda: CLOCK)
    root = driver.attach(User())
    root.mkdir(b"dir", 0o755, 0, 0)
    root.symlink(b"link", b"file", 0, 0)
    root.mknod(b"pipe", 0o010644, 0, 0, 0)
    node, file = root.create(b"file", O_RDWR, 0o644, 0, NO_ID)
    file.write(0, b"some content\n" * 9)
    file.close()
    node.release()
    root.release()
    return driver


def try_one(data: bytes) -> None:
    """One input. An exception is a finding."""
    driver = folder()
    audit = Audit()
    exports = Exports(
        [
            Export("", driver, [audit]),
            Export("waits", driver, [audit, lambda root, _: Waits(root, Waits)]),
            Export("misses", driver, [audit, lambda root, _: Misses(root, Misses)]),
        ]
    )
    Conversation(exports, Budgets(LIMITS)).run(data)
    audit.check()
