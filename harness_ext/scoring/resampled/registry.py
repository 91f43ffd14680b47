"""Which resampled form belongs to which aggregation: add a line to ``VECTORISED`` to make a metric fast.

An aggregation of :mod:`harness_ext.scoring` without a line here is still resampled, one draw at a time.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness_ext import scoring
from harness_ext.scoring import classification, eqbench, generation, regression, safety, seceu, soft_labels, tombench
from harness_ext.scoring.resampled import emotion_tests, labels, numbers, texts
from harness_ext.scoring.resampled.statistic import Floats, NotResampledError, Resampled
from harness_ext.scoring.segments import Mode, bins

Factory = Callable[[Sequence[Any]], Resampled]
Aggregation = Callable[[Sequence[Any]], float]


def _segments_apart(mode: Mode) -> Callable[[Floats, Floats], npt.NDArray[np.int64]]:
    return lambda gold, predicted: bins(gold, mode) - bins(predicted, mode)


_MEANS: tuple[Aggregation, ...] = (
    soft_labels.agg_acc,
    soft_labels.agg_bias,
    soft_labels.agg_extreme_share_pred,
    soft_labels.agg_extremity_pred,
    soft_labels.agg_hard_acc,
    soft_labels.agg_mean_score,
    soft_labels.agg_out_of_range,
    soft_labels.agg_polarisation_gap,
    soft_labels.agg_s_mae_parsed,
    soft_labels.agg_s_mae_worst,
    soft_labels.agg_share_5,
    soft_labels.agg_tie_share,
)
_ROOT_MEANS: tuple[Aggregation, ...] = (
    soft_labels.agg_s_rmse_parsed,
    soft_labels.agg_s_rmse_worst,
)

VECTORISED: Mapping[Aggregation, Factory] = {
    **{aggregation: numbers.mean_over_documents(aggregation) for aggregation in _MEANS},
    **{aggregation: numbers.root_mean_over_documents(aggregation) for aggregation in _ROOT_MEANS},
    classification.agg_decision_macro_f1: labels.decision_macro_f1,
    classification.agg_exact_set: numbers.mean_over_first_rows(classification.agg_exact_set),
    classification.agg_f1_irony: labels.f1_of_second,
    classification.agg_jaccard: numbers.mean_over_first_rows(classification.agg_jaccard),
    classification.agg_macro_f1: labels.macro_f1,
    classification.agg_macro_recall: labels.macro_recall,
    classification.agg_micro_f1: labels.micro_f1,
    classification.agg_micro_f1_excl: labels.micro_f1_without_first,
    classification.agg_neg_f1: labels.neg_f1,
    classification.agg_pair_f1: labels.pair_f1,
    classification.agg_pos_f1: labels.pos_f1,
    classification.agg_precision: labels.precision,
    classification.agg_recall: labels.recall,
    classification.agg_weighted_f1: labels.weighted_f1,
    eqbench.agg_eqbench: emotion_tests.eqbench,
    eqbench.agg_percent_parseable: emotion_tests.percent_parseable,
    generation.agg_bleu_13a: texts.bleu("13a"),
    generation.agg_bleu_none: texts.bleu("none"),
    generation.agg_dist_1: texts.distinct_ngrams,
    generation.agg_dist_2: texts.distinct_ngrams,
    generation.agg_gold_byte_ppl: texts.perplexity,
    generation.agg_gold_word_ppl: texts.perplexity,
    regression.agg_mae: numbers.mean_error(np.subtract),
    regression.agg_pearson: numbers.pearson(scale=100, constant=0.0),
    regression.agg_spearman: numbers.spearman(scale=100, constant=0.0),
    safety.agg_safety_balance: labels.safety_balance,
    safety.agg_safety_balance_full: labels.safety_balance,
    safety.agg_target_nats_per_byte: texts.nats_per_unit,
    seceu.agg_eq: emotion_tests.eq,
    seceu.agg_pattern_r: emotion_tests.pattern_r,
    seceu.agg_seceu: emotion_tests.seceu,
    soft_labels.agg_mae: numbers.mean_error(np.subtract),
    soft_labels.agg_rmse: numbers.root_mean_square_error(np.subtract),
    soft_labels.agg_s_mae: numbers.mean_error(_segments_apart("compat")),
    soft_labels.agg_s_mae_9: numbers.mean_error(_segments_apart("strict")),
    soft_labels.agg_s_rmse: numbers.root_mean_square_error(_segments_apart("compat")),
    soft_labels.agg_s_rmse_9: numbers.root_mean_square_error(_segments_apart("strict")),
    soft_labels.agg_ccc: numbers.concordance,
    soft_labels.agg_hard_f1: labels.hard_f1,
    soft_labels.agg_hard_f1_compat: labels.hard_f1_compat,
    soft_labels.agg_nanmean: numbers.nanmean,
    soft_labels.agg_ordinal_w1: numbers.nanmean,
    soft_labels.agg_parse_failure: numbers.nanmean,
    soft_labels.agg_pearson: numbers.pearson(clip=True),
    soft_labels.agg_spearman: numbers.spearman(clip=True),
    soft_labels.agg_var_ratio: numbers.variance_ratio,
    soft_labels.agg_w1_marginal: numbers.wasserstein,
    tombench.agg_ability_macro: emotion_tests.mean_over_groups,
    tombench.agg_task_macro: emotion_tests.mean_over_groups,
}
"""Resampled forms of the aggregations in :mod:`harness_ext.scoring`."""

BUILT_IN: Mapping[str, Factory] = {
    "mean": numbers.mean,
    "nanmean": numbers.nanmean,
    "perplexity": lambda items: texts.perplexity([(item, 1.0) for item in items]),
    "weighted_perplexity": texts.perplexity,
    "bits_per_byte": texts.bits_per_unit,
}
"""lm-eval's own aggregations by their registered name."""


def one_draw_at_a_time(aggregation: Aggregation) -> Factory:
    """The slow form of any aggregation that does not depend on the order of its items."""

    def build(items: Sequence[Any]) -> Resampled:
        def of_counts(counts: Floats) -> Floats:
            drawn = (np.repeat(np.arange(len(items)), draw).tolist() for draw in counts.astype(int))
            return np.array([aggregation([items[i] for i in draw]) for draw in drawn])

        return Resampled(np.arange(len(items)), len(items), of_counts)

    return build


def resampled(
    metric: str, items: Sequence[Any], *, aggregation: str | None = None, reported: float | None = None
) -> Resampled:
    """The resampled form of a metric over the items of one run; arguments as for :func:`form`.

    >>> resampled("acc", [1.0, 0.0]).point
    0.5
    >>> resampled("s_rmse", [(0.0, 0.0), (1.0, 0.5)]).point
    3.5355339059327378
    """
    return form(metric, [(items, reported)], aggregation=aggregation)(items)


def form(metric: str, runs: Sequence[tuple[Sequence[Any], float | None]], *, aggregation: str | None = None) -> Factory:
    """How to build the resampled form of a metric, checked against the numbers that lm-eval wrote.

    Args:
        metric: the metric's name; its aggregation is looked up as ``agg_<metric>`` when none is given.
        runs: for each run one item per document, as ``process_results`` returned it and the samples file holds it, and
            lm-eval's value over them. Of several functions of one name the first that gives the reported values is
            taken; without them there must be only one.
        aggregation: what the result file records: a name of lm-eval's, or the source text of a function.

    Raises:
        NotResampledError: the metric has no resampled form, or none that gives the reported values.
    """
    if not all(items for items, _ in runs):
        raise NotResampledError(f"{metric}: there are no documents")
    tried: list[list[float]] = []
    for factories in _candidates(metric, aggregation, runs[0][0]):
        values = [(factory, _points(factory, runs)) for factory in factories]
        tried += [points for _, points in values if points]
        fitting = [factory for factory, points in values if points and _as_reported(points, runs)]
        if len(fitting) == 1 or (fitting and all(reported is not None for _, reported in runs)):
            return fitting[0]
        if fitting:
            raise NotResampledError(
                f"{metric}: several aggregations have this name; the result file beside the samples would tell which"
            )
    if not tried:
        raise NotResampledError(
            f"{metric}: no aggregation for documents of this form is known (scoring/resampled/registry.py)"
        )
    wrong = next(
        (value, reported)
        for value, (_, reported) in zip(tried[0], runs, strict=True)
        if reported is not None and not _same(value, reported)
    )
    raise NotResampledError(
        f"{metric}: the samples give {wrong[0]:.6g}, the result file {wrong[1]:.6g}; they do not belong together"
    )


def _points(factory: Factory, runs: Sequence[tuple[Sequence[Any], float | None]]) -> list[float] | None:
    try:
        return [factory(items).point for items, _ in runs]
    except NotResampledError:
        raise
    except (IndexError, KeyError, TypeError, ValueError):
        return None  # a function of the same name for items of another form


def _as_reported(points: Sequence[float], runs: Sequence[tuple[Sequence[Any], float | None]]) -> bool:
    return all(reported is None or _same(value, reported) for value, (_, reported) in zip(points, runs, strict=True))


def _same(value: float, reported: float) -> bool:
    return math.isclose(value, reported, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(value) and math.isnan(reported))


def _candidates(metric: str, aggregation: str | None, items: Sequence[Any]) -> list[list[Factory]]:
    """Forms to try: those the name stands for, then, for plain numbers, their mean."""
    name = f"agg_{metric}" if aggregation is None else _function_name(aggregation)
    named = [VECTORISED.get(function) or one_draw_at_a_time(function) for function in functions(name)]
    if name in BUILT_IN:
        named = [BUILT_IN[name]]
    plain = all(isinstance(item, int | float) for item in items)
    return [named, [numbers.mean] if plain else []]


def _function_name(aggregation: str) -> str:
    """Name of the function whose source text lm-eval wrote into the result file.

    >>> _function_name("def agg_s_rmse(items: Sequence[Item]) -> float:"), _function_name("mean")
    ('agg_s_rmse', 'mean')
    """
    defined = re.search(r"^\s*def (\w+)", aggregation, re.MULTILINE)
    return defined[1] if defined else aggregation


def functions(name: str) -> list[Aggregation]:
    """Every function of that name in the modules of :mod:`harness_ext.scoring`, in the modules' order.

    >>> [function.__module__ for function in functions("agg_pearson")]
    ['harness_ext.scoring.regression', 'harness_ext.scoring.soft_labels']
    """
    modules = (f"{scoring.__name__}.{module.name}" for module in pkgutil.iter_modules(scoring.__path__))
    found = (getattr(importlib.import_module(module), name, None) for module in sorted(modules))
    # The name comes from a file: what our modules themselves import must not be reached through it.
    own = (each for each in found if callable(each) and str(each.__module__).startswith(scoring.__name__))
    return list(dict.fromkeys(own))
