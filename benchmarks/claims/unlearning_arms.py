"""Every method of unlearning with the settings that are tried on the invented authors.

Every method is tried with more than one learning rate: it matters as much as the method. RKLD's strength is tried, too,
and how often task arithmetic (TA) subtracts what fine-tuning on the forget set changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

EPOCHS = (3, 6, 10)
"""At whose ends a model is measured."""
AUGMENT = {"augment_epochs": 10, "augment_lr": 3e-4}


class Arm(NamedTuple):
    """A method with settings."""

    family: str
    """Its line in the table: the best of its arms stands for it."""
    method: str
    settings: dict[str, Any]
    retains: bool = False
    """Whether it is given the retain set."""


def arms() -> dict[str, Arm]:
    """Name → arm."""
    swept = ("lr", "suppression", "subtracted")
    return {
        " ".join([arm.family, *(f"{key}={arm.settings[key]}" for key in swept if key in arm.settings)]): arm
        for arm in _all()
    }


def _all() -> list[Arm]:
    mild, strong, strongest = (1.5e-4, 3e-4), (3e-4, 5e-4), (5e-4, 1e-3)
    refusals = {"refusals": "refusals.txt"}
    teacher = {"suppression": 64.0, **AUGMENT}
    early = {"layer": 1, "trained": ["layers.0.mlp.down_proj", "layers.1.mlp.down_proj"]}
    swept: list[tuple[str, str, tuple[float, float], dict[str, Any], bool]] = [
        ("GA", "gradient_ascent", mild, {}, False),
        ("NPO", "npo", mild, {}, False),
        ("RKLD", "rkld", strong, teacher, False),
        ("GradDiff", "graddiff", strong, {}, True),
        ("RKLD+RT", "rkld", strong, teacher, True),
        ("FKLD", "rkld", strong, {**teacher, "divergence": "forward"}, False),
        ("RKLD, α 8", "rkld", strong, {**teacher, "suppression": 8.0}, False),
        ("NPO+RT", "npo", strong, {}, True),
        ("GA+KL", "ga_kl", strong, {}, True),
        ("SimNPO+RT", "simnpo", strong, {}, True),
        ("DPO+RT", "dpo", strong, refusals, True),
        ("IDK", "idk", strong, refusals, True),
        ("UNDIAL", "undial", strongest, {}, False),
        ("WGA+RT", "wga", strong, {}, True),
        ("SatImp+RT", "satimp", strongest, {}, True),
        ("RMU", "rmu", (1e-3, 3e-3), early, True),
    ]
    return [
        Arm(family, method, {"lr": rates[place], **own}, retains)
        for place in (1, 0)
        for family, method, rates, own, retains in swept
    ] + [Arm("TA", "fine_tuning", {"lr": 3e-4, "subtracted": times}) for times in (2.5, 1.0)]
