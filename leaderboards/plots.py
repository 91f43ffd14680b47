"""Plots as inline SVG: pure functions from numbers to markup. Colours, type and line widths are the style sheet's.

Bars and dots use percentages for positions along the axis, so that a plot fills its column while its text keeps the
size of the page. All text is escaped on its way in (:class:`markupsafe.Markup`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

Floats = npt.NDArray[np.float64]
Segments = npt.NDArray[np.int64]

SERIES = 8
"""Colours, each with a marker of its own; further series share the last."""

_MARKERS = (
    "M-5,0A5,5 0 1 1 5,0A5,5 0 1 1 -5,0Z",
    "M-4.4,-4.4H4.4V4.4H-4.4Z",
    "M0,-6L6,0L0,6L-6,0Z",
    "M0,-5.5L5.6,4.5H-5.6Z",
    "M0,5.5L5.6,-4.5H-5.6Z",
    "M-1.8,-5.4H1.8V-1.8H5.4V1.8H1.8V5.4H-1.8V1.8H-5.4V-1.8H-1.8Z",
    "M-5.6,0L-2.8,-4.9H2.8L5.6,0L2.8,4.9H-2.8Z",
    "M-3,0A3,3 0 1 1 3,0A3,3 0 1 1 -3,0Z",
)

_LABEL = 34
"""Characters of a label that fit above a bar; the whole label is in its tooltip."""


class Bar(NamedTuple):
    """One bar with its interval (NaN for none) and the number of its series; ``short`` is a label for little room."""

    label: str
    value: float
    low: float
    high: float
    series: int
    short: str = ""


class Dot(NamedTuple):
    """One marker; ``series`` None draws a grey tick for context."""

    label: str
    value: float
    series: int | None


class Axis(NamedTuple):
    """The range of an axis and the numbers written on it."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> str:
        """Where a value lies along the axis.

        >>> Axis(0, 4, ()).percent(1.0)
        '25%'
        """
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def axis(values: Iterable[float], *, zero: bool = True) -> Axis:
    """An axis around all finite values that ends on round numbers; with ``zero``, 0 is on it.

    >>> axis([2.71, 3.3])
    Axis(low=0.0, high=4.0, ticks=(0.0, 1.0, 2.0, 3.0, 4.0))
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-12):  # nothing to tell apart
        low, high = (min(low, 0.0), max(high, 1.0)) if zero else (low - 0.5, high + 0.5)
    step = _round_step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(number * step, 12) for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))


def number(value: float, scale: Axis) -> str:
    """A number to three digits of the axis's range, with a real minus; all numbers of a plot end at the same place.

    >>> number(2.6628, axis([3.3])), number(-0.5, axis([3.3])), number(57.04, axis([60]))
    ('2.66', '−0.50', '57.0')
    """
    digits = max(0, 2 - math.floor(math.log10(max(abs(scale.low), abs(scale.high)) * 0.999)))
    return f"{value:.{digits}f}".replace("-", "−")


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def bars(rows: Sequence[Bar], scale: Axis, *, name: str, reference: float = math.nan) -> Markup:
    """Horizontal bars from zero, each with its label and value above it and its interval across its end.

    Args:
        rows: the bars from top to bottom; those without a value say so.
        scale: an axis that holds 0 and all intervals.
        name: what the plot shows, read out in its place.
        reference: value of a dashed line; NaN for none.
    """
    height = 34 * len(rows)
    parts = [_grid(scale, height), *(_bar(row, scale, 34 * at) for at, row in enumerate(rows))]
    if math.isfinite(reference):
        x = scale.percent(reference)
        parts.append(Markup('<line class="reference" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(x, height))
    return _drawing(parts, height + 20, name)


def _bar(row: Bar, scale: Axis, top: int) -> Markup:
    tip = row.label if math.isnan(row.value) else f"{row.label}: {_with_interval(row, scale)}"
    marks = [
        Markup("<title>{}</title>").format(tip),
        Markup('<text class="label" x="0" y="{}">{}</text>').format(top + 13, _cut(row.short or row.label)),
        Markup('<text class="value" x="100%" y="{}">{}</text>').format(
            top + 13, "undefined" if math.isnan(row.value) else number(row.value, scale)
        ),
    ]
    if math.isfinite(row.value):
        left, right = sorted((0.0, row.value))
        width = Axis(0, scale.high - scale.low, ()).percent(right - left)
        marks.append(
            Markup('<rect class="bar s{}" x="{}" y="{}" width="{}" height="9"/>').format(
                row.series, scale.percent(left), top + 19, width
            )
        )
    if math.isfinite(row.low) and math.isfinite(row.high):
        low, high, y = scale.percent(row.low), scale.percent(row.high), top + 23.5
        marks.append(Markup('<line class="interval" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(low, high, y=y))
        for end in (low, high):
            marks.append(
                Markup('<line class="interval" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(end, y - 3.5, y + 3.5)
            )
    return Markup("<g>{}</g>").format(Markup("").join(marks))


def _with_interval(row: Bar, scale: Axis) -> str:
    if math.isnan(row.low) or math.isnan(row.high):
        return f"{number(row.value, scale)}, no interval"
    return f"{number(row.value, scale)} ({number(row.low, scale)} to {number(row.high, scale)})"


def dots(rows: Sequence[tuple[str, Sequence[Dot]]], scale: Axis, *, name: str) -> Markup:
    """A line for each named row with a marker for each value on it; grey ticks lie below the markers."""
    height = 40 * len(rows)
    parts = [_grid(scale, height)]
    for at, (label, marks) in enumerate(rows):
        y = 40 * at + 28
        parts.append(Markup('<text class="label" x="0" y="{}">{}</text>').format(y - 13, _cut(label)))
        parts.append(Markup('<line class="rail" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(y))
        for mark in sorted(marks, key=lambda mark: mark.series is not None):
            if math.isfinite(mark.value):
                parts.append(_dot(mark, scale, y))
    return _drawing(parts, height + 20, name)


def _dot(mark: Dot, scale: Axis, y: int) -> Markup:
    x, tip = scale.percent(mark.value), f"{mark.label}: {number(mark.value, scale)}"
    if mark.series is None:
        return Markup('<g><title>{}</title><line class="context" x1="{x}" x2="{x}" y1="{}" y2="{}"/></g>').format(
            tip, y - 5, y + 5, x=x
        )
    return Markup('<svg class="marker" x="{}" y="{}"><title>{}</title><path class="s{}" d="{}"/></svg>').format(
        x, y, tip, mark.series, _MARKERS[mark.series]
    )


def marker(series: int) -> Markup:
    """The marker of a series, for a legend."""
    return Markup('<svg class="key" viewBox="-7 -7 14 14" aria-hidden="true"><path class="s{}" d="{}"/></svg>').format(
        series, _MARKERS[series]
    )


def _grid(scale: Axis, height: int) -> Markup:
    parts = []
    for tick in scale.ticks:
        x = scale.percent(tick)
        parts.append(Markup('<line class="grid" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(x, height))
        parts.append(
            Markup('<text class="tick" text-anchor="middle" x="{}" y="{}">{}</text>').format(
                x, height + 14, _tick(tick)
            )
        )
    return Markup("").join(parts)


def _drawing(parts: Iterable[Markup], height: int, name: str) -> Markup:
    return Markup('<svg class="plot" role="img" aria-label="{}" width="100%" height="{}">{}</svg>').format(
        name, height, Markup("").join(parts)
    )


def _cut(label: str) -> str:
    return label if len(label) <= _LABEL else label[: _LABEL - 1] + "…"


_SIDE, _HEIGHT, _BINS = 216, 108, 9


def histogram(gold: Segments, predicted: Segments, *, poles: tuple[str, str], series: int, name: str) -> Markup:
    """Shares of nine equal segments of [0, 1]: predictions as filled bars, gold labels as an outline over them.

    Args:
        gold: segments 0 to 8 of the gold labels, shape (n,), n >= 1.
        predicted: segments 0 to 8 of the predictions, shape (m,), m >= 1.
        poles: what 0 and 1 stand for.
        series: colour of the predictions.
        name: what the plot shows, read out in its place.
    """
    shares = [np.bincount(values, minlength=_BINS) / len(values) for values in (gold, predicted)]
    top = max(float(share.max()) for share in shares)
    width, heights = _SIDE / _BINS, [share / top * (_HEIGHT - 6) for share in shares]
    parts = [
        Markup('<g><title>{}</title><rect class="bar s{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/></g>')
        .format(f"segment {at + 1}: {share:.1%} of predictions, {shares[0][at]:.1%} of gold labels", series,
                at * width + 2, _HEIGHT - height, width - 4, height)
        for at, (share, height) in enumerate(zip(shares[1], heights[1], strict=True))
    ]  # fmt: skip
    steps = "".join(f"V{_HEIGHT - height:.1f}H{(at + 1) * width:.1f}" for at, height in enumerate(heights[0].tolist()))
    parts += [
        Markup('<path class="outline" d="M0,{h}{}V{h}"/>').format(steps, h=_HEIGHT),
        Markup('<line class="base" x1="0" x2="{}" y1="{h}" y2="{h}"/>').format(_SIDE, h=_HEIGHT),
        *_segment_numbers(_HEIGHT + 13),
        *_pole_names(_HEIGHT + 28, poles),
    ]
    return _square(parts, _HEIGHT + 32, name)


def reliability(
    gold: Floats, predicted: Floats, segments: Segments, *, poles: tuple[str, str], series: int, name: str
) -> Markup:
    """Gold labels against predictions: every document, and for each predicted segment the mean of its gold labels.

    The area of a mean's circle grows with the number of documents; the line through it spans the middle half of their
    gold labels. On the diagonal a prediction is what the gold labels are on average.

    Args:
        gold: soft labels in [0, 1], shape (n,).
        predicted: predictions in [0, 1], shape (n,).
        segments: segments 0 to 8 of the predictions, shape (n,).
        poles: what 0 and 1 stand for.
        series: colour of the predictions.
        name: what the plot shows, read out in its place.
    """
    inner = _SIDE - 24

    def x(value: float) -> float:
        return 12 + inner * value

    def y(value: float) -> float:
        return 12 + inner * (1 - value)

    points = dict.fromkeys(f"M{x(p):.1f},{y(g):.1f}h0" for g, p in zip(gold.tolist(), predicted.tolist(), strict=True))
    parts = [
        Markup('<rect class="frame" x="0" y="0" width="{0}" height="{0}"/>').format(_SIDE),
        Markup('<line class="diagonal" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(x(0), y(0), x(1), y(1)),
        Markup('<path class="cloud s{}" d="{}"/>').format(series, "".join(points)),
    ]
    for segment in np.unique(segments).tolist():
        own = gold[segments == segment]
        at = float(predicted[segments == segment].mean())
        low, middle, high = np.quantile(own, 0.25), own.mean(), np.quantile(own, 0.75)
        tip = f"segment {segment + 1}: {len(own)} docs, mean gold {middle:.2f}, middle half {low:.2f} to {high:.2f}"
        radius = 2.5 + 8 * math.sqrt(len(own) / len(gold))
        parts.append(
            Markup(
                '<g><title>{}</title><line class="interval" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
                '<circle class="mean s{}" cx="{x:.1f}" cy="{:.1f}" r="{:.1f}"/></g>'
            ).format(tip, y(low), y(high), series, y(middle), radius, x=x(at))
        )
    parts += [
        Markup('<text class="tick" x="6" y="13">gold ↑</text>'),
        Markup('<text class="tick" text-anchor="end" x="{}" y="{}">predicted →</text>').format(_SIDE - 6, _SIDE - 6),
        *_pole_names(_SIDE + 14, poles),
    ]
    return _square(parts, _SIDE + 18, name)


def _segment_numbers(y: int) -> list[Markup]:
    width = _SIDE / _BINS
    return [
        Markup('<text class="tick" text-anchor="middle" x="{:.1f}" y="{}">{}</text>').format(
            (at + 0.5) * width, y, at + 1
        )
        for at in range(_BINS)
    ]


def _pole_names(y: int, poles: tuple[str, str]) -> list[Markup]:
    return [
        Markup('<text class="pole" text-anchor="{}" x="{}" y="{}">{}</text>').format(anchor, x, y, pole)
        for anchor, x, pole in zip(("start", "end"), (0, _SIDE), poles, strict=True)
    ]


def _square(parts: Iterable[Markup], height: int, name: str) -> Markup:
    return Markup('<svg class="square" role="img" aria-label="{}" viewBox="0 0 {} {}">{}</svg>').format(
        name, _SIDE, height, Markup("").join(parts)
    )
