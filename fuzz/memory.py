"""Whole sessions on the memory driver. An input is a conversation (``frames``).

There are three exports of the same folder:

* the default: requests are served in the event loop;
* ``waits``: every request is passed to a worker thread;
* ``misses``: every Tread is.

A call of the driver can be made to fail, before or after it did its work.

The only legal outcomes: those of ``conversation``; and the server released every node, file and
listing of the driver exactly once, and used none after that (``ninep.testing.audit``).
"""

from __future__ import annotations

from collections.abc import Callable

from tests.support.served import Misses, Waits

from fuzz.conversation import LIMITS, Conversation, finish, listen
from ninep.drivers.memory import MemoryDriver
from ninep.linux import NO_ID, O_RDWR, Errno
from ninep.node import User
from ninep.server.budgets import Budgets
from ninep.server.exports import Export, Exports
from ninep.testing.audit import Audit
from ninep.testing.faults import VERBS as ALL_VERBS
from ninep.testing.faults import Faults

__all__ = ["LONGEST", "NAME", "SESSION", "begin", "finish", "try_one"]

NAME = "memory"
SESSION = True
LONGEST = 4096
begin = listen
VERBS = sorted(ALL_VERBS - {"clone", "release", "parent", "file.close", "dir.close"})
"""The verbs that can be made to fail: not those that release, nor those that only count
references."""
RETURNING = {"walk", "create", "open", "opendir"}
"""The results of these verbs would be lost if they failed afterwards."""
CLOCK = 1_700_000_000_000_000_000


def folder() -> MemoryDriver:
    """The initial content."""
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


def exports() -> tuple[Exports, Audit, Callable[[int], None]]:
    """The three, what audits them, and what makes a call of the driver fail, by a number."""
    driver = folder()
    audit, faults = Audit(), Faults()

    def fail(number: int) -> None:
        verb = VERBS[number % len(VERBS)]
        faults.fail(verb, Errno.EIO, after=number & 0x80 != 0 and verb not in RETURNING)

    made = Exports(
        [
            Export("", driver, [audit, faults]),
            Export("waits", driver, [audit, faults, lambda root, _: Waits(root, Waits)]),
            Export("misses", driver, [audit, faults, lambda root, _: Misses(root, Misses)]),
        ]
    )
    return made, audit, fail


def try_one(data: bytes) -> None:
    """Run one input. An exception is a finding."""
    made, audit, fail = exports()
    Conversation(made, Budgets(LIMITS), fail=fail).run(data)
    audit.check()
