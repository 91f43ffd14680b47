"""Emotion consistency and BERTScore, and the command that applies them to stored replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import InputError
from harness_ext.replies.bertscore import bertscore
from harness_ext.replies.emotion_consistency import emo_consistency, train

runner = CliRunner()
WORDS = ["i", "am", "so", "sorry", "happy", "to", "hear", "that", "what", "a", "day", "nice", ".", "!"]
DATE = "2026-01-01T00-00-00.0"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, store_tiny: Callable[..., Path]) -> Path:
    """A BERT of random weights that knows fourteen words."""
    pytest.importorskip("torch")
    pytest.importorskip("bert_score")
    from transformers import BertTokenizer

    folder = tmp_path_factory.mktemp("encoders") / "tiny-bert"
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 48, "initializer_range": 0.5}
    own = BertTokenizer(str(folder / "vocab.txt"))
    return store_tiny(folder, "BertModel", own, max_position_embeddings=40, **sizes)


def reference_f1(encoder: Path, reply: str, reference: str, layer: int) -> float:
    """The formula of the paper on the model's own hidden states, special tokens included as upstream does."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()

    def vectors(text: str) -> Any:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[layer][0]
        return torch.nn.functional.normalize(states, dim=-1)

    cosines = vectors(reply) @ vectors(reference).T
    inside = cosines[1:-1], cosines[:, 1:-1]  # [CLS] and [SEP] have no weight but can be matched
    precision, recall = inside[0].max(1).values.mean(), inside[1].max(0).values.mean()
    return 100 * float(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("layer", [1, 3])
def test_bertscore_is_the_formula_of_its_paper_on_the_encoders_own_vectors(encoder: Path, layer: int) -> None:
    pairs = [("i am so sorry .", "sorry to hear that !"), ("what a nice day", "what a nice day"), ("happy", "a day")]
    result = bertscore(encoder, *map(list, zip(*pairs, strict=True)), layer=layer)
    assert (result.metric, result.layer) == ("bertscore_tiny-bert", layer)
    assert result.f1 == pytest.approx([reference_f1(encoder, *pair, layer) for pair in pairs], abs=1e-3)
    assert result.f1[1] == pytest.approx(100)
    assert result.mean == pytest.approx(sum(result.f1) / 3)


def test_bertscore_bears_the_name_by_which_the_encoder_was_given(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "my-bert").symlink_to(encoder)
    assert bertscore(tmp_path / "my-bert", ["sorry"], ["sorry"]).metric == "bertscore_my-bert"


def test_bertscore_of_nothing_is_zero_and_long_texts_are_cut(encoder: Path) -> None:
    long = "so sorry " * 200
    assert bertscore(encoder, ["", " ", "sorry"], ["sorry", "sorry", ""]).f1 == [0, 0, 0]
    assert bertscore(encoder, [long], [long]).f1 == pytest.approx([100])


def test_bertscore_does_not_depend_on_the_batch(encoder: Path) -> None:
    replies, references = ["i am sorry", "what a day !", "so nice to hear that ."], ["sorry", "nice day", "i am happy"]
    together, alone = (bertscore(encoder, replies, references, batch_size=size).f1 for size in (3, 1))
    assert together == pytest.approx(alone, abs=1e-3)


@pytest.mark.parametrize("layer", [0, 4])
def test_a_layer_that_is_not_there_is_refused(encoder: Path, layer: int) -> None:
    with pytest.raises(InputError, match="layers 1 to 3"):
        bertscore(encoder, ["a"], ["a"], layer=layer)


def test_an_encoder_is_a_folder_and_never_a_name_to_download(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="downloads none"):
        bertscore(Path("roberta-large"), ["a"], ["a"])
    with pytest.raises(ValueError, match="one of each"):
        bertscore(tmp_path, [], [])


def test_emotion_consistency_is_the_share_of_replies_that_carry_the_emotion() -> None:
    classifier = train(["so happy", "happy day", "very sad", "sad news"], ["joy", "joy", "grief", "grief"])
    replies = ["happy for you", "happy to hear it", "that is sad", "sad"]
    assert emo_consistency(classifier, replies, ["joy", "joy", "joy", "grief"]) == 75
    for lists in (([], []), (["a"], [])):
        with pytest.raises(ValueError, match="one of each"):
            emo_consistency(classifier, *lists)
    with pytest.raises(ValueError, match="2 texts but 1 emotions"):
        train(["a", "b"], ["joy"])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with one task of replies and one of labels."""
    folder = tmp_path / "run"
    folder.mkdir()
    tasks = {"toy_replies": (["i am sorry", "nice day"], ["sorry to hear that"]), "toy_labels": (["joy", "fear"], [])}
    content = {
        "results": {task: {"acc,none": 0.5} for task in tasks},
        "configs": {task: {} for task in tasks},
        "config": {"model": "dummy"},
    }
    (folder / f"results_{DATE}.json").write_text(json.dumps(content))
    for task, (answers, references) in tasks.items():
        lines = [
            {"doc_id": at, "doc": {"id": str(at), "refs": references}, "filtered_resps": [answer], "filter": "none"}
            for at, answer in enumerate(answers)
        ]
        (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_command_scores_the_tasks_with_reference_replies(run: Path, encoder: Path) -> None:
    done = runner.invoke(app, ["replies", str(run), "--bertscore", str(encoder), "--layer", "2", "--json"])
    (score,) = json.loads(done.stdout)
    expected = bertscore(encoder, ["i am sorry", "nice day"], ["sorry to hear that"] * 2, layer=2).mean
    assert score.pop("value") == pytest.approx(expected, abs=1e-3)
    assert score == {"task": "toy_replies", "docs": 2, "metric": "bertscore_tiny-bert", "layer": 2}


def test_the_command_says_what_is_missing(run: Path) -> None:
    assert "nothing to compute" in str(runner.invoke(app, ["replies", str(run)]).exception)
    (run / f"samples_toy_replies_{DATE}.jsonl").unlink()
    assert "--log_samples" in str(runner.invoke(app, ["replies", str(run), "--emo-consistency"]).exception)
