"""The options of the memory driver, and its row in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ninep.drivers import DriverType
from ninep.drivers.memory import MemoryDriver
from ninep.options import BadOption, OptionSet, number, option, size


@dataclass(frozen=True, kw_only=True)
class MemoryOptions(OptionSet):
    """See ``MemoryDriver``."""

    capacity: int = option(1 << 30, size(1 << 16, 1 << 62), "mem: bytes that the files may take.", group="Exports")
    inodes: int = option(1 << 20, number(1, 1 << 40), "mem: how many files there may be.", group="Exports")


def open_memory(target: str, options: MemoryOptions, _model: object) -> MemoryDriver:
    """The driver for ``mem:``. ``BadOption`` for any text after the colon."""
    if target:
        raise BadOption(f"'mem:{target}': the memory driver takes no path: write mem:")
    return MemoryDriver(capacity=options.capacity, inodes=options.inodes)


DRIVER: Final = DriverType("an empty folder in memory, gone with the server", MemoryOptions, open_memory)
