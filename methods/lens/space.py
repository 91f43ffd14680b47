"""The subspaces that languages differ in and share, from the mean hidden state of each (arXiv 2410.04407)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from harness_ext.errors import DataError, InputError
from harness_ext.methods.checkpoints.work_folder import write_whole

FILE = "language_space.safetensors"
_DELTA = "delta."
_ABOUT = "about"


def subspaces(means: torch.Tensor, rank: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The language-specific directions and the one vector that all languages share.

    The closed form of ``min |W - Ma 1ᵀ - Ms Gᵀ|`` with ``Ms`` orthonormal and orthogonal to ``Ma``: the leading left
    singular vectors of the centred means, and the part of their mean that is orthogonal to these.

    Args:
        means: one column a language, shape (hidden, languages).
        rank: columns of ``Ms``; languages less one by default.

    Returns:
        ``Ms``, shape (hidden, rank), and ``Ma``, shape (hidden,), in float64.

    Raises:
        InputError: fewer than two languages, or a rank that they do not have.

    >>> ms, ma = subspaces(torch.tensor([[1.0, 1.0], [2.0, -2.0], [0.0, 0.0]]))
    >>> ms.abs().squeeze().round(decimals=6).tolist(), ma.tolist()
    ([0.0, 1.0, 0.0], [1.0, 0.0, 0.0])
    """
    languages = means.shape[1]
    rank = languages - 1 if rank is None else rank
    if languages < 2 or not 0 < rank < languages:
        raise InputError(f"{languages} languages have subspaces of rank 1 to {languages - 1}, not {rank}.")
    centre = means.double().mean(1)
    left, _, _ = torch.linalg.svd(means.double() - centre[:, None], full_matrices=False)
    specific = left[:, :rank]
    return specific, centre - specific @ (specific.T @ centre)


class LanguageSpace(NamedTuple):
    """Where a model's languages differ and what they share, at one layer."""

    specific: torch.Tensor
    """``Ms``: orthonormal columns, shape (hidden, rank), float32."""
    agnostic: torch.Tensor
    """``Ma``: not of unit length, shape (hidden,), float32."""
    delta: Mapping[str, torch.Tensor]
    """For each language the way from the central one within the specific subspace, shape (hidden,)."""
    about: Mapping[str, Any]
    """Of which model, layer, pooling, texts and languages, the central one first."""

    def project(self, vectors: torch.Tensor) -> torch.Tensor:
        """The specific part of vectors, shape (…, hidden)."""
        own = self.specific.to(vectors)
        return vectors @ own @ own.T

    def along(self, vectors: torch.Tensor) -> torch.Tensor:
        """The agnostic part of vectors, shape (…, hidden)."""
        unit = (self.agnostic / self.agnostic.norm()).to(vectors)
        return (vectors @ unit)[..., None] * unit

    def save(self, file: Path) -> None:
        """Write the space, with what it is of, to a safetensors file."""
        tensors = {"Ms": self.specific, "Ma": self.agnostic, **{_DELTA + name: one for name, one in self.delta.items()}}
        whole = {name: tensor.float().contiguous() for name, tensor in tensors.items()}
        write_whole(file, whole, {_ABOUT: json.dumps(dict(self.about))})


def from_means(means: Mapping[str, torch.Tensor], rank: int | None, about: Mapping[str, Any]) -> LanguageSpace:
    """The space of mean hidden states by language, the central one first.

    >>> space = from_means({"en": torch.tensor([1.0, 2.0]), "zh": torch.tensor([1.0, -2.0])}, None, {})
    >>> space.delta["zh"].abs().tolist()
    [0.0, 4.0]
    """
    columns = torch.stack([mean.double() for mean in means.values()], dim=1)
    specific, agnostic = subspaces(columns, rank)
    within = specific @ (specific.T @ columns)
    delta = {name: (within[:, at] - within[:, 0]).float() for at, name in enumerate(means)}
    return LanguageSpace(specific.float(), agnostic.float(), delta, {**about, "languages": list(means)})


def load_space(path: str | Path, expected: Mapping[str, Any]) -> LanguageSpace:
    """A space that was saved, of the model and in the way that is expected.

    Raises:
        InputError: it is of another model, layer, pooling or other languages; the sentence names which.
        DataError: the file is missing or broken.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    try:
        with safe_open(file, framework="pt") as stored:
            about: dict[str, Any] = json.loads((stored.metadata() or {})[_ABOUT])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
        delta = {name.removeprefix(_DELTA): one for name, one in tensors.items() if name.startswith(_DELTA)}
        space = LanguageSpace(tensors["Ms"], tensors["Ma"], {name: delta[name] for name in about["languages"]}, about)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} is no language space ({error}). Give a folder that lens_space wrote.") from error
    for name, value in expected.items():
        if about.get(name) != value:
            raise InputError(f"{file} is of another {name}: {about.get(name)!r}, not {value!r}. Probe this model anew.")
    return space


def lens_terms(
    space: LanguageSpace,
    states: Mapping[str, torch.Tensor],
    before: Mapping[str, torch.Tensor],
    scale: Mapping[str, float],
    *,
    detach_central: bool = False,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The specific and the agnostic term of each language but the central one, a sum over rows.

    Args:
        space: of the unchanged model.
        states: language → the hidden state that each row is read at, shape (rows, hidden); the central one first.
        before: the same of the unchanged model.
        scale: language → λ, by which its way is scaled; 1 where it has none.
        detach_central: whether the central side of the agnostic term stays where it is.

    Returns:
        Language → the sum over rows of a mean of squares over dimensions: of what is missing of λ·delta in the specific
        subspace, and of the distance to the central language along the agnostic direction.
    """
    central = next(iter(states))
    middle = states[central].detach() if detach_central else states[central]
    specific, agnostic = {}, {}
    for language in list(states)[1:]:
        wanted = scale.get(language, 1.0) * space.delta[language].to(states[language])
        moved = space.project(states[language] - before[language])
        specific[language] = (moved - wanted).pow(2).mean(-1).sum()
        agnostic[language] = space.along(middle - states[language]).pow(2).mean(-1).sum()
    return specific, agnostic


def retain_term(now: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """How far the central language moved: a sum over rows of a mean of squares over dimensions.

    >>> retain_term(torch.ones(2, 4), torch.zeros(2, 4)).item()
    2.0
    """
    return (now - before).pow(2).mean(-1).sum()


def languages_of(space: LanguageSpace, wanted: Sequence[str]) -> None:
    """Refuse languages that a space does not have (InputError)."""
    if lost := [language for language in wanted if language not in space.delta]:
        raise InputError(f"the language space has no {lost[0]!r}; it has {', '.join(space.delta)}.")
