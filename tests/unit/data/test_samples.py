"""Bundled samples are found by the name of their benchmark and by nothing else."""

from __future__ import annotations

import pytest

from harness_ext.data import load_sample
from harness_ext.errors import InputError


@pytest.mark.parametrize("bench", ["nothing", "", "..", "../eibench", "/etc", "mbtibench/../mbtibench"])
def test_a_name_without_a_sample_is_refused(bench: str) -> None:
    with pytest.raises(InputError, match="bundles no sample"):
        load_sample(bench)
