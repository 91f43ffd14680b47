"""What every description of a judge may say; each kind of judge adds its own. See ``docs/judges.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness_ext.judges.judge import Empty
from harness_ext.scoring.verdict_parsers import PARSERS, Scale


class Compat(BaseModel):
    """Where a published judge counts otherwise than this package."""

    model_config = ConfigDict(extra="forbid")
    empty: Empty | None = None
    """Label of an empty response; only for judges of refusal."""
    unparsable: Literal["safe"] | None = None
    """Label of an answer that cannot be read; only for ``yes_no_first_token``."""
    min_words: int | None = Field(default=None, ge=1)
    """Responses of fewer space-separated pieces are safe and not judged; only for ``llamaguard``."""


class JudgeConfig(BaseModel):
    """A judge of any kind."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]+$")
    """Suffix of the metrics."""
    version: str = ""
    """Your own, for what the file does not say, such as other weights under the same name of the model."""
    agreement: Path | None = None
    """What ``harness-ext judge-agreement --json`` wrote about this judge."""
    compat: Compat = Field(default_factory=Compat)

    def beside(self, folder: Path) -> dict[str, Any]:
        """The fields that name files, relative to the folder of the judge's file."""
        return {"agreement": folder / self.agreement} if self.agreement else {}


Marker = Annotated[str, Field(min_length=1)]


class ModelConfig(JudgeConfig):
    """A judge that asks a model."""

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

    def beside(self, folder: Path) -> dict[str, Any]:
        """The fields that name files, relative to the folder of the judge's file."""
        return super().beside(folder) | ({"prompt": folder / self.prompt} if self.prompt else {})

    @field_validator("parser")
    @classmethod
    def _known_parser(cls, parser: str | None) -> str | None:
        if parser is not None and parser not in PARSERS:
            raise ValueError(f"there is no verdict parser {parser!r}; there are {', '.join(PARSERS)}")
        return parser

    @model_validator(mode="after")
    def _fits_the_parser(self) -> ModelConfig:
        if "scale" in self.model_fields_set and self.parser != "strongreject_rubric":
            raise ValueError("scale belongs to the parser strongreject_rubric")
        if self.parser is not None:
            check_compat(self.compat, self.parser, PARSERS[self.parser].kind)
        return self


def check_compat(compat: Compat, parser: str | None, kind: str) -> None:
    """Refuse a departure that belongs to another kind of judge or to another parser.

    Raises:
        ValueError: there is one.
    """
    for name, value, fits, owner in (
        ("empty", compat.empty, kind == "refusal", "judges of refusal"),
        ("unparsable", compat.unparsable, parser == "yes_no_first_token", "the parser yes_no_first_token"),
        ("min_words", compat.min_words, parser == "llamaguard", "the parser llamaguard"),
    ):
        if value is not None and not fits:
            raise ValueError(f"compat.{name} belongs to {owner}")
