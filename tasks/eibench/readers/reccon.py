"""RECCON, DailyDialog part: which utterances, and which words in them, caused an emotion.

The evidence of a target utterance is a list with one entry a cause span: utterance numbers, repeated when one utterance
holds several spans, and the literal ``"b"`` for a cause outside the dialogue, which is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harness_ext.data.rows import read_json
from harness_ext.tasks.eibench.dialogue import Utterance, numbered
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record

_FILES = {"test": "dailydialog_test.json", "dev": "dailydialog_valid.json"}
EMOTIONS = {
    **{"happy": "happiness", "happines": "happiness", "excited": "happiness"},
    **{"sad": "sadness", "angry": "anger", "surprised": "surprise"},
}
"""Annotators' variants -> the six emotions."""


class Cause(NamedTuple):
    """One evidence entry: the utterance and the words in it."""

    utterance: int
    span: str


class Target(NamedTuple):
    """An emotional utterance with its history, itself included; utterances are numbered from 1."""

    id: str
    cluster: str
    history: list[Utterance]
    emotion: str
    causes: list[tuple[int, Cause]]
    """Evidence entries with their index in the released list."""

    @property
    def number(self) -> int:
        """Number of the target utterance, and of the candidates 1 … number."""
        return len(self.history)

    @property
    def causal(self) -> list[int]:
        """Numbers of the causal utterances, ascending, each once; empty when the cause lies outside."""
        return sorted({cause.utterance for _, cause in self.causes})

    @property
    def text(self) -> str:
        """What a model reads: the numbered history and which utterance is asked about."""
        return f"{numbered(self.history)}\nTarget: utterance {self.number}, emotion {self.emotion}"


def targets(split: Split) -> Iterator[Target]:
    """The emotional utterances of a split, in file order."""
    dialogues = read_json("reccon", _FILES[split])
    # Keys begin with tr_, va_ or te_, which names the split of DailyDialog and not the one of RECCON.
    for key, (turns,) in dialogues.items():
        dialogue = [Utterance(turn["speaker"], turn["utterance"]) for turn in turns]
        for turn in turns:
            emotion = EMOTIONS.get(turn["emotion"], turn["emotion"])
            if emotion == "neutral":
                continue
            evidence = zip(turn["expanded emotion cause evidence"], turn["expanded emotion cause span"], strict=True)
            causes = [(k, Cause(number, span)) for k, (number, span) in enumerate(evidence) if number != "b"]
            yield Target(f"{key}_{turn['turn']}", key, dialogue[: turn["turn"]], emotion, causes)


def _cee(split: Split) -> list[Record]:
    return [
        Record(
            id=target.id,
            input=target.text,
            target=",".join(map(str, target.causal)),
            gold=target.causal,
            answer=", ".join(map(str, target.causal)) or "none",
            cluster=target.cluster,
            meta={"utterances": target.number},
        )
        for target in targets(split)
    ]


def _pairs(split: Split) -> list[Record]:
    """One row a candidate without evidence and one row an evidence entry, so that repeated evidence stays repeated."""
    return [
        label_record({}, f"{target.id}_{candidate}_{mark}", _question(target, candidate), label, target.cluster)
        for target in targets(split)
        for candidate in range(1, target.number + 1)
        for mark, label in _rows(target, candidate)
    ]


def _rows(target: Target, candidate: int) -> list[tuple[str, str]]:
    positive = [(f"pos{k}", "yes") for k, cause in target.causes if cause.utterance == candidate]
    return positive or [("neg", "no")]


def _question(target: Target, candidate: int) -> str:
    return f"{target.text}\nCandidate: utterance {candidate}"


def _spans(split: Split) -> list[Record]:
    return [
        Record(
            id=f"{target.id}_{k}",
            input=f"{target.text}\nCause: in utterance {cause.utterance}",
            target=cause.span,
            gold=cause.span,
            answer=cause.span,
            refs=(cause.span,),
            cluster=target.cluster,
        )
        for target in targets(split)
        for k, cause in target.causes
    ]


PARTS = (
    Part("cee", "cognition", "reccon", _cee, ("macro_f1", "pos_f1", "neg_f1")),
    Part("cause_span", "cognition", "reccon", _spans, ("f1", "exact")),
    Part("cee_pair", "extension", "reccon", _pairs, ("macro_f1", "pos_f1", "acc"), ("no", "yes")),
)
