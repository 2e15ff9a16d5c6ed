"""Writes the last results into docs/performance-data.md, and selected rows into
docs/performance.md: `python bench/publish.py`.

The text of the pages is written by hand. The content between the markers of the data page is the
unchanged output of run.py and guest_job.py, and the table of the other page is taken from it, so
that no figure is typed.
"""

from __future__ import annotations

import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "bench", "out")
DATA = os.path.join(ROOT, "docs", "performance-data.md")
PAGE = os.path.join(ROOT, "docs", "performance.md")
PARTS = {
    "results": "results.md",
    "parts": "parts.md",
    "changes": "changes.md",
    "listings": "listings/results.md",
    "equal": "equal/results.md",
    "cores": "cores/results.md",
    "bare": "bare/results.md",
    "python": "python/results.md",
    "guest": "guest.md",
    "guest-virtio": "virtio/guest.md",
    "guest-mapped": "mapped/guest.md",
}


def between(page: str, name: str, text: str) -> str:
    """The page with the text between the markers of `name` replaced.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no {begin} ... {end}")
    return f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}"


RATIOS = "### Ratios: ninep, passthrough"
SUMMARY = (
    ("results", "getattr of a fid"),
    ("results", "stat of a path of 3 (walk, getattr, clunk)"),
    ("results", "open, read 4 KiB, close (walk, lopen, read, clunk)"),
    ("results", "create, write 4 KiB, close, unlink"),
    ("listings", "readdir of 10,000, unchanged since the last"),
    ("listings", "readdir of 10,000, changed before each"),
    ("results", "random read of 4 KiB"),
    ("equal", "sequential read of 128 KiB"),
    ("equal", "write of 128 KiB"),
)
"""The rows that docs/performance.md shows: of which part of the data page, and their
names there.
"""
COLUMNS = ("1x1 / diod", "1x16 / diod")


def part(page: str, name: str) -> str:
    """The text between the markers of ``name``."""
    return page.partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]


def summary(data: str) -> str:
    """The table of docs/performance.md, from the data page."""
    lines = ["| times as fast as diod | one request outstanding | sixteen outstanding |", "|---|--:|--:|"]
    for name, row in SUMMARY:
        table = part(data, name).partition(RATIOS)[2].strip().splitlines()
        head = [cell.strip() for cell in table[0].split("|")]
        cells = next(([c.strip() for c in line.split("|")] for line in table if line.startswith(f"| {row} |")), None)
        if cells is None:
            raise ValueError(f"{row!r} is not a row of {name}")
        lines.append(f"| {row} | {' | '.join(cells[head.index(column)] for column in COLUMNS)} |")
    return "\n".join(lines)


def main() -> int:
    with open(DATA, encoding="utf-8") as f:
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
    with open(DATA, "w", encoding="utf-8") as f:
        f.write(page)
    with open(PAGE, encoding="utf-8") as f:
        short = between(f.read(), "summary", summary(page))
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(short)
    picture = os.path.join(OUT, "results.svg")
    if os.path.exists(picture):
        shutil.copyfile(picture, os.path.join(os.path.dirname(PAGE), "performance.svg"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
