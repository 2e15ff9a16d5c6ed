"""A process of the host that never lets two names rest:  python flipper.py FOLDER NAME OTHER

Exchanges the two entries (renameat2(2), RENAME_EXCHANGE) as fast as it can, in the folder it was
started for wherever that is moved, until its standard input ends. Says ``ready``, and at the end
how often it did. Entries that are away for a moment are waited for.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys

RENAME_EXCHANGE = 2


def main() -> None:
    folder, name, other = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    left, right = os.fsencode(name), os.fsencode(other)
    print("ready", flush=True)
    count = 0
    while not select.select([0], [], [], 0)[0]:
        for _ in range(100):
            count += libc.renameat2(handle, left, handle, right, RENAME_EXCHANGE) == 0
    print(count)


if __name__ == "__main__":
    main()
