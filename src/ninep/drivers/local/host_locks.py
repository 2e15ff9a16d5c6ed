"""Who keeps the byte-range locks of clients: the server's own table always, and the host's file
system besides, so that processes of the host, other servers, and on a cluster other computers are
excluded, too.

=======  =======================================================================================
auto     the host is asked, unless it was found that its file system has no locks (``probe``); what
         it cannot lock holds among the clients of this server
host     what the host cannot lock is ENOLCK
server   the host is not asked
=======  =======================================================================================

Locks of the host belong to open file descriptions, and each fid has one: they end with it, and with
the process.
"""

from __future__ import annotations

from typing import Final

from ninep.errors import Refused, linux_errno
from ninep.linux import Errno
from ninep.node import WouldBlock

AUTO: Final = "auto"
HOST: Final = "host"
SERVER: Final = "server"
LOCKS: Final = (AUTO, HOST, SERVER)


class HostLocks:
    """The rule of one export, and the devices that have no locks."""

    __slots__ = ("_rule", "_without", "asks_always")

    def __init__(self, rule: str = AUTO) -> None:
        self._rule = rule
        self._without: set[int] = set()
        self.asks_always = rule != SERVER
        """There is no device for which ``asks`` says anything else."""

    def learn(self, device: int, there: bool) -> None:
        """It was found whether a device has locks."""
        if there:
            self._without.discard(device)
        else:
            self._without.add(device)
        self.asks_always = self._rule != SERVER and not self._without

    def asks(self, device: int) -> bool:
        """Whether the host is asked. ENOLCK where it has to be, and cannot."""
        if self._rule == SERVER:
            return False
        if device not in self._without:
            return True
        if self._rule == HOST:
            raise Refused(Errno.ENOLCK, "the file system has no locks")
        return False

    def refusal(self, error: OSError) -> OSError:
        """The error for what the host said to a lock: with ``host`` all but a conflict is ENOLCK."""
        if self._rule != HOST or isinstance(error, WouldBlock) or linux_errno(error) is Errno.EAGAIN:
            return error
        return Refused(Errno.ENOLCK, str(error))
