"""Several verbs for one request, of which the first may ask to be repeated in a worker thread, and
no later one.

``WouldBlock`` makes the server repeat the whole request. That is right as long as nothing was
changed. Once a verb has changed something, a repetition would do it again (a second mkdir says
EEXIST, a second rename ENOENT), so from then on ``WouldBlock`` is a fault of the driver: it is
logged, and the client gets EIO.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import WouldBlock

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("ninep.server")


class Steps:
    """The verbs of one request, in order, from the first one that changes something."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a verb. ``WouldBlock`` is raised by the first one only."""
        try:
            result = verb(*args, **kwargs)
        except WouldBlock as error:
            if self._begun:
                raise too_late(verb) from error
            raise
        self._begun = True
        return result


def too_late(verb: object) -> Refused:
    """The error for a verb that asks to be repeated when something was changed already: EIO, and a
    line in the log.
    """
    name = getattr(verb, "__qualname__", verb)
    log.error("%s raised WouldBlock after a change of the same request: answered with EIO", name)
    return Refused(Errno.EIO, f"{name} would have to wait, after a change")
