"""pyroute2's 9P2000 server with the benchmark's tree in memory: it serves Python objects, not
directories.

Usage: pyroute2_memory.py TREE PORT.  Runs in the private environment of the peers.
"""

import asyncio
import os
import sys

from pyroute2.plan9.server import Plan9ServerSocket

DIRECTORY = 0x80
LARGEST = 10_000


def load(fs, tree):
    """Load every directory and file except the deep and the largest ones. It is slow, because each
    lookup compares all siblings.
    """
    for base, dirs, files in os.walk(tree):
        if os.path.basename(base) == "dirs":
            dirs[:] = [name for name in dirs if int(name) <= LARGEST]
        below = os.path.relpath(base, tree)
        prefix = "" if below == "." else below + "/"
        if prefix.startswith("deep"):
            continue
        for name in dirs:
            fs.create("/" + prefix + name, qtype=DIRECTORY)
        for name in files:
            inode = fs.create("/" + prefix + name)
            with open(os.path.join(base, name), "rb") as f:
                inode.data.write(f.read())
            inode.sync()


async def main(tree, port):
    server = Plan9ServerSocket(address=("127.0.0.1", port))
    load(server.filesystem, tree)
    await (await server.async_run())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
