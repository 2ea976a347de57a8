"""Data directories from the environment."""

from __future__ import annotations

from pathlib import Path

from sdg_stream.config.data_dirs import data_dirs


def test_the_defaults() -> None:
    """Without variables, or with empty ones, those of the specification."""
    expected = [
        Path("/home/u/.local/share/instructlab/sdg"),
        Path("/usr/local/share/instructlab/sdg"),
        Path("/usr/share/instructlab/sdg"),
    ]
    assert data_dirs({}, Path("/home/u")) == expected
    assert data_dirs({"XDG_DATA_HOME": "", "XDG_DATA_DIRS": ""}, Path("/home/u")) == expected


def test_variables_replace_them_and_relative_paths_do_not_count() -> None:
    """The user's folder comes first, then the system's in their order."""
    environ = {"XDG_DATA_HOME": "/data/me", "XDG_DATA_DIRS": "/one:two:/three"}
    assert data_dirs(environ, Path("/home/u")) == [
        Path("/data/me/instructlab/sdg"),
        Path("/one/instructlab/sdg"),
        Path("/three/instructlab/sdg"),
    ]
