"""Names of the files of a run, as the tools that read them expect them."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError
from ..io.folders import made_folder

__all__ = ["node_datasets", "part_of_a_name"]


def part_of_a_name(text: str, what: str) -> str:
    """``text``, if it can stand in the name of a file without naming another folder.

    Raises:
        ConfigError: it cannot; ``what`` says what it is.
    """
    if not text or text.startswith(".") or any(character in "/\\:\0\n" for character in text):
        raise ConfigError(f"{what} cannot be part of a file name: {text!r}")
    return text


def node_datasets(output_dir: str | Path, date_suffix: str) -> Path:
    """The folder for files of single leaf nodes, made if it is not there.

    Raises:
        ConfigError: the suffix cannot be part of its name.
        OutputError: it cannot be made.
    """
    name = f"node_datasets_{part_of_a_name(date_suffix, 'the date suffix')}"
    return made_folder(Path(output_dir) / name)
