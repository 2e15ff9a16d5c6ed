"""``python -m tests.soak --minutes 20``: see ``soak``."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.soak.figures import svg
from tests.soak.soak import soak


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.soak")
    options.add_argument("--minutes", type=float, default=20)
    options.add_argument("--no-guest", action="store_true", help="without the kernel client in a virtual machine")
    options.add_argument("--model", default="mapped-xattr", help="the security model")
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--plot", type=Path, help="write a picture of memory and handles there (SVG)")
    chosen = options.parse_args()
    print(f"soak: seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ninep-soak.") as folder:
        report = soak(
            Path(folder), chosen.minutes * 60, guest=not chosen.no_guest, seed=chosen.seed, model=chosen.model
        )
    for line in report.lines():
        print(f"soak: {line}")
    if chosen.plot:
        chosen.plot.write_text(svg(f"A soak of {chosen.minutes:g} minutes ({chosen.model})", report.samples))


if __name__ == "__main__":
    main()
