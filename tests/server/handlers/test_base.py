"""Topen, Tcreate, Tstat, Twstat and directory reads through the wire: 9P2000, 9P2000.u, and what of them is accepted in 9P2000.L."""

from collections.abc import Iterator
from itertools import product

import pytest
from tests.support.client import Failed, RawClient, refused
from tests.support.judge import stats
from tests.support.served import Served
from tests.wire.wire_examples import UNTOUCHED

from ninep import linux
from ninep.drivers.memory import MemoryDriver
from ninep.linux import NO_ID, Errno
from ninep.wire import messages as m
from ninep.wire.modes import (
    DMAPPEND,
    DMAUTH,
    DMDEVICE,
    DMDIR,
    DMEXCL,
    DMLINK,
    DMNAMEDPIPE,
    DMSETGID,
    DMSETUID,
    DMSETVTX,
    DMSOCKET,
    DMSYMLINK,
    DMTMP,
)
from ninep.wire.types import Stat

OEXCL, OTRUNC, OCEXEC, ORCLOSE, OAPPEND = 0x04, 0x10, 0x20, 0x40, 0x80
TOUCH_NOTHING = UNTOUCHED._replace(n_uid=NO_ID, n_gid=NO_ID, n_muid=NO_ID)


def stat_of(client: RawClient, fid: int) -> Stat:
    found: Stat = client.rpc(m.Tstat(fid)).stat
    return found


def wstat(client: RawClient, fid: int, **fields: object) -> None:
    client.rpc(m.Twstat(fid, TOUCH_NOTHING._replace(**fields)))  # type: ignore[arg-type]


@pytest.fixture
def file(any_client: RawClient) -> RawClient:
    """``/f`` with ``hello`` in it as fid 1, not open."""
    any_client.create(0, 1, b"f", b"hello")
    any_client.clunk(1)
    any_client.walk(0, 1, b"f")
    return any_client


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

    @pytest.mark.parametrize("perm", [DMAPPEND, DMEXCL, DMAUTH, DMDIR | DMEXCL], ids=hex)
    def test_what_is_not_kept_is_not_promised(self, file: RawClient, perm: int) -> None:
        # A lock file that excludes nobody does harm.
        file.walk(0, 2)
        with refused(Errno.EINVAL):
            file.rpc(m.Tcreate(2, b"new", perm | 0o644, 0, b""))
        with refused(Errno.ENOENT):
            file.walk(0, 3, b"new")

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


class TestStat:
    def test_of_a_file(self, file: RawClient) -> None:
        found = stat_of(file, 1)
        assert (found.name, found.mode, found.length, found.uid, found.gid) == (b"f", 0o644, 5, b"0", b"0")
        assert found.qid == file.walk(0, 2, b"f")[0]
        if file.dialect != b"9P2000":
            assert (found.n_uid, found.n_gid, found.extension) == (0, 0, b"HARDLINKCOUNT 1")

    def test_of_the_root(self, any_client: RawClient) -> None:
        found = stat_of(any_client, 0)
        assert (found.name, found.mode) == (b"/", DMDIR | 0o755)

    def test_plain_9p2000_has_no_words_for_some_things(self, served: Served, plain_client: RawClient) -> None:
        # A setuid bit there crashed Linux clients (CVE-2024-36964).
        other = served.client()
        for name, mode in ((b"suid", 0o107777), (b"fifo", 0o010644), (b"device", 0o020600)):
            other.rpc(m.Tmknod(0, name, mode, 1, 3, NO_ID))
            plain_client.walk(0, 1, name)
            assert stat_of(plain_client, 1).mode == mode & 0o777
            plain_client.clunk(1)

    def test_9p2000_u_has(self, served: Served, unix_client: RawClient) -> None:
        served.client().rpc(m.Tmknod(0, b"f", 0o107777, 0, 0, NO_ID))
        unix_client.walk(0, 1, b"f")
        assert stat_of(unix_client, 1).mode == DMSETUID | DMSETGID | DMSETVTX | 0o777

    @pytest.mark.parametrize("seconds", [-1, 1 << 32])
    def test_times_that_do_not_fit(self, served: Served, base_client: RawClient, seconds: int) -> None:
        other = served.client()
        other.rpc(m.Tsetattr(0, linux.SETATTR_MTIME | linux.SETATTR_MTIME_SET, 0, 0, 0, 0, 0, 0, seconds, 0))
        assert stat_of(base_client, 0).mtime == seconds & 0xFFFFFFFF

    def test_a_record_that_does_not_fit(self, served: Served) -> None:
        served.client().rpc(m.Tsymlink(0, b"l", b"t" * 4095, NO_ID))
        for msize, fits in ((4096, False), (8192, True)):
            client = served.client(b"9P2000.u", msize)
            client.walk(0, 1, b"l")
            if fits:
                assert stat_of(client, 1).extension == b"t" * 4095
            else:
                with refused(Errno.EMSGSIZE):
                    stat_of(client, 1)


class TestWstat:
    def test_touching_nothing_is_an_fsync(self, served: Served, file: RawClient) -> None:
        before = stat_of(file, 1)
        wstat(file, 1)
        assert served.faults.calls["fsync"] == 1
        file.rpc(m.Topen(1, 0))
        wstat(file, 1)
        assert served.faults.calls["file.fsync"] == 1
        assert stat_of(file, 1) == before

    def test_its_error(self, served: Served, file: RawClient) -> None:
        served.faults.fail("fsync", Errno.EIO)
        with refused(Errno.EIO):
            wstat(file, 1)

    def test_permissions(self, file: RawClient) -> None:
        wstat(file, 1, mode=0o600)
        assert stat_of(file, 1).mode == 0o600
        wstat(file, 0, mode=DMDIR | 0o700)
        assert stat_of(file, 0).mode == DMDIR | 0o700

    @pytest.mark.parametrize(
        ("fid", "mode"),
        [(0, 0o755), (1, DMDIR | 0o755), (1, DMAPPEND | 0o644), (1, DMEXCL | 0o644), (0, DMDIR | DMAPPEND)],
    )
    def test_the_type_stays(self, file: RawClient, fid: int, mode: int) -> None:
        before = stat_of(file, fid)
        with refused(Errno.EPERM):
            wstat(file, fid, mode=mode)
        assert stat_of(file, fid) == before

    @pytest.mark.parametrize("kind", [DMSYMLINK, DMDEVICE, DMNAMEDPIPE, DMSOCKET], ids=hex)
    def test_other_types_of_9p2000_u(self, unix_client: RawClient, kind: int) -> None:
        unix_client.create(0, 1, b"f")
        with refused(Errno.EPERM):
            wstat(unix_client, 1, mode=kind | 0o644)

    def test_a_fifo_keeps_its_own(self, served: Served, unix_client: RawClient) -> None:
        served.client().rpc(m.Tmknod(0, b"p", 0o010644, 0, 0, NO_ID))
        unix_client.walk(0, 1, b"p")
        for mode in (DMNAMEDPIPE | 0o600, 0o600):
            wstat(unix_client, 1, mode=mode)
            assert stat_of(unix_client, 1).mode == DMNAMEDPIPE | 0o600

    def test_length(self, served: Served, file: RawClient) -> None:
        wstat(file, 1, length=2)
        assert stat_of(file, 1).length == 2
        file.rpc(m.Topen(1, 2))
        wstat(file, 1, length=1)
        assert served.faults.calls["file.truncate"] == 1
        assert file.read(1) == b"h"

    @pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 2], ids=hex)
    def test_lengths_that_no_file_has(self, file: RawClient, length: int) -> None:
        with refused(Errno.EINVAL):
            wstat(file, 1, length=length, mode=0o600)
        assert stat_of(file, 1).mode == 0o644

    def test_times(self, file: RawClient) -> None:
        wstat(file, 1, atime=0, mtime=0xFFFFFFFE)
        assert (stat_of(file, 1).atime, stat_of(file, 1).mtime) == (0, 0xFFFFFFFE)

    def test_owners(self, file: RawClient) -> None:
        if file.dialect == b"9P2000":
            wstat(file, 1, uid=b"7", gid=b"8")
        else:
            wstat(file, 1, uid=b"glenda", gid=b"sys", n_uid=7, n_gid=8)
        assert (stat_of(file, 1).uid, stat_of(file, 1).gid) == (b"7", b"8")

    @pytest.mark.parametrize(
        "name", [b"glenda", b"-1", b"1x", b"4294967295", b"9" * 6000, b" 1"], ids=lambda n: repr(n[:12])
    )
    def test_names_of_users_mean_nothing_here(self, plain_client: RawClient, name: bytes) -> None:
        for field in ("uid", "gid"):
            with refused(Errno.EINVAL):
                wstat(plain_client, 0, **{field: name})

    def test_rename(self, file: RawClient) -> None:
        wstat(file, 1, name=b"g")
        assert stat_of(file, 1).name == b"g"
        file.walk(0, 2, b"g")
        with refused(Errno.ENOENT):
            file.walk(0, 3, b"f")

    def test_rename_to_itself(self, file: RawClient) -> None:
        wstat(file, 1, name=b"f", mode=0o600)
        assert (stat_of(file, 1).name, stat_of(file, 1).mode) == (b"f", 0o600)

    def test_rename_onto_something(self, file: RawClient) -> None:
        file.create(0, 2, b"g", b"old")
        if file.dialect == b"9P2000":  # stat(5): an error
            with refused(Errno.EEXIST):
                wstat(file, 1, name=b"g")
            assert file.read(2) == b"old"
        else:
            wstat(file, 1, name=b"g")
            file.walk(0, 3, b"g")
            assert stat_of(file, 3).length == 5

    def test_rename_of_the_root(self, file: RawClient) -> None:
        with refused(Errno.EBUSY):
            wstat(file, 0, name=b"x", mode=DMDIR | 0o700)
        assert stat_of(file, 0).mode == DMDIR | 0o755

    def test_all_or_nothing(self, served: Served, file: RawClient) -> None:
        served.faults.fail("setattr", Errno.EPERM)
        with refused(Errno.EPERM):
            wstat(file, 1, name=b"g", mode=0o600)
        assert (stat_of(file, 1).name, stat_of(file, 1).mode) == (b"f", 0o644)
        file.walk(0, 2, b"f")

    def test_of_an_attribute(self, client: RawClient) -> None:
        client.rpc(m.Txattrwalk(0, 1, b""))
        for fields in ({}, {"mode": 0o600}):
            with refused(Errno.EINVAL):
                wstat(client, 1, **fields)

    def test_unknown_fid(self, file: RawClient) -> None:
        for message in (m.Tstat(9), m.Twstat(9, TOUCH_NOTHING)):
            with refused(Errno.EBADF):
                file.rpc(message)


class TestReadDirectory:
    """Whole stat records (read(5))."""

    @pytest.fixture
    def listing(self, served: Served, base_client: RawClient) -> RawClient:
        """``/d`` with files ``00`` to ``39``; fid 1 is open."""
        other = served.client()
        other.mkdir(0, b"d")
        other.walk(0, 1, b"d")
        for i in range(40):
            other.rpc(m.Tmknod(1, b"%02d" % i, 0o100644, 0, 0, NO_ID))
        base_client.walk(0, 1, b"d")
        base_client.rpc(m.Topen(1, 0))
        return base_client

    def pieces(self, client: RawClient, count: int, offset: int | None = None) -> Iterator[list[bytes]]:
        """What each read brings, until there is nothing more."""
        at = 0
        while data := client.read(1, at, count):
            yield [record["name"] for record in stats(data, client.judge.extended)]
            at = at + len(data) if offset is None else offset

    @pytest.mark.parametrize("count", [110, 200, 1000, 4096, 1 << 20])
    @pytest.mark.parametrize("offset", [None, 1], ids=["adding up", "anything but 0"])
    def test_all_of_it_in_pieces(self, listing: RawClient, count: int, offset: int | None) -> None:
        names = [name for piece in self.pieces(listing, count, offset) for name in piece]
        assert names == [b"%02d" % i for i in range(40)]

    def test_offset_0_begins_afresh(self, listing: RawClient) -> None:
        first = listing.read(1, 0, 500)
        listing.read(1, len(first), 500)
        assert listing.read(1, 0, 500) == first

    @pytest.mark.parametrize("count", [0, 1, 49])
    def test_no_room_for_one_record_is_not_the_end(self, listing: RawClient, count: int) -> None:
        with refused(Errno.EINVAL):
            listing.read(1, 0, count)
        data = listing.read(1, 7, 4096)
        assert stats(data, listing.judge.extended)[0]["name"] == b"00"

    def test_the_same_as_tstat(self, listing: RawClient) -> None:
        record = stats(listing.read(1, 0, 200), listing.judge.extended)[0]
        listing.walk(0, 2, b"d", b"00")
        found = stat_of(listing, 2)
        for name in ("qid", "mode", "length", "name", "uid", "gid"):
            assert record[name] == getattr(found, name)

    def test_an_entry_that_went_away_is_left_out(self, served: Served, listing: RawClient) -> None:
        served.faults.fail("walk", Errno.ENOENT, at=3)
        names = [name for piece in self.pieces(listing, 4096) for name in piece]
        assert names == [b"%02d" % i for i in range(40) if i != 2]

    @pytest.mark.parametrize("verb", ["walk", "getattr"])
    def test_an_entry_that_cannot_be_looked_at_is_shown(self, served: Served, listing: RawClient, verb: str) -> None:
        served.faults.fail(verb, Errno.EACCES, at=3)
        names = [name for piece in self.pieces(listing, 4096) for name in piece]
        assert names == [b"%02d" % i for i in range(40)]

    def test_a_listing_that_fails_goes_on_afterwards(self, served: Served, listing: RawClient) -> None:
        served.faults.fail("dir.read", Errno.EIO, at=2)
        with pytest.raises(Failed):
            list(self.pieces(listing, 4096, 1))
        names = [name for piece in self.pieces(listing, 4096) for name in piece]
        assert names == [b"%02d" % i for i in range(40)]

    def test_what_is_not_open(self, base_client: RawClient) -> None:
        base_client.walk(0, 1)
        with refused(Errno.EBADF):
            base_client.read(1)


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
