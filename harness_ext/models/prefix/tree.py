"""Token sequences arranged by their shared beginnings, so that each beginning is run once.

Pure bookkeeping on integers: nothing here knows a model. The tree is a radix tree: a node holds the tokens between two
branchings. Positions whose logits are needed are attached to the nodes as spans, so that whoever runs a node knows
which logits to ask for and whom they belong to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int64]


class Span(NamedTuple):
    """Consecutive positions of a node whose logits score tokens of one sequence.

    ``first`` counts from the node's first token; ``done`` is the number of the sequence's scored positions before it.
    """

    sequence: int
    first: int
    length: int
    done: int


@dataclass(eq=False, slots=True)
class Node:
    """A run of tokens that its ``children`` continue."""

    tokens: Tokens
    start: int
    """Number of tokens before this node."""
    children: list[Node] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Sequences whose last token is the last one here."""

    @property
    def end(self) -> int:
        """Number of tokens up to and with this node."""
        return self.start + len(self.tokens)

    def dissolve(self) -> list[Node]:
        """Give this node's tokens to each of its children, which take its place.

        Its spans go to the first of them. Sequences that end here become a leaf of their own.
        """
        if self.ends:
            self.children.insert(0, Node(self.tokens[:0], self.end, ends=self.ends))
        shift = len(self.tokens)
        for child in self.children:
            child.tokens = np.concatenate([self.tokens, child.tokens])
            child.start = self.start
            child.spans = [span._replace(first=span.first + shift) for span in child.spans]
        self.children[0].spans += self.spans
        return self.children


class Forest(NamedTuple):
    """The trees of some sequences, and what they save."""

    roots: list[Node]
    tree_tokens: int
    """Tokens when every shared beginning counts once: no method that keeps exact results can run fewer."""
    distinct_tokens: int
    """Tokens of all distinct sequences: what running each of them from its beginning costs."""


def arrange(sequences: Sequence[Sequence[int]], scored: Sequence[int], *, min_saving: int = 1) -> Forest:
    """Arrange sequences in prefix trees.

    Args:
        sequences: token ids, each sequence at least one.
        scored: for each sequence, at how many of its last positions logits are needed; 0 where it is run for its
            cache, and only then does it appear in a node's ``ends``.
        min_saving: a node is kept apart from its children only if that saves this many tokens, because running a node
            costs a call of the model.

    Raises:
        ValueError: a sequence is empty, or shorter than its scored positions.

    >>> forest = arrange([[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 5]], [1, 1, 1])
    >>> (root,) = forest.roots
    >>> root.tokens.tolist(), [child.tokens.tolist() for child in root.children]
    ([1, 2, 3], [[4], [5]])
    >>> forest.tree_tokens, forest.distinct_tokens
    (5, 8)
    """
    arrays = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    for array, count in zip(arrays, scored, strict=True):
        if not 0 < max(count, 1) <= len(array):
            raise ValueError(f"a sequence of {len(array)} tokens cannot have {count} scored positions")
    # Big-endian bytes compare like the numbers they hold, and far faster than lists of them.
    keys = [array.astype(">u8").tobytes() for array in arrays]
    order = sorted(range(len(arrays)), key=keys.__getitem__)
    top = Node(np.empty(0, dtype=np.int64), 0)
    path = [top]
    tree_tokens = distinct_tokens = 0
    previous: Tokens = top.tokens
    for index in order:
        array = arrays[index]
        shared = _shared_length(previous, array)
        if shared < len(array):  # otherwise it is the same sequence again
            _climb(path, shared)
            tree_tokens += len(array) - shared
            distinct_tokens += len(array)
            leaf = Node(array[shared:], shared)
            path[-1].children.append(leaf)
            path.append(leaf)
            previous = array
        path[-1].ends.append(index)
    _attach_spans(top, scored)
    roots = [kept for root in top.children for kept in _prune(root, min_saving)]
    return Forest(roots, tree_tokens, distinct_tokens)


def nodes(roots: Sequence[Node]) -> Iterator[Node]:
    """Every node below ``roots``, parents first."""
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def _shared_length(left: Tokens, right: Tokens) -> int:
    size = min(len(left), len(right))
    different = np.flatnonzero(left[:size] != right[:size])
    return int(different[0]) if len(different) else size


def _climb(path: list[Node], depth: int) -> None:
    """Shorten ``path`` to the node that ends at ``depth``, splitting the one that reaches over it."""
    below = None
    while path[-1].end > depth:
        below = path.pop()
    if below is not None and path[-1].end < depth:
        cut = depth - below.start
        upper = Node(below.tokens[:cut], below.start, children=[below])
        below.tokens, below.start = below.tokens[cut:], depth
        path[-1].children[-1] = upper
        path.append(upper)


def _attach_spans(top: Node, scored: Sequence[int]) -> None:
    """Spread each sequence's scored positions, the last ones, over the nodes that hold them."""
    parents: dict[int, Node] = {}
    for node in nodes([top]):
        for child in node.children:
            parents[id(child)] = node
        for sequence in node.ends:
            missing, holder = scored[sequence], node
            while missing:
                length = min(missing, len(holder.tokens))
                missing -= length
                holder.spans.append(Span(sequence, len(holder.tokens) - length, length, missing))
                if missing:
                    holder = parents[id(holder)]
        node.ends = [sequence for sequence in node.ends if not scored[sequence]]


def _prune(root: Node, min_saving: int) -> list[Node]:
    """``root``, or the nodes that take its place, with every branching below it worth its call."""
    for node in reversed(list(nodes([root]))):  # children first
        node.children = [kept for child in node.children for kept in _worth(child, min_saving)]
    return _worth(root, min_saving)


def _worth(node: Node, min_saving: int) -> list[Node]:
    branches = len(node.children) + bool(node.ends)
    if node.children and (branches - 1) * len(node.tokens) < min_saving:
        return node.dissolve()
    return [node]
