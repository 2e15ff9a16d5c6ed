"""The driver."""

from __future__ import annotations

import time
from collections.abc import Callable

from ninep.drivers.objects.bucket import Bucket, Settings
from ninep.drivers.objects.node import ObjectNode
from ninep.drivers.objects.store import Store
from ninep.linux import S_IFDIR
from ninep.node import Driver, User


class ObjectDriver(Driver):
    """A bucket of an object store, or a prefix of it, as a folder.

    Args:
        store: what the requests are sent with.
        settings: how it behaves.
        has_prefix: whether a prefix is served: the root then has an object of its own, and so owner,
            mode and times that can be changed.
        clock: the time in nanoseconds since 1970.
    """

    threadsafe = True

    def __init__(
        self, store: Store, settings: Settings, *, has_prefix: bool = True, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.bucket = Bucket(store, settings, has_prefix=has_prefix, clock=clock)
        root = ObjectNode(self.bucket, "", self.bucket.defaults(S_IFDIR))
        root.serve_in_loop()
        root.expire()
        self._root = root.clone()
        self.bucket.begin(root)

    def attach(self, user: User) -> ObjectNode:  # noqa: ARG002 - the same root for all users
        """The root node. Fails if the store does not answer, or there is no such bucket."""
        self.bucket.store.listing("", limit=1)
        self._root.refresh()
        return self._root.clone()

    def close(self) -> None:
        """Put what is not in the store yet."""
        self._root.release()
        self.bucket.close()
