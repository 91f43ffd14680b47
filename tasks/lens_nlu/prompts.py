"""Prompts of the understanding tasks: our own words, or the authors' where a user gives their pack.

A pack is a JSON file with ``name``, ``version``, ``system``, ``language_names`` (code to English name) and
``templates``, one a family over the raw field names; ``{{name}}`` stands for a value, which is inserted as it is, once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from harness_ext.errors import InputError
from harness_ext.files import MOST_SETTINGS, FileError, parse_json, read_bytes

DEFAULT = "default"
LATIN = ("A", "B", "C", "D")
ARABIC = ("\u0627", "\u0628", "\u062c", "\u062f")
"""Alef, ba, jim, dal: the first four letters as Arabic counts them."""
AUTHORS_ARABIC = ("\u0627", "\u0628", "\u0643", "\u062f")
"""Alef, ba, kaf, dal, as the authors write C."""

_SLOT = re.compile(r"\{\{([A-Za-z0-9_]+)\}\}")
_GLUED = re.compile(r"\}\}(?=[A-Za-z])")
_LABEL = re.compile(r"^([A-D])(?=\. )", re.MULTILINE)


class Pack(BaseModel):
    """A prompt pack."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str = ""
    system: str = ""
    language_names: Mapping[str, str]
    templates: Mapping[str, str]


class Loaded(NamedTuple):
    """A pack, and what results say of it."""

    pack: Pack
    label: str
    """Name and hash."""


def load_pack(path: str = DEFAULT) -> Loaded:
    """Read a prompt pack.

    Raises:
        InputError: the file is missing or no pack.

    >>> load_pack().pack.name
    'harness-ext'
    """
    try:
        raw = _own() if path == DEFAULT else read_bytes(Path(path).expanduser(), most=MOST_SETTINGS)
        pack = Pack.model_validate(parse_json(raw.decode("utf-8")))
    except FileError as error:
        raise InputError(f"prompt_pack {path!r} cannot be read ({error}); give a file or {DEFAULT!r}.") from None
    except (ValidationError, ValueError) as error:
        what = error.errors()[0]["msg"].lower() if isinstance(error, ValidationError) else error
        raise InputError(f"prompt_pack {path!r} is no pack with name, language_names and templates ({what}).") from None
    return Loaded(pack, f"{pack.name} sha256:{hashlib.sha256(raw).hexdigest()}")


def _own() -> bytes:
    return (resources.files("harness_ext.tasks.lens_nlu") / "default_prompts.json").read_bytes()


def render(template: str, values: Mapping[str, Any]) -> str:
    """Insert values in one pass; what is inserted is not looked at again.

    Raises:
        InputError: a value is missing.

    >>> render("{{a}}, {{b}}", {"a": "{{b}}", "b": 2})
    '{{b}}, 2'
    """
    try:
        return _SLOT.sub(lambda slot: str(values[slot[1]]), template)
    except KeyError as error:
        raise InputError(f"prompt_pack: there is no {error} here; there are {', '.join(sorted(values))}.") from None


def prompt(
    pack: Pack, family: str, language: str, record: Mapping[str, Any], *, compat: bool, letters: tuple[str, ...]
) -> str:
    """One prompt.

    Args:
        pack: whose template and names of languages are used.
        family: the template.
        language: of the record.
        record: raw fields.
        compat: as the authors' code: what is glued in a template stays so, and letters are replaced in the data, too.
        letters: of the options.

    Raises:
        InputError: the pack lacks the template, the language or a value.
    """
    if family not in pack.templates or language not in pack.language_names:
        raise InputError(f"prompt_pack {pack.name!r} has no template {family!r} or no name of {language!r}.")
    template = pack.templates[family]
    if not compat:
        template = _GLUED.sub("}} ", template)
        template = _LABEL.sub(lambda label: letters[LATIN.index(label[1])], template)
    text = render(template, {**record, "language_name": pack.language_names[language]})
    if compat:
        for latin, letter in zip(LATIN, letters, strict=False):
            text = text.replace(f"{latin}.", f"{letter}.")
    return text
