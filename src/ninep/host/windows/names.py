r"""Names: the bytes of a 9P name and the UTF-16 of an NTFS name, one to one.

A Linux client may send any byte but NUL and ``/``. NTFS refuses some characters, Win32 programs
devour others, and a colon would open a stream. Every client name therefore has exactly one host
name, and no two client names share one:

* Valid UTF-8 stands as it is.
* 0x01-0x1f and ``" * : < > ? | \`` become U+F000 + code, as WSL and Cygwin do (openvmm lxutil
  path.rs; Cygwin User's Guide, "Forbidden characters in filenames"). Those same code points in a
  client's name would collide, so they travel like invalid bytes.
* A byte that is not UTF-8 becomes the lone surrogate U+DC00 + byte (PEP 383).
* A lone surrogate in a host name, U+DC80-U+DCFF excepted, is WTF-8 on the wire (ED A0 80 to ED BF
  BF) and back.
* A dot or a space at the end, and the first letter of a DOS device name (``CON``, ``NUL.txt``,
  ``COM¹``), change places with U+F000 + code: Win32 programs can use what a guest makes, and what
  WSL made in the plain form stays reachable under the other spelling. The plain form cannot be
  *made*: :func:`new_name` refuses it, since a Windows program that opens ``CON`` there gets the
  console.
* More than 255 UTF-16 units is ENAMETOOLONG.

A host name is a ``str`` that may hold lone surrogates; :func:`units` and :func:`from_units` are its
UTF-16 form.
:func:`client_name` gives ``None`` for the few host names that no client name leads to (a raw ``:`` put on the volume
by another system, surrogates in an order that this table never makes); a listing leaves them out.

Attribute names become stream names by a stricter rule (:func:`stream_name`), since streams ignore
case and attributes do not.

Case: the directory decides (NTFS ignores case unless the directory is flagged case-sensitive).
Nothing is folded here but the comparison with reserved names, :func:`folds_to`. This module knows
neither handles nor which names are reserved.
"""

from __future__ import annotations

import re
import string
import unicodedata
from typing import Final

from ninep.errors import Refused
from ninep.linux import Errno

MAX_UNITS: Final = 255  # one component on NTFS and ReFS [MS-FSCC 2.1.5.2]
_PUA: Final = 0xF000
_BYTE: Final = 0xDC00
_RESERVED: Final = '"*:<>?|\\' + "".join(map(chr, range(1, 0x20)))

# What stays as it is in the common case, decided by one match: ASCII without reserved characters,
# no dot or space at the end, and too unlike a device name to look closer.
_PLAIN: Final = re.compile(rb"(?![CPANLcpanl][OoRrUuPp][NnXxLlMmTt])[!#-)+-.0-9;=@-\[\]-{}~ ]*[!#-)+\-0-9;=@-\[\]-{}~]")
_DEVICE: Final = re.compile(
    r"(CON|PRN|AUX|NUL|(COM|LPT)[0-9¹²³]|CONIN\$|CONOUT\$) *(\..*)?", re.IGNORECASE | re.ASCII | re.DOTALL
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WTF8: Final = re.compile("\udced([\udca0-\udcbf])([\udc80-\udcbf])")
_SHORT: Final = re.compile(rb"[^~]{1,6}~[0-9]{1,6}(\..{0,3})?", re.DOTALL)


def _escaped_bytes(char: str) -> str:
    return "".join(chr(_BYTE + byte) for byte in char.encode())


def _table(characters: str) -> dict[int, str]:
    """For ``str.translate``: the characters to the private area, and that part of the private area
    to escaped bytes.
    """
    there = {ord(c): chr(_PUA + ord(c)) for c in characters}
    return there | {ord(pua): _escaped_bytes(pua) for pua in there.values()}


def _back(characters: str) -> dict[int, str]:
    return {_PUA + ord(c): c for c in characters}


_TO_HOST: Final = _table(_RESERVED)
_TO_CLIENT: Final = _back(_RESERVED)
_TO_STREAM: Final = _table(_RESERVED + string.ascii_uppercase + "/")
_TO_ATTRIBUTE: Final = _back(_RESERVED + string.ascii_uppercase + "/")


def units(name: str) -> bytes:
    """The UTF-16LE form of a host name."""
    return name.encode("utf-16-le", "surrogatepass")


def from_units(raw: bytes) -> str:
    """The host name of a UTF-16LE form."""
    return raw.decode("utf-16-le", "surrogatepass")


def _is_low(char: str) -> bool:
    return "\udc00" <= char <= "\udfff"


def _join_wtf8(text: str) -> str:
    """Turn three escaped bytes that are the WTF-8 of a lone surrogate into that surrogate.

    From right to left, because a high surrogate must not come to stand before a low one: the two
    would be another character. U+DC80-U+DCFF stay escaped: there they mean bytes.
    """
    for found in reversed(list(_WTF8.finditer(text))):
        unit = 0xD000 | (ord(found[1]) & 0x3F) << 6 | ord(found[2]) & 0x3F
        rest = text[found.end() :]
        if 0xDC80 <= unit <= 0xDCFF or (unit < 0xDC00 and rest and _is_low(rest[0])):
            continue
        text = text[: found.start()] + chr(unit) + rest
    return text


def _surrogate_bytes(found: re.Match[str]) -> str:
    unit = ord(found[0])
    if 0xDC80 <= unit <= 0xDCFF:
        return found[0]
    return "".join(chr(_BYTE + byte) for byte in found[0].encode("utf-8", "surrogatepass"))


def _swap(char: str) -> str:
    return chr(ord(char) ^ _PUA)


def _swap_ends(name: str) -> str:
    """The swap of a dot or space at the end with its private form: its own inverse."""
    return name[:-1] + _swap(name[-1]) if name[-1] in ". \uf02e\uf020" else name


def _swap_device(name: str) -> str:
    """The swap of a device name's first letter with its private form: its own inverse."""
    first = name[0]
    plain = _swap(first) if "\uf041" <= first <= "\uf07a" else first
    return _swap(first) + name[1:] if _DEVICE.fullmatch(plain + name[1:]) else name


def _check(name: bytes) -> None:
    if not name or b"\0" in name or b"/" in name:
        raise Refused(Errno.ENOENT, "a name is not empty and has no NUL and no slash")
    if name in {b".", b".."}:
        raise Refused(Errno.EINVAL, "dot and dot-dot are not names")


def host_name(name: bytes) -> str:
    """The host's name of a client's name, to look it up.

    Raises Refused: ENOENT (empty, NUL, ``/``), EINVAL (``.``, ``..``), ENAMETOOLONG (over 255
    UTF-16 units).
    """
    if _PLAIN.fullmatch(name) and len(name) <= MAX_UNITS:
        return name.decode("ascii")
    _check(name)
    if len(name) > 3 * MAX_UNITS:  # no UTF-16 unit takes more than three bytes
        raise Refused(Errno.ENAMETOOLONG)
    text = _join_wtf8(name.decode("utf-8", "surrogateescape").translate(_TO_HOST))
    text = _swap_device(_swap_ends(text))
    if len(units(text)) > 2 * MAX_UNITS:
        raise Refused(Errno.ENAMETOOLONG)
    return text


def new_name(name: bytes) -> str:
    """As :func:`host_name`, for a name about to be made: EINVAL for what Win32 programs would
    misread.
    """
    text = host_name(name)
    if text[-1] in ". " or _DEVICE.fullmatch(text):
        raise Refused(Errno.EINVAL, "this spelling stands for a name that Windows programs cannot use")
    return text


def client_name(name: str) -> bytes | None:
    """The client's name of a host's name; None if no client name leads to it."""
    if name.isascii() and _PLAIN.fullmatch(raw := name.encode("ascii")):
        return raw
    if not name:
        return None
    text = _swap_ends(_swap_device(name)).translate(_TO_CLIENT)
    answer = _SURROGATE.sub(_surrogate_bytes, text).encode("utf-8", "surrogateescape")
    try:
        return answer if host_name(answer) == name else None
    except Refused:
        return None


def stream_name(attribute: bytes) -> str:
    """The stream that keeps an extended attribute.

    As for files, and more: capitals go to U+F041-U+F05A and every byte above 0x7f to U+DC00 + byte,
    so that attributes which differ only in case are different streams, and no spelling of an
    attribute reaches the stream of another. ``user.virtfs.uid`` stays as it is, as the hypervisor's
    Windows patches name it. Raises Refused: EINVAL (empty or NUL), ERANGE (over 255 units, as
    setxattr(2)).
    """
    if not attribute or b"\0" in attribute:
        raise Refused(Errno.EINVAL, "an attribute's name is not empty and has no NUL")
    if len(attribute) > MAX_UNITS:
        raise Refused(Errno.ERANGE)
    return attribute.decode("ascii", "surrogateescape").translate(_TO_STREAM)


def attribute_name(stream: str) -> bytes | None:
    """The extended attribute that a stream keeps; None for a stream that is not one
    (``Zone.Identifier``).
    """
    try:
        answer = stream.translate(_TO_ATTRIBUTE).encode("ascii", "surrogateescape")
        return answer if answer and stream_name(answer) == stream else None
    except (UnicodeEncodeError, Refused):
        return None


def looks_short(name: bytes) -> bool:
    """True for what may be an 8.3 alias (``PROGRA~1``): a second spelling of another name, to be
    looked at closely.
    """
    return b"~" in name and _SHORT.fullmatch(name) is not None


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).upper().casefold())


def _plain(name: bytes) -> str:
    """What is left of a name when case, width, accents and invisible code points are taken for
    nothing.
    """
    text = name.decode("utf-8", "replace")
    text = "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Mn", "Cc"})
    return _fold(text).replace("\u0131", "i")


def folds_to(name: bytes, reserved: bytes) -> bool:
    """Whether the host could take ``name`` for ``reserved`` (ASCII).

    Wider than NTFS's own table on purpose: dotless i, long s, the Kelvin sign, full-width letters,
    ignorable code points and dots and spaces at the end all count, so that a volume formatted by
    another system with another table gives no way round.
    """
    return name == reserved or _plain(name).rstrip(". ") == _fold(reserved.decode("ascii"))


def folds_below(name: bytes, reserved: bytes) -> bool:
    """Whether the host could take ``name`` for one that begins with ``reserved`` (ASCII, in small
    letters).
    """
    if name.isascii():
        return name[: len(reserved)].lower() == reserved
    return _plain(name).startswith(reserved.decode("ascii"))
