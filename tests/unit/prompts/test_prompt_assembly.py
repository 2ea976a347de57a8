"""From five parts to one template source."""

from __future__ import annotations

from sdg_stream.prompts.assembly import PARTS, assemble, missing_parts, part_at
from sdg_stream.prompts.template import compile_template


def test_parts_are_joined_by_newlines_and_null_is_empty() -> None:
    """A null part leaves its newline, so the rendered text has blank lines in its place."""
    config = {"system": "{{s}}", "introduction": None, "principles": "", "examples": None, "generation": "G"}
    assert compile_template(assemble(config)).render({"s": "S0"}) == "S0\n\n\n\nG"


def test_parts_are_inserted_as_they_are() -> None:
    """Own newlines and braces stay, and what is no text becomes text."""
    config = {
        "system": "a\n",
        "introduction": 1.5,
        "principles": [1],
        "examples": "{b} {0}",
        "generation": True,
    }
    assert assemble(config) == "a\n\n1.5\n[1]\n{b} {0}\nTrue"


def test_q_prompt_1_missing_parts_are_empty_and_told() -> None:
    """Q-PROMPT-1: a part without a key counts as empty, and the caller can say so."""
    assert assemble({"generation": "G"}) == "\n\n\n\nG"
    assert missing_parts({"generation": None, "system": "s"}) == ("introduction", "principles", "examples")


def test_lines_are_found_in_their_part() -> None:
    """A line of the source is told as a line of the part that it comes from."""
    config = dict.fromkeys(PARTS, "one\ntwo\n")
    assert [part_at(config, line) for line in (1, 3, 4, 8)] == [
        ("system", 1),
        ("system", 3),
        ("introduction", 1),
        ("principles", 2),
    ]
    assert part_at({}, 99) == ("generation", 1)
