"""Puts the last results into docs/performance.md: `python bench/publish.py`.

The page's words are written by hand; everything between its markers is what run.py and guest_job.py left in the output
directory, unchanged, so that no figure there was ever typed.
"""

from __future__ import annotations

import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "bench", "out")
PAGE = os.path.join(ROOT, "docs", "performance.md")
PARTS = {
    "results": "results.md",
    "parts": "parts.md",
    "changes": "changes.md",
    "cores": "cores/results.md",
    "bare": "bare/results.md",
    "python": "python/results.md",
    "guest": "guest.md",
}


def between(page: str, name: str, text: str) -> str:
    """The page with what stands between the markers of `name` replaced.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no {begin} ... {end}")
    return f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}"


def main() -> int:
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    for name, file in PARTS.items():
        path = os.path.join(OUT, file)
        if not os.path.exists(path):
            print(f"left as it is: {name} (no {file})", file=sys.stderr)
            continue
        with open(path, encoding="utf-8") as f:
            text = f.read()
        # results.md is a page of its own with headings one level higher
        page = between(page, name, text.replace("\n## ", "\n### ").removeprefix("# Benchmark\n"))
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(page)
    picture = os.path.join(OUT, "results.svg")
    if os.path.exists(picture):
        shutil.copyfile(picture, os.path.join(os.path.dirname(PAGE), "performance.svg"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
