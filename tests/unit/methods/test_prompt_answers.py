"""Files of prompts with answers, good and bad, and the tokens made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness_ext.errors import InputError
from harness_ext.methods.training.rows import (
    Pair,
    calibration_batches,
    load_tokenizer,
    read_pairs,
    safe_answer_batches,
    token_rows,
)


@pytest.fixture(scope="module")
def tokenizer(store_trio: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(store_trio(tmp_path_factory.mktemp("trio")) / "aligned")


def write(folder: Path, *lines: str) -> Path:
    file = folder / "data.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def record(prompt: str = "p", answer: str = "a", **more: object) -> str:
    return json.dumps({"prompt": prompt, "answer": answer, **more}, ensure_ascii=False)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1), limit=st.none() | st.integers(1, 5))
def test_records_come_back_in_order(tmp_path: Path, pairs: list[tuple[str, str]], limit: int | None) -> None:
    file = write(tmp_path, *(json.dumps({"prompt": prompt, "answer": answer, "id": 1}) for prompt, answer in pairs))
    assert read_pairs(file, limit) == pairs[:limit]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary())
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"data\.jsonl"):
        read_pairs(file)


def test_a_byte_order_mark_and_empty_lines_are_no_records(tmp_path: Path) -> None:
    assert read_pairs(write(tmp_path, "\ufeff" + record(), "", record("q", "b"), "")) == [("p", "a"), ("q", "b")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is no JSON"),
        ("[1]", "line 2 is no JSON object"),
        ('{"prompt": "secret"}', "line 2: answer is missing"),
        ('{"prompt": " ", "answer": "secret"}', "line 2: prompt is missing or empty"),
        ('{"prompt": "p", "answer": ["secret"]}', "line 2: answer is missing or empty or no text"),
    ],
)
def test_a_bad_record_is_refused_by_its_line_and_not_repeated(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        read_pairs(write(tmp_path, record(), line))
    assert "secret" not in str(refused.value)


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_pairs(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="holds no record"):
        read_pairs(write(tmp_path, "", ""))


@pytest.mark.parametrize("templated", [True, False])
def test_only_the_answer_and_its_end_are_scored(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, templated: bool
) -> None:
    if not templated:
        monkeypatch.setattr(tokenizer, "chat_template", None)
    (row,) = token_rows(tokenizer, [Pair("Sum?", "Four.")], source="f", system="Be brief.", max_tokens=100)
    scored = [label for label in row["labels"] if label != -100]
    asked = row["input_ids"][: -len(scored)]
    assert tokenizer.decode(scored) == "Four.</s>"
    assert row["labels"] == [*[-100] * len(asked), *scored]
    expected = "<s>[system] Be brief.\n[user] Sum?\n[assistant] " if templated else "Be brief.\n\nSum?\n"
    assert tokenizer.decode(asked) == expected


@pytest.mark.parametrize("templated", [True, False])
def test_long_answers_are_cut_and_long_prompts_refused_by_file_and_row(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, templated: bool
) -> None:
    if not templated:
        monkeypatch.setattr(tokenizer, "chat_template", None)
    pairs = [Pair("p", "a" * 200), Pair("secret " * 30, "a")]
    (row,) = token_rows(tokenizer, pairs[:1], source="f", max_tokens=50)
    assert len(row["input_ids"]) == len(row["labels"]) == 50
    with pytest.raises(InputError, match=r"f: row 1: its prompt has \d+ tokens, 50 are allowed") as refused:
        token_rows(tokenizer, pairs, source="f", max_tokens=50)
    assert "secret" not in str(refused.value)


def test_a_template_that_refuses_the_turns_is_an_input_error(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = "{{ raise_exception('no system role') if messages[0].role == 'system' }}"
    monkeypatch.setattr(tokenizer, "chat_template", refusing)
    with pytest.raises(InputError, match=r"f: the tokenizer's chat template refuses it \(no system role\)"):
        token_rows(tokenizer, [Pair("p", "a")], source="f", system="s", max_tokens=50)


def test_batches_follow_the_file_and_are_padded_on_the_left(tokenizer: Any, tmp_path: Path) -> None:
    file = write(tmp_path, *(record("p", "a" * n) for n in (3, 1, 5)))
    one, two = safe_answer_batches(tokenizer, file, limit=3, batch_size=2, max_tokens=100)
    lengths = one["attention_mask"].sum(1)
    assert lengths[0] - lengths[1] == 2
    assert one["attention_mask"].diff(dim=1).min() >= 0
    assert (one["labels"] != -100).sum(1).tolist() == [4, 2]
    assert len(two["labels"]) == 1
    assert (one["labels"][one["attention_mask"] == 0] == -100).all()


def test_calibration_sequences_have_one_length_and_keep_their_first_tokens(tokenizer: Any, tmp_path: Path) -> None:
    file = write(tmp_path, record("p", "a"), record("p" * 80, "a"))
    (batch,) = calibration_batches(tokenizer, file, limit=9, seqlen=40, batch_size=8)
    assert batch["input_ids"].shape == (2, 40)
    short, long = (tokenizer.decode(ids) for ids in batch["input_ids"])
    assert short.startswith("</s></s>") and short.endswith("[assistant] a</s>")
    assert long == "<s>[user] " + "p" * (40 - len("[user] ") - 1)
    assert batch["attention_mask"][1].all()


def test_a_folder_without_a_tokenizer_and_one_without_an_end_are_refused(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tokenizer cannot be loaded"):
        load_tokenizer(tmp_path)
    folder = tmp_path / "endless"
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["eos_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    with pytest.raises(InputError, match="no end token"):
        load_tokenizer(folder)
