"""Lens: any weight may be zero, padding changes nothing, and a space belongs to one model."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from harness_ext.errors import DataError, InputError
from harness_ext.methods import lens, lens_space
from harness_ext.methods.lens import probing, texts
from harness_ext.methods.lens.space import FILE, LanguageSpace, from_means, lens_terms, load_space, subspaces

WORDS = {
    "en": [
        "Name a river.",
        "Count to five, please.",
        "Why is the sky blue?",
        "Write a poem.",
        "What is a fox?",
        "Sing.",
    ],
    "zh": ["说出一条河。", "请数到五。", "天空为什么是蓝的？", "写一首诗。", "狐狸是什么？", "唱歌。"],
    "sw": ["Taja mto.", "Hesabu hadi tano.", "Kwa nini anga ni bluu?", "Andika shairi.", "Mbweha ni nini?", "Imba."],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, store_toy: Any) -> Path:
    folder: Path = store_toy(tmp_path_factory.mktemp("lens") / "model")
    return folder


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Instructions of ours in three languages."""
    file = tmp_path_factory.mktemp("texts") / "parallel.jsonl"
    rows = [dict(zip(WORDS, row, strict=True)) for row in zip(*WORDS.values(), strict=True)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


@pytest.fixture
def settings(model: Path, parallel: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "model": str(model), "out": str(tmp_path / "out"), "languages": ("zh", "sw"), "probe_texts": str(parallel),
        "train_texts": str(parallel), "accumulation": 2, "lr": 1e-3, "seed": 0,
    }  # fmt: skip


def notes(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "method.json").read_text())["notes"]
    return found


def test_what_lens_writes_is_an_ordinary_checkpoint_with_its_space(settings: Any, model: Path) -> None:
    out = lens.apply(lens.Config(**settings))
    before, after = load_file(model / "model.safetensors"), transformers.AutoModelForCausalLM.from_pretrained(out)
    for name, tensor in after.state_dict().items():
        if name in before:
            trained = name.startswith(("model.layers.2.", "model.layers.3."))
            assert torch.equal(tensor, before[name]) != trained, name
    space = load_space(out, lens.model_identity(str(model)))
    assert list(space.delta) == ["en", "zh", "sw"]
    assert space.specific.shape == (32, 2)
    assert notes(out)["total_steps"] == 3


@pytest.mark.parametrize("off", [("w_retain",), ("w_agnostic",), ("w_spec",), ("w_retain", "w_agnostic", "w_spec")])
def test_any_weight_may_be_zero(settings: Any, off: tuple[str, ...]) -> None:
    out = lens.apply(lens.Config(**settings, **dict.fromkeys(off, 0.0), weight_decay=0.0))
    record = json.loads((out / "method.json").read_text())
    assert all(value == value for key, value in record["notes"].items() if key.endswith(("_first", "_last")))
    if len(off) == 3:
        assert record["total"]["changed_tensors"] == 0


def test_one_language_is_enough_and_the_central_side_can_be_held(settings: Any) -> None:
    settings |= {"languages": ("zh",), "detach_central": True, "retain_pooling": "both", "scale": {"zh": 0.5}}
    assert notes(lens.apply(lens.Config(**settings)))["loss_last"] > 0


def test_a_target_scaled_by_zero_stays_where_it_is() -> None:
    space = from_means({"en": torch.tensor([1.0, 0.0, 2.0]), "zh": torch.tensor([0.0, 1.0, 2.0])}, None, {})
    states = {"en": torch.ones(2, 3), "zh": torch.ones(2, 3)}
    specific, agnostic = lens_terms(space, states, states, {"zh": 0.0})
    assert specific["zh"] == agnostic["zh"] == 0
    assert lens_terms(space, states, states, {})[0]["zh"] > 0


def test_the_central_side_of_the_agnostic_term_has_a_gradient_unless_it_is_held() -> None:
    space = from_means({"en": torch.tensor([1.0, 0.0, 2.0]), "zh": torch.tensor([0.0, 1.0, 2.0])}, None, {})
    for held in (False, True):
        states = {"en": torch.randn(2, 3, requires_grad=True), "zh": torch.randn(2, 3, requires_grad=True)}
        _, agnostic = lens_terms(space, states, states, {}, detach_central=held)
        agnostic["zh"].backward()
        assert (states["en"].grad is None) == held


def space(model: Path, sides: str = "right", batch: int = 2, **settings: Any) -> LanguageSpace:
    network = transformers.AutoModelForCausalLM.from_pretrained(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model, padding_side=sides)
    rows = {
        language: [probing.prompt_tokens(tokenizer, text, "", 64) for text in own] for language, own in WORDS.items()
    }
    return probing.probe(network, rows, layer=-1, rank=None, batch_size=batch, about={}, **settings)


def difference(one: LanguageSpace, other: LanguageSpace) -> float:
    projectors = (space.specific @ space.specific.T for space in (one, other))
    return max(
        (next(projectors) - next(projectors)).abs().max().item(), (one.agnostic - other.agnostic).abs().max().item()
    )


def test_a_space_does_not_depend_on_padding_or_on_which_texts_are_computed_together(model: Path) -> None:
    whole = space(model, pooling="last_token")
    for side, batch in itertools.product(("left", "right"), (1, 3, 6)):
        assert difference(whole, space(model, side, batch, pooling="last_token")) < 1e-5
    assert difference(whole, space(model, pooling="mean")) > 1e-3
    alone, together = (space(model, batch=batch, pooling="last_position") for batch in (1, 6))
    assert difference(alone, together) > 1e-3  # what the released code reads is the padding


def test_a_stored_space_is_used_again_and_refused_for_another_model(
    settings: Any, model: Path, tmp_path: Path, store_toy: Any
) -> None:
    own = {key: settings[key] for key in ("model", "languages", "probe_texts")}
    stored = lens_space.apply(lens_space.Config(**own, out=str(tmp_path / "space")))
    assert {file.name for file in stored.iterdir()} == {FILE, "method.json"}
    first = lens.apply(lens.Config(**settings))
    settings["out"] = str(tmp_path / "again")
    second = lens.apply(lens.Config(**settings, space=str(stored)))
    weights = [[file.read_bytes() for file in sorted(out.glob("model*.safetensors"))] for out in (first, second)]
    assert weights[0] == weights[1]
    for changed, word in (({"layer": 2}, "layer"), ({"pooling": "mean"}, "pooling")):
        settings["out"] = str(tmp_path / word)
        with pytest.raises(InputError, match=f"is of another {word}"):
            lens.apply(lens.Config(**settings, **changed, space=str(stored)))
    settings["out"] = str(tmp_path / "other")
    with pytest.raises(InputError, match="is of another model"):
        lens.apply(lens.Config(**settings | {"model": str(first)}, space=str(stored)))
    small = lens_space.apply(lens_space.Config(**own | {"languages": ("zh",)}, out=str(tmp_path / "small")))
    with pytest.raises(InputError, match="has no 'sw'"):
        lens.apply(lens.Config(**settings, space=str(small)))
    (stored / FILE).write_bytes(b"broken")
    with pytest.raises(DataError, match="is no language space"):
        lens.apply(lens.Config(**settings, space=str(stored)))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"languages": ()}, "Name one or more beside 'en'"),
        ({"languages": ("en",)}, "Name one or more beside 'en', each once"),
        ({"languages": ("ja",)}, "no text in 'ja'"),
        ({"last_n_layers": 9}, "last_n_layers is 9, and .* has 4 layers"),
        ({"rank": 3}, "3 languages have subspaces of rank 1 to 2, not 3"),
        ({"layer": 9}, "layer is 9, and LlamaForCausalLM gives the states of 5 layers"),
        ({"w_spec": -1.0}, "w_spec"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: Any, wrong: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        lens.apply(lens.Config(**settings | wrong))
    assert not Path(settings["out"]).exists()


def test_harmful_instructions_are_left_out_on_request(tmp_path: Path) -> None:
    rows = [{f"input_{language}": f"{number}" for language in ("en", "zh")} for number in range(120)]
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"Instances": rows}))
    assert len(texts.parallel_texts(file, ("en", "zh"), "all")) == 120
    assert texts.parallel_texts(file, ("en", "zh"), "benign")[-1] == {"en": "99", "zh": "99"}
    with pytest.raises(InputError, match="instruction 0: there is no text in 'sw'"):
        texts.parallel_texts(file, ("en", "sw"), "all")
    file.write_text("[1]")
    with pytest.raises(InputError, match="no JSON object"):
        texts.parallel_texts(file, ("en",), "all")


def test_a_text_is_cut_and_the_turn_around_it_is_whole(model: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = "<s>{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}[reply]"
    cut = tokenizer.decode(probing.prompt_tokens(tokenizer, "abcdefgh" * 9, "Help.", 8))
    assert cut == "<s>[system] Help. [user] abcdefgh [reply]"
    whole = probing.prompt_tokens(tokenizer, "abcdefgh" * 9, "Help.", 8, compat=True)
    assert len(whole) == 8
    tokenizer.chat_template = "{{ raise_exception('no system') }}"
    with pytest.raises(InputError, match="chat template refuses the prompt"):
        probing.prompt_tokens(tokenizer, "a", "Help.", 8)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("GPT2LMHeadModel", {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 260, "tie_word_embeddings": True}),
        ("OPTForCausalLM", {"word_embed_proj_dim": 16, "ffn_dim": 32}),
    ],
)
def test_models_with_other_names_and_tied_embeddings_are_trained_in_their_last_layers(
    settings: Any, tmp_path: Path, model: Path, store_tiny: Any, kind: str, config: Any
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = None
    own = store_tiny(tmp_path / "own", kind, tokenizer, **config)
    out = lens.apply(lens.Config(**settings | {"model": str(own)}, last_n_layers=1, probe_system=""))
    record = json.loads((out / "method.json").read_text())
    assert {name.split(".layers.")[-1].split(".h.")[-1].split(".")[0] for name in record["tensors"]} <= {"0", "1"}
    assert record["total"]["changed_tensors"] > 0


def test_means_of_the_languages_lie_in_the_space_at_full_rank() -> None:
    means = torch.randn(16, 4, dtype=torch.float64)
    specific, agnostic = subspaces(means)
    rest = means - agnostic[:, None]
    assert (rest - specific @ (specific.T @ rest)).abs().max() < 1e-12
    unit = agnostic / agnostic.norm()
    for column in means.T:
        torch.testing.assert_close((column @ unit) * unit, agnostic)
    with pytest.raises(InputError, match="2 languages have subspaces of rank 1 to 1, not 2"):
        subspaces(means[:, :2], 2)
