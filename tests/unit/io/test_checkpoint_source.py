"""An input some of whose rows are finished: what comes for each row, and what a person is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sdg_stream.abc import FinishedRoot
from sdg_stream.errors import ConfigError, RecordError
from sdg_stream.io.checkpoint_source import CheckpointSource
from sdg_stream.io.iterables import IterableSource
from sdg_stream.io.jsonl import JsonlSource

pytestmark = pytest.mark.anyio


def write(file: Path, rows: Sequence[Any]) -> Path:
    """A JSONL file."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with two rows of the topic x and one of a topic that is not in the input."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    rows = [{"topic": "x", "q": 1}, {"topic": "x", "q": 2}, {"topic": "gone", "q": 3}]
    write(folder / "data_checkpoint_1.jsonl", rows)
    return folder


async def drained(source: CheckpointSource) -> list[Any]:
    """All items; columns as they are, of a finished root the values of q."""
    items: list[Any] = []
    while batch := await source.read():
        items += [
            [row["q"] for row in item.rows] if isinstance(item, FinishedRoot) else item for item in batch
        ]
    await source.aclose()
    return items


async def test_rows_come_with_their_input_row(folder: Path, tmp_path: Path) -> None:
    """An input row with rows is finished, an equal one after it without any, the others are as ever."""
    file = tmp_path / "in.jsonl"
    file.write_text('{"topic": "y"}\nnot JSON\n{"topic": "x"}\n{"topic": "x"}\n')
    told: list[tuple[str, str]] = []
    source = CheckpointSource(JsonlSource(file), folder, tell=lambda *words: told.append(words))
    items = await drained(source)
    assert isinstance(items.pop(1), RecordError)
    assert items == [{"topic": "y"}, [1, 2], []]
    assert [code for code, _ in told] == [*["import_weakness"] * 4, "import_repeated", "import_unused"]
    assert told[-2][1].startswith("1 input row equal to one before")
    assert told[-1][1] == (
        f"1 row of {folder} left out, which belong to no input row: the pipeline writes to topic, by which"
        " rows are recognised"
    )


async def test_an_iterable_works_as_well(folder: Path) -> None:
    """The columns are those of the first row that comes; there is nothing to look at before."""
    source = CheckpointSource(IterableSource([{"topic": "x"}, {"topic": "y"}]), folder)
    assert (source.name, source.position, source.size) == ("<iterable>", None, None)
    assert await drained(source) == [[1, 2], {"topic": "y"}]


async def test_an_input_without_rows_needs_no_checkpoint(tmp_path: Path) -> None:
    """Nothing is read, nothing is told."""
    source = CheckpointSource(IterableSource([]), tmp_path / "none")
    assert await drained(source) == []


async def test_columns_are_followed_to_their_new_names(tmp_path: Path) -> None:
    """Where the pipeline keeps a column under another name, that one is compared: no row is left over."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    rows = [
        {"document": "d", "raw_document": "d", "q": 1},
        {"document": "D", "raw_document": "d", "q": 2},
        {"document": "d", "raw_document": "e", "q": 3},
    ]
    write(folder / "data_checkpoint_1.jsonl", rows)
    told: list[str] = []
    source = CheckpointSource(
        IterableSource([{"document": "d"}, {"document": "e"}]),
        folder,
        follow=lambda _: {"document": "raw_document"},
        tell=lambda code, _: told.append(code),
    )
    assert await drained(source) == [[1, 2], [3]]
    assert "import_unused" not in told


async def test_the_digest_is_of_names_and_bytes(folder: Path) -> None:
    """The same files, the same words; another byte or name, others; no folder is a mistake."""
    source = CheckpointSource(IterableSource([]), folder)
    before = await source.digest()
    assert before.startswith("1 file, ")
    assert await source.digest() == before
    file = folder / "data_checkpoint_1.jsonl"
    file.rename(folder / "data_checkpoint_2.jsonl")
    assert await source.digest() != before
    (folder / "data_checkpoint_2.jsonl").rename(file)
    file.write_text(file.read_text() + "\n")
    assert await source.digest() != before
    file.unlink()
    with pytest.raises(ConfigError, match=r"there is no data_checkpoint_\*\.jsonl"):
        await source.digest()
