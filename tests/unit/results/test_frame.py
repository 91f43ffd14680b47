"""The documented columns are the columns."""

from pathlib import Path

from harness_ext.results.reading.frame import COLUMNS

DOCS = Path(__file__).parents[3] / "docs" / "results.md"


def test_the_documented_columns_are_those_of_the_schema() -> None:
    table = DOCS.read_text().partition("<!-- columns: begin -->")[2].partition("<!-- columns: end -->")[0]
    documented = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert tuple(documented) == COLUMNS
