"""The file that describes a judge, ``judge.yaml``: checked whole before anything is judged. See ``docs/judges.md``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from harness_ext.errors import InputError
from harness_ext.judges.judge import Empty
from harness_ext.scoring.refusal_rules import RULES
from harness_ext.scoring.verdict_parsers import PARSERS, Scale

_OPTIONS = {"base_url": "--base-url", "model": "--model"}
_ASKED = {"messages", "model", "n", "prompt", "stream", "temperature"}


class Compat(BaseModel):
    """Where a published judge counts otherwise than this package."""

    model_config = ConfigDict(extra="forbid")
    empty: Empty | None = None
    """Label of an empty response; only for judges of refusal."""
    unparsable: Literal["safe"] | None = None
    """Label of an answer that cannot be read; only for ``yes_no_first_token``."""
    min_words: int | None = Field(default=None, ge=1)
    """Responses of fewer space-separated pieces are safe and not judged; only for ``llamaguard``."""


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]+$")
    """Suffix of the metrics."""
    version: str = ""
    """Your own, for what the file does not say, such as other weights under the same name of the model."""
    agreement: Path | None = None
    """What ``harness-ext judge-agreement --json`` wrote about this judge."""
    compat: Compat = Field(default_factory=Compat)


class RuleConfig(_Config):
    """A string rule."""

    kind: Literal["rule"]
    rule: str

    @model_validator(mode="after")
    def _consistent(self) -> RuleConfig:
        if self.rule not in RULES:
            raise ValueError(f"there is no refusal rule {self.rule!r}; there are {', '.join(RULES)}")
        _check_compat(self.compat, None, "refusal")
        return self


Marker = Annotated[str, Field(min_length=1)]


class _ModelConfig(_Config):
    model: str
    parser: str | None = None
    prompt: Path | None = None
    """Prompt pack; ours for the parser if it is not given."""
    format: Literal["chat", "text"] = "chat"
    """``chat``: messages in the model's own format; ``text``: the one message as it is."""
    max_tokens: int | None = Field(None, ge=1)
    """Longest answer; by default that of the published judge of the parser."""
    scale: Scale = "01"
    """Of the score of ``strongreject_rubric``."""
    reasoning_markers: tuple[Marker, Marker] | None = None
    """Opening and closing marker of the judge's own reasoning, where they are not among the common ones."""

    @field_validator("parser")
    @classmethod
    def _known_parser(cls, parser: str | None) -> str | None:
        if parser is not None and parser not in PARSERS:
            raise ValueError(f"there is no verdict parser {parser!r}; there are {', '.join(PARSERS)}")
        return parser

    @model_validator(mode="after")
    def _fits_the_parser(self) -> _ModelConfig:
        if "scale" in self.model_fields_set and self.parser != "strongreject_rubric":
            raise ValueError("scale belongs to the parser strongreject_rubric")
        if self.parser is not None:
            _check_compat(self.compat, self.parser, PARSERS[self.parser].kind)
        return self


class LlmConfig(_ModelConfig):
    """A model behind an OpenAI-compatible server."""

    kind: Literal["llm"]
    parser: str
    base_url: str
    """Up to and without ``/chat/completions``."""
    api_key_env: str | None = None
    """Variable that holds the key; if it is not given, ``HARNESS_EXT_JUDGE_API_KEY`` where that is set."""
    timeout: float = Field(60.0, gt=0)
    """Seconds for one try."""
    retries: int = Field(6, ge=0, le=100)
    concurrency: int = Field(8, ge=1, le=256)
    request: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request, such as ``seed``; null leaves ``max_tokens`` out."""

    @model_validator(mode="after")
    def _request_is_ours(self) -> LlmConfig:
        if taken := sorted(_ASKED & self.request.keys()):
            raise ValueError(f"request may not set {', '.join(taken)}")
        return self


Label = Literal["compliance", "partial", "refusal", "harmful", "safe"]


class ClassifierConfig(_ModelConfig):
    """A model in a local folder: a classifier (``labels``) or a causal model whose answer is parsed (``parser``)."""

    kind: Literal["classifier"]
    labels: dict[str, Label] | None = None
    """What each label of the classifier means."""
    max_length: int | None = Field(None, ge=1)
    """Longest input in tokens; by default the model's."""
    batch_size: int = Field(8, ge=1)
    device: str | None = None
    """By default a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    @model_validator(mode="after")
    def _one_of_both(self) -> ClassifierConfig:
        if (self.labels is None) == (self.parser is None):
            raise ValueError("give either labels (a classifier) or parser (a causal model)")
        if self.labels is not None:
            if self.max_tokens or "format" in self.model_fields_set:
                raise ValueError("max_tokens and format belong to a causal model (parser)")
            _check_compat(self.compat, None, kind_of(self.labels))
        return self


Config = RuleConfig | LlmConfig | ClassifierConfig
_ANY: TypeAdapter[Config] = TypeAdapter(Annotated[Config, Field(discriminator="kind")])


def kind_of(labels: Mapping[str, str]) -> Literal["refusal", "harm"]:
    """What a classifier with these labels judges.

    Raises:
        ValueError: labels of refusal and of harm are mixed, or there is only one.
    """
    meant = set(labels.values())
    if len(meant) < 2 or not (meant <= {"compliance", "partial", "refusal"} or meant <= {"harmful", "safe"}):
        raise ValueError("labels must mean compliance, partial and refusal, or harmful and safe, at least two of them")
    return "harm" if "safe" in meant else "refusal"


def _check_compat(compat: Compat, parser: str | None, kind: str) -> None:
    for name, value, fits, owner in (
        ("empty", compat.empty, kind == "refusal", "judges of refusal"),
        ("unparsable", compat.unparsable, parser == "yes_no_first_token", "the parser yes_no_first_token"),
        ("min_words", compat.min_words, parser == "llamaguard", "the parser llamaguard"),
    ):
        if value is not None and not fits:
            raise ValueError(f"compat.{name} belongs to {owner}")


def read_config(source: Path | Mapping[str, Any], **override: Any) -> Config:
    """A judge's description from a file or its content; paths in a file are relative to it.

    Args:
        source: the file, or its content.
        override: fields that count instead of the file's, unless ``None``.

    Raises:
        InputError: it cannot be read, or is wrong.
    """
    where, content = (str(source), _loaded(source)) if isinstance(source, Path) else ("the judge", dict(source))
    folder = source.parent if isinstance(source, Path) else Path()
    content |= {name: value for name, value in override.items() if value is not None}
    try:
        config = _ANY.validate_python(content)
    except ValidationError as error:
        raise InputError(f"{where}: {_all_of(error)}.{_way_out(error)}") from None
    relative: dict[str, Any] = {
        name: folder / value for name in ("prompt", "agreement") if (value := getattr(config, name, None)) is not None
    }
    if isinstance(config, ClassifierConfig) and override.get("model") is None:
        relative["model"] = str(folder / config.model)
    return config.model_copy(update=relative)


def _loaded(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: the judge's file cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: no YAML ({type(error).__name__}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a description of a judge; see docs/judges.md.")
    return content


def _all_of(error: ValidationError) -> str:
    said = []
    for one in error.errors():
        place = ".".join(str(part) for part in one["loc"] if part not in ("rule", "llm", "classifier"))
        message = "missing" if one["type"] == "missing" else one["msg"].removeprefix("Value error, ")
        said.append(f"{place}: {message}" if place else message)
    return "; ".join(said)


def _way_out(error: ValidationError) -> str:
    """Where what is missing is given: on the command line too, if that has an option for it."""
    missing = {str(one["loc"][-1]) for one in error.errors() if one["type"] == "missing"}
    options = [option for name, option in _OPTIONS.items() if name in missing]
    return f" Give {' and '.join(options)}, or a judge file that says it (docs/judges.md)." if options else ""


def read_agreement(path: Path, fingerprint: str) -> dict[str, Any]:
    """What is known of a judge's agreement with people, from the file ``judge-agreement --json`` wrote.

    Args:
        path: the file.
        fingerprint: of the judge; that in the file, if there is one, must be the same.

    Raises:
        InputError: the file cannot be read, is of another form, or is about another judge.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        overall = content["overall"]
        found = {
            "n": int(overall["n"]),
            "accuracy": float(overall["accuracy"]),
            "kappa": None if overall["kappa"] is None else float(overall["kappa"]),
            "positive": str(content["positive"]),
            "measured_on": str(content.get("labels", path.name)),
        }
        measured = content.get("config", {}).get("fingerprint", fingerprint)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: no agreement that `harness-ext judge-agreement --json` wrote ({type(error).__name__})."
        ) from error
    if measured != fingerprint:
        raise InputError(
            f"{path}: the agreement of another judge; measure this one with `harness-ext judge-agreement`."
        )
    return found
