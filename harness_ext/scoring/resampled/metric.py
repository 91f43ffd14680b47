"""A corpus metric as one object: what lm-eval aggregates with, and the same metric on resamples."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from harness_ext.scoring.resampled.statistic import Floats, Integers, NotResampledError, Resampled

Item = TypeVar("Item")


class CorpusMetric(Generic[Item]):
    """One number of the items of all documents; a decorator of the function that builds its resampled form.

    Called with one item a document, as lm-eval calls an aggregation, it returns the number. ``str()`` is its address,
    which lm-eval writes into result files, because an object has no source text. Like a function it is copied and
    pickled by name.

    >>> @CorpusMetric
    ... def agg_share(items: Sequence[tuple[int, int]]) -> Resampled:
    ...     return from_sums(items, lambda sums: sums[:, 0] / sums[:, 1])
    >>> from harness_ext.scoring.resampled.statistic import from_sums
    >>> agg_share([(1, 2), (1, 4)]), agg_share.resampled([(1, 2), (1, 4)]).n_rows, str(agg_share).rpartition(":")[2]
    (0.3333333333333333, 2, 'agg_share')
    """

    def __init__(
        self,
        build: Callable[[Sequence[Item]], Resampled],
        *,
        value: Callable[[Sequence[Item]], float] | None = None,
        by_doc: bool = False,
        trivial: Mapping[str, Callable[[Sequence[Item]], Sequence[Item]]] | None = None,
    ) -> None:
        """Make one of its resampled form; the other arguments are for the decorators below.

        Args:
            build: the resampled form from one item a document.
            value: of a metric that must not be resampled: its number, while ``build`` says why.
            by_doc: items begin with the name of their doc, which has several.
            trivial: by name, from the items of a run to those of a predictor that sees no document.
        """
        self.resampled = build
        self._value = value
        self._by_doc = by_doc
        self.trivial = trivial or {}
        self.__module__, self.__doc__ = build.__module__, build.__doc__

    @property
    def __name__(self) -> str:
        """The name that it has in the module in which it is defined."""
        names = vars(sys.modules.get(self.__module__, self))
        return next((name for name, value in names.items() if value is self), self.resampled.__name__)

    def __call__(self, items: Iterable[Item]) -> float:
        """The metric of the corpus."""
        rows = list(items)
        return self.resampled(rows).point if self._value is None else self._value(rows)

    def of_runs(self, runs: Sequence[Sequence[Item]]) -> Resampled:
        """The resampled form over the items of several runs, one run after the other."""
        if not self._by_doc:
            return self.resampled([item for items in runs for item in items])
        apart: list[Any] = []  # the same doc of two runs is two docs
        for run, items in enumerate(runs):
            rows: Sequence[Any] = items
            apart += [((run, name), *rest) for name, *rest in rows]
        return self.resampled(apart)

    def __str__(self) -> str:
        return f"{self.__module__}:{self.__name__}"

    def __reduce__(self) -> str:
        return self.__name__

    def __get__(self, instance: object, owner: type | None = None) -> CorpusMetric[Item]:
        """Itself also as an attribute of a class; doctest looks for examples in what has this method."""
        return self


def over_docs(build: Callable[[Sequence[Sequence[Item]]], Resampled]) -> CorpusMetric[Item]:
    """A metric of docs that were asked about in several rows, whose items begin with their doc's name.

    ``build`` gets the rows of each doc. A doc counts where its first row does, so its rows must lie in one cluster, to
    be drawn together.

    >>> @over_docs
    ... def agg_share_of_docs_all_right(docs: Sequence[Sequence[tuple[str, bool]]]) -> Resampled:
    ...     return nanmean([all(right for _, right in rows) for rows in docs])
    >>> from harness_ext.scoring.resampled.numbers import nanmean
    >>> agg_share_of_docs_all_right([("a", True), ("b", True), ("a", False)])
    0.5
    """

    def of_items(items: Sequence[Any]) -> Resampled:
        docs: dict[Hashable, list[int]] = {}
        for row, item in enumerate(items):
            docs.setdefault(item[0], []).append(row)
        first = np.isin(np.arange(len(items)), [rows[0] for rows in docs.values()])
        return build([[items[row] for row in rows] for rows in docs.values()]).among(first)

    return CorpusMetric(_named_like(build, of_items), by_doc=True)


def draw_by_draw(n: int, value: Callable[[Integers], float]) -> Resampled:
    """The slow form of a metric of n documents, from its value of the documents of one draw, in their order."""

    def of_counts(counts: Floats) -> Floats:
        return np.array([value(np.repeat(np.arange(n), draw)) for draw in counts.astype(int)])

    return Resampled(np.arange(n), n, of_counts)


def one_draw_at_a_time(aggregation: Callable[[Sequence[Item]], float]) -> CorpusMetric[Item]:
    """A metric of a plain aggregation, which must not depend on the order of its items.

    >>> @one_draw_at_a_time
    ... def agg_range(items: Sequence[float]) -> float:
    ...     return max(items) - min(items)
    >>> agg_range.resampled([1.0, 2.0, 5.0])(np.array([[0, 1, 1], [1, 1, 1]])).tolist()
    [1.0, 0.0]
    """

    def build(items: Sequence[Item]) -> Resampled:
        return draw_by_draw(len(items), lambda drawn: aggregation([items[i] for i in drawn]))

    return CorpusMetric(_named_like(aggregation, build))


def never_resampled(reason: str) -> Callable[[Callable[[Sequence[Item]], float]], CorpusMetric[Item]]:
    """A metric of which resamples say nothing, and why."""

    def metric(aggregation: Callable[[Sequence[Item]], float]) -> CorpusMetric[Item]:
        def build(items: Sequence[Item]) -> Resampled:
            raise NotResampledError(reason)

        return CorpusMetric(_named_like(aggregation, build), value=aggregation)

    return metric


def _named_like(function: Callable[..., Any], build: Callable[[Sequence[Item]], Resampled]) -> Callable[..., Resampled]:
    # Not functools.wraps: lm-eval would record the source of what it wraps.
    for name in ("__module__", "__name__", "__doc__"):
        setattr(build, name, getattr(function, name))
    return build
