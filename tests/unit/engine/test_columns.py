"""Following the values of input columns to finished rows."""

from __future__ import annotations

from pathlib import Path

import pytest

import sdg_stream as sdg
from sdg_stream.catalog import list_pipelines, pipelines_dir
from sdg_stream.engine.columns import carried

PIPELINE = "version: '1.0'\nblocks:\n"
RENAME = "  - {{name: rename, type: RenameColumnsBlock, config: {{columns_map: {{{}}}}}}}\n"
COPY = "  - {name: copy, type: DuplicateColumnsBlock, config: {columns_map: {a: c}}}\n"
DROP = "  - {name: drop, type: DuplicateColumnsBlock, config: {columns_map: {a: c}}, drop_columns: [a]}\n"


@pytest.mark.parametrize(
    ("blocks", "kept"),
    [
        ("", {"a": "a", "b": "b"}),
        (COPY, {"a": "a", "b": "b"}),
        (DROP, {"b": "b"}),
        (RENAME.format("a: x"), {"a": "x", "b": "b"}),
        (RENAME.format("a: x") + RENAME.format("x: y"), {"a": "y", "b": "b"}),
        (RENAME.format("a: b, b: a"), {"a": "b", "b": "a"}),
        (RENAME.format("a: old, b: a"), {"a": "old", "b": "a"}),
    ],
)
def test_values_are_followed_through_new_names(tmp_path: Path, blocks: str, kept: dict[str, str]) -> None:
    """Renaming carries a value on, also in a swap; dropping it loses it."""
    file = tmp_path / "p.yaml"
    file.write_text(PIPELINE + blocks if blocks else "version: '1.0'\nblocks: []\n")
    assert carried(sdg.Pipeline.load(file).plan().blocks, ["a", "b"]) == kept


@pytest.mark.parametrize("name", list_pipelines())
def test_shipped_pipelines_lose_no_document(name: str) -> None:
    """The document of each input row is in its finished rows, where the pipeline knows of one."""
    plugins = [pipelines_dir() / "examples"]
    kept = carried(sdg.Pipeline.load(name, plugins=plugins).plan().blocks, ["document", "domain"])
    if name in ("full/knowledge", "llama/knowledge"):
        assert kept is not None
        assert kept["document"] == "raw_document"
    if name == "simple/knowledge":
        assert kept == {"document": "document", "domain": "domain"}
