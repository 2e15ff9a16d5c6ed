"""The tables of FUSE messages, against the kernel's own header."""

from __future__ import annotations

import re
from pathlib import Path
from struct import calcsize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec
from ninep.wire.codec import pack_dirents
from ninep.wire.fuse import REQUESTS, Init, Malformed, Opcode
from ninep.wire.fuse_codec import UNPACK
from ninep.wire.types import Attributes, Dirent, Statfs

HEADER = Path("/usr/include/linux/fuse.h")
CODES = {"uint16_t": "H", "uint32_t": "I", "int32_t": "i", "uint64_t": "Q", "int64_t": "q"}
AFTER_IT = {"STATX"}
"""Newer than the header of a distribution may be."""


@pytest.fixture(scope="module")
def header() -> str:
    """``linux/fuse.h``, as installed."""
    if not HEADER.exists():
        pytest.skip(f"{HEADER} is not installed (Debian: linux-libc-dev)")
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)


def structures(header: str) -> dict[str, str]:
    """Each structure as a ``struct`` format."""
    found: dict[str, str] = {}
    for name, body in re.findall(r"struct (\w+) \{(.*?)\n\};", header, flags=re.DOTALL):
        form = ""
        for kind, count in re.findall(r"(struct \w+|\w+)\s+\w+(?:\[(\d*)\])?;", body):
            code = found[kind.removeprefix("struct ")] if kind.startswith("struct") else CODES.get(kind, "")
            form += code * int(count or 1)
        found[name] = form
    return found


BODIES = {
    Opcode.FORGET: "fuse_forget_in", Opcode.GETATTR: "fuse_getattr_in", Opcode.SETATTR: "fuse_setattr_in",
    Opcode.MKNOD: "fuse_mknod_in", Opcode.MKDIR: "fuse_mkdir_in", Opcode.RENAME: "fuse_rename_in",
    Opcode.LINK: "fuse_link_in", Opcode.OPEN: "fuse_open_in", Opcode.READ: "fuse_read_in",
    Opcode.WRITE: "fuse_write_in", Opcode.RELEASE: "fuse_release_in", Opcode.FSYNC: "fuse_fsync_in",
    Opcode.GETXATTR: "fuse_getxattr_in", Opcode.LISTXATTR: "fuse_getxattr_in", Opcode.FLUSH: "fuse_flush_in",
    Opcode.OPENDIR: "fuse_open_in", Opcode.READDIR: "fuse_read_in", Opcode.RELEASEDIR: "fuse_release_in",
    Opcode.FSYNCDIR: "fuse_fsync_in", Opcode.GETLK: "fuse_lk_in", Opcode.SETLK: "fuse_lk_in",
    Opcode.SETLKW: "fuse_lk_in", Opcode.ACCESS: "fuse_access_in", Opcode.CREATE: "fuse_create_in",
    Opcode.INTERRUPT: "fuse_interrupt_in", Opcode.BMAP: "fuse_bmap_in", Opcode.IOCTL: "fuse_ioctl_in",
    Opcode.POLL: "fuse_poll_in", Opcode.BATCH_FORGET: "fuse_batch_forget_in",
    Opcode.FALLOCATE: "fuse_fallocate_in", Opcode.READDIRPLUS: "fuse_read_in", Opcode.RENAME2: "fuse_rename2_in",
    Opcode.LSEEK: "fuse_lseek_in", Opcode.COPY_FILE_RANGE: "fuse_copy_file_range_in",
    Opcode.SETUPMAPPING: "fuse_setupmapping_in", Opcode.REMOVEMAPPING: "fuse_removemapping_in",
    Opcode.SYNCFS: "fuse_syncfs_in", Opcode.TMPFILE: "fuse_create_in",
}  # fmt: skip


def test_opcodes_are_the_kernels(header: str) -> None:
    theirs = {
        name: int(number)
        for name, number in re.findall(
            r"FUSE_(\w+)\s*= (\d+),", header.partition("enum fuse_opcode")[2].partition("}")[0]
        )
    }
    theirs = {name: number for name, number in theirs.items() if number < 4096}
    assert {one.name: int(one) for one in Opcode if one.name not in AFTER_IT} == {
        name: number for name, number in theirs.items() if name in Opcode.__members__ and name not in AFTER_IT
    }


def test_flags_are_the_kernels(header: str) -> None:
    theirs = dict(re.findall(r"#define FUSE_(\w+)\s+\(1(?:ULL)? << (\d+)\)", header))
    for flag in Init:
        assert flag == 1 << int(theirs[flag.name or ""]), flag


@pytest.mark.parametrize("opcode", BODIES, ids=lambda opcode: opcode.name)
def test_requests_have_the_kernels_layout(header: str, opcode: Opcode) -> None:
    theirs = structures(header)[BODIES[opcode]]
    assert REQUESTS[opcode].numbers.upper() == theirs.upper()  # times are unsigned there, and cast


def test_sizes_of_replies(header: str) -> None:
    theirs = {name: calcsize("<" + form) for name, form in structures(header).items()}
    a, timeout = Attributes(), codec.Timeout(1, 0)
    sizes = {
        "fuse_attr_out": codec.pack_attr(a, timeout),
        "fuse_entry_out": codec.pack_entry(1, a, timeout),
        "fuse_open_out": codec.pack_open(1, 0),
        "fuse_write_out": codec.pack_write(1),
        "fuse_getxattr_out": codec.pack_write(1),
        "fuse_lseek_out": codec.pack_offset(1),
        "fuse_statfs_out": codec.pack_statfs(Statfs()),
        "fuse_lk_out": codec.pack_lock(0, 1, 0, 0),
        "fuse_init_out": codec.pack_init(31, 0, Init(0), max_write=4096, background=1),
        "fuse_out_header": codec.pack_reply(1),
        "fuse_dirent": codec.pack_dirent(1, 1, 1, b""),
    }
    assert {name: len(packed) for name, packed in sizes.items()} == {name: theirs[name] for name in sizes}
    assert theirs["fuse_in_header"] == f.IN_HEADER_SIZE == len(codec.pack_request(Opcode.READLINK, 1, 1))
    assert theirs["fuse_in_header"] + theirs["fuse_write_in"] == f.WRITE_HEADER_SIZE


numbers = {
    "H": st.integers(0, 0xFFFF),
    "I": st.integers(0, 0xFFFFFFFF),
    "Q": st.integers(0, (1 << 64) - 1),
    "q": st.integers(-(1 << 63), (1 << 63) - 1),
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[Opcode, tuple[object, ...]]:
    opcode = draw(st.sampled_from(list(Opcode)))
    form = REQUESTS[opcode]
    fields: list[object] = [draw(numbers[code]) for code in form.numbers]
    fields += [draw(st.binary(max_size=9).map(lambda text: text.replace(b"\0", b"x"))) for _ in range(form.strings)]
    fields += [draw(st.binary(max_size=9))] if form.data else []
    return opcode, tuple(fields)


@given(requests())
def test_what_was_packed_is_unpacked(request_: tuple[Opcode, tuple[object, ...]]) -> None:
    opcode, fields = request_
    frame = codec.pack_request(opcode, 7, 9, *fields, uid=3, gid=4, pid=5)
    assert f.InHeader._make(codec.unpack_header(frame)) == (len(frame), opcode, 7, 9, 3, 4, 5, 0, 0)
    assert UNPACK[opcode](frame) == fields


@given(st.sampled_from(list(Opcode)), st.binary(max_size=120))
def test_anything_is_unpacked_or_malformed(opcode: Opcode, body: bytes) -> None:
    try:
        fields = UNPACK[opcode](bytes(f.IN_HEADER_SIZE) + body)
    except Malformed:
        return
    form = REQUESTS[opcode]
    assert len(fields) == len(form.numbers) + form.strings + form.data
    for text in fields[len(form.numbers) : len(form.numbers) + form.strings]:
        assert b"\0" not in text


def test_node_ids_to_forget() -> None:
    pairs = [(5, 1), (1 << 63, (1 << 64) - 1)]
    assert list(codec.unpack_forgets(2, codec.pack_forgets(pairs))) == pairs
    assert list(codec.unpack_forgets(1, codec.pack_forgets(pairs))) == pairs[:1]
    with pytest.raises(Malformed):
        codec.unpack_forgets(3, codec.pack_forgets(pairs))


@given(
    st.lists(
        st.tuples(
            st.integers(0, (1 << 63) - 1),
            st.integers(1, (1 << 31) - 1),
            st.integers(0, 15),
            st.binary(min_size=1, max_size=255),
        ),
        max_size=9,
    )
)
def test_entries_of_a_driver_become_those_of_the_kernel(entries: list[tuple[int, int, int, bytes]]) -> None:
    packed, _ = pack_dirents(
        [Dirent(0, 0, inode, cookie, kind, name) for inode, cookie, kind, name in entries], 1 << 16
    )
    ours = list(codec.entries_of(b"".join(packed)))
    assert ours == entries
    pieces = [codec.pack_dirent(*one) for one in ours]
    assert [len(piece) for piece in pieces] == [codec.dirent_size(name, plus=False) for *_, name in entries]
    assert [one[:4] for one in codec.unpack_dirents(b"".join(pieces))] == entries
    plus = b"".join(codec.NO_ENTRY + piece for piece in pieces)
    assert codec.unpack_dirents(plus, plus=True) == [(*one, 0) for one in entries]


def test_timeouts() -> None:
    assert codec.Timeout.of(0) == (0, 0)
    assert codec.Timeout.of(1.5) == (1, 500_000_000)
    assert codec.Timeout.of(float("inf")) == (1 << 62, 0)
