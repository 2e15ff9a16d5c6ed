"""The minimum for a server in Python: one connection, a loop around the system calls, no checks.
`bare.py TREE PORT`.

It answers Tversion, Tattach, Twalk of one name, Tgetattr and Tclunk, as sent by the workloads
`getattr` and `walk1`.  Every server in Python needs at least this for a request: framing of several
messages, limits, errors, fids of several users, layers and security models are additional.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

HEAD = struct.Struct("<IBH")
GETATTR = struct.Struct("<IBHQBIQIIIQQQQQQQQQQQQQQQ")
WALKED = struct.Struct("<IBHHBIQ")
SECOND = 1_000_000_000


def qid(found: os.stat_result) -> tuple[int, int, int]:
    return (0x80 if found.st_mode & 0o040000 else 0), found.st_mtime_ns & 0xFFFFFFFF, found.st_ino


def serve(sock: socket.socket, tree: str) -> None:
    """Serve one connection to its end."""
    fids: dict[int, int] = {}
    buffer = bytearray(1 << 16)
    recv_into, send, head, fid_of = sock.recv_into, sock.send, HEAD.unpack_from, struct.Struct("<I").unpack_from
    while size := recv_into(buffer):
        _, kind, tag = head(buffer)
        (fid,) = fid_of(buffer, 7)
        if kind == 24:  # Tgetattr
            found = os.fstat(fids[fid])
            a, m, c = found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns
            send(GETATTR.pack(
                160, 25, tag, 0x7FF, *qid(found), found.st_mode, found.st_uid, found.st_gid, found.st_nlink, found.st_rdev,
                found.st_size, found.st_blksize, found.st_blocks, a // SECOND, a % SECOND, m // SECOND, m % SECOND,
                c // SECOND, c % SECOND, 0, 0, 0, 0,
            ))  # fmt: skip
        elif kind == 110:  # Twalk of one name
            newfid, _, length = struct.unpack_from("<IHH", buffer, 11)
            name = bytes(buffer[19 : 19 + length])
            fids[newfid] = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fids[fid])
            send(WALKED.pack(22, 111, tag, 1, *qid(os.fstat(fids[newfid]))))
        elif kind == 120:  # Tclunk
            os.close(fids.pop(fid))
            send(HEAD.pack(7, 121, tag))
        elif kind == 104:  # Tattach
            fids[fid] = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            send(HEAD.pack(20, 105, tag) + struct.pack("<BIQ", *qid(os.fstat(fids[fid]))))
        else:  # Tversion
            send(HEAD.pack(size, 101, tag) + buffer[7:size])
    for handle in fids.values():
        os.close(handle)


def main() -> None:
    with socket.create_server(("127.0.0.1", int(sys.argv[2]))) as listener:
        while True:
            sock, _ = listener.accept()
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                serve(sock, sys.argv[1])


if __name__ == "__main__":
    main()
