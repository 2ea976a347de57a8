"""Which qna.yaml files of a taxonomy are read: all of them, or those that differ from a git ref."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NoReturn

from ..errors import ConfigError, Problem
from .changes import changed_files

__all__ = ["EMPTY", "FOLDERS", "NAME", "find_files"]

FOLDERS = ("compositional_skills", "knowledge")
"""Top folders that hold leaf nodes. Others, such as foundational_skills, are passed over."""

NAME = "qna.yaml"
EMPTY = "empty"
"""The base that stands for the empty tree: every file is new."""

_MISNAMED = {"qna.yaml", "qna.yml"}


def find_files(taxonomy: Path, base: str = EMPTY) -> tuple[list[str], list[Problem]]:
    """The qna.yaml files of a folder, relative to it and sorted, and what looks like one but is not read.

    With a ``base`` other than ``empty`` they are those that differ between it and the working tree, and those
    that git does not know yet.

    Raises:
        ConfigError: there is no such folder; with a base: it is in no git repository, or has no such ref.
    """
    if not taxonomy.is_dir():
        raise ConfigError(f"there is no taxonomy {str(taxonomy)!r}, neither a folder nor a qna.yaml file")
    names = _all_files(taxonomy) if base == EMPTY else changed_files(taxonomy, base, FOLDERS)
    found: list[str] = []
    passed_over: list[Problem] = []
    for name in sorted(set(names)):
        path = PurePosixPath(name)
        if path.parts[0] not in FOLDERS:
            continue
        if path.name == NAME:
            found.append(name)
        elif path.name.casefold() in _MISNAMED:
            words = f"is not read: leaf nodes are in files named {NAME}"
            passed_over.append(Problem(file=str(taxonomy / path), message=words))
    return found, passed_over


def _all_files(taxonomy: Path) -> Iterable[str]:
    """Every file below the top folders; links to folders are not followed."""
    for top in FOLDERS:
        if not (taxonomy / top).is_dir() or (taxonomy / top).is_symlink():
            continue
        for folder, _, names in os.walk(taxonomy / top, onerror=_unreadable):
            for name in names:
                yield Path(folder, name).relative_to(taxonomy).as_posix()


def _unreadable(error: OSError) -> NoReturn:
    raise ConfigError(
        Problem(file=str(error.filename), message=f"cannot be read: {error.strerror}")
    ) from error
