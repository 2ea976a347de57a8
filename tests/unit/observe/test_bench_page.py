"""A load test as a page, and the charts on it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_bench import LEVELS, SETUP, report

from sdg_stream.observe.bench_page import bench_page
from sdg_stream.observe.chart import Chart, Line, nice_ticks, svg

HOSTILE = "<script>alert(1)</script>\"'&\x1b[2J"


class Tags(HTMLParser):
    """The tags of a page, and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember one."""
        self.names.append(tag)
        self.attributes += attrs


def test_a_page_stands_alone() -> None:
    """No script, and nothing from elsewhere; light and dark; as wide as a phone."""
    page = bench_page(report())
    tags = Tags(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(tags.names)
    assert not {"src", "href", "onload", "style"} & {name for name, _ in tags.attributes}
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert tags.names.count("svg") == 2
    assert "--concurrency 8" in page


def test_everything_is_escaped() -> None:
    """What a server or a user named stands there as text, in the charts, too."""
    setup = msgspec.structs.replace(
        SETUP, model=HOSTILE, server=HOSTILE, endpoints=(HOSTILE,), prompts=HOSTILE, platform=HOSTILE
    )
    levels = tuple(msgspec.structs.replace(level, errors={HOSTILE: 1}, notes=(HOSTILE,)) for level in LEVELS)
    page = bench_page(
        report(setup=setup, levels=levels, knee=HOSTILE, stopped=HOSTILE, warnings=(HOSTILE,), date=HOSTILE)
    )
    assert "script" not in Tags(page).names
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


def test_a_page_of_almost_nothing() -> None:
    """One level, nothing answered, nothing to recommend."""
    empty = msgspec.structs.replace(
        LEVELS[0],
        completed=0,
        requests_per_s=0.0,
        output_tokens_per_s=0.0,
        first_token=None,
        inter_token=None,
    )
    page = bench_page(report(levels=(empty,), recommended_concurrency=None, unit="requests_per_s"))
    assert "Recommended" not in page
    assert "nan" not in page.lower()


@given(
    st.lists(st.tuples(st.floats(0.001, 1e6), st.floats(0, 1e9)), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_charts_are_sound_whatever_is_drawn(
    points: list[tuple[float, float]], doubling: bool, marked: bool
) -> None:
    """Well-formed, every point inside, words as text."""
    labels = [HOSTILE.replace("\x1b", "")] * len(points)
    lines = [
        Line(name="<a>", kind="one", points=points, labels=labels),
        Line(name="b", kind="two", points=[]),
    ]
    drawn = svg(
        Chart(
            title="t",
            x="x",
            y="y",
            lines=lines,
            doubling=doubling,
            mark=points[0][0] if marked and points else None,
        )
    )
    root = ET.fromstring(drawn)
    for circle in root.iter("circle"):
        assert -1 <= float(circle.attrib["cx"]) <= 641
        assert -1 <= float(circle.attrib["cy"]) <= 341


@pytest.mark.parametrize(
    ("most", "ticks"),
    [(0.0, [0, 1]), (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (9500.0, [0, 2000, 4000, 6000, 8000, 10_000])],
)
def test_ticks_are_round(most: float, ticks: list[float]) -> None:
    """And reach the highest value."""
    assert nice_ticks(most) == ticks


def test_labels_that_would_lie_on_each_other_are_left_out() -> None:
    """The first of them stays."""
    points = [(1.0, 1.0), (1.001, 1.0), (8.0, 1.0)]
    drawn = svg(
        Chart(title="t", x="x", y="y", lines=[Line(name="a", kind="one", points=points, labels="abc")])
    )
    assert re.findall(r'class="label"[^>]*>(\w)<', drawn) == ["a", "c"]
