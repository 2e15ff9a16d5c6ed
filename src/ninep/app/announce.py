"""The lines that ``ninep serve`` prints when it listens: exports, addresses, and what to type in a
guest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from ninep.app import ready
from ninep.app.config import ServerConfig
from ninep.app.hints import hints
from ninep.server.exports import Export
from ninep.transport import Address
from ninep.transport.service_manager import notify


def to_stderr(line: str) -> None:
    """Print a line; standard output can be the connection."""
    print(f"ninep: {line}".encode(errors="backslashreplace").decode(), file=sys.stderr, flush=True)  # noqa: T201 - the program's output


def announce(
    config: ServerConfig,
    exports: Sequence[Export],
    listening: Sequence[Address],
    metrics: Sequence[Address] = (),
    say: Callable[[str], None] = to_stderr,
) -> None:
    """Notify the service manager and the ``ready_fd``, then print exports, addresses, and what to
    type.
    """
    ready.write_addresses(config.ready_fd, listening)
    notify("READY=1")
    for asked, export in zip(config.exports, exports, strict=True):
        model = getattr(export.driver, "security_model", "")
        what = [*([model] if model else []), *(["read-only"] if asked.get("read_only") else [])]
        name = f" as {asked.name!r}" if asked.name else ""
        say(f"serving {asked.target}{name}" + (f" ({', '.join(what)})" if what else ""))
    for address in listening:
        say(f"listening on {address}")
    for address in metrics:
        say(f"metrics on http://{address}/metrics")
    msize = config.limits.msize
    found = (hint for address in listening for asked in config.exports for hint in hints(address, asked.name, msize))
    for where, line in dict.fromkeys(found):  # what holds for all exports or all devices is said once
        say(f"{where}: {line}")
