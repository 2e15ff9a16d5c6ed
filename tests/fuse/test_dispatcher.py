"""Requests in, replies out: what is agreed on, what is refused, and in which order things end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from struct import unpack_from

import pytest
from tests.support.fuse_kernel import OFFERED, ROOT, Kernel, refused
from tests.support.served import LAYERS

from ninep.drivers.memory import MemoryDriver
from ninep.fuse.dispatcher import LATER, NEVER, place
from ninep.fuse.handlers.beginning import AGREED
from ninep.fuse.table import ABSENT, ROWS, SILENT
from ninep.linux import Errno
from ninep.node import Node, serve_in_this_thread
from ninep.server.access import Access, Rule
from ninep.server.exports import Export
from ninep.server.limits import Limits
from ninep.testing.faults import Faults
from ninep.transport.fuse import MountOptions
from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec
from ninep.wire.fuse import Init, Malformed, Opcode

# -- INIT --------------------------------------------------------------------------------------------------------------


def agreed(body: bytes) -> tuple[int, int, Init, int, int]:
    """Major, minor, flags, max_write and max_pages of ``fuse_init_out``."""
    assert len(body) == 64
    major, minor, _, flags, _, _, max_write, _, pages, _, more = unpack_from("<IIIIHHIIHHI", body)
    return major, minor, Init(flags | more << 32), max_write, pages


def test_what_is_agreed_on() -> None:
    kernel = Kernel()
    assert agreed(kernel.init()) == (7, f.MINOR, sum(AGREED, Init(0)), 1 << 20, 256)
    kernel.end()


@pytest.mark.parametrize("minor", [31, 36, f.MINOR])
def test_an_older_kernel_is_answered_in_its_version(minor: int) -> None:
    kernel = Kernel()
    assert agreed(kernel.init(minor=minor))[1] == minor
    kernel.end()


def test_a_newer_kernel_is_answered_in_ours() -> None:
    kernel = Kernel()
    assert agreed(kernel.init(minor=99))[1] == f.MINOR
    kernel.end()


def test_only_what_the_kernel_offers_is_taken() -> None:
    kernel = Kernel()
    assert agreed(kernel.init(Init.ASYNC_READ, more=b""))[2] == Init.ASYNC_READ
    kernel.end()


def test_flags_beyond_32_bits_need_one_that_says_so() -> None:
    assert codec.unpack_init_flags(Init.INIT_EXT, b"\1" + bytes(47)) == Init.INIT_EXT | Init.SECURITY_CTX
    assert codec.unpack_init_flags(0, b"\1" + bytes(47)) == Init(0)
    assert codec.unpack_init_flags(Init.INIT_EXT, b"\1") == Init.INIT_EXT


@pytest.mark.parametrize(("locks", "taken"), [("local", Init(0)), ("shared", Init.POSIX_LOCKS)])
def test_locks_are_the_kernels_own_or_those_of_fcntl_the_exports(locks: str, taken: Init) -> None:
    kernel = Kernel(options=MountOptions(locks=locks))
    assert Init(agreed(kernel.init())[2]) & (Init.POSIX_LOCKS | Init.FLOCK_LOCKS) == taken
    kernel.end()


def test_a_smaller_limit_of_messages() -> None:
    kernel = Kernel(limits=Limits(msize=20000))
    assert agreed(kernel.init())[3:] == (16384, 4)
    kernel.end()


@pytest.mark.parametrize(("major", "minor"), [(6, 99), (7, 30), (7, 0)])
def test_a_kernel_that_is_too_old(major: int, minor: int) -> None:
    kernel = Kernel()
    with refused(Errno.EPROTO):
        kernel.ask(Opcode.INIT, 0, major, minor, 0, 0, b"")
    kernel.end()


def test_a_kernel_of_a_newer_major_version_asks_again() -> None:
    kernel = Kernel()
    assert agreed(kernel.ask(Opcode.INIT, 0, 8, 0, 0, OFFERED, b""))[:2] == (7, f.MINOR)
    with refused(Errno.EIO):
        kernel.attr(ROOT)
    kernel.init()
    kernel.attr(ROOT)
    kernel.end()


def test_nothing_is_served_before(kernels: Callable[..., Kernel]) -> None:
    kernel = Kernel()
    for opcode in (Opcode.GETATTR, Opcode.LOOKUP, Opcode.STATFS, Opcode.ACCESS):
        with refused(Errno.EIO):
            kernel.ask(opcode, ROOT, *example(opcode))
    kernel.end()


def test_an_export_that_the_peer_may_not_have() -> None:
    export = Export("", MemoryDriver(), access=Access((Rule(kind="uid", number=5),), closed=True))
    kernel = Kernel(export=export)
    with refused(Errno.EACCES):
        kernel.init()
    with refused(Errno.EIO):
        kernel.attr(ROOT)
    kernel.end()


@pytest.mark.parametrize("opcode", [Opcode.INIT, Opcode.DESTROY])
def test_a_session_ends_with_all_that_it_had(kernel: Kernel, opcode: Opcode) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.ask(Opcode.SETLK, made.nodeid, made.fh, 1, 0, 9, 1, 0, 0, 0)
    if opcode == Opcode.DESTROY:
        assert kernel.ask(opcode, 0) == b""
    kernel.init()
    kernel.close_sessions()
    kernel.audit_open = list(kernel.audit.open.values())
    assert len(kernel.audit_open) == 1, "the new root"
    with refused(Errno.EBADF):
        kernel.read(made.fh)
    with refused(Errno.ESTALE):
        kernel.attr(made.nodeid)


def test_a_slow_export_is_attached_in_a_thread() -> None:
    def waits_to_attach(root: Node, user: object) -> Node:
        from ninep.node import check_may_wait

        check_may_wait()
        return root

    kernel = Kernel(layers=[waits_to_attach])
    unique = kernel.send(Opcode.INIT, 0, 7, 39, 0, 0, b"")
    assert unique in kernel.dispatcher.in_flight
    assert agreed(kernel.reply(unique))[0] == 7
    kernel.end()


# -- what is refused ---------------------------------------------------------------------------------------------------


def example(opcode: Opcode) -> list[object]:
    """Fields that can be packed: zeros, short names."""
    form = f.REQUESTS[opcode]
    return [*([0] * len(form.numbers)), *([b"n"] * form.strings), *([b""] if form.data else [])]


def test_every_opcode_has_a_row_or_a_reason() -> None:
    special = SILENT | {Opcode.INIT, Opcode.DESTROY}
    assert set(Opcode) == set(ROWS) | set(ABSENT) | special
    assert not set(ROWS) & set(ABSENT)
    assert set(f.REQUESTS) == set(Opcode)
    assert all(ABSENT.values())


@pytest.mark.parametrize("opcode", ABSENT)
def test_what_there_is_not(kernel: Kernel, opcode: Opcode) -> None:
    with refused(Errno.ENOSYS):
        kernel.ask(opcode, ROOT, *example(opcode))


@pytest.mark.parametrize("number", [0, 7, 19, 53, 4096, 0xFFFFFFFF])
def test_opcodes_that_there_are_not(kernel: Kernel, number: int) -> None:
    frame = bytearray(codec.pack_request(Opcode.READLINK, 5, ROOT))
    frame[4:8] = number.to_bytes(4, "little")
    kernel.send_frame(bytes(frame))
    with refused(Errno.ENOSYS):
        kernel.reply(5)


@pytest.mark.parametrize("opcode", sorted(set(ROWS) | {Opcode.INIT}))
def test_requests_that_are_cut_off_or_too_long(kernel: Kernel, opcode: Opcode) -> None:
    form = f.REQUESTS[opcode]
    whole = codec.pack_request(opcode, 5, ROOT, *example(opcode))
    wrong = [whole[:-1]] if form.numbers and not form.strings else []
    if form.strings:
        wrong.append(whole[: whole.rindex(b"n") + 1])
    if not form.data:
        wrong.append(whole + b"\0")
    for frame in wrong:
        kernel.send_frame(len(frame).to_bytes(4, "little") + frame[4:])
        with refused(Errno.EPROTO):
            kernel.reply(5)
    if opcode == Opcode.INIT:
        kernel.init()


def test_a_name_ends_with_its_message(kernel: Kernel) -> None:
    frame = codec.pack_request(Opcode.LOOKUP, 5, ROOT, b"a\0b")
    kernel.send_frame(frame)
    with refused(Errno.EPROTO):
        kernel.reply(5)


@pytest.mark.parametrize(
    "frame", [b"", bytes(39), codec.pack_request(Opcode.READLINK, 5, ROOT) + b"x", b"\x27" + bytes(39)]
)
def test_what_is_no_request_ends_the_connection(kernel: Kernel, frame: bytes) -> None:
    with pytest.raises(Malformed):
        kernel.send_frame(frame)


def test_fewer_node_ids_than_were_announced(kernel: Kernel) -> None:
    assert kernel.send_frame(codec.pack_request(Opcode.BATCH_FORGET, 5, 0, 1 << 31, 0, bytes(32))) == NEVER
    assert not kernel.dispatcher.forgotten


@pytest.mark.parametrize("opcode", sorted(SILENT))
def test_what_is_never_answered(kernel: Kernel, opcode: Opcode) -> None:
    assert kernel.send_frame(codec.pack_request(opcode, 5, 999, *example(opcode))) == NEVER
    assert not kernel.replies


def test_our_own_defects_are_logged_and_answered(
    kernels: Callable[..., Kernel], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Faults):
        def __call__(self, root: Node, user: object) -> Node:
            root = super().__call__(root, user)  # type: ignore[arg-type]
            self._plan["statfs"] = []
            return root

    kernel = kernels()
    kernel.dispatcher.session.node(ROOT).inner.statfs = lambda: 1 / 0  # type: ignore[attr-defined]
    with caplog.at_level(logging.ERROR), refused(Errno.EIO):
        kernel.ask(Opcode.STATFS, ROOT)
    assert "STATFS from" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_errors_are_counted(kernel: Kernel) -> None:
    for _ in range(3):
        with refused(Errno.ENOENT):
            kernel.lookup(ROOT, b"none")
    assert kernel.budgets.counters.errors[Errno.ENOENT] == 3


# -- requests in threads -----------------------------------------------------------------------------------------------


@pytest.fixture
def slow(kernels: Callable[..., Kernel]) -> Kernel:
    """One whose driver waits."""
    return kernels(layers=[LAYERS["waits"]])


def test_all_requests_of_a_slow_driver_go_to_threads(slow: Kernel) -> None:
    unique = slow.send(Opcode.GETATTR, ROOT, 0, 0, 0)
    assert not slow.replies
    assert slow.reply(unique)


@pytest.mark.parametrize("begun", [False, True], ids=["in the queue", "running"])
def test_an_interrupt_changes_nothing_but_the_wait_for_a_lock(slow: Kernel, begun: bool) -> None:
    """No program expects EINTR of mkdir(2): see signal(7)."""
    unique = slow.send(Opcode.MKDIR, ROOT, 0o755, 0, b"d")
    request = slow.dispatcher.next() if begun else None
    slow.send(Opcode.INTERRUPT, 0, unique)
    if request is None:
        slow.run_threads()
    else:
        slow.dispatcher.finish(request, request.call)
        slow.collect()
    assert slow.reply(unique)
    assert slow.lookup(ROOT, b"d")


def test_an_interrupt_of_nothing(kernel: Kernel) -> None:
    kernel.send(Opcode.INTERRUPT, 0, 12345)
    assert not kernel.replies


def test_one_unique_twice(slow: Kernel) -> None:
    """As no kernel does: both are answered, one of them with an error."""
    slow.send(Opcode.GETATTR, ROOT, 0, 0, 0, unique=8)
    slow.send(Opcode.GETATTR, ROOT, 0, 0, 0, unique=8)
    with refused(Errno.EINVAL):
        slow.reply(8)
    slow.run_threads()
    assert slow.reply(8)


def test_a_request_of_a_session_that_is_over_is_not_answered(slow: Kernel) -> None:
    unique = slow.send(Opcode.GETATTR, ROOT, 0, 0, 0)
    request = slow.dispatcher.next()
    slow.send(Opcode.DESTROY, 0)
    assert not slow.dispatcher.over, "it is still used"
    slow.dispatcher.finish(request, request.call)
    assert len(slow.dispatcher.over) == 1
    slow.collect()
    assert unique not in slow.replies


def test_requests_in_flight_are_bounded(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(layers=[LAYERS["waits"]], limits=Limits(in_flight=3))
    for _ in range(2):
        kernel.send(Opcode.GETATTR, ROOT, 0, 0, 0)
    assert kernel.dispatcher.has_room()
    kernel.send(Opcode.GETATTR, ROOT, 0, 0, 0)
    assert not kernel.dispatcher.has_room()
    kernel.run_threads()
    assert kernel.dispatcher.has_room()


# -- in place ----------------------------------------------------------------------------------------------------------


def room(*sizes: int) -> list[memoryview]:
    return [memoryview(bytearray(size)) for size in sizes]


@pytest.mark.parametrize("sizes", [(16, 104), (120,), (7, 9, 50, 4096), (1,) * 200])
def test_a_reply_is_written_where_the_kernel_wants_it(kernel: Kernel, sizes: tuple[int, ...]) -> None:
    views = room(*sizes)
    assert kernel.dispatcher.dispatch(codec.pack_request(Opcode.GETATTR, 9, ROOT, 0, 0, 0), None, views) == 120
    whole = b"".join(views)[:120]
    assert codec.unpack_out_header(whole) == (120, 0, 9)
    assert whole[16:] == kernel.ask(Opcode.GETATTR, ROOT, 0, 0, 0)


def test_a_reply_that_has_no_room_is_an_error(kernel: Kernel) -> None:
    views = room(16, 100)
    assert kernel.dispatcher.dispatch(codec.pack_request(Opcode.GETATTR, 9, ROOT, 0, 0, 0), None, views) == 16
    assert codec.unpack_out_header(views[0]) == (16, -Errno.EIO, 9)


def test_no_room_for_an_error_either(kernel: Kernel) -> None:
    views = room(15)
    assert kernel.dispatcher.dispatch(codec.pack_request(Opcode.GETATTR, 9, ROOT, 0, 0, 0), None, views) == NEVER
    assert bytes(views[0]) == bytes(15)


def test_data_that_were_left_where_they_are(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    frame = codec.pack_request(Opcode.WRITE, 9, made.nodeid, made.fh, 0, 6, 0, 0, 0, 0, b"abcdef")
    views = room(16, 8)
    data = [memoryview(bytearray(b"abc")), memoryview(bytearray(b"def"))]
    assert kernel.dispatcher.dispatch(frame[: f.WRITE_HEADER_SIZE], data, views) == 24
    assert kernel.read(made.fh) == b"abcdef"


def test_place() -> None:
    views = room(3, 3)
    assert place(views, (b"ab", b"", b"cde")) == 5
    assert [bytes(view) for view in views] == [b"abc", b"de\0"]
    assert place(views, (b"1234567",)) == 0


def read_frame(fh: int, size: int, unique: int = 9) -> bytes:
    return codec.pack_request(Opcode.READ, unique, ROOT, fh, 0, size, 0, 0, 0, 0)


@pytest.mark.parametrize("kind", ["fast", "misses", "waits"])
@pytest.mark.parametrize(("size", "sizes"), [(10, (16, 4, 6)), (4, (16, 10)), (10, (16, 10, 10)), (10, (26,))])
def test_data_are_read_to_where_they_belong(
    kernels: Callable[..., Kernel], kind: str, size: int, sizes: tuple[int, ...]
) -> None:
    kernel = kernels(layers=[LAYERS[kind]])
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"0123456789")
    views = room(*sizes)
    serve_in_this_thread(1)
    written = kernel.dispatcher.dispatch(read_frame(made.fh, size), None, views)
    serve_in_this_thread(-1)
    if kind != "fast":  # the reply comes from a thread, and the transport puts it there
        assert written == LATER
        assert kernel.reply(9) == b"0123456789"[:size]
        return
    whole = b"".join(views)
    assert written == 16 + size
    assert codec.unpack_out_header(whole) == (16 + size, 0, 9)
    assert whole[16:written] == b"0123456789"[:size]


def test_no_room_for_data(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"0123")
    assert kernel.dispatcher.dispatch(read_frame(made.fh, 4), None, room(15)) == NEVER
    assert kernel.dispatcher.dispatch(read_frame(made.fh, 4), None, room(18)) == 18, "cut to the room"
    views = room(100)
    assert kernel.dispatcher.dispatch(read_frame(99, 4), None, views) == 16
    assert codec.unpack_out_header(views[0]) == (16, -Errno.EBADF, 9)


@pytest.mark.parametrize("kind", ["fast", "waits"])
def test_data_that_are_written_from_where_they_are(kernels: Callable[..., Kernel], kind: str) -> None:
    kernel = kernels(layers=[LAYERS[kind]])
    made = kernel.create(ROOT, b"f")
    frame = codec.pack_request(Opcode.WRITE, 9, made.nodeid, made.fh, 2, 6, 0, 0, 0, 0, b"")
    frame = (86).to_bytes(4, "little") + frame[4:]
    data = [memoryview(bytearray(b"abc")), memoryview(bytearray(b"def"))]
    written = kernel.dispatcher.dispatch(frame, data, room(16, 8))
    assert written == (24 if kind == "fast" else LATER)
    for view in data:
        view[:] = b"xxx"  # the guest may use the pages again when it has the reply, or before
    kernel.run_threads()
    assert kernel.read(made.fh) == b"\0\0abcdef"


def test_data_of_something_that_is_no_write(kernel: Kernel) -> None:
    frame = codec.pack_request(Opcode.SETXATTR, 9, ROOT, 1, 0, b"user.a", b"")
    frame = (len(frame) + 1).to_bytes(4, "little") + frame[4:]
    assert kernel.dispatcher.dispatch(frame, [memoryview(bytearray(b"v"))], room(16)) == 16
    assert kernel.ask(Opcode.GETXATTR, ROOT, 10, 0, b"user.a") == b"v"
