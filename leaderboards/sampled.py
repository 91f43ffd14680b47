"""What one line of a samples file says to a reader: prompt, options, answer and gold, each as text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness_ext.files import parse_json

_MOST_CHOICES = 30
_NEVER = -1e9  # a likelihood of 0, which JSON has no number for


def request(arguments: object) -> tuple[str, list[str]]:
    """The prompt, and the continuations whose likelihood was asked for.

    >>> request({"gen_args_0": {"arg_0": "Sky?", "arg_1": " blue"}, "gen_args_1": {"arg_0": "Sky?", "arg_1": " red"}})
    ('Sky?', [' blue', ' red'])
    >>> request({"gen_args_0": {"arg_0": "Sky?", "arg_1": {"until": []}}}), request([["Sky?", {"until": []}]])
    (('Sky?', []), ('Sky?', []))
    """
    requests = list(arguments.values()) if isinstance(arguments, dict) else arguments
    rows = [
        list(row.values()) if isinstance(row, dict) else row for row in (requests if isinstance(requests, list) else [])
    ]
    rows = [row for row in rows if isinstance(row, list) and row]
    if not rows:
        return "", []
    return _conversation(rows[0][0]), [row[1] for row in rows if len(row) > 1 and isinstance(row[1], str)]


def _conversation(prompt: object) -> str:
    """A prompt as text; chat messages in JSON are written one below the other.

    >>> print(_conversation('[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Sky?"}]'))
    system: Be brief.
    <BLANKLINE>
    user: Sky?
    """
    messages = prompt
    if isinstance(prompt, str) and prompt.startswith('[{"') and len(prompt) < 1_000_000:
        try:
            messages = parse_json(prompt)
        except ValueError:
            return prompt
    if isinstance(messages, list) and all(isinstance(turn, dict) and "role" in turn for turn in messages):
        return "\n\n".join(f"{turn['role']}: {plain(turn.get('content'))}" for turn in messages)
    return plain(prompt)


class Option(NamedTuple):
    """A continuation whose likelihood was asked for."""

    label: str
    likelihood: float


def options_of(responses: object, choices: Sequence[str]) -> list[Option]:
    """The options of a likelihood request, the likeliest first; none where something else was asked.

    >>> options_of([[["-1.5", "False"]], [["-0.25", "False"]]], [" red", " blue"])
    [Option(label='blue', likelihood=-0.25), Option(label='red', likelihood=-1.5)]
    """
    flat = answers(responses)
    if not _is_likelihoods(flat) or len(flat) != len(choices) or len(choices) < 2:
        return []
    options = [
        Option(choice.strip(), round(float(pair[0]), 4) if math.isfinite(float(pair[0])) else _NEVER)
        for pair, choice in zip(flat, choices, strict=True)
    ]
    return sorted(options, key=lambda option: -option.likelihood)[:_MOST_CHOICES]


def answer(responses: object) -> str:
    """The answer as text: what was generated (all repeats), or the likelihood of a text.

    >>> answer([["Blue."]]), answer([[["-0.25", "False"]]])
    ('Blue.', 'log-likelihood -0.2500')
    """
    flat = answers(responses)
    if _is_likelihoods(flat):
        return "\n".join(f"log-likelihood {float(pair[0]):.4f}" for pair in flat[:_MOST_CHOICES])
    return "\n\n— next answer —\n\n".join(map(plain, flat)) if isinstance(responses, list) else plain(responses)


def answers(responses: object) -> list[Any]:
    """All answers to one document: lm-eval lists them by request, filters by document."""
    if _is_likelihoods(responses) or not isinstance(responses, list):
        return responses if isinstance(responses, list) else []
    return [item for response in responses for item in (response if isinstance(response, list) else [response])]


def _is_likelihoods(responses: object) -> bool:
    """Whether these are (log-likelihood, greedy) pairs, which lm-eval writes as text."""

    def is_pair(item: object) -> bool:
        return isinstance(item, list) and len(item) == 2 and str(item[1]) in ("True", "False") and _is_number(item[0])

    return isinstance(responses, list) and bool(responses) and all(map(is_pair, responses))


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def plain(value: object) -> str:
    """A value as a reader expects it: text as it is, a list of one as its element, the rest as JSON."""
    if isinstance(value, list) and len(value) == 1:
        return plain(value[0])
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def gold(target: object, choices: Sequence[str] = ()) -> str:
    """The gold answer: the option that a number of a multiple-choice task means; other numbers with four digits.

    >>> gold("0.7352941176470589"), gold("yes"), gold("1990"), gold("1", [" no", " yes"])
    ('0.7353', 'yes', '1990', 'yes')
    """
    if isinstance(target, list) and len(target) > 1:
        return ", ".join(gold(own, choices) for own in target)
    text = plain(target)
    labels = [choice.strip() for choice in choices]
    if text.isdecimal() and text.isascii() and len(text) < 6 and int(text) < len(labels) and text not in labels:
        return labels[int(text)]
    return f"{float(text):.4g}" if re.fullmatch(r"-?\d+\.\d{5,}(e-?\d+)?", text) else text
