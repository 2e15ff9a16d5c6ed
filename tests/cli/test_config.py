"""``ninep config``: what it prints, and with what status."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ninep.app.config_file import EXPORTS, LIMIT_TABLE, top_rows
from ninep.app.config_schema import file_schema
from ninep.app.exports import export_rows
from ninep.app.settings import Sources

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
EXAMPLES = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
BROKEN = 'workers = 0\nlisten = "a:b"\n[exports.x]\ntarget = "mem:"\n'
GOOD = 'workers = 2\nlisten = "127.0.0.1:0"\n[exports.x]\ntarget = "mem:"\n'


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is found, if it is written."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "ninep" / "ninep.toml"
    path.parent.mkdir()
    return path


class TestCheck:
    def test_all_mistakes_with_file_and_line(self, ninep: Callable[..., Any], tmp_path: Path) -> None:
        path = tmp_path / "n.toml"
        path.write_text(BROKEN)
        done = ninep("config", "check", path)
        assert (done.status, done.err) == (1, "")
        assert done.lines == [
            f"{path}:1: workers: 0 is out of range (1 to 256)",
            f"{path}:2: listen: \"a:b\": 'b' is not a port (0 to 65535)",
        ]

    def test_nothing_is_said_of_a_good_one(self, ninep: Callable[..., Any], found: Path) -> None:
        found.write_text(GOOD)
        assert ninep("config", "check") == (0, b"", "")

    def test_that_there_is_none(self, ninep: Callable[..., Any], found: Path) -> None:
        done = ninep("config", "check")
        assert (done.status, done.out) == (1, b"")
        assert done.err == f"ninep config check: there is no configuration file: {found}, /etc/ninep/ninep.toml\n"

    def test_a_wrong_command_line(self, ninep: Callable[..., Any], found: Path) -> None:
        assert ninep("config", "check", found, found).status == 2


class TestShow:
    def test_where_each_value_is_from(self, ninep: Callable[..., Any], found: Path) -> None:
        found.write_text(GOOD)
        done = ninep("config", "show", "--limit", "fids=5")
        assert done.status == 0
        shown = {line.split(" = ")[0]: re.split(" += | +# ", line)[1:] for line in done.lines if " = " in line}
        assert shown["workers"] == ["2", f"{found}:1"]
        assert shown["trace"] == ["false", "default"]
        assert shown["fids"] == ["5", "command line"]
        assert shown["target"] == ['"mem:"', f"{found}:4"]

    @pytest.mark.parametrize(
        "options",
        [
            (),
            ("/srv", "--socket-mode", "660", "--listen", "unix:/run/s", "--msize", "64K"),
            ("-e", 'a"b=/x,ro,allow=uid:5,allow=any,map-uids=0:1000:10,map-gids=0:1000:10', "--workers", "3"),
            ("--allow", "loopback", "--allow", "10.0.0.0/8", "--metrics", "9100", "--limit", "idle=0.5"),
            ("-e", "v=/x,model=none", "--listen", "vhost-user:/run/v,tag=v", "--verbose"),
        ],
    )
    def test_what_is_shown_is_a_file_that_means_the_same(
        self, ninep: Callable[..., Any], found: Path, tmp_path: Path, options: tuple[str, ...]
    ) -> None:
        found.write_text(GOOD)
        first = ninep("config", "show", "--config", found, *options)
        assert first.status == 0, first.err
        copy = tmp_path / "copy.toml"
        copy.write_bytes(first.out)
        again = ninep("config", "show", "--config", copy)
        without_origin = [[re.sub(" +#.*", "", line) for line in done.lines] for done in (first, again)]
        assert without_origin[0] == without_origin[1]
        assert ninep("config", "check", copy).status == 0

    def test_a_broken_file_is_status_1_and_a_wrong_command_line_2(self, ninep: Callable[..., Any], found: Path) -> None:
        found.write_text(BROKEN)
        done = ninep("config", "show")
        assert (done.status, done.out) == (1, b"")
        assert done.err.startswith(f"ninep config show: {found}:1: workers: ")
        assert ninep("config", "show", "/srv", "--listen", "0.0.0.0:0").status == 2


class TestSchema:
    def test_it_is_printed(self, ninep: Callable[..., Any]) -> None:
        done = ninep("config", "schema")
        assert json.loads(done.out) == file_schema()

    def test_it_has_every_row(self) -> None:
        properties = file_schema()["properties"]
        assert set(properties) == {*top_rows(), "include", LIMIT_TABLE, EXPORTS}
        assert set(properties[EXPORTS]["additionalProperties"]["properties"]) == {
            "target",
            *(row.key for row in export_rows()),
        }

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_it_fits_every_documented_example(self, example: str) -> None:
        assert not list(wrong(tomllib.loads(example), file_schema()))

    def test_it_fits_what_is_shown(self, ninep: Callable[..., Any]) -> None:
        shown = ninep("config", "show", "/srv", "-e", "m=mem:", "--metrics", "9100").out.decode()
        assert not list(wrong(tomllib.loads(shown), file_schema()))

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("worker = 2", "worker"),
            ("workers = 0", "workers"),
            ("workers = true", "workers"),
            ("verbose = 1", "verbose"),
            ("fmode = 416", "fmode"),
            ("listen = 5", "listen"),
            ("[limits]\nfids = 0", "limits.fids"),
            ("[limits]\nfid = 0", "limits.fid"),
            ('[exports.x]\nread-only = "no"', "exports.x.target"),
            ('[exports.x]\ntarget = ""', "exports.x.target"),
            ('[exports.x]\ntarget = "a"\nmodel = "none"', "exports.x.model"),
        ],
    )
    def test_it_refuses_what_is_wrong(self, text: str, place: str) -> None:
        assert place in list(wrong(tomllib.loads(text), file_schema()))

    def test_sources_read_what_it_allows(self, tmp_path: Path) -> None:
        path = tmp_path / "n.toml"
        path.write_text('[limits]\nfids = "2 KiB"\n[exports.x]\ntarget = "mem:"')
        assert Sources(file=str(path)).settings().limits.fids == 2048


TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}


def wrong(value: Any, schema: Any, place: str = "") -> Any:
    """The places that do not fit, by the words of JSON schema that are used here."""
    known = {"$schema", "title", "description", "default", "type", "anyOf", "enum", "pattern", "minLength", "minimum"}
    assert set(schema) <= known | {"maximum", "properties", "additionalProperties", "required", "items"}
    kind = schema.get("type")
    fits = kind is None or (isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)))
    if (
        not fits
        or ("anyOf" in schema and all(list(wrong(value, one, place)) for one in schema["anyOf"]))
        or ("enum" in schema and value not in schema["enum"])
        or ("pattern" in schema and not re.search(schema["pattern"], value))
        or ("minLength" in schema and len(value) < schema["minLength"])
        or ("minimum" in schema and value < schema["minimum"])
        or ("maximum" in schema and value > schema["maximum"])
    ):
        yield place
        return
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{place}.{key}".lstrip(".")
    if kind == "object":
        for key, one in value.items():
            below = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            here = f"{place}.{key}".lstrip(".")
            if below is False:
                yield here
            elif isinstance(below, dict):
                yield from wrong(one, below, here)
    if kind == "array":
        for one in value:
            yield from wrong(one, schema["items"], place)
