"""Which peers may connect, and which may attach to which export: decided by what the kernel says of
a peer, before anything the client says.

Rules

* A TCP client from another computer is served only if it was asked for: its address has to be in a
  network that the list names. 9P knows no passwords; a client that can connect can attach.
  Processes of this machine come in through the loopback.
* Where clients have to show a certificate that a CA of the listener has signed (TLS), that CA has
  named them: a network is not needed, but narrows if one is named, and so do ``cert:`` rules.
* A unix socket admits the users that its mode admits, and if the list names users or groups, of
  those only the named ones. The same with virtual machines of a vsock.
* Sockets that were handed over (inherited, systemd, inetd) are held to the same rules: they are
  about peers, not about listeners.
* The list of one export is closed: if it has any entry, only peers that an entry names may attach,
  by whatever way they came.

Knows nothing of what is done afterwards: users, squash and permissions are matters of an export's
layers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ninep.transport.peers import Peer

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
EVERYWHERE: tuple[Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
NETWORKS = {"any": EVERYWHERE, "loopback": LOOPBACK}
NUMBERS = ("uid", "gid", "cid")
CERT = "cert"
PSK = "psk:"
"""What the names of pre-shared keys begin with: they count as names of certificates."""


class BadRule(ValueError):
    """An entry that cannot be read; the message says what was expected."""


RIGHTS = ("ro", "rw", "nodev")
"""What a rule of an export may say behind ``=``, with ``+`` between: words of mount(8)."""


class Rule(NamedTuple):
    """One entry of a list: networks, one number of one kind, or a name of certificates."""

    networks: tuple[Network, ...] = ()
    kind: str = "network"
    number: int = -1
    name: str = ""
    rights: tuple[str, ...] = ()
    """What those whom it names may do: all that the export lets, less these words."""

    def __str__(self) -> str:
        """As it is written."""
        return self._whom() + (f"={'+'.join(self.rights)}" if self.rights else "")

    def _whom(self) -> str:
        word = next((word for word, networks in NETWORKS.items() if networks == self.networks), "")
        if self.name.startswith(PSK):
            return self.name
        return word or (str(self.networks[0]) if self.networks else f"{self.kind}:{self.name or self.number}")

    def names(self, peer: Peer) -> bool:
        """The peer is meant."""
        if self.networks:
            address = peer.address
            return address is not None and any(address in network for network in self.networks)
        if self.kind == CERT:
            return self.name in (peer.certificate or ())
        return {"uid": peer.uid, "gid": peer.gid, "cid": peer.cid}.get(self.kind) == self.number


def parse_rule(text: str) -> Rule:
    """``any``, ``loopback``, a network or an address, ``uid:N``, ``gid:N``, ``cid:N``,
    ``cert:NAME``, ``psk:NAME``; behind it ``=ro``, ``=rw``, ``=nodev``, ``=ro+nodev``. ``BadRule`` for anything
    else.
    """
    whom, equals, words = text.rpartition("=")
    rights = tuple(words.split("+"))
    if equals and set(rights) <= set(RIGHTS):
        if {"ro", "rw"} <= set(rights):
            raise BadRule(f"{text!r}: ro and rw exclude each other")
        return _parse_whom(whom)._replace(rights=rights)
    return _parse_whom(text)


def _parse_whom(text: str) -> Rule:
    if text in NETWORKS:
        return Rule(NETWORKS[text])
    kind, colon, number = text.partition(":")
    if colon and kind in NUMBERS:
        if not number.isdecimal() or int(number) > 0xFFFFFFFF:
            raise BadRule(f"{text!r}: {number!r} is not a number of a {kind}")
        return Rule(kind=kind, number=int(number))
    if kind == PSK[:-1] and number:
        return Rule(kind=CERT, name=text)
    if kind == CERT and number and not number.startswith(PSK):
        return Rule(kind=CERT, name=number)
    try:
        return Rule((ipaddress.ip_network(text),))
    except ValueError as error:
        raise BadRule(
            f"{text!r} names no peer ({error}): write a network (192.168.0.0/16), an address, any, loopback, "
            "uid:N, gid:N, cid:N, cert:NAME or psk:NAME"
        ) from None


@dataclass(frozen=True, slots=True)
class Access:
    """A list of rules. ``closed``: an export's list, which refuses every peer that it does not
    name; otherwise the server's admission.
    """

    rules: tuple[Rule, ...] = ()
    closed: bool = False

    @property
    def remote(self) -> bool:
        """Other computers may connect."""
        return any(network not in LOOPBACK for rule in self.rules for network in rule.networks)

    def refusal(self, peer: Peer) -> str:
        """Why a peer may not come in; empty if it may."""
        if self.closed:
            return "" if not self.rules or self._named(peer) else "it is not in the export's list"
        for applies, kinds, free in _ADMISSION:
            if applies(peer):
                asked = [rule for rule in self.rules if rule.kind in kinds]
                if not any(rule.names(peer) for rule in asked) and not free(peer, asked):
                    return f"no --allow names it ({', '.join(kinds)})"
        return ""

    def rights(self, peer: Peer) -> tuple[str, ...]:
        """What the first rule that names a peer says of what it may do."""
        return next((rule.rights for rule in self.rules if rule.names(peer)), ())

    def _named(self, peer: Peer) -> bool:
        return any(rule.names(peer) for rule in self.rules)


def _is_local(peer: Peer, asked: Iterable[Rule]) -> bool:
    del asked
    return peer.address is not None and peer.address.is_loopback


def _no_rule_applies(peer: Peer, asked: Iterable[Rule]) -> bool:
    del peer
    return not asked


def _is_local_or_no_rule_applies(peer: Peer, asked: list[Rule]) -> bool:
    return not asked or _is_local(peer, asked)


_ADMISSION: tuple[tuple[Callable[[Peer], bool], tuple[str, ...], Callable[[Peer, list[Rule]], bool]], ...] = (
    (lambda peer: peer.address is not None and peer.certificate is None, ("network",), _is_local),
    (lambda peer: peer.certificate is not None, ("network",), _is_local_or_no_rule_applies),
    (lambda peer: bool(peer.certificate), (CERT,), _no_rule_applies),
    (lambda peer: peer.cid is not None, ("cid",), _no_rule_applies),
    # the rest: a user, or one that the kernel does not tell (a pipe, a Hyper-V socket), which no
    # rule names
    (lambda peer: peer.address is None and peer.cid is None, ("uid", "gid"), _no_rule_applies),
)
"""Whom each line is about, the kinds of rules that count, and who is free if none of them names it. Who
may come in passes all lines about it.
"""
