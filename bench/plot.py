"""A picture of the ratios, as SVG without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.rounds import Ratio, ratio
from bench.sample import Sample
from bench.servers import Server
from bench.workloads import Load, Workload

LEFT, TOP, WIDTH, ROW, BOTTOM = 330, 64, 560, 20, 40
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2")
FONT = 'font-family="sans-serif" font-size="12" fill="#222"'


class Scale:
    """Ratios to pixels, logarithmic and symmetric around 1: the ends are those of the data, rounded
    outwards to powers of two.
    """

    def __init__(self, values: Sequence[float]) -> None:
        self.low = min(-1, math.floor(math.log2(min(values))))
        self.high = max(1, math.ceil(math.log2(max(values))))

    def x(self, value: float) -> float:
        """The x coordinate of a ratio."""
        return LEFT + WIDTH * (math.log2(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """The powers of two in range."""
        return [2.0**e for e in range(self.low, self.high + 1)]


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT}>{escape(words)}</text>'


def _axis(scale: Scale, height: float) -> list[str]:
    parts = []
    for tick in scale.ticks():
        x, bold = scale.x(tick), tick == 1
        parts.append(
            f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - BOTTOM:.1f}" '
            f'stroke="{"#222" if bold else "#ddd"}" stroke-width="{1.5 if bold else 1}"/>'
        )
        parts.append(_text(x, height - BOTTOM + 16, f"{tick:g}", "middle"))
    return parts


def _legend(loads: Sequence[Load]) -> list[str]:
    parts = []
    for i, load in enumerate(loads):
        x = LEFT + i * 115
        words = f"{load.conns} conn." if load.conns > 1 else f"{load.depth} outstanding"
        parts.append(f'<circle cx="{x}" cy="40" r="4.5" fill="{COLOURS[i % len(COLOURS)]}"/>' + _text(x + 9, 44, words))
    return parts


def svg(
    samples: Sequence[Sample], ours: Server, peer: Server, workloads: Sequence[Workload], loads: Sequence[Load]
) -> str:
    """One row per workload, one dot per load, a line from the lowest to the highest round; ""
    without data.
    """
    rows: list[tuple[Workload, list[tuple[int, Ratio]]]] = []
    for w in workloads:
        dots = [(i, r) for i, load in enumerate(loads) if (r := ratio(samples, ours.key, peer.key, w.key, load.key))]
        if dots:
            rows.append((w, dots))
    if not rows:
        return ""
    scale = Scale([v for _, dots in rows for _, r in dots for v in (r.low, r.high)])
    height = TOP + ROW * len(rows) + BOTTOM
    parts = [_text(10, 20, f"{ours.title}: times as fast as {peer.title}"), *_legend(loads), *_axis(scale, height)]
    for n, (w, dots) in enumerate(rows):
        y = TOP + ROW * n + ROW / 2
        parts.append(_text(LEFT - 10, y + 4, w.title, "end"))
        for i, r in dots:
            colour, at = COLOURS[i % len(COLOURS)], y + (i - (len(loads) - 1) / 2) * 2.6
            parts.append(
                f'<line x1="{scale.x(r.low):.1f}" y1="{at:.1f}" x2="{scale.x(r.high):.1f}" y2="{at:.1f}" stroke="{colour}" opacity=".5"/>'
            )
            parts.append(f'<circle cx="{scale.x(r.median):.1f}" cy="{at:.1f}" r="3.4" fill="{colour}"/>')
    size = f'width="{LEFT + WIDTH + 30}" height="{height:.0f}" viewBox="0 0 {LEFT + WIDTH + 30} {height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
