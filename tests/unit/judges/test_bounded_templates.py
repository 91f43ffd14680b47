"""A template of somebody else shows what Jinja2 shows, and never works without end."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from harness_ext.judges.bounded_templates import MOST_CHARACTERS, filled_in, template_of

VALUES: dict[str, Any] = {
    "prompt": "Why?",
    "response": "r" * 20_000,
    "fence": " 0a",
    "doc": {"id": 1, "turns": ["Hi.", "Bye."], "meta": {"kind": " x "}, "none": None},
}


@pytest.mark.parametrize(
    "template",
    [
        *(
            "{{ prompt }}\n{{ response }}\n",
            "{{ doc.meta.kind | trim | upper }}",
            "{{ doc | tojson }}",
            "{{ doc.turns[0] }}",
        ),
        "{% for turn in doc.turns %}{{ loop.index }}: {{ turn }}{{ ', ' if not loop.last }}{% else %}none{% endfor %}",
        "{% for a in doc.turns %}{% for b in doc.turns %}{{ a ~ b }}{% endfor %}{% endfor %}",
        "{% for key, value in doc.items() %}{{ key }}={{ value }};{% endfor %}",
        "{% if doc.get('behavior') %}a{% elif 'x' in doc.meta.kind %}b{% endif %}{{ doc.other | default('-') }}",
        "{% for number in range(1, 4) %}{{ number + 1 }}{% endfor %}{# note #}{% raw %}{{ x }}{% endraw %}",
        "{{ doc.turns | join(' / ') }}{{ response[:3] }}{{ doc.none is none }}{{ doc.turns | length }}",
    ],
)
def test_what_has_a_bound_is_filled_in_as_by_jinja(template: str) -> None:
    plain = jinja2.Environment(keep_trailing_newline=True).from_string(template).render(VALUES)
    assert filled_in(template_of(template), VALUES) == plain


@pytest.mark.parametrize(
    "template",
    [
        *("{{ 9 ** 9 ** 9 }}", "{{ 'a' * 10000000000 }}", "{{ '%9999999999d' % 1 }}", "{{ 5 | round(-999999999) }}"),
        *("{{ 'a'.center(9999999999) }}", "{{ '{:>9999999999}'.format(1) }}", "{{ 'a' | center(9999999999) }}"),
        *("{{ doc | tojson(indent=9999999999) }}", "{{ doc | map('center', 9999999999) | list }}"),
        *("{{ response | replace('r', response) }}", "{{ response.replace('r', response) }}", "{{ lipsum(9999999) }}"),
        "".join("{% set x = 'a' %}" for _ in range(2)) + "{% set x = x ~ x %}" * 64 + "{{ x }}",
        "{% with a = 'x' %}{{ a }}{% endwith %}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
        "{% set box = namespace(text='a') %}",
        *("{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% block a %}{% endblock %}"),
        *("{{ doc['get']('id') }}", "{{ doc | attr('get') }}", "{% filter upper %}a{% endfilter %}"),
    ],
)
def test_what_multiplies_is_refused_before_anything_is_computed(template: str) -> None:
    with pytest.raises(jinja2.TemplateError, match="a template cannot use"):
        template_of(template)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for x in range(100000) %}{% endfor %}", "a range has more than 1,000 numbers"),
        (
            "{% for x in range(99) %}{% for y in range(99) %}{% endfor %}{% endfor %}",
            "loops take more than 1,000 steps",
        ),
        ("{% for x in response %}{% endfor %}", "loops take more than 1,000 steps"),
        ("{% for x in range(900) %}{{ response }}{% endfor %}", "writes more than 4,194,304 characters"),
        ("{{ response | list | join(response) }}", "writes more than 4,194,304 characters"),
        ("{{ doc.__class__ }}", "unsafe"),
    ],
)
def test_what_grows_with_its_input_is_stopped(template: str, said: str) -> None:
    made = template_of(template)
    with pytest.raises(jinja2.TemplateError, match=said):
        filled_in(made, VALUES)


def test_steps_are_counted_for_each_item_anew_and_long_answers_are_shown_whole() -> None:
    made = template_of("{% for x in range(900) %}.{% endfor %}{{ response }}")
    long = "r" * (MOST_CHARACTERS - 900)
    assert {filled_in(made, {"response": long}) for _ in range(2)} == {"." * 900 + long}
