"""What the kernel client does in a soak. Runs in the guest, with the standard library alone:

    python3 guest_load.py SECONDS SEED MOUNT-OPTIONS SOURCE

Mounts, works in a folder of its own, unmounts and mounts again now and then (sometimes in the
middle of a write), and prints in the end as JSON what it did and the checksum of each file that
must be there.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import time

TOP = "/mnt/soak"
FILES = 30
LARGEST = 100_000


def sh(*argv):
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


class Load:
    def __init__(self, seconds, seed, options, source):
        self.until = time.monotonic() + seconds
        self.chance = random.Random(seed)
        self.mount_argv = ["mount", "-t", "9p", "-o", options, source, TOP]
        self.folder = TOP + "/guest"
        self.known = {}
        self.counts = {"operations": 0, "mounts": 0, "torn": 0, "read": 0}

    def mount(self):
        assert sh(*self.mount_argv), "cannot mount"
        self.counts["mounts"] += 1

    def run(self):
        os.makedirs(TOP, exist_ok=True)
        self.mount()
        os.makedirs(self.folder, exist_ok=True)
        while time.monotonic() < self.until:
            self.turn()
            if self.chance.random() < 0.01:
                self.again()
        for name in self.known:
            self.look(name)
        assert sorted(os.listdir(self.folder)) == sorted(self.known)
        assert sh("umount", TOP), "cannot unmount"
        return {
            "sums": {f"guest/{name}": hashlib.sha256(data).hexdigest() for name, data in self.known.items()},
            **self.counts,
        }

    def again(self):
        """Unmounted, or taken away under a write that goes on: that file is made again."""
        name = None
        if self.chance.random() < 0.5:
            self.counts["torn"] += 1
            name = f"file{self.chance.randrange(FILES)}"
            writer = subprocess.Popen(
                ["dd", "if=/dev/zero", f"of={self.folder}/{name}", "bs=4k", "count=500"], stderr=subprocess.DEVNULL
            )
            time.sleep(0.02)
            sh("umount", "-l", TOP)
            writer.wait()
        else:
            assert sh("umount", TOP), "cannot unmount"
        self.mount()
        if name is not None:
            self.write(name)

    def turn(self):
        self.counts["operations"] += 1
        name, other = (f"file{number}" for number in self.chance.sample(range(FILES), 2))
        if name not in self.known:
            return self.write(name)
        self.chance.choices(
            [self.look, self.change, self.rename, self.remove, self.write, self.list], [8, 6, 2, 1, 2, 1]
        )[0](name, other)
        return None

    def path(self, name):
        return f"{self.folder}/{name}"

    def content(self):
        return self.chance.randbytes(int(LARGEST * self.chance.random() ** 2))

    def write(self, name, _=None):
        data = self.content()
        with open(self.path(name), "wb") as file:
            file.write(data)
            if self.chance.random() < 0.2:
                os.fsync(file.fileno())
        self.known[name] = data

    def change(self, name, _):
        data, was = self.content()[:9000], self.known[name]
        offset = self.chance.randrange(len(was) + 1)
        with open(self.path(name), "r+b") as file:
            file.seek(offset)
            file.write(data)
        self.known[name] = was[:offset] + data + was[offset + len(data) :]

    def rename(self, name, other):
        os.rename(self.path(name), self.path(other))
        self.known[other] = self.known.pop(name)

    def remove(self, name, _):
        os.unlink(self.path(name))
        del self.known[name]

    def list(self, _, __):
        assert sorted(os.listdir(self.folder)) == sorted(self.known)

    def look(self, name, _=None):
        with open(self.path(name), "rb") as file:
            found = file.read()
        assert found == self.known[name], f"{name}: {len(found)} bytes, {len(self.known[name])} were written"
        self.counts["read"] += len(found)


if __name__ == "__main__":
    print("RESULT " + json.dumps(Load(float(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]).run()))
