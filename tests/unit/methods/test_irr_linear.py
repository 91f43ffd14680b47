"""IRR in one linear layer: what must hold for any numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.errors import InputError
from harness_ext.methods.irr import hessian, inverse_factor, prune_delta


def layer(seed: int, rows: int = 4, columns: int = 9) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Delta, safety vector, Fisher scores and Hessian of a random layer, with zeros and one dead column."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 12, columns, generator=draw, dtype=torch.float64)
    x[:, :, seed % columns] = 0
    delta = torch.randn(rows, columns, generator=draw, dtype=torch.float64)
    delta[torch.rand(rows, columns, generator=draw) < 0.1] = 0
    safety = torch.randn(rows, columns, generator=draw, dtype=torch.float64)
    return delta, safety, torch.rand(rows, columns, generator=draw, dtype=torch.float64), hessian(x)


seeds = st.integers(0, 2**32)
blocks = st.integers(1, 12)


@given(seeds, blocks, st.booleans())
def test_the_variant_more_without_retention_leaves_nothing(seed: int, block: int, recalibrate: bool) -> None:
    pruned = prune_delta(*layer(seed), block=block, recalibrate=recalibrate, variant="more")
    assert not pruned.delta.any()
    assert pruned.removed == pruned.delta.numel()


@given(seeds, blocks, st.sampled_from(["irr", "more", "no_sign", "random"]))
def test_full_retention_changes_dead_columns_only(seed: int, block: int, variant: Any) -> None:
    delta, *others = layer(seed)
    pruned = prune_delta(delta, *others, retain=1.0, block=block, variant=variant)
    expected = delta.clone()
    expected[:, seed % delta.shape[1]] = 0
    assert torch.equal(pruned.delta, expected)
    assert pruned.removed == 0


@given(seeds, st.integers(9, 50), st.floats(0, 1), st.sampled_from(["irr", "more", "no_sign"]))
def test_a_block_wider_than_the_layer_is_the_layer(seed: int, block: int, retain: float, variant: Any) -> None:
    wide, exact = (prune_delta(*layer(seed), retain=retain, block=b, variant=variant).delta for b in (block, 9))
    assert torch.equal(wide, exact)


@given(seeds, blocks, st.floats(0, 1), st.sampled_from(["irr", "more", "no_sign", "random"]))
def test_no_delta_stays_no_delta(seed: int, block: int, retain: float, variant: Any) -> None:
    delta, *others = layer(seed)
    assert not prune_delta(torch.zeros_like(delta), *others, retain=retain, block=block, variant=variant).delta.any()


@given(seeds, st.integers(0, 8))
def test_one_removed_entry_is_made_up_for_as_least_squares_would(seed: int, column: int) -> None:
    """With one row and one removed column j, later columns minimise the error of the output under the damped H."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(20, 9))
    delta = draw.normal(size=9)
    safety = np.sign(delta)
    safety[column] *= -1
    h = hessian(torch.tensor(x)[None])
    pruned = prune_delta(
        torch.tensor(delta)[None], torch.tensor(safety)[None], torch.ones(1, 9), h, block=9, percdamp=0.01
    )
    damped = h.numpy() + 0.01 * h.diagonal().mean().item() * np.eye(9)
    expected = delta.copy()
    expected[column] = 0
    later = slice(column + 1, 9)
    expected[later] += np.linalg.solve(damped[later, later], damped[later, column] * delta[column])
    np.testing.assert_allclose(pruned.delta[0], expected, atol=1e-9)
    assert (pruned.removed, pruned.mismatched) == (1, 1)


@given(seeds, st.floats(0, 1))
def test_the_random_control_removes_as_many_entries_as_irr_and_repeats_itself(seed: int, retain: float) -> None:
    def prune(variant: Any, seed_of_mask: int) -> Any:
        generator = torch.Generator().manual_seed(seed_of_mask)
        return prune_delta(
            *layer(seed), retain=retain, block=4, recalibrate=False, variant=variant, generator=generator
        )

    control = prune("random", 1)
    assert control.removed == prune("irr", 1).removed
    assert torch.equal(control.delta, prune("random", 1).delta)


def test_the_lowest_fisher_scores_among_the_mismatched_are_kept() -> None:
    delta, safety = torch.ones(1, 4), torch.tensor([[-1.0, -1.0, -1.0, 1.0]])
    scores = torch.tensor([[3.0, 1.0, 2.0, 9.0]])
    pruned = prune_delta(delta, safety, scores, torch.eye(4), retain=0.4, recalibrate=False)
    assert pruned.delta.tolist() == [[0, 1, 0, 1]]


def test_zeros_count_as_mismatched_with_signs() -> None:
    delta, safety = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    assert prune_delta(delta, safety, torch.ones(1, 3), torch.eye(3)).mismatched == 2


def test_a_hessian_that_is_not_positive_definite_gets_more_damping_and_says_so() -> None:
    indefinite = torch.tensor([[1.0, 5.0], [5.0, 1.0]])
    assert prune_delta(torch.ones(1, 2), -torch.ones(1, 2), torch.ones(1, 2), indefinite).percdamp == 10
    with pytest.raises(InputError, match="not positive definite, not even with percdamp 10;"):
        inverse_factor(torch.tensor([[1.0, 100.0], [100.0, 1.0]]), 0.01)


def test_inputs_are_not_changed() -> None:
    tensors = layer(3)
    copies = [tensor.clone() for tensor in tensors]
    prune_delta(*tensors, retain=0.3, block=4)
    assert all(map(torch.equal, tensors, copies))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retain": 1.5}, "retain is 1.5"),
        ({"retain": float("nan")}, "retain is nan"),
        ({"block": 0}, "block is 0"),
        ({"variant": "less"}, "variant is 'less'"),
        ({"percdamp": 0.0}, "percdamp is 0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prune_delta(*layer(0), **settings)


@pytest.mark.parametrize(("which", "name"), list(enumerate(["delta", "safety_vector", "fisher", "H"])))
def test_nan_and_wrong_shapes_are_refused_by_name(which: int, name: str) -> None:
    broken = list(layer(0))
    broken[which] = torch.full_like(broken[which], float("nan"))
    with pytest.raises(InputError, match=f"{name} has an entry that is NaN"):
        prune_delta(*broken)
    broken[which] = broken[which][:-1]
    with pytest.raises(InputError, match="shapes"):
        prune_delta(*broken)


def test_a_hessian_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no calibration sequence"):
        hessian([])
