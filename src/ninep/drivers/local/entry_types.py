"""Types of directory entries: what the host says, and what clients are shown."""

from __future__ import annotations

from typing import Final

from ninep.linux import DT_DIR, DT_LNK, DT_REG, DT_UNKNOWN
from ninep.security import SecurityModel
from ninep.wire.types import QT_DIR, QT_FILE, QT_SYMLINK

_TYPES_TO_STAT: Final = frozenset((DT_DIR, DT_UNKNOWN))
QID_TYPES: Final = tuple({DT_DIR: QT_DIR, DT_LNK: QT_SYMLINK}.get(kind, QT_FILE) for kind in range(16))
"""From the type of a file, ``mode >> 12`` or a ``linux.DT_*``, to the type of its qid."""


def types_to_stat(model: SecurityModel) -> frozenset[int]:
    """The types of which a listing does not say enough. overlayfs tells by the type in a listing
    (DT_CHR) that an entry is a whiteout (ovl_fill_merge of fs/overlayfs/readdir.c): where its
    attributes are served, the files that may be devices are looked at.
    """
    return _TYPES_TO_STAT | {DT_REG} if model.privileged_xattrs and not model.plain_types else _TYPES_TO_STAT


def shown_types(plain_types: bool) -> tuple[int, ...]:
    """From a ``linux.DT_*`` of the host to the one to show: a mapped model's regular file may be
    anything.
    """
    return tuple(kind if plain_types or kind != DT_REG else DT_UNKNOWN for kind in range(16))
