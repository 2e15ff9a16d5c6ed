"""Node ids and handles."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.fuse_kernel import ROOT, Kernel, entry_of, refused

from ninep.errors import linux_errno
from ninep.fuse.dispatcher import Request
from ninep.fuse.session import Session
from ninep.fuse.table import TABLE
from ninep.linux import Errno
from ninep.server.limits import Limits
from ninep.wire.fuse import Opcode
from ninep.wire.fuse_codec import pack_forgets


def test_a_node_id_lasts_until_it_is_forgotten_as_often_as_it_was_looked_up(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.release(made.fh)
    assert kernel.lookup(ROOT, b"f") == made.nodeid
    kernel.forget(made.nodeid)
    assert kernel.attr(made.nodeid).nlink == 1
    kernel.forget(made.nodeid)
    with refused(Errno.ESTALE):
        kernel.attr(made.nodeid)


def test_no_node_id_is_used_twice(kernel: Kernel) -> None:
    first = kernel.mkdir(ROOT, b"d")
    kernel.forget(first)
    assert kernel.lookup(ROOT, b"d") > first


@pytest.mark.parametrize("lookups", [2, 1 << 63, (1 << 64) - 1])
def test_more_is_forgotten_than_was_looked_up(kernel: Kernel, lookups: int) -> None:
    node = kernel.mkdir(ROOT, b"d")
    kernel.forget(node, lookups)
    with refused(Errno.ESTALE):
        kernel.attr(node)
    kernel.forget(node, lookups)


def test_the_root_is_not_forgotten(kernel: Kernel) -> None:
    kernel.forget(ROOT, 1000)
    assert kernel.attr(ROOT).nlink == 2


def test_many_are_forgotten_in_one_request_some_at_a_time(kernel: Kernel) -> None:
    nodes = [kernel.mkdir(ROOT, b"%d" % number) for number in range(600)]
    kernel.send(Opcode.BATCH_FORGET, 0, len(nodes), 0, pack_forgets([(node, 1) for node in nodes]))
    rounds = 1
    while kernel.dispatcher.forget_some():
        rounds += 1
    assert rounds == 3
    assert list(kernel.dispatcher.session.nodes) == [ROOT]


def test_a_file_with_two_names_has_one_node_id(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"one")
    linked = entry_of(kernel.ask(Opcode.LINK, ROOT, made.nodeid, b"two"))
    assert linked.nodeid == made.nodeid
    assert linked.attr.nlink == 2
    kernel.ask(Opcode.UNLINK, ROOT, b"one")
    assert kernel.lookup(ROOT, b"two") == made.nodeid
    assert kernel.attr(made.nodeid).nlink == 1


def test_the_name_that_was_looked_up_last_leads_to_the_node(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels()
    made = kernel.create(ROOT, b"one")
    kernel.release(made.fh)
    kernel.ask(Opcode.LINK, ROOT, made.nodeid, b"two")
    assert kernel.dispatcher.session.node(made.nodeid).name == b"two"


def test_what_is_open_keeps_its_node(kernel: Kernel) -> None:
    """An honest kernel forgets no inode that has an open file."""
    made = kernel.create(ROOT, b"f")
    kernel.forget(made.nodeid, 5)
    assert kernel.write(made.fh, b"data") == 4
    assert kernel.read(made.fh) == b"data"
    kernel.release(made.fh)
    with refused(Errno.EBADF):
        kernel.read(made.fh)


def test_a_file_that_is_unlinked_while_it_is_open_stays_usable(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.ask(Opcode.UNLINK, ROOT, b"f")
    kernel.write(made.fh, b"data")
    assert kernel.attr(made.nodeid)[1:11:9] == (4, 0)  # size and nlink
    other = kernel.create(ROOT, b"f")
    assert other.nodeid != made.nodeid
    assert kernel.read(made.fh) == b"data"
    assert kernel.read(other.fh) == b""


def test_more_node_ids_than_the_limit(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(limits=Limits(fids=3))
    nodes = [kernel.mkdir(ROOT, b"a"), kernel.mkdir(ROOT, b"b")]
    with refused(Errno.ENFILE):
        kernel.mkdir(ROOT, b"c")
    assert kernel.lookup(ROOT, b"a") == nodes[0]
    kernel.forget(nodes[1])
    assert kernel.lookup(ROOT, b"c") > nodes[1]
    assert kernel.budgets.counters.limits["fids"] == 1


def test_more_open_files_than_the_limit(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(limits=Limits(open_files=2))
    made = kernel.create(ROOT, b"f")
    fh = kernel.open(made.nodeid, 2)
    with refused(Errno.EMFILE):
        kernel.open(made.nodeid)
    with refused(Errno.EMFILE):
        kernel.opendir(ROOT)
    kernel.release(fh)
    kernel.open(made.nodeid)


def test_more_open_directories_than_the_limit(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(limits=Limits(directories=1))
    fh = kernel.opendir(ROOT)
    with refused(Errno.EMFILE):
        kernel.opendir(ROOT)
    kernel.ask(Opcode.RELEASEDIR, ROOT, fh, 0, 0, 0)
    kernel.opendir(ROOT)


def test_an_inode_number_that_is_used_again_is_another_node(kernel: Kernel) -> None:
    session: Session = kernel.dispatcher.session
    root = session.node(ROOT)
    attributes = root.getattr(0)
    first = session.enter(root.clone(), attributes._replace(qid_path=77, btime_sec=1))
    same = session.enter(root.clone(), attributes._replace(qid_path=77, btime_sec=1))
    other = session.enter(root.clone(), attributes._replace(qid_path=77, btime_sec=2))
    assert first is same
    assert other.nodeid > first.nodeid


class TestARequestOnItsWayToAThread:
    """What it uses is taken away by a request that another thread is busy with. Given back twice it
    would be another's: no honest kernel sends these.
    """

    def test_release(self, kernel: Kernel) -> None:
        made = kernel.create(ROOT, b"f")
        request = self.request(kernel, made.nodeid, made.fh)
        kernel.release(made.fh)
        self.pass_through(request)
        with refused(Errno.EBADF):
            kernel.read(made.fh)

    def test_forget(self, kernel: Kernel) -> None:
        made = kernel.create(ROOT, b"f")
        kernel.release(made.fh)
        request = self.request(kernel, made.nodeid, made.fh)
        kernel.forget(made.nodeid)
        self.pass_through(request)
        with refused(Errno.ESTALE):
            kernel.attr(made.nodeid)

    def test_neither(self, kernel: Kernel) -> None:
        made = kernel.create(ROOT, b"f")
        request = self.request(kernel, made.nodeid, made.fh)
        request.reference()
        kernel.release(made.fh)
        kernel.forget(made.nodeid)
        (opened,) = request.opened
        assert opened.file is not None
        assert opened.file.read(0, 1) == b""
        request.unreference()

    def request(self, kernel: Kernel, nodeid: int, fh: int) -> Request:
        """A READ."""
        return Request(kernel.dispatcher.session, TABLE[Opcode.READ], 99, nodeid, 0, 0, (fh, 0, 1, 0, 0, 0, 0))

    def pass_through(self, request: Request) -> None:
        """As one that a thread has had."""
        request.reference()
        request.unreference()


def test_a_handle_is_closed_once(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    session = kernel.dispatcher.session
    session.close(made.fh)
    with pytest.raises(OSError, check=lambda error: linux_errno(error) is Errno.EBADF):
        session.close(made.fh)
