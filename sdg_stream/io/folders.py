"""Folders that output goes to."""

from __future__ import annotations

from pathlib import Path

from ..errors import OutputError

__all__ = ["made_folder"]


def made_folder(folder: Path, mode: int = 0o777) -> Path:
    """A folder, which is there then, with all above it; ``mode`` is its own, less what the process masks.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder
