"""NaN and Inf are found wherever they stand, and nothing else is taken for them."""

from __future__ import annotations

import pytest
import torch

from harness_ext.methods.checkpoints.read import DTYPES, all_finite

FLOATS = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
ENTRIES = 2**16 + 3
"""More than are looked at together."""


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_bit_pattern_of_the_upper_half_is_judged_as_by_torch(dtype: torch.dtype) -> None:
    patterns = torch.arange(-(2**15), 2**15, dtype=torch.int16)
    if dtype.itemsize > 2:  # sign, exponent and the first bits of the fraction; the others are 0, then 1
        wide = {4: torch.int32, 8: torch.int64}[dtype.itemsize]
        upper = patterns.to(wide) << (8 * dtype.itemsize - 16)
        patterns = torch.cat([upper, upper | 1])
    values = patterns.view(dtype)
    expected = torch.isfinite(values)
    assert [all_finite(value) for value in values[::97]] == expected[::97].tolist()
    assert all_finite(values[expected])
    assert not any(all_finite(part) for part in values[~expected].split(1000))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 2**16 - 1, 2**16, ENTRIES - 1])
def test_one_value_is_found_at_every_place(place: int, value: float, dtype: torch.dtype) -> None:
    values = torch.full((ENTRIES,), -torch.finfo(dtype).max, dtype=dtype)
    assert all_finite(values)
    values[place] = value
    assert not all_finite(values)
    assert not all_finite(values.view(1, -1).t())


@pytest.mark.parametrize("dtype", sorted(set(DTYPES.values()) - set(FLOATS), key=str), ids=str)
def test_other_types_are_judged_by_torch(dtype: torch.dtype) -> None:
    assert all_finite(torch.zeros(3).to(dtype))


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (2, 0)])
def test_a_tensor_without_dimensions_or_entries_has_no_such_value(shape: tuple[int, ...]) -> None:
    assert all_finite(torch.ones(shape))


def test_nan_in_eight_bits_is_found() -> None:
    assert not all_finite(torch.tensor([1.0, float("nan")]).to(torch.float8_e4m3fn))
    assert not all_finite(torch.tensor([1.0, float("inf")]).to(torch.float8_e5m2))
