"""Registries: what can be chosen by name, from the project or from packages that are installed
beside it.

A registry is one table: a name and where the thing is, ``module:attribute``, imported when it is
first asked for. Other packages add rows by an entry point of the registry's group, without a change
here::

    [project.entry-points."ninep.drivers"]
    zip = "ninep_zip:DRIVER"

The project's rows take precedence: an entry point with such a name is left out with a warning, so
that no installed package can put itself in the place of a security model. An entry point that
cannot be imported is an error when it is asked for by name, and no sooner.

There are four groups: ``ninep.drivers``, ``ninep.security``, ``ninep.layers`` and
``ninep.transports``; each says in its own package what a row has to be.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ninep.options import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
log = logging.getLogger(__name__)


class UnknownName(LookupError):
    """No row has that name; the message lists those that there are."""


class Registry(Generic[T]):
    """Things by name.

    Args:
        group: of entry points.
        what: one of them, with its article: ``a security model``.
        own: the rows of the project, name to ``module:attribute``.
        check: whether a loaded object is one of them; an entry point whose object is not, is
            ``TypeError``.
    """

    def __init__(self, group: str, what: str, own: Mapping[str, str], check: Callable[[Any], bool]) -> None:
        self.group = group
        self.what = what
        self._own = dict(own)
        self._check = check
        self._loaded: dict[str, T] = {}
        self._others: dict[str, EntryPoint] | None = None

    def names(self) -> tuple[str, ...]:
        """All names: the project's in their order, then those of other packages by alphabet."""
        return (*self._own, *sorted(self._found()))

    def __contains__(self, name: str) -> bool:
        return name in self._own or name in self._found()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def get(self, name: str) -> T:
        """The thing of that name, imported if need be. ``UnknownName``; ``TypeError`` for an entry
        point that is something else.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def add(self, name: str, thing: T) -> None:
        """Register something from a program. ``ValueError`` if the name is taken."""
        if name in self or name in self._loaded:
            raise ValueError(f"there is {self.what} named {name!r} already")
        if not self._check(thing):
            raise TypeError(f"{thing!r} is not {self.what}")
        self._own[name] = ""
        self._loaded[name] = thing

    def _load(self, name: str) -> T:
        where = self._own.get(name)
        if where:
            module, _, attribute = where.partition(":")
            thing: T = getattr(import_module(module), attribute)
            return thing
        entry = self._found().get(name)
        if entry is None:
            known = self.names()
            raise UnknownName(f"{name!r} is not {self.what}: {', '.join(known)}{did_you_mean(name, known)}")
        found = entry.load()
        if not self._check(found):
            raise TypeError(f"entry point {entry.name!r} of {self.group} ({entry.value}) is not {self.what}")
        other: T = found
        return other

    def _found(self) -> Mapping[str, EntryPoint]:
        """The rows of other packages; looked for once."""
        if self._others is None:
            from importlib.metadata import entry_points  # noqa: PLC0415 - of names that are not the project's only

            self._others = {}
            for entry in entry_points(group=self.group):
                if entry.name in self._own or entry.name in self._others:
                    log.warning("%s: %r of %s is left out: the name is taken", self.group, entry.name, entry.value)
                else:
                    self._others[entry.name] = entry
        return self._others
