"""Line charts as SVG: small, without scripts, in the colours of the page around them.

Sizes are in units of the view box, so a chart is as wide as its place on the page. Text that does not come
from this module goes through :func:`escaped`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import msgspec

from .text import one_line

__all__ = ["Chart", "Line", "escaped", "nice_ticks", "svg"]

_WIDTH, _HEIGHT = 640, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 32, 32, 48
_LEAST = 1e-9  # what is smaller is drawn as 0
_APART = 24.0  # labels of points closer than that could not be read


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line through points.

    ``kind`` is its CSS class; ``labels`` stand beside its points, as far
    as there is room.
    """

    name: str
    kind: str
    points: Sequence[tuple[float, float]]
    labels: Sequence[str] = ()


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn.

    Attributes:
        title: read aloud by screen readers, too.
        x: name of the axis below; ``doubling`` gives every doubling the same room on it.
        y: name of the axis on the left, which begins at 0.
        mark: a vertical line at this x, if any, with ``mark_words`` on it.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    doubling: bool = False
    mark: float | None = None
    mark_words: str = ""


def escaped(text: object) -> str:
    """Text as HTML shows it, whatever is in it."""
    return html.escape(one_line(str(text)))


def nice_ticks(most: float, wanted: int = 5) -> list[float]:
    """Round values from 0 to at least ``most``."""
    if most < _LEAST or not math.isfinite(most):
        return [0.0, 1.0]
    raw = most / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return [round(step * number, 12) for number in range(math.ceil(most / step - 1e-9) + 1)]


def svg(chart: Chart) -> str:
    """The chart as an element for an HTML page."""
    scale = _Scale(chart)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escaped(chart.title)}">',
        f"<title>{escaped(chart.title)}</title>",
        *_grid(chart, scale),
        *_mark(chart, scale),
        *(part for line in chart.lines for part in _line(line, scale)),
        *_legend(chart),
        "</svg>",
    ]
    return "\n".join(parts)


class _Scale:
    """From values to places."""

    def __init__(self, chart: Chart) -> None:
        xs = [x for line in chart.lines for x, _ in line.points] or [0.0, 1.0]
        ys = [y for line in chart.lines for _, y in line.points]
        self.doubling = chart.doubling and min(xs) > 0
        self.y_ticks = nice_ticks(max(ys, default=0.0))
        self.x_ticks = _doublings(xs) if self.doubling else nice_ticks(max(xs))
        ends = (min(self.x_ticks), max(self.x_ticks))
        self._low, high = (math.log2(end) for end in ends) if self.doubling else ends
        self._span = (high - self._low) or 1.0

    def x(self, value: float) -> float:
        place = math.log2(value) if self.doubling else value
        return round(_LEFT + (place - self._low) / self._span * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        return round(_HEIGHT - _BOTTOM - value / self.y_ticks[-1] * (_HEIGHT - _TOP - _BOTTOM), 1)


def _doublings(values: Sequence[float]) -> list[float]:
    first, last = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
    return [2.0**power for power in range(first, last + 1)]


def _grid(chart: Chart, scale: _Scale) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    for tick in scale.y_ticks:
        y = scale.y(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{right}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{_short(tick)}</text>')
    for tick in scale.x_ticks:
        x = scale.x(tick)
        parts.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{_short(tick)}</text>')
    middle = (_LEFT + right) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escaped(chart.x)}</text>'
    )
    parts.append(f'<text class="axis" x="4" y="14">{escaped(chart.y)}</text>')
    return parts


def _mark(chart: Chart, scale: _Scale) -> list[str]:
    if chart.mark is None:
        return []
    x = scale.x(chart.mark)
    anchor, shift = ("end", -6) if x > _WIDTH / 2 else ("start", 6)
    bottom = _HEIGHT - _BOTTOM
    place = f'x="{x + shift}" y="{bottom - 8}" text-anchor="{anchor}"'
    return [
        f'<line class="mark" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>',
        f'<text class="mark" {place}>{escaped(chart.mark_words)}</text>',
    ]


def _line(line: Line, scale: _Scale) -> list[str]:
    places = [(scale.x(x), scale.y(y)) for x, y in line.points]
    path = " ".join(f"{x},{y}" for x, y in places)
    parts = [f'<polyline class="line {line.kind}" points="{path}"/>']
    parts += [f'<circle class="dot {line.kind}" cx="{x}" cy="{y}" r="3.5"/>' for x, y in places]
    labelled: list[tuple[float, float]] = []
    for place, label in zip(places, line.labels, strict=False):
        if all(math.dist(place, other) >= _APART for other in labelled):
            labelled.append(place)
            x, y = round(place[0] + 6, 1), round(place[1] - 6, 1)
            parts.append(f'<text class="label" x="{x}" y="{y}">{escaped(label)}</text>')
    return parts


def _legend(chart: Chart) -> list[str]:
    if len(chart.lines) < 2:
        return []
    parts, x = [], _WIDTH - _RIGHT
    for line in reversed(chart.lines):
        x -= 24 + 11 * len(line.name)
        parts.append(f'<circle class="dot {line.kind}" cx="{x}" cy="10" r="4"/>')
        parts.append(f'<text x="{x + 8}" y="14">{escaped(line.name)}</text>')
    return parts


def _short(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}"
