"""The configuration file: what its keys mean, and one clear line for each mistake."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ninep.app import config_file
from ninep.app.settings import BadConfig, CommandLine, NamedExport, Sources
from ninep.server.access import parse_rule
from ninep.transport import addresses

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file of the folder, with this text; its path."""

    def write(text: str | bytes, name: str = "ninep.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def mistakes(path: Path) -> list[str]:
    """What is wrong with a file, without its folder."""
    with pytest.raises(BadConfig) as caught:
        Sources(file=str(path)).settings()
    return [str(one).replace(f"{path.parent}/", "") for one in caught.value.mistakes]


class TestMeaning:
    def test_every_kind_of_key(self, write: Write) -> None:
        path = write("""
            listen = ["127.0.0.1:0", "unix:/run/s"]
            workers = 3
            allow = "10.0.0.0/8"
            fmode = "640"
            read-only = true
            msize = "64K"
            verbose = true
            [limits]
            fids = "2K"
            idle = 1.5
            [exports.a]
            target = "a"
            read-only = false
            allow = ["uid:5", "any"]
            [exports."b c"]
            target = "mem:"
            capacity = "1M"
        """)
        settings = Sources(file=str(path)).settings()
        assert settings.listen == (addresses.parse("127.0.0.1:0"), addresses.parse("unix:/run/s"))
        assert (settings.workers, settings.verbose, settings.trace) == (3, True, False)
        assert settings.allow == (parse_rule("10.0.0.0/8"),)
        assert (settings.limits.msize, settings.limits.fids, settings.limits.idle) == (65536 + 24, 2048, 1.5)
        a, b = settings.exports
        assert (a.name, a.target) == ("a", str(path.parent / "a"))
        assert (a.get("read_only"), a.get("fmode")) == (False, 0o640)
        assert a.get("allow") == (parse_rule("uid:5"), parse_rule("any"))
        assert (b.name, b.target, b.get("read_only"), b.get("capacity")) == ("b c", "mem:", True, 1 << 20)

    @pytest.mark.parametrize(
        ("target", "served"),
        [
            ("src", "{folder}/src"),
            ("../src", "{folder}/../src"),
            ("/srv", "/srv"),
            ("~/src", "{home}/src"),
            ("mem:", "mem:"),
            ("file:/srv", "file:/srv"),
        ],
    )
    def test_targets_are_relative_to_the_file(self, write: Write, target: str, served: str) -> None:
        path = write(f'[exports.x]\ntarget = "{target}"')
        (export,) = Sources(file=str(path)).settings().exports
        assert export.target == served.format(folder=path.parent, home=Path.home())

    def test_a_file_of_a_windows_editor(self, write: Write) -> None:
        path = write(b'\xef\xbb\xbf[exports.x]\r\ntarget = "mem:"\r\n')
        assert Sources(file=str(path)).settings().exports[0].target == "mem:"

    def test_one_value_stands_for_an_array_of_one(self, write: Write) -> None:
        path = write('listen = "127.0.0.1:0"\n[exports.x]\ntarget = "mem:"')
        assert len(Sources(file=str(path)).settings().listen) == 1


class TestInclude:
    def test_own_keys_come_before_included_ones_and_later_before_earlier(self, write: Write) -> None:
        write("workers = 2\nverbose = true\n[limits]\nfids = 5\nlocks = 5", "one.toml")
        write("workers = 3\n[limits]\nfids = 6", "two.toml")
        path = write('include = ["one.toml", "two.toml"]\n[limits]\nthreads = 2\n[exports.x]\ntarget = "mem:"')
        settings = Sources(file=str(path)).settings()
        assert (settings.workers, settings.verbose) == (3, True)
        assert (settings.limits.fids, settings.limits.locks, settings.limits.threads) == (6, 5, 2)
        path.write_text("workers = 4\n" + path.read_text())
        assert Sources(file=str(path)).settings().workers == 4

    def test_a_pattern_is_all_files_there_are_in_the_order_of_their_names(self, write: Write) -> None:
        path = write('include = ["d/*.toml"]\n[exports.x]\ntarget = "mem:"')
        assert len(Sources(file=str(path)).settings().exports) == 1
        for name in ("b", "a", "c"):
            write(f'workers = {ord(name) - 96}\n[exports.{name}]\ntarget = "{name}"', f"d/{name}.toml")
        settings = Sources(file=str(path)).settings()
        assert [one.name for one in settings.exports] == ["a", "b", "c", "x"]
        assert settings.exports[0].target == str(path.parent / "d" / "a")
        assert settings.workers == 3

    def test_cycles_are_refused(self, write: Write) -> None:
        path = write('include = "other.toml"\n[exports.x]\ntarget = "mem:"')
        write('\ninclude = "ninep.toml"', "other.toml")
        assert mistakes(path) == ["other.toml:2: include: cannot read ninep.toml: it includes itself"]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs in folders")
    def test_a_fifo_is_refused_and_not_waited_for(self, write: Write, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo.toml")
        path = write('include = "*.toml"', "ninep.conf")
        assert mistakes(path)[0] == "fifo.toml: it is not a regular file"
        assert mistakes(tmp_path / "fifo.toml") == ["fifo.toml: it is not a regular file"]

    def test_many_files_are_refused(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(config_file, "MAX_FILES", 2)
        path = write('include = ["a.toml", "b.toml"]\n[exports.x]\ntarget = "mem:"')
        write("", "a.toml")
        write("", "b.toml")
        assert mistakes(path) == ["ninep.toml:1: include: cannot read b.toml: more than 2 files"]

    def test_an_export_stands_in_one_file(self, write: Write) -> None:
        write('\n[exports.x]\ntarget = "mem:"', "a.toml")
        path = write('include = "a.toml"\n[exports."/x"]\ntarget = "mem:"')
        assert mistakes(path) == ['ninep.toml:2: exports."/x": two exports are named "x": the other one is at a.toml:2']

    def test_mistakes_of_all_files_at_once(self, write: Write) -> None:
        write("workers = 0", "a.toml")
        write("a = ", "b.toml")
        path = write('include = ["a.toml", "b.toml", "c.toml"]\nworkers = 0\n[exports.x]\ntarget = "mem:"')
        assert mistakes(path) == [
            "ninep.toml:1: include: cannot read c.toml: No such file or directory",
            "ninep.toml:2: workers: 0 is out of range (1 to 256)",
            "a.toml:1: workers: 0 is out of range (1 to 256)",
            "b.toml:1: invalid value",
        ]


class TestCommandLine:
    FILE = """
        workers = 2
        fmode = "640"
        allow = ["10.0.0.0/8"]
        [limits]
        fids = 5
        locks = 5
        [exports.a]
        target = "/a"
        read-only = false
        allow = ["uid:1"]
        [exports.b]
        target = "mem:"
    """

    def settings(self, write: Write, **given: Any) -> Any:
        return Sources(CommandLine(**given), str(write(self.FILE))).settings()

    def test_options_come_before_the_file(self, write: Write) -> None:
        rule = (parse_rule("any"),)
        settings = self.settings(write, options={"workers": 3, "fmode": 0o600, "allow": rule}, limits={"fids": 7})
        assert (settings.workers, settings.allow) == (3, rule)
        assert (settings.limits.fids, settings.limits.locks) == (7, 5)
        assert settings.exports[0].get("fmode") == 0o600
        assert settings.exports[0].get("allow") == (parse_rule("uid:1"),)

    def test_read_only_there_lets_no_client_write(self, write: Write) -> None:
        assert [one.get("read_only") for one in self.settings(write).exports] == [False, False]
        settings = self.settings(write, options={"read_only": True})
        assert [one.get("read_only") for one in settings.exports] == [True, True]

    def test_exports_are_added_or_replaced_by_name(self, write: Write) -> None:
        asked = [NamedExport("", "/d", {}), NamedExport("a", "/other", {"read_only": True})]
        settings = self.settings(write, exports=asked)
        assert [(one.name, one.target) for one in settings.exports] == [("b", "mem:"), ("", "/d"), ("a", "/other")]
        assert settings.exports[1].get("fmode") == 0o640

    def test_where_each_value_is_from(self, write: Write) -> None:
        path = write(self.FILE)
        command_line = CommandLine(
            exports=[NamedExport("c", "/c", {"read_only": True})], options={"workers": 3}, limits={"locks": 9}
        )
        found = {
            (*one.table, one.key): (one.value, one.origin.replace(f"{path.parent}/", ""))
            for one in Sources(command_line, str(path)).holdings()
        }
        assert found["workers",] == (3, "command line")
        assert found["listen",] == (["127.0.0.1:5640"], "default")
        assert found["allow",] == (["10.0.0.0/8"], "ninep.toml:4")
        assert found["limits", "fids"] == (5, "ninep.toml:6")
        assert found["limits", "locks"] == (9, "command line")
        assert found["exports", "a", "target"] == ("/a", "ninep.toml:9")
        assert found["exports", "a", "read-only"] == (False, "ninep.toml:10")
        assert found["exports", "a", "fmode"] == ("640", "ninep.toml:3")
        assert found["exports", "a", "allow"] == (["uid:1"], "ninep.toml:11")
        assert found["exports", "b", "allow"] == ([], "default")
        assert found["exports", "b", "target"] == ("mem:", "ninep.toml:13")
        assert found["exports", "c", "target"] == ("/c", "command line")
        assert found["exports", "c", "read-only"] == (True, "command line")
        assert ("exports", "b", "fmode") not in found


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))
def test_every_documented_example_is_one(example: str, write: Write) -> None:
    write('[exports.more]\ntarget = "more"', "defaults.toml")
    assert Sources(file=str(write(example))).settings().exports


def test_the_documented_mistakes_are_these(write: Write) -> None:
    documented = re.search(r"\n```text\n(/etc.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert documented
    text = '\n\n\nworkers = 2.5\n\n\n[exports.src]\ntarget = "/s"\nfmode = "999"\n[exports.iso]\ntarget = "/i"\nreadonly = true'
    assert mistakes(write(text)) == documented[1].replace("/etc/ninep/", "").splitlines()


ONE = '\n[exports.x]\ntarget = "mem:"\n'
"""An export behind what is broken."""
DIR = '\n[exports.x]\ntarget = "/srv"\n'

NOT_TOML: list[tuple[str | bytes, int]] = [
    ("workers", 1),
    ("\nworkers = ", 2),
    ("workers = 1 2", 1),
    ("workers = 1\nworkers = 2", 2),
    ('listen = "a', 1),
    ("listen = [1, ", 1),
    ("[exports", 1),
    ("[limits]\n[limits]", 2),
    ("a = 'b\nc'", 1),
    ('a = "\\q"', 1),
    ("workers: 2", 1),
    ("{}", 1),
    (b"# \n# \xff", 2),
]  # fmt: skip

BROKEN: list[tuple[str | bytes, str]] = [
    ("a = " + "[" * 9999 + "]" * 9999, "ninep.toml: arrays or tables are nested too deeply"),
    (b"#" * ((1 << 20) + 1), "ninep.toml: it is larger than 1 MiB"),
    # nothing to serve
    ("", "ninep.toml: no folder to serve: give DIR or --export NAME=DIR, or write [exports.NAME] in a configuration file"),
    ("[exports]", "ninep.toml: no folder to serve: give DIR or --export NAME=DIR, or write [exports.NAME] in a configuration file"),
    # keys that there are not
    ("worker = 2" + ONE, "ninep.toml:1: worker: there is no such option (did you mean 'workers'?)"),
    ("read_only = true" + ONE, "ninep.toml:1: read_only: there is no such option (did you mean 'read-only'?)"),
    ("zzz = 1" + ONE, "ninep.toml:1: zzz: there is no such option"),
    ("limit = 1" + ONE, "ninep.toml:1: limit: there is no such option (did you mean 'limits'?)"),
    ('target = "/srv"' + ONE, "ninep.toml:1: target: there is no such option (exports are tables: [exports.NAME])"),
    ('dir = "/srv"' + ONE, "ninep.toml:1: dir: there is no such option (exports are tables: [exports.NAME])"),
    ("[export.x]" + ONE, "ninep.toml:1: export: there is no such option (exports are tables: [exports.NAME])"),
    ("[server]\nworkers = 2" + ONE, "ninep.toml:1: server: there is no such option"),
    ("a.b = 1" + ONE, "ninep.toml:1: a: there is no such option"),
    ('"a b" = 1' + ONE, 'ninep.toml:1: "a b": there is no such option'),
    ('"\\u001b" = 1' + ONE, 'ninep.toml:1: "\\U0000001b": there is no such option'),
    (ONE + "readonly = true", "ninep.toml:4: exports.x.readonly: there is no such option of an export (did you mean 'read-only'?)"),
    (ONE + 'path = "/srv"', "ninep.toml:4: exports.x.path: there is no such option of an export"),
    (ONE + 'model = "none"', "ninep.toml:4: exports.x.model: there is no such option of an export (did you mean 'security-model'?)"),
    (ONE + "workers = 2", "ninep.toml:4: exports.x.workers: there is no such option of an export"),
    (ONE + "[exports.x.options]\nread-only = true", "ninep.toml:4: exports.x.options: there is no such option of an export"),
    ("[limits]\nfid = 1" + ONE, "ninep.toml:2: limits.fid: there is no such limit (did you mean 'fids'?)"),
    ("[limits]\nall_fids = 1" + ONE, "ninep.toml:2: limits.all_fids: there is no such limit (did you mean 'all-fids'?)"),
    # kinds of values
    ("workers = 2.5" + ONE, "ninep.toml:1: workers: 2.5 is not a whole number"),
    ("workers = true" + ONE, "ninep.toml:1: workers: true is not a whole number"),
    ('workers = "two"' + ONE, 'ninep.toml:1: workers: "two" is not a whole number'),
    ("workers = 0" + ONE, "ninep.toml:1: workers: 0 is out of range (1 to 256)"),
    ("workers = -1" + ONE, "ninep.toml:1: workers: -1 is out of range (1 to 256)"),
    ("workers = 257" + ONE, "ninep.toml:1: workers: 257 is out of range (1 to 256)"),
    ("workers = [2]" + ONE, "ninep.toml:1: workers: an array where one value is wanted"),
    ("workers = {}" + ONE, "ninep.toml:1: workers: a table where one value is wanted"),
    ("[workers]" + ONE, "ninep.toml:1: workers: a table where one value is wanted"),
    ("workers = 2026-11-26" + ONE, "ninep.toml:1: workers: 2026-11-26 is not a whole number"),
    ("workers = 12:30:00" + ONE, "ninep.toml:1: workers: 12:30:00 is not a whole number"),
    ("workers = 2026-11-26T12:30:00Z" + ONE, "ninep.toml:1: workers: 2026-11-26T12:30:00+00:00 is not a whole number"),
    ("workers = inf" + ONE, "ninep.toml:1: workers: inf is not a whole number"),
    ("verbose = 1" + ONE, "ninep.toml:1: verbose: 1 is neither true nor false"),
    ('verbose = "maybe"' + ONE, 'ninep.toml:1: verbose: "maybe" is neither yes nor no'),
    ("trace = []" + ONE, "ninep.toml:1: trace: an array where one value is wanted"),
    ("ready-fd = -1" + ONE, "ninep.toml:1: ready-fd: -1 is out of range (0 to 1073741824)"),
    ("msize = 100" + ONE, "ninep.toml:1: msize: 100 is out of range (4096 to 4M)"),
    ('msize = "8M"' + ONE, "ninep.toml:1: msize: 8M is out of range (4096 to 4M)"),
    ('msize = "big"' + ONE, 'ninep.toml:1: msize: "big" is not a size: write a number, with K, M or G behind it if that is shorter'),
    ("msize = 4096.5" + ONE, "ninep.toml:1: msize: 4096.5 is not a size in bytes"),
    ("fmode = 640" + DIR, 'ninep.toml:1: fmode: 640: write a mode as text, in octal: fmode = "640"'),
    ("fmode = 0o640" + DIR, 'ninep.toml:1: fmode: 416: write a mode as text, in octal: fmode = "640"'),
    ('fmode = "rw"' + DIR, 'ninep.toml:1: fmode: "rw" is not a mode: write permission bits in octal, 0 to 777'),
    (DIR + 'dmode = "1777"', 'ninep.toml:4: exports.x.dmode: "1777" is not a mode: write permission bits in octal, 0 to 777'),
    (DIR + "dmode = true", 'ninep.toml:4: exports.x.dmode: true: write a mode as text, in octal: dmode = "640"'),
    ('security-model = "mapped-attr"' + DIR, ('ninep.toml:1: security-model: "mapped-attr" is not one of '
     "mapped-owner, mapped-xattr, mapped-file, passthrough, none, mapped, auto (did you mean 'mapped-xattr'?)")),
    ("security-model = 1" + DIR, ("ninep.toml:1: security-model: 1 is not one of "
     "mapped-owner, mapped-xattr, mapped-file, passthrough, none, mapped, auto")),
    # addresses and peers
    ('listen = "a:b"' + ONE, "ninep.toml:1: listen: \"a:b\": 'b' is not a port (0 to 65535)"),
    ("listen = 5640.5" + ONE, "ninep.toml:1: listen: 5640.5 is not ADDRESS"),
    ("listen = [[]]" + ONE, "ninep.toml:1: listen: an array where one value is wanted"),
    ("listen = []" + ONE, "ninep.toml:1: listen: no address to listen at"),
    ("listen = {}" + ONE, "ninep.toml:1: listen: a table where one value is wanted, or an array of them"),
    ('listen = [\n"127.0.0.1:0",\n"unix:"]' + ONE, 'ninep.toml:3: listen: "unix:": unix: needs a path'),
    ('listen = "127.0.0.1:99999"' + ONE, "ninep.toml:1: listen: \"127.0.0.1:99999\": '99999' is not a port (0 to 65535)"),
    ('listen = "192.0.2.1:0"' + ONE, ("ninep.toml:1: listen: 192.0.2.1:0 can be reached from other computers, and 9P has no "
     "passwords: state which may connect with --allow, for example --allow 192.168.0.0/16 (--allow any admits all computers)")),
    ('listen = ["stdio", "stdio"]' + ONE, "ninep.toml:1: listen: --listen stdio can be given only once"),
    ('listen = "stdio"\nworkers = 2' + ONE, "ninep.toml:1: listen: stdio is a single connection: it cannot be combined with --workers"),
    ('socket-mode = "600"' + ONE, "ninep.toml:1: socket-mode: socket-mode needs a unix socket to listen on (--listen unix:PATH)"),
    ('allow = "me"' + ONE, ("ninep.toml:1: allow: \"me\" names no peer ('me' does not appear to be an IPv4 or IPv6 network): "
     "write a network (192.168.0.0/16), an address, any, loopback, uid:N, gid:N, cid:N, cert:NAME or psk:NAME")),
    ('allow = "uid:x"' + ONE, "ninep.toml:1: allow: \"uid:x\": 'x' is not a number of a uid"),
    ("allow = [1000]" + ONE, "ninep.toml:1: allow: 1000 is not WHO"),
    (ONE + 'allow = [\n"any",\n"gid:"]', "ninep.toml:6: exports.x.allow: \"gid:\": '' is not a number of a gid"),
    ('metrics = "unix:/m"' + ONE, 'ninep.toml:1: metrics: "unix:/m": metrics are served over HTTP: write PORT or HOST:PORT'),
    ("metrics = 9100.0" + ONE, "ninep.toml:1: metrics: 9100.0 is not ADDRESS"),
    # limits
    ("limits = 5" + ONE, "ninep.toml:1: limits: 5 is not a table: write [limits]"),
    ('[limits]\nfids = "many"' + ONE, 'ninep.toml:2: limits.fids: "many" is not a number'),
    ("[limits]\nfids = 0" + ONE, "ninep.toml:2: limits.fids: 0: at least 1 is needed"),
    ("[limits]\nfids = 1.5" + ONE, "ninep.toml:2: limits.fids: 1.5 is not a whole number"),
    ("[limits]\nfids = true" + ONE, "ninep.toml:2: limits.fids: true is not a number"),
    ("[limits]\nfids = []" + ONE, "ninep.toml:2: limits.fids: an array is not a number"),
    ("[limits]\nidle = nan" + ONE, "ninep.toml:2: limits.idle: nan is not a number"),
    ("[limits]\nidle = -1" + ONE, "ninep.toml:2: limits.idle: -1: at least 0 is needed"),
    ('[limits]\nxattr-bytes = "64K"' + ONE, 'ninep.toml:2: limits.xattr-bytes: "64K": at least 131072 is needed'),
    ("[limits]\nmsize = 9999999" + ONE, "ninep.toml:2: limits.msize: 9999999 is out of range (4096 to 4M)"),
    # exports
    ("exports = 5", "ninep.toml:1: exports: 5 is not a table: write [exports.NAME]"),
    ('exports = ["/srv"]', "ninep.toml:1: exports: an array is not a table: write [exports.NAME]"),
    ('[exports]\nx = "/srv"', 'ninep.toml:2: exports.x: "/srv" is not a table: write [exports.x] and target = ... in it'),
    ("[[exports.x]]", "ninep.toml:1: exports.x: an array is not a table: write [exports.x] and target = ... in it"),
    ("[exports.x]", 'ninep.toml:1: exports.x: it has no target: write target = "FOLDER"'),
    ('[exports.x]\ntarget = ""', 'ninep.toml:2: exports.x.target: "" is not the path of a folder'),
    ("[exports.x]\ntarget = 5", "ninep.toml:2: exports.x.target: 5 is not the path of a folder"),
    ('[exports.x]\ntarget = "a\\u0000b"', 'ninep.toml:2: exports.x.target: "a\\U00000000b" is not the path of a folder'),
    ('[exports.x]\ntarget = ["a"]', "ninep.toml:2: exports.x.target: an array is not the path of a folder"),
    (ONE + '[exports."x/"]\ntarget = "mem:"', 'ninep.toml:4: exports."x/": two exports are named "x": the other one is at ninep.toml:2'),
    ('[exports.""]\ntarget = "mem:"\n[exports."/"]\ntarget = "mem:"', ('ninep.toml:3: exports."/": two exports are named "": '
     "the other one is at ninep.toml:1")),
    # what does not go together
    (ONE + 'fmode = "600"', "ninep.toml:4: exports.x.fmode: it does not apply to mem: (an empty folder in memory, gone with the server)"),
    (ONE + 'security-model = "none"', ("ninep.toml:4: exports.x.security-model: security-model does not apply to mem: "
     "(an empty folder in memory, gone with the server)")),
    (DIR + 'capacity = "1M"', "ninep.toml:4: exports.x.capacity: it does not apply to /srv (a folder of this computer)"),
    ('capacity = "1M"' + DIR, "ninep.toml:1: capacity: capacity does not apply to /srv (a folder of this computer)"),
    (DIR + 'security-model = "none"\nfmode = "600"', ("ninep.toml:5: exports.x.fmode: it does not apply to the security model none: "
     "it is an option of mapped-owner, mapped-xattr, mapped-file")),
    (DIR + 'security-model = "none"\nrun-as-user = true', ("ninep.toml:5: exports.x.run-as-user: "
     "run-as-user needs the security model passthrough: none keeps owners itself")),
    ("run-as-user = true" + DIR, "ninep.toml:1: run-as-user: run-as-user needs the security model passthrough: auto keeps owners itself"),
    (DIR + 'map-uids = "0:1000:1"', "ninep.toml:4: exports.x.map-uids: map-uids needs map-gids: uids and gids are mapped together"),
    (DIR + "squash = 1", "ninep.toml:4: exports.x.squash: 1 is not one of none, root, all, peer"),
    (DIR + 'anon = "me"', 'ninep.toml:4: exports.x.anon: "me" is not UID or UID:GID'),
    # include
    ("include = 5" + ONE, "ninep.toml:1: include: 5 is not the path of a file"),
    ('include = ["", \n{}]', 'ninep.toml:1: include: "" is not the path of a file\nninep.toml:2: include: a table is not the path of a file'),
    ('include = "no.toml"' + ONE, "ninep.toml:1: include: cannot read no.toml: No such file or directory"),
    ('include = "/"' + ONE, "ninep.toml:1: include: cannot read /: Is a directory"),
    ('include = "ninep.toml"' + ONE, "ninep.toml:1: include: cannot read ninep.toml: it includes itself"),
    ('include = "a\\u0000"' + ONE, 'ninep.toml:1: include: "a\\U00000000" is not the path of a file'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BROKEN)
def test_one_clear_line_for_each_mistake(text: str | bytes, expected: str, write: Write) -> None:
    assert "\n".join(mistakes(write(text))) == expected


@pytest.mark.parametrize(("text", "line"), NOT_TOML)
def test_the_line_of_what_is_no_toml(text: str | bytes, line: int, write: Write) -> None:
    (mistake,) = mistakes(write(text))
    assert re.fullmatch(rf"ninep\.toml:{line}: [a-z].*[^)]", mistake)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "no.toml") == ["no.toml: cannot read it: No such file or directory"]
