"""Our servers as virtio devices of one guest: an export each, which is there by TCP too, and beside
the mapped ones QEMU's own 9pfs on the same folder.

A device's server has to listen before the machine starts.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.guest.combinations import Combination, served_as, server_user
from tests.guest.machine import MAPPED, Machine, Mount
from tests.guest.qemu import Share, VhostUser
from tests.serving import ANY_PORT, Server, may_become_another_user
from tests.support.leftovers import leftovers
from tests.transport.test_stored_front_end import Manager

ROOT = tuple(Combination(model, Mount()) for model in ("passthrough", "none", *MAPPED, "mapped-owner"))
ORDINARY = tuple(Combination(model, Mount(acl=True), ordinary_user=True) for model in ("mapped-owner", "mapped-xattr"))
WITH_TWO = "mapped-owner"  # the tag whose server has a second device, and a service manager
SECOND = "second"
PEER = "peer-"


@dataclass(frozen=True)
class Served:
    """A folder, how it is served, and by which process."""

    folder: Path
    combination: Combination
    server: Server

    @property
    def by_root(self) -> bool:
        """Whether root serves it."""
        return may_become_another_user() and not self.combination.ordinary_user


class Devices:
    """The servers and the guest, from `with` to its end."""

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="ninep-devices."))
        self.scratch.chmod(0o777)  # a server that is another user's makes its socket there
        self._manager = Manager(self.scratch / "notify")
        self.served = {tag_of(combination): self._make(combination) for combination in (*ROOT, *ORDINARY)}
        tags = (*self.served, SECOND)
        shares = {model: Share(PEER + model, self.served[model].folder, model) for model in MAPPED}
        self.guest = Machine(shares, [VhostUser(tag, self._socket(tag)) for tag in tags])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.guest.stop()
        try:
            for one in self.served.values():
                if one.server.running:
                    one.server.stop()
        finally:
            self._manager.close()
            shutil.rmtree(self.scratch)

    def serve(self) -> None:
        """Start the servers that do not run; they may stay until the session ends."""
        with leftovers.permitted():
            for one in self.served.values():
                if not one.server.running:
                    one.server.start()

    def restart(self, end: Callable[[Server], None]) -> Server:
        """End the server WITH_TWO in that way, and start the next process of its service."""
        old = self.served[WITH_TWO]
        end(old.server)
        patch, keep = self._manager.handed_over()
        self.served[WITH_TWO] = replace(old, server=self._server(old.combination, old.folder, patch, keep))
        self.serve()
        return self.served[WITH_TWO].server

    def _make(self, combination: Combination) -> Served:
        folder = self.scratch / tag_of(combination)
        folder.mkdir()
        return Served(folder, combination, self._server(combination, folder))

    def _server(self, combination: Combination, folder: Path, patch: str = "", keep: tuple[int, ...] = ()) -> Server:
        tag = tag_of(combination)
        tags = (tag, SECOND) if tag == WITH_TWO else (tag,)
        listen = (*(f"vhost-user:{self._socket(name)},tag={name}" for name in tags), ANY_PORT)
        environment = {"NOTIFY_SOCKET": str(self.scratch / "notify")} if tag == WITH_TWO else None
        return Server(
            folder, "-v", *served_as(combination.model), user=server_user(combination, folder), patch=patch, keep=keep,
            listen=listen, environment=environment,
        )  # fmt: skip

    def _socket(self, tag: str) -> Path:
        return self.scratch / f"{tag}.socket"


def tag_of(combination: Combination) -> str:
    """The mount tag: the model, and whether an ordinary user serves it."""
    return combination.model + "-user" * combination.ordinary_user
