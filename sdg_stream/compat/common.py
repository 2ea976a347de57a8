"""What upstream's arguments mean here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from ..config.data_dirs import data_dirs
from ..config.settings import Settings
from ..errors import ConfigError, Problem
from ..generation.leaf_pipelines import LeafPipelines, load_pipelines
from ..mixing.row_files import read_sound_rows
from .telling import LoggerHook

__all__ = [
    "AnyPath",
    "LeafFile",
    "existing_rules",
    "folder_of",
    "leaf_files",
    "pipelines_of",
    "user_dirs",
]

AnyPath: TypeAlias = str | os.PathLike[str]


class LeafFile(msgspec.Struct, frozen=True):
    """The samples of a leaf node, or the rows made of them; the first one says of which, and its type."""

    file: Path
    leaf: str
    kind: str
    columns: tuple[str, ...]


def leaf_files(folder: Path) -> list[LeafFile]:
    """Every ``*.jsonl`` of a folder, by name.

    Raises:
        ConfigError: there is no such folder, or files hold nothing or cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}")
    found: list[LeafFile] = []
    problems: list[Problem] = []
    for file in sorted(folder.glob("*.jsonl")):
        if file.name.startswith("."):
            continue
        try:
            found.append(_introduced(file))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def _introduced(file: Path) -> LeafFile:
    first = next(read_sound_rows(file), None)
    if first is None:
        raise ConfigError(f"no samples found in the input file {file}")
    leaf, kind = first.get("leaf_node_path"), first.get("leaf_node_type")
    return LeafFile(file, leaf if isinstance(leaf, str) else "unknown", str(kind), tuple(first))


def folder_of(path: AnyPath | None, argument: str) -> Path:
    """A folder that an argument names.

    Raises:
        ConfigError: it names none.
    """
    if path is None or not str(path):
        raise ConfigError(f"{argument} is missing: it names a folder")
    return Path(path)


def user_dirs() -> tuple[Path, ...]:
    """The data directories of the user and the system."""
    return tuple(data_dirs(os.environ, Path.home()))


def pipelines_of(name: str | None, hook: LoggerHook | None = None, **settings: Any) -> LeafPipelines:
    """The pipelines of a name.

    Raises:
        ConfigError: with all mistakes in them.
    """
    return load_pipelines(name or "", Settings(**settings), data_dirs=user_dirs(), hook=hook)


def existing_rules(yaml_rules: AnyPath | None, hook: LoggerHook) -> Path | None:
    """The rules that are there: others stand for the default ones, as they do upstream."""
    if yaml_rules is None or Path(yaml_rules).is_file():
        return None if yaml_rules is None else Path(yaml_rules)
    hook.warn(f"there are no rules for YAML in {yaml_rules}: the default ones hold")
    return None
