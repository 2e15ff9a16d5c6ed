"""Modes as chmod(1) reads them: ``644``, ``u+x``, ``go-w``, ``a=rX,u+s``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final

from ninep.linux import S_ISGID, S_ISUID, S_ISVTX
from ninep.options import mode

_OCTAL: Final = mode(0o7777)
_CLAUSE: Final = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION: Final = re.compile(r"([-+=])([rwxXst]*|[ugo])(?![rwxXstugo])")
_SHIFT: Final = {"u": 6, "g": 3, "o": 0}
_BITS: Final = {"r": 4, "w": 2, "x": 1}
_SPECIAL: Final = {"u": S_ISUID, "g": S_ISGID, "o": S_ISVTX}

ModeChange = Callable[[int, bool], int]
"""New permissions from those that there are, and whether the file is a directory."""


def read_mode(text: str) -> ModeChange:
    """A mode of the command line. ``ValueError`` with a sentence."""
    if text[:1].isdigit():
        bits = _OCTAL.read(text)
        return lambda _mode, _directory: bits
    clauses = []
    for part in text.split(","):
        found = _CLAUSE.fullmatch(part)
        actions = _ACTION.findall(found[2]) if found else []
        if found is None or "".join(sign + what for sign, what in actions) != found[2]:
            raise ValueError(f"{text!r} is not a mode: write permission bits in octal, or changes like u+x,go-w")
        clauses.append((found[1], actions))
    umask = os.umask(0o077)
    os.umask(umask)

    def change(mode: int, directory: bool) -> int:
        for who, actions in clauses:
            for sign, what in actions:
                mode = _changed(mode, directory, who, sign, what, 0 if who else umask)
        return mode

    return change


def _changed(mode: int, directory: bool, who: str, sign: str, what: str, umask: int) -> int:
    """One action. Without ``who`` the bits that the umask takes away are left alone."""
    users = "ugo" if not who or "a" in who else who
    asked = 0
    scope = 0
    for user in users:
        asked |= _wanted(mode, directory, what) << _SHIFT[user]
        scope |= 0o7 << _SHIFT[user]
        if user == "o":
            asked |= S_ISVTX if "t" in what else 0
        elif "s" in what:
            asked |= _SPECIAL[user]
        scope |= _SPECIAL[user]
    asked &= ~umask
    if sign == "+":
        return mode | asked
    if sign == "-":
        return mode & ~asked
    if directory:  # as GNU's chmod: SUID and SGID of a directory stay unless they are named
        scope &= ~(S_ISUID | S_ISGID) | asked
    return mode & ~scope | asked


def _wanted(mode: int, directory: bool, what: str) -> int:
    """The three bits of one user."""
    if what in _SHIFT:
        return mode >> _SHIFT[what] & 0o7
    bits = sum(_BITS[letter] for letter in set(what) & _BITS.keys())
    return bits | 1 if "X" in what and (directory or mode & 0o111) else bits
