"""Templates of people whom nobody knows: a sandbox in which a template ends soon and writes little, by construction.

Jinja2's own sandbox keeps a template away from the program, but not from its time: three loops inside each other, or
``{{ 9 ** 9 ** 9 }}``, never end. Here a template may show values, choose and repeat. What multiplies (``*``, ``**``,
``%``, variables, macros, methods and filters that pad or replace) is refused when the template is read, before Jinja2
works out a constant; the steps of all its loops together, and what it writes, are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_STEPS = 1_000
"""Of all loops of a template together, each time that it is filled in."""
MOST_CHARACTERS = 4 << 20
"""That a filled-in template has: prompt and response are shown whole, and may be long."""

_STEPS, _COUNTED = "steps of loops", "counted"  # neither is a name that a template can write
_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "e", "escape", "first", "float", "int", "items", "last", "length"),
    *("list", "lower", "reverse", "sort", "string", "title", "trim", "unique", "upper", "wordcount"),
)
_METHODS = (
    *("capitalize", "count", "endswith", "find", "get", "items", "keys", "lower", "lstrip", "rstrip", "split"),
    *("splitlines", "startswith", "strip", "title", "upper", "values"),
)
_REFUSED: Mapping[type[nodes.Node], str] = {
    **{nodes.Mul: "*", nodes.Pow: "**", nodes.Mod: "%"},
    **{nodes.Assign: "set", nodes.AssignBlock: "set", nodes.With: "with", nodes.Macro: "macro"},
    **{nodes.CallBlock: "call", nodes.FilterBlock: "filter", nodes.Block: "block", nodes.Extends: "extends"},
    **{nodes.Import: "import", nodes.FromImport: "import", nodes.Include: "include"},
}


class _Environment(ImmutableSandboxedEnvironment):
    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in tree.find_all(nodes.Node):
            if reason := _reason(node):
                raise SecurityError(f"a template cannot use {reason}: show values, choose with if, repeat with for")
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno)
        return tree


def _reason(node: nodes.Node) -> str | None:
    """What of this node has no bound; None where it has one."""
    if type(node) in _REFUSED:
        return _REFUSED[type(node)]
    if isinstance(node, nodes.For) and node.recursive:
        return "recursive"
    if isinstance(node, nodes.Filter) and node.name not in {*_FILTERS, "join", "tojson"}:
        return f"the filter {node.name}"
    if isinstance(node, nodes.Filter) and node.name == "tojson" and (node.args or node.kwargs):
        return "arguments of tojson"
    if isinstance(node, nodes.Call):
        called = node.node
        ours = isinstance(called, nodes.Name) and called.name == "range"
        if not ours and not (isinstance(called, nodes.Getattr) and called.attr in _METHODS):
            return f"a call of {getattr(called, 'attr', getattr(called, 'name', 'a value'))}"
    return None


@pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    steps = context.parent[_STEPS]
    for item in items:
        steps[0] += 1
        if steps[0] > MOST_STEPS:
            raise SecurityError(f"its loops take more than {MOST_STEPS:,} steps")
        yield item


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > MOST_STEPS:
        raise SecurityError(f"a range has more than {MOST_STEPS:,} numbers")
    return found


def _joined(value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    parts = [str(part if attribute is None else part[attribute]) for part in value]
    if sum(map(len, parts)) + len(parts) * len(str(d)) > MOST_CHARACTERS:
        raise SecurityError(_TOO_LONG)
    return str(d).join(parts)


_TOO_LONG = f"it writes more than {MOST_CHARACTERS:,} characters"
_ENVIRONMENT = _Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
_ALLOWED: dict[str, Callable[..., Any]] = {name: _ENVIRONMENT.filters[name] for name in (*_FILTERS, "tojson")}
_ENVIRONMENT.filters = {**_ALLOWED, "join": _joined, _COUNTED: _counted}
_ENVIRONMENT.globals = {"range": _range}


def template_of(text: str) -> Template:
    """The template of a text.

    Raises:
        jinja2.TemplateError: it is none, or uses what has no bound.

    >>> template_of("{{ 9 ** 9 ** 9 }}")
    Traceback (most recent call last):
    jinja2.exceptions.SecurityError: a template cannot use **: show values, choose with if, repeat with for
    """
    return _ENVIRONMENT.from_string(text)


def filled_in(template: Template, values: Mapping[str, Any]) -> str:
    """The text of a template with these values.

    Raises:
        jinja2.TemplateError: a value is missing, or the template takes too many steps or writes too much.

    >>> filled_in(template_of("{% for turn in doc.turns %}{{ loop.index }}. {{ turn }} {% endfor %}"),
    ...           {"doc": {"turns": ["Hi.", "Bye."]}})
    '1. Hi. 2. Bye. '
    """
    pieces, length = [], 0
    for piece in template.generate({**values, _STEPS: [0]}):
        length += len(piece)
        if length > MOST_CHARACTERS:
            raise SecurityError(_TOO_LONG)
        pieces.append(piece)
    return "".join(pieces)
