"""Curves as text for terminals (braille dots) and as SVG: small, and nothing to install.

A braille character is a grid of two by four dots (U+2800 to U+28FF), so a terminal of 80 by 20
shows 160 by 80 of them. Curves are told apart by colour there and in SVG.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape

_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
#: Okabe and Ito's palette, which people of any colour vision tell apart (2008).
COLOURS: Final = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442",
)  # fmt: skip
_TERMINAL: Final = (
    "blue", "red", "green", "magenta", "yellow", "cyan", "white", "bright_black",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its name and its points; those that are no finite numbers break it."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True, slots=True)
class Frame:
    """The least and greatest x and y of all curves."""

    left: float
    right: float
    low: float
    high: float

    @classmethod
    def around(cls, lines: Sequence[Line]) -> Frame | None:
        """The frame of some curves; None when they have no point."""
        points = [point for line in lines for run in _runs(line) for point in run]
        if not points:
            return None
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return cls(min(xs), max(xs), min(ys), max(ys))

    def place(self, x: float, y: float, width: int, height: int) -> tuple[float, float]:
        """Where a point is on a grid, from its upper left corner."""
        across = _share(x, self.left, self.right)
        up = _share(y, self.low, self.high)
        return across * (width - 1), (1 - up) * (height - 1)


def terminal(lines: Sequence[Line], width: int, height: int) -> list[str]:
    """The curves as `height` rows of text with colours of rich, axes and a legend below."""
    frame = Frame.around(lines)
    if frame is None:
        return ["no points"]
    marks = [f"{frame.high:.4g}", f"{frame.low:.4g}"]
    margin = max(len(mark) for mark in marks)
    columns = max(10, width - margin - 2)
    cells = [[0] * columns for _ in range(height)]
    owners = [[0] * columns for _ in range(height)]
    for number, line in enumerate(lines):
        for x, y in _dots(line, frame, columns * 2, height * 4):
            cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
            owners[y // 4][x // 2] = number
    rows = []
    for place, (row, owner) in enumerate(zip(cells, owners, strict=True)):
        mark = marks[0] if place == 0 else marks[1] if place == height - 1 else ""
        shown = "".join(
            f"[{_TERMINAL[who % len(_TERMINAL)]}]{chr(0x2800 + cell)}[/]" if cell else " "
            for cell, who in zip(row, owner, strict=True)
        )
        rows.append(f"{mark:>{margin}} │{shown}")
    left, right = f"{frame.left:g}", f"{frame.right:g}"
    rows.append(" " * (margin + 1) + "└" + "─" * columns)
    rows.append(" " * (margin + 2) + left + right.rjust(columns - len(left)))
    for number, line in enumerate(lines):
        name = line.name.replace("[", "\\[")
        rows.append(f"{'':>{margin}} [{_TERMINAL[number % len(_TERMINAL)]}]━━[/] {name}")
    return rows


def svg(lines: Sequence[Line], title: str, width: int = 900, height: int = 500) -> str:
    """The curves as an SVG document (SVG 1.1) with axes and a legend."""
    frame = Frame.around(lines)
    left, top, inner_width, inner_height = 70, 40, width - 90, height - 90 - 18 * len(lines)
    inner_height = max(inner_height, 100)
    below = top + inner_height
    total = max(height, below + 50 + 18 * len(lines))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{total}" '
        f'viewBox="0 0 {width} {total}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{total}" fill="white"/>',
        f'<text x="{left}" y="24" font-size="15">{escape(title)}</text>',
        f'<path d="M{left} {top}V{below}H{left + inner_width}" fill="none" stroke="#444"/>',
    ]
    if frame is not None:
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = below - share * inner_height
            x = left + share * inner_width
            value = frame.low * (1 - share) + frame.high * share
            step = frame.left * (1 - share) + frame.right * share
            parts.append(
                f'<path d="M{left} {y:.1f}H{left + inner_width}" stroke="#ddd" fill="none"/>'
                f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
                f'<text x="{x:.1f}" y="{below + 18}" text-anchor="middle">{step:.6g}</text>'
            )
        for number, line in enumerate(lines):
            colour = COLOURS[number % len(COLOURS)]
            for run in _runs(line):
                places = [frame.place(x, y, inner_width, inner_height) for x, y in run]
                path = "L".join(f"{left + x:.1f} {top + y:.1f}" for x, y in places)
                parts.append(
                    f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
                )
    for number, line in enumerate(lines):
        y = below + 40 + 18 * number
        colour = COLOURS[number % len(COLOURS)]
        parts.append(
            f'<path d="M{left} {y - 4}h24" stroke="{colour}" stroke-width="3"/>'
            f'<text x="{left + 32}" y="{y}">{escape(line.name)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _share(value: float, least: float, greatest: float) -> float:
    """How far a value is on the way; of halves, whose difference cannot overflow."""
    width = greatest / 2 - least / 2
    return (value / 2 - least / 2) / width if width > 0 else 0.5


def _runs(line: Line) -> Iterator[list[tuple[float, float]]]:
    """The stretches of a curve between points that are no finite numbers."""
    run: list[tuple[float, float]] = []
    for x, y in zip(line.xs, line.ys, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _dots(line: Line, frame: Frame, width: int, height: int) -> Iterator[tuple[int, int]]:
    for run in _runs(line):
        places = [frame.place(x, y, width, height) for x, y in run]
        yield round(places[0][0]), round(places[0][1])
        for (x0, y0), (x1, y1) in pairwise(places):
            steps = max(1, math.ceil(max(abs(x1 - x0), abs(y1 - y0))))
            for step in range(1, steps + 1):
                share = step / steps
                yield round(x0 + share * (x1 - x0)), round(y0 + share * (y1 - y0))
