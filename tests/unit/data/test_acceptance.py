"""A licence that restricts use is accepted once before a download; data that is already here asks nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.data import list_sources, load_card
from harness_ext.data.acceptance import RESTRICTIONS, accept, is_accepted, restrictions
from harness_ext.errors import DataError, InputError

runner = CliRunner()


def mark(toy: Any, *marks: str, licence: str = "MIT in toy letters") -> None:
    file = toy.cards / "toy.md"
    text = file.read_text(encoding="utf-8")
    text = text.replace("sensitive: []", f"sensitive: [{', '.join(marks)}]").replace("MIT in toy letters", licence)
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("restriction", sorted(RESTRICTIONS))
def test_a_restricted_source_is_downloaded_only_after_its_licence_was_accepted(
    toy: Any, server: Any, restriction: str
) -> None:
    mark(toy, "personal", restriction)
    with pytest.raises(DataError) as caught:
        toy.fetch()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("toy", "data.txt", "MIT in toy letters", restriction, "harness-ext data accept toy", toy.path):
        assert part in message
    assert server.asked == 0
    accept(toy.card)
    assert toy.fetch() == toy.cached
    assert server.asked == 1


@pytest.mark.parametrize("marks", [(), ("personal", "harmful", "platform-terms", "copyrighted")])
def test_other_marks_inform_and_do_not_ask(toy: Any, marks: tuple[str, ...]) -> None:
    mark(toy, *marks)
    assert toy.fetch() == toy.cached


@pytest.mark.parametrize("place", ["mirror", "cache"])
def test_a_copy_of_the_users_own_is_used_without_asking(
    toy: Any, server: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    mark(toy, "non-commercial")
    monkeypatch.setenv("HARNESS_EXT_MIRROR", str(toy.mirror))
    copy = toy.put(toy.mirror if place == "mirror" else toy.cache / "data")
    assert toy.fetch() == copy
    assert server.asked == 0


def test_offline_is_said_before_anything_about_licences(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mark(toy, "copyleft")
    monkeypatch.setenv("HARNESS_EXT_OFFLINE", "1")
    with pytest.raises(DataError, match="HARNESS_EXT_OFFLINE=1 forbids"):
        toy.fetch()


def test_a_licence_that_is_stated_differently_is_asked_for_again(toy: Any) -> None:
    mark(toy, "copyleft")
    accept(toy.card)
    assert is_accepted(toy.card)
    mark(toy, licence="GPL-3.0")
    assert not is_accepted(toy.card)


def test_accepting_one_source_accepts_no_other(toy: Any) -> None:
    accept(load_card("meld"))
    assert is_accepted(load_card("meld"))
    assert not is_accepted(load_card("ecf"))


def test_a_cache_that_cannot_be_written_is_said(toy: Any) -> None:
    toy.cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"accepted.meld\.txt cannot be written .* HARNESS_EXT_CACHE"):
        accept(load_card("meld"))


def test_the_command_lists_the_sources_that_ask_and_accepts_by_name(toy: Any) -> None:
    listed = runner.invoke(app, ["data", "accept"]).output
    asking = [source for source in list_sources() if restrictions(load_card(source))]
    assert [line.partition("\t")[0] for line in listed.splitlines()[1:]] == asking
    assert all(line.endswith("\tno") for line in listed.splitlines()[1:])
    done = runner.invoke(app, ["data", "accept", "meld", "emobench"])
    assert done.output.splitlines() == [
        "meld: accepted GPL-3.0 (repository); the text is dialogue of a television series "
        "(copyleft: derived work must carry the same licence)",
        "emobench: needs no acceptance (MIT)",
    ]
    assert is_accepted(load_card("meld"))
    shown = runner.invoke(app, ["data", "show", "meld"]).output
    assert "acceptance:   given" in shown
    assert "harness-ext data accept ecf" in runner.invoke(app, ["data", "show", "ecf"]).output


def test_a_wrong_name_among_several_accepts_none(toy: Any) -> None:
    done = runner.invoke(app, ["data", "accept", "meld", "medl"])
    assert isinstance(done.exception, InputError)
    assert not is_accepted(load_card("meld"))


def test_the_page_on_data_names_every_source_of_eibench_that_asks(checkout: Path) -> None:
    from harness_ext.tasks.eibench.readers import all_parts

    asking = {part.source for part in all_parts().values() if part.aspect != "extension"}
    asking = {source for source in asking if restrictions(load_card(source))}
    page = (checkout / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"harness-ext data accept {' '.join(sorted(asking))}{os.linesep}".rstrip() in page
