"""The table of exports, and what it is asked."""

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.server.exports import Export, Exports


def exports(*names: str) -> Exports:
    return Exports([Export(name, MemoryDriver()) for name in names])


def found(table: Exports, aname: bytes) -> str | None:
    """The name of the export that an aname leads to."""
    export = table.find(aname)
    return None if export is None else export.name


class TestNames:
    @pytest.mark.parametrize("names", [("a", "a"), ("a", "/a/"), ("", "/")], ids=repr)
    def test_twice(self, names: tuple[str, str]) -> None:
        with pytest.raises(ValueError, match="two exports"):
            exports(*names)

    def test_none(self) -> None:
        with pytest.raises(ValueError, match="nothing to export"):
            exports()

    def test_bytes_that_are_no_utf_8(self) -> None:
        # As the command line brings them in.
        assert found(exports("a\udcff", "b"), b"a\xff") == "a\udcff"


class TestFind:
    @pytest.mark.parametrize("aname", [b"", b"/", b"///"])
    def test_nothing_is_the_default(self, aname: bytes) -> None:
        assert found(exports("", "a"), aname) == ""
        assert found(exports("only"), aname) == "only"
        assert found(exports("a", "b"), aname) is None

    @pytest.mark.parametrize("aname", [b"a/..", b"..", b"a/b/..", b"A", b"a\0", b" a"])
    def test_a_name_is_compared_and_never_followed(self, aname: bytes) -> None:
        assert found(exports("", "a", "a/b"), aname) is None


def test_closing_closes_the_drivers() -> None:
    closed = []

    class Driver(MemoryDriver):
        def close(self) -> None:
            closed.append(self)

    drivers = [Driver(), Driver()]
    Exports([Export(str(i), driver) for i, driver in enumerate(drivers)]).close()
    assert closed == drivers


class TestReplace:
    def test_every_view_has_the_new_ones_and_what_is_left_out_is_told(self) -> None:
        table = exports("a", "b")
        a, b = table
        view = table.preferring("b")
        other = Export("b", MemoryDriver())
        assert table.replace([a, other]) == [b]
        assert table.find(b"b") is other
        assert view.find(b"") is other
        table.replace([a])
        assert view.find(b"") is None
        assert table.find(b"") is a

    def test_what_cannot_be_served_together_changes_nothing(self) -> None:
        table = exports("a", "b")
        before = list(table)
        for wrong in ([], [before[0], before[0]]):
            with pytest.raises(ValueError, match=r"two exports|nothing to export"):
                table.replace(wrong)
        assert list(table) == before
