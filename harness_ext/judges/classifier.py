"""A model in a local folder as a judge: a sequence classifier, or a causal model whose answer is parsed.

Only safetensors are read and no code that comes with a model is run. A classifier sees prompt and response as a pair of
texts, unless a prompt pack makes one text of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from harness_ext.errors import InputError
from harness_ext.files import sha256_of
from harness_ext.judges.cache import Found
from harness_ext.judges.config import ModelConfig, check_compat
from harness_ext.judges.judge import Item, Kind, Statistics
from harness_ext.judges.judge_prompts import MAX_TOKENS, OWN_PROMPTS, JudgePrompt, read_prompt
from harness_ext.judges.model_judge import ModelJudge, read_answer
from harness_ext.scoring.verdict_parsers import PARSERS

VERSION = "2"
"""Goes up when the same outputs of a model are understood in another way."""
_UNLIMITED = 1_000_000
"""Tokenizers without a limit state a number beyond this."""


Label = Literal["compliance", "partial", "refusal", "harmful", "safe"]


class ClassifierConfig(ModelConfig):
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

    def beside(self, folder: Path) -> dict[str, Any]:
        """The fields that name files, relative to the folder of the judge's file."""
        return super().beside(folder) | {"model": str(folder / self.model)}

    @model_validator(mode="after")
    def _one_of_both(self) -> ClassifierConfig:
        if (self.labels is None) == (self.parser is None):
            raise ValueError("give either labels (a classifier) or parser (a causal model)")
        if self.labels is not None:
            if self.max_tokens or "format" in self.model_fields_set:
                raise ValueError("max_tokens and format belong to a causal model (parser)")
            check_compat(self.compat, None, kind_of(self.labels))
        return self


def kind_of(labels: Mapping[str, str]) -> Literal["refusal", "harm"]:
    """What a classifier with these labels judges.

    Raises:
        ValueError: labels of refusal and of harm are mixed, or there is only one.
    """
    meant = set(labels.values())
    if len(meant) < 2 or not (meant <= {"compliance", "partial", "refusal"} or meant <= {"harmful", "safe"}):
        raise ValueError("labels must mean compliance, partial and refusal, or harmful and safe, at least two of them")
    return "harm" if "safe" in meant else "refusal"


class ClassifierAsked:
    """The model that a judge file of the kind ``classifier`` describes; loaded when it is first asked.

    Raises:
        InputError: there is no such model in the folder, or it has other labels.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        self._folder = Path(config.model)
        if not (self._folder / "config.json").is_file() or not list(self._folder.glob("*.safetensors")):
            raise InputError(
                f"{self._folder}: no judge: config.json and safetensors files are needed, and none is downloaded."
            )
        self._config = config
        self._parser = config.parser
        self.version = VERSION + (f".{config.version}" if config.version else "")
        self._prompt: JudgePrompt | None = read_prompt(config.prompt) if config.prompt else None
        if config.labels is not None:
            self.kind: Kind = kind_of(config.labels)
            self.three_class = "partial" in config.labels.values()
            if self._prompt:
                self._prompt.require_one_message()
        elif config.parser is not None:
            self.kind = PARSERS[config.parser].kind
            self.three_class = PARSERS[config.parser].three_class
            self._prompt = self._prompt or OWN_PROMPTS[config.parser]
            if config.format == "text":
                self._prompt.require_one_message()

    def about(self) -> dict[str, Any]:
        """Hash of the model's files, labels or parser, prompt, decoding. The batch size is left out: it only rounds."""
        config = self._config
        prompt = {"name": self._prompt.name, "sha256": self._prompt.sha256} if self._prompt else "pair"
        decoding: dict[str, Any] = {"max_length": config.max_length, "truncation": self._side, "dtype": config.dtype}
        if self._parser:
            decoding |= {"greedy": True, "max_tokens": self._max_tokens}
        return {
            "type": "classifier",
            "model": self._folder.resolve().name,
            "model_sha256": self._sha256,
            **({"parser": self._parser, "format": config.format} if self._parser else {"labels": config.labels}),
            "prompt": prompt,
            "decoding": decoding,
            **({"scale": config.scale} if self._parser == "strongreject_rubric" else {}),
            **({"reasoning_markers": list(config.reasoning_markers)} if config.reasoning_markers else {}),
            **({"scale": "probability of harmful"} if config.labels and self.kind == "harm" else {}),
        }

    def rendered(self, item: Item, *, fenced: bool = True) -> Any:
        """The messages, or the pair of texts."""
        return self._prompt.render(item, fenced=fenced) if self._prompt else [item.prompt, item.response]

    def found(self, shown: Sequence[Any], statistics: Statistics) -> Iterator[list[tuple[int, Found]]]:
        """What the model says of each, in batches of similar length.

        Raises:
            InputError: the model cannot be loaded.
        """
        order = sorted(range(len(shown)), key=lambda number: -len(str(shown[number])))
        for first in range(0, len(order), self._config.batch_size):
            numbers = order[first : first + self._config.batch_size]
            some = [shown[number] for number in numbers]
            answers = self._written(some) if self._parser else self._classified(some)
            yield list(zip(numbers, answers, strict=True))

    def _classified(self, shown: list[Any]) -> list[Found]:
        import torch

        model, tokenizer = self._loaded
        labels = self._meaning(model.config.id2label)
        texts = ([one[0]["content"] for one in shown],) if self._prompt else tuple(map(list, zip(*shown, strict=True)))
        inputs = tokenizer(*texts, padding=True, truncation=True, max_length=self._limit(), return_tensors="pt")
        with torch.inference_mode():
            shares = model(**inputs.to(model.device)).logits.float().softmax(-1).tolist()
        found = []
        for own in shares:
            harmful = sum(share for share, label in zip(own, labels, strict=True) if label == "harmful")
            best = labels[max(range(len(own)), key=own.__getitem__)]
            found.append(Found(best, harmful if self.kind == "harm" else None))
        return found

    def _written(self, shown: list[Any]) -> list[Found]:
        import torch

        model, tokenizer = self._loaded
        chat = self._config.format == "chat"
        texts = (
            [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=True) for one in shown]
            if chat
            else [one[0]["content"] for one in shown]
        )
        inputs = tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=max(1, self._limit() - self._max_tokens),
            add_special_tokens=not chat,
            return_tensors="pt",
        ).to(model.device)
        with torch.inference_mode():
            written = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                max_new_tokens=self._max_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )[:, inputs["input_ids"].shape[1] :]
        answers = tokenizer.batch_decode(written, skip_special_tokens=True)
        config = self._config
        return [read_answer(self._parser or "", own, config.scale, config.reasoning_markers) for own in answers]

    @property
    def _loaded(self) -> tuple[Any, Any]:
        config = self._config
        model, tokenizer = _load(self._folder, self._sha256, self._parser is not None, config.dtype, config.device)
        if self._parser and config.format == "chat" and not tokenizer.chat_template:
            raise InputError(
                f"{self._folder}: the tokenizer has no chat template; give a prompt pack and format: text."
            )
        return model, tokenizer

    def _meaning(self, labels: dict[int, str]) -> list[str]:
        wanted = self._config.labels or {}
        if set(labels.values()) != wanted.keys():
            raise InputError(
                f"{self._folder}: its labels are {', '.join(labels.values())}, and the judge's file names "
                f"{', '.join(wanted)}."
            )
        return [wanted[labels[number]] for number in sorted(labels)]

    def _limit(self) -> int:
        model, tokenizer = self._loaded
        known = [
            limit
            for limit in (
                self._config.max_length,
                tokenizer.model_max_length,
                getattr(model.config, "max_position_embeddings", None),
            )
            if limit and limit < _UNLIMITED
        ]
        return min(known, default=4096)

    @property
    def _side(self) -> str:
        return "left" if self._parser else "right"

    @property
    def _max_tokens(self) -> int:
        return self._config.max_tokens or (MAX_TOKENS[self._parser] if self._parser else 0)

    @property
    def _sha256(self) -> str:
        """Of every file that the model and its tokenizer are read from."""
        total = hashlib.sha256()
        for path in sorted(self._folder.iterdir()):
            if path.suffix in {".safetensors", ".json", ".jinja", ".model", ".txt"} and path.is_file():
                known = path.stat()
                total.update(f"{path.name} {_file_sha256(path, known.st_size, known.st_mtime_ns)}\n".encode())
        return total.hexdigest()


@lru_cache(maxsize=1024)
def _file_sha256(path: Path, _size: int, _changed: int) -> str:
    """Of a file's content; read once as long as size and time stay: many tasks may share a judge."""
    return sha256_of(path)


@lru_cache(maxsize=1)
def _load(folder: Path, _sha256: str, causal: bool, dtype: str, device: str | None) -> tuple[Any, Any]:
    """Model and tokenizer; the last ones stay in memory, because many tasks may share a judge."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise InputError(
            f"a local judge needs the extra hf ({error.name} is missing): pip install 'harness-ext[hf]'."
        ) from error
    kind = AutoModelForCausalLM if causal else AutoModelForSequenceClassification
    only_here = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **only_here)
        model = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, **only_here)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{folder}: the judge cannot be loaded ({type(error).__name__}: {error}).") from error
    # The end of a causal model's input asks the question; a classifier's input has no such end.
    tokenizer.truncation_side = "left" if causal else "right"
    if causal:
        tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval(), tokenizer


def judge_of(config: ClassifierConfig, name: str | None, default: str, cache: Path | None) -> ModelJudge:
    """The judge of that description."""
    name = name or default or f"cls_{Path(config.model).name}"
    return ModelJudge(name, ClassifierAsked(config), compat=config.compat, cache=cache)
