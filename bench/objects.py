"""A bucket as a folder, against the library itself, `rclone mount` and `s3fs` on the same store.

    python bench/objects.py [--files 2000] [--mib 64] [--rounds 5] [--turns 2] [--only NAME ...]

It starts SeaweedFS with its S3 gateway (extra `engines`), serves a prefix of a bucket by FUSE
(`ninep serve s3://... --listen fuse:`) as it is by default and with the options that wait less, and
prints seconds and their ratios. Needs root and /dev/fuse; what is not
installed is left out. `s3fs` and `rclone` are Debian's.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.cluster.mounts import is_mounted, unmounted
from tests.cluster.s3 import BUCKET, ENVIRONMENT, client
from tests.cluster.seaweedfs import KEY, SECRET, SeaweedFS
from tests.cluster.service import Service

PART = 8 << 20


def library(caller: Any, mib: int) -> dict[str, float]:
    """The same requests by botocore alone: parts and ranges of 8 MiB, eight at once."""
    data = os.urandom(mib << 20)
    with ThreadPoolExecutor(8) as pool:
        begun = time.perf_counter()
        upload = caller.create_multipart_upload(Bucket=BUCKET, Key="direct")["UploadId"]
        names = {"Bucket": BUCKET, "Key": "direct", "UploadId": upload}

        def put(at: int) -> dict[str, Any]:
            number = at // PART + 1
            reply = caller.upload_part(PartNumber=number, Body=data[at : at + PART], **names)
            return {"PartNumber": number, "ETag": reply["ETag"]}

        parts = list(pool.map(put, range(0, len(data), PART)))
        caller.complete_multipart_upload(MultipartUpload={"Parts": parts}, **names)
        written = time.perf_counter()

        def get(at: int) -> bytes:
            span = f"bytes={at}-{at + PART - 1}"
            return bytes(caller.get_object(Bucket=BUCKET, Key="direct", Range=span)["Body"].read())

        assert b"".join(pool.map(get, range(0, len(data), PART))) == data
        read = time.perf_counter()
    return {"write": written - begun, "read": read - written}


def ninep(endpoint: str, at: Path, *options: str) -> Service:
    argv = [str(Path(sys.executable).with_name("ninep")), "serve", f"s3://{BUCKET}/{at.name}"]
    argv += ["--s3-endpoint", endpoint, "--listen", f"fuse:{at}", *options]
    return Service(argv, lambda: is_mounted(at), ENVIRONMENT)


def rclone(endpoint: str, at: Path, *options: str) -> Service:
    remote = f":s3,provider=Other,env_auth=true,endpoint='{endpoint}':{BUCKET}/{at.name}"
    argv = ["rclone", "mount", remote, str(at), "--cache-dir", f"{at}.cache", *options]
    return Service(argv, lambda: is_mounted(at), ENVIRONMENT, stop_by=signal.SIGINT)


def s3fs(endpoint: str, at: Path) -> Service:
    secret = at.with_name(at.name + ".secret")
    secret.write_text(f"{KEY}:{SECRET}\n")
    secret.chmod(0o600)
    argv = [
        "s3fs",
        f"{BUCKET}:/{at.name}",
        str(at),
        "-f",
        "-o",
        f"url={endpoint},use_path_request_style,passwd_file={secret}",
    ]
    return Service(argv, lambda: is_mounted(at))


MOUNTS: dict[str, Callable[[str, Path], Service]] = {
    "ninep": ninep,
    "ninep-close-waits": lambda endpoint, at: ninep(endpoint, at, "--s3-write-back", "0"),
    "ninep-strict": lambda endpoint, at: ninep(endpoint, at, "--s3-write-back", "0", "--s3-exclusive", "*"),
    "rclone": lambda endpoint, at: rclone(endpoint, at, "--vfs-cache-mode", "off"),
    "rclone-writes": lambda endpoint, at: rclone(endpoint, at, "--vfs-cache-mode", "writes"),
    "s3fs": s3fs,
}


@contextmanager
def mounted(name: str, endpoint: str, at: Path) -> Iterator[Path]:
    """A prefix of the bucket with the name of the folder."""
    at.mkdir()
    with MOUNTS[name](endpoint, at), unmounted(at):
        yield at


def jobs(folder: Path) -> dict[str, str]:
    """Shell commands, in `folder` of the mount."""
    source = folder.parent
    return {
        "tar x": f"mkdir t && tar xf {source}/files.tar -C t",
        "ls -lR": "ls -lR t > /dev/null",
        "git clone": f"git clone -q --no-hardlinks file://{source}/repository c",
        "git status": "git -C c status --porcelain",
    }


def measure(at: Path, limit: float) -> dict[str, float]:
    found = {}
    for job, command in jobs(at).items():
        begun = time.perf_counter()
        try:
            done = subprocess.run(["sh", "-c", command], cwd=at, capture_output=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            print(f"  {job}: longer than {limit:.0f} s", flush=True)
            continue
        if done.returncode:
            print(f"  {job}: {done.stderr.decode()[-300:].strip()}", flush=True)
            continue
        found[job] = time.perf_counter() - begun
    return found


def sequential(caller: Any, endpoint: str, top: Path, mib: int, rounds: int) -> None:
    """Reading and writing one file, the library and the mount in turn: the best of each."""
    at = top / "sequential"
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        caller.put_object(Bucket=BUCKET, Key=f"{at.name}/in{number}", Body=(top / "random").read_bytes())
    with mounted("ninep", endpoint, at):
        for number in range(rounds):
            for job, seconds in library(caller, mib).items():
                found.setdefault(f"library {job}", []).append(seconds)
            for job, words in (
                ("read", [f"if={at}/in{number}", "of=/dev/null"]),
                ("write", [f"if={top}/random", f"of={at}/out{number}", "conv=fsync"]),
            ):
                begun = time.perf_counter()
                subprocess.run(["dd", *words, "bs=1M", "status=none"], check=True, timeout=300)
                found.setdefault(f"ninep {job}", []).append(time.perf_counter() - begun)
    for job in ("read", "write"):
        direct, ours = min(found[f"library {job}"]), min(found[f"ninep {job}"])
        print(f"{job} of {mib} MiB: {direct / ours:.2f} of the library's speed", flush=True)


def sources(top: Path, files: int, mib: int) -> None:
    (top / "random").write_bytes(os.urandom(mib << 20))
    tree = top / "files"
    for number in range(files):
        file = tree / f"d{number % 40}" / f"f{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(200 + number * 37 % 8000))
    subprocess.run(["tar", "cf", str(top / "files.tar"), "-C", str(tree), "."], check=True)
    for words in (
        ["init", "-q", "."],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all"],
    ):
        subprocess.run(["git", *words], cwd=tree, check=True)
    tree.rename(top / "repository")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5, help="of reading and writing one file")
    parser.add_argument("--turns", type=int, default=2, help="of all mounts, one after the other: the best of each")
    parser.add_argument("--limit", type=float, default=300, help="seconds for one job")
    parser.add_argument("--only", nargs="*", default=list(MOUNTS))
    chosen = parser.parse_args()
    os.environ.pop("AWS_CA_BUNDLE", None)  # rclone 1.60 cannot have one, and the store is here
    with tempfile.TemporaryDirectory() as folder, SeaweedFS(Path(folder) / "store") as store:
        top = Path(folder)
        sources(top, chosen.files, chosen.mib)
        caller = client(store.endpoint)
        caller.create_bucket(Bucket=BUCKET)
        sequential(caller, store.endpoint, top, chosen.mib, chosen.rounds)
        best: dict[str, dict[str, float]] = {}
        for turn in range(chosen.turns):
            for name in chosen.only:
                if name.split("-")[0] != "ninep" and which(name.split("-")[0]) is None:
                    continue
                with mounted(name, store.endpoint, top / f"{name}-{turn}") as at:
                    found = measure(at, chosen.limit)
                print(name, {job: round(seconds, 2) for job, seconds in found.items()}, flush=True)
                kept = best.setdefault(name, found)
                kept |= {job: min(seconds, kept.get(job, seconds)) for job, seconds in found.items()}
        for name, found in best.items():
            print(name, flush=True)
            report(found, next(iter(best.values())))


def report(found: dict[str, float], first: dict[str, float]) -> None:
    """Seconds, and in brackets the ratio to the first mount."""
    for job, seconds in found.items():
        ratio = f"({seconds / first[job]:.2f})" if job in first else ""
        print(f"  {job:12} {seconds:7.2f} s  {ratio}", flush=True)


if __name__ == "__main__":
    main()
