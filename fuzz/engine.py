"""How inputs are made and tried: by atheris (libFuzzer, guided by coverage), or by chance alone where it is not installed.

The harness is a module with ``NAME``, ``SESSION`` (inputs are conversations), ``LONGEST``, ``begin``, ``try_one`` and ``finish``.
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

HARNESSES = ("decoder", "memory", "local")
CORPUS = Path(__file__).with_name("corpus")


def harness(name: str) -> ModuleType:
    """A harness by its name."""
    return importlib.import_module(f"fuzz.{name}")


@contextmanager
def begun(name: str) -> Iterator[ModuleType]:
    """A harness made ready."""
    tried = harness(name)
    tried.begin()
    try:
        yield tried
    finally:
        tried.finish()


def corpus(name: str) -> list[Path]:
    """The inputs in the tree."""
    return sorted((CORPUS / name).iterdir())


def have_atheris() -> bool:
    """Whether inputs can be guided by coverage here."""
    return importlib.util.find_spec("atheris") is not None


def replay(name: str, paths: list[Path]) -> None:
    """Try given inputs once."""
    with begun(name) as tried:
        for path in paths:
            try:
                tried.try_one(path.read_bytes())
            except BaseException:
                print(f"fuzz {name}: {path}", file=sys.stderr)
                raise


def by_chance(name: str, runs: int, seed: int = 0) -> None:
    """``runs`` inputs made from the corpus by a seeded generator: the same each time."""
    chance = random.Random(seed)
    pool = [path.read_bytes() for path in corpus(name)]
    with begun(name) as tried:
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
    """The functions of the codec that were compiled at import, which no import hook sees."""
    from ninep.wire.codec import codec

    for extended in (False, True):
        for compiled in codec(extended=extended).table.values():
            yield compiled.unpack
            yield compiled.pack


def guided(name: str, runs: int, folders: list[str], options: list[str]) -> None:
    """By atheris; does not return. The first of ``folders`` takes inputs that reached something new."""
    import atheris

    with atheris.instrument_imports(include=["ninep"], enable_loader_override=False):
        tried = harness(name)
    for function in _generated():
        atheris.instrument_func(function)

    def conversation(data: bytes, max_size: int, seed: int) -> bytes:
        # One in eight by libFuzzer's own means, which knows the values that were compared with.
        return bytes(atheris.Mutate(data, len(data))) if seed % 8 == 0 and data else mutate(data, max_size, seed)

    argv = [f"fuzz-{name}", f"-runs={runs}", f"-max_len={tried.LONGEST}", "-rss_limit_mb=2048", "-timeout=30", *options]
    argv.append(f"-artifact_prefix={tempfile.gettempdir()}/fuzz-{name}-")  # where a finding is kept
    own = {"custom_mutator": conversation} if tried.SESSION else {}
    atheris.Setup([*argv, *folders, str(CORPUS / name)], tried.try_one, **own)
    tried.begin()
    atexit.register(tried.finish)
    atheris.Fuzz()
