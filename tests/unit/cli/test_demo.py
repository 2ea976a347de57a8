"""The words around the demo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdg_stream.cli.demo import Demo
from sdg_stream.errors import OutputError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo writes to the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_are_shown_readably_and_harmless(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three rows, wrapped and cut, without what a terminal would act on."""
    demo = Demo(quiet=False)
    demo.open()
    row = {"question": "Why\x1b[31m?", "response": "word " * 200}
    (here / "sdg_stream_demo/rows.jsonl").write_text(f"{json.dumps(row)}\n" * 5)
    demo.close()
    words = capsys.readouterr().err
    assert words.count("  Q  Why?\n") == 3
    assert words.count(" …\n") == 3
    assert "\x1b" not in words
    assert words.count("SIMULATED") == 2


def test_events_for_programs_are_not_mixed_with_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A quiet demo says nothing of its own."""
    demo = Demo(quiet=True)
    demo.open()
    Path("sdg_stream_demo/rows.jsonl").write_text("{}\n")
    demo.close()
    assert capsys.readouterr().err == ""


def test_a_place_that_cannot_be_written_to(here: Path) -> None:
    """When the folder cannot be made, the error names it."""
    (here / "sdg_stream_demo").write_text("a file")
    with pytest.raises(OutputError, match="sdg_stream_demo"):
        Demo(quiet=True).open()
