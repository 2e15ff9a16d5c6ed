"""The local driver: a folder of the host, through ``ninep.host`` and a security model.

``driver`` opens the export, ``node`` is a file or folder in it, ``file`` and ``directory`` are what
is opened from one; ``node_table`` keeps one node for each name in use, ``handle_cache`` keeps their handles
within bounds, ``qids`` numbers them.
"""

from ninep.drivers.local.driver import ExportError, LocalDriver
from ninep.drivers.local.handle_cache import HandleCache
from ninep.drivers.local.node import LocalNode
from ninep.drivers.local.per_call_handles import new_handle_cache

__all__ = ["ExportError", "HandleCache", "LocalDriver", "LocalNode", "new_handle_cache"]
