"""Task vectors in memory: peft as the reference where it defines the same thing, sorting for thresholds."""

from __future__ import annotations

import warnings

import numpy as np
import peft.utils.merge_utils as peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness_ext.errors import InputError
from harness_ext.methods import deltas
from harness_ext.methods.deltas import keep_mask

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9)
WEIGHTS = [1.0, 0.3, -0.7, 2.0]


def random_taus(seed: int, shape: tuple[int, ...], models: int) -> list[torch.Tensor]:
    """Values of distinct magnitude within a tensor: peft does not say which of equal ones it keeps."""
    generator = torch.Generator().manual_seed(seed)
    entries = int(np.prod(shape))
    magnitudes = [torch.randperm(4 * entries, generator=generator)[:entries] + 1.0 for _ in range(models)]
    signs = [torch.randint(0, 2, (entries,), generator=generator) * 2.0 - 1 for _ in range(models)]
    return [(m * s / 1000).reshape(shape) for m, s in zip(magnitudes, signs, strict=True)]


@given(seed=st.integers(0, 2**32), shape=SHAPES, models=st.integers(1, 4))
def test_task_arithmetic_is_pefts_to_the_last_bit(seed: int, shape: tuple[int, ...], models: int) -> None:
    taus, weights = random_taus(seed, shape, models), WEIGHTS[:models]
    assert torch.equal(deltas.task_arithmetic(taus, weights), peft.task_arithmetic(taus, torch.tensor(weights)))


@given(
    seed=st.integers(0, 2**32),
    shape=SHAPES,
    models=st.integers(1, 4),
    density=st.sampled_from([0.1, 0.2, 0.29, 0.5, 0.8, 0.9, 1.0]),
    elect=st.sampled_from(["total", "frequency"]),
)
def test_ties_is_pefts_to_the_last_bit(
    seed: int, shape: tuple[int, ...], models: int, density: float, elect: deltas.Elect
) -> None:
    taus, weights = random_taus(seed, shape, models), WEIGHTS[:models]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The density")
        expected = peft.ties(taus, torch.tensor(weights), density, elect)
    assert torch.equal(deltas.ties(taus, weights, density, elect), expected)


@given(seed=st.integers(0, 2**32), shape=SHAPES, elect=st.sampled_from(["total", "frequency"]))
def test_dare_ties_is_pefts_to_the_last_bit(seed: int, shape: tuple[int, ...], elect: deltas.Elect) -> None:
    taus, weights = random_taus(seed, shape, 3), WEIGHTS[:3]
    torch.manual_seed(seed)
    expected = peft.dare_ties(taus, torch.tensor(weights), 0.5, elect)
    torch.manual_seed(seed)  # peft's masks, drawn in the same order
    keeps = [torch.bernoulli(torch.full(shape, 0.5)) for _ in taus]
    assert torch.equal(deltas.dare_ties(taus, keeps, weights, 0.5, elect), expected)


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.9])
def test_dare_rescales_what_it_keeps_as_peft_does(drop: float) -> None:
    (tau,) = random_taus(0, (50, 4), 1)
    torch.manual_seed(0)
    expected = peft.prune(tau, 1 - drop, "random", rescale=True)
    torch.testing.assert_close(deltas.dare(tau, expected != 0, drop), expected)


def test_more_than_four_models_agree_with_peft_up_to_its_order_of_summation() -> None:
    taus = random_taus(0, (1000003,), 9)
    weights = [0.1 * (number + 1) for number in range(9)]
    found, expected = deltas.task_arithmetic(taus, weights), peft.task_arithmetic(taus, torch.tensor(weights))
    assert (found != expected).float().mean() < 1e-4
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=60), st.data())
def test_the_threshold_is_that_of_sorting(values: list[float], data: st.DataObject) -> None:
    copies = data.draw(st.integers(1, 4))
    many = torch.tensor(values * copies)
    near = torch.cat([many, torch.nextafter(many, torch.tensor(torch.inf)), torch.nextafter(many, torch.tensor(0.0))])
    keep = data.draw(st.integers(1, near.numel()))
    cut = data.draw(st.integers(0, near.numel()))
    expected = near.abs().sort(descending=True).values[keep - 1].item()
    assert deltas.magnitude_threshold([near[:cut], near[cut:]], keep) == expected
    wide = near.double() + torch.finfo(torch.float32).eps / 2**20
    expected = wide.abs().sort(descending=True).values[keep - 1].item()
    assert deltas.magnitude_threshold([wide[:cut].numpy(), wide[cut:].numpy()], keep) == expected


def test_a_threshold_of_more_entries_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="4 entries are to be kept, but there are only 3"):
        deltas.magnitude_threshold([torch.ones(3)], 4)


@given(
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.0, -2.0]), min_size=1, max_size=40),
    st.floats(0, 1),
    st.integers(1, 7),
)
def test_trimming_keeps_the_earlier_of_equal_magnitudes_in_pieces_of_any_size(
    values: list[float], density: float, size: int
) -> None:
    tau = torch.tensor(values)
    first = np.argsort(-tau.abs().numpy(), kind="stable")[: int(density * len(values))]
    expected = torch.zeros_like(tau)
    expected[first] = tau[first]
    pieces = list(deltas.trimmed(tau.split(size), density, len(values)))
    assert torch.equal(torch.cat(pieces), expected)
    assert torch.equal(deltas.trim(tau.numpy(), density), expected)


def test_a_global_threshold_is_one_over_all_tensors() -> None:
    taus = [
        {"b": torch.tensor([5.0, 1.0]), "a": torch.tensor([4.0, 3.0, 2.0])},
        {"a": torch.zeros(3), "b": torch.zeros(2)},
    ]
    merged = deltas.ties_global(taus, None, 0.4)
    assert {name: value.tolist() for name, value in merged.items()} == {"a": [4.0, 0.0, 0.0], "b": [5.0, 0.0]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: deltas.task_arithmetic([t, t], [1.0]), "2 task vectors and 1 weights"),
        (lambda t: deltas.task_arithmetic([], []), "0 task vectors"),
        (lambda t: deltas.ties([t, t[:1]], [1.0, 1.0], 0.5), "shapes"),
        (lambda t: deltas.trim(t, 1.5), "density is 1.5"),
        (lambda t: deltas.trim(t, float("nan")), "density is nan"),
        (lambda t: deltas.dare(t, t > 0, 1.0), "drop is 1.0"),
        (lambda t: deltas.dare(t, t[:1] > 0, 0.5), "the mask has shape"),
        (lambda t: deltas.ties_global([{"a": t}, {"b": t}], None, 0.5), "the same tensors"),
        (lambda t: deltas.ties_global([{"a": t}], [0.5], 0.5, compat="mergelm"), "neither weights nor"),
    ],
)
def test_what_cannot_be_merged_is_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=message):
        call(torch.tensor([1.0, -2.0, 3.0]))


@given(st.integers(0, 2**63), st.text(max_size=10), st.integers(0, 200), st.integers(0, 200), st.floats(0, 0.99))
def test_a_mask_depends_on_the_place_in_the_tensor_only(seed: int, name: str, a: int, b: int, drop: float) -> None:
    start, stop = sorted((a, b))
    assert torch.equal(keep_mask(seed, name, start, stop, drop), keep_mask(seed, name, 0, 200, drop)[start:stop])


def test_masks_keep_the_share_they_should_and_differ_between_names_and_seeds() -> None:
    masks = [keep_mask(seed, name, 0, 100_000, 0.7) for seed, name in ((0, "a"), (0, "b"), (1, "a"))]
    for mask in masks:
        assert abs(mask.double().mean().item() - 0.3) < 0.01  # seven standard deviations
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs((masks[one] & masks[other]).double().mean().item() - 0.09) < 0.01
