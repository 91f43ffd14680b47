"""Corpus-level metrics in a form that is evaluated on thousands of resamples at once.

A :class:`Resampled` is a function of how often each document counts; intervals, tests and jackknives are the same call
with other counts. :class:`CorpusMetric` makes an aggregation of it, so that a metric is defined once, in the module of
its concept or the ``scores.py`` of its benchmark.
"""

from harness_ext.scoring.resampled.metric import (
    CorpusMetric,
    draw_by_draw,
    never_resampled,
    one_draw_at_a_time,
    over_docs,
)
from harness_ext.scoring.resampled.statistic import (
    NotResampledError,
    Resampled,
    by_cluster,
    from_sums,
    incidence,
    ratio,
)

__all__ = [
    "CorpusMetric", "NotResampledError", "Resampled", "by_cluster", "draw_by_draw", "from_sums", "incidence",
    "never_resampled", "one_draw_at_a_time", "over_docs", "ratio",
]  # fmt: skip
