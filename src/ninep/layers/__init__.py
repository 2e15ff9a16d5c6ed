"""Layers: policies of an export, as wrappers around the nodes of its driver. The driver and the
server do not depend on them.

A layer is a row of ``LAYERS``: a ``LayerType`` in its module, or at an entry point ``ninep.layers``
of another package. Its options decide whether an export has it. Layers are put around the driver in
the order of their ``order``: the outermost, with the highest, gets a request first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from ninep.node import Node, User
from ninep.options import OptionSet
from ninep.registry import Registry

__all__ = ["LAYERS", "Layer", "LayerType", "Settings"]

Layer = Callable[[Node, User], Node]
"""Wraps the root of an export for one user when it attaches."""


class Settings(Protocol):
    """The options of the export, for a layer."""

    @property
    def name(self) -> str:
        """Of the export."""

    @property
    def model(self) -> str:
        """The name of the security model; empty if the driver has none."""

    def get(self, option: str) -> Any:
        """The value of an option of the export, by its Python name."""


class LayerType(NamedTuple):
    """A row of ``LAYERS``."""

    order: int
    """Where it stands: 100 run-as, 200 squash, 300 id map, 800 no devices, 900 read-only, 1000 audit;
    the driver is below all.
    """
    options: type[OptionSet]
    make: Callable[[Any, Settings], Layer | None]
    """The layer for these options; None: this export does not have it. ``BadOption`` for options
    that contradict each other or the model.
    """


LAYERS: Final[Registry[LayerType]] = Registry(
    "ninep.layers",
    "a layer",
    {
        "run-as": "ninep.layers.run_as:LAYER",
        "squash": "ninep.layers.id_map:SQUASH",
        "id-map": "ninep.layers.id_map:ID_MAP",
        "no-devices": "ninep.layers.no_devices:LAYER",
        "read-only": "ninep.layers.read_only:LAYER",
        "audit": "ninep.layers.audit:LAYER",
    },
    lambda thing: isinstance(thing, LayerType),
)
