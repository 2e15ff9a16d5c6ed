"""Whether two directories are one, by the time of their last change."""

import pytest

from ninep.client.overlap import same_time

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (5 * SECOND + 7, 5 * SECOND + 7, True),
        (5 * SECOND + 7, 5 * SECOND + 8, False),
        (5 * SECOND + 7, 5 * SECOND, True),  # 9P2000 has whole seconds
        (5 * SECOND, 5 * SECOND + 7, True),
        (5 * SECOND, 6 * SECOND, False),
    ],
)
def test_times_to_the_second_where_one_has_no_fraction(one: int, other: int, same: bool) -> None:
    assert same_time(one, other) == same
