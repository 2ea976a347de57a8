"""Text for screens."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.observe.text import aligned, clean, clock, count, one_line, plural


@pytest.mark.parametrize(
    ("dirty", "harmless"),
    [
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1bPdevice\x1b\\rest", "rest"),
        ("\x1b7saved\x1b8", "saved"),
        ("a\x08b\x7fc\x00d", "abcd"),
        ("line\r\nline\rline", "line\nline\nline"),
        ("abc\u202edef\u2066", "abcdef"),
        ("tab\tstays\n", "tab\tstays\n"),
        ("half \ud83d pair", "half  pair"),
        ("\x1b", ""),
    ],
)
def test_clean_strips_what_a_terminal_would_act_on(dirty: str, harmless: str) -> None:
    """Escape sequences, control bytes, text direction, lone surrogates go; words, tabs, newlines stay."""
    assert clean(dirty) == harmless


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x1b[]0;31mPX^_\\\x07\x9b\r"))))
def test_clean_leaves_no_control_character(text: str) -> None:
    """Whatever comes in, no control character but tab and newline comes out; cleaning twice is cleaning."""
    cleaned = clean(text)
    assert all(char in "\t\n" or unicodedata.category(char) not in ("Cc", "Cs") for char in cleaned)
    assert clean(cleaned) == cleaned


def test_one_line_is_one_line_of_a_width() -> None:
    """Newlines and runs of spaces become one space, and the cut is visible."""
    assert one_line("a\n\n  b\tc") == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"


def test_numbers_are_readable() -> None:
    """Clock times, thousands and plurals."""
    assert [clock(0), clock(61.9), clock(3723)] == ["0:00", "1:01", "1:02:03"]
    assert [count(1234567), plural(1, "row"), plural(2000, "row")] == ["1,234,567", "1 row", "2,000 rows"]


def test_aligned_columns() -> None:
    """The first column is flush left, numbers are flush right, nothing trails."""
    assert aligned([["block", "in"], ["a", "1,000"]]) == ["block     in", "a      1,000"]
    assert aligned([]) == []
