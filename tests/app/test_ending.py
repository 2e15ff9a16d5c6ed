"""What asks for an end or a reload without a signal: a service manager that has none."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: it hears signals from then on.
ASKS = """
import asyncio
from ninep.app.ending import EndSignals, ask_end, ask_reload

async def main():
    ask_end()  # nothing hears it yet
    stopped, reloaded = asyncio.Event(), asyncio.Event()
    signals = EndSignals(stopped.set, reload=reloaded.set)
    ask_reload()
    await reloaded.wait()
    print("reloaded", stopped.is_set())
    ask_end()
    await stopped.wait()
    signals.close()
    print("stopped")

asyncio.run(main())
"""


def test_without_a_signal() -> None:
    done = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["reloaded False", "stopped"]
