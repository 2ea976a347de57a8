"""Pipeline files, upstream's format 1.0: YAML to typed entries, block configs not yet looked into.

Format: a mapping with ``version`` ("MAJOR.MINOR"), ``blocks`` (a list of name, type, config, drop_columns,
drop_duplicates) and, optionally, ``datamixing.auxiliary_instructions``. Other top-level keys are ignored, as
upstream does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ConfigError, Problem
from .decode import decode_struct, shown, unknown_key
from .yaml import Document, load_yaml

__all__ = ["BlockEntry", "DataMixing", "PipelineFile", "load_pipeline_file"]

MAJOR, MINOR = 1, 0
_VERSION = re.compile(r"(\d+)\.(\d+)")


class BlockEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of ``blocks``. ``config`` is still plain data; ``path`` is its place in the document."""

    name: str
    type: str
    config: dict[str, Any]
    drop_columns: list[str] = []
    drop_duplicates: list[str] | str | bool | None = None

    @property
    def duplicate_columns(self) -> list[str]:
        """``drop_duplicates`` as a list; one text stands for a list of one, false and null for none."""
        if isinstance(self.drop_duplicates, str):
            return [self.drop_duplicates]
        return self.drop_duplicates if isinstance(self.drop_duplicates, list) else []


class DataMixing(msgspec.Struct, frozen=True, kw_only=True):
    """``datamixing``: instructions by dataset_type for the auxiliary rows of training files."""

    auxiliary_instructions: dict[str, list[str]] = {}


class PipelineFile(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline file as read; ``warnings`` are for people."""

    document: Any
    blocks: list[BlockEntry]
    auxiliary_instructions: dict[str, list[str]]
    warnings: list[str]


def load_pipeline_file(file: Path) -> PipelineFile:
    """Read a pipeline file.

    Raises:
        ConfigError: with every mistake that can be seen without knowing the blocks.
    """
    document = load_yaml(file)
    data, problems, warnings = document.data, list[Problem](), list[str]()
    if not isinstance(data, dict):
        raise ConfigError(document.problem("$", f"a pipeline file is a mapping, this is {shown(data)}"))
    _check_version(document, data, problems, warnings)
    blocks = _blocks(document, data, problems)
    mixing = DataMixing()
    if data.get("datamixing") is not None:
        mixing = decode_struct(document, "$.datamixing", data["datamixing"], DataMixing, problems) or mixing
    if problems:
        raise ConfigError(problems)
    return PipelineFile(
        document=document,
        blocks=blocks,
        auxiliary_instructions=mixing.auxiliary_instructions,
        warnings=warnings,
    )


def _check_version(
    document: Document, data: dict[str, Any], problems: list[Problem], warnings: list[str]
) -> None:
    """Versions are text "MAJOR.MINOR"; a number (``version: 1.0`` without quotes) is read as its text."""
    version = data.get("version")
    if version is None:
        problems.append(document.problem("$", "the key 'version' is missing; this format is version \"1.0\""))
        return
    text = str(version) if isinstance(version, float | int) and not isinstance(version, bool) else version
    if isinstance(version, int):
        text = f"{version}.0"
    match = _VERSION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        problems.append(document.problem("$.version", f'expected text like "1.0", got {shown(version)}'))
        return
    major, minor = int(match[1]), int(match[2])
    if major > MAJOR:
        problems.append(
            document.problem(
                "$.version", f"version {text} is newer than this program reads ({MAJOR}.{MINOR})"
            )
        )
    elif minor > MINOR:
        warnings.append(
            f"{document.file} is of version {text}; features newer than {MAJOR}.{MINOR} are ignored"
        )


def _blocks(document: Document, data: dict[str, Any], problems: list[Problem]) -> list[BlockEntry]:
    if "blocks" not in data:
        close = unknown_key("blocks", [key for key in data if isinstance(key, str) and key != "version"])
        hint = close.partition("; ")[2] if "did you mean" in close else "it lists the pipeline's blocks"
        problems.append(document.problem("$", f"the key 'blocks' is missing; {hint}"))
        return []
    blocks = data["blocks"]
    if not isinstance(blocks, list):
        problems.append(document.problem("$.blocks", f"expected a list of blocks, got {shown(blocks)}"))
        return []
    entries = []
    for index, raw in enumerate(blocks):
        entry = decode_struct(document, f"$.blocks[{index}]", raw, BlockEntry, problems)
        if entry is not None:
            entries.append(entry)
    return entries
