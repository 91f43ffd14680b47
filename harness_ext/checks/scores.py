"""Scores of answers that need no model: what is declared is returned, and the gold answer is the best of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

from lm_eval.api.registry import METRIC_REGISTRY

from harness_ext.checks.answers import Scores, aggregated, constants, nothing, oracle, score
from harness_ext.checks.findings import Found, check
from harness_ext.checks.loading import Loaded, gold_indices

_TOLERANCE = 1e-9
_MANY = 50
"""Gold answers that an empty one stands among: some metrics ask for a share of readable ones."""


class Played:
    """A task's scores of the gold answers, of none, and of the same answer to every doc."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.file = loaded.file
        gold, empty = oracle(loaded), nothing(loaded)
        self.gold = score(loaded, gold)
        self.empty = score(loaded, empty)
        self.constant = {name: score(loaded, answer) for name, answer in constants(loaded)}
        self.declared = list(loaded.task.higher_is_better())

    @property
    def all(self) -> list[Scores]:
        """What every way to answer scores."""
        return [self.gold, self.empty, *self.constant.values()]

    @property
    def directions(self) -> dict[str, int]:
        """1 for each metric that is better when higher, -1 when lower; others have no direction."""
        known = self.loaded.task.higher_is_better()
        return {metric: 1 if known[metric] else -1 for metric in self.declared if isinstance(known[metric], bool)}

    @cached_property
    def gold_counts(self) -> bool:
        """Whether the target is an answer as the task wants it: it scores otherwise than none."""
        task = self.loaded.task
        if task.OUTPUT_TYPE == "multiple_choice":
            return all(gold_indices(task, doc) for doc in self.loaded.docs)
        return any(not _same(self.gold.of(name), self.empty.of(name)) for name in self.directions)

    def place(self, metric: str) -> str:
        """The key under which a metric is declared."""
        return f"metric_list.{metric}"


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=_TOLERANCE) or (math.isnan(one) and math.isnan(other))


@check(
    "scores",
    why="lm-eval leaves the metric out of the results without a word.",
    mend="Return the key from process_results for every doc, NaN where it is undefined, or take it out of metric_list.",
)
def metric_never_returned(played: Played) -> Iterator[Found]:
    """Every declared metric is returned for some doc."""
    returned = frozenset[str]().union(*(keys for scores in played.all for keys in scores.keys))
    for metric in played.declared:
        if metric not in returned and played.loaded.task.config.process_results is not None:
            yield Found(f"metric {metric!r} is declared and never returned", played.place(metric))
        elif metric not in returned and metric in METRIC_REGISTRY:
            kind = played.loaded.task.OUTPUT_TYPE
            yield Found(
                f"metric {metric!r} is declared, and lm-eval does not compute it for {kind}", played.place(metric)
            )


@check(
    "scores",
    why="the mean is taken over fewer docs than the results say.",
    mend="Return the key for every doc, NaN where it is undefined, and aggregate with a function that leaves NaN out.",
)
def metric_missing_from_docs(played: Played) -> Iterator[Found]:
    """A metric that is returned is returned for every doc."""
    keys = [keys for scores in played.all for keys in scores.keys]
    for metric in played.declared:
        has = sum(metric in one for one in keys)
        if 0 < has < len(keys) and played.loaded.task.config.process_results is not None:
            yield Found(f"metric {metric!r} is not returned for every doc", played.place(metric))


@check(
    "scores",
    why="lm-eval aggregates it by the mean, without a direction, or fails on what is no number.",
    mend="Declare the key in metric_list with its aggregation and direction, or do not return it.",
)
def metric_undeclared(played: Played) -> Iterator[Found]:
    """Nothing is returned that is not declared."""
    if played.loaded.task.config.process_results is None:
        return
    returned = frozenset[str]().union(*(keys for scores in played.all for keys in scores.keys))
    for metric in sorted(returned - set(played.declared)):
        yield Found(f"process_results returns {metric!r}, which metric_list does not declare", "process_results")


@check(
    "scores",
    why="tables print the worst model first, and a method that does harm looks like one that helps.",
    mend="Turn higher_is_better around, or mend the score.",
)
def direction_reversed(played: Played) -> Iterator[Found]:
    """No answer scores better than the gold answer, in the direction that the metric declares."""
    if not played.gold_counts:
        return
    others = {"an empty answer": played.empty} | {
        f"the constant answer {name}": s for name, s in played.constant.items()
    }
    for metric, sign in played.directions.items():
        best = played.gold.of(metric)
        for name, scores in others.items():
            value = scores.of(metric)
            if sign * value > sign * best + _TOLERANCE + 1e-6 * abs(best):
                direction = "higher" if sign > 0 else "lower"
                scored = f"{name} scores {value:.4g} and the gold answer {best:.4g}"
                what = f"metric {metric!r}: {direction} is better, yet {scored}"
                yield Found(what, played.place(metric))
                break


@check(
    "scores",
    why="either scoring never gives credit, or few-shot examples show answers in another form than is asked for.",
    mend="Let doc_to_target give the answer as a model should, or accept it: # check: gold-scores-nothing: REASON.",
)
def gold_scores_nothing(played: Played) -> Iterator[Found]:
    """The gold answer scores otherwise than an empty one."""
    if played.loaded.task.OUTPUT_TYPE == "generate_until" and played.directions and not played.gold_counts:
        yield Found("the gold answer scores on every metric what an empty answer scores", "doc_to_target")


@check(
    "scores",
    why="a model that says nothing beats one that tries.",
    mend="Count an empty answer as wrong, and report it as a parse failure.",
)
def empty_answers_pay(played: Played) -> Iterator[Found]:
    """An empty answer does not score better than every answer that some doc wants."""
    if any(direction_reversed(played)):
        return
    for metric, sign in list(played.directions.items())[:1]:
        value = played.empty.of(metric)
        others = [scores.of(metric) for scores in played.constant.values()]
        if len(others) > 1 and all(sign * value > sign * other + _TOLERANCE for other in others):
            what = f"metric {metric!r}: an empty answer scores {value:.4g}, better than any constant answer"
            yield Found(what, played.place(metric))


@check(
    "scores",
    why="one unreadable answer makes the whole score vanish.",
    mend="Count it as wrong, or aggregate with a function that leaves NaN out, and report parse failures beside it.",
)
def nan_on_empty(played: Played) -> Iterator[Found]:
    """One empty answer among many gold ones does not turn a metric into NaN."""
    for (metric, name), gold in played.gold.items.items():
        empty = played.empty.items.get((metric, name), [])[:1]
        mixed = gold * (1 + _MANY // len(gold)) + empty
        before = played.gold.values[metric, name]
        if not math.isnan(before) and math.isnan(aggregated(played.loaded.task, metric, mixed)):
            yield Found(f"metric {metric!r} is NaN as soon as one answer is empty", played.place(metric))


@check(
    "scores",
    why="tables say a model is better than chance that is not, or the other way round.",
    mend="State chance in the metric's own scale, from the data: the best of guessing and of constant answers.",
    house=True,
)
def chance_impossible(played: Played) -> Iterator[Found]:
    """The stated chance lies between the worst score and the gold answer's, in the same scale, not below guessing."""
    chance = played.file.metadata.get("chance")
    metric = next(iter(played.declared), "")
    if isinstance(chance, bool) or not isinstance(chance, (int, float)) or metric not in played.directions:
        return
    best, sign = played.gold.of(metric), played.directions[metric]
    silent = math.isnan(best) or _same(best, played.empty.of(metric))
    if not played.gold_counts or silent or any(direction_reversed(played)):
        return
    if sign * chance > sign * best + _TOLERANCE:
        yield Found(f"chance is {chance}, better than the gold answer's {metric} of {best:.4g}", "metadata.chance")
    elif best >= 50 and 0 < chance < 1:
        yield Found(f"chance is {chance}, and {metric} goes up to {best:.4g}: another scale", "metadata.chance")
    elif metric == "acc" and played.loaded.task.OUTPUT_TYPE == "multiple_choice":
        guess = best * sum(1 / len(requests) for requests in played.loaded.requests) / len(played.loaded.requests)
        if chance < 0.9 * guess:
            yield Found(f"chance is {chance}, and guessing scores {guess:.4g}", "metadata.chance")
