"""What has changed in a taxonomy since a git ref.

The base of the comparison is found as upstream does it: of a branch it is the newest commit, on the way back
from HEAD along first parents, that the branch has too; anything else names a commit as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError
from .git import GitError, git_output

__all__ = ["changed_files"]


def changed_files(taxonomy: Path, base: str, below: Sequence[str]) -> list[str]:
    """Files that differ between ``base`` and the working tree, and files that git does not know yet.

    Paths are relative to ``taxonomy``, which may be a folder in its repository. Files that are gone are left
    out, and so are those that git is told to ignore.

    Raises:
        ConfigError: ``taxonomy`` is in no repository, or ``base`` names nothing in it.
    """
    try:
        git_output(taxonomy, "rev-parse", "--show-toplevel")
    except GitError as error:
        hint = "a base other than 'empty' compares with a git ref"
        raise ConfigError(f"{taxonomy}: is in no git repository that can be used: {error}; {hint}") from error
    commit = _base_commit(taxonomy, base)
    compare = ("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--relative")
    try:
        changed = git_output(taxonomy, *compare, "--diff-filter=d", commit, "--", *below)
        unknown = git_output(taxonomy, "ls-files", "--others", "--exclude-standard", "-z", "--", *below)
    except GitError as error:
        raise ConfigError(f"{taxonomy}: cannot be compared with {base!r}: {error}") from error
    return [os.fsdecode(name) for name in (changed + unknown).split(b"\0") if name]


def _base_commit(taxonomy: Path, base: str) -> str:
    branches = [f"refs/heads/{base}", f"refs/remotes/{base}"]
    if "/" in base:
        branches.reverse()
    for branch in branches:
        tip = _commit(taxonomy, branch)
        if tip:
            return _shared(taxonomy, tip, base)
    commit = "" if base.startswith("-") else _commit(taxonomy, base)
    if not commit:
        raise ConfigError(f"{taxonomy}: there is no branch, tag or commit {base!r}")
    return commit


def _commit(taxonomy: Path, name: str) -> str:
    """The commit of that name, or nothing."""
    try:
        found = git_output(taxonomy, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except GitError:
        return ""
    return found.decode().strip()


def _shared(taxonomy: Path, tip: str, base: str) -> str:
    """The newest commit on HEAD's way back that ``tip`` descends from, or is."""
    try:
        ahead = git_output(taxonomy, "rev-list", "--count", "--first-parent", "HEAD", f"^{tip}", "--")
    except GitError as error:
        raise ConfigError(f"{taxonomy}: HEAD has no commit to compare with {base!r}: {error}") from error
    commit = _commit(taxonomy, f"HEAD~{int(ahead)}")
    if not commit:
        raise ConfigError(f"{taxonomy}: HEAD and {base!r} have no commit in common")
    return commit
