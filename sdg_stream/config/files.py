"""Which files a pipeline file may name: those around it, and nothing else of the machine it runs on.

A pipeline may come from somebody else, and what a file holds can end up in prompts and rows. So a path may be
absolute and may climb (upstream's own pipelines do, by ``../../configs``), but with all symbolic links
followed it has to lie in one of these folders:

* that of the pipeline file;
* if that lies at most three levels deep in a folder called ``pipelines``: that folder, too;
* ``configs`` and ``prompts`` beside either;
* those that are allowed by name, and the ones that ship with the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from ..errors import ConfigError

__all__ = ["PipelineFiles"]

FOLDER = "pipelines"
LEVELS = 3
BESIDE = ("configs", "prompts")


class PipelineFiles:
    """Finds the files that one pipeline names, and keeps track of them.

    Attributes:
        found: the files that were found, under the names that the pipeline has for them: where symbolic
            links lead may be another place on another machine, or after the next deployment.

    Args:
        base_dir: folder of the pipeline file; relative paths start there.
        allowed: further folders in which files may lie.
    """

    def __init__(self, base_dir: Path, allowed: Sequence[str | Path] = ()) -> None:
        self.found: list[Path] = []
        self._base_dir = base_dir
        self._roots = [*_roots(base_dir.resolve()), *(Path(folder).resolve() for folder in allowed)]

    def find(self, path: str | Path) -> Path:
        """The file that a path in the pipeline file names.

        Raises:
            ConfigError: it lies where the pipeline's files may not lie, or does not exist. The mistake has no
                place of its own: it belongs where the path is written.
        """
        named = self._base_dir / path
        try:
            real = named.resolve()
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle; a NUL character
            raise ConfigError(f"{str(path)!r} names no file: {error}") from error
        if not any(real.is_relative_to(root) for root in self._roots):
            raise ConfigError(
                f"{str(path)!r} is {real}, outside of the pipeline's folder {self._base_dir.resolve()}:"
                f" --allow-path {real.parent} allows it (in Python: allow_paths)"
            )
        if not real.exists():
            raise ConfigError(f"{named}: cannot be read: No such file or directory")
        if named not in self.found:
            self.found.append(named)
        return named


def _roots(base_dir: Path) -> Iterable[Path]:
    """The folders around a pipeline file in which its files may lie."""
    around = (folder for folder in (base_dir, *base_dir.parents[:LEVELS]) if folder.name == FOLDER)
    for folder in (base_dir, *islice(around, 1)):
        yield folder
        yield from (folder.parent / name for name in BESIDE)
