"""Which of several sources holds, for every option that there is: the command line over the export's own
table over the file over what it includes, of that the later over the earlier, and all over the default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ninep.app.config import MessageOptions, ServerConfig
from ninep.app.exports import export_rows
from ninep.options import FLAG, Row, rows

SERVER = {row.key: row for row in rows(ServerConfig)}
OF_EXPORTS = {row.key: row for row in export_rows()}
ROWS = {row.key: row for row in (*OF_EXPORTS.values(), *SERVER.values(), *rows(MessageOptions))}
WORDS: dict[str, tuple[str, str]] = {
    "security-model": ("none", "mapped-xattr"),
    "allow": ("uid:1", "uid:2"),
    "cert-user": ("a=1:1", "b=2:2"),
    "throttle": ("bps-read=1M", "bps-read=2M"),
    "throttle-connection": ("iops-total=10", "iops-total=20"),
    "throttle-user": ("iops-total=10", "iops-total=20"),
    "coherence": ("strict", "close-to-open"),
    "s3-endpoint": ("http://127.0.0.1:1", "http://127.0.0.1:2"),
    "anon": ("1:1", "2:2"),
    "map-uids": ("0:1000:10", "0:2000:10"),
    "map-gids": ("0:1000:10", "0:2000:10"),
    "listen": ("unix:/run/a", "unix:/run/b"),
    "metrics": ("127.0.0.1:9001", "127.0.0.1:9002"),
    "control": ("/run/a", "/run/b"),
}
"""Two values of what is neither flag, number, mode nor one of several words."""
WITH: dict[str, dict[str, object]] = {
    "cert-user": {"listen": "tls:127.0.0.1:0,cert=c,key=k,client-ca=ca"},
    "socket-mode": {"listen": "unix:/run/a"},
    "devices": {"security-model": "passthrough"},
    "run-as-user": {"security-model": "passthrough"},
    "fmode": {"security-model": "mapped-xattr"},
    "dmode": {"security-model": "mapped-xattr"},
    "anon": {"squash": "root"},
    "map-uids": {"map-gids": "0:0:9"},
    "map-gids": {"map-uids": "0:0:9"},
    "allow": {"listen": "unix:/run/a"},
    "audit-log": {"audit": "opens"},
    "audit-size": {"audit": "opens", "audit-log": "/x"},
}
"""What an option cannot be without."""
LEVELS = ("default", "earlier.toml", "later.toml", "ninep.toml", "export", "command line")


def values(row: Row) -> tuple[Any, Any]:
    """Two values as a file has them; the second one can be said on the command line, too."""
    schema = row.kind.schema
    if row.kind is FLAG:
        return False, True
    if row.key in WORDS:
        return WORDS[row.key]
    if "enum" in schema:
        return schema["enum"][-1], schema["enum"][0]
    if "pattern" in schema:
        return "600", "640"
    number = schema if "minimum" in schema else schema.get("anyOf", [{}])[0]
    least = max(number["minimum"], 4096 if row.key == "msize" else 1) if "minimum" in number else None
    return ("/a", "/b") if least is None else (least, least + 1)


def target(key: str) -> str:
    """Something that has the option."""
    return "s3://bucket" if key.startswith("s3-") else "mem:" if key in {"capacity", "inodes"} else "/srv"


def toml(table: dict[str, object]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def written(folder: Path, row: Row, said: dict[str, Any]) -> list[str]:
    """Write the files that say what is said; the arguments of the command line."""
    own = {row.key: said["export"]} if "export" in said else {}
    top = (WITH.get(row.key, {}) if said else {}) | ({row.key: said["ninep.toml"]} if "ninep.toml" in said else {})
    for name in ("earlier.toml", "later.toml"):
        (folder / name).write_text(toml({row.key: said[name]} if name in said else {}))
    (folder / "ninep.toml").write_text(
        f'include = ["earlier.toml", "later.toml"]\n{toml(top)}[exports.x]\n{toml({"target": target(row.key), **own})}'
    )
    if "command line" not in said:
        return []
    return [f"--{row.key}"] if row.kind is FLAG else [f"--{row.key}", str(said["command line"])]


def held(lines: list[str], row: Row, level: str) -> tuple[str, str]:
    """The value that is shown, and where it is from. What an export states itself is shown in its table."""
    top, _, below = "\n".join(lines).partition("\n[exports.x]\n")
    own = row.key in OF_EXPORTS and (row.key not in SERVER or level == "export")
    found = re.search(rf"^{row.key} = (.*?) +# (.*)$", below if own else top, re.MULTILINE)
    return (found[1], found[2]) if found else ("", "default")


@pytest.mark.parametrize("key", ROWS)
def test_each_source_holds_over_those_below_it(key: str, ninep: Callable[..., Any], tmp_path: Path) -> None:
    row = ROWS[key]
    levels = [level for level in LEVELS if level != "export" or key in OF_EXPORTS]
    if key in SERVER and key in OF_EXPORTS:
        levels.remove("command line")  # it is the server's there: the export keeps its own
    pair = values(row)
    for count in range(1, len(levels) + 1):
        # the highest has the second value, and those below it the other one in turn
        said = {level: pair[(at - count) % 2] for at, level in enumerate(levels[:count])}
        said.pop("default")
        arguments = written(tmp_path, row, said)
        done = ninep("config", "show", "--config", tmp_path / "ninep.toml", *arguments)
        assert done.status == 0, done.err
        level = levels[count - 1]
        value, origin = held(done.lines, row, level)
        file = tmp_path / ("ninep.toml" if level == "export" else level)
        assert re.sub(r":\d+$", "", origin) == (str(file) if "." in file.name else level)
        if level != "default":
            assert json.dumps(said[level]) in {value, value.strip("[]")}


def test_there_are_options_of_each_kind() -> None:
    assert {row.kind is FLAG for row in ROWS.values()} == {True, False}
    assert len(ROWS) > 50
    assert not set(WORDS | WITH) - set(ROWS)


def test_the_users_file_is_found_before_the_machines_and_neither_with_something_to_serve(
    ninep: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is named is served, and nothing else."""
    user, machine, named = (tmp_path / name for name in ("user.toml", "machine.toml", "named.toml"))
    for path in (user, machine, named):
        path.write_text(f"[exports.{path.stem}]\ntarget = 'mem:'\n")
    monkeypatch.setattr("ninep.app.settings.config_paths", lambda: [str(user), str(machine)])

    def exports(*words: object) -> list[str]:
        return re.findall(r"\[exports\.(\S+)\]", ninep("config", "show", *words).out.decode())

    assert exports() == ["user"]
    assert exports("--config", named) == ["named"]
    assert exports("/srv") == ['""']
    assert exports("-e", "x=/srv") == ["x"]
    user.unlink()
    assert exports() == ["machine"]
