"""Numbers of the authors' IRR code, run on toy layers and on a two-layer Llama."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.importance import diagonal_fisher, snip
from harness_ext.methods.irr import TARGETS, Pruned, hessian, prune_delta, realign
from harness_ext.methods.layers.decoder import DecoderLayers
from harness_ext.methods.layers.fisher import layerwise_fisher
from harness_ext.methods.layers.loading import empty_model

VARIANTS = {"IRR": "irr", "IRR_wo_sign": "no_sign"}


@pytest.fixture
def toys(golden: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((golden / "safety/irr_toy.json").read_text())
    return loaded


def prune(toy: dict[str, Any], args: dict[str, Any], dtype: torch.dtype) -> tuple[Pruned, torch.Tensor]:
    x = torch.tensor(toy["X"], dtype=dtype)
    if args["dead"] is not None:
        x[:, :, args["dead"]] = 0
    delta, safety_vector, fisher = (torch.tensor(toy[key], dtype=dtype) for key in ("delta", "safety_vector", "fisher"))
    pruned = prune_delta(
        delta,
        safety_vector,
        fisher,
        hessian(x),
        retain=args["retain"],
        block=args["bs"],
        recalibrate=args["recal"],
        variant="more" if args["more"] else VARIANTS[args["method"]],
        percdamp=args["percdamp"],
    )
    return pruned, torch.linalg.norm(x @ (pruned.delta - delta).T)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 2e-6)])
@pytest.mark.parametrize("name", ["A", "B"])
def test_pruned_deltas_equal_the_authors(toys: Any, name: str, dtype: torch.dtype, tolerance: float) -> None:
    toy = toys[name]
    np.testing.assert_allclose(hessian(torch.tensor(toy["X"])).diagonal(), toy["H_diag_undamped"], rtol=1e-6)
    assert toy["cases"]
    for case in toy["cases"]:
        pruned, error = prune(toy, case["args"], dtype)
        np.testing.assert_allclose(pruned.delta, case["delta_out"], atol=tolerance, rtol=0, err_msg=str(case["args"]))
        assert (pruned.removed, int(pruned.delta.count_nonzero())) == (case["n_removed"], case["nonzero"])
        assert float(error) == pytest.approx(case["output_error"], abs=2e-5)
        assert pruned.percdamp == case["args"]["percdamp"]


def test_recalibration_lowers_the_output_error(toys: Any) -> None:
    recalibrated, plain = (prune(toys["A"], toys["A"]["cases"][case]["args"], torch.float64)[1] for case in (0, 1))
    assert recalibrated < plain


class TinyLlama:
    """Three checkpoints, their data, and the authors' numbers."""

    def __init__(self, golden: Path) -> None:
        folder = golden / "safety/tiny_llama"
        self.folder = folder
        self.data = json.loads((folder / "data.json").read_text())
        self.expected = json.loads((folder / "expected.json").read_text())
        self.arrays = np.load(folder / "expected.npz")

    def model(self, name: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(self.folder / name, attn_implementation="eager")

    def left_padded(self, rows: list[list[int]], length: int) -> dict[str, torch.Tensor]:
        ids = torch.full((len(rows), length), self.data["pad_id"])
        mask = torch.zeros_like(ids)
        for row, own in enumerate(rows):
            ids[row, length - len(own) :] = torch.tensor(own)
            mask[row, length - len(own) :] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def safe_batches(self) -> list[dict[str, torch.Tensor]]:
        batches = []
        for start in range(0, len(self.data["safe"]), self.data["batch_size"]):
            rows = self.data["safe"][start : start + self.data["batch_size"]]
            batch = self.left_padded([r["input_ids"] for r in rows], max(len(r["input_ids"]) for r in rows))
            labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
            for row, own in enumerate(rows):
                labels[row, : labels.shape[1] - len(own["input_ids"]) + own["prompt_len"]] = -100
            batches.append({**batch, "labels": labels})
        return batches

    def calibration(self) -> list[dict[str, torch.Tensor]]:
        length = self.data["seqlen"]
        return [self.left_padded([row[:length]], length) for row in self.data["calib"]]


@pytest.fixture
def tiny(golden: Path) -> TinyLlama:
    return TinyLlama(golden)


def read_by_layer(tiny: TinyLlama) -> dict[str, torch.Tensor]:
    """Fisher information of a model of which one layer is in memory at a time."""
    folder, device = tiny.folder / "aligned", torch.device("cpu")
    layers = DecoderLayers(empty_model(str(folder), device))
    targets = {index: list(layers.linears(index, ["q_proj", "v_proj"])) for index in range(len(layers))}
    return layerwise_fisher(layers, open_checkpoint(folder), tiny.safe_batches(), targets, device)


@pytest.mark.parametrize(
    "computed",
    [lambda tiny: diagonal_fisher(tiny.model("aligned"), tiny.safe_batches(), ["q_proj", "v_proj"]), read_by_layer],
    ids=["whole", "by layer"],
)
def test_the_fisher_information_equals_the_authors(
    tiny: TinyLlama, computed: Callable[[TinyLlama], dict[str, torch.Tensor]]
) -> None:
    fisher = computed(tiny)
    assert {name: float(values.sum()) for name, values in fisher.items()} == pytest.approx(
        tiny.expected["_base"]["fisher_sum"], rel=1e-6
    )
    for name, values in fisher.items():
        np.testing.assert_allclose(values, tiny.arrays[f"fisher|{name}"], atol=1e-6, rtol=0)


def test_snip_scores_equal_the_reference_however_samples_are_batched(tiny: TinyLlama) -> None:
    scores = snip(tiny.model("unaligned"), tiny.safe_batches(), list(TARGETS["full"]))
    assert {name: float(values.sum()) for name, values in scores.items()} == pytest.approx(
        tiny.expected["_base"]["snip_sum_unaligned"], rel=2e-6
    )
    name = "model.layers.1.mlp.down_proj.weight"
    np.testing.assert_allclose(scores[name], tiny.arrays[f"snip_unaligned|{name}"], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("include_padding", "trace"), [(True, 383.9923), (False, 335.9928)])
def test_the_hessian_of_a_layer_counts_padding_as_told(tiny: TinyLlama, include_padding: bool, trace: float) -> None:
    layers, calib = DecoderLayers(tiny.model("finetuned").eval()), tiny.calibration()
    states = [layers.embed(batch) for batch in calib]
    hessians = layers.hessians(0, calib, states, ["q_proj"], include_padding=include_padding)
    (found,) = hessians.values()
    assert float(found.trace()) == pytest.approx(trace, rel=1e-6)
    if include_padding:
        np.testing.assert_allclose(found, tiny.arrays["H|layer0.q_proj"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "case", ["lora_remove_all", "lora_retain05", "full_remove_all", "full_retain05_norecal", "full_retain03_bs16"]
)
def test_realigned_weights_equal_the_authors(tiny: TinyLlama, case: str) -> None:
    args, expected = tiny.expected[case]["args"], tiny.expected[case]
    aligned, unaligned = (tiny.model(name).state_dict() for name in ("aligned", "unaligned"))
    model = tiny.model("finetuned")
    before = {name: values.clone() for name, values in model.state_dict().items()}
    edits = realign(
        model,
        aligned,
        diagonal_fisher(tiny.model("aligned"), tiny.safe_batches(), list(TARGETS["full"])),
        {name: aligned[name] - unaligned[name] for name in aligned},
        tiny.calibration(),
        targets=args["target"],
        retain=args["retain"],
        block=args["bs"],
        recalibrate=bool(args["recal"]),
        variant=VARIANTS[args["method"]],
    )
    after = model.state_dict()
    assert [name for name in after if not torch.equal(after[name], before[name])] == expected["changed"]
    assert sorted(edits) == sorted(expected["changed"])
    for name in expected["changed"]:
        kept = after[name] - aligned[name]
        np.testing.assert_allclose(kept, tiny.arrays[f"{case}|{name}"], atol=2e-5, rtol=0)
        assert float(kept.norm()) == pytest.approx(expected["delta_fro"][name], abs=2e-5)
    with torch.no_grad():
        logits = model(torch.tensor([tiny.expected["_base"]["probe"]])).logits[0, -1]
    np.testing.assert_allclose(logits, expected["probe_logits"], atol=1e-4)
