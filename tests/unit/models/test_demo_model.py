"""The demo's model: what counts as an intact conversion, and what is said when it cannot be made."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from harness_ext.errors import DataError, InputError
from harness_ext.models import demo_model


def converted(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    files = {"config.json": hashlib.sha256(b"{}").hexdigest()}
    manifest = {"gguf_sha256": demo_model.GGUF_SHA256, "files": files} | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_an_intact_conversion_is_used_as_it_is(tmp_path: Path) -> None:
    folder = converted(tmp_path / "models" / demo_model.NAME)
    said: list[str] = []
    assert demo_model.prepare(tmp_path, said.append) == folder
    assert said == ["checking the converted model"]


def test_a_changed_missing_or_additional_file_is_damage(tmp_path: Path) -> None:
    changed = converted(tmp_path / "changed")
    (changed / "config.json").write_text("{ }")
    missing = converted(tmp_path / "missing")
    (missing / "config.json").unlink()
    additional = converted(tmp_path / "additional")
    (additional / "model.safetensors").write_text("")
    assert demo_model.is_intact(converted(tmp_path / "whole"))
    assert not any(map(demo_model.is_intact, (changed, missing, additional, tmp_path / "nowhere")))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"gguf_sha256": 1}', "not json"])
def test_a_broken_manifest_is_damage(tmp_path: Path, text: str) -> None:
    folder = converted(tmp_path / "model")
    (folder / "manifest.json").write_text(text)
    assert not demo_model.is_intact(folder)


def test_a_conversion_of_another_gguf_file_is_not_used(tmp_path: Path) -> None:
    assert not demo_model.is_intact(converted(tmp_path / "model", gguf_sha256="0" * 64))


def test_without_the_extra_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, demo_model.PACKAGE, None)  # what a missing package looks like to importlib
    with pytest.raises(InputError, match=r'pip install "harness-ext\[demo\]"'):
        demo_model.prepare(tmp_path)
    assert not list((tmp_path / "models").glob("*partial*"))


def test_too_little_space_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_model, "NEEDED_BYTES", 10**18)
    with pytest.raises(DataError, match=r"the conversion needs 1000000000\.0 GB.*HARNESS_EXT_CACHE"):
        demo_model.prepare(tmp_path)


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(demo_model.PACKAGE)
    pytest.importorskip("gguf")
    monkeypatch.setattr(demo_model, "GGUF_SHA256", "0" * 64)
    with pytest.raises(DataError, match=r"sha256 is a5fd3b62\w+, expected 0000"):
        demo_model.assemble(tmp_path)
