"""A program for Windows: sends the pipe of the one server that is running what cannot be meant."""

from __future__ import annotations

import json

from ninep.app.control_client import running
from ninep.app.control_protocol import LONGEST_REQUEST, MAX_CONVERSATIONS
from ninep.host.windows import pipes


def main() -> None:
    (path,) = running().values()
    for sent, expected in {
        b"{}\n": "version None",
        b"\xff\n": "one JSON object",
        b'{"version": 1, "command": "stat"}\n': "there is no command",
        b"x" * LONGEST_REQUEST: "at most",
    }.items():
        with pipes.connect(path, 10.0) as pipe:
            pipe.sendall(sent)
            told = json.loads(pipe.readline(1 << 16))
            assert expected in told["error"], told
    several = [pipes.connect(path, 10.0) for _ in range(MAX_CONVERSATIONS)]
    for pipe in several:
        pipe.sendall(b"{}\n")
        pipe.readline(1 << 16)  # it is served
    with pipes.connect(path, 10.0) as more:
        assert "the limit" in json.loads(more.readline(1 << 16))["error"]
    for pipe in several:
        pipe.close()


if __name__ == "__main__":
    main()
