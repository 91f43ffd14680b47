"""Fine-tuning, gradient ascent and NPO on a tiny model: what gets likelier, what is written, and what a kill leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness_ext.methods import fine_tuning, gradient_ascent, npo
from harness_ext.methods.training.objective import answer_nll, answer_tokens
from harness_ext.methods.training.rows import load_tokenizer, pad, read_pairs, token_rows

LoadAll = Callable[[Path], dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def trio(store_trio: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_trio(tmp_path_factory.mktemp("trio"), layers=2)


def settings(trio: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return {
        "model": str(trio / "aligned"),
        "forget_data": str(trio / "safe.jsonl"),
        "out": str(out),
        "lr": 3e-3,
        "epochs": 6,
        "batch_size": 4,
        "accumulation": 1,
        **changes,
    }


def nll(model: Any, trio: Path, data: str) -> float:
    """Mean negative log-likelihood of an answer token."""
    file = trio / f"{data}.jsonl"
    batch = pad(token_rows(load_tokenizer(trio / "aligned"), read_pairs(file), source=file))
    with torch.no_grad():
        return float(answer_nll(model.eval(), batch).sum()) / answer_tokens(batch)


def nlls(folder: Path, trio: Path) -> dict[str, float]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return {data: nll(model, trio, data) for data in ("safe", "calib")}


def test_fine_tuning_makes_its_answers_likelier_and_trains_what_it_is_told(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    before = nlls(trio / "aligned", trio)
    given = settings(trio, tmp_path / "out", trained=("layers.1",))
    given["train_data"] = given.pop("forget_data")
    out = fine_tuning.apply(fine_tuning.Config(**given))
    assert nlls(out, trio)["safe"] < before["safe"] - 0.25  # of one layer out of two
    old, new = load_all(trio / "aligned"), load_all(out)
    assert {name for name in old if not torch.equal(old[name], new[name])} == {n for n in old if ".layers.1." in n}
    record = json.loads((out / "method.json").read_text())
    assert record["method"] == "fine_tuning"
    assert record["notes"]["loss_first"] == pytest.approx(before["safe"], rel=0.1)


def test_gradient_ascent_makes_what_it_forgets_less_likely(trio: Path, tmp_path: Path) -> None:
    before = nlls(trio / "aligned", trio)
    out = gradient_ascent.apply(gradient_ascent.Config(**settings(trio, tmp_path / "out")))
    assert nlls(out, trio)["safe"] > before["safe"] + 1
    notes = json.loads((out / "method.json").read_text())["notes"]
    assert notes["loss_first"] == pytest.approx(-before["safe"], rel=0.1)
    assert (notes["stopped"], notes["rows"], notes["steps"]) == ("steps", {"forget": 11}, 18)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_npo_with_retain_data_forgets_and_keeps(trio: Path, tmp_path: Path) -> None:
    before = nlls(trio / "aligned", trio)
    alone = npo.apply(npo.Config(**settings(trio, tmp_path / "alone", beta=0.5)))
    both = npo.apply(npo.Config(**settings(trio, tmp_path / "both", beta=0.5, retain_data=str(trio / "calib.jsonl"))))
    assert nlls(alone, trio)["safe"] > before["safe"] + 0.5
    assert nlls(alone, trio)["calib"] > before["calib"] + 0.5
    after = nlls(both, trio)
    assert after["safe"] > after["calib"] + 0.5
    assert after["calib"] < before["calib"]
    notes = json.loads((both / "method.json").read_text())["notes"]
    assert notes["forget_first"] == pytest.approx(2 / 0.5 * 0.693147, rel=1e-4)  # -(2/β) log σ(0): the model itself
    assert notes["retain_last"] < notes["retain_first"]


def test_gradient_ascent_stops_at_its_limit_and_says_so(trio: Path, tmp_path: Path) -> None:
    before = nlls(trio / "aligned", trio)["safe"]
    out = gradient_ascent.apply(gradient_ascent.Config(**settings(trio, tmp_path / "out", max_loss=before + 0.5)))
    notes = json.loads((out / "method.json").read_text())["notes"]
    assert (notes["stopped"], notes["epoch"]) == ("max_loss", None)
    assert notes["loss_last"] >= -before - 0.5
