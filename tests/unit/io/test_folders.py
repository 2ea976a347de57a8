"""Folders for output."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdg_stream.errors import OutputError
from sdg_stream.io.folders import made_folder


def test_a_folder_is_there_then(tmp_path: Path) -> None:
    """With those above it; one that is there already stays as it is."""
    folder = tmp_path / "a" / "b"
    assert made_folder(folder, 0o700) == made_folder(folder) == folder
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_in_the_way_is_an_error_for_people(tmp_path: Path) -> None:
    """With the folder's name and the system's words."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot make the folder .*file: File exists"):
        made_folder(tmp_path / "file")
