"""aio9p's example server (9P2000, files in memory) with the benchmark's tree in it.

Usage: aio9p_memory.py TREE PORT.  Runs in the private environment of the peers.
"""

import asyncio
import os
import sys

from aio9p.constant import DMDIR, DMFILE
from aio9p.example.simple import BASEQID, Simple9P2000
from aio9p.helper import mkqid
from aio9p.protocol import Py9PServer
from aio9p.stat import Py9P2000Stat

MAXSIZE = 65535


class Loaded(Simple9P2000):
    """The example with files that exist before a client connects, shared by all connections."""

    def __init__(self, files):
        super().__init__(MAXSIZE)
        self._stat, self._content, self._direntry = files

    async def attach(self, fid, *_):
        """Unlike the example's, this does not replace the files."""
        self._fid[fid] = BASEQID
        return BASEQID


def stat_of(qid, mode, name, length):
    return Py9P2000Stat(
        p9type=0, p9dev=0, p9qid=qid, p9mode=mode, p9atime=0, p9mtime=0, p9length=length, p9name=name,
        p9uid=b"root", p9gid=b"root", p9muid=b"root",
    )  # fmt: skip


def load(tree):
    """Load every directory and file except the deep and the large ones into the example's three
    tables.
    """
    qids = {"": BASEQID}
    stats, contents, entries = {BASEQID: stat_of(BASEQID, DMDIR | 0o755, b"/", 0)}, {}, {BASEQID: {}}
    for base, dirs, files in os.walk(tree):
        below = os.path.relpath(base, tree)
        prefix = "" if below == "." else below + "/"
        if prefix.startswith(("deep", "dirs")):
            continue
        here = entries[qids[prefix.rstrip("/")]]
        for name in dirs:
            qid = qids[prefix + name] = b"\x80" + mkqid(0, len(stats) + 1)[1:]
            entries[qid], here[name.encode()] = {}, qid
            stats[qid] = stat_of(qid, DMDIR | 0o755, name.encode(), 0)
        for name in files:
            with open(os.path.join(base, name), "rb") as f:
                data = f.read()
            qid = b"\0" + mkqid(0, len(stats) + 1)[1:]
            contents[qid], here[name.encode()] = data, qid
            stats[qid] = stat_of(qid, DMFILE | 0o644, name.encode(), len(data))
    return stats, contents, entries


async def main(tree, port):
    files = load(tree)
    server = await asyncio.get_running_loop().create_server(lambda: Py9PServer(Loaded(files)), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
