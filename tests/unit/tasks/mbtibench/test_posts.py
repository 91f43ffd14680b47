"""Joining and cutting posts: what every MBTIBench prompt contains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness_ext.errors import InputError
from harness_ext.tasks.mbtibench.posts import join_posts, truncation, used_posts

posts = st.lists(st.text(max_size=60), max_size=8)


@pytest.fixture(scope="module")
def character_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer whose tokens are single characters, saved to a folder."""
    alphabet = {letter: number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz ")}
    tokenizer = Tokenizer(models.WordLevel(alphabet | {"?": len(alphabet)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(folder)
    return folder


def test_posts_of_ten_characters_are_skipped_and_the_others_are_numbered_without_gaps() -> None:
    assert join_posts(["0123456789", "01234567890", "", "abcdefghijk"]) == "Post 1: 01234567890; Post 2: abcdefghijk; "


def test_length_counts_characters_before_brackets_are_deleted() -> None:
    assert used_posts(["{234567890}"]) == ["234567890"]


def test_blanks_around_a_post_are_kept() -> None:
    assert join_posts(["  twelve chars "]) == "Post 1:   twelve chars ; "


def test_cut_counts_may_have_the_keys_of_json() -> None:
    text = ["the first one is cut", "the second one is not"]
    assert (
        join_posts(text, {"1": 9}) == join_posts(text, {1: 9}) == "Post 1: the first; Post 2: the second one is not; "
    )


@given(posts)
def test_joined_text_has_one_entry_for_each_used_post_and_no_bracket(given_posts: list[str]) -> None:
    joined = join_posts(given_posts)
    assert not set("{}") & set(joined)
    assert joined == "".join(f"Post {n}: {text}; " for n, text in enumerate(used_posts(given_posts), start=1))
    assert len(used_posts(given_posts)) == sum(len(post) > 10 for post in given_posts)


@given(posts, st.integers(1, 5))
def test_no_post_keeps_more_than_the_given_number_of_words(given_posts: list[str], size: int) -> None:
    cuts = truncation(f"words:{size}")(1, given_posts)
    for number, text in enumerate(used_posts(given_posts), start=1):
        kept = text[: cuts.get(number)]
        assert kept.split() == text.split()[:size]
        assert (number in cuts) == (len(text.split()) > size)


def test_none_cuts_nothing() -> None:
    assert truncation("none")(1, ["word " * 500]) == {}


def test_tokens_are_counted_by_the_named_tokenizer(character_tokenizer: Path) -> None:
    cuts = truncation(f"tokens:{character_tokenizer}:12")
    assert cuts(1, ["exactly twel", "this is longer than twelve"]) == {2: 12}


def test_table_cuts_only_the_posts_that_are_longer_than_eighty_tokens() -> None:
    assert truncation("o200k80")(1, []) == {2: 326, 4: 315}
    assert truncation("o200k80")(9, []) == {}


@pytest.mark.parametrize(
    "mode", ["o200k", "words", "words:", "words:0", "words:x:3", "tokens:80", "tokens::80", "", "8"]
)
def test_an_unknown_mode_is_refused_with_the_modes_there_are(mode: str) -> None:
    with pytest.raises(InputError, match=re.escape("tokens:<tokenizer>:<N>")):
        truncation(mode)


def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer .*nothing.* cannot be loaded"):
        truncation(f"tokens:{tmp_path / 'nothing'}:80")
