"""What a part of EiBench-R is, and the record that every reader turns its raw files into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Aspect = Literal["perception", "cognition", "expression", "extension"]
Split = Literal["test", "dev"]


@dataclass(frozen=True)
class Record:
    """One question of a part, as its source has it."""

    id: str
    input: str
    """What the model reads between the instruction and ``Output:``."""
    target: str
    """The gold answer in the canonical form that digests are taken of."""
    gold: Any
    """The gold answer as a value: a label, a list of labels, a number, utterance numbers, pairs, a text."""
    answer: str
    """The gold answer as a model would best write it: shown in few-shot examples."""
    refs: Sequence[str] = ()
    """Reference texts of a free answer."""
    labels: Sequence[str] = ()
    """Labels to choose from, where they are not the same for every record of the part."""
    cluster: str = ""
    """Dialogue the record belongs to, for intervals that resample dialogues; its own id by default."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What scoring needs besides: the same keys in every record of a part."""


@dataclass(frozen=True)
class Part:
    """One leaf: the facts of the task that do not depend on the model."""

    name: str
    aspect: Aspect
    source: str
    """Name of the data card."""
    read: Callable[[Split], list[Record]]
    """All records of a split, in file order."""
    metrics: tuple[str, ...]
    """What the leaf reports; the first is also its ``ei_score``."""
    labels: tuple[str, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)
    """Label -> words that instructions and choices use instead of it."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other words that count as a label when ``aliases`` is on."""
    splits: tuple[Split, ...] = ("test", "dev")
    reordered: Callable[[Split], list[Record]] | None = None
    """The records with their options in the order of a hash, where the order may matter."""

    @property
    def leaf(self) -> str:
        """Name of the lm-eval task; also the salt of the hashes that choose docs and instructions."""
        return f"eibench_{self.name}"

    def show(self, label: str) -> str:
        """The label as instructions and choices write it."""
        return self.shown.get(label, label)

    def words(self, aliases: bool) -> dict[str, str]:
        """Every other word that is read as a label: the shown forms always, the aliases if asked for."""
        return {shown: label for label, shown in self.shown.items()} | (dict(self.aliases) if aliases else {})


_WORDS = {
    "anger": ("angry",),
    "disgust": ("disgusted",),
    "fear": ("afraid", "fearful", "scared"),
    "guilt": ("guilty",),
    "happiness": ("happy", "joy", "joyful"),
    "joy": ("happy", "happiness", "joyful"),
    "optimism": ("optimistic", "hopeful"),
    "sadness": ("sad",),
    "shame": ("ashamed",),
    "surprise": ("surprised",),
}


def other_words(labels: Sequence[str]) -> dict[str, str]:
    """The usual other words for those of these emotions that have some.

    >>> other_words(("neutral", "anger", "guilt"))
    {'angry': 'anger', 'guilty': 'guilt'}
    """
    return {word: label for label in labels for word in _WORDS.get(label, ())}


def label_record(part_show: Mapping[str, str], id: str, text: str, label: str, cluster: str = "") -> Record:
    """A record with one gold label.

    >>> label_record({"irony": "ironic"}, "test_0", "Great, rain.", "irony").answer
    'ironic'
    """
    return Record(id, text, target=label, gold=label, answer=part_show.get(label, label), cluster=cluster)


def label_set_record(id: str, text: str, labels: Sequence[str]) -> Record:
    """A record with a set of gold labels, in file order; the empty set is answered with ``none``.

    >>> label_set_record("1", "Hm.", []).answer
    'none'
    """
    return Record(id, text, target=",".join(labels), gold=list(labels), answer=", ".join(labels) or "none")


def real_record(id: str, text: str, value: float) -> Record:
    """A record with a gold number in [0, 1].

    >>> real_record("1", "Fine.", 0.5).target
    '0.500'
    """
    return Record(id, text, target=f"{value:.3f}", gold=value, answer=f"{value:.3f}")
