"""What is served: a driver under a name, with a policy. And whether its storage makes callers wait.

An export is chosen by the aname of Tattach. Its policy is a list of layers put around the driver's
root at each attach: read-only, squash, run-as; the handlers know nothing of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial

from ninep.errors import Refused
from ninep.linux import NO_ID, Errno
from ninep.node import Driver, Node, Source, User
from ninep.server.access import Access
from ninep.server.locks import LockTable
from ninep.server.throttle import Throttle
from ninep.transport import BadAddress
from ninep.transport.peers import Peer
from ninep.wire.cookies import CookiePool

log = logging.getLogger("ninep.server")

Layer = Callable[[Node, User], Node]
"""Wraps the root of an export for one user; see ``ninep.layers``."""


@dataclass(eq=False)
class Export:
    """One served tree."""

    name: str
    driver: Driver
    layers: Sequence[Layer] = ()
    locks: LockTable = field(default_factory=LockTable)
    cookies: CookiePool = field(default_factory=CookiePool)
    """What the numbers of open directories take."""
    long_names_logged: bool = False
    """The log says already that names were left out of listings."""
    inline: bool = True
    """The driver may be called in the event loop, as far as is known: nodes tell, and the first one
    comes from the first attach.
    """
    access: Access = field(default_factory=partial(Access, closed=True))
    """Who may attach."""
    trusting: bool = True
    """Users are who the client says they are; otherwise who the kernel says is at the other end
    (EPERM where it says nothing).
    """
    throttle: Throttle = field(default_factory=Throttle)
    """How much its clients may do in a second (``shares``)."""
    certified: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Users, uid and gid, by names of certificates. If there are any, a client is the user of its
    certificate, and EACCES without one.
    """
    restrictions: Mapping[str, Layer] = field(default_factory=dict)
    """The layers for what rules of ``access`` say of what a peer may do (``access.RIGHTS``)."""
    removed: bool = False
    """It is served no more."""

    def set_access(self, access: Access) -> None:
        """Who may attach from now on."""
        self.access = access

    def logs_long_names(self) -> bool:
        """Whether names that were left out of a listing are to be logged: once."""
        first = not self.long_names_logged
        self.long_names_logged = True
        return first

    def remove(self) -> None:
        """It is served no more: an attach is refused from now on."""
        self.removed = True

    def owners(self, source: Source) -> str:
        """How owners are kept, in words: the driver's model, and what the layers that have
        ``owners`` make of them.
        """
        words = [source.model, *[layer.owners for layer in self.layers if hasattr(layer, "owners")]]
        if self.certified:
            words.append("users of certificates")
        return ", ".join(words if self.trusting else [*words, "squash peer"])

    def user(self, uname: bytes, uid: int, peer: Peer) -> User:
        """Who attaches."""
        if self.certified:
            certified = [self.certified[name] for name in peer.certificate or () if name in self.certified]
            if certified:
                return User(b"", certified[0][0], str(peer), certified[0][1])
            if self.trusting or peer.uid is None:
                raise Refused(Errno.EACCES, "it shows no certificate of a user (cert-user)")
        if self.trusting:
            return User(uname, uid, str(peer))
        if peer.uid is None:
            raise Refused(Errno.EPERM, "the system does not say who is at the other end")
        return User(b"", peer.uid, str(peer), NO_ID if peer.gid is None else peer.gid)

    def attach(self, user: User, peer: Peer | None = None) -> Node:
        """The root as this user sees it, and no more than the rule for the peer permits. A layer may
        have an ``identify(user, layers)``, which says who the user is on the host: all of them are
        asked before any layer wraps the root, so that each knows, wherever it stands. One that has
        an ``outermost`` stands outside of what the rule refuses, too.
        """
        for layer in self.layers:
            identify = getattr(layer, "identify", None)
            if identify is not None:
                user = identify(user, self.layers)
        node = self.driver.attach(user)
        try:
            for layer in self._around(peer) if self.layers or self.access.rules else ():
                node = layer(node, user)
        except OSError:  # a layer may refuse a user
            node.release()
            raise
        self.inline = node.inline
        return node

    def _around(self, peer: Peer | None) -> list[Layer]:
        """The layers for a peer, the innermost first."""
        outermost = [layer for layer in self.layers if hasattr(layer, "outermost")]
        inner = [layer for layer in self.layers if layer not in outermost]
        return [*inner, *self._restrictions(peer), *outermost]

    def _restrictions(self, peer: Peer | None) -> list[Layer]:
        words = [] if peer is None else [word for word in self.access.rights(peer) if word != "rw"]
        if not self.restrictions.keys() >= set(words):
            raise Refused(Errno.EACCES, f"{'+'.join(words)} cannot be kept in this export")
        return [self.restrictions[word] for word in words]


@dataclass(slots=True)
class _Table:
    """What is served, for all views of it: worker threads may be reading when it is replaced."""

    by_name: dict[bytes, Export]


def _by_name(exports: Iterable[Export]) -> dict[bytes, Export]:
    found: dict[bytes, Export] = {}
    for export in exports:
        key = export.name.strip("/").encode(errors="surrogateescape")
        if key in found:
            raise ValueError(f"two exports are named {export.name!r}")
        found[key] = export
    if not found:
        raise ValueError("nothing to export")
    return found


class Exports:
    """The exports of a server, by name.

    The empty aname and ``/`` mean the one named ``""`` (``ninep serve DIR``), or the only one there
    is. Any other name that is not in the table leads nowhere: it is compared, never joined to a
    path.
    """

    def __init__(self, exports: Iterable[Export]) -> None:
        self._table = _Table(_by_name(exports))
        self._preferred: bytes | None = None

    def __iter__(self) -> Iterator[Export]:
        return iter(self._table.by_name.values())

    def replace(self, exports: Iterable[Export]) -> list[Export]:
        """Serve these instead, also where one is preferred; those that are left out.
        ``ValueError`` if they cannot be served together.
        """
        before, by_name = self._table.by_name, _by_name(exports)
        self._table.by_name = by_name
        kept = set(map(id, by_name.values()))
        return [export for export in before.values() if id(export) not in kept]

    def preferring(self, name: str) -> Exports:
        """The same, but that the empty aname means the one of this name. ``BadAddress`` if there is
        none.
        """
        key = os.fsencode(name)
        if self.find(key) is None:
            raise BadAddress(f"no export is named {name!r}")
        preferring = copy(self)
        preferring._preferred = key.strip(b"/")  # noqa: SLF001 - a copy of this very class
        return preferring

    def find(self, aname: bytes) -> Export | None:
        """The export of an aname."""
        by_name = self._table.by_name
        key = aname.strip(b"/")
        if not key and self._preferred is not None:
            key = self._preferred
        export = by_name.get(key)
        if export is None and not key and len(by_name) == 1:
            export = next(iter(by_name.values()))
        return export

    def tidy(self) -> None:
        """A second has passed."""
        self._for_each("tidying", lambda driver: driver.tidy())

    def close(self) -> None:
        """The server ends."""
        self._for_each("closing", lambda driver: driver.close())

    def _for_each(self, doing: str, verb: Callable[[Driver], None]) -> None:
        for export in self:
            _try(export, doing, verb)


def close_driver(export: Export) -> None:
    """An export has no clients any more, and will have none. A failure is logged."""
    _try(export, "closing", lambda driver: driver.close())


def _try(export: Export, doing: str, verb: Callable[[Driver], None]) -> None:
    """Call a verb of a driver; that of others is called too if it fails, which is logged."""
    try:
        verb(export.driver)
    except Exception:
        log.exception("%s the driver of export %r failed", doing, export.name)
