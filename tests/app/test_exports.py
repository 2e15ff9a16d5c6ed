"""Exports from options: what can be meant is taken, what cannot is one sentence, nothing is opened
before.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ninep.app.exports import ExportConfig, build, export_rows, merged, parse_export
from ninep.drivers import find_driver
from ninep.drivers.local.writeout import WriteoutNode
from ninep.layers.id_map import IdMap, Ranges, Squash, peer_ids
from ninep.layers.read_only import read_only
from ninep.node import User
from ninep.options import BadOption
from ninep.server.throttle import Limit, Rates


@pytest.mark.parametrize(
    ("target", "scheme", "rest"),
    [
        ("/srv", "file", "/srv"),
        ("srv", "file", "srv"),
        ("mem:", "mem", ""),
        ("C:\\src", "file", "C:\\src"),
        ("file:///srv", "file", "/srv"),
        ("file:/srv", "file", "/srv"),
        ("a:folder", "file", "a:folder"),
        ("unknown:x", "file", "unknown:x"),
    ],
)
def test_the_scheme_says_which_driver(target: str, scheme: str, rest: str) -> None:
    assert find_driver(target) == (scheme, rest)


def test_values_are_read_as_people_write_them() -> None:
    config = ExportConfig("/srv", security_model="mapped", fmode="640", read_only="yes", anon="5")
    assert (config.model, config.get("fmode"), config.get("read_only"), config.get("anon")) == (
        "mapped-xattr",
        0o640,
        True,
        (5, 5),
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fmod": 1}, "'fmod' is not an option"),
        ({"fmode": "9"}, "fmode: '9' is not a mode"),
        ({"security_model": "ntfs"}, "security-model: 'ntfs' is not one of mapped-owner, mapped-xattr"),
        (
            {"security_model": "passthrough", "fmode": 0o640},
            "fmode does not apply to the security model passthrough: it is an option of mapped-owner,",
        ),
        (
            {"security_model": "mapped-file", "devices": True},
            "devices does not apply to the security model mapped-file: it is an option of passthrough, none",
        ),
        ({"capacity": "1M"}, "capacity does not apply to /srv (a folder of this computer)"),
        ({"squash": "everybody"}, "squash: 'everybody' is not one of none, root, all, peer"),
        ({"map_uids": "0:1:1"}, "map-uids needs map-gids"),
        ({"run_as_user": True}, "run-as-user needs the security model passthrough: auto keeps owners itself"),
        (
            {"run_as_user": True, "security_model": "passthrough", "map_uids": "0:1:1", "map_gids": "0:1:1"},
            "run-as-user and map-uids exclude each other",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(BadOption) as error:
        ExportConfig("/srv", **options)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize("option", ["security_model", "fmode", "multidevs"])
def test_memory_has_no_options_of_folders(option: str) -> None:
    value = {"security_model": "none", "fmode": 0o600, "multidevs": "remap"}[option]
    with pytest.raises(BadOption, match=r"does not apply to mem: \(an empty folder in memory"):
        ExportConfig("mem:", **{option: value})


def test_layers_stand_in_their_order() -> None:
    config = ExportConfig("/srv", read_only=True, squash="root", map_uids="0:1000:1", map_gids="0:1000:1")
    squash, id_map, outermost = config.layers()
    assert isinstance(squash, Squash)
    assert isinstance(id_map, IdMap)
    assert outermost is read_only
    assert ExportConfig("/srv", squash="peer").layers() == [peer_ids]
    assert ExportConfig("/srv").layers() == []


def test_an_export_is_opened(tmp_path: Path) -> None:
    export = build(ExportConfig(str(tmp_path), "x", security_model="none", read_only=True))
    try:
        assert export.name == "x"
        assert export.driver.security_model == "none"  # type: ignore[attr-defined]
        with pytest.raises(OSError, match="EROFS"):
            export.attach(User()).mkdir(b"d", 0o700, 0, 0)
    finally:
        export.driver.close()


def test_a_folder_in_memory_is_opened() -> None:
    export = build(ExportConfig("mem:", capacity="1M", inodes=16))
    root = export.attach(User())
    root.mkdir(b"d", 0o700, 0, 0)
    with pytest.raises(BadOption, match="the memory driver takes no path"):
        build(ExportConfig("mem:x"))


class TestMerged:
    def test_an_option_of_all_holds_where_it_can(self) -> None:
        one, other = merged(
            [("a", "/a", {}), ("b", "/b", {"security_model": "passthrough"})], {"fmode": 0o640, "read_only": True}
        )
        assert one.given() == {"fmode": 0o640, "read_only": True}
        assert other.given() == {"security_model": "passthrough", "read_only": True}

    def test_what_an_export_says_itself_counts(self) -> None:
        (one,) = merged([("a", "/a", {"read_only": False})], {"read_only": True})
        assert one.get("read_only") is False

    def test_an_option_that_no_export_can_have_is_refused(self) -> None:
        with pytest.raises(BadOption, match="fmode does not apply to the security model none"):
            merged([("a", "/a", {})], {"security_model": "none", "fmode": 0o640})
        with pytest.raises(BadOption, match="security-model does not apply to mem:"):
            merged([("a", "mem:", {})], {"security_model": "none"})

    def test_a_model_for_all_is_no_model_for_memory(self) -> None:
        one, other = merged([("a", "/a", {}), ("m", "mem:", {})], {"security_model": "none"})
        assert (one.model, other.model) == ("none", "")


def test_ranges_are_values_too() -> None:
    ranges = Ranges.parse("0:100000:65536")
    assert ExportConfig("/srv", map_uids=ranges, map_gids=ranges).get("map_uids") is ranges


def test_an_option_has_one_row() -> None:
    names = [row.name for row in export_rows()]
    assert len(names) == len(set(names))
    assert all(row.help.endswith((".", ")")) and row.group for row in export_rows())


def test_limits_are_those_of_a_process_or_its_part_of_them() -> None:
    config = ExportConfig(
        "mem:", throttle="iops-total=100:200", throttle_connection=["bps-read=1M"], throttle_user="iops-read=8"
    )
    assert config.rates() == Rates(
        (Limit("iops-total", 100, 200),), (Limit("bps-read", 1 << 20),), (Limit("iops-read", 8),)
    )
    assert config.rates(4) == Rates(
        (Limit("iops-total", 25, 50),), (Limit("bps-read", 1 << 20),), (Limit("iops-read", 2),)
    )
    assert build(config, 4).throttle.rates == config.rates(4)
    assert not any(ExportConfig("mem:").rates())


def test_limits_are_words_of_an_export() -> None:
    name, target, options = parse_export("a=mem:,throttle=bps-read=1M,throttle=iops-total=5")
    assert ExportConfig(target, name, **options).rates().export == (Limit("bps-read", 1 << 20), Limit("iops-total", 5))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="sync_file_range(2) is Linux's")
def test_writeout_is_a_word_of_an_export(tmp_path: Path) -> None:
    name, target, options = parse_export(f"a={tmp_path},writeout=immediate")
    export = build(ExportConfig(target, name, **options))
    root = export.attach(User())
    assert isinstance(root, WriteoutNode)
    root.release()
    export.driver.close()
    with pytest.raises(BadOption, match="writeout"):
        ExportConfig(str(tmp_path), writeout="later")
