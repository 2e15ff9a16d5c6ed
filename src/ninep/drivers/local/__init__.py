"""The local driver: a folder of the host, through ``ninep.host`` and a security model.

Each module imports from those below it only, type checkers included (an import contract holds it):

====================================  ============================================================
``options``                           the driver's row in the registry
``driver``                            opens the export
``slow``                              nodes and open files whose calls may wait
``node``                              a file or directory of the export: the verbs
``moves``, ``making``                 removing and renaming; creating
``walking``, ``reopening``            walks of one name and several; path handles that were taken away
``file``, ``directory``               what is opened from a node
``node_table``                        the only writer of parents, names, children, references
``devices``, ``entry_types``          what files are on; types of directory entries
``per_call_handles``                  a handle cache for hosts where handles block renames
``handle_cache``                      the only writer of path handles; keeps them within bounds
``rename_gate``, ``packed``, ``qids`` renames under way; listings kept; qid paths
====================================  ============================================================
"""

from ninep.drivers.local.driver import ExportError, LocalDriver
from ninep.drivers.local.handle_cache import HandleCache
from ninep.drivers.local.node import LocalNode
from ninep.drivers.local.per_call_handles import new_handle_cache

__all__ = ["ExportError", "HandleCache", "LocalDriver", "LocalNode", "new_handle_cache"]
