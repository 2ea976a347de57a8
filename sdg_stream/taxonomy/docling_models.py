"""Where docling's models for PDF are: in a folder that is named, or that a data directory names.

Format of ``models/config.yaml`` in a data directory, which is upstream's: a mapping with ``models``, a list
whose first entry has ``path``, the folder. Nothing is downloaded here, ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..config.yaml import load_yaml
from ..errors import ConfigError

__all__ = ["HOW", "find_models"]

HOW = "'docling-tools models download --output-dir DIR' gets them; then name DIR with --docling-models"
"""How to come by the models."""

_CONFIG = Path("models", "config.yaml")


def find_models(folder: Path | None = None, data_dirs: Sequence[Path] = ()) -> Path:
    """The folder with docling's models: ``folder``, else what the first data directory with a config says.

    Raises:
        ConfigError: there is none; the text says how to come by one.
    """
    if folder is None:
        config = next((place / _CONFIG for place in data_dirs if (place / _CONFIG).exists()), None)
        if config is None:
            raise ConfigError(f"docling needs models to read PDF, and none are configured: {HOW}")
        folder = _configured(config)
    try:
        next(folder.iterdir())
    except (OSError, StopIteration):
        raise ConfigError(f"docling needs models to read PDF, and {folder} holds none: {HOW}") from None
    return folder.absolute()


def _configured(config: Path) -> Path:
    found = load_yaml(config)
    match found.data:
        case {"models": [{"path": str(path)}, *_]} if path:
            return Path(path).expanduser()
    raise ConfigError(found.problem("$.models[0].path", "must name the folder of docling's models"))
