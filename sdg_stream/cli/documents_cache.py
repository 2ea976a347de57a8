"""Where commits with documents are kept when no folder is named."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["documents_cache"]


def documents_cache(chosen: Path | None) -> Path:
    """The chosen folder, or one in the user's cache folder (XDG Base Directory 0.8); absolute."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (chosen or Path(home).expanduser() / "sdg-stream" / "documents").absolute()
