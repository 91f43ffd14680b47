"""The loss of every step, as a CSV that grows while a run goes on and as an SVG plot at its end."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import NamedTuple, TextIO

from harness_ext.errors import DataError

CSV = "losses.csv"
PLOT = "losses.svg"

_WIDTH, _HEIGHT, _MARGIN = 640, 320, 48


class Point(NamedTuple):
    """One optimizer step."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    """Before clipping."""
    terms: int
    """Items that the loss is a mean of, by default answer tokens; those of all terms of an objective."""
    parts: Mapping[str, float] = {}
    """Term of the objective → its mean, without its weight; a term that the step had nothing of is left out."""


class LossCurve:
    """The points of a run; with a folder each one is also a line of its CSV at once.

    Args:
        folder: where the files go; None: nowhere.
        steps_done: lines after this step are of a run that was killed after its last checkpoint, and are dropped.
        terms: of the objective; several are a column each.
    """

    def __init__(self, folder: Path | None, steps_done: int = 0, terms: Sequence[str] = ()) -> None:
        self.points: list[Point] = []
        self._terms = terms if len(terms) > 1 else ()
        self._folder = folder
        self._file: TextIO | None = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        if steps_done and (folder / CSV).exists():
            self.points = [point for point in read(folder / CSV) if point.step <= steps_done]
        part = folder / f"{CSV}.part"  # a kill at this moment must not lose the points that a checkpoint counts on
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([[*Point._fields[:-1], *self._terms], *map(self._line, self.points)])
        part.replace(folder / CSV)
        self._file = (folder / CSV).open("a", newline="", encoding="utf-8", buffering=1)

    def add(self, point: Point) -> None:
        """Keep a point and write it.

        Raises:
            DataError: the disk is full.
        """
        if not self._terms:
            point = point._replace(parts={})
        self.points.append(point)
        if self._file is not None:
            try:
                csv.writer(self._file).writerow(self._line(point))
            except OSError as error:
                raise DataError(f"{self._file.name} cannot be written ({error}): make room and run again") from error

    def _line(self, point: Point) -> list[float | str]:
        return [*point[:-1], *(point.parts.get(term, "") for term in self._terms)]

    def close(self, title: str) -> None:
        """Write the plot."""
        if self._file is None or self._folder is None:
            return
        with suppress(OSError):  # a full disk: whatever ends the run is not hidden, and the CSV can be plotted later
            self._file.close()
            (self._folder / PLOT).write_text(plot([(p.step, p.loss) for p in self.points], title), encoding="utf-8")


def read(path: Path) -> list[Point]:
    """The points of a CSV, up to the first line that is none: a kill cuts the last one off, a bad disk any."""
    points: list[Point] = []
    with path.open(newline="", encoding="utf-8") as file, suppress(KeyError, TypeError, ValueError, csv.Error):
        for line in csv.DictReader(file):
            step, loss, rate, norm, terms = (line.pop(name) for name in Point._fields[:-1])
            parts = {term: float(value) for term, value in line.items() if value}
            points.append(Point(int(step), float(loss), float(rate), float(norm), int(terms), parts))
    return points


def plot(points: Sequence[tuple[int, float]], title: str) -> str:
    """A line of (step, loss) as SVG.

    >>> plot([(1, 2.0), (2, 1.0)], "a < b").count("polyline")
    1
    """
    finite = [(step, loss) for step, loss in points if math.isfinite(loss)] or [(0, 0.0)]
    steps, losses = zip(*finite, strict=True)
    low, high = min(losses), max(losses)

    def place(step: float, loss: float) -> str:
        across = (step - steps[0]) / ((steps[-1] - steps[0]) or 1)
        up = (loss - low) / ((high - low) or 1)
        return f"{_MARGIN + across * (_WIDTH - 2 * _MARGIN):.1f},{_HEIGHT - _MARGIN - up * (_HEIGHT - 2 * _MARGIN):.1f}"

    line = " ".join(place(step, loss) for step, loss in finite)
    left, bottom = _MARGIN - 6, _HEIGHT - _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><title>{escape(title)}</title>'
        f'<path d="M{_MARGIN},{_MARGIN}V{bottom}H{_WIDTH - _MARGIN}" fill="none" stroke="#888"/>'
        f'<text x="{left}" y="{_MARGIN + 4}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{left}" y="{bottom}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{_MARGIN}" y="{bottom + 18}">{steps[0]}</text>'
        f'<text x="{_WIDTH - _MARGIN}" y="{bottom + 18}" text-anchor="end">step {steps[-1]}</text>'
        f'<text x="{_MARGIN}" y="{_MARGIN - 14}">{escape(title)}: loss</text>'
        f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="1.5"/></svg>\n'
    )
