"""Where users and systems keep files of their own for InstructLab: recipes, pipelines, models.

Source: XDG Base Directory Specification 0.8; the folder in each of them is upstream's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["data_dirs"]

_FOLDER = Path("instructlab", "sdg")
_SYSTEM = "/usr/local/share:/usr/share"


def data_dirs(environ: Mapping[str, str], home: Path) -> list[Path]:
    """The data directories, the user's first; they need not exist.

    Args:
        environ: ``XDG_DATA_HOME`` and ``XDG_DATA_DIRS`` count; relative paths in them do not, as specified.
        home: the user's home directory.
    """
    own = _absolute([environ.get("XDG_DATA_HOME", "")]) or [home / ".local" / "share"]
    shared = _absolute((environ.get("XDG_DATA_DIRS") or _SYSTEM).split(":"))
    return [folder / _FOLDER for folder in (*own, *shared)]


def _absolute(paths: list[str]) -> list[Path]:
    return [Path(path) for path in paths if Path(path).is_absolute()]
