"""Topen and Tcreate through the wire, and what the base messages share: in 9P2000, 9P2000.u, and as
far as they go in 9P2000.L.
"""

from itertools import product

import pytest
from tests.server.handlers.conftest import stat_of, wstat
from tests.support.client import Failed, RawClient, refused
from tests.support.served import Served

from ninep.drivers.memory import MemoryDriver
from ninep.linux import Errno
from ninep.wire import messages as m
from ninep.wire.modes import (
    DMAPPEND,
    DMAUTH,
    DMDEVICE,
    DMDIR,
    DMEXCL,
    DMLINK,
    DMNAMEDPIPE,
    DMSETUID,
    DMSOCKET,
    DMSYMLINK,
    DMTMP,
)
from ninep.wire.types import Stat

OEXCL, OTRUNC, OCEXEC, ORCLOSE, OAPPEND = 0x04, 0x10, 0x20, 0x40, 0x80


class TestOpen:
    @pytest.mark.parametrize(
        "mode", [access | more for access, more in product((0, 2, 3), (0, OEXCL, OCEXEC, OAPPEND))], ids=hex
    )
    def test_modes_that_read(self, file: RawClient, mode: int) -> None:
        assert file.rpc(m.Topen(1, mode)).iounit == 8192
        assert file.read(1) == b"hello"

    @pytest.mark.parametrize("mode", [1, 1 | OTRUNC])
    def test_for_writing_only(self, file: RawClient, mode: int) -> None:
        file.rpc(m.Topen(1, mode))
        file.rpc(m.Twrite(1, 5, b"!"))
        with refused(Errno.EBADF):
            file.read(1)
        assert stat_of(file, 1).length == 6

    @pytest.mark.parametrize("mode", [0, 3])
    def test_for_reading_only(self, file: RawClient, mode: int) -> None:
        file.rpc(m.Topen(1, mode))
        with refused(Errno.EBADF):
            file.rpc(m.Twrite(1, 0, b"x"))

    @pytest.mark.parametrize("access", [0, 1, 2, 3])
    def test_truncates(self, file: RawClient, access: int) -> None:
        file.rpc(m.Topen(1, access | OTRUNC))
        assert stat_of(file, 1).length == 0

    def test_appends(self, file: RawClient) -> None:
        file.rpc(m.Topen(1, 2 | OAPPEND))
        file.rpc(m.Twrite(1, 0, b"!"))
        assert file.read(1) == b"hello!"

    def test_twice(self, file: RawClient) -> None:
        file.rpc(m.Topen(1, 0))
        with refused(Errno.EINVAL):
            file.rpc(m.Topen(1, 0))

    @pytest.mark.parametrize("mode", [1, 2, OTRUNC, 3 | OTRUNC])
    def test_a_directory_can_only_be_read(self, file: RawClient, mode: int) -> None:
        file.walk(0, 2)
        with refused(Errno.EISDIR):
            file.rpc(m.Topen(2, mode))
        assert file.rpc(m.Topen(2, 0)).iounit == 0

    def test_unknown_fid(self, file: RawClient) -> None:
        with refused(Errno.EBADF):
            file.rpc(m.Topen(9, 0))


class TestRemoveOnClunk:
    def test_at_the_clunk(self, file: RawClient) -> None:
        file.rpc(m.Topen(1, ORCLOSE))
        assert file.read(1) == b"hello"
        file.walk(0, 2, b"f")
        file.clunk(1)
        with refused(Errno.ENOENT):
            file.walk(0, 3, b"f")

    def test_of_a_new_file(self, file: RawClient) -> None:
        file.walk(0, 2)
        file.rpc(m.Tcreate(2, b"new", 0o644, 2 | ORCLOSE, b""))
        file.rpc(m.Twrite(2, 0, b"scratch"))
        file.clunk(2)
        with refused(Errno.ENOENT):
            file.walk(0, 3, b"new")

    def test_says_nothing_where_it_cannot(self, file: RawClient) -> None:
        file.mkdir(0, b"d")
        file.walk(0, 2, b"d")
        file.create(2, 3, b"in the way")
        file.rpc(m.Topen(2, ORCLOSE))
        file.clunk(2)
        file.walk(0, 4, b"d")

    @pytest.mark.parametrize("end", ["disconnect", "version"])
    def test_when_the_session_ends(self, served: Served, file: RawClient, end: str) -> None:
        file.rpc(m.Topen(1, ORCLOSE))
        other = served.client()
        if end == "version":
            file.version()
        else:
            file.close()
            served.until(lambda: served.server.connections == 1)
        with refused(Errno.ENOENT):
            other.walk(0, 1, b"f")

    def test_a_failed_open_removes_nothing(self, file: RawClient) -> None:
        file.mkdir(0, b"d")
        file.walk(0, 2, b"d")
        with refused(Errno.EISDIR):
            file.rpc(m.Topen(2, 1 | ORCLOSE))
        file.clunk(2)
        file.walk(0, 2, b"d")


class TestCreate:
    def test_a_file(self, file: RawClient) -> None:
        file.walk(0, 2)
        made = file.rpc(m.Tcreate(2, b"new", 0o640, 2, b""))
        assert made.iounit == 8192
        assert file.walk(0, 3, b"new") == [made.qid]
        file.rpc(m.Twrite(2, 0, b"x"))
        found = stat_of(file, 2)
        assert (found.name, found.mode, found.length) == (b"new", 0o640, 1)

    def test_a_directory(self, file: RawClient) -> None:
        file.walk(0, 2)
        made = file.rpc(m.Tcreate(2, b"d", DMDIR | 0o755, 0, b""))
        assert made.iounit == 0
        assert made.qid.type == 0x80
        file.walk(2, 3, b"..", b"d")
        with refused(Errno.EINVAL):  # it is open
            file.rpc(m.Topen(2, 0))

    @pytest.mark.parametrize("mode", [1, 2, OTRUNC])
    def test_a_directory_open_for_writing(self, file: RawClient, mode: int) -> None:
        file.walk(0, 2)
        with refused(Errno.EISDIR):
            file.rpc(m.Tcreate(2, b"d", DMDIR | 0o755, mode, b""))
        with refused(Errno.ENOENT):
            file.walk(0, 3, b"d")

    @pytest.mark.parametrize("perm", [0o644, DMDIR | 0o755], ids=["file", "directory"])
    def test_what_exists_exclusively(self, file: RawClient, perm: int) -> None:
        file.walk(0, 2)
        with refused(Errno.EEXIST):
            file.rpc(m.Tcreate(2, b"f", perm, OEXCL, b""))
        file.walk(2, 3, b"f")
        assert stat_of(file, 3).length == 5

    def test_what_exists(self, file: RawClient) -> None:
        file.walk(0, 2)
        if file.dialect == b"9P2000":  # open(5)
            with refused(Errno.EEXIST):
                file.rpc(m.Tcreate(2, b"f", 0o600, 0, b""))
        else:  # as open(2) with O_CREAT
            file.rpc(m.Tcreate(2, b"f", 0o600, 0, b""))
            assert file.read(2) == b"hello"
            assert stat_of(file, 2).mode == 0o644

    def test_an_open_fid(self, file: RawClient) -> None:
        file.walk(0, 2)
        file.rpc(m.Topen(2, 0))
        with refused(Errno.EINVAL):
            file.rpc(m.Tcreate(2, b"new", 0o644, 0, b""))

    def test_below_a_file(self, file: RawClient) -> None:
        for perm in (0o644, DMDIR | 0o755):
            with refused(Errno.ENOTDIR):
                file.rpc(m.Tcreate(1, b"new", perm, 0, b""))

    @pytest.mark.parametrize("asked", [DMAPPEND, DMEXCL, DMTMP, DMAPPEND | DMEXCL], ids=hex)
    @pytest.mark.parametrize("kind", [0, DMDIR], ids=["file", "directory"])
    def test_what_is_not_kept_is_not_shown(self, any_client: RawClient, asked: int, kind: int) -> None:
        any_client.walk(0, 1)
        made = any_client.rpc(m.Tcreate(1, b"x", kind | asked | 0o644, 0, b"")).qid
        assert made.type == kind >> 24
        assert any_client.rpc(m.Tstat(1)).stat.mode == kind | 0o644

    def test_no_file_for_authentication(self, any_client: RawClient) -> None:
        any_client.walk(0, 1)
        with refused(Errno.EINVAL):
            any_client.rpc(m.Tcreate(1, b"x", DMAUTH | 0o644, 0, b""))

    def test_temporary_files_are_files(self, file: RawClient) -> None:
        file.walk(0, 2)
        file.rpc(m.Tcreate(2, b"new", DMTMP | 0o644, 2, b""))
        assert stat_of(file, 2).mode == 0o644

    def test_freebsd_makes_its_files_so_in_9p2000_l(self, client: RawClient) -> None:
        client.walk(0, 1)
        client.send_bytes(bytes.fromhex("13000000 72 0500 01000000 0100 66 a4010000 02"), number=114, tag=5)
        client.reply(5)
        client.rpc(m.Twrite(1, 0, b"x"))
        assert client.rpc(m.Tgetattr(1, 0x7FF)).attributes.mode == 0o100644


class TestPlainPermissions:
    """open(5): a new file gets no permission for anybody that its directory does not give."""

    @pytest.mark.parametrize(
        ("directory", "asked", "got"), [(0o755, 0o666, 0o644), (0o700, 0o777, 0o711), (0o777, 0o666, 0o666)]
    )
    def test_files(self, plain_client: RawClient, directory: int, asked: int, got: int) -> None:
        wstat(plain_client, 0, mode=DMDIR | directory)
        plain_client.walk(0, 1)
        plain_client.rpc(m.Tcreate(1, b"f", asked, 0, b""))
        assert stat_of(plain_client, 1).mode == got

    @pytest.mark.parametrize(("directory", "asked", "got"), [(0o755, 0o777, 0o755), (0o700, 0o777, 0o700)])
    def test_directories(self, plain_client: RawClient, directory: int, asked: int, got: int) -> None:
        wstat(plain_client, 0, mode=DMDIR | directory)
        plain_client.walk(0, 1)
        plain_client.rpc(m.Tcreate(1, b"d", DMDIR | asked, 0, b""))
        assert stat_of(plain_client, 1).mode == DMDIR | got

    def test_not_in_9p2000_u(self, unix_client: RawClient) -> None:
        wstat(unix_client, 0, mode=DMDIR | 0o700)
        unix_client.walk(0, 1)
        unix_client.rpc(m.Tcreate(1, b"f", DMSETUID | 0o666, 0, b""))
        assert stat_of(unix_client, 1).mode == DMSETUID | 0o666


class TestSpecial:
    """9P2000.u: links, devices, FIFOs and sockets by Tcreate."""

    def make(self, client: RawClient, perm: int, extension: bytes, name: bytes = b"new") -> Stat:
        client.walk(0, 5)
        assert client.rpc(m.Tcreate(5, name, perm, 0, extension)).iounit == 0
        found = stat_of(client, 5)
        client.clunk(5)
        return found

    def test_symlink(self, unix_client: RawClient) -> None:
        found = self.make(unix_client, DMSYMLINK | 0o777, b"../target")
        assert (found.mode, found.extension, found.qid.type) == (DMSYMLINK | 0o777, b"../target", 2)

    @pytest.mark.parametrize("newline", [b"", b"\n"], ids=["bare", "as Linux sends it"])
    def test_hard_link(self, unix_client: RawClient, newline: bytes) -> None:
        unix_client.create(0, 1, b"f", b"x")
        found = self.make(unix_client, DMLINK | 0o644, b"1" + newline)
        assert (found.name, found.extension) == (b"new", b"HARDLINKCOUNT 2")
        unix_client.walk(0, 2, b"new")
        assert stat_of(unix_client, 2).qid == stat_of(unix_client, 1).qid

    @pytest.mark.parametrize(
        ("perm", "extension"),
        [
            (DMDEVICE | 0o600, b"c 1 3"),
            (DMDEVICE | 0o600, b"b 259 1000"),
            (DMNAMEDPIPE | 0o644, b""),
            (DMSOCKET | 0o755, b""),
        ],
    )
    def test_nodes(self, unix_client: RawClient, perm: int, extension: bytes) -> None:
        found = self.make(unix_client, perm, extension)
        assert (found.mode, found.extension) == (perm, extension)

    @pytest.mark.parametrize(
        ("perm", "extension", "code"),
        [
            (DMDEVICE, b"", Errno.EINVAL),
            (DMDEVICE, b"x 1 2", Errno.EINVAL),
            (DMDEVICE, b"c 1", Errno.EINVAL),
            (DMDEVICE, b"c -1 2", Errno.EINVAL),
            (DMDEVICE, b"c 1 2 3", Errno.EINVAL),
            (DMDEVICE, b"c " + b"9" * 60_00 + b" 1", Errno.EINVAL),
            (DMLINK, b"", Errno.EINVAL),
            (DMLINK, b"f", Errno.EINVAL),
            (DMLINK, b"-1\n", Errno.EINVAL),
            (DMLINK, b"1 1", Errno.EINVAL),
            (DMLINK, b"9" * 6000, Errno.EINVAL),
            (DMLINK, b"77", Errno.EBADF),
            (DMSYMLINK, b"", Errno.ENOENT),
            (DMSYMLINK, b"a\0", Errno.ENOENT),
            (DMSYMLINK, b"t" * 4096, Errno.ENAMETOOLONG),
            (DMSYMLINK | DMDIR, b"t", Errno.EINVAL),
            (DMNAMEDPIPE | DMSOCKET, b"", Errno.EINVAL),
        ],
        ids=lambda value: repr(value)[:20],
    )
    def test_extensions_that_mean_nothing(
        self, unix_client: RawClient, perm: int, extension: bytes, code: Errno
    ) -> None:
        unix_client.walk(0, 5)
        with refused(code):
            unix_client.rpc(m.Tcreate(5, b"new", perm | 0o644, 0, extension))
        with refused(Errno.ENOENT):
            unix_client.walk(0, 6, b"new")
        unix_client.walk(5, 7)

    @pytest.mark.parametrize("kind", [DMSYMLINK, DMLINK, DMDEVICE, DMNAMEDPIPE, DMSOCKET], ids=hex)
    def test_not_in_plain_9p2000(self, plain_client: RawClient, kind: int) -> None:
        plain_client.walk(0, 1)
        with refused(Errno.EINVAL):
            plain_client.rpc(m.Tcreate(1, b"new", kind | 0o644, 0, b""))


class TestWords:
    """Plain 9P2000 has no numbers: words that the Linux client has in its table."""

    @pytest.mark.parametrize(
        ("message", "words"),
        [
            (m.Twalk(0, 1, [b"x"]), "file does not exist"),
            (m.Tclunk(99), "fid unknown or out of range"),
            (m.Topen(0, 1), "Is a directory"),
            (m.Tremove(0), "Device or resource busy"),
            (m.Tattach(0, m.NOFID, b"", b""), "Invalid argument"),
            (m.Tlopen(0, 0), "Operation not supported"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_as_clients_know_them(self, served: Served, message: m.Message, words: str) -> None:
        for dialect in (b"9P2000", b"9P2000.u"):
            client = served.client(dialect)
            with pytest.raises(Failed) as caught:
                client.rpc(message)
            assert caught.value.words == words


def test_messages_of_9p2000_l_are_not_part_of_the_others(base_client: RawClient) -> None:
    for message in (
        m.Tgetattr(0, 0x7FF),
        m.Tstatfs(0),
        m.Tmkdir(0, b"x", 0o755, 0),
        m.Tunlinkat(0, b"x", 0),
        m.Tlock(0, 1, 0, 0, 0, 1, b""),
        m.Txattrwalk(0, 1, b""),
        m.Tfsync(0),
        m.Trename(0, 0, b"x"),
        m.Treadlink(0),
    ):
        with refused(Errno.EOPNOTSUPP):
            base_client.rpc(message)


def test_who_attaches_without_a_number_owns_what_the_driver_says() -> None:
    with Served(driver=MemoryDriver(uid=7, gid=8)) as served:
        client = served.connect()
        client.version(b"9P2000")
        client.attach()
        client.create(0, 1, b"f")
        assert stat_of(client, 1).uid == b"7"
