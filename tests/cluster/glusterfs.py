"""GlusterFS: two bricks on the loopback interface that have the same files, and the FUSE mount. Its parts
are put together by files, without the daemon that manages volumes.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster.mounts import is_mounted, unmounted
from tests.cluster.service import Service, free_ports, listens, program

BRICK = """\
volume posix
  type storage/posix
  option directory {folder}
end-volume
volume brick
  type features/locks
  subvolumes posix
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.listen-port {port}
  option transport.socket.bind-address 127.0.0.1
  option auth.addr.brick.allow 127.0.0.1
  subvolumes brick
end-volume
"""
REMOTE = """\
volume remote{number}
  type protocol/client
  option transport-type tcp
  option remote-host 127.0.0.1
  option remote-port {port}
  option remote-subvolume brick
end-volume
"""
REPLICATED = """\
volume replicated
  type cluster/replicate
  subvolumes remote0 remote1
end-volume
"""


@contextmanager
def glusterfs(folder: Path) -> Iterator[Path]:
    """Mounted below ``folder``; needs /dev/fuse, and `trusted.` attributes in ``folder``."""
    daemon, client = program("glusterfsd"), program("glusterfs")
    folder.mkdir()
    ports = free_ports(2)
    at = folder / "mount"
    at.mkdir()
    with ExitStack() as stack:
        for number, port in enumerate(ports):
            brick = folder / f"brick{number}"
            brick.mkdir()
            made = folder / f"brick{number}.vol"
            made.write_text(BRICK.format(folder=brick, port=port))
            argv = [daemon, "-N", "-f", str(made), "-l", f"{made}.log", "-p", f"{made}.pid"]
            stack.enter_context(Service(argv, ready=listens(port)))
        made = folder / "mount.vol"
        made.write_text("".join(REMOTE.format(number=n, port=port) for n, port in enumerate(ports)) + REPLICATED)
        argv = [client, "-N", "-f", str(made), "-l", f"{made}.log", "-p", f"{made}.pid", "--acl", str(at)]
        stack.enter_context(Service(argv, ready=lambda: is_mounted(at), stop_by=signal.SIGTERM))
        stack.enter_context(unmounted(at))
        yield at
