"""Prompt packs (``prompt-pack/1``): loading one, and rendering it into chat messages.

A pack is a JSON file of instructions, demonstrations and questionnaire items. ``default_prompts.json`` is this
project's own; another one, such as the authors', is a file the user names with
``--metadata '{"prompt_pack": "<path>"}'``. Both are rendered by the rule the pack states in ``template_rule``: a
placeholder is ``{{name}}``, values are inserted verbatim in one pass and never scanned again.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from harness_ext.errors import InputError
from harness_ext.files import MOST_SETTINGS, FileError, parse_json, read_bytes
from harness_ext.tasks.mbtibench.dimensions import dimension_of

Message = dict[str, str]
"""``{"role": "system" | "user" | "assistant", "content": …}``."""

SCHEMA = "prompt-pack/1"
DEFAULT = "default"
MOST_CHARACTERS = 1 << 20
"""Of one rendered text: a pack may repeat the posts, but not until the memory is full."""
MOST_ITEMS = 200
"""Of a questionnaire, for one dimension."""
_PLACEHOLDER = re.compile(r"\{\{([A-Za-z0-9_.]+)\}\}")


class Pack(NamedTuple):
    """A prompt pack and what identifies it in results."""

    name: str
    sha256: str
    """Of the file's bytes."""
    content: dict[str, Any]

    @property
    def label(self) -> str:
        """Name and hash, as every doc records them."""
        return f"{self.name} sha256:{self.sha256}"


def load_pack(path: str = DEFAULT) -> Pack:
    """Read a prompt pack.

    Args:
        path: a JSON file, or ``default`` for this project's own wording.

    Raises:
        InputError: the file is missing, not JSON, or not a prompt pack of this benchmark.

    >>> load_pack().name
    'harness-ext'
    """
    try:
        raw = _own().read_bytes() if path == DEFAULT else read_bytes(Path(path).expanduser(), most=MOST_SETTINGS)
    except FileError as error:
        raise InputError(f"prompt_pack {path!r} cannot be read ({error}); give a file or {DEFAULT!r}.") from None
    try:
        content = parse_json(raw.decode("utf-8"))
    except ValueError as error:
        raise InputError(f"prompt_pack {path!r} is not JSON ({error}).") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or content.get("bench") != "mbtibench":
        raise InputError(f"prompt_pack {path!r} is not a pack with schema {SCHEMA!r} and bench 'mbtibench'.")
    return Pack(str(content.get("name", path)), hashlib.sha256(raw).hexdigest(), content)


def _own() -> Any:
    return resources.files("harness_ext.tasks.mbtibench") / "default_prompts.json"


def render(template: str, values: Mapping[str, str]) -> str:
    """Insert ``values`` into ``template`` in one pass; inserted text is never scanned again.

    Raises:
        InputError: the template names a value that is not given, or the text has more than :data:`MOST_CHARACTERS`.

    >>> render("{{a}} and {{b}}", {"a": "{{b}}", "b": "2"})
    '{{b}} and 2'
    """

    left = MOST_CHARACTERS - len(template)

    def value(match: re.Match[str]) -> str:
        nonlocal left
        try:
            left -= len(values[match[1]])
            if left < 0:
                raise InputError(f"prompt pack: a text has more than {MOST_CHARACTERS:,} characters; shorten it.")
            return values[match[1]]
        except KeyError:
            known = ", ".join(sorted(values))
            raise InputError(f"prompt pack: placeholder {match[0]} has no value here; there are {known}.") from None

    return _PLACEHOLDER.sub(value, template)


_P = ParamSpec("_P")
_T = TypeVar("_T")


def _of_a_pack(
    made: Callable[Concatenate[Mapping[str, Any], _P], _T],
) -> Callable[Concatenate[Mapping[str, Any], _P], _T]:
    """Say in one sentence that a pack has another form than this benchmark's, wherever it turns out."""

    @functools.wraps(made)
    def checked(pack: Mapping[str, Any], *arguments: _P.args, **options: _P.kwargs) -> _T:
        try:
            return made(pack, *arguments, **options)
        except (AttributeError, LookupError, TypeError) as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(
                f"prompt pack {pack.get('name', '')!r} has another form than {SCHEMA} ({said})."
            ) from error

    return checked  # type: ignore[return-value]  # wraps() hides that the parameters are the same


@_of_a_pack
def build(
    pack: Mapping[str, Any],
    method: str,
    kind: str,
    dimension: str,
    source: str,
    posts: str,
    *,
    swapped: bool = False,
) -> list[Message]:
    """All messages of one prompt: system (if any), then user and assistant turns.

    Args:
        pack: content of a prompt pack.
        method: ``zero-shot``, ``few-shot``, ``step-by-step``, ``psycot``, or one the pack adds.
        kind: ``soft`` (a score from 1 to 9) or ``hard`` (a choice).
        dimension: ``E/I``, ``S/N``, ``T/F`` or ``J/P``.
        source: where the author wrote (``kaggle``, …); packs may choose demonstrations by it.
        posts: the joined posts.
        swapped: name the second pole first, so that 1 means clearly second.

    Returns:
        Messages; every assistant turn is the pack's ``assistant_placeholder`` until a model fills it.

    Raises:
        InputError: the pack has no such method, kind or demonstrations.

    >>> messages = build(load_pack().content, "zero-shot", "soft", "E/I", "kaggle", "Post 1: …; ")
    >>> [message["role"] for message in messages]
    ['system', 'user', 'assistant']
    """
    template = _method(pack, ("methods",), method, kind)
    values = {**_dimension_values(pack, dimension, swapped), "posts": posts}
    if "shots_by_source" in (methods := pack["methods"][method]):
        if swapped:
            raise InputError("few-shot prompts cannot be swapped: the demonstrations are scored the other way round.")
        values |= _shots(methods["shots_by_source"], template["shot_answer"], dimension, source)
    return _messages(pack, template, values, questionnaire(pack, dimension))


@_of_a_pack
def build_item(pack: Mapping[str, Any], dimension: str, index: int, posts: str) -> list[Message]:
    """Messages that ask one questionnaire item right after the posts (``psycot_ll``).

    Args:
        index: position of the item, from 0.
    """
    template = _method(pack, ("methods",), "psycot", "soft")
    values = {**_dimension_values(pack, dimension, False), "posts": posts}
    turns = _item_turns(template, [questionnaire(pack, dimension)[index]], values)
    return _conversation(pack, template, turns, values)


@_of_a_pack
def build_dreaddit_personality(
    pack: Mapping[str, Any], method: str, kind: str, dimension: str, posts: str
) -> list[Message]:
    """Messages that ask for one dimension of the author of one Dreaddit post."""
    template = _method(pack, ("downstream", "dreaddit", "personality"), method, kind)
    return _messages(
        pack, template, {**_dimension_values(pack, dimension, False), "posts": posts}, questionnaire(pack, dimension)
    )


@_of_a_pack
def build_dreaddit_stress(pack: Mapping[str, Any], posts: str, mbti_lines: str | None) -> list[Message]:
    """Messages that ask whether the author of one Dreaddit post is under very severe stress.

    Args:
        mbti_lines: four rendered personality lines, or ``None`` for the condition without personality.
    """
    stress = pack["downstream"]["dreaddit"]["stress"]
    template = {"system": stress["system"], **stress["none" if mbti_lines is None else "with_mbti"]}
    return _messages(pack, template, {"posts": posts, "mbti_lines": mbti_lines or ""}, [])


@_of_a_pack
def questionnaire(pack: Mapping[str, Any], dimension: str) -> list[dict[str, Any]]:
    """Items of a dimension: ``text``, ``option_to_pole`` (``null``: unkeyed), ``unsure_option``."""
    items: list[dict[str, Any]] = pack["methods"]["psycot"]["items"][dimension]
    if len(items) > MOST_ITEMS:
        name = pack.get("name", "")
        raise InputError(f"prompt pack {name!r} has {len(items)} items for {dimension}, more than {MOST_ITEMS}.")
    return items


def _method(pack: Mapping[str, Any], where: Sequence[str], method: str, kind: str) -> dict[str, Any]:
    place: Any = pack
    for key in (*where, method, kind):
        place = place.get(key) if isinstance(place, Mapping) else None
    if not isinstance(place, dict):
        path = ".".join((*where, method, kind))
        raise InputError(f"prompt pack {pack.get('name', '')!r} has no {path}; use another pack or another variant.")
    return place


def _dimension_values(pack: Mapping[str, Any], dimension: str, swapped: bool) -> dict[str, str]:
    named = dimension_of(dimension)
    first, second = (named.first, named.first_name), (named.second, named.second_name)
    if swapped:
        first, second = second, first
    return {
        "dim": f"{first[0]}/{second[0]}",
        "rank": pack.get("dimensions", {}).get(dimension, {}).get("rank", ""),
        "first_letter": first[0],
        "second_letter": second[0],
        "first_name": first[1],
        "second_name": second[1],
        "full_name": f"{first[1]} or {second[1]}",
        "hard_choices": f"A: {first[1]} or B: {second[1]}",
    }


def _shots(shots_by_source: Mapping[str, Any], answer_key: str, dimension: str, source: str) -> dict[str, str]:
    shots = shots_by_source.get(source, shots_by_source.get("any"))
    if shots is None:
        known = ", ".join(shots_by_source)
        raise InputError(f"this prompt pack has no demonstrations for posts from {source!r}, only for {known}.")
    values = {}
    for number, shot in enumerate(shots, start=1):
        answer = shot[answer_key]  # one text for all dimensions, or one for each
        values[f"shot{number}.posts"] = shot["posts"]
        values[f"shot{number}.answer"] = answer if isinstance(answer, str) else answer[dimension]
    return values


def _messages(
    pack: Mapping[str, Any], template: Mapping[str, Any], values: Mapping[str, str], items: Sequence[Mapping[str, Any]]
) -> list[Message]:
    values = {**values, "items": "\n".join(f"{number}. {item['text']}" for number, item in enumerate(items, start=1))}
    if "item_turn" in template:
        turns = [*_item_turns(template, items, values), render(template["final_turn"], values)]
    else:
        turns = [render(turn, values) for turn in template["turns"]]
    return _conversation(pack, template, turns, values)


def _item_turns(
    template: Mapping[str, Any], items: Sequence[Mapping[str, Any]], values: Mapping[str, str]
) -> list[str]:
    turns = [render(template[item.get("turn", "item_turn")], {**values, "item": item["text"]}) for item in items]
    if opening := template.get("opening"):  # posts in the first user turn rather than in the system message
        turns[0] = render(opening, values) + turns[0]
    return turns


def _conversation(
    pack: Mapping[str, Any], template: Mapping[str, Any], turns: Sequence[str], values: Mapping[str, str]
) -> list[Message]:
    messages = [{"role": "system", "content": render(template["system"], values)}]
    for turn in turns:
        messages.append({"role": "user", "content": turn})
        messages.append({"role": "assistant", "content": pack["assistant_placeholder"]})
    return messages
