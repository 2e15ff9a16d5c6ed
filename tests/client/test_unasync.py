"""The blocking client is the generator's output for the asyncio client, without any async code."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("unasync", ROOT / "tools" / "unasync.py")
assert spec
assert spec.loader
unasync = importlib.util.module_from_spec(spec)
spec.loader.exec_module(unasync)


def test_the_blocking_face_is_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "unasync.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", unasync.MODULES)
def test_it_loads_without_asyncio(name):
    code = f"import sys, ninep.client.blocking.{name}; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=TIMEOUT).returncode == 0


def test_words_are_taken_out_of_code_and_names_out_of_text():
    source = '''\
async def take(file: AsyncFile) -> AsyncIterator[int]:
    """Wait for an ``AsyncFile``; async and await stay words here."""
    async with aclosing(file) as f:
        # AsyncClient
        return [await x async for x in f]
'''
    assert (
        unasync.without_waiting(source)
        == '''\
def take(file: File) -> Iterator[int]:
    """Wait for an ``File``; async and await stay words here."""
    with closing(file) as f:
        # Client
        return [x for x in f]
'''
    )
