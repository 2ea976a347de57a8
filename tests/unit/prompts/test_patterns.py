"""Patterns of users: they mean what they mean to Python's ``re``, and can be stopped."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdg_stream.prompts.patterns import Pattern, PatternMistake, PatternTooSlow

TEXTS = st.text("ab Q1_-.,:[]{}é½²\u0301\u0928\u094d\n\t", max_size=30) | st.sampled_from(
    [
        "[Q] one [A] two\n[Q] three",
        "x{e} {a} {,} a{1",
        "[:alpha:] a&b",
        "naïve ½x² नमस्ते a\u0301b, Ünder_scored-ÉÉ",
    ]
)
ATOMS = st.sampled_from(
    [
        "a", "b", ".", r"\s", r"\S", r"\w", r"\W", r"\d", r"\D", r"\b", "[ab]", "[^a]", r"[\w.]", r"[^\w]",
        r"[\W_]", r"[\s\S]", "[]a]", "[^]a]", "[a-]", "[[:alpha:]]", "[a&&b]", r"\[", r"\]", r"\{", "^", "$",
        r"\Z", r"\n", "Q", "é", "½", "x{e}", "{a}", "a{1", "{}", "{", "}", r"\\", r"[\]\[]", r"\u00e9",
    ]
)  # fmt: skip
REPEATS = st.sampled_from(["", "", "", "*", "+", "?", "*?", "+?", "{2}", "{1,2}", "{,2}", "{1,}", "{0,2}?"])
PATTERNS = st.recursive(
    st.tuples(ATOMS, REPEATS).map("".join),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.tuples(st.sampled_from(["(", "(?:", "(?=", "(?!", "(?P<name>"]), inner).map(
            lambda pair: f"{pair[0]}{pair[1]})"
        )
        | st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})")
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(
    source=PATTERNS, flags=st.sampled_from(["", "", "(?i)", "(?m)", "(?a)", "(?s)"]), text=TEXTS.filter(bool)
)
@pytest.mark.filterwarnings("ignore:Possible (nested set|set)")
def test_matches_are_those_of_re(source: str, flags: str, text: str) -> None:
    """Any pattern on any text gives what ``re.findall`` gives, with the dot matching newlines or not."""
    for dotall in (True, False):
        try:
            by_re = re.compile(flags + source, re.DOTALL if dotall else 0)
        except re.error as error:
            with pytest.raises(PatternMistake, match=re.escape(str(error))):
                Pattern(flags + source, dotall=dotall)
            return
        pattern = Pattern(flags + source, dotall=dotall)
        assert pattern.groups == by_re.groups
        assert pattern.findall(text, 2) == by_re.findall(text)
        assert pattern.matches(text, 2) is (by_re.search(text) is not None)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("(a+)+$", "a" * 25_000 + "b"),
        ("(a|aa)+$", "a" * 25_000 + "b"),
        (r"(\w+\s?)*$", "one two " * 3_000 + "!"),
        (r"\[Q\]\s*(.*?)\s*\[A\]\s*(.*?)\s*\[END\]", "[Q] a " * 1_500 + "[A] b " * 1_500),
        (r"(.*?,){12}P", ",".join("123456789") * 500),
        (r"\s+$", " " * 25_000 + "x"),
    ],
    ids=["nested", "ambiguous", "words", "one tag again and again", "backtracking", "white space"],
)
def test_row_51_any_pattern_can_be_stopped(source: str, text: str) -> None:
    """What would take minutes or years takes as long as it may."""
    pattern = Pattern(source)
    for match in (pattern.findall, pattern.matches):
        started = time.monotonic()
        with pytest.raises(PatternTooSlow, match=r"within 0\.02 s"):
            match(text, 0.02)
        assert time.monotonic() - started < 0.1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("(a", "missing ), unterminated subpattern at position 0"),
        ("a)", "unbalanced parenthesis at position 1"),
        ("x\n[a", "unterminated character set at position 2 (line 2, column 1)"),
        ("a**", "multiple repeat at position 2"),
        (r"\p{L}", r"bad escape \p at position 0"),
        ("(?P<a>x)(?P<a>y)", "redefinition of group name 'a' as group 2; was group 1 at position 12"),
        ("a{99999999999999999999}", "the repetition number is too large"),
        ("(?<=a*)b", "look-behind requires fixed-width pattern"),
    ],
)
def test_row_52_a_mistake_has_its_position(source: str, words: str) -> None:
    """What ``re`` refuses is refused in its words; what only other engines know is refused as well."""
    with pytest.raises(PatternMistake) as caught:
        Pattern(source)
    assert str(caught.value) == words
