"""Replies: by tags, by patterns, and the ways of both that old pipelines rely on."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.prompts.parsing import RegexParser, TagParser


def by_tags(text: str, **tags: tuple[str | None, str | None]) -> list[dict[str, Any]]:
    """Parse by tags given as ``column=(start, end)``."""
    starts, ends = zip(*tags.values(), strict=True)
    return TagParser(starts, ends, list(tags)).parse(text)


A, B = ("[a]", "[/a]"), ("[b]", "[/b]")
scraps = st.lists(st.sampled_from(["[", "]", "a", "/", "[a]", "[/a]", " ", "\n", "x", "("]), max_size=20).map(
    "".join
)
tag = st.text("[a]/(.*", max_size=3)


@given(text=scraps, start=tag, end=st.text("[a]/(.*", min_size=1, max_size=3))
def test_tags_find_what_a_lazy_pattern_finds(text: str, start: str, end: str) -> None:
    """The search gives, for any tags, what the shortest match of an escaped pattern gives."""
    pattern = re.escape(start) + "(.*?)" + re.escape(end)
    expected = [{"a": value.strip()} for value in re.findall(pattern, text, re.DOTALL)]
    assert by_tags(text, a=(start, end)) == expected


@given(text=scraps, other=scraps)
def test_the_column_with_the_fewest_matches_decides(text: str, other: str) -> None:
    """Rows are the columns' own matches side by side, as many as the shorter list has."""
    both = by_tags(text + other, a=A, b=("x", "("))
    left, right = by_tags(text + other, a=A), by_tags(text + other, b=("x", "("))
    assert both == [one | two for one, two in zip(left, right, strict=False)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[a]1[/a] noise [a] 2 [/a][a]\n3\n4 [/a]", ["1", "2", "3\n4"]),
        ("nothing", []),
        ("[a]open only", []),
        ("[a]un[a]nested[/a] rest[/a]", ["un[a]nested"]),
        ("[a][/a][a]  [/a]", ["", ""]),
        ("[A]no[/A]", []),
        ("[a]\u00a0\u3000x\u2003[/a]", ["x"]),
    ],
)
def test_values_between_tags(text: str, values: list[str]) -> None:
    """Every non-overlapping value over line breaks, as short as possible and stripped."""
    assert by_tags(text, a=A) == [{"a": value} for value in values]


@pytest.mark.parametrize("tags", [("", ""), (None, None), ("", None)])
def test_without_tags_the_whole_reply_is_the_value(tags: tuple[str | None, str | None]) -> None:
    """The stripped reply is one row; an empty one is null."""
    assert by_tags(" some\ntext \n", a=tags) == [{"a": "some\ntext"}]
    assert by_tags("", a=tags) == [{"a": None}]


def test_one_row_tells_that_each_reply_gives_one() -> None:
    """Only without any tag does every reply give exactly one row."""
    assert TagParser(["", None], ["", ""], ["a", "b"]).one_row
    assert not TagParser(["", "["], ["", "]"], ["a", "b"]).one_row
    assert not RegexParser("(.*)", ["a"]).one_row


def test_end_tag_only() -> None:
    """Without a start tag a value begins where the last match ended."""
    assert by_tags("one; two ;;rest", a=("", ";")) == [{"a": "one"}, {"a": "two"}, {"a": ""}]


def test_a_column_given_twice_is_searched_by_its_last_tags() -> None:
    """Of two pairs for one column the later counts, so a column can be used to throw things away."""
    assert by_tags("[a]1[/a][b]2[/b]", _=A) == [{"_": "1"}]
    assert TagParser(["[a]", "[b]"], ["[/a]", "[/b]"], ["_", "_"]).parse("[a]1[/a][b]2[/b]") == [{"_": "2"}]
    assert TagParser(["[a]", "[b]"], ["[/a]", "[/b]"], ["_", "_"]).columns == ("_",)


def test_q_parse_1_columns_beyond_the_tags_are_not_written() -> None:
    """Q-PARSE-1: the shortest of tags and columns decides which columns there are."""
    parser = TagParser(["[a]"], ["[/a]"], ["a", "b"])
    assert parser.columns == ("a",)
    assert parser.parse("[a]1[/a][b]2[/b]") == [{"a": "1"}]
    assert TagParser(["[a]", "[b]"], ["[/a]"], ["a", "b"]).columns == ("a",)


def test_q_parse_2_a_start_tag_without_end_tag_is_refused() -> None:
    """Q-PARSE-2: such a pair can only match nothing, which no one wants."""
    with pytest.raises(ValueError, match=r"'a': the start tag '\[a\]' has no end tag"):
        TagParser(["[a]"], [""], ["a"])


@pytest.mark.parametrize(
    ("starts", "ends", "columns"), [([], [], ["a"]), (["x"], ["y"], []), (["x"], [], ["a"])]
)
def test_q_parse_3_nothing_to_look_for_is_refused(
    starts: list[str], ends: list[str], columns: list[str]
) -> None:
    """Q-PARSE-3: no pair with a column, and no column for a pattern, are seen before the first reply."""
    with pytest.raises(ValueError, match="no reply can be read"):
        TagParser(starts, ends, columns)
    with pytest.raises(ValueError, match="no reply can be read"):
        RegexParser("x", [])


def test_q_parse_4_white_space_stays_where_cleanup_was() -> None:
    """Q-PARSE-4: values are stripped before the cleanup texts go, not after."""
    parser = RegexParser(r"Q(.*?)A(.*?)(?=Q|$)", ["q", "a"], ["[END]", "[End]"])
    assert parser.parse("Q one [END] A two [END]\nQ[End]th[END]reeAfour") == [
        {"q": "one ", "a": "two "},
        {"q": "three", "a": "four"},
    ]


def test_q_parse_5_no_cleanup_list_is_an_empty_one() -> None:
    """Q-PARSE-5: two groups need no cleanup texts."""
    assert RegexParser(r"(\w)-(\w)", ["a", "b"]).parse("1-2") == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("pattern", ["<(.*?)>", "(?<=<).*?(?=>)"])
def test_q_parse_6_one_value_fills_the_first_column_unclean(pattern: str) -> None:
    """Q-PARSE-6: one group, or the whole match, is stripped, but cleanup texts stay in it."""
    assert RegexParser(pattern, ["a"], ["[END]"]).parse("< 1 [END]> <\n2>") == [{"a": "1 [END]"}, {"a": "2"}]


def test_q_parse_6_a_pattern_with_too_few_groups_is_refused() -> None:
    """Q-PARSE-6: a column that no group fills would leave every reply without a row."""
    with pytest.raises(ValueError, match="no group for b"):
        RegexParser("<(.*?)>", ["a", "b"])
    with pytest.raises(ValueError, match="no group for c, d"):
        RegexParser("(.)-(.)", ["a", "b", "c", "d"])


def test_q_parse_7_matches_are_paired_by_position() -> None:
    """Q-PARSE-7: after a lost tag a value is paired with its neighbour's, and the surplus is dropped."""
    text = "[a]1[/a] [a]2[/a][b]second[/b] [a]3[/a][b]third[/b]"
    assert by_tags(text, a=A, b=B) == [{"a": "1", "b": "second"}, {"a": "2", "b": "third"}]


def test_pattern_groups_in_the_order_of_the_columns() -> None:
    """Surplus groups are not used, and a group that took no part in a match is empty text."""
    assert RegexParser(r"(\w)-(\w)-(\w)", ["b", "a"]).parse("1-2-3 4-5-6") == [
        {"b": "1", "a": "2"},
        {"b": "4", "a": "5"},
    ]
    assert RegexParser(r"<(\w+)(?::(\w+))?>", ["a", "b"]).parse("<one>") == [{"a": "one", "b": ""}]


def test_patterns_are_dotall() -> None:
    """The dot matches newlines, and anchors are those of the whole reply."""
    assert RegexParser("(?i)^answer:(.*)$", ["a"]).parse("ANSWER: one\ntwo\n") == [{"a": "one\ntwo"}]


@pytest.mark.parametrize("pattern", ["(a", "a{99999999999999999999}", "(?P<x>a)(?P<x>b)"])
def test_an_invalid_pattern_is_refused(pattern: str) -> None:
    """What is no regular expression is seen before the first reply."""
    with pytest.raises(ValueError, match="not a regular expression"):
        RegexParser(pattern, ["a"])


def test_what_was_missed_is_told() -> None:
    """A person learns which tags, or which pattern, found nothing."""
    parser = TagParser(["[a]", "[b]"], ["[/a]", "[/b]"], ["a", "b"])
    assert parser.missed("[a]1[/a]") == "column 'b': nothing between '[b]' and '[/b]'"
    assert parser.missed("").count("nothing between") == 2
    assert RegexParser("x" * 500, ["a"]).missed("").endswith("xxx...")
