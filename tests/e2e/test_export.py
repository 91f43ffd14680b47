"""Records in the form that Every Eval Ever itself asks for: its schemas come from its wheel, which is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app

RESULTS = Path(__file__).parents[1] / "unit" / "results"
WHEEL = "every-eval-ever==0.3.0"  # MIT


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The schemas by the first word of their names."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--python-version", "3.12"]
    subprocess.run([*command, "--only-binary=:all:", "-d", str(folder), WHEEL], check=True, capture_output=True)
    (file,) = folder.iterdir()
    with zipfile.ZipFile(file) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(".schema.json")]
        return {Path(name).name.split(".")[0]: json.loads(wheel.read(name)) for name in names}


@pytest.mark.parametrize("run", ["lm_eval_results/0.4.3", "lm_eval_results/0.4.13", "table_results/mbtibench_dummy"])
def test_every_record_and_sample_row_is_valid(run: str, schemas: Mapping[str, Any], tmp_path: Path) -> None:
    command = ["export", str(RESULTS / run), "--to", "every-eval-ever", "--organization", "lab", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, [*command, "--show-samples"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    records, lines = list(tmp_path.rglob("*.json")), list(tmp_path.rglob("*.jsonl"))
    assert records and (lines or run.startswith("table_results"))
    for file in records:
        jsonschema.validate(json.loads(file.read_text()), schemas["eval"])
    for file in lines:
        for line in file.read_text().splitlines():
            jsonschema.validate(json.loads(line), schemas["instance_level_eval"])
