"""What the methods say about their own parts, measured inside the models: errors of outputs, likelihoods, sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safety_arms import PATCHING
from safety_models import is_linear
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness_ext.methods.importance import snip
from harness_ext.methods.irr import prune_delta
from harness_ext.methods.safepatching import patch_tensor
from harness_ext.methods.training.loop import TrainingConfig, train
from harness_ext.methods.training.objective import answer_nll, answer_tokens, nll_of
from harness_ext.methods.training.rows import Row, pad, token_rows

Tensors = dict[str, torch.Tensor]


def mechanics(models: Mapping[str, Path], seed: int) -> dict[str, float]:
    """All numbers of one seed, by name."""
    return {**recalibration(models), **patches(models, seed)}


def recalibration(models: Mapping[str, Path]) -> dict[str, float]:
    """Output error ‖X(δ' - δ)ᵀ‖ of every linear with recalibration, as a share of the error without.

    All columns are one block: both see the same mask. Without retention the Fisher scores decide nothing.
    """
    finetuned, aligned, unaligned = (_model(models[name]) for name in ("finetuned", "aligned", "unaligned"))
    hessians = _hessians(finetuned, _rows(models["calib_data"], models["aligned"]))
    with_, without = [], []
    for name, hessian in hessians.items():
        base = aligned.get_parameter(name).detach()
        delta = finetuned.get_parameter(name).detach() - base
        vector = base - unaligned.get_parameter(name).detach()
        for errors, recalibrate in ((with_, True), (without, False)):
            pruned = prune_delta(
                delta, vector, torch.ones_like(delta), hessian, block=delta.shape[1], recalibrate=recalibrate
            )
            change = (pruned.delta - delta).double()
            errors.append(float((change @ hessian.double() * change).sum().sqrt()))
    ratios = [one / other for one, other in zip(with_, without, strict=True)]
    return {"recalibrated_error_median": median(ratios), "recalibrated_error_max": max(ratios)}


def patches(models: Mapping[str, Path], seed: int) -> dict[str, float]:
    """Mean NLL of the harmful answers, in nats a token, before and after every patch; and how the sets overlap."""
    rows = _rows(models["harmful_data"], models["overrefusing"])
    base = _model(models["overrefusing"])
    theta = {name: tensor.detach().clone() for name, tensor in base.named_parameters() if is_linear(name)}

    def nll(change: Callable[[str], torch.Tensor]) -> float:
        base.load_state_dict({name: theta[name] + change(name) for name in theta}, strict=False)
        with torch.no_grad():
            return float(answer_nll(base, pad(rows)).sum()) / answer_tokens(pad(rows))

    se, s_se = _derive(models["overrefusing"], theta, rows, -1, seed)
    osm, s_osm = _derive(models["overrefusing"], theta, rows, 1, seed)
    generator = torch.Generator().manual_seed(seed)

    def patched(mode: Any, alpha: float, beta: float) -> Callable[[str], torch.Tensor]:
        def change(name: str) -> torch.Tensor:
            new, counts = patch_tensor(
                theta[name], se[name], osm[name], s_se[name], s_osm[name], None, None,
                a=PATCHING["a"], b=PATCHING["b"], alpha=alpha, beta=beta, mode=mode,
            )  # fmt: skip
            overlaps.append(counts["both"])
            return new - theta[name]

        return change

    def random_entries(patch: Tensors, like: Callable[[str], torch.Tensor]) -> Callable[[str], torch.Tensor]:
        def change(name: str) -> torch.Tensor:
            wanted = int((like(name) != 0).sum())
            chosen = torch.randperm(patch[name].numel(), generator=generator)[:wanted]
            mask = torch.zeros(patch[name].numel(), dtype=torch.bool)
            mask[chosen] = True
            return patch[name] * mask.view(patch[name].shape)

        return change

    overlaps: list[int] = []
    found = {
        "nll_model": nll(lambda name: torch.zeros_like(theta[name])),
        "nll_ascent": nll(lambda name: se[name]),
        "nll_descent": nll(lambda name: osm[name]),
        "nll_safety_patch": nll(patched("difference", 1.0, 0.0)),
        "nll_over_safety_patch": nll(patched("difference", 0.0, 1.0)),
        "nll_difference": nll(patched("difference", 1.0, 1.0)),
    }
    found["overlap"] = float(sum(overlaps))
    return {
        **found,
        "nll_intersection": nll(patched("intersection", 1.0, 1.0)),
        "nll_all": nll(patched("all", 1.0, 1.0)),
        "nll_random_safety": nll(random_entries(se, patched("difference", 1.0, 0.0))),
        "nll_random_over_safety": nll(random_entries(osm, patched("difference", 0.0, 1.0))),
    }


def _derive(folder: Path, theta: Tensors, rows: Sequence[Row], sign: int, seed: int) -> tuple[Tensors, Tensors]:
    """A patch and its scores: descent for sign 1, ascent for -1."""
    model = _model(folder)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in theta)

    config = TrainingConfig(
        steps=PATCHING["steps"],
        learning_rate=PATCHING["lr"],
        batch_size=PATCHING["batch_size"],
        max_loss=100.0,
        seed=seed,
    )
    train(model, {"rows": rows}, config, objective=nll_of(rows=sign))
    scores = snip(model.eval(), (pad([row]) for row in rows), list(theta))
    return {name: model.get_parameter(name).detach() - theta[name] for name in theta}, scores


def _hessians(model: Any, rows: Sequence[Row]) -> Tensors:
    """2/n Σ XᵀX of the inputs of every linear."""
    sums: Tensors = {}

    def collect(name: str) -> Callable[..., None]:
        def hook(_module: Any, inputs: tuple[torch.Tensor, ...], _output: Any) -> None:
            x = inputs[0].reshape(-1, inputs[0].shape[-1])
            sums[name] = sums.get(name, torch.zeros(())) + x.T @ x * (2 / len(rows))

        return hook

    handles = [
        module.register_forward_hook(collect(f"{name}.weight"))
        for name, module in model.named_modules()
        if is_linear(f"{name}.weight")
    ]
    with torch.no_grad():
        for row in rows:
            model(torch.tensor([row["input_ids"]]))
    for handle in handles:
        handle.remove()
    return sums


def _model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def _rows(data: Path, model: Path) -> list[Row]:
    def pairs() -> Iterator[tuple[str, str]]:
        for line in data.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            yield record["prompt"], record["answer"]

    return token_rows(AutoTokenizer.from_pretrained(model), pairs())
