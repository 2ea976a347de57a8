"""Glob patterns on the paths of a git tree, with the meaning that Python's ``glob`` gives them.

``*`` and ``?`` stay within a name and do not find hidden ones, ``**`` stands for any number of folders that
are not hidden. Nothing is looked up in a file system, so no pattern can find what is not in the tree.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence

__all__ = ["matcher"]

_ANY = "**"
_SAME = ("", ".")  # the folder itself


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that says whether ``pattern`` finds the path of a file, with ``/`` between its names."""
    names = pattern.split("/")
    if names[-1] in _SAME:
        return lambda _: False  # finds folders only
    parts = [name for name in names if name not in _SAME]
    if parts[-1] == _ANY:
        parts.append("*")  # what it finds in the end is a file
    steps = [_step(part) for part in parts]
    return lambda path: _found(steps, path.split("/"))


def _step(part: str) -> Callable[[str], bool] | None:
    """What a name must be; None for any number of names."""
    if part == _ANY:
        return None
    wanted = re.compile(fnmatch.translate(part)).match
    hidden = part.startswith(".")
    return lambda name: (hidden or not name.startswith(".")) and wanted(name) is not None


def _found(steps: Sequence[Callable[[str], bool] | None], names: Sequence[str]) -> bool:
    """Whether the steps lead through all names; takes time in proportion to steps times names."""
    reached = [True] + [False] * len(names)  # whether the steps so far may have used that many names
    for step in steps:
        if step is None:
            for n, name in enumerate(names):
                reached[n + 1] |= reached[n] and not name.startswith(".")
        else:
            reached = [False, *(before and step(name) for before, name in zip(reached, names, strict=False))]
    return reached[-1]
