"""Pipeline files: what is taken, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdg_stream.config.pipeline_file import load_pipeline_file
from sdg_stream.errors import ConfigError


def load(tmp_path: Path, text: str) -> object:
    """A pipeline file from text."""
    file = tmp_path / "p.yaml"
    file.write_text(text, encoding="utf-8")
    return load_pipeline_file(file)


BLOCKS = "blocks:\n  - {name: a, type: T, config: {}}\n"


@pytest.mark.parametrize(
    ("version", "warns"), [('"1.0"', False), ("1.0", False), ('"0.9"', True), ('"1.7"', True), ("1", False)]
)
def test_q_pipe_1_versions_that_are_read(tmp_path: Path, version: str, warns: bool) -> None:
    """Text or number; an unknown minor version warns, as upstream does."""
    found = load(tmp_path, f"version: {version}\n{BLOCKS}")
    assert bool(found.warnings) is warns  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", ['"2.0"', '"one"', '"1.0.0"', "[1]", "true", "null", '""'])
def test_q_pipe_1_versions_that_are_refused(tmp_path: Path, version: str) -> None:
    """Malformed and newer major versions are config mistakes with their place."""
    with pytest.raises(ConfigError, match="version"):
        load(tmp_path, f"version: {version}\n{BLOCKS}")


def test_entries_in_all_their_forms(tmp_path: Path) -> None:
    """drop_duplicates may be a list, one text, or off; unknown top-level keys mean nothing."""
    found = load(
        tmp_path,
        """
version: "1.0"
something_else: 1
blocks:
  - {name: a, type: T, config: {x: 1}, drop_columns: [b], drop_duplicates: [c, d]}
  - {name: a, type: T, config: {}, drop_duplicates: c}
  - {name: a, type: T, config: {}, drop_duplicates: false}
  - {name: a, type: T, config: {}, drop_duplicates: null}
datamixing:
  auxiliary_instructions:
    spellcheck: [Do it., Do it again.]
""",
    )
    assert [entry.duplicate_columns for entry in found.blocks] == [["c", "d"], ["c"], [], []]  # type: ignore[attr-defined]
    assert found.blocks[0].config == {"x": 1}  # type: ignore[attr-defined]
    assert found.auxiliary_instructions == {"spellcheck": ["Do it.", "Do it again."]}  # type: ignore[attr-defined]


def test_all_mistakes_are_told_at_once_with_file_line_and_path(tmp_path: Path) -> None:
    """A person sees the whole list, each with the nearest key or what was expected."""
    with pytest.raises(ConfigError) as caught:
        load(
            tmp_path,
            """version: "1.0"
blocks:
  - name: a
    typ: T
    config: {}
  - {name: 3, type: T, config: [1]}
  - just text
  - {name: a, type: T, config: {}, drop_columns: x}
datamixing: {auxiliary_instructions: {a: text}}
""",
        )
    lines = [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]
    assert lines == [
        "p.yaml:4: $.blocks[0].typ: unknown key 'typ'; did you mean 'type'?",
        "p.yaml:3: $.blocks[0]: the key 'type' is missing",
        "p.yaml:6: $.blocks[1].name: expected text, got 3",
        "p.yaml:6: $.blocks[1].config: expected a mapping, got [1]",
        'p.yaml:7: $.blocks[2]: expected a mapping, got "just text"',
        'p.yaml:8: $.blocks[3].drop_columns: expected a list, got "x"',
        'p.yaml:9: $.datamixing.auxiliary_instructions.a: expected a list, got "text"',
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1\n", "a pipeline file is a mapping"),
        ("", "a pipeline file is a mapping"),
        ('version: "1.0"\n', "the key 'blocks' is missing"),
        ('version: "1.0"\nblock: []\n', "did you mean 'block'"),
        ('version: "1.0"\nblocks: null\n', "expected a list of blocks"),
    ],
)
def test_files_that_are_no_pipeline(tmp_path: Path, text: str, words: str) -> None:
    """Each is said in words."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)


def test_an_empty_list_of_blocks_is_a_pipeline(tmp_path: Path) -> None:
    """It returns its input."""
    assert load(tmp_path, 'version: "1.0"\nblocks: []\n').blocks == []  # type: ignore[attr-defined]
