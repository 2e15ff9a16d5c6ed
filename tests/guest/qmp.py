"""The monitor of a running QEMU: commands and events of the QEMU Machine Protocol, one JSON object
a line.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

LIMIT = 60.0  # seconds that any one answer or event may take


class QmpError(Exception):
    """QEMU refused a command; the text is its description of why."""


class Qmp:
    """The other end of a socket that QEMU has, which becomes this object's; for one thread.

    OSError: QEMU is gone, or does not answer.
    """

    def __init__(self, port: socket.socket) -> None:
        self._port = port
        self._port.settimeout(LIMIT)
        self._lines = self._port.makefile("rb")
        self._events: list[dict[str, Any]] = []
        try:
            assert "QMP" in self._read(), "QEMU greets first"
            self.execute("qmp_capabilities")
        except OSError:
            self.close()
            raise

    def execute(self, command: str, **arguments: object) -> Any:
        """What QEMU returns for a command.

        Raises:
            QmpError: it was refused.
            OSError: QEMU is gone, or did not answer in time.
        """
        self._port.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    def wait(self, event: str) -> dict[str, Any]:
        """The next event of that name that was not waited for yet."""
        for seen in self._all_events():
            if seen["event"] == event:
                return seen
        raise AssertionError("unreachable: reading ends with an error, not with the events")

    def close(self) -> None:
        self._lines.close()
        self._port.close()

    def _all_events(self) -> Iterator[dict[str, Any]]:
        while self._events:
            yield self._events.pop(0)
        while True:
            yield self._read()

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("QEMU has gone")
        answer: dict[str, Any] = json.loads(line)
        return answer
