"""Plots are well-formed, escape what they are told, and put values where they belong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from harness_ext.leaderboards import plots
from harness_ext.leaderboards.printable import visible

POLES = ("E", "I")
numbers = st.floats(min_value=-1e6, max_value=1e6)


def parsed(drawing: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(f"<root>{drawing}</root>")


def percents(root: ElementTree.Element, *names: str) -> Iterator[float]:
    for element in root.iter():
        for name in names:
            value = element.get(name, "")
            if value.endswith("%"):
                yield float(value[:-1])


@given(values=st.lists(numbers, min_size=1), zero=st.booleans())
def test_an_axis_holds_every_value_and_ends_on_its_ticks(values: list[float], zero: bool) -> None:
    scale = plots.axis(values, zero=zero)
    slack = 1e-6 * (scale.high - scale.low)
    assert scale.low - slack <= min(values) and max(values) <= scale.high + slack
    assert (scale.ticks[0], scale.ticks[-1]) == (scale.low, scale.high)
    assert 2 <= len(scale.ticks) <= 7
    assert not zero or scale.low <= 0 <= scale.high
    assert all(0 <= float(scale.percent(value)[:-1]) <= 100 for value in values)


def test_an_axis_of_nothing_can_still_be_drawn() -> None:
    assert plots.axis([math.nan]).high > plots.axis([]).low


@given(
    label=st.text(),
    value=st.one_of(numbers, st.just(math.nan)),
    spread=st.one_of(st.floats(0, 1e3), st.just(math.nan)),
    reference=st.one_of(numbers, st.just(math.nan)),
)
def test_bars_of_any_text_and_number_are_well_formed(label: str, value: float, spread: float, reference: float) -> None:
    bar = plots.Bar(visible(label), value, value - spread, value + spread, 0)
    scale = plots.axis([value, bar.low, bar.high, reference])
    root = parsed(plots.bars([bar], scale, name=visible(label), reference=reference))
    assert all(0 <= percent <= 100 for percent in percents(root, "x", "x1", "x2", "width"))
    assert len(list(root.iter("rect"))) == math.isfinite(value)
    assert len(root.findall(".//line[@class='reference']")) == math.isfinite(reference)
    assert len(root.findall(".//line[@class='interval']")) == (3 if math.isfinite(value + spread) else 0)


def test_a_bar_begins_at_zero_and_ends_at_its_value() -> None:
    rows = [plots.Bar("up", 3, 2, 4, 0), plots.Bar("down", -1, -1, -1, 1)]
    up, down = parsed(plots.bars(rows, plots.Axis(-1, 4, (-1, 4)), name="")).iter("rect")
    assert (up.get("x"), up.get("width")) == ("20%", "60%")
    assert (down.get("x"), down.get("width")) == ("0%", "20%")


def test_a_bar_without_a_value_says_so() -> None:
    assert "undefined" in plots.bars([plots.Bar("m", math.nan, math.nan, math.nan, 0)], plots.axis([1]), name="")


def test_markup_in_labels_is_text() -> None:
    nasty = '<script>alert(1)</script>"&'
    scale = plots.axis([1.0])
    for drawing in (
        plots.bars([plots.Bar(nasty, 1, 1, 1, 0)], scale, name=nasty),
        plots.dots([(nasty, [plots.Dot(nasty, 1, 0), plots.Dot(nasty, 1, None)])], scale, name=nasty),
        plots.histogram(np.array([1]), np.array([1]), poles=(nasty, nasty), series=0, name=nasty),
        plots.reliability(np.ones(1), np.ones(1), np.array([8]), poles=(nasty, nasty), series=0, name=nasty),
    ):
        assert "<script" not in drawing
        svg = parsed(drawing)[0]
        assert svg.get("aria-label") == nasty
        assert svg.get("role") == "img"


def test_dots_leave_out_what_has_no_value_and_draw_context_first() -> None:
    marks = [plots.Dot("a", 1.0, 0), plots.Dot("b", math.nan, 1), plots.Dot("paper", 2.0, None)]
    root = parsed(plots.dots([("row", marks)], plots.axis([1, 2]), name=""))
    tips = [element.text or "" for element in root.iter("title")]
    assert [tip.partition(":")[0] for tip in tips] == ["paper", "a"]


@pytest.mark.parametrize("series", range(plots.SERIES))
def test_every_series_has_a_marker_of_its_own(series: int) -> None:
    others = [plots.marker(other) for other in range(plots.SERIES) if other != series]
    assert plots.marker(series) not in others


def test_histogram_bars_are_shares_of_the_predictions() -> None:
    drawing = plots.histogram(np.array([0, 0, 8]), np.array([4, 4, 4, 8]), poles=POLES, series=0, name="")
    heights = [float(bar.get("height", "")) for bar in parsed(drawing).iter("rect")]
    assert [height > 0 for height in heights] == [at in (4, 8) for at in range(9)]
    assert heights[4] == pytest.approx(3 * heights[8], abs=0.2)


def test_reliability_shows_the_mean_gold_label_of_each_predicted_segment() -> None:
    gold, predicted = np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.0, 1.0])
    root = parsed(plots.reliability(gold, predicted, np.array([0, 0, 8]), poles=POLES, series=0, name=""))
    low, high = root.iter("circle")
    frame = {key: float(value) for key, value in next(root.iter("rect")).items() if key != "class"}

    def gold_of(circle: ElementTree.Element) -> float:
        margin = 12
        return 1 - (float(circle.get("cy", "")) - margin) / (frame["height"] - 2 * margin)

    assert gold_of(low) == pytest.approx(0.25, abs=0.01)
    assert gold_of(high) == pytest.approx(1.0, abs=0.01)
    assert float(low.get("r", "")) > float(high.get("r", ""))
