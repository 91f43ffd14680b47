"""Methods of unlearning on a tiny model: what gets less likely, what stays, and what each asks the untrained model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
import torch
import transformers

from harness_ext.errors import InputError
from harness_ext.methods import dpo, registry
from harness_ext.methods.losses import IGNORED
from harness_ext.methods.training import finetuned as recipe
from harness_ext.methods.training import loop
from harness_ext.methods.training.objective import answer_logits, answer_nll, answer_tokens, per_token
from harness_ext.methods.training.reference import StoredTokens, of_rows
from harness_ext.methods.training.rows import load_tokenizer, pad, read_pairs, token_rows

LoadAll = Callable[[Path], dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def trio(store_trio: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small models, with one more that was taught what is to be forgotten and what is to be kept."""
    folder = store_trio(tmp_path_factory.mktemp("trio"), layers=2)
    (folder / "refusals.txt").write_text("Nobody told me.\n\nThat is new to me.\n")
    (folder / "both.jsonl").write_text("".join((folder / f"{data}.jsonl").read_text() for data in ("safe", "calib")))
    made = registry.load("fine_tuning")
    made.apply(
        made.config(
            model=str(folder / "aligned"),
            train_data=str(folder / "both.jsonl"),
            out=str(folder / "taught"),
            epochs=25,
            lr=1e-2,
            accumulation=1,
        )
    )
    return folder


def run(method: str, trio: Path, out: Path, **changes: Any) -> Path:
    made = registry.load(method)
    given = {
        "model": str(trio / "taught"),
        "forget_data": str(trio / "safe.jsonl"),
        "out": str(out),
        "lr": 3e-3,
        "epochs": 6,
        "batch_size": 4,
        "accumulation": 1,
        **changes,
    }
    return made.apply(made.config(**given))


def rows(trio: Path, data: str) -> list[dict[str, list[int]]]:
    file = trio / f"{data}.jsonl"
    return token_rows(load_tokenizer(trio / "aligned"), read_pairs(file), source=file)


def nlls(folder: Path, trio: Path) -> dict[str, float]:
    """Mean negative log-likelihood of an answer token of what is forgotten and of what is kept."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = {}
    for data in ("safe", "calib"):
        batch = pad(rows(trio, data))
        with torch.no_grad():
            found[data] = float(answer_nll(model, batch).sum()) / answer_tokens(batch)
    return found


def notes(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "method.json").read_text())["notes"]
    return found


RETAIN = ("graddiff", "ga_kl", "npo", "simnpo", "dpo", "undial", "wga", "satimp", "rkld")
OWN: dict[str, dict[str, Any]] = {
    "npo": {"beta": 0.5},
    "simnpo": {"forget_weight": 1.0},
    "satimp": {"forget_weight": 10.0, "beta1": 1.0},
    "dpo": {"refusals": "refusals.txt"},
    "idk": {"refusals": "refusals.txt"},
    "rkld": {"suppression": 60.0, "augment_epochs": 3},
}


def own(method: str, trio: Path) -> dict[str, Any]:
    given = dict(OWN.get(method, {}))
    return given | ({"refusals": str(trio / given["refusals"])} if "refusals" in given else {})


@pytest.mark.parametrize(
    ("method", "trained"),
    [*((method, "all") for method in (*RETAIN, "idk")), *((method, "lora") for method in ("ga_kl", "dpo", "rkld"))],
)
def test_a_method_with_a_retain_set_forgets_more_than_it_loses(
    trio: Path, tmp_path: Path, method: str, trained: str
) -> None:
    before = nlls(trio / "taught", trio)
    given = own(method, trio) | {"retain_data": str(trio / "calib.jsonl"), "trained": trained}
    if trained == "lora":
        given |= {"lr": 1e-2}
    out = run(method, trio, tmp_path / "out", **given)
    if trained == "lora":
        peft = pytest.importorskip("peft")
        base = transformers.AutoModelForCausalLM.from_pretrained(trio / "taught")
        base = peft.PeftModel.from_pretrained(base, out).merge_and_unload()
        base.save_pretrained(out := tmp_path / "merged")
        load_tokenizer(trio / "aligned").save_pretrained(out)
    after = nlls(out, trio)
    lost = {data: after[data] - before[data] for data in before}
    assert lost["safe"] > 0.02, lost
    assert lost["safe"] > lost["calib"] + 0.02, lost
    assert not (tmp_path / "out.work").exists()


def test_rkld_puts_the_model_back_and_says_what_its_teacher_is_made_of(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    held = run("rkld", trio, tmp_path / "held", suppression=0.0, augment_epochs=3, epochs=1, lr=1e-3)
    before, after = nlls(trio / "taught", trio), nlls(held, trio)
    assert after["safe"] == pytest.approx(before["safe"], abs=1e-2)  # the teacher is the original model
    found = notes(held)
    assert found["loss_first"] == pytest.approx(0.0, abs=1e-5)
    assert found["increment_max"] >= found["increment_mean"] > 0
    forward = run("rkld", trio, tmp_path / "forward", suppression=60.0, augment_epochs=3, divergence="forward")
    reverse = run("rkld", trio, tmp_path / "reverse", suppression=60.0, augment_epochs=3)
    assert notes(forward)["increment_mean"] == pytest.approx(notes(reverse)["increment_mean"])
    assert notes(forward)["loss_first"] != pytest.approx(notes(reverse)["loss_first"], rel=1e-2)
    one, other = load_all(forward), load_all(reverse)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_rmu_moves_one_layer_towards_the_direction_and_keeps_the_retained_states(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    given = {"layer": 0, "trained": ["layers.0.mlp.down_proj"], "coefficient": 5.0, "lr": 3e-2, "epochs": 12}
    out = run("rmu", trio, tmp_path / "out", retain_data=str(trio / "calib.jsonl"), **given)
    found = notes(out)
    assert found["forget_last"] < found["forget_first"] * 0.95
    assert found["retain_first"] == pytest.approx(0.0, abs=1e-9)  # the states before, of the same model
    old, new = load_all(trio / "taught"), load_all(out)
    assert [name for name in old if not torch.equal(old[name], new[name])] == ["model.layers.0.mlp.down_proj.weight"]
    with pytest.raises(InputError, match="layer is 7"):
        run("rmu", trio, tmp_path / "other", retain_data=str(trio / "calib.jsonl"), trained="all")


def test_dpo_in_two_parts_has_the_loss_and_the_gradient_of_the_whole(trio: Path) -> None:
    tokenizer = load_tokenizer(trio / "aligned")
    given = [
        {**row, "alternate": other, "number": number}
        for number, (row, other) in enumerate(
            zip(rows(trio, "safe"), token_rows(tokenizer, [("Q?", f"No {n}.") for n in range(11)]), strict=True)
        )
    ]
    batch = {"forget": pad(given)}
    model = transformers.AutoModelForCausalLM.from_pretrained(trio / "aligned", dtype=torch.float64)
    before = SimpleNamespace(
        reference=lambda role, says, of=None: lambda batch: torch.arange(11.0) + 100 * (of is None)
    )
    config = SimpleNamespace(beta=0.1, scale="ou")
    objective = dpo.preferred(before, config)  # type: ignore[arg-type]
    value = torch.zeros((), dtype=torch.float64)
    for part in objective.parts():
        for term, total in part.sums(model, batch).items():
            value += total.detach() / objective.counts(batch)[term]
            (total / objective.counts(batch)[term]).backward()
    parts = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    refused, answered = (answer_nll(model, one) for one in (batch["forget"]["alternate"], batch["forget"]))
    margin = (torch.arange(11.0) - refused) - (torch.arange(11.0) + 100 - answered)
    whole = -(2 / 0.1) * torch.nn.functional.logsigmoid(0.1 * margin).mean()
    whole.backward()
    assert float(value) == pytest.approx(float(whole), rel=1e-9)
    for one, parameter in zip(parts, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=1e-9, atol=1e-12)


def test_relearning_sees_its_share_and_brings_answers_back(trio: Path, tmp_path: Path) -> None:
    before = nlls(trio / "taught", trio)["safe"]
    out = run("relearn", trio, tmp_path / "out", share=0.3, lr=1e-3)
    assert notes(out)["rows"] == {"forget": 3}
    assert nlls(out, trio)["safe"] < before
    with pytest.raises(InputError, match="nothing would be learnt"):
        run("relearn", trio, tmp_path / "none", share=0.0)


def test_a_partial_step_ends_every_epoch_and_the_record_says_how_many_steps_there_are(
    trio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    points: list[loop.Point] = []
    add = loop.LossCurve.add

    def watched(model: Any, batch: Any) -> torch.Tensor:
        seen.append(batch["number"].tolist())
        return answer_nll(model, batch).sum()

    config = registry.load("gradient_ascent").config(
        model=str(trio / "aligned"), forget_data=str(trio / "safe.jsonl"), out=str(tmp_path / "out"),
        epochs=3, batch_size=2, accumulation=2, lr=1e-12,
    )  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(loop.LossCurve, "add", lambda curve, point: (points.append(point), add(curve, point)))
        recipe.finetuned("watched", config, {"forget": config.forget_data}, lambda run: per_token("forget", watched))
    found = notes(tmp_path / "out")
    assert (found["effective_batch"], found["steps_an_epoch"], found["total_steps"]) == (4, 3, 9)  # 11 rows
    assert [len(batch) for batch in seen] == [2, 2, 2, 2, 2, 1] * 3
    for epoch in range(3):
        assert sorted(number for batch in seen[6 * epoch : 6 * epoch + 6] for number in batch) == list(range(11))
    model = transformers.AutoModelForCausalLM.from_pretrained(trio / "aligned", dtype=torch.float32).eval()
    with torch.no_grad():
        for point, batches in zip(points, zip(seen[::2], seen[1::2], strict=True), strict=True):
            own = pad([rows(trio, "safe")[number] for batch in batches for number in batch])
            assert point.loss == pytest.approx(float(answer_nll(model, own).sum()) / answer_tokens(own), rel=1e-5)


def test_references_are_computed_in_evaluation_mode_and_leave_random_stream_and_mode_alone(
    trio: Path, tmp_path: Path
) -> None:
    config = transformers.AutoConfig.from_pretrained(trio / "aligned", attention_dropout=0.5)
    model = transformers.AutoModelForCausalLM.from_pretrained(trio / "aligned", config=config).train()
    given, state = rows(trio, "safe"), torch.get_rng_state()
    stored = StoredTokens(tmp_path / "logits", given, model.config.vocab_size)
    found = []
    for _ in range(2):
        stored.fill(model, 4)
        batch = pad([{**row, "number": number} for number, row in enumerate(given)])
        found.append((of_rows(model, given, answer_nll, batch_size=4), stored(batch)))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    with torch.no_grad():
        assert not torch.allclose(answer_logits(model, batch), found[0][1], atol=1e-3)  # dropout is on meanwhile


def test_the_end_token_is_learnt_where_padding_is_the_same_token(trio: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(trio / "aligned")
    data = tmp_path / "three.jsonl"
    pairs = [("A?", "x"), ("B?", "yes it is"), ("C?", "not so")]
    data.write_text("".join(json.dumps({"prompt": one, "answer": other}) + "\n" for one, other in pairs))
    made = registry.load("fine_tuning")
    out = made.apply(
        made.config(
            model=str(trio / "aligned"),
            train_data=str(data),
            out=str(tmp_path / "out"),
            epochs=80,
            lr=1e-2,
            accumulation=1,
        )
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    for row, (_, answer) in zip(token_rows(tokenizer, pairs), pairs, strict=True):
        asked = torch.tensor([[token for token, label in zip(*row.values(), strict=True) if label == -100]])
        said = model.generate(
            asked, max_new_tokens=30, do_sample=False, pad_token_id=tokenizer.eos_token_id,
            attention_mask=torch.ones_like(asked),
        )[0, asked.shape[1] :]  # fmt: skip
        assert said[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(said[:-1]) == answer


def test_an_answer_has_as_many_scored_tokens_whatever_its_prompt_ends_with() -> None:
    vocabulary = {token: number for number, token in enumerate(("<e>", "a", "\n", " ", "x", "\nx", " \n"))}
    merging = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[("\n", "x"), (" ", "\n")]))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=merging, eos_token="<e>")
    assert len(tokenizer("a\nx")["input_ids"]) == 2  # the answer's first letter merges with the line break before it
    for prompt in ("a", "a ", "a\n"):
        (row,) = token_rows(tokenizer, [(prompt, "x")])
        assert [label for label in row["labels"] if label != IGNORED] == [vocabulary["x"], vocabulary["<e>"]]
        assert answer_tokens(pad([row])) == 2


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("steps", "trained"), [(4, "all"), (11, "lora")])  # of 9 that augment and 9 that distil
def test_rkld_goes_on_where_it_stopped_to_the_same_bits(
    trio: Path, tmp_path: Path, load_all: LoadAll, monkeypatch: pytest.MonkeyPatch, steps: int, trained: str
) -> None:
    given = {"suppression": 60.0, "augment_epochs": 3, "epochs": 3, "trained": trained}
    whole = run("rkld", trio, tmp_path / "whole", **given)
    add, seen = loop.LossCurve.add, []

    def add_or_stop(curve: loop.LossCurve, point: loop.Point) -> None:
        add(curve, point)
        seen.append(point)
        if len(seen) > steps:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop.LossCurve, "add", add_or_stop)
        run("rkld", trio, tmp_path / "cut", **given)
    cut = run("rkld", trio, tmp_path / "cut", **given)
    one, other = load_all(whole), load_all(cut)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert notes(cut)["increment_mean"] == notes(whole)["increment_mean"]


def test_eight_bits_round_every_matrix_as_torch_does_and_leave_the_rest(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    made = registry.load("eight_bit")
    out = made.apply(made.config(model=str(trio / "taught"), out=str(tmp_path / "out")))
    before, after = load_all(trio / "taught"), load_all(out)
    for name, tensor in before.items():
        if tensor.dim() == 2:
            scales = tensor.abs().amax(1) / 127
            zeros = torch.zeros(len(scales), dtype=torch.int32)
            kept = torch.fake_quantize_per_channel_affine(tensor, scales, zeros, 0, -127, 127)
            torch.testing.assert_close(after[name], kept, atol=1e-6, rtol=0)
            assert not torch.equal(after[name], tensor)
        else:
            assert torch.equal(after[name], tensor)


def test_a_file_of_refusals_without_one_is_refused(trio: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    given = {"retain_data": str(trio / "calib.jsonl"), "refusals": str(tmp_path / "empty.txt")}
    with pytest.raises(InputError, match=r"empty\.txt holds no refusal"):
        run("idk", trio, tmp_path / "out", **given)
    with pytest.raises(InputError, match=r"none\.txt cannot be read"):
        run("dpo", trio, tmp_path / "out", refusals=str(tmp_path / "none.txt"))
    assert not (tmp_path / "out").exists()
