"""What one model made of TOFU's questions, whoever evaluated it, and forget quality between two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from harness_ext.errors import DataError, HarnessExtError, InputError
from harness_ext.scoring import unlearning
from harness_ext.scoring.unlearning import ForgetQuality, TruthRatio

SUBSETS = ("forget", *unlearning.UTILITY_PARTS)
_SHOWN = 5


class NotAlignedError(HarnessExtError):
    """The two models were asked other questions, or in another way: a p-value between them would mean nothing."""


class Asked(NamedTuple):
    """One question and the average losses of its answers, nats a token."""

    question: str
    prompt: str
    """The question as the model read it; empty where nobody kept it."""
    answer: float
    base: float
    """Of the answer that wrong ones are held against."""
    perturbed: tuple[float, ...]
    recall: float = math.nan
    """ROUGE-L recall of the generated answer, where one was generated."""


class Origin(NamedTuple):
    """A model, and the one that it was made from as its ``method.json`` says; empty where that is not known."""

    model: str = ""
    base: str = ""
    folder: str = ""
    base_folder: str = ""

    def require_other(self, retain: Origin) -> None:
        """Refuse as retain model the one that this one was made from, whatever name or path it was given by.

        Raises:
            NotAlignedError: it is the same.
        """
        named = self.base and self.base == retain.model != self.model
        if named or (self.base_folder and self.base_folder == retain.folder != self.folder):
            raise NotAlignedError(
                f"{retain.model} is the model that {self.model} was made from: it knows the forget set. Give a model "
                "that was trained without it."
            )


class Evaluation(NamedTuple):
    """A model's answers, set by set."""

    name: str
    sets: Mapping[str, Sequence[Asked]]
    """By ``forget``, ``retain``, ``ra`` and ``wf``; those that were asked."""
    options: Mapping[str, str] = {}
    """How it was asked, beside the prompts."""
    origin: Origin = Origin()
    recorded: Mapping[str, float] = {}
    """Means over sets that only the evaluation itself has, such as ROUGE-L recall of another file."""

    def ratios(self, subset: str = "forget", mode: TruthRatio = "geometric") -> dict[str, float]:
        """Truth ratio by question.

        Raises:
            DataError: a question occurs twice, or a loss is NaN or infinite.
        """
        found: dict[str, float] = {}
        for one in self.sets.get(subset, ()):
            if one.question in found:
                raise DataError(f"{self.name}: {one.question[:80]!r} is asked twice; was the file written by two runs?")
            try:
                found[one.question] = unlearning.truth_ratio(one.base, one.perturbed, mode)
            except ValueError as error:
                raise DataError(f"{self.name}: {one.question[:80]!r}: {error}.") from error
        return found

    def components(self, mode: TruthRatio = "geometric", compat: Literal["uld"] | None = None) -> dict[str, float]:
        """Probability, ROUGE-L recall and truth ratio of every set, as ``retain_prob`` and so on; those that are known.

        Args:
            mode: definition of the truth ratio.
            compat: ``uld`` normalises the probability of the forget set, too, as ULD does.
        """
        found: dict[str, float] = {}
        for subset, asked in self.sets.items():
            shared = subset in ("ra", "wf") or (subset == "forget" and compat == "uld")
            found[f"{subset}_prob"] = _mean([_share(one) if shared else math.exp(-one.answer) for one in asked])
            recall = _mean([one.recall for one in asked])
            if not math.isnan(recall):
                found[f"{subset}_rougeL_recall"] = recall
            ratios = list(self.ratios(subset, mode).values())
            found[f"{subset}_truth_ratio"] = unlearning.aggregate_truth_ratios(ratios, subset, mode)  # type: ignore[arg-type]
        return {**self.recorded, **found}

    def utility(self, mode: TruthRatio = "geometric") -> float | None:
        """Model utility; None where not all nine numbers are known."""
        components = self.components(mode)
        if not all(name in components for name in unlearning.UTILITY):
            return None
        return unlearning.model_utility(components)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _share(one: Asked) -> float:
    """Probability of the answer beside the wrong ones."""
    return 1.0 / (1.0 + math.fsum(math.exp(one.answer - loss) for loss in one.perturbed))


def compare(
    unlearned: Evaluation, retain: Evaluation, mode: TruthRatio = "geometric", align: Literal["question"] | None = None
) -> ForgetQuality:
    """Forget quality of a model against one that was trained without the forget set.

    Args:
        unlearned: the model that was made to forget.
        retain: the model that never knew.
        mode: definition of the truth ratio.
        align: ``question`` takes the questions that both were asked; otherwise they must be the same.

    Raises:
        NotAlignedError: questions, prompts or options differ, or the retain model is the one that was unlearned.
        InputError: one of them has no answers of the forget set.
        DataError: a question occurs twice, or a loss is NaN or infinite.
    """
    sides = []
    for one in (unlearned, retain):
        if not one.sets.get("forget"):
            raise InputError(f"{one.name} has no likelihoods of the forget set; run tofu_forget01, 05 or 10.")
        sides.append(one.ratios("forget", mode))
    first, second = sides
    unlearned.origin.require_other(retain.origin)
    shared = [question for question in first if question in second]
    if not shared or (align is None and len(shared) < max(len(first), len(second))):
        raise NotAlignedError(_misaligned(unlearned, retain, first, second, len(shared)))
    _refuse_other_ways(unlearned, retain, set(shared))
    return unlearning.forget_quality([first[one] for one in shared], [second[one] for one in shared])


def _misaligned(
    one: Evaluation, other: Evaluation, first: Mapping[str, float], second: Mapping[str, float], n: int
) -> str:
    alone = [q for q in first if q not in second] + [q for q in second if q not in first]
    examples = "; ".join(repr(question[:80]) for question in alone[:_SHOWN])
    way_out = "Take --align question for these alone." if n else "Evaluate both on the same set."
    return (
        f"{one.name} has {len(first)} questions of the forget set and {other.name} {len(second)}, of which {n} are the "
        f"same. In one only: {examples}. {way_out}"
    )


def _refuse_other_ways(one: Evaluation, other: Evaluation, shared: set[str]) -> None:
    differing = [key for key in {**one.options, **other.options} if one.options.get(key) != other.options.get(key)]
    if differing:
        told = ", ".join(f"{key} ({one.options.get(key)} and {other.options.get(key)})" for key in differing)
        raise NotAlignedError(f"{one.name} and {other.name} were asked with another {told}. Ask both in the same way.")
    prompts = {asked.question: asked.prompt for asked in other.sets["forget"]}
    for asked in one.sets["forget"]:
        if asked.question in shared and asked.prompt != prompts[asked.question]:
            raise NotAlignedError(
                f"{one.name} and {other.name} were prompted in another way: {asked.prompt[:80]!r} and "
                f"{prompts[asked.question][:80]!r}. Ask both with the same template."
            )
