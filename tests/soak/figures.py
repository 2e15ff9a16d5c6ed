"""What a server costs over time: sampled from outside, told in numbers, drawn as SVG by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

LEFT, TOP, WIDTH, HEIGHT, GAP = 70, 40, 640, 130, 50
FONT = 'font-family="sans-serif" font-size="12" fill="#222"'


class Sample(NamedTuple):
    """One moment."""

    seconds: float
    memory: int
    handles: int
    threads: int


class Sampler:
    """Takes a sample each second until it is told to stop."""

    def __init__(self, look: Callable[[], tuple[int, int, int]], every: float = 1.0) -> None:
        self.samples: list[Sample] = []
        self._look = look
        self._every = every
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self.samples.append(Sample(time.monotonic() - self._began, *self._look()))
            except OSError:
                return  # the server has ended, which others will notice

    def stop(self) -> list[Sample]:
        """What was seen."""
        self._stop.set()
        self._thread.join()
        return self.samples


def growth(samples: Sequence[Sample]) -> int:
    """By how much the memory of the last quarter is above that of the second, in bytes: the least
    of each, so that no peak counts.
    """
    quarter = max(1, len(samples) // 4)
    return min(one.memory for one in samples[-quarter:]) - min(one.memory for one in samples[quarter : 2 * quarter])


def svg(title: str, samples: Sequence[Sample]) -> str:
    """Memory, and handles with threads, over the time; no more points than can be told apart."""
    samples = samples[:: max(1, len(samples) // 300)]
    panels = (
        ("resident memory, MiB", [("memory", "#4269d0", [one.memory / 2**20 for one in samples])]),
        (
            "handles and threads",
            [
                ("handles", "#ff725c", [float(one.handles) for one in samples]),
                ("threads", "#3ca951", [float(one.threads) for one in samples]),
            ],
        ),
    )
    height = TOP + len(panels) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{height}">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="22" {FONT} font-weight="bold">{escape(title)}</text>',
    ]
    times = [one.seconds for one in samples]
    for number, (label, lines) in enumerate(panels):
        parts += _panel(TOP + number * (HEIGHT + GAP), label, times, lines)
    return "\n".join([*parts, "</svg>\n"])


def _panel(
    top: float, label: str, times: Sequence[float], lines: Sequence[tuple[str, str, Sequence[float]]]
) -> list[str]:
    most = max(max(values) for _, _, values in lines) * 1.1 or 1
    end = times[-1]
    parts = [f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#ccc"/>']
    parts.append(f'<text x="{LEFT}" y="{top - 6}" {FONT}>{escape(label)}</text>')
    for share in (0.0, 0.5, 1.0):
        y = top + HEIGHT * (1 - share)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end" {FONT}>{most * share:.0f}</text>')
        parts.append(
            f'<text x="{LEFT + WIDTH * share:.0f}" y="{top + HEIGHT + 16}" text-anchor="middle" {FONT}>{end * share / 60:.1f} min</text>'
        )
    for place, (name, colour, values) in enumerate(lines):
        points = " ".join(
            f"{LEFT + WIDTH * at / end:.1f},{top + HEIGHT * (1 - value / most):.1f}"
            for at, value in zip(times, values, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if len(lines) > 1:
            parts.append(
                f'<text x="{LEFT + WIDTH - 140 + 75 * place}" y="{top - 6}" {FONT} style="fill:{colour}">{name}</text>'
            )
    return parts
