"""Likelihoods of labels without what a model thinks of the labels themselves, whatever it has read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

Likelihood = tuple[float, bool]
"""Of one label of one doc, and whether it is what the model would have written."""


def calibrated(resps: Iterable[Likelihood], docs: Sequence[Any]) -> list[Likelihood]:
    """The likelihoods of each doc's labels minus what each label, by its place, gets on average over all docs.

    A small model prefers some labels before every doc. What it prefers is seen without any right answer, from the docs
    that are asked: so a doc's score depends on the docs beside it, and one doc alone says nothing.

    Args:
        resps: a likelihood for each label of each doc, doc after doc.
        docs: the doc of each, the same object for all labels of one; a doc's only continuation is left as it is.

    Source: Batch Calibration (arXiv 2309.17249); that logarithms are averaged, not probabilities, is ours.

    >>> first, second = {"id": 1}, {"id": 2}
    >>> calibrated([(-1.0, True), (-3.0, False), (-2.0, True), (-6.0, False)], [first, first, second, second])
    [(0.5, True), (1.5, False), (-0.5, True), (-1.5, False)]
    """
    rows = [[one for _, one in own] for _, own in groupby(zip(docs, resps, strict=True), key=lambda pair: id(pair[0]))]
    places = range(max(map(len, rows)))
    means = [fmean(row[place][0] for row in rows if place < len(row)) for place in places]
    return [
        (likelihood - (means[place] if len(row) > 1 else 0.0), greedy)
        for row in rows
        for place, (likelihood, greedy) in enumerate(row)
    ]
