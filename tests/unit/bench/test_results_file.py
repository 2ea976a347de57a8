"""``RESULTS.md``: parts that are written between marks."""

from __future__ import annotations

from pathlib import Path

from gpu_report import HEADING, with_earlier
from results_file import part_of, put_between, write_part


def test_only_the_part_between_the_marks_is_replaced() -> None:
    """What others wrote into the file stays."""
    once = put_between("# Results\n", "a", "old")
    assert once == "# Results\n\n<!-- a: begin -->\n\nold\n\n<!-- a: end -->\n"
    assert put_between(f"{once}More.\n", "a", "new") == once.replace("old", "new") + "More.\n"
    both = put_between(once, "b", "of b")
    assert both == f"{once}\n<!-- b: begin -->\n\nof b\n\n<!-- b: end -->\n"
    assert [part_of(both, name) for name in "abc"] == ["old", "of b", ""]


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    """With a heading."""
    file = tmp_path / "RESULTS.md"
    write_part(file, "a", "text")
    assert file.read_text(encoding="utf-8") == put_between("# Results\n", "a", "text")


def test_entries_are_added_before_earlier_ones() -> None:
    """The heading stands there once."""
    assert with_earlier("one", "# Results\n") == f"{HEADING}\n\none"
    text = put_between("", "gpu", with_earlier("one", ""))
    assert with_earlier("two", text) == f"{HEADING}\n\ntwo\n\none"
