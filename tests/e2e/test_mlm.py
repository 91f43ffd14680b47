"""Encoders through lm-eval's own command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from warm_python import python

from harness_ext.results.reading.runs import load_run

TOY_TASKS = Path(__file__).parent / "toy_tasks"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, store_tiny: Callable[..., Path]) -> Path:
    """A tiny random BERT that reads characters."""
    signs = [*"abcdefghijklmnopqrstuvwxyz0123456789.,:;?!'()[]-/"]
    vocabulary = ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>", *signs, *(f"##{sign}" for sign in signs)]
    pieces = models.WordPiece({piece: number for number, piece in enumerate(vocabulary)}, unk_token="<unk>")
    tokenizer = Tokenizer(pieces)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = {f"{name}_token": f"<{name}>" for name in ("pad", "unk", "cls", "sep", "mask")}
    own = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    return store_tiny(tmp_path_factory.mktemp("bert"), "BertForMaskedLM", own, max_position_embeddings=128)


def lm_eval(model: str, checkpoint: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    name, _, options = model.partition(",")
    settings = f"pretrained={checkpoint},{options}".rstrip(",")
    command = ["-m", "lm_eval", "run", "--model", name, "--model_args", settings, "--device", "cpu", *arguments]
    return python(*command, **environment)


def results(folder: Path) -> dict[str, dict[str, Any]]:
    (file,) = folder.rglob("results_*.json")
    content: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["results"]
    return content


def test_choices_and_whole_texts_are_scored(bert: Path, tmp_path: Path) -> None:
    tasks = ["--tasks", "mbtibench_zero_shot_ll_ei,toy_completion,toy_perplexity", "--include_path", str(TOY_TASKS)]
    sample = ["--metadata", '{"data": "sample"}', "--batch_size", "64", "--log_samples", "--output_path", str(tmp_path)]
    run = lm_eval("hf-mlm,pll=within_word_l2r", bert, *tasks, *sample, "--limit", "4")
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Scoring, one sequence a token: 100%" in run.stderr
    found = results(tmp_path)
    perplexities = load_run(tmp_path).tasks["toy_perplexity"]
    named = {"byte_perplexity_pll"}
    assert {metric for metric, _ in perplexities.rows} == named <= set(perplexities.aggregations)
    assert named <= set(perplexities.scores()["none"].items)
    assert {metric for metric, _ in load_run(tmp_path).tasks["toy_completion"].rows} >= {"acc"}
    assert found["mbtibench_zero_shot_ll_ei"]["parse_failure,none"] == 0.0
    assert found["mbtibench_zero_shot_ll_ei"]["entropy_nats,none"] > 0
    assert 0 <= found["toy_completion"]["acc,none"] <= 1
    assert found["toy_perplexity"]["byte_perplexity,none"] > 1


def test_generating_tasks_are_refused_before_anything_is_scored(bert: Path) -> None:
    tasks = "mbtibench_zero_shot_ll_ei,mbtibench_zero_shot_ei"
    run = lm_eval("hf-mlm", bert, "--tasks", tasks, "--metadata", '{"data": "sample"}', "--limit", "2")
    assert run.returncode != 0
    assert "cannot generate, as mbtibench_zero_shot_ei ask for" in run.stderr
    assert "Scoring" not in run.stderr


def test_hf_refuses_the_encoder_and_names_the_backend_for_it(bert: Path) -> None:
    run = lm_eval("hf", bert, "--tasks", "toy_completion", "--include_path", str(TOY_TASKS))
    assert run.returncode != 0
    assert "is a masked language model (bert)" in run.stderr.splitlines()[-1]
    assert "use --model hf-mlm" in run.stderr.splitlines()[-1]


def test_lm_eval_is_left_as_it_is_where_the_hook_is_switched_off(bert: Path) -> None:
    tasks = ["--tasks", "toy_completion", "--include_path", str(TOY_TASKS)]
    run = lm_eval("hf,prefix_token_id=2", bert, *tasks, HARNESS_EXT_AUTOLOAD="0")
    assert run.returncode == 0, run.stderr[-3000:]
