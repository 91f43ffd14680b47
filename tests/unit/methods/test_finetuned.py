"""Fine-tuning: what is loaded, what trains, what is written, and what the untrained model is asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from warm_python import python

from harness_ext.errors import InputError
from harness_ext.methods import gradient_ascent, npo
from harness_ext.methods.losses import IGNORED, fkld
from harness_ext.methods.training import finetuned as recipe
from harness_ext.methods.training.objective import Objective, answer_logits, answer_tokens, nll_of
from harness_ext.methods.training.rows import load_tokenizer, pad

LoadAll = Callable[[Path], dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def trio(store_trio: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_trio(tmp_path_factory.mktemp("trio"), layers=2)


def settings(trio: Path, out: Path, **changes: Any) -> dict[str, Any]:
    given = {"model": trio / "aligned", "forget_data": trio / "safe.jsonl", "out": out}
    small = {"lr": 1e-3, "epochs": 3, "batch_size": 4, "accumulation": 1}
    return {name: str(value) for name, value in given.items()} | small | changes


def ascend(trio: Path, out: Path, **changes: Any) -> Path:
    return gradient_ascent.apply(gradient_ascent.Config(**settings(trio, out, **changes)))


def changed(load_all: LoadAll, out: Path, base: Path) -> set[str]:
    before, after = load_all(base), load_all(out)
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def untuned(folder: Path, trio: Path, model: Any) -> Path:
    """A random model with the tokenizer of the trio."""
    torch.manual_seed(0)
    model.save_pretrained(folder)
    load_tokenizer(trio / "aligned").save_pretrained(folder)
    return folder


def encoder_decoder(folder: Path, trio: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 258}
    config = transformers.T5Config(**sizes, eos_token_id=1, decoder_start_token_id=0)
    return untuned(folder, trio, transformers.T5ForConditionalGeneration(config))


def masked(folder: Path, trio: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return untuned(folder, trio, transformers.BertForMaskedLM(transformers.BertConfig(**sizes, vocab_size=258)))


def test_all_weights_train_by_default_and_the_record_says_from_what(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    out = ascend(trio, tmp_path / "out")
    assert changed(load_all, out, trio / "aligned") == set(load_all(trio / "aligned"))
    record = json.loads((out / "method.json").read_text())
    assert record["method"] == "gradient_ascent"
    assert list(record["data"]) == [str(trio / "safe.jsonl")]
    assert record["notes"]["epoch"] == 3
    assert record["seeds"] == {"seed": 0}


def test_named_parts_train_and_all_else_is_bit_identical(trio: Path, tmp_path: Path, load_all: LoadAll) -> None:
    out = ascend(trio, tmp_path / "out", trained=["layers.1.mlp.down_proj", "q_proj"])
    assert changed(load_all, out, trio / "aligned") == {
        "model.layers.1.mlp.down_proj.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.self_attn.q_proj.weight",
    }


def test_an_encoder_decoder_learns_and_forgets_answers_through_the_same_recipe(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    model = encoder_decoder(tmp_path / "t5", trio)
    out = ascend(trio, tmp_path / "out", model=str(model), lr=1e-2, epochs=6)
    notes = json.loads((out / "method.json").read_text())["notes"]
    assert notes["loss_last"] < notes["loss_first"] - 1  # the negated likelihood
    assert "shared.weight" in changed(load_all, out, model)
    loaded = transformers.AutoModelForSeq2SeqLM.from_pretrained(out)
    assert torch.equal(loaded.get_input_embeddings().weight.detach(), load_all(out)["shared.weight"])


def test_the_loss_of_an_encoder_decoder_is_that_of_transformers(trio: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(encoder_decoder(tmp_path / "t5", trio)).eval()
    config = gradient_ascent.Config(**settings(trio, tmp_path / "out", model=str(tmp_path / "t5")))
    batch = pad(recipe.answer_rows(config, model, config.forget_data))
    objective = nll_of(rows=1.0)
    with torch.no_grad():
        expected = model(batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["targets"]).loss
        found = objective.sums(model, {"rows": batch})["rows"] / objective.counts({"rows": batch})["rows"]
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    scored = batch["targets"][0][batch["targets"][0] != IGNORED]
    assert load_tokenizer(tmp_path / "t5").decode(scored) == "I refuse 0.</s>"


def test_a_masked_model_trains_on_rows_of_its_own_and_is_refused_for_answers(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    model = masked(tmp_path / "bert", trio)
    with pytest.raises(InputError, match="BertForMaskedLM writes no answers"):
        ascend(trio, tmp_path / "out", model=str(model))

    def hidden_tokens(config: Any, model: Any, path: str) -> list[dict[str, list[int]]]:
        return [{"input_ids": [5, 2, 7 + n], "targets": [IGNORED, 6 + n, IGNORED]} for n in range(6)]

    config = gradient_ascent.Config(**settings(trio, tmp_path / "out", model=str(model), lr=1e-2, epochs=20))
    out = recipe.finetuned(
        "words", config, {"text": config.forget_data}, lambda run: nll_of(text=1.0), rows_of=hidden_tokens
    )
    notes = json.loads((out / "method.json").read_text())["notes"]
    assert notes["loss_last"] < notes["loss_first"] - 1
    assert "bert.embeddings.word_embeddings.weight" in changed(load_all, out, model)
    assert transformers.AutoModelForMaskedLM.from_pretrained(out)


def test_lora_writes_an_adapter_that_loads_and_leaves_the_base_alone(trio: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    out = ascend(trio, tmp_path / "out", trained="lora", lora_rank=2, lora_targets=["q_proj"], lr=1e-2)
    assert (out / "adapter_model.safetensors").exists()
    record = json.loads((out / "method.json").read_text())
    assert record["total"]["changed_tensors"] == record["total"]["tensors"] == 4  # two factors in two layers
    base = transformers.AutoModelForCausalLM.from_pretrained(trio / "aligned")
    ids = torch.tensor([[3, 4, 5]])
    before = base(ids).logits
    adapted = peft.PeftModel.from_pretrained(base, out)
    assert not torch.allclose(adapted(ids).logits, before, atol=1e-3)
    with adapted.disable_adapter():
        assert torch.equal(adapted(ids).logits, before)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def divergence(seen: list[Any]) -> Callable[[recipe.Run], Objective]:
    """Ascent held back by the divergence from the untrained model."""

    def objective(run: recipe.Run) -> Objective:
        reference = run.reference_logits("forget")
        seen.append((run, reference))
        kl = Objective(
            {"kl": 1.0},
            lambda batch: {"kl": answer_tokens(batch["forget"])},
            lambda model, batch: {
                "kl": fkld(answer_logits(model, batch["forget"]), reference(batch["forget"]), reduction="sum")
            },
        )
        return kl + nll_of(forget=-0.5)

    return objective


@pytest.mark.parametrize("trained", ["lora", "all"])
def test_the_untrained_model_is_asked_without_a_second_one_in_memory(
    trio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained: str
) -> None:
    loaded, seen, stored = [], [], []
    load_model, fill = recipe.load_model, recipe.StoredTokens.fill
    monkeypatch.setattr(recipe, "load_model", lambda folder: loaded.append(load_model(folder)) or loaded[-1])
    monkeypatch.setattr(recipe.StoredTokens, "fill", lambda *given: stored.append(1) or fill(*given))
    config = gradient_ascent.Config(**settings(trio, tmp_path / "out", trained=trained, lr=1e-2))
    recipe.finetuned("held", config, {"forget": config.forget_data}, divergence(seen))
    assert len(loaded) == 1
    ((run, reference),) = seen
    announced = "answer tokens" in capsys.readouterr().err
    assert (bool(stored), announced) == ((False, False) if trained == "lora" else (True, True))
    batch = pad([{**row, "number": number} for number, row in enumerate(run.rows["forget"])])
    base = transformers.AutoModelForCausalLM.from_pretrained(trio / "aligned").eval()
    with torch.no_grad():
        expected = answer_logits(base, batch)
        torch.testing.assert_close(reference(batch), expected, atol=1e-5, rtol=1e-5)  # after the training, too
        assert not torch.allclose(answer_logits(run.model, batch), expected, atol=1e-2)


def test_kept_epochs_are_models_of_their_own_and_the_last_is_the_result(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    out = ascend(trio, tmp_path / "out", keep=[1, 3])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out-epoch-1", "out-epoch-3"]
    assert changed(load_all, tmp_path / "out-epoch-3", out) == set()
    assert changed(load_all, tmp_path / "out-epoch-1", out) != set()
    notes = [json.loads((tmp_path / f"out-epoch-{n}/method.json").read_text())["notes"] for n in (1, 3)]
    assert [(note["epoch"], note["steps"]) for note in notes] == [(1, 3), (3, 9)]
    shutil.rmtree(out)
    with pytest.raises(InputError, match="out-epoch-1 is not empty"):
        ascend(trio, out, keep=[1, 3])
    assert not out.exists()


KILLED = """
import os, signal, sys
from harness_ext.methods import npo
from harness_ext.methods.training import loop
accelerated, steps = loop.LossCurve.add, []
def add_or_die(curve, point):
    accelerated(curve, point)
    if point.step > int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
loop.LossCurve.add = add_or_die
npo.apply(npo.Config(**{**eval(sys.argv[3]), "out": sys.argv[1]}))
"""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("after", "trained"), [(1, "all"), (10, "lora")])
def test_a_killed_run_goes_on_to_the_same_bits_its_kept_epochs_included(
    trio: Path, tmp_path: Path, load_all: LoadAll, after: int, trained: str
) -> None:
    given = settings(
        trio, tmp_path / "whole", epochs=6, keep=[2, 3], trained=trained, retain_data=str(trio / "calib.jsonl")
    )
    npo.apply(npo.Config(**given))
    out = tmp_path / "cut"
    killed = python("-c", KILLED, out, after, repr(given))
    assert killed.returncode == -9, killed.stderr[-2000:]
    assert not out.exists()
    assert (tmp_path / "cut-epoch-3").exists() == (after > 9)
    npo.apply(npo.Config(**given | {"out": str(out)}))
    for ending in ("", "-epoch-2", "-epoch-3"):
        one, other = load_all(tmp_path / f"cut{ending}"), load_all(tmp_path / f"whole{ending}")
        assert [name for name, values in one.items() if not torch.equal(values, other[name])] == []
    assert not (tmp_path / "cut.work").exists()


def test_what_cannot_be_trained_or_written_is_refused_before_anything_is(trio: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no parameter of the model has 'gate' in its name"):
        ascend(trio, tmp_path / "out", trained=["gate"])
    with pytest.raises(InputError, match="no adapter can be added"):
        ascend(trio, tmp_path / "out", trained="lora", lora_targets=["gate"])
    with pytest.raises(InputError, match="keep names epoch 4, but there are 1 to 3"):
        ascend(trio, tmp_path / "out", keep=[2, 4])
    with pytest.raises(InputError, match="gradient_ascent made no step: the first loss exceeds max_loss"):
        ascend(trio, tmp_path / "out", max_loss=0.01)
    shutil.copytree(trio / "aligned", tmp_path / "headless")
    stored = load_file(tmp_path / "headless/model.safetensors")
    del stored["lm_head.weight"]
    save_file(stored, tmp_path / "headless/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"there is no tensor lm_head\.weight, which LlamaForCausalLM has"):
        ascend(trio, tmp_path / "out", model=str(tmp_path / "headless"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["headless"]
