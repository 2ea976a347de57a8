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
        ("\x1b]0;no end of a title", "0;no end of a title"),
        ("\x1b]0;two\nlines\x07", "0;two\nlines"),
        ("\x9d0;owned\x9ctitle", "title"),
        ("\x9d0;no end", "0;no end"),
        ("\x90device\x07rest", "rest"),
        ("a\u061cb\u200ec\u2069d", "abcd"),
        ("one\x85two\u2028three\u2029four", "one\ntwo\nthree\nfour"),
        ("\x1b[31\x1b]0;x\x07m", "31m"),
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
    assert not {unicodedata.bidirectional(char) for char in cleaned} & _DIRECTIONS
    assert clean(cleaned) == cleaned


_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(
    st.text(), st.text(), st.sampled_from(["\x1b]", "\x1bP", "\x1b[", "\x9d", "\x9b", "\x1b", "\x1b]8;;x"])
)
def test_no_text_hides_the_line_after_it(before: str, after: str, opening: str) -> None:
    """A sequence that is never closed takes nothing of the next line with it."""
    assert clean(f"{before}{opening}\nnext: {clean(after)}").endswith(f"\nnext: {clean(after)}")


def test_cleaning_takes_a_time_that_grows_with_the_text_and_no_more() -> None:
    """A megabyte of beginnings without an end is cleaned within the test's time."""
    for opening in ("\x1b]", "\x9d", "\x1b[", "\x90", "\x1b]0;" + "x" * 50):
        assert "\x1b" not in clean(opening * 200_000)


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
