"""Lens against what the released functions made of synthetic tensors, and its toy run on the real instructions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness_ext.methods import lens
from harness_ext.methods.lens.space import LanguageSpace, from_means, lens_terms, retain_term, subspaces

LANGUAGES = ("en", "zh", "ja", "ko", "ar", "sw", "bn")


@pytest.fixture
def stored(golden: Path) -> Callable[[str], dict[str, torch.Tensor]]:
    """Return a function that reads the arrays of a golden file."""

    def read(name: str) -> dict[str, torch.Tensor]:
        with np.load(golden / "multilingual" / f"{name}.npz") as file:
            return {key: torch.tensor(file[key]) for key in file.files if file[key].dtype.kind == "f"}

    return read


@pytest.mark.parametrize(
    ("name", "rank", "length"), [("pair_en_zh", 1, 12.306355965352882), ("full7", 6, 11.680168072111)]
)
def test_subspaces_are_those_of_the_released_alignment(stored: Any, name: str, rank: int, length: float) -> None:
    golden = stored(f"lens_build_aligner_{name}_f64")
    specific, agnostic = subspaces(golden["W"], rank)
    projector = specific @ specific.T
    torch.testing.assert_close(projector, golden["P_s"], rtol=0, atol=1e-8)
    torch.testing.assert_close(agnostic, golden["wc"], rtol=0, atol=1e-8)
    assert agnostic.norm().item() == pytest.approx(length, rel=1e-12)
    torch.testing.assert_close(specific.T @ specific, torch.eye(rank, dtype=torch.float64), rtol=0, atol=1e-12)
    assert (specific.T @ agnostic).abs().max() < 1e-12


def test_a_lower_rank_leaves_what_its_singular_values_say(stored: Any) -> None:
    means = stored("lens_build_aligner_full7_f64")["W"]
    values = torch.linalg.svdvals(means - means.mean(1, keepdim=True))
    for rank in range(1, 7):
        specific, agnostic = subspaces(means, rank)
        rest = means - agnostic[:, None]
        rest = rest - specific @ (specific.T @ rest)
        assert rest.norm().item() == pytest.approx(values[rank:].pow(2).sum().sqrt().item(), abs=1e-9)


@pytest.mark.parametrize("name", ["pair", "multi7"])
def test_spaces_of_every_layer_are_those_of_the_released_probing(stored: Any, name: str) -> None:
    golden = stored(f"lens_probe_{name}_f32")
    languages = [language for language in LANGUAGES if f"emb_{language}" in golden]
    for layer in range(4):
        space = from_means(
            {language: golden[f"emb_{language}"][layer].double().mean(0) for language in languages}, None, {}
        )
        projector = space.specific @ space.specific.T
        torch.testing.assert_close(projector, golden["P_s"][layer].float(), rtol=0, atol=1e-6)
        torch.testing.assert_close(space.agnostic, golden["shared"][layer].float(), rtol=0, atol=1e-5)
        for language in languages:
            torch.testing.assert_close(
                space.delta[language], golden[f"delta_{language}"][layer].float(), rtol=0, atol=1e-5
            )


def test_losses_and_all_gradients_are_those_of_the_released_training(stored: Any) -> None:
    golden = stored("lens_loss_multi7")
    delta = {language: golden[f"delta_{language}"] for language in LANGUAGES}
    space = LanguageSpace(golden["spec"].T, golden["shared"], delta, {})
    states = {language: golden[f"h_{language}"].clone().requires_grad_() for language in LANGUAGES}
    before = {language: golden[f"ref_{language}"] for language in LANGUAGES}
    specific, agnostic = lens_terms(
        space,
        {language: own[:, -1] for language, own in states.items()},
        {language: own[:, -1] for language, own in before.items()},
        {},
    )
    retain = retain_term(states["en"].mean(1), before["en"].mean(1))
    rows = 2
    total = (retain + sum(specific.values()) + sum(agnostic.values())) / rows
    total.backward()
    assert total.item() == pytest.approx(20.361740, rel=1e-5)
    assert (retain / rows).item() == pytest.approx(golden["L_retain"].item(), rel=1e-5)
    for at, language in enumerate(LANGUAGES[1:]):
        assert (specific[language] / rows).item() == pytest.approx(golden["L_specific"][at].item(), rel=1e-5)
        assert (agnostic[language] / rows).item() == pytest.approx(golden["L_agnostic"][at].item(), rel=1e-5)
    for language, own in states.items():
        torch.testing.assert_close(own.grad, golden[f"grad_{language}"], rtol=0, atol=1e-6)


def test_the_toy_run_moves_every_language_along_its_way(
    mirror: Path, golden: Path, tmp_path: Path, store_toy: Any
) -> None:
    """Harmful instructions are left out: only the first hundred are read."""
    wanted = json.loads((golden / "multilingual/lens_toy.json").read_text())
    model = store_toy(tmp_path / "model")
    out = lens.apply(
        lens.Config(
            model=str(model), out=str(tmp_path / "out"), languages=LANGUAGES[1:], train_subset="benign", epochs=2,
            lr=3e-3, seed=0,
        )
    )  # fmt: skip
    record = json.loads((out / "method.json").read_text())
    notes = record["notes"]
    specific = [f"specific_{language}" for language in LANGUAGES[1:]]
    first, last = (sum(notes[f"{name}_{when}"] for name in specific) for when in ("first", "last"))
    assert notes["total_steps"] == 26  # 13 an epoch: the last step of one holds the rows that are left
    assert last < 0.3 * first
    assert wanted["after"]["specific"] < 0.3 * wanted["before"]["specific"]
    changed = {name for name, entry in record["tensors"].items() if entry["changed"]}
    assert changed == {name for name in record["tensors"] if name.startswith(("model.layers.2.", "model.layers.3."))}
    assert len(changed) == 18
    assert (out / "language_space.safetensors").is_file()
