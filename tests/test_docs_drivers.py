"""The examples of docs/drivers.md are run as they stand there."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from ninep.client.blocking import connect
from ninep.server.exports import Export
from ninep.server.server import Server
from ninep.testing.suite import DriverSuite, ReadOnlySuite

PAGE = Path(__file__).parent.parent / "docs" / "drivers.md"


def run_page() -> dict[str, Any]:
    """All Python of the page, one block after the other, as one module."""
    text = PAGE.read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "docs.drivers"}
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(PAGE), "exec"), namespace)
    return namespace


PAGES = run_page()


class TestZip(PAGES["TestZip"]):  # type: ignore[misc]
    """The archive of the page passes the suite, as the page says."""

    def test_is_the_suite(self) -> None:
        assert isinstance(self, ReadOnlySuite)


def test_the_writable_example_is_a_suite_too() -> None:
    assert issubclass(PAGES["TestMemory"], DriverSuite)


def test_folders_that_an_archive_only_implies(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with PAGES["zipfile"].ZipFile(path, "w") as archive:
        archive.writestr("a/b/c", "deep")
        archive.writestr("a/top", "")
        archive.mkdir("empty")
    driver = PAGES["ZipDriver"](path)
    root = driver.attach(PAGES["User"]())
    node = root.walk(b"a").walk(b"b").walk(b"c")
    assert node.open(0).read(0, 100) == b"deep"
    assert (node.name, node.parent().name, node.parent().parent().parent().qid) == (b"c", b"b", root.qid)
    assert [entry.name for entry in root.opendir().read(0, 1000)] == [b".", b"..", b"a", b"empty"]
    driver.close()


def serve(export: Export, use: Any) -> None:
    """Serve something on a free port, and use it from a thread."""

    async def main() -> None:
        async with Server([export]) as server:
            address = await server.listen("127.0.0.1:0")
            await asyncio.to_thread(use, str(address))

    asyncio.run(main())


def test_the_values_are_served() -> None:
    def use(address: str) -> None:
        with connect(address) as client:
            assert client.read_bytes("/motd") == b"hello\n"
            assert client.read_bytes("/sensors/door") == b"closed\n"
            assert client.read_bytes("/uptime").strip().isdigit()
            client.write_bytes("/speed", b"12\n")
            assert client.read_bytes("/speed") == b"12\n"
            with pytest.raises(OSError, match="argument"):
                client.write_bytes("/speed", b"fast\n")
            assert client.read_bytes("/speed") == b"12\n"

    serve(PAGES["exports"][0], use)


def test_the_layers_of_the_page() -> None:
    scratch, frozen = PAGES["exports"][1:]
    root = scratch.attach(PAGES["User"]())
    root.mkdir(b"d", 0o755, 0, 0)
    assert root.walk(b"d").getattr(0).uid == 0
    assert root.walk(b"d").inner.getattr(0).uid == 100_000
    with pytest.raises(PAGES["Refused"], match="EROFS"):
        frozen.attach(PAGES["User"]()).mkdir(b"d", 0o755, 0, 0)
