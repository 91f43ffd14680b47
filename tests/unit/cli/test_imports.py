"""A command imports what it uses: others would make everybody wait who only wants a table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RUNS = Path(__file__).parents[1] / "results" / "table_results"
HEAVY = {
    "torch", "transformers", "datasets", "lm_eval", "sklearn", "nltk", "rouge_score", "sacrebleu", "requests",
    "scipy.stats", "scipy.sparse", "scipy.special", "matplotlib",
}  # fmt: skip
PAGE = {"jinja2", "yaml"}
NUMBERS = {"numpy", "pandas", "pyarrow", "pydantic", "scipy"}

PROGRAM = """
import sys, json
from harness_ext.cli import main
sys.argv = ["harness-ext", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """The modules that a command has imported when it is done."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_the_help_imports_no_numbers() -> None:
    assert not imported("--help") & (HEAVY | PAGE | NUMBERS)


def test_the_page_of_tables_imports_its_template_and_no_model(tmp_path: Path) -> None:
    found = imported("table", str(RUNS), "--output", str(tmp_path / "page.html"))
    assert found >= PAGE and not found & HEAVY
