"""Which threads may wait."""

import threading

import pytest

from ninep import node
from ninep.errors import linux_errno
from ninep.linux import Errno
from ninep.would_block import WouldBlock, check_may_wait, may_wait, serve_in_this_thread


def test_the_thread_of_an_event_loop_must_not_wait() -> None:
    assert may_wait()
    serve_in_this_thread(1)
    try:
        assert not may_wait()
        with pytest.raises(WouldBlock):
            check_may_wait()
        elsewhere: list[bool] = []
        thread = threading.Thread(target=lambda: elsewhere.append(may_wait()))
        thread.start()
        thread.join()
        assert elsewhere == [True]
        serve_in_this_thread(1)  # a second server in the same loop ...
        serve_in_this_thread(-1)  # ... ends before the first
        assert not may_wait()
    finally:
        serve_in_this_thread(-1)
    check_may_wait()


def test_drivers_find_it_in_their_specification() -> None:
    assert node.WouldBlock is WouldBlock
    assert linux_errno(WouldBlock()) is Errno.EAGAIN
