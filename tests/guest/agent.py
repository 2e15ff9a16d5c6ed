"""Process 1 of a guest: does what the host asks for over a virtio serial port, one request after
another.

Requests and answers are lines of JSON.  `{"run": [argv], "cwd": PATH}` is answered by any number of
`{"out": TEXT}` and one `{"exit": STATUS}`; `{"put": PATH, "mode": MODE, "size": N}` followed by N
bytes writes a
file and is answered by `{"exit": 0}`.  At the start it says `{"ready": KERNEL VERSION}`.  Runs on the guest's
Python with nothing but the standard library and knows nothing of what is being checked.
"""

import json
import os
import subprocess
import sys

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "GIT_CONFIG_NOSYSTEM": "1",
}
PORT_NAME = "ninep.agent"


def open_port() -> int:
    folder = "/sys/class/virtio-ports"
    for entry in os.listdir(folder):
        with open(f"{folder}/{entry}/name", encoding="ascii") as name:
            if name.read().strip() == PORT_NAME:
                return os.open(f"/dev/{entry}", os.O_RDWR | os.O_CLOEXEC)
    sys.exit(f"agent: no virtio port called {PORT_NAME}")


class Port:
    """Lines and counted bytes from the port, lines to it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.buffer = b""

    def fill(self) -> None:
        data = os.read(self.fd, 65536)
        if not data:
            sys.exit("agent: the host has gone")
        self.buffer += data

    def line(self) -> bytes:
        while b"\n" not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def copy(self, size: int, target: int) -> None:
        while size:
            if not self.buffer:
                self.fill()
            piece, self.buffer = self.buffer[:size], self.buffer[size:]
            os.write(target, piece)
            size -= len(piece)

    def say(self, **answer: object) -> None:
        data = json.dumps(answer).encode() + b"\n"
        while data:
            data = data[os.write(self.fd, data) :]


def run(port: Port, argv: list[str], cwd: str) -> int:
    try:
        process = subprocess.Popen(
            argv, cwd=cwd, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        port.say(out=f"agent: {argv[0]}: {error}\n")
        return 127
    assert process.stdout
    while data := os.read(process.stdout.fileno(), 65536):
        port.say(out=data.decode("utf-8", "backslashreplace"))
    return process.wait()


def put(port: Port, path: str, mode: int, size: int) -> int:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        port.copy(size, target)
        os.fchmod(target, mode)
    finally:
        os.close(target)
    return 0


def main() -> None:
    os.makedirs("/dev/shm", exist_ok=True)
    os.makedirs("/dev/pts", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], env=ENVIRONMENT, check=False)
    port = Port(open_port())
    port.say(ready=os.uname().release)
    while True:
        request = json.loads(port.line())
        if "run" in request:
            port.say(exit=run(port, request["run"], request.get("cwd", "/root")))
        else:
            port.say(exit=put(port, request["put"], request["mode"], request["size"]))


main()
