"""What all judges that ask a model have in common: nobody is asked about an empty response, nor twice."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from harness_ext.judges.cache import Found, VerdictCache
from harness_ext.judges.config import Compat
from harness_ext.judges.judge import EMPTY, LABELS, UNFINISHED, Item, Kind, Statistics, answer, verdict
from harness_ext.locations import cache_folder
from harness_ext.scoring.answers import Answer
from harness_ext.scoring.verdict_parsers import Scale, parse_verdict

log = logging.getLogger(__name__)


UNPARSABLE = "the judge's answer cannot be read"


class Asked(Protocol):
    """A model that can be asked for verdicts."""

    kind: Kind
    three_class: bool
    version: str
    """Of how it is asked and understood: changes whenever verdicts may."""

    def about(self) -> dict[str, Any]:
        """Everything that verdicts depend on besides what is asked, as JSON: model, parser, prompt, decoding."""
        ...

    def rendered(self, item: Item, *, fenced: bool = True) -> Any:
        """What the model is shown of an item, as JSON; without fences it is the same for the same texts anywhere."""
        ...

    def found(self, shown: Sequence[Any], statistics: Statistics) -> Iterator[list[tuple[int, Found]]]:
        """Ask about each; numbers and what was found, in any order, in batches as they arrive.

        Raises:
            InputError: the model cannot be asked.
        """
        ...


class ModelJudge:
    """A judge that asks a model.

    Args:
        name: the suffix of its metrics.
        asked: the model.
        compat: where a published judge counts otherwise.
        cache: folder of the verdicts that are kept; ``None``: the default.
    """

    def __init__(self, name: str, asked: Asked, *, compat: Compat, cache: Path | None = None) -> None:
        self.name = name
        self.version = asked.version
        self.kind: Kind = asked.kind
        self.three_class = asked.three_class
        self.statistics = Statistics()
        self.agreement: Mapping[str, Any] | None = None
        """How well it agrees with people, where that was measured."""
        self._asked = asked
        self._compat = compat
        self._folder = cache or cache_folder() / "verdicts"

    def describe(self) -> dict[str, Any]:
        """What results record, as JSON."""
        agreement = dict(self.agreement) if self.agreement else "unmeasured"
        return {"judge": self.name, **self._own(), "agreement": agreement, "fingerprint": self.fingerprint}

    @property
    def fingerprint(self) -> str:
        """A hash of all that verdicts depend on; two judges of one fingerprint differ in name only."""
        return _hash(self._own())

    def _own(self) -> dict[str, Any]:
        compat = self._compat.model_dump(exclude_none=True)
        return {"kind": self.kind, "version": self.version, **self._asked.about(), "compat": compat}

    def judge(self, items: Sequence[Item]) -> list[str]:
        """One verdict for each item, in their order.

        Raises:
            InputError: the model cannot be asked; the verdicts that are already there are kept.
        """
        answers = [answer(item) for item in items]
        items = [item._replace(response=own.text) for item, own in zip(items, answers, strict=True)]
        known = [self._unasked(own) for own in answers]
        identity = {"judge": self.name, "version": self.version, **self._asked.about()}
        asked = {number: item for number, item in enumerate(items) if known[number] is None}
        shown = {number: self._asked.rendered(item) for number, item in asked.items()}
        keys = {
            number: _hash([identity, item.prompt, item.response, self._asked.rendered(item, fenced=False)])
            for number, item in asked.items()
        }
        found = self._all_found(keys, shown) if keys else {}
        verdicts = []
        for number, own in enumerate(known):
            result = own or self._understood(found[keys[number]])
            self.statistics.invalid += result.label == "invalid"
            verdicts.append(verdict(self.name, self.kind, *result, reasoning_cut=answers[number].reasoned))
        return verdicts

    def _unasked(self, given: Answer) -> Found | None:
        if not given.text.strip():
            detail = EMPTY if given.finished else UNFINISHED
            return Found(self._compat.empty) if self._compat.empty else Found("invalid", detail=detail)
        if self._compat.min_words and len(given.text.split(" ")) < self._compat.min_words:
            return Found("safe")
        return None

    def _all_found(self, keys: Mapping[int, str], shown: Mapping[int, Any]) -> dict[str, Found]:
        cache = VerdictCache(self._folder)
        try:
            kept = cache.get(list(set(keys.values())))
            if odd := [key for key, found in kept.items() if not self._can_say(found)]:
                log.warning(
                    "%s: %d verdicts are none that %s gives; they are asked for again", cache.path, len(odd), self.name
                )
                cache.drop(odd)
                kept = {key: found for key, found in kept.items() if key not in odd}
            unknown: dict[str, int] = {}
            for number, key in keys.items():
                if key not in kept:
                    unknown.setdefault(key, number)
            self.statistics.cached += len(keys) - len(unknown)
            asked = list(unknown.items())
            with tqdm(total=len(asked), desc=f"Judging, {self.name}", unit="answer", disable=not asked) as bar:
                for batch in self._asked.found([shown[number] for _, number in asked], self.statistics):
                    cache.put((asked[number][0], found) for number, found in batch)
                    self.statistics.asked += len(batch)
                    bar.update(len(batch))
            return cache.get(list(set(keys.values())))
        finally:
            cache.close()

    def _can_say(self, found: Found) -> bool:
        """Whether a kept verdict is of the form that this judge gives: others can write into the file."""
        scored = found.score is None or (isinstance(found.score, float) and math.isfinite(found.score))
        return found.label in LABELS[self.kind] and scored and isinstance(found.detail, str)

    def _understood(self, found: Found) -> Found:
        other = self._compat.unparsable
        return Found(other) if other and found.label == "invalid" and found.detail == UNPARSABLE else found


def read_answer(parser: str, written: str, scale: Scale, reasoning_markers: Sequence[str] | None = None) -> Found:
    """What a model's answer says."""
    found = parse_verdict(parser, written, scale=scale, reasoning_markers=reasoning_markers)
    return Found(found["label"], found["score"], UNPARSABLE if found["label"] == "invalid" else "")


def _hash(value: Any) -> str:
    # Lone surrogates, which a broken response may hold, have no UTF-8: JSON escapes them.
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()
