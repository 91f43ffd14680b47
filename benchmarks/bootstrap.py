"""Time and memory of the bootstrap against a plain pandas and scikit-learn loop over the same draws.

    python benchmarks/bootstrap.py [--docs 5000] [--draws 10000] [--loop-draws 500]

Every line is measured in a process of its own, in the same run. The loop is what one writes without this package: draw
rows of a data frame, call the metric, repeat. It is timed on ``--loop-draws`` draws and scaled up to ``--draws``; the
first of these draws must give the same values on either side.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness_ext.scoring.resampled import Resampled

Floats = npt.NDArray[np.float64]

LABELS = ["neutral", "joy", "fear", "anger", "sadness", "disgust", "surprise"]
SEED = 0


class Measured(NamedTuple):
    """Seconds, memory above what the process had before (MiB), and the values of the draws."""

    seconds: float
    mebibytes: float
    values: Floats


def label_columns(docs: int) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]:
    """Gold and predicted labels; six in ten predictions are right."""
    rng = np.random.default_rng(1)
    gold = rng.choice(LABELS, docs, p=[0.4, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03])
    return gold, np.where(rng.random(docs) < 0.6, gold, rng.choice(LABELS, docs))


def soft_columns(docs: int) -> tuple[Floats, Floats]:
    """Gold and predicted soft labels; predictions lie on the nine scores."""
    rng = np.random.default_rng(2)
    gold = rng.random(docs)
    return gold, np.round(np.clip(gold + rng.normal(0, 0.3, docs), 0, 1) * 8) / 8


def resampled_values(statistic: Resampled, *, draws: int, seed: int) -> Floats:
    """The metric on resamples of its docs."""
    from harness_ext.results.statistics.bootstrap import Units, draw

    ((drawn,),) = draw([(Units.each(len(statistic)), [statistic])], draws=draws, seed=seed)
    return drawn.draws


def macro_f1_ours(docs: int, draws: int) -> Floats:
    """Draws of macro-F1 from the items of a samples file."""
    from harness_ext.results.statistics.aggregations import resampled

    number = {label: i for i, label in enumerate(LABELS)}
    gold, predicted = label_columns(docs)
    items = [([number[g]], [number[p]], len(LABELS)) for g, p in zip(gold, predicted, strict=True)]
    return resampled_values(resampled("macro_f1", items), draws=draws, seed=SEED)


def macro_f1_interval(docs: int, draws: int) -> Floats:
    """The same with the BCa interval, which leaves out every document once besides."""
    from harness_ext.results.statistics.aggregations import resampled
    from harness_ext.results.statistics.bootstrap import interval

    number = {label: i for i, label in enumerate(LABELS)}
    gold, predicted = label_columns(docs)
    items = [([number[g]], [number[p]], len(LABELS)) for g, p in zip(gold, predicted, strict=True)]
    found = interval(resampled("macro_f1", items), draws=draws, seed=SEED)
    return np.array([found.low, found.high])


def macro_f1_loop(docs: int, draws: int) -> Floats:
    """scikit-learn per draw."""
    import pandas as pd
    from sklearn.metrics import f1_score

    gold, predicted = label_columns(docs)
    frame = pd.DataFrame({"gold": gold, "predicted": predicted})
    rng = np.random.default_rng(SEED)
    values = []
    for _ in range(draws):
        drawn = frame.iloc[rng.integers(0, docs, docs)]
        score = f1_score(drawn["gold"], drawn["predicted"], labels=LABELS, average="macro", zero_division=0)
        values.append(100 * score)
    return np.array(values)


def s_rmse_ours(docs: int, draws: int) -> Floats:
    """Draws of S-RMSE from the items of a samples file."""
    from harness_ext.results.statistics.aggregations import resampled

    return resampled_values(resampled("s_rmse", list(zip(*soft_columns(docs), strict=True))), draws=draws, seed=SEED)


def s_rmse_loop(docs: int, draws: int) -> Floats:
    """scikit-learn per draw on segments."""
    import pandas as pd
    from sklearn.metrics import root_mean_squared_error

    gold, predicted = soft_columns(docs)
    frame = pd.DataFrame({"gold": gold, "predicted": predicted})
    rng = np.random.default_rng(SEED)
    edges = np.linspace(0, 1, 10)
    values = []
    for _ in range(draws):
        drawn = frame.iloc[rng.integers(0, docs, docs)]
        segments = (np.digitize(drawn[name], edges) - 1 for name in ("gold", "predicted"))
        values.append(root_mean_squared_error(*segments))
    return np.array(values)


def spearman_ours(docs: int, draws: int) -> Floats:
    """Draws of Spearman's correlation."""
    from harness_ext.results.statistics.aggregations import resampled
    from harness_ext.scoring.soft_labels import agg_spearman

    items = list(zip(*soft_columns(docs), strict=True))
    return resampled_values(resampled("spearman", items, reported=agg_spearman(items)), draws=draws, seed=SEED)


def spearman_loop(docs: int, draws: int) -> Floats:
    """scipy per draw."""
    import pandas as pd

    gold, predicted = soft_columns(docs)
    frame = pd.DataFrame({"gold": gold, "predicted": predicted})
    rng = np.random.default_rng(SEED)
    drawn = (frame.iloc[rng.integers(0, docs, docs)] for _ in range(draws))
    return np.array([one["gold"].corr(one["predicted"], method="spearman") for one in drawn])


def permutation_ours(docs: int, draws: int) -> Floats:
    """p-value of the paired permutation test of macro-F1 between two runs that differ in every second doc."""
    from harness_ext.results.statistics.aggregations import resampled
    from harness_ext.results.statistics.significance import exchange, permutation_p

    gold, predicted = label_columns(docs)
    number = {label: i for i, label in enumerate(LABELS)}
    other = np.where(np.arange(docs) % 2, predicted, np.roll(predicted, 1))
    items = [
        ([number[g]], [number[p]], len(LABELS)) for run in (predicted, other) for g, p in zip(gold, run, strict=True)
    ]
    return np.array([permutation_p([exchange(resampled("macro_f1", items))], draws=draws, seed=SEED)])


class Line(NamedTuple):
    """One line of the output: our function, the loop to compare it with, and a number of docs of its own."""

    name: str
    ours: Callable[[int, int], Floats]
    loop: Callable[[int, int], Floats] | None = None
    docs: int | None = None


LINES = (
    Line("macro-F1", macro_f1_ours, macro_f1_loop),
    Line("macro-F1 with BCa interval", macro_f1_interval),
    Line("S-RMSE", s_rmse_ours, s_rmse_loop),
    Line("S-RMSE, docs of MBTIBench", s_rmse_ours, s_rmse_loop, docs=286),
    Line("Spearman", spearman_ours, spearman_loop),
    Line("permutation test, macro-F1", permutation_ours),
)


def measure(function: Callable[[int, int], Floats], docs: int, draws: int) -> Measured:
    """Run in a fresh process, imports paid beforehand."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, docs, draws))


def _measured(function: Callable[[int, int], Floats], docs: int, draws: int) -> Measured:
    function(50, 20)
    before = _peak()
    start = time.perf_counter()
    values = function(docs, draws)
    return Measured(time.perf_counter() - start, _peak() - before, values)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print one line a metric."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=int, default=5_000)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--loop-draws", type=int, default=500)
    asked: Any = parser.parse_args()
    print(f"{asked.draws} draws; the loop is timed on {asked.loop_draws} and scaled up")
    print(f"{'metric':28}{'docs':>6}{'ours':>10}{'memory':>10}{'loop':>12}{'memory':>10}{'ratio':>9}")
    for name, ours, loop, own_docs in LINES:
        docs = own_docs or asked.docs
        fast = measure(ours, docs, asked.draws)
        line = f"{name:28}{docs:6}{fast.seconds:8.2f} s{fast.mebibytes:6.0f} MiB"
        if loop is not None:
            slow = measure(loop, docs, asked.loop_draws)
            np.testing.assert_allclose(fast.values[: asked.loop_draws], slow.values, rtol=1e-9)
            seconds = slow.seconds * asked.draws / asked.loop_draws
            line += f"{seconds:10.1f} s{slow.mebibytes:6.0f} MiB{seconds / fast.seconds:8.0f}x"
        print(line, flush=True)


if __name__ == "__main__":
    main()
