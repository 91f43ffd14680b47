"""What of a response is the answer, and the answer in plain writing: the one step before every parser, rule and judge.

Models that think aloud write a trace between markers and answer behind it. What stands in the trace is no answer, and a
trace that was cut off before its end has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any, NamedTuple

LONGEST = 200_000
"""Characters of an answer that are read; more than ten times what the longest of our tasks lets a model write."""

_NAMES = (
    "think(?:ing)?|thoughts?|reasoning|reflection|analysis|scratchpad|seed:think|longcat_think|rationale|cot"
    "|chain_of_thought|thought_process|inner_(?:thoughts?|monologue)|思考(?:过程|プロセス)?|推理(?:过程)?|推論|생각|추론"
    "|gedanken|denken|überlegung|réflexion|raisonnement|razonamiento|pensamiento|ragionamento|raciocínio|рассуждени[ея]"
)
_OPENING = (
    rf"<(?:{_NAMES})(?:\s[^<>\n]{{0,80}})?>|【(?:思考|推理)】|\[THINK\]|◁think▷|<\|START_THINKING\|>"
    r"|<\|begin_of_thought\|>|<\|inner_prefix\|>|<\|think\|>|<unused94>|<\|channel>",
    r"<\|channel\|>(?!\s?final\b)",
)
_CLOSING = (
    rf"(?<!`)</(?:{_NAMES})>|【/(?:思考|推理)】|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|end_of_thought\|>"
    r"|<\|inner_suffix\|>|<\|/think\|>|<unused95>|<channel\|>",
    r"<\|channel\|>\s?final\b[^<\n]{0,40}(?:<\|constrain\|>[^<\n]{0,40})?<\|message\|>",
)
_IN_WORDS = (
    ("analysis", "assistantfinal"),  # gpt-oss, where special tokens were left out
    ("Here is my thought process:", "Here is my response:"),
    ("Here's my thought process:", "Here's my response:"),
)
"""Markers that are ordinary words: they count only as a pair."""
_WRAPPED = re.compile(r"<(?:answer|output|response)>|<\|START_RESPONSE\|>|<\|begin_of_solution\|>", re.IGNORECASE)
_UNWRAPPED = (
    *("</answer>", "</output>", "</response>", "<|END_RESPONSE|>", "<|end_of_solution|>", "<|return|>", "<|end|>"),
)

MARKERS = "reasoning_markers"
"""Field of a doc, or of a judge's file: an opening and a closing marker that are not among the common ones."""


class Answer(NamedTuple):
    """An answer without its trace, whether there was one, and whether it came to an end."""

    text: str
    reasoned: bool = False
    finished: bool = True


@lru_cache(maxsize=64)
def _markers(own: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    opening, closing = (re.escape(marker) for marker in own) if own else ("(?!)", "(?!)")
    lines, anywhere = _OPENING
    return (
        re.compile(rf"^[^\S\n]*(?:{lines}|{opening})|{anywhere}", re.IGNORECASE | re.MULTILINE),
        re.compile("|".join((*_CLOSING, closing)), re.IGNORECASE),
    )


def answer_of(response: str, markers: Sequence[str] | None = None) -> Answer:
    r"""The answer in a response: what stands behind the last reasoning trace, at most :data:`LONGEST` characters.

    A closing marker needs no opening one, which chat templates write into the prompt. An opening marker counts at the
    start of a line. A response without any marker is returned as it is.

    Args:
        response: what the model wrote.
        markers: an opening and a closing marker besides the common ones.

    >>> answer_of("<think>\nJoy? No.\n</think>\n\nanger")
    Answer(text='anger', reasoned=True, finished=True)
    >>> answer_of("<think>\nJoy? Or"), answer_of("joy")
    (Answer(text='', reasoned=True, finished=False), Answer(text='joy', reasoned=False, finished=True))
    """
    opening, closing = _markers(tuple(markers or ()))
    end = 0
    for match in closing.finditer(response):
        end = match.end()
    if opening.search(response, end):
        return Answer("", reasoned=True, finished=False)
    if not end:
        starts = (stop for start, stop in _IN_WORDS if response.startswith(start) and stop in response)
        stop = next(starts, None)
        if stop is None:
            return Answer(response[:LONGEST])
        end = response.rindex(stop) + len(stop)
    return Answer(_unwrapped(response[end:])[:LONGEST], reasoned=True)


def _unwrapped(text: str) -> str:
    """Without blanks in front, and without the marks that some models set around the answer behind a trace."""
    text = text.lstrip()
    if mark := _WRAPPED.match(text):
        text = text[mark.end() :].lstrip()
    bare = text.rstrip()
    ending = next((mark for mark in _UNWRAPPED if bare.endswith(mark)), None)
    return bare.removesuffix(ending).rstrip() if ending else text


def of_answer(process: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A ``process_results`` function that is given the answer alone, and says in ``reasoning_cut`` whether it was cut.

    Args:
        process: from a doc and ``[text]`` to metric values.

    >>> of_answer(lambda doc, results: {"right": results[0] == doc["gold"]})({"gold": "a"}, ["<think>b</think>a"])
    {'right': True, 'reasoning_cut': 1.0}
    """

    @wraps(process)
    def processed(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
        answer = answer_of(results[0], doc.get(MARKERS))
        return process(doc, [answer.text]) | {"reasoning_cut": float(answer.reasoned)}

    return processed


_PLAIN = str.maketrans(
    {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | {0x3000: " "}
    | dict.fromkeys(map(ord, '*`"“”„‟«»'), "")
)
_MARK = re.compile(r"\s*(?:\([1-4]\)|(?:[1-4][.)、]|[-•])\s)\s*")
_TAG = re.compile(r"</?(?:b|strong|i|em|u|code|br|p|ul|ol|li) ?/?>", re.IGNORECASE)
_TOTAL = re.compile(
    r"[^\w\n]*(?:total|sum|overall|average|mean|gesamt\w{0,20}|summe|insgesamt|durchschnitt|mittelwert|总分|总计|总和|合计"
    r"|平均分?)(?![^\W\d_])",
    re.IGNORECASE,
)
_MOST_IN_A_TOTAL = 2


def plain(text: str) -> str:
    r"""Without Markdown emphasis, double quotes and escaped underscores; full-width letters, digits and marks as ASCII.

    >>> plain("**Joy：** ３"), plain("2\\_full\\_refusal")
    ('Joy: 3', '2_full_refusal')
    """
    return text.translate(_PLAIN).replace("\\_", "_").replace("__", "")


def plain_scores(text: str) -> str:
    r"""A list of scores in plain writing: without tags, marks of lists, empty lines and lines of a total or a mean.

    >>> plain_scores("- **Joy:** 3\n\n2. Fear: 1\nTotal: 4/20")
    'Joy: 3\nFear: 1'
    """
    written = plain(_TAG.sub("", text)).splitlines()
    lines = (line[mark.end() :] if (mark := _MARK.match(line)) else line for line in written)
    return "\n".join(line for line in lines if line.strip() and not _is_total(line))


def _is_total(line: str) -> bool:
    """Whether a line gives a sum or a mean and no scores: ``Total: 10`` or ``Sum = 10/10``."""
    return bool(_TOTAL.match(line)) and len(re.findall(r"\d+(?:\.\d+)?", line)) <= _MOST_IN_A_TOTAL
