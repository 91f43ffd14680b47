"""Safety methods as a user runs them: the command line, then lm-eval on what they wrote, then the table."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import warm_python

TASK = "safety_xstest"


def python(*command: str) -> subprocess.CompletedProcess[str]:
    done = warm_python.python(*command)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def apply(method: str, **settings: object) -> None:
    options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    python("-c", "from harness_ext.cli import main; main()", "method", "run", method, *options)


def score(model_args: str, results: Path) -> None:
    python(
        "-m", "lm_eval", "run", "--model", "hf", "--model_args", model_args, "--device", "cpu", "--tasks", TASK,
        "--metadata", '{"data": "sample"}', "--limit", "2", "--apply_chat_template", "--log_samples",
        "--output_path", str(results),
    )  # fmt: skip


@pytest.fixture(scope="module")
def trio(store_trio: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_trio(tmp_path_factory.mktemp("trio"), layers=2)


def test_irr_stands_in_a_table_with_its_base_the_fine_tuned_model_and_a_random_control(
    trio: Path, tmp_path: Path
) -> None:
    inputs = {
        "base": trio / "aligned",
        "finetuned": trio / "finetuned",
        "unaligned": trio / "unaligned",
        "safe_data": trio / "safe.jsonl",
        "calib_data": trio / "calib.jsonl",
        "targets": "full",
        "seqlen": 48,
    }
    counts = {}
    for name, variant in (("irr", "irr"), ("random-control", "random")):
        apply("irr", **inputs, variant=variant, recalibrate="false", block=10**6, out=tmp_path / name)
        tensors = json.loads((tmp_path / name / "method.json").read_text())["tensors"].values()
        counts[name] = sum(facts.get("removed", 0) for facts in tensors)
    assert counts["irr"] == counts["random-control"] > 0
    for model in (trio / "aligned", trio / "finetuned", tmp_path / "irr", tmp_path / "random-control"):
        score(f"pretrained={model}", tmp_path / "results")
    table = tmp_path / "table.md"
    python("-c", "from harness_ext.cli import main; main()", "table", str(tmp_path / "results"), "--output", str(table))
    for model in ("aligned", "finetuned", "irr (irr of aligned)", "random-control (irr of aligned)"):
        assert f"| {model} " in table.read_text(), table.read_text()


def test_safepatching_and_safe_lora_write_what_lm_eval_runs(trio: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    import transformers

    apply(
        "safepatching", model=trio / "aligned", harmful_data=trio / "safe.jsonl", steps=4, lr=1e-3, a=0.2, b=0.1,
        out=tmp_path / "patched",
    )  # fmt: skip
    assert json.loads((tmp_path / "patched/method.json").read_text())["total"]["changed_entries"] > 0
    model = transformers.AutoModelForCausalLM.from_pretrained(trio / "aligned")
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    peft.get_peft_model(model, lora).save_pretrained(tmp_path / "adapter")
    pair = {"base": trio / "unaligned", "aligned": trio / "aligned", "num_layers": 2}
    apply("safe_lora", **pair, adapter=tmp_path / "adapter", out=tmp_path / "safe-adapter")
    apply("safe_lora", **pair, adapter=trio / "finetuned", variant="full_delta", out=tmp_path / "projected")
    for number, model_args in enumerate(
        [
            f"pretrained={tmp_path / 'patched'}",
            f"pretrained={trio / 'aligned'},peft={tmp_path / 'safe-adapter'}",
            f"pretrained={tmp_path / 'projected'}",
        ]
    ):
        score(model_args, tmp_path / f"results-{number}")
        (file,) = (tmp_path / f"results-{number}").rglob("results_*.json")
        assert json.loads(file.read_text())["results"][TASK]
