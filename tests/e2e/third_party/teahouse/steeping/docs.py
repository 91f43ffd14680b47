"""The teas."""

from pathlib import Path
from typing import Any

from datasets import Dataset

from harness_ext.data.choices import reads


@reads("unit")
def load(family: str, unit: str = "minutes", **_: Any) -> dict[str, Dataset]:
    """The teas of one family, with the answer in the unit that was asked for."""
    lines = (Path(__file__).parent / "teas.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split(",") for line in lines]
    factor = {"minutes": 1, "seconds": 60}[unit]
    return {
        "test": Dataset.from_list(
            [
                {"id": name, "tea": name, "unit": unit, "answer": float(minutes) * factor}
                for name, own, minutes in rows
                if own == family
            ]
        )
    }
