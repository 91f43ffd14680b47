"""``token_scores`` of hf-prefix, and what ``harness-ext memorisation`` makes of them, against the model itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers
from lm_eval.api.instance import Instance
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import DataError, InputError
from harness_ext.models.prefix_lm import PrefixLM
from harness_ext.models.runs import switches

PAIRS = [("Name a town:", " Oxmoor</s>"), ("Name a town:", " Oxford</s>"), ("Name a", " river</s>")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate(["<s>", "</s>", *letters])}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=258,
        initializer_range=0.3,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def loaded(model: Path, **arguments: Any) -> PrefixLM:
    return PrefixLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=4, **arguments)


def test_every_token_of_every_continuation_is_kept(model: Path, tmp_path: Path) -> None:
    lm = loaded(model, token_scores=str(tmp_path / "scores"))
    requests = [Instance("loglikelihood", {}, pair, 0, ("toy", number, 1)) for number, pair in enumerate(PAIRS)]
    sums = lm.loglikelihood(requests, disable_tqdm=True)
    lines = [json.loads(line) for line in (tmp_path / "scores/token_scores_0.jsonl").read_text().splitlines()]
    assert len(lines) == len(PAIRS)
    for line in lines:
        context, continuation = PAIRS[line["doc_id"]]
        assert (line["task"], line["context"], line["continuation"]) == ("toy", context, continuation)
        ids = lm.tokenizer.encode(context + continuation)
        first = len(lm.tokenizer.encode(context))
        assert line["tokens"] == ids[first:]
        assert line["tokens"][-1] == lm.tokenizer.eos_token_id
        with torch.no_grad():
            logs = torch.log_softmax(lm.model(torch.tensor([ids])).logits[0, first - 1 : -1].double(), -1)
        own = logs[torch.arange(len(ids) - first), torch.tensor(ids[first:])]
        assert line["log_probs"] == pytest.approx(own.tolist(), abs=1e-4)
        assert line["hits"] == (logs.argmax(-1) == torch.tensor(ids[first:])).tolist()
        distribution = torch.distributions.Categorical(logits=logs)
        assert line["mean"] == pytest.approx((-distribution.entropy()).tolist(), abs=1e-4)
        variance = (logs.exp() * (logs - (logs.exp() * logs).sum(-1, keepdim=True)) ** 2).sum(-1)
        assert line["variance"] == pytest.approx(variance.tolist(), abs=1e-3)
        assert sum(line["log_probs"]) == pytest.approx(sums[line["doc_id"]][0], abs=1e-5)


def test_scores_do_not_change_the_answers(model: Path, tmp_path: Path) -> None:
    requests = [Instance("loglikelihood", {}, pair, 0, ("toy", number, 1)) for number, pair in enumerate(PAIRS)]
    plain = loaded(model).loglikelihood(requests, disable_tqdm=True)
    assert loaded(model, token_scores=str(tmp_path / "x")).loglikelihood(requests, disable_tqdm=True) == plain


@pytest.mark.parametrize("backend", ["hf", "local-completions", "replay"])
def test_a_backend_that_keeps_no_token_scores_is_refused_before_the_run(backend: str) -> None:
    given = {"model": backend, "model_args": "token_scores=scores", "tasks": ["tofu_forget10"]}
    with pytest.raises(InputError, match=f"{backend} keeps no scores of single tokens; take --model hf-prefix"):
        switches.check(given)


def test_a_folder_is_used_once_and_stored_answers_have_no_token_scores(model: Path, tmp_path: Path) -> None:
    loaded(model, token_scores=str(tmp_path / "scores"))
    with pytest.raises(InputError, match="is there already"):
        loaded(model, token_scores=str(tmp_path / "scores"))
    with pytest.raises(InputError, match="resume exclude each other"):
        loaded(model, token_scores=str(tmp_path / "other"), resume=str(tmp_path / "resume"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="token_scores"):
        loaded(model, token_scores=str(tmp_path / "file"))


def rows(path: Path, answers: list[str], prompt: str = "Name a town:") -> Path:
    path.write_text("".join(json.dumps({"prompt": prompt, "answer": answer}) + "\n" for answer in answers))
    return path


def test_the_command_measures_any_rows(model: Path, tmp_path: Path) -> None:
    forget = rows(tmp_path / "forget.jsonl", ["Oxmoor", "Averdale", "Vintry", "Stellmark"])
    holdout = rows(tmp_path / "holdout.jsonl", ["Teviot", "Harbourne", "Kesselholm", "Low Ansty"])
    arguments = ["memorisation", str(model), str(forget), "--model-args", "dtype=float32,device=cpu", "--json"]
    told = CliRunner().invoke(app, [*arguments, "--holdout", str(holdout), "--reference-auc", "0.5"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout[told.stdout.index("{") :])
    assert found["n"] == {"forget": 4, "holdout": 4}
    metrics = found["metrics"]
    assert set(metrics) == {
        "prob", "exact_memorization", "extraction_strength", "mia_loss_auc", "mia_zlib_auc", "mia_min_k_auc",
        "mia_min_k_plus_plus_auc", "privleak",
    }  # fmt: skip
    auc = metrics["mia_min_k_auc"]["value"]
    assert metrics["privleak"]["value"] == pytest.approx((0.5 - auc) / 0.5 * 100)
    assert metrics["privleak"]["reference_auc"] == 0.5
    same = CliRunner().invoke(app, [*arguments, "--holdout", str(forget)])
    aucs = json.loads(same.stdout[same.stdout.index("{") :])["metrics"]
    assert {value["value"] for name, value in aucs.items() if name.endswith("_auc")} == {0.5}


def test_an_auc_far_below_half_is_shown_as_a_leak_like_one_far_above(model: Path, tmp_path: Path) -> None:
    short = rows(tmp_path / "short.jsonl", ["Ox", "Av", "Vi", "St"])
    long = rows(tmp_path / "long.jsonl", ["Oxmoor, Oxmoor, Oxmoor", "Averdale", "Kesselholm by the sea", "Stellmark"])
    leaks: list[bool] = []
    for forget, holdout in ((short, long), (long, short)):
        arguments = ["memorisation", str(model), str(forget), "--holdout", str(holdout)]
        told = CliRunner().invoke(app, [*arguments, "--model-args", "dtype=float32,device=cpu"])
        for line in told.stdout.splitlines():
            if "_auc" in line:
                value = float(line.split()[1])
                assert ("a leak" in line) == (abs(value - 0.5) > 0.1)
                leaks += [value < 0.5] if "a leak" in line else []
    assert set(leaks) == {True, False}


@pytest.mark.parametrize(
    ("content", "why"),
    [("", "no rows"), ('{"prompt": "a", "answer": ""}', "no answer"), ("[1]", "no answer"), ("{", "line 1"),
     ('{"prompt": "a ", "answer": "b"}', "ends in a blank")],
)  # fmt: skip
def test_rows_that_cannot_be_scored_are_named(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "rows.jsonl").write_text(content)
    told = CliRunner().invoke(app, ["memorisation", "no-model", str(tmp_path / "rows.jsonl")])
    assert isinstance(told.exception, DataError)
    assert why in str(told.exception)


def test_a_reference_without_holdout_is_refused(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["memorisation", "m", str(tmp_path), "--reference-auc", "0.5"])
    assert isinstance(told.exception, InputError)
