"""One contract for the Windows host, run on whatever is there: fakes of several kinds everywhere,
and the system itself on Windows (real, or Wine).

``NINEP_WINDOWS_DIR`` names the folder for the tests on the system; by default it is a temporary
one. Under Wine what is known to be different is listed in ``known_wine``, and must still be so.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.host.windows.box import FAKES, Box, fake_box, system_box
from tests.host.windows.known_wine import DIFFERENCES, SLOW, names_of, wine_kind


@pytest.fixture(params=[*FAKES, *(["system"] if sys.platform == "win32" else [])])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    """Each kind of system in turn."""
    with system_box(tmp_path) if request.param == "system" else fake_box(request.param) as box:
        yield box


@pytest.fixture(params=["ntfs"])
def ntfs(request: pytest.FixtureRequest) -> Iterator[Box]:
    """The fake of NTFS alone, for what must be arranged between two calls."""
    with fake_box(request.param) as box:
        yield box


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Known differences of Wine must fail as expected: one that works again is to be struck off the
    list.
    """
    kind = wine_kind()
    for item in items:
        if "[system" not in item.name and "::TestSystem" not in item.nodeid:
            continue
        names = names_of(item.nodeid)
        if kind and names & SLOW:
            item.add_marker(pytest.mark.skip(reason="takes minutes under Wine"))
        for difference in DIFFERENCES:
            if names & difference.tests and kind in difference.on:
                item.add_marker(pytest.mark.xfail(reason=f"Wine: {difference.reason}", strict=difference.always))
