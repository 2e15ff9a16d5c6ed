"""The local driver: a folder of the host, through ``ninep.host`` and a security model.

``driver`` opens the export, ``node`` is a file or folder in it, ``file`` and ``directory`` are what
is opened from one; ``tree`` keeps one node for each name in use, ``pins`` keeps their handles
within bounds, ``qids`` numbers them.
"""

from ninep.drivers.local.driver import ExportError, LocalDriver
from ninep.drivers.local.node import LocalNode
from ninep.drivers.local.per_call_handles import pins_for
from ninep.drivers.local.pins import Pins

__all__ = ["ExportError", "LocalDriver", "LocalNode", "Pins", "pins_for"]
