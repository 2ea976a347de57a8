"""Files that appear as a whole or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from sdg_stream.errors import OutputError, RunStateError
from sdg_stream.mixing.whole_file import WholeFile


def test_it_appears_at_the_end_and_nothing_is_left_beside(tmp_path: Path) -> None:
    """Until then the old one is there, and patterns do not match what is written."""
    path = tmp_path / "rows.jsonl"
    path.write_text("old\n")
    with WholeFile(path) as file:
        file.write(b"new\n")
        assert path.read_text() == "old\n"
        assert list(tmp_path.glob("*.jsonl")) == [path]
    assert path.read_text() == "new\n"
    assert file.rows == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """And nothing beside it."""
    path = tmp_path / "rows.jsonl"
    path.write_text("old\n")
    with pytest.raises(KeyError), WholeFile(path) as file:
        file.write(b"new\n")
        raise KeyError
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    """The file beside has the same name each time."""
    path = tmp_path / "rows.jsonl"
    (tmp_path / "rows.jsonl.new").write_text("half a li")
    with WholeFile(path) as file:
        file.write(b"row\n")
    assert path.read_text() == "row\n"
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_writers_the_first_is_told(tmp_path: Path) -> None:
    """The second one's file is whole."""
    path = tmp_path / "rows.jsonl"
    with pytest.raises(RunStateError, match="written by another process"), WholeFile(path) as first:
        first.write(b"first\n")
        with WholeFile(path) as second:
            second.write(b"second\n")
            first.write(b"first\n")
            first._flush()
        first.write(b"first\n")
        (tmp_path / "rows.jsonl.new").write_text("of a third one")
    assert path.read_text() == "second\n"
    assert (tmp_path / "rows.jsonl.new").read_text() == "of a third one"


def test_a_file_that_was_taken_away(tmp_path: Path) -> None:
    """Somebody deletes it while it is written: an error in words, not a traceback."""
    with pytest.raises(RunStateError, match="taken away"), WholeFile(tmp_path / "rows.jsonl") as file:
        file.write(b"row\n")
        (tmp_path / "rows.jsonl.new").unlink()


def test_a_link_stays(tmp_path: Path) -> None:
    """What it names is replaced."""
    (tmp_path / "disk").mkdir()
    link, target = tmp_path / "rows.jsonl", tmp_path / "disk" / "real.jsonl"
    link.symlink_to(target)
    with WholeFile(link) as file:
        file.write(b"row\n")
    assert link.is_symlink()
    assert target.read_text() == "row\n"


def test_packed(tmp_path: Path) -> None:
    """A name that ends with .gz is packed, and the same rows give the same bytes."""
    for name in ("a.gz", "b.gz"):
        with WholeFile(tmp_path / name) as file:
            for number in range(3):
                file.write(b"row %d\n" % number)
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"row 0\nrow 1\nrow 2\n"
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    """A device is not renamed over; a full one is an error in words."""
    with WholeFile("/dev/null") as file:
        file.write(b"row\n")
    assert Path("/dev/null").is_char_device()
    with (
        pytest.raises(OutputError, match="/dev/full: cannot be written: No space left"),
        WholeFile("/dev/full") as full,
    ):
        full.write(b"row\n")


def test_a_missing_folder(tmp_path: Path) -> None:
    """Is named."""
    with pytest.raises(OutputError, match="nowhere does not exist"), WholeFile(tmp_path / "nowhere" / "x"):
        pass
