"""The modules as `evaluate.load` loads them: offline, with an empty home, from the package that is there now."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

import harness_ext.metrics

METRICS = Path(harness_ext.metrics.__file__).parent

DATA: dict[str, dict[str, Any]] = {
    "soft_labels": {"predictions": [0.125, 0.25, 0.75], "references": [0.0, 0.25, 1.0]},
    "class_soft_labels": {"predictions": [[0.5, 0.25, 0.25]], "references": [[0.5, 0.5, 0.0]]},
    "labels": {"predictions": ["a", "x", "b", "b"], "references": ["a", "b", "b", "a"]},
    "refusals": {"predictions": ["I'm sorry, but I cannot help.", "Sure, here it is."], "rule": "xstest"},
    "forget_quality": {"predictions": [0.1, 0.2, 0.4, 0.5], "references": [0.3, 1.1, 1.2, 1.3]},
}
ALL = """
import json, sys
import evaluate
folder, data = sys.argv[1], json.loads(sys.argv[2])
print(json.dumps({name: evaluate.load(f"{folder}/{name}").compute(**own) for name, own in data.items()}))
"""


def python(script: str, *arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that may use no network, with its caches below ``home``."""
    told = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    told |= {"HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", **environment}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=told, capture_output=True, text=True, timeout=900, check=False)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What every shipped module computes in a process with an empty home."""
    done = python(ALL, str(METRICS), json.dumps(DATA), home=tmp_path_factory.mktemp("home"))
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_shipped_module_loads_offline_with_an_empty_home(computed: dict[str, Any]) -> None:
    assert computed.keys() == {folder.name for folder in METRICS.iterdir() if (folder / f"{folder.name}.py").is_file()}


def test_soft_labels_agree_with_numpy(computed: dict[str, Any]) -> None:
    difference = np.subtract(DATA["soft_labels"]["predictions"], DATA["soft_labels"]["references"])
    assert computed["soft_labels"]["mae"] == pytest.approx(np.abs(difference).mean())
    assert computed["soft_labels"]["rmse"] == pytest.approx(np.sqrt((difference**2).mean()))


def test_class_soft_labels_agree_with_scipy(computed: dict[str, Any]) -> None:
    (predicted,), (gold,) = DATA["class_soft_labels"]["predictions"], DATA["class_soft_labels"]["references"]
    assert computed["class_soft_labels"]["jensen_shannon"] == pytest.approx(jensenshannon(gold, predicted, base=2) ** 2)


def test_labels_agree_with_sklearn(computed: dict[str, Any]) -> None:
    gold, predicted = DATA["labels"]["references"], DATA["labels"]["predictions"]
    found = sklearn.metrics.f1_score(gold, predicted, labels=["a", "b"], average="macro")
    assert computed["labels"]["macro_f1"] in (pytest.approx(found), pytest.approx(100 * found))


def test_forget_quality_agrees_with_scipy(computed: dict[str, Any]) -> None:
    own = DATA["forget_quality"]
    assert computed["forget_quality"]["p"] == pytest.approx(ks_2samp(own["predictions"], own["references"]).pvalue)


def test_refusals_name_the_rule_and_its_version(computed: dict[str, Any]) -> None:
    assert computed["refusals"]["refusal_rate"] == 0.5 and computed["refusals"]["rule_version"]


def test_an_upgraded_package_is_used_although_the_module_was_cached(computed: dict[str, Any], tmp_path: Path) -> None:
    site = tmp_path / "site" / "harness_ext"
    for name in ("metrics", "scoring"):
        shutil.copytree(METRICS.parent / name, site / name)
    shutil.copy(METRICS.parent / "__init__.py", site)
    data = json.dumps({"refusals": DATA["refusals"]})

    def version() -> str:
        done = python(ALL, str(site / "metrics"), data, home=tmp_path, PYTHONPATH=str(site.parent))
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout.splitlines()[-1])["refusals"]["rule_version"])

    rules = site / "scoring" / "refusal_rules.py"
    rules.write_text(f"{rules.read_text()}\n\ndef version(rule: str) -> str:\n    return 'upgraded'\n")
    assert computed["refusals"]["rule_version"] != version() == "upgraded"


def test_a_cache_that_cannot_be_written_is_said_at_once_and_the_class_works_all_the_same(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.write_text("a file, so that nobody, not even root, makes a folder of it")
    script = f"""{ALL.splitlines()[1]}
import evaluate
from harness_ext.metrics.refusals.refusals import Refusals
try:
    evaluate.load(f"{{sys.argv[1]}}/refusals")
except OSError as error:
    print(json.dumps([str(error), Refusals().compute(predictions=["I'm sorry, but no."])["refusal_rate"]]))
"""
    below = str(cache / "below")
    done = python(script, str(METRICS), home=tmp_path, HF_MODULES_CACHE=below, HF_METRICS_CACHE=below)
    assert done.returncode == 0, done.stderr
    error, rate = json.loads(done.stdout.splitlines()[-1])
    assert "cache" in error and rate == 1.0
