"""The line of each key and value of a TOML document, which ``tomllib`` does not tell.

==========================  =============  ===========================  ================================
what could tell it          lines of keys  lines of values in an array  what it costs
==========================  =============  ===========================  ================================
tomlkit 0.13                no             no                           a dependency; it is for writing
tree-sitter-toml            yes            yes                          two dependencies with native code
a parser of our own         yes            yes                          all of TOML's rules once more
a scan after ``tomllib``    yes            yes                          this module
==========================  =============  ===========================  ================================

The document is known to be valid when it is scanned, so that this knows where strings, comments and
brackets begin and end, and no other rule of the language (https://toml.io/en/v1.0.0).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

Path = tuple[str | int, ...]
"""Keys and, in arrays, indexes, from the top of the document."""

_TOKEN: Final = re.compile(
    r'''(?P<string>"""(?:\\.|[^\\])*?"""{0,2}|\'\'\'.*?\'\'\'\'{0,2}|"(?:\\.|[^"\\])*"|'[^']*')'''
    r"""|(?P<skip>[ \t\r]+|\#[^\n]*)|(?P<newline>\n)|(?P<mark>[\[\]{},=.])|(?P<bare>[^\s\[\]{},=.#"']+)""",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_LETTERS: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}
_ENDS: Final = {",", "]", "}", "\n"}


class _Token(NamedTuple):
    text: str
    line: int


def lines_of(text: str) -> dict[Path, int]:
    """The line, counted from 1, of each table, key, and element of an array, in a valid document."""
    return _Scan(text).document()


def _tokens(text: str) -> list[_Token]:
    found = []
    line = 1
    for token in _TOKEN.finditer(text):
        if token.lastgroup != "skip":
            found.append(_Token(token[0], line))
        line += token[0].count("\n")
    return found


def _key(text: str) -> str:
    """A key as it is meant: bare, or a string of one line."""
    if text[:1] == '"':
        return _ESCAPE.sub(_unescaped, text[1:-1])
    return text[1:-1] if text[:1] == "'" else text


def _unescaped(found: re.Match[str]) -> str:
    number = found[1] or found[2]
    return chr(int(number, 16)) if number else _LETTERS.get(found[3], found[3])


class _Scan:
    """One pass over the tokens of a document."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0
        self._lines: dict[Path, int] = {}
        self._last: dict[Path, int] = {}
        """Of each array of tables the index of the last one."""

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self._next < len(self._tokens):
            token = self._tokens[self._next]
            if token.text == "\n":
                self._next += 1
            elif token.text == "[":
                table = self._header(token.line)
            else:
                self._setting(table)
        return self._lines

    def _see(self) -> str:
        return self._tokens[self._next].text if self._next < len(self._tokens) else "\n"

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)

    def _header(self, line: int) -> Path:
        self._next += 1
        several = self._see() == "["
        self._next += several
        *above, last = self._keys()
        self._next += 1 + several
        path: Path = ()
        for key in above:
            path = self._inside((*path, key))
        path = (*path, last)
        if several:
            self._last[path] = self._last.get(path, -1) + 1
            path = self._inside(path)
        self._note(path, line)
        return path

    def _inside(self, path: Path) -> Path:
        return (*path, self._last[path]) if path in self._last else path

    def _keys(self) -> list[str]:
        keys = [_key(self._see())]
        self._next += 1
        while self._see() == ".":
            keys.append(_key(self._tokens[self._next + 1].text))
            self._next += 2
        return keys

    def _setting(self, table: Path) -> None:
        line = self._tokens[self._next].line
        path = (*table, *self._keys())
        self._note(path, line)
        self._next += 1  # =
        self._value(path)

    def _value(self, path: Path) -> None:
        self._note(path, self._tokens[self._next].line)
        opened = self._see()
        if opened == "[":
            self._each("]", path, array=True)
        elif opened == "{":
            self._each("}", path, array=False)
        else:
            while self._see() not in _ENDS:  # a time has spaces, a number a point
                self._next += 1

    def _each(self, end: str, path: Path, *, array: bool) -> None:
        """The elements of an array, or the settings of an inline table."""
        self._next += 1
        count = 0
        while self._see() != end:
            if self._see() in {",", "\n"}:
                self._next += 1
            elif array:
                self._value((*path, count))
                count += 1
            else:
                self._setting(path)
        self._next += 1
