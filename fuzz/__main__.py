"""``python -m fuzz HARNESS``: see the package."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from fuzz import engine


def main() -> None:
    """Generate inputs, or run given ones."""
    options = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    options.add_argument("harness", choices=engine.HARNESSES)
    options.add_argument("inputs", nargs="*", type=Path, help="try these files once, and nothing else")
    options.add_argument("--runs", type=int, default=100_000, help="how many inputs to make (-1: without end)")
    options.add_argument("--seconds", type=int, default=0, help="end after so long")
    options.add_argument("--seed", type=int, default=0, help="0: another one each time, when guided")
    options.add_argument("--keep", help="the folder for inputs that reached something new; a temporary one by default")
    options.add_argument("--by-chance", action="store_true", help="not guided by coverage: the same inputs each time")
    chosen = options.parse_args()
    if chosen.inputs:
        engine.replay(chosen.harness, chosen.inputs)
    elif chosen.by_chance or not engine.have_atheris():
        print(f"fuzz {chosen.harness}: by chance alone")
        engine.run_random(chosen.harness, chosen.runs, chosen.seed)
    else:
        with tempfile.TemporaryDirectory(prefix="fuzz-corpus.") as scratch:
            more = [f"-seed={chosen.seed}", f"-max_total_time={chosen.seconds}", "-print_final_stats=1"]
            engine.guided(chosen.harness, chosen.runs, [chosen.keep or scratch], more)


if __name__ == "__main__":
    main()
