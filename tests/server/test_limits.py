"""The table of limits: read from text, shared out among processes, fitted to the
handles there are.
"""

import pytest

from ninep.options import show_amount
from ninep.server.limits import ROWS, BadLimit, Limits, parse_limit


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("fids=10", "fids", 10),
        ("xattr-bytes=2M", "xattr_bytes", 2 << 20),
        ("idle=1.5", "idle", 1.5),
        ("locks=1k", "locks", 1024),
    ],
)
def test_a_limit_is_read_from_its_text(text: str, field: str, value: float) -> None:
    assert parse_limit(text) == (field, value)
    assert type(parse_limit(text)[1]) is type(value)


@pytest.mark.parametrize("text", ["", "fids", "fids=", "fids=-1", "fids=1T", "nothing=1", "fids=1e9"])
def test_what_is_no_limit_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadLimit, match=r"."):
        parse_limit(text)


@pytest.mark.parametrize("name", ROWS)
def test_a_limit_that_no_client_could_be_served_with_is_refused(name: str) -> None:
    row = ROWS[name]
    low = row.metadata["low"]
    Limits(**{row.name: low})
    with pytest.raises(BadLimit, match=f"{name}="):
        Limits(**{row.name: low - 1})


def test_processes_share_what_all_connections_have_together() -> None:
    one, each = Limits(), Limits().share(4)
    assert (each.all_fids, each.connections, each.peer_connections) == (
        one.all_fids // 4,
        one.connections // 4,
        one.peer_connections // 4,
    )
    assert (each.fids, each.msize, each.in_flight, each.idle) == (one.fids, one.msize, one.in_flight, one.idle)
    assert Limits(connections=2).share(5).connections == 1


def test_few_handles_mean_few_connections_and_open_files() -> None:
    fitted = Limits().fit(1024)
    assert (fitted.connections, fitted.all_open_files) == (256, 512)
    assert Limits(connections=3).fit(1 << 20) == Limits(connections=3)


@pytest.mark.parametrize(
    ("amount", "shown"), [(512, "512"), (1024, "1K"), (1536, "1536"), (64 << 20, "64M"), (0.5, "0.5"), (0, "0")]
)
def test_amounts_are_shown_as_they_are_written(amount: float, shown: str) -> None:
    assert show_amount(amount) == shown
