"""From the released records to lm-eval docs: one doc an author, prompts rendered.

lm-eval calls the loaders with a task's ``metadata`` (which holds the user's ``--metadata`` and all model arguments) and
``dataset_kwargs`` as one set of keywords; what a run then used is written into the mapping ``recorded``, which is part
of the task's metadata and so ends up in the results file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import read_json_lines
from harness_ext.errors import DataError, InputError
from harness_ext.scoring.em import mean4
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS, Dimension, dimension_of
from harness_ext.tasks.mbtibench.personality import personality_lines
from harness_ext.tasks.mbtibench.posts import Cuts, join_posts, truncation, used_posts
from harness_ext.tasks.mbtibench.prompts import (
    DEFAULT,
    Message,
    Pack,
    build,
    build_item,
    load_pack,
    questionnaire,
)
from harness_ext.tasks.mbtibench.tokens import digits_single_token

__all__ = ["join_posts", "load", "load_items", "load_null", "personality_lines", "read_records"]

Record = dict[str, Any]
Docs = dict[str, Dataset]

TRAIT_WORDS = re.compile(r"mbti|myers[- ]?briggs|enneagram|introver|extrover|extraver", re.IGNORECASE)
"""Words that give a personality type away; 76 of the 286 released records have one."""

SOURCES = {"kaggle": 96, "pandora": 94, "twitter": 96}
_ANNOTATORS = ("A1", "A2", "A3")
_READS = reads("data", "prompt_pack", "truncate_posts", "gold", "system_role")


class Settings(NamedTuple):
    """What a user can choose for a run, resolved."""

    data: str
    pack: Pack
    truncation: str
    cut: Callable[[int, Sequence[str]], Cuts]
    gold: str
    system_role: str


@_READS
def load(
    dimension: str,
    method: str = "zero-shot",
    kind: str = "soft",
    swapped: bool = False,
    digits: bool = False,
    recorded: dict[str, Any] | None = None,
    **chosen: Any,
) -> Docs:
    """One doc for each author.

    Args:
        dimension: ``E/I``, ``S/N``, ``T/F`` or ``J/P``.
        method: of the prompt pack: ``zero-shot``, ``few-shot``, ``step-by-step``, ``psycot``, ….
        kind: ``soft`` (scores from 1 to 9) or ``hard`` (choices).
        swapped: ask on the reversed scale.
        digits: the answers are the digits 1 to 9, scored by likelihood: check that each is one token.
        recorded: filled with what the run used.
        chosen: ``data`` (``real``, ``sample``), ``prompt_pack`` (``default`` or a path), ``truncate_posts`` (see
            :func:`harness_ext.tasks.mbtibench.posts.truncation`), ``gold`` (``em``: the released labels, ``mean4``:
            the mean of the three annotations) and ``system_role`` (see :func:`place_system`); everything else that
            lm-eval passes is ignored.

    Returns:
        ``{"test": docs}``; ``soft`` is the gold label in [0, 1], 0 = first pole.

    Raises:
        InputError: an unknown dimension, method or choice.
        DataError: the data is missing or is not what the card says.

    >>> load("E/I", data="sample")["test"][0]["id"]
    100001
    """
    asked, settings = dimension_of(dimension), _settings(chosen)

    def doc(record: Record) -> dict[str, Any]:
        joined = _joined(record, settings)
        messages = build(settings.pack.content, method, kind, dimension, record["source"], joined, swapped=swapped)
        return _doc(record, asked, messages, joined, settings) | {"swapped": swapped}

    _record(recorded, settings, chosen, digits)
    return {"test": Dataset.from_list([doc(record) for record in read_records(settings.data)])}


@_READS
def load_items(dimension: str, recorded: dict[str, Any] | None = None, **chosen: Any) -> Docs:
    """One doc for each author and questionnaire item, in that order; arguments as of :func:`load`.

    Docs have four fields more: ``item`` (position from 0), ``choices`` (letters), ``option_to_pole`` as two lists,
    ``keyed`` (letters) and ``keyed_poles``.
    """
    asked, settings = dimension_of(dimension), _settings(chosen)
    items = questionnaire(settings.pack.content, dimension)

    def doc(record: Record, joined: str, position: int) -> dict[str, Any]:
        messages = build_item(settings.pack.content, dimension, position, joined)
        keying = {letter: pole for letter, pole in items[position]["option_to_pole"].items() if pole}
        return _doc(record, asked, messages, joined, settings) | {
            "item": position,
            "choices": sorted([*items[position]["option_to_pole"], items[position]["unsure_option"]]),
            "keyed": list(keying),
            "keyed_poles": list(keying.values()),
        }

    _record(recorded, settings, chosen, digits=False)
    records = [(record, _joined(record, settings)) for record in read_records(settings.data)]
    return {"test": Dataset.from_list([doc(*pair, position) for pair in records for position in range(len(items))])}


@_READS
def load_null(dimension: str, recorded: dict[str, Any] | None = None, **chosen: Any) -> Docs:
    """One doc without any posts, whose nine likelihoods calibrate ``zero_shot_ll``; arguments as of :func:`load`.

    >>> load_null("J/P")["test"][0]["n_used"]
    0
    """
    asked, settings = dimension_of(dimension), _settings(chosen)
    messages = build(settings.pack.content, "zero-shot", "soft", dimension, "none", "")
    _record(recorded, settings, chosen, digits=True)
    return {"test": Dataset.from_list([_prompt(messages, settings) | _names(asked) | {"id": 0, "n_used": 0}])}


def read_records(data: str = "real") -> list[Record]:
    """The released records (``real``) or the bundled invented ones (``sample``), checked.

    Raises:
        InputError: ``data`` is neither.
        DataError: the file is missing, or a record breaks what the benchmark relies on.
    """
    check_arguments("mbtibench", data=(data, DATA))
    if data == "sample":
        return check_records(load_sample("mbtibench"), "sample.jsonl")
    name = "mbtibench.jsonl"
    records = check_records(read_json_lines("mbtibench", name), name)
    counts = {source: sum(record["source"] == source for record in records) for source in SOURCES}
    if counts != SOURCES or [record["id"] for record in records] != list(range(1, len(records) + 1)):
        raise DataError(f"{name}: expected ids 1 to 286 in order from {SOURCES}, found {counts}; fetch it again.")
    return records


def check_records(records: Sequence[Record], name: str) -> list[Record]:
    """Return ``records`` if the facts that scoring rests on hold for each of them.

    These are: a soft label lies on its hard label's side of 0.5, 0 being the first pole; annotations are one of four
    options; some post is long enough to be used.

    Raises:
        DataError: a record breaks one of them.
    """
    for record in records:
        place = f"{name}: record {record['id']}"
        for dimension in DIMENSIONS.values():
            soft, hard = record["softlabels"][dimension.name], record["hardlabels"][dimension.name]
            if not 0 <= soft <= 1 or soft == 0.5 or hard != dimension.poles[soft > 0.5]:
                raise DataError(f"{place}, {dimension.name}: soft label {soft} and hard label {hard!r} disagree.")
            options = {pole + strength for pole in dimension.poles for strength in "+-"}
            votes = record["annotation"][dimension.name]
            if sorted(votes) != list(_ANNOTATORS) or not set(votes.values()) <= options:
                raise DataError(f"{place}, {dimension.name}: annotations {votes} are not three of {sorted(options)}.")
        if not used_posts(record["posts"]):
            raise DataError(f"{place}: no post has more than ten characters.")
    return list(records)


def place_system(messages: Sequence[Message], role: str) -> tuple[str, list[str]]:
    """System text and user turns, laid out for the way the model will read them.

    Args:
        messages: as from :func:`harness_ext.tasks.mbtibench.prompts.build`.
        role: ``text``: without a chat template lm-eval writes both one after the other, so the system text ends with a
            blank line; ``chat``: exactly the pack's text; ``user``: for chat templates without a system role, put
            before the first user turn.

    Raises:
        InputError: there is no such role.

    >>> place_system([{"role": "system", "content": "S"}, {"role": "user", "content": "U"}], "user")
    ('', ['S\\n\\nU'])
    """
    system = messages[0]["content"]
    turns = [message["content"] for message in messages if message["role"] == "user"]
    parted = system.rstrip("\n") + "\n\n"
    if role == "text":
        return parted, turns
    if role == "chat":
        return system, turns
    if role == "user":
        return "", [parted + turns[0], *turns[1:]]
    raise InputError(f"system_role is {role!r}; give 'text', 'chat' or 'user'.")


def _settings(chosen: Mapping[str, Any]) -> Settings:
    data = chosen.get("data", "real")
    mode = str(chosen.get("truncate_posts", "o200k80" if data == "real" else "words:67"))
    gold, role = chosen.get("gold", "em"), chosen.get("system_role", "text")
    check_arguments("mbtibench", gold=(gold, ("em", "mean4")))
    if mode == "o200k80" and data != "real":
        raise InputError("truncate_posts 'o200k80' is a table for the real posts; give 'words:67' or 'none'.")
    return Settings(data, load_pack(chosen.get("prompt_pack", DEFAULT)), mode, truncation(mode), gold, role)


def _record(recorded: dict[str, Any] | None, settings: Settings, chosen: Mapping[str, Any], digits: bool) -> None:
    if recorded is None:
        return
    recorded |= {
        "data": settings.data,
        "prompt_pack": settings.pack.name,
        "prompt_pack_sha256": settings.pack.sha256,
        "truncation": settings.truncation,
        "gold": settings.gold,
        "system_role": settings.system_role,
    }
    if digits:
        recorded["digits_single_token"] = digits_single_token(chosen)


def _joined(record: Record, settings: Settings) -> str:
    return join_posts(record["posts"], settings.cut(record["id"], record["posts"]))


def _names(dimension: Dimension) -> dict[str, Any]:
    return {"dimension": dimension.name, **{key: value for key, value in dimension._asdict().items() if key != "name"}}


def _prompt(messages: Sequence[Message], settings: Settings) -> dict[str, Any]:
    system, turns = place_system(messages, settings.system_role)
    return {
        "system": system,
        "user": turns[0],
        "turns": turns,
        "prompt_pack": settings.pack.label,
        "truncation": settings.truncation,
    }


def _doc(
    record: Record, dimension: Dimension, messages: Sequence[Message], joined: str, settings: Settings
) -> dict[str, Any]:
    votes = [record["annotation"][dimension.name][annotator] for annotator in _ANNOTATORS]
    soft = record["softlabels"][dimension.name]
    return {
        "id": record["id"],
        "source": record["source"],
        **_names(dimension),
        "soft": soft if settings.gold == "em" else float(mean4([votes], *dimension.poles)[0]),
        "hard": record["hardlabels"][dimension.name],
        **dict(zip(("a1", "a2", "a3"), votes, strict=True)),
        "trait_words": any(TRAIT_WORDS.search(post) for post in record["posts"]),
        "n_posts": len(record["posts"]),
        "n_used": len(used_posts(record["posts"])),
        "posts_text": joined,
        **_prompt(messages, settings),
    }
