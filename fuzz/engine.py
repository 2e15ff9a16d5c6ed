"""Generates and runs inputs: with atheris (libFuzzer, guided by coverage), or at random where it is
not installed.

The harness is a module with ``NAME``, ``SESSION`` (inputs are conversations), ``LONGEST``,
``begin``, ``try_one`` and ``finish``.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from fuzz.frames import mutate

HARNESSES = ("decoder", "memory", "message", "local", "ring", "vhost_user", "fuse")
CORPUS = Path(__file__).with_name("corpus")


def harness(name: str) -> ModuleType:
    """A harness by its name."""
    return importlib.import_module(f"fuzz.{name}")


@contextmanager
def prepared(name: str) -> Iterator[ModuleType]:
    """A prepared harness."""
    tried = harness(name)
    tried.begin()
    try:
        yield tried
    finally:
        tried.finish()


def corpus(name: str) -> list[Path]:
    """The inputs in the repository."""
    return sorted((CORPUS / name).iterdir())


def have_atheris() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def replay(name: str, paths: list[Path]) -> None:
    """Run given inputs once."""
    with prepared(name) as tried:
        for path in paths:
            try:
                tried.try_one(path.read_bytes())
            except BaseException:
                print(f"fuzz {name}: {path}", file=sys.stderr)
                raise


def run_random(name: str, runs: int, seed: int = 0) -> None:
    """Run ``runs`` inputs made from the corpus by a seeded generator: the same each time."""
    chance = random.Random(seed)
    pool = [path.read_bytes() for path in corpus(name)]
    with prepared(name) as tried:
        for _ in range(runs):
            data = chance.choice(pool)
            for _ in range(chance.choice((1, 2, 4))):
                data = _other(tried, chance, data)
            try:
                tried.try_one(data)
            except BaseException:
                print(f"fuzz {name}: kept {_keep(data)}", file=sys.stderr)
                raise


def _other(tried: ModuleType, chance: random.Random, data: bytes) -> bytes:
    if tried.SESSION:
        return mutate(data, tried.LONGEST, chance.getrandbits(32))
    body = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        where = chance.randrange(len(body) + 1)
        body[where : where + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
    return bytes(body[: tried.LONGEST])


def _keep(data: bytes) -> str:
    with tempfile.NamedTemporaryFile(prefix="fuzz-finding.", delete=False) as file:
        file.write(data)
    return file.name


def _generated() -> Iterator[Any]:
    """The functions of the codec that are compiled at import, which an import hook cannot
    instrument.
    """
    from ninep.wire.codec import codec
    from ninep.wire.modes import EXTENDED, PLAIN

    for encoding in (PLAIN, EXTENDED):
        for compiled in codec(encoding).table.values():
            yield compiled.unpack
            yield compiled.pack


def guided(name: str, runs: int, folders: list[str], options: list[str]) -> None:
    """Run atheris; does not return. New inputs that increase coverage are saved in the first of
    ``folders``.
    """
    import atheris

    with atheris.instrument_imports(include=["ninep"], enable_loader_override=False):
        tried = harness(name)
    for function in _generated():
        atheris.instrument_func(function)

    def conversation(data: bytes, max_size: int, seed: int) -> bytes:
        # One in eight with libFuzzer's own mutations, which use the values of comparisons.
        return bytes(atheris.Mutate(data, len(data))) if seed % 8 == 0 and data else mutate(data, max_size, seed)

    argv = [f"fuzz-{name}", f"-runs={runs}", f"-max_len={tried.LONGEST}", "-rss_limit_mb=2048", "-timeout=30", *options]
    # the prefix of saved findings
    argv.append(f"-artifact_prefix={tempfile.gettempdir()}/fuzz-{name}-")
    own = {"custom_mutator": conversation} if tried.SESSION else {}
    atheris.Setup([*argv, *folders, str(CORPUS / name)], tried.try_one, **own)
    tried.begin()
    atexit.register(tried.finish)
    atheris.Fuzz()
