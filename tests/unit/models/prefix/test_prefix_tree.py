"""Prefix trees against a trie of all beginnings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.models.prefix.tree import Forest, Node, arrange, nodes

sequences = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=12)


@st.composite
def scored_sequences(draw: Any) -> tuple[list[list[int]], list[int]]:
    chosen = draw(sequences)
    return chosen, [draw(st.integers(0, len(sequence))) for sequence in chosen]


def beginnings(forest: Forest) -> list[tuple[Node, list[int]]]:
    """Every node with all tokens up to its end."""
    found: list[tuple[Node, list[int]]] = []

    def visit(node: Node, before: list[int]) -> None:
        whole = before + node.tokens.tolist()
        found.append((node, whole))
        for child in node.children:
            assert child.start == node.end
            visit(child, whole)

    for root in forest.roots:
        assert root.start == 0
        visit(root, [])
    return found


@given(case=scored_sequences(), min_saving=st.sampled_from([0, 1, 3, 8, 1000]))
def test_every_scored_position_is_found_once_after_its_own_beginning(
    case: tuple[list[list[int]], list[int]], min_saving: int
) -> None:
    chosen, scored = case
    forest = arrange(chosen, scored, min_saving=min_saving)
    seen: dict[tuple[int, int], list[int]] = {}
    ends = []
    for node, whole in beginnings(forest):
        for span in node.spans:
            for step in range(span.length):
                place = (span.sequence, span.done + step)
                assert place not in seen
                seen[place] = whole[: node.start + span.first + step + 1]
        ends += [(sequence, whole) for sequence in node.ends]
    expected = {
        (index, done): sequence[: len(sequence) - count + done + 1]
        for index, (sequence, count) in enumerate(zip(chosen, scored, strict=True))
        for done in range(count)
    }
    assert seen == expected
    assert sorted(ends) == [(index, chosen[index]) for index, count in enumerate(scored) if not count]


@given(case=scored_sequences())
def test_the_floor_is_the_size_of_the_trie(case: tuple[list[list[int]], list[int]]) -> None:
    chosen, scored = case
    forest = arrange(chosen, scored)
    trie = {tuple(sequence[:length]) for sequence in chosen for length in range(1, len(sequence) + 1)}
    assert forest.tree_tokens == len(trie)
    assert forest.distinct_tokens == sum(len(sequence) for sequence in {tuple(sequence) for sequence in chosen})
    assert sum(len(node.tokens) for node in nodes(arrange(chosen, [1] * len(chosen)).roots)) == len(trie)


@given(chosen=sequences, min_saving=st.integers(2, 30))
def test_every_branching_that_is_kept_saves_what_was_asked_for(chosen: list[list[int]], min_saving: int) -> None:
    for node in nodes(arrange(chosen, [1] * len(chosen), min_saving=min_saving).roots):
        if node.children:
            assert (len(node.children) - 1) * len(node.tokens) >= min_saving


def test_a_sequence_that_is_too_short_for_its_scored_positions_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 tokens cannot have 3 scored"):
        arrange([[1, 2]], [3])
    with pytest.raises(ValueError, match="0 tokens"):
        arrange([[]], [0])
