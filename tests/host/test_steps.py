"""A stat below a directory, put together of calls that every host has."""

from __future__ import annotations

from typing import Any

import pytest

from ninep.errors import Refused
from ninep.host._steps import stat_below
from ninep.linux import Errno


class Host:
    """Directories with one entry each; ``closed`` are the handles that were given back."""

    def __init__(self, error: Errno | None = None) -> None:
        self.error = error
        self.closed: list[int] = []

    def open_path(self, dir: int, name: bytes) -> int:
        if name == b"gone":
            raise Refused(Errno.ENOENT)
        return dir + 1

    def stat_at(self, dir: int, name: bytes) -> Any:
        if self.error is not None:
            raise Refused(self.error)
        return dir, name

    def stat_below(self, folder: bytes) -> Any:
        return stat_below(self.open_path, self.stat_at, self.closed.append, 7, folder, b"entry")  # type: ignore[arg-type]


def test_a_path_handle_in_between_is_closed() -> None:
    host = Host()
    assert host.stat_below(b"folder") == (8, b"entry")
    assert host.closed == [8]


@pytest.mark.parametrize("error", [Errno.ENOENT, Errno.ENOTDIR, Errno.ENAMETOOLONG, Errno.EXDEV])
def test_what_is_not_there_is_none(error: Errno) -> None:
    host = Host(error)
    assert host.stat_below(b"folder") is None
    assert host.closed == [8]
    assert Host().stat_below(b"gone") is None


def test_other_errors_are_raised() -> None:
    host = Host(Errno.EACCES)
    with pytest.raises(Refused):
        host.stat_below(b"folder")
    assert host.closed == [8]
