"""Do two checkpoints hold the same model, so that their difference means something?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import MergedAdapter, broken_ties, is_adapter, open_checkpoint
from harness_ext.methods.checkpoints.read import CONFIG, TOKENS, Checkpoint, View, read_as, read_json
from harness_ext.methods.checkpoints.tied import Untied, tied_weights
from harness_ext.methods.settings import settings

log = logging.getLogger(__name__)

_ARCHITECTURE = ("model_type", "architectures", "num_attention_heads", "num_key_value_heads", "head_dim")
"""Settings in config.json with which the same weights are another model, whatever is allowed."""
_NO_FUNCTION = {
    *("_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version", "unsloth_version"),
    *("_attn_implementation", "attn_implementation", "gradient_checkpointing", "pretraining_tp", "use_cache"),
    *("initializer_factor", "initializer_range", "output_attentions", "output_hidden_states", "return_dict"),
    *("id2label", "label2id", "problem_type", "task_specific_params", "tie_word_embeddings", "vocab_size"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "max_length"),
}
"""Settings in config.json that say nothing about what the weights compute, or that are looked at by themselves."""


@settings
class Fit:
    """In what models may differ from their base, and whose texts the output keeps."""

    dtypes: Literal["same", "any"] = "same"
    """Refuse models stored in another floating type than the base, or compute with any in float32. Ours."""
    configs: Literal["same", "any"] = "same"
    """Refuse models whose config.json computes something else with the same weights (rope, norms, activation, windows,
    …), or take the base's. Ours."""
    tokenizer_from: str = "base"
    """Whose tokenizer, chat template and special tokens are written: ``base``, or a model by the name of its setting,
    such as ``models[0]``. Ours."""

    def matched(self, model: Checkpoint, base: Checkpoint, missing: Literal["error", "base"] = "error") -> Checkpoint:
        """`matched` with these settings."""
        return matched(model, base, missing=missing, dtypes=self.dtypes, configs=self.configs)


def apart(base: Checkpoint, models: Iterable[str]) -> Checkpoint:
    """``base``, or its `Untied` form if one of the models has two tensors where it has one.

    Args:
        base: what the models were made from.
        models: folders of checkpoints or adapters.

    Raises:
        InputError: a model breaks another tie than that of embeddings and output layer.
    """
    broken: dict[str, str] = {}
    for path in models:
        if is_adapter(path):
            broken |= broken_ties(Path(path), base)
        elif extra := set((model := open_checkpoint(path)).names) - set(base.names):
            own = tied_weights(model)
            broken |= {
                name: other for name, other in tied_weights(base).items() if {name, other} & extra and name not in own
            }
        if len(broken) > 1:
            raise InputError(f"{path}: it changes one of {', '.join(broken)}, which {base.path} stores once for all.")
    return next((Untied(base, *tie) for tie in broken.items()), base)


def matched(
    model: Checkpoint,
    base: Checkpoint,
    *,
    missing: Literal["error", "base"] = "error",
    dtypes: Literal["same", "any"] = "same",
    configs: Literal["same", "any"] = "same",
) -> Checkpoint:
    """``model`` under the names of ``base``, or a refusal that names what differs.

    The stored names of the base decide. A tied weight that only one of the two stores beside its twin is found by its
    twin.

    Args:
        model: what is compared with ``base``; an adapter fits the base it was opened with.
        base: what it is compared with.
        missing: ``"base"`` takes the base's tensor where the model has none, and ignores tensors that only the model
            has.
        dtypes: see `Fit`.
        configs: see `Fit`.

    Raises:
        InputError: architectures, tokenizers, names, shapes, element types or settings differ.
    """
    _compare_architectures(model.path, base.path)
    _compare_tokenizers(model.path, base.path)
    if isinstance(model, MergedAdapter):
        return model
    found = {name: name for name in base.names if name in set(model.names)}
    lost = [name for name in base.names if name not in found]
    ties = tied_weights(model) if lost else {}
    for name in lost:
        twin = next((other for other in found if _equal(base, name, other)), None)
        if ties.get(name) in model.names:
            found[name] = ties[name]
        elif twin is not None and found[twin] == twin:
            found[name] = twin
        elif missing == "error":
            raise InputError(
                f"{name} of {base.path} is not in {model.path}. Give a model of the same architecture, or set "
                "missing=base to take the base's."
            )
    if missing == "error":
        for name in set(model.names) - set(base.names):
            if not any(_equal(model, name, other) for other in found.values() if other != name):
                raise InputError(
                    f"{name} of {model.path} is not in {base.path}. Give a model of the same architecture, or set "
                    "missing=base to leave it out."
                )
    for name, source in found.items():
        _compare_tensors(model, source, base, name, dtypes)
    _refuse_lost_heads(model, base)
    functions = list(_other_functions(model.path, base.path))
    if functions and configs == "same":
        raise InputError(
            f"{model.path} computes something else than {base.path} with the same weights: {'; '.join(functions)} in "
            "config.json. Set configs=any to take the base's."
        )
    return View(model, {name: (model, found[name]) if name in found else (base, name) for name in base.names})


def differences(models: Mapping[str, Checkpoint], base: Checkpoint) -> dict[str, dict[str, list[str]]]:
    """A note for ``method.json`` on what models say otherwise than their base, of which a merge can keep only one.

    Settings of config.json that compute something else, special tokens, chat template, tokenizer; of an adapter, the
    base that it was made for. Each is logged, too.
    """
    found = {}
    for role, model in models.items():
        said = [*_other_functions(model.path, base.path), *_other_texts(model.path, base.path)]
        if isinstance(model, MergedAdapter) and (made_for := _other_base(model, base.path)):
            said.append(f"it was made for {made_for}")
        for difference in said:
            log.warning("%s differs from %s: %s.", model.path, base.path, difference)
        if said:
            found[role] = said
    return {"differences": found} if found else {}


def _other_base(adapter: MergedAdapter, base: Path) -> str | None:
    """The base that an adapter names, unless it may be this one: a folder may stand anywhere."""
    named = str(adapter.settings.get("base_model_name_or_path") or "")
    own = {base.resolve().name, str(_content(base, CONFIG).get("_name_or_path") or "").rpartition("/")[2]}
    cached = f"models--{named.replace('/', '--')}" in base.absolute().parts
    return None if not named or cached or Path(named).name in own else named


def _compare_tensors(model: Checkpoint, source: str, base: Checkpoint, name: str, dtypes: str) -> None:
    ours, theirs = model.shape(source), base.shape(name)
    if ours != theirs:
        raise InputError(f"{name} has shape {ours} in {model.path}, but {theirs} in {base.path}.")
    own, expected = model.dtype(source), base.dtype(name)
    floating = own.is_floating_point and expected.is_floating_point
    if own != expected and not (floating and dtypes == "any"):
        way_out = " Set dtypes=any to compute with both in float32." if floating else ""
        raise InputError(f"{name} is {own} in {model.path}, but {expected} in {base.path}.{way_out}")


def _compare_architectures(model: Path, base: Path) -> None:
    ours, theirs = _content(model, CONFIG), _content(base, CONFIG)
    for key in _ARCHITECTURE:
        if key in ours and key in theirs and ours[key] != theirs[key]:
            raise InputError(
                f"{model} is another architecture than {base}: {key} is {ours[key]}, not {theirs[key]}, in config.json."
            )


def _refuse_lost_heads(model: Checkpoint, base: Checkpoint) -> None:
    """An output layer that is neither stored nor tied is a random one."""
    flags = [_content(folder, CONFIG).get("tie_word_embeddings") for folder in (model.path, base.path)]
    if flags[0] == flags[1]:
        return
    own = [(checkpoint, tied_weights(checkpoint)) for checkpoint in (model, base)]
    for name, other in {**own[0][1], **own[1][1]}.items():
        for checkpoint, ties in own:
            if name not in ties and len({name, other} & set(checkpoint.names)) == 1:
                raise InputError(
                    f"{checkpoint.path}: of {name} and {other} only one is stored, but config.json does not tie them. "
                    "Set tie_word_embeddings there as the model was trained."
                )


def _other_functions(model: Path, base: Path) -> Iterator[str]:
    """Settings of config.json that make another function of the same weights, in words.

    Where the files differ, transformers reads them: what one of them leaves out has the default of its class, and
    versions of transformers write the same settings in different ways.
    """
    if not all((folder / CONFIG).is_file() for folder in (model, base)):
        return
    ours, theirs = (dict(_flat(_content(folder, CONFIG))) for folder in (model, base))
    if ours == theirs:
        return
    ours, theirs = (dict(_flat(_as_loaded(folder))) for folder in (model, base))
    default = all(each.get("rope_parameters.rope_type") == "default" for each in (ours, theirs))
    for key in sorted({*ours, *theirs}):
        if key == "max_position_embeddings" and default:
            continue  # positions behind it are computed as those before it
        if ours.get(key) != theirs.get(key):
            yield f"{key} is {ours.get(key)}, not {theirs.get(key)}"


def _as_loaded(folder: Path) -> dict[str, Any]:
    from transformers import AutoConfig

    try:
        loaded: dict[str, Any] = AutoConfig.from_pretrained(str(folder), trust_remote_code=False).to_dict()
    except Exception:  # whatever transformers makes of settings of a wrong type
        return _content(folder, CONFIG)
    return loaded


def tokenizer_of(config: Fit, checkpoints: Mapping[str, Checkpoint]) -> Path:
    """The folder that ``tokenizer_from`` names.

    Args:
        config: settings of the method.
        checkpoints: role → what was read.

    Raises:
        InputError: there is no such role, or nothing of a tokenizer in its folder.
    """
    chosen = config.tokenizer_from
    if chosen not in checkpoints:
        raise InputError(f"tokenizer_from is {chosen}. Give one of {', '.join(checkpoints)}.")
    folder = checkpoints[chosen].path
    if chosen != type(config).tokenizer_from and not any(folder.glob("tokenizer*")):
        raise InputError(f"tokenizer_from is {chosen}, but {folder} holds no tokenizer.")
    return folder


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings that decide what weights compute, those of parts under dotted names; dropout is for training."""
    for key, value in settings.items():
        if key in _NO_FUNCTION or "dropout" in key or key.endswith("_pdrop"):
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value


def _other_texts(model: Path, base: Path) -> Iterator[str]:
    """What a model reads and writes otherwise: special tokens, chat template, tokenizer; in words."""
    if (model / CONFIG).is_file():
        for key in TOKENS:
            ours, theirs = _token(model, key), _token(base, key)
            if ours != theirs:
                yield f"{key} is {ours}, not {theirs}"
    for what, of in (("chat template", _chat_template), ("tokenizer", _tokenizer)):
        ours, theirs = of(model), of(base)
        if ours != theirs and (ours is not None or (model / CONFIG).is_file()):
            yield f"it has {'another' if ours and theirs else 'a' if ours else 'no'} {what}"


def _token(folder: Path, key: str) -> Any:
    return _content(folder, "generation_config.json").get(key, _content(folder, CONFIG).get(key))


def _chat_template(folder: Path) -> Any:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    other = _content(folder, "chat_template.json").get("chat_template")
    return other or _content(folder, "tokenizer_config.json").get("chat_template")


def _tokenizer(folder: Path) -> Any:
    """What a tokenizer is made from; ``None`` if there is none."""
    fast = {key: value for key, value in _content(folder, "tokenizer.json").items() if key not in _OF_A_CALL}
    slow = [(file.name, file.read_bytes()) for file in sorted(folder.glob("*.model")) if file.is_file()]
    return (fast, slow) if fast or slow else None


_OF_A_CALL = ("truncation", "padding")
"""What the last call of a tokenizer left in its file."""


def _compare_tokenizers(model: Path, base: Path) -> None:
    """Additions are fine; a token with two numbers, or a number with two tokens, is not."""
    ours, theirs = _vocabulary(model), _vocabulary(base)
    tokens = {number: token for token, number in theirs.items()}
    for token, number in ours.items():
        if theirs.get(token, number) != number or tokens.get(number, token) != token:
            raise InputError(
                f"the tokenizers of {model} and {base} differ: {token!r} has number {number} in the first. The same "
                "rows of their embeddings mean different tokens."
            )


def _vocabulary(folder: Path) -> dict[str, int]:
    """Token → number, from tokenizer.json; empty without one."""
    if not (folder / "tokenizer.json").is_file():
        return {}
    found = read_as(_Tokenizer, folder / "tokenizer.json")
    vocabulary = found.model.vocab if found.model else {}
    if isinstance(vocabulary, list):  # unigram
        vocabulary = {token: number for number, (token, _) in enumerate(vocabulary)}
    return {**vocabulary, **{token.content: token.id for token in found.added_tokens or ()}}


class _Token(BaseModel):
    id: int
    content: str


class _Model(BaseModel):
    vocab: dict[str, int] | list[tuple[str, float]] = {}
    """Numbers of tokens, or tokens with scores in the order of their numbers."""


class _Tokenizer(BaseModel):
    model: _Model | None = None
    added_tokens: list[_Token] | None = None


def _content(folder: Path, name: str) -> dict[str, Any]:
    """The object in a JSON file of a folder; empty without the file."""
    return read_json(folder / name) if (folder / name).is_file() else {}


def _equal(checkpoint: Checkpoint, one: str, other: str) -> bool:
    """Do two tensors of a checkpoint hold the same values? Read by rows, up to the first difference."""
    if checkpoint.shape(one) != checkpoint.shape(other) or checkpoint.dtype(one) != checkpoint.dtype(other):
        return False
    return all(map(torch.equal, *(checkpoint.pieces(name, chunk_bytes=2**20) for name in (one, other))))
