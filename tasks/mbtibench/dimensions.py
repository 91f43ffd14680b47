"""The four MBTI dimensions and the convention every number here follows: 0 is the first pole, 1 the second."""

from __future__ import annotations

from typing import NamedTuple

from harness_ext.errors import InputError
from harness_ext.scoring.soft_label_parsers import POLES


class Dimension(NamedTuple):
    """One dimension: letters and names of its two poles, first pole first."""

    name: str
    """As in the data: ``E/I``."""
    first: str
    second: str
    first_name: str
    second_name: str

    @property
    def poles(self) -> tuple[str, str]:
        """Letters of the first and the second pole."""
        return self.first, self.second

    @property
    def table(self) -> str:
        """Name of the dimension's table in the released SQLite files and the suffix of its tasks, upper case."""
        return self.first + self.second


DIMENSIONS = {
    name: Dimension(name, first, second, first_name, second_name)
    for name, ((first, first_name), (second, second_name)) in POLES.items()
}
"""By name, in the order of the paper's tables."""


def dimension_of(name: str) -> Dimension:
    """The dimension called ``name``.

    Raises:
        InputError: there is no such dimension.

    >>> dimension_of("J/P").second_name
    'Perceiving'
    """
    try:
        return DIMENSIONS[name]
    except KeyError:
        raise InputError(f"there is no MBTI dimension {name!r}; there are {', '.join(DIMENSIONS)}.") from None
