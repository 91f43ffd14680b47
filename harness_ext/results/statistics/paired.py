"""Two runs in one metric of one task or group: interval, p-value, effect size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness_ext.results.statistics.bootstrap import DRAWS, SEED, Units, draw, weighted
from harness_ext.results.statistics.significance import (
    ALPHA,
    effect_size,
    exchange,
    holm,
    minimum_detectable_effect,
    permutation_p,
)
from harness_ext.scoring.resampled import Resampled, by_cluster


@dataclass(frozen=True)
class Pair:
    """One task's answers of two runs."""

    statistic: Resampled
    """The metric over the items of A followed by those of B, in the same order of documents."""
    units: npt.NDArray[np.str_]
    """What each document is resampled and exchanged with, shape (n,)."""

    def sides(self, *, by_name: bool) -> list[Resampled]:
        """The metric of A and of B over units; in the order of their names, or that of documents if each is a unit."""
        n = len(self.units)
        sides = [self.statistic.only(slice(0, n)), self.statistic.only(slice(n, None))]
        if len(set(self.units)) == n and not by_name:
            return sides
        return [by_cluster(side, self.units) for side in sides]


@dataclass(frozen=True)
class Job:
    """One line of the comparison, still to be computed."""

    task: str
    metric: str
    filter: str
    run_a: str
    run_b: str
    pairs: Sequence[Pair]
    """One for a task, one for each leaf for a group."""
    weights: tuple[float, ...]
    same_units: bool
    """The leaves ask about the same units."""
    higher_is_better: bool | None


@dataclass(frozen=True)
class Comparison:
    """Run A against run B in one metric of one task or group."""

    task: str
    metric: str
    filter: str
    run_a: str
    run_b: str
    n: int
    """Documents."""
    units: int
    """Independent units among them, which were resampled and exchanged."""
    value_a: float
    value_b: float
    difference: float
    """A minus B."""
    low: float
    high: float
    """95 % bootstrap interval of the difference."""
    stderr: float
    p: float
    p_holm: float
    effect_size: float
    minimum_detectable_effect: float
    higher_is_better: bool | None
    low_a: float = float("nan")
    high_a: float = float("nan")
    """95 % bootstrap interval of A's value."""
    low_b: float = float("nan")
    high_b: float = float("nan")

    @property
    def better(self) -> str | None:
        """The run that is better at a family-wise 5 %; None where neither is known to be."""
        if not self.p_holm < ALPHA or self.higher_is_better is None or self.difference == 0:
            return None
        return self.run_a if (self.difference > 0) == self.higher_is_better else self.run_b


def assess(job: Job, *, draws: int = DRAWS, seed: int = SEED) -> Comparison:
    """Compute one line: bootstrap interval of the difference, permutation p-value, effect size; ``p_holm`` is ``p``."""
    sides = [pair.sides(by_name=job.same_units) for pair in job.pairs]
    leaves = [(Units.each(len(own[0]))._replace(key=str(at)), own) for at, own in enumerate(sides)]
    together = [(leaves[0][0], [side for own in sides for side in own])]
    drawn = draw(together if job.same_units else leaves, draws=draws, seed=seed)
    parts = [one for own in drawn for one in own]
    a, b = (weighted(parts[side::2], job.weights) for side in (0, 1))
    found = weighted([a, b], [1.0, -1.0]).interval
    p = permutation_p(
        [exchange(pair.statistic, pair.units) for pair in job.pairs],
        combine=lambda values: np.tensordot(job.weights, values, axes=1),
        same_units=job.same_units,
        draws=draws,
        seed=seed,
    )
    units = sum(map(len, a.left_out.values()))
    return Comparison(
        task=job.task,
        metric=job.metric,
        filter=job.filter,
        run_a=job.run_a,
        run_b=job.run_b,
        n=sum(len(pair.units) for pair in job.pairs),
        units=units,
        value_a=a.value,
        value_b=b.value,
        difference=found.value,
        low=found.low,
        high=found.high,
        stderr=found.stderr,
        p=p,
        p_holm=p,
        effect_size=effect_size(found.value, found.stderr, units),
        minimum_detectable_effect=minimum_detectable_effect(found.stderr),
        higher_is_better=job.higher_is_better,
        low_a=a.interval.low,
        high_a=a.interval.high,
        low_b=b.interval.low,
        high_b=b.interval.high,
    )


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with Holm's correction over all of them."""
    p_values = holm([one.p for one in comparisons])
    return [replace(one, p_holm=p) for one, p in zip(comparisons, p_values, strict=True)]
