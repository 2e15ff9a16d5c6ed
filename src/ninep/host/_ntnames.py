r"""Names: the bytes of a 9P name and the UTF-16 of an NTFS name, one to one.

A Linux client may send any byte but NUL and ``/``. NTFS refuses some characters, Win32 programs devour others, and a colon would open
a stream. Every client name therefore has exactly one host name, and no two client names share one:

* Valid UTF-8 stands as it is.
* 0x01-0x1f and ``" * : < > ? | \`` become U+F000 + code, as WSL and Cygwin do (openvmm lxutil path.rs; Cygwin manual, "Forbidden
  characters in filenames"). The same code points in a client's name would collide with those, so they travel like invalid bytes.
* A byte that is not UTF-8 becomes the lone surrogate U+DC00 + byte (PEP 383).
* A lone surrogate in a host name, U+DC80-U+DCFF excepted, is WTF-8 on the wire (three bytes ED A0 80 - ED BF BF) and back.
* A dot or a space at the end, and the first letter of a DOS device name (``CON``, ``NUL.txt``, ``COM¹``), change places with U+F000 +
  code: Win32 programs can use what a guest makes, and what WSL made in the plain form stays reachable under the other spelling.
  Nobody may *make* the plain form: :func:`new_name` refuses it, because a Windows program that opens ``CON`` there gets the console.
* More than 255 UTF-16 units is ENAMETOOLONG.

:func:`client_name` gives ``None`` for the few host names that no client name leads to (a raw ``:`` put on the volume by another system,
surrogates in an order that this table never makes); a listing leaves them out.

Attribute names become stream names by a stricter rule (:func:`stream_name`), since streams ignore case and attributes do not.

Case: the directory decides (NTFS ignores case unless the directory is flagged case-sensitive). Nothing is folded here but the
comparison with reserved names, :func:`folds_to`.

This module knows neither handles nor which names are reserved.
"""

import re
import unicodedata
from typing import Final

from ninep.linux import Errno
from ninep.errors import NinepError

MAX_UNITS: Final = 255  # NTFS and ReFS: one component, in UTF-16 units [MS-FSCC 2.1.5.2]
_PUA: Final = 0xF000
_RESERVED: Final = '"*:<>?|\\' + "".join(map(chr, range(1, 0x20)))
