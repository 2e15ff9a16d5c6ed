"""The mode strings of ``open``."""

import pytest

from ninep.client.opening import flags_of, readable, writable
from ninep.linux import O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY


@pytest.mark.parametrize(
    ("mode", "flags"),
    [
        ("rb", O_RDONLY),
        ("br", O_RDONLY),
        ("r+b", O_RDWR),
        ("rb+", O_RDWR),
        ("wb", O_WRONLY | O_CREAT | O_TRUNC),
        ("w+b", O_RDWR | O_CREAT | O_TRUNC),
        ("ab", O_WRONLY | O_CREAT | O_APPEND),
        ("xb", O_WRONLY | O_CREAT | O_EXCL),
        (O_RDWR | O_TRUNC, O_RDWR | O_TRUNC),
    ],
)
def test_modes(mode: str | int, flags: int) -> None:
    assert flags_of(mode) == flags


@pytest.mark.parametrize("mode", ["", "b", "U", "rwb", "+rb", "qb", "rbb", "r+b+", "w+"])
def test_modes_that_do_not_exist(mode: str) -> None:
    with pytest.raises(ValueError, match="mode"):
        flags_of(mode)


def test_text_is_not_for_files_of_a_server() -> None:
    with pytest.raises(ValueError, match="use 'rb'"):
        flags_of("r")


@pytest.mark.parametrize(
    ("flags", "may"), [(O_RDONLY, (True, False)), (O_WRONLY, (False, True)), (O_RDWR, (True, True))]
)
def test_access(flags: int, may: tuple[bool, bool]) -> None:
    assert (readable(flags), writable(flags)) == may
