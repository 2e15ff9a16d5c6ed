"""One of several processes that serve: what it and its parent say to each other, on a socket
between them. See ``workers``.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from time import monotonic
from typing import Any, Final, NamedTuple, NoReturn, Protocol

CONNECTION: Final = b"+"
PING: Final = b"?"
"""What the parent sends: a connection, with its descriptor and the number of the listening socket
that it is from (two bytes), or nothing but a question. Each message is answered.
"""
PREPARE: Final = b"R"
COMMIT: Final = b"C"
ABANDON: Final = b"A"
"""What the parent sends for a change that all make or none (``worker_change``): to prepare it, with
the descriptor of a file that says what it is; to make it; to forget it.
"""
LEAVE: Final = b"L"
"""Another server listens where this one did (``Pool.leave``)."""
READY: Final = b"!"
ANSWER: Final = b"."
ENDED: Final = b"-"
PREPARED: Final = b"k"
FAILED: Final = b"f"
DRAIN: Final = b"~"
"""What a worker sends: it serves, it has taken a message, a connection has ended, a change is
prepared, or cannot be, it was asked for the end of all connections (``Pool.drain``).
"""

HANDLES: Final = 12
"""What a worker opens before it serves."""
ACCEPT_TIMEOUT: Final = 0.25
HANG_TIMEOUT: Final = 6.0
KILL_TIMEOUT: Final = 2.0
"""What SIGKILL does not end in time waits in the kernel for a device, and is left to it."""

MAX_MESSAGE: Final = 1 << 12
"""Bytes and descriptors that are received at once: more than there can be."""

ENDING: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
_fork: Callable[[], int] | None = getattr(os, "fork", None)
_HANGUP: Final = getattr(signal, "SIGHUP", None)
_mask: Any = getattr(signal, "pthread_sigmask", None)
_BLOCK, _UNBLOCK, _SET = (getattr(signal, name, 0) for name in ("SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"))
_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)
_send: Any = getattr(socket, "send_fds", None)
_receive: Any = getattr(socket, "recv_fds", None)


def can_hand_over() -> bool:
    """Whether this system's Python sends descriptors (SCM_RIGHTS)."""
    return _send is not None and _receive is not None


Work = Callable[[socket.socket, int], None]
"""What a worker does with its line to the parent, and as which of them (from 0), until it is asked to
stop (by SIGTERM, or the end of the parent).
"""


class Handed(NamedTuple):
    """A connection, and the number of the listening socket that it came to."""

    number: int
    sock: socket.socket


class Asked(NamedTuple):
    """Another message, with the descriptor that came with it."""

    what: bytes
    descriptor: int = -1


def _read(said: bytes, descriptors: Sequence[int]) -> list[Handed | Asked]:
    """What the parent said, in its order."""
    found: list[Handed | Asked] = []
    left = iter(descriptors)
    at = 0
    while at < len(said):
        what, at = said[at : at + 1], at + 1
        if what == CONNECTION:
            number, at = int.from_bytes(said[at : at + 2], "little"), at + 2
            found.append(Handed(number, socket.socket(fileno=next(left))))
        else:
            found.append(Asked(what, next(left) if what == PREPARE else -1))
    return found


class Worker:
    """One process, as the parent sees it."""

    def __init__(self, pid: int, control: socket.socket, place: int, theirs: socket.socket) -> None:
        self.pid = pid
        self.place = place
        """Which of them it is; one that is started in its stead is the same."""
        self.control = control
        self.theirs = theirs
        """The worker's end of ``control``: what it has not received yet can be received here."""
        self.connections = 0
        self.began = monotonic()
        self.ready = False
        self.aside = False
        self.asked_to_end = False
        self.killed = 0.0
        """When."""
        self.owes = 0
        """Messages that it has not answered ..."""
        self.since = self.began
        """... and since when; or when it answered the last one."""

    def serves(self) -> None:
        """It said that it is ready."""
        self.ready = True

    def took_connection(self) -> None:
        """A connection was handed to it."""
        self.connections += 1

    def ended(self, connections: int) -> None:
        """It said that so many of its connections have ended."""
        self.connections -= connections

    def answered(self, messages: int) -> None:
        """It said that it has taken so many messages."""
        self.owes -= messages
        self.since = monotonic()

    def ask_to_end(self) -> None:
        """A clean end: it has no connection any more."""
        self.asked_to_end = True
        os.kill(self.pid, signal.SIGTERM)

    def late(self, now: float) -> bool:
        """It has owed an answer for so long that no connection should wait for it."""
        return self.owes > 0 and now - self.since > ACCEPT_TIMEOUT

    def due(self, began: float, deadline: float) -> float:
        """When, since the end began, it is to be forced: one whose event loop hangs need not be
        waited for as long.
        """
        if self.killed:
            return self.killed + KILL_TIMEOUT
        return min(deadline, began + HANG_TIMEOUT) if self.owes else deadline

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """``OSError`` if it is dead, or its line is full."""
        if descriptors:
            _send(self.control, [message], descriptors)
        else:
            self.control.send(message)
        if not self.owes:
            self.since = monotonic()
        self.owes += 1

    def hand(self, connection: socket.socket, number: int) -> None:
        """Give it a connection that came to the listening socket of this number. ``OSError`` as of
        ``send``.
        """
        self.send(CONNECTION + number.to_bytes(2, "little"), [connection.fileno()])

    def take_back(self) -> list[Handed]:
        """The connections that it has not received, and will not receive now. What else it was sent
        and has not received, but for questions, it is sent again; and one question, if nothing else is.
        It owes its answers since when it did before.
        """
        since = self.since
        back: list[Handed] = []
        again: list[Asked] = []
        while True:
            try:
                said, descriptors, _, _ = _receive(self.theirs, MAX_MESSAGE, MAX_MESSAGE)
            except OSError:  # EAGAIN: that was all
                break
            if not said:
                break
            for message in _read(said, descriptors):
                self.owes -= 1
                if isinstance(message, Handed):
                    self.connections -= 1
                    back.append(message)
                elif message.what != PING:
                    again.append(message)
        for asked in again:
            with suppress(OSError):
                self.send(asked.what, [asked.descriptor] if asked.descriptor >= 0 else [])
            if asked.descriptor >= 0:
                os.close(asked.descriptor)
        if not self.owes:
            with suppress(OSError):
                self.send(PING)
        self.since = since
        return back

    def kill(self) -> None:
        """End it at once, unless it waits in the kernel."""
        self.killed = monotonic()
        os.kill(self.pid, _KILL)

    def close(self) -> None:
        """Let go of the line."""
        self.control.close()
        self.theirs.close()


def need_handles(any_one: socket.socket) -> None:
    """``OSError`` if a fork of this process could not open what an event loop needs: better said
    here than by a worker that dies of it.
    """
    with ExitStack() as opened:
        for _ in range(HANDLES):
            opened.callback(os.close, os.dup(any_one.fileno()))


def fork_worker(place: int, become: Callable[[socket.socket, int], NoReturn], any_one: socket.socket) -> Worker:
    """Start a worker: ``become`` is called in it, with its line to this process and ``place``.
    ``OSError``.
    """
    if _fork is None or not can_hand_over():
        raise OSError(errno.ENOSYS, "several workers need fork(2), which this system does not have")
    need_handles(any_one)
    ours, theirs = socket.socketpair()
    # A worker that is asked to end while it begins must not have our handlers any more, which do nothing.
    before = _mask(_BLOCK, ENDING)
    try:
        pid = _fork()
        if pid == 0:
            ours.close()
            become(theirs, place)
    except OSError:
        ours.close()
        theirs.close()
        raise
    finally:
        _mask(_SET, before)
    ours.setblocking(False)
    theirs.setblocking(False)
    return Worker(pid, ours, place, theirs)


def hear_signals(numbers: Iterable[int]) -> None:
    """In the parent: they write to the descriptor of ``signal.set_wakeup_fd`` from now on, also those that
    came since the start of the program, which were blocked. SIGHUP stays ignored if it is: nohup(1).
    """
    heard = {one for one in numbers if signal.getsignal(one) is not signal.SIG_IGN or one != _HANGUP}
    for number in heard:
        signal.signal(number, lambda *_: None)
    _mask(_UNBLOCK, heard)


def reset_signals(heard: Iterable[int], ignored: Iterable[int]) -> None:
    """In a worker that begins: the handlers are the parent's."""
    signal.set_wakeup_fd(-1)
    for number in heard:
        signal.signal(number, signal.SIG_DFL)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    _mask(_UNBLOCK, ENDING)


def how_ended(status: int) -> str:
    """A process, by its status of wait(2)."""
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


# -- in a worker ---------------------------------------------------------------------------------------------------------


class Follower(Protocol):
    """What makes the changes of this process: each method is called in the event loop, and what came
    of ``prepare`` is said with PREPARED or FAILED.
    """

    def prepare(self, descriptor: int) -> None:
        """Get ready for what the file says, which is to be closed."""

    def commit(self) -> None:
        """Make the change that was asked for last, as soon as it is prepared."""

    def abandon(self) -> None:
        """Forget it."""

    def leave(self) -> None:
        """Another server answers at the addresses of this one now."""


def follow(follower: Follower, asked: Asked) -> None:
    """Call what was asked for; nothing for a question."""
    if asked.what == PREPARE:
        follower.prepare(asked.descriptor)
    elif asked.what == COMMIT:
        follower.commit()
    elif asked.what == ABANDON:
        follower.abandon()
    elif asked.what == LEAVE:
        follower.leave()


def take_messages(control: socket.socket) -> list[Handed | Asked] | None:
    """What the parent sent: connections that it handed over, and the rest; None when it is gone.
    What is taken is answered.
    """
    try:
        said, descriptors, _, _ = _receive(control, MAX_MESSAGE, MAX_MESSAGE)
    except BlockingIOError:
        return []
    if not said:
        return None
    messages = _read(said, descriptors)
    say(control, ANSWER * len(messages))
    return messages


def say(control: socket.socket, what: bytes) -> None:
    """Tell the parent something; that it is gone is noticed elsewhere."""
    with suppress(OSError):
        control.send(what)


def when_parent_ends(control: socket.socket, then: Callable[[], None]) -> None:
    """Call ``then``, in a thread of its own, when the parent is gone: an event loop that hangs
    would not notice.
    """
    poll: Any = getattr(select, "poll", None)

    def wait() -> None:
        poller = poll()
        poller.register(control.fileno(), 0)  # POLLHUP alone
        poller.poll()
        then()

    threading.Thread(target=wait, name="ninep-parent", daemon=True).start()
