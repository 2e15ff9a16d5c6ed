"""SeaweedFS: a master, a volume server, a filer and the S3 gateway in one process on the loopback
interface, and its FUSE mount.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.mounts import is_mounted, unmounted
from tests.cluster.service import Service, answers, free_ports, program

KEY = "test-key"
SECRET = "test-secret"


class SeaweedFS(Service):
    """A server whose data are below `folder`. Objects are at `endpoint`, by KEY and SECRET."""

    def __init__(self, folder: Path) -> None:
        self._weed = program("weed")
        data, users = folder / "data", folder / "s3.json"
        data.mkdir(parents=True, exist_ok=True)
        credentials = [{"accessKey": KEY, "secretKey": SECRET}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        users.write_text(
            json.dumps({"identities": [{"name": "tests", "credentials": credentials, "actions": actions}]})
        )
        names = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        ports = [
            f"-{name.partition('.')[0]}.port{''.join(name.partition('.')[1:])}={port}"
            for name, port in self.ports.items()
        ]
        super().__init__(
            [
                self._weed, "-logtostderr", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
                f"-s3.config={users}", "-volume.max=64", "-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=1",
                "-master.raftHashicorp=false", "-s3.port.iceberg=0", "-s3.port.lance=0", *ports,
            ],
            ready=self._is_ready,
            stop_by=signal.SIGKILL,  # a clean end takes it 16 s, and its data go anyway
        )  # fmt: skip

    @property
    def endpoint(self) -> str:
        """The address of the S3 gateway."""
        return f"http://127.0.0.1:{self.ports['s3']}"

    def _is_ready(self) -> bool:
        """The gateway answers, and the filer can place a file on a volume."""
        return (
            answers(f"http://127.0.0.1:{self.ports['master']}/dir/assign")()
            and answers(f"http://127.0.0.1:{self.ports['filer']}/", 200)()
            and answers(self.endpoint, 200, 403)()
        )

    @contextmanager
    def mounted(self, at: Path) -> Iterator[Path]:
        """Its file tree by FUSE; needs /dev/fuse."""
        at.mkdir(parents=True, exist_ok=True)
        filer = f"127.0.0.1:{self.ports['filer']}.{self.ports['filer.grpc']}"
        argv = [
            self._weed,
            "-logtostderr",
            "mount",
            f"-filer={filer}",
            f"-dir={at}",
            f"-cacheDir={at.parent / 'cache'}",
        ]
        with Service(argv, ready=lambda: is_mounted(at), stop_by=signal.SIGINT), unmounted(at):
            yield at
