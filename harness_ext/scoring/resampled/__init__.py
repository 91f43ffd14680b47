"""Corpus-level metrics in a form that is evaluated on thousands of resamples at once.

A :class:`Resampled` is a function of how often each document counts; :func:`resampled` makes one of a metric and its
per-document items, :func:`form` for several runs at once. Intervals, tests and jackknives are then all the same call
with other counts. The forms must give exactly what the aggregation of :mod:`harness_ext.scoring` gives on the resampled
items; a test checks every line of the registry.
"""

from harness_ext.scoring.resampled.registry import Factory, form, resampled
from harness_ext.scoring.resampled.statistic import NotResampledError, Resampled, by_cluster, incidence

__all__ = ["Factory", "NotResampledError", "Resampled", "by_cluster", "form", "incidence", "resampled"]
