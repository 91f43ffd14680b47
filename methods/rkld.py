"""RKLD: distil towards what the model would say with the forgotten tokens held down (arXiv 2406.01983)."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any, Literal

import torch

from harness_ext.methods import losses
from harness_ext.methods.settings import Count, NotNegative, Positive, settings
from harness_ext.methods.training.finetuned import Run, trained, training_of
from harness_ext.methods.training.objective import Batch, Objective, answer_logits, nll_of, per_token, scored_tokens
from harness_ext.methods.training.reference import StoredTokens, still
from harness_ext.methods.training.unlearning import Unlearning, unlearned


@settings
class Config(Unlearning):
    """RKLD, published as RKLU (arXiv 2406.01983; NAACL 2025, long paper 60, section 3). Its own form has no retain set.

    With ``retain_data`` it is RKLU+RT (``retain_loss=nll``) or RKLU+KL (``retain_loss=kl``).
    """

    suppression: NotNegative = 8.0
    """How much of the logits' increase is subtracted, α (source: 8 for TOFU, 4 for Harry Potter). It depends on how
    saturated the model is: look at ``notes.increment_mean``; where that is small, 8 does next to nothing."""
    divergence: Literal["reverse", "forward"] = "reverse"
    """KL(model ‖ teacher), or KL(teacher ‖ model), the paper's ablation FKLU (source)."""
    augment_epochs: Count = 10
    """Epochs of the further training on the forget set that finds the increase (source: "10 in total" for TOFU; whether
    that counts the fine-tuning before is unclear)."""
    augment_lr: Positive | None = None
    """Its peak learning rate; null: ``lr``, as in the paper."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    divergence = losses.rkld if config.divergence == "reverse" else losses.fkld

    def forget(run: Run) -> Objective:
        teacher = suppressed(run, config)
        return per_token(
            "forget",
            lambda model, batch: divergence(answer_logits(model, batch), teacher(batch), reduction="sum"),
        )

    return unlearned("rkld", config, forget)


def suppressed(run: Run, config: Config) -> StoredTokens:
    """The teacher's logits: the model itself is trained further, asked, and put back as it was."""
    original = run.reference_logits("forget")
    increments: list[torch.Tensor] = []

    def teacher(model: Any, batch: Batch) -> torch.Tensor:
        before, after = original(batch), answer_logits(model, batch)
        increments.append((after - before).gather(-1, scored_tokens(batch)[:, None]))
        return losses.suppressed_teacher(before, after, config.suppression)

    tokens = StoredTokens(run.work.folder / "teacher", run.rows["forget"], run.vocabulary, teacher)
    if not run.work.finished("teacher"):
        own = {name: value for name, value in run.model.named_parameters() if value.requires_grad}
        if not run.work.finished("original"):
            run.work.finish("original", True, {name: value.detach().cpu() for name, value in own.items()})
        forget, folder = {"forget": run.rows["forget"]}, run.work.folder / "augmenting"
        rate = config.lr if config.augment_lr is None else config.augment_lr
        further = dataclasses.replace(config, epochs=config.augment_epochs, lr=rate, max_loss=None, keep="last")
        trained(run.model, forget, training_of(further, forget), nll_of(forget=1.0), folder, "augmenting")
        tokens.fill(run.model, config.batch_size, still)
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(run.work.read("original", name))
        gold = torch.cat(increments)
        run.work.finish("teacher", {"increment_mean": float(gold.mean()), "increment_max": float(gold.max())})
        shutil.rmtree(folder)
    run.notes |= run.work.finished("teacher")
    return tokens
