"""Thoughts and answers of reasoning models, told apart by the marks in the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.prompts.reasoning import MARKS, split_reasoning

PIECES = st.lists(
    st.sampled_from([*(mark for pair in MARKS for mark in pair), "a", " ", "\n", "<", "]"]), max_size=8
)


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think>\nso\n</think>\n\nParis.\n", "so", "Paris.\n"),
        ("  <think>so</think>Paris.", "so", "Paris."),
        ("so\n</think>\n\nParis.", "so", "Paris."),
        ("<think>so it", "so it", ""),
        ("<think></think>\n\nParis.", "", "Paris."),
        ("<seed:think>so</seed:think>Paris.", "so", "Paris."),
        ("[THINK]so[/THINK]Paris.", "so", "Paris."),
        ("<think>so</think>one</think>two", "so", "one</think>two"),
    ],
    ids=["whole", "indented", "no begin", "no end", "empty", "seed", "brackets", "twice"],
)
def test_thoughts_come_off_the_answer(text: str, thoughts: str, answer: str) -> None:
    """The first block of thoughts is split off, also where the template or the cut took one of its marks."""
    assert split_reasoning(text) == (thoughts, answer)


@pytest.mark.parametrize(
    "text",
    ["", "Paris.", " Paris. \n", "a < b", "[a]x[/a]", "Use <think> for it.", "Between <think> and </think>."],
)
def test_other_replies_stay_as_they_are(text: str) -> None:
    """A reply that does not begin with thoughts is not touched, not even its white space."""
    assert split_reasoning(text) == ("", text)


@given(PIECES.map("".join))
def test_nothing_is_made_up(text: str) -> None:
    """Thoughts and answer are pieces of the text, thoughts first; the answer is the end of it."""
    thoughts, answer = split_reasoning(text)
    assert text.find(thoughts) <= text.rfind(answer)
    assert text.endswith(answer)
    assert thoughts in text
