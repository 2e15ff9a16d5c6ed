"""Settings of a process that serves: event loop, garbage collector, thread switches, and its end
when threads hang.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from time import monotonic
from typing import Any, TypeVar

from ninep.server.server import THREAD_NAME
from ninep.transport import Address, transport_of

log = logging.getLogger("ninep.serve")
T = TypeVar("T")


def run_in_loop(listen: Iterable[Address], main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in the fastest event loop that knows the sockets listened at."""
    tune_garbage_collector()
    shorten_switch_interval()
    if not all(transport_of(address).uvloop for address in listen):
        return asyncio.run(main())
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return asyncio.run(main())
    return uvloop.run(main())


def cannot_listen(address: Address, error: OSError) -> OSError:
    """With a sentence."""
    return OSError(error.errno, f"cannot listen on {address}: {error.strerror or error}")


def exit_without_hung_threads(wait: float = 1.0) -> None:
    """End the process although a thread waits for a device that does not answer: Python would wait
    for it before it ends.
    """
    deadline = monotonic() + wait
    hanging = 0
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD_NAME):
            thread.join(max(0.0, deadline - monotonic()))
            hanging += thread.is_alive()
    if hanging:
        log.error("%d requests still wait for a device that does not answer: ending without them", hanging)
        logging.shutdown()
        os._exit(1)


def tune_garbage_collector() -> None:
    """Run the cyclic garbage collector rarely, and never over the objects that were there before
    the first client.

    Fids and nodes live long and are freed by their reference counts; with the default thresholds a
    client that walks to many files makes the collector go through all of them again and again (3 to
    100 us a walk, with the number of fids).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def shorten_switch_interval() -> None:
    """Threads that compute (large listings, closing many fids) give the interpreter back to the
    event loop after half a millisecond, and not after the usual five: each of them would be waited
    for in turn.
    """
    sys.setswitchinterval(0.0005)
