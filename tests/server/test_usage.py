"""What a client has, in words for the administrator."""

import pytest

from ninep.linux import O_APPEND, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY
from ninep.server.flow import Reason
from ninep.server.usage import Attached, activity_of, mode_letters, unique


@pytest.mark.parametrize(
    ("flags", "letters"),
    [
        (O_RDONLY, "r"),
        (O_WRONLY | O_TRUNC, "w"),
        (O_RDWR, "rw"),
        (O_WRONLY | O_APPEND, "wa"),
        (O_RDWR | O_APPEND, "rwa"),
    ],
)
def test_flags_in_letters(flags: int, letters: str) -> None:
    assert mode_letters(flags) == letters


def test_users_are_shown_once_in_order() -> None:
    one, two = Attached("data", 1000, b"one"), Attached("data", None, b"two")
    assert unique([two, one, two, one]) == [two, one]


def test_what_a_connection_waits_for() -> None:
    class Running:
        began = 12.5

    found = activity_of(7, [Reason.THROTTLED, Reason.SLICE], [("Tfsync", Running()), ("Tread", object())])
    assert found.requests == 7
    assert found.paused == ["SLICE", "THROTTLED"]
    assert found.in_threads == [("Tfsync", 12.5), ("Tread", 0.0)]
