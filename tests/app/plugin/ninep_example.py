"""A package of a third party, as small as it can be: a driver, a security model, a layer and a
transport that ``ninep serve`` finds by entry points.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import ClassVar

from ninep.drivers import DriverType
from ninep.drivers.synthetic import SyntheticDriver
from ninep.layers import LayerType
from ninep.layers.base import Wrapper
from ninep.node import Node, User
from ninep.options import OptionSet, number, option, text
from ninep.security import ModelType
from ninep.security.passthrough import Passthrough
from ninep.transport import Address, Bound, TransportType
from ninep.transport.hints import HERE, Hint


@dataclass(frozen=True, kw_only=True)
class HelloOptions(OptionSet):
    greeting: str = option("hello", text(), "What the file says.", group="Exports")


DRIVER = DriverType(
    "one file with a greeting",
    HelloOptions,
    lambda target, options, _model: SyntheticDriver({target or "greeting": options.greeting.encode()}),
)


@dataclass(frozen=True, kw_only=True)
class OneOwnerOptions(OptionSet):
    one_uid: int = option(0, number(0, 1 << 31), "Whose all files are.", group="Exports")


class OneOwner(Passthrough):
    """All files belong to one user."""

    name = "one-owner"

    def __init__(self, uid: int) -> None:
        super().__init__()
        self._uid = uid

    def attributes_of(self, file, found):
        mode, _, gid, rdev = super().attributes_of(file, found)
        return mode, self._uid, gid, rdev


MODEL = ModelType("all files are shown as one user's", OneOwnerOptions, lambda options: OneOwner(options.one_uid))


@dataclass(frozen=True, kw_only=True)
class RenamedOptions(OptionSet):
    hide: str = option("", text(), "Hide entries of this name from walks.", group="Access and users")


class Hiding(Wrapper):
    __slots__ = ("hidden",)

    def __init__(self, inner: Node, layer: object, hidden: bytes) -> None:
        super().__init__(inner, layer)
        self.hidden = hidden

    def wrap(self, inner: Node) -> Hiding:
        return Hiding(inner, self.layer, self.hidden)

    def walk(self, name: bytes) -> Node:
        if name == self.hidden:
            raise FileNotFoundError(2, "hidden")
        return super().walk(name)


class Hide:
    def __init__(self, name: str) -> None:
        self._name = name.encode()

    def __call__(self, root: Node, user: User) -> Node:
        return Hiding(root, self, self._name)


LAYER = LayerType(500, RenamedOptions, lambda options, _export: Hide(options.hide) if options.hide else None)


@dataclass(frozen=True, slots=True)
class Abstract(Address):
    """A unix socket in Linux's abstract namespace (unix(7))."""

    transport: ClassVar[str] = "abstract"
    name: str

    def __str__(self) -> str:
        return f"abstract:{self.name}"


def bind(address: Abstract) -> Bound:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"\0{address.name}")
    sock.listen()
    return Bound(address, [sock])


def connect(address: Abstract, timeout: float | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(f"\0{address.name}")
    return sock


TRANSPORT = TransportType(
    form="abstract:NAME",
    remote=lambda _: False,
    parse=Abstract,
    bind=bind,
    parse_remote=Abstract,
    connect=connect,
    hints=lambda address, _: [Hint(HERE, f"ninep ls {address}/")],
)
