"""The catalog names every built-in, and only those."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sdg_stream.abc import Block
from sdg_stream.catalog import (
    BLOCKS,
    _entry_points,
    find_pipeline,
    list_pipelines,
    pipelines_dir,
    resolve_block,
)
from sdg_stream.errors import ConfigError

BLOCK_FILES = Path(__file__).parent.parent / "sdg_stream" / "blocks"


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_name_resolves_to_a_block_of_that_name(name: str) -> None:
    """A built-in's type is its class name."""
    found = resolve_block(name)
    assert issubclass(found, Block)
    assert found.__name__ == name


def test_every_block_file_is_listed() -> None:
    """A file that defines a block class named like a block is in the catalog."""
    defined = {
        node.name
        for file in BLOCK_FILES.glob("*_block.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Block") and not node.name.startswith("_")
    }
    assert defined == set(BLOCKS)


def test_an_unknown_type_names_the_nearest() -> None:
    """A typing mistake is answered with what was meant."""
    with pytest.raises(ConfigError, match="did you mean 'LLMBlock'"):
        resolve_block("LMBlock")


def test_a_module_is_not_imported_unless_its_folder_is_allowed(tmp_path: Path) -> None:
    """A pipeline file cannot choose which code runs."""
    canary = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(canary)!r}, 'w').close()\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="--plugins"):
        resolve_block("evil:Anything")
    with pytest.raises(ConfigError, match="no module 'os'"):
        resolve_block("os:system", [tmp_path])
    assert not canary.exists()
    with pytest.raises(ConfigError, match="has no 'Anything'"):
        resolve_block("evil:Anything", [tmp_path])
    assert canary.exists()


def test_an_installed_package_publishes_blocks_by_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution's ``sdg_stream.blocks`` entry points are block types by name."""
    (tmp_path / "shouting.py").write_text(
        "from sdg_stream import BlockConfig, RowBlock\n"
        "class Shout(RowBlock[BlockConfig]):\n"
        "    def apply(self, columns):\n"
        "        return ({**columns, 'text': columns['text'].upper()},)\n",
        encoding="utf-8",
    )
    info = tmp_path / "shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[sdg_stream.blocks]\nShout = shouting:Shout\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    _entry_points.cache_clear()
    try:
        assert resolve_block("Shout").__name__ == "Shout"
        with pytest.raises(ConfigError, match="did you mean 'Shout'"):
            resolve_block("Shoot")
    finally:
        _entry_points.cache_clear()


def test_shipped_pipelines_are_found_by_name_and_by_upstreams_spelling() -> None:
    """Names with and without the suffix, and upstream's relative path, mean the same file."""
    expected = pipelines_dir() / "full" / "knowledge.yaml"
    for name in ("full/knowledge", "full/knowledge.yaml", "pipelines/full/knowledge.yaml"):
        assert find_pipeline(name).resolve() == expected.resolve()
    assert "simple/grounded_skills" in list_pipelines()
    with pytest.raises(ConfigError, match="did you mean 'full/knowledge'"):
        find_pipeline("full/knowlege")
