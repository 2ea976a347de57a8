"""The files of a commit, listed and read out of git's objects; nothing is checked out.

What is found is regular files of the commit and nothing else: a link is followed within the commit, never out
of it; submodules are passed over; there are no devices, pipes or hard links in a tree.
"""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

import msgspec
from anyio.to_thread import run_sync as in_thread

from ..errors import OutputError
from .clones import Clone
from .git import GitError, git_command, git_environment, git_output, said
from .processes import Bounds, Exceeded, bounded, run_bounded

__all__ = ["LARGEST_FILE", "TreeFile", "list_files", "write_files"]

LARGEST_FILE = 256 * 1024**2
"""Bytes of the largest document that is taken out of a commit."""

_READING = Bounds(seconds=300, memory=4 * 1024**3, file_size=0, output=128 * 1024**2)
_MOST_LINKS = 16  # one after the other
_LONGEST_TARGET = 4096  # bytes
_LINK = "120000"
_LFS = b"version https://git-lfs.github.com/spec/"
_PIECE = 1024**2


class TreeFile(msgspec.Struct, frozen=True):
    """A regular file of a commit, or what stands in its place.

    ``wrong`` says why it must not be read; ``blob`` is the object that holds it, ``size`` in bytes. Of a link
    they are those of the file that it leads to.
    """

    path: str
    blob: str = ""
    size: int = 0
    wrong: str = ""


async def list_files(clone: Clone) -> list[TreeFile]:
    """The files of a commit in the order of their paths.

    Raises:
        GitError: the repository is damaged, or has more files than anybody reads: a tree of few objects can
            stand for any number of files.
    """
    command = git_command("--git-dir=.", "ls-tree", "-r", "-z", "--long", clone.commit)
    try:
        done = await run_bounded(command, _READING, env=git_environment(), folder=clone.folder)
    except (Exceeded, OSError) as error:
        raise GitError(f"its files cannot be listed: that {error}") from error
    if done.code != 0:
        raise GitError(f"its files cannot be listed: {said(done.stderr)}")
    return await in_thread(_parse, clone, done.stdout)


def _parse(clone: Clone, listing: bytes) -> list[TreeFile]:
    entries: dict[str, tuple[str, str, int]] = {}
    for line in listing.split(b"\0")[:-1]:
        attributes, _, path = line.partition(b"\t")
        mode, kind, blob, size = attributes.decode().split()
        if kind == "blob":
            entries[os.fsdecode(path)] = (mode, blob, int(size))
    return [_file_at(clone, path, entries) for path in sorted(entries)]


def _file_at(clone: Clone, path: str, entries: dict[str, tuple[str, str, int]]) -> TreeFile:
    place = path
    for _ in range(_MOST_LINKS):
        if place not in entries:
            break
        mode, blob, size = entries[place]
        if mode != _LINK:
            return _checked(path, blob, size)
        if size > _LONGEST_TARGET:
            break
        target = os.fsdecode(git_output(clone.folder, "--git-dir=.", "cat-file", "blob", blob))
        place = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
    return TreeFile(path, wrong="is a link that leads to no file of the repository")


def _checked(path: str, blob: str, size: int) -> TreeFile:
    if size > LARGEST_FILE:
        return TreeFile(path, wrong=f"is larger than {LARGEST_FILE} bytes")
    if {"", ".", ".."} & set(path.split("/")) or "\\" in path:
        return TreeFile(path, wrong="has a name that no file has")
    return TreeFile(path, blob, size)


def write_files(clone: Clone, files: Sequence[tuple[TreeFile, Path]]) -> list[tuple[TreeFile, str]]:
    """Write files of a commit to the paths beside them; blocks. What a file cannot be used for is returned.

    Each is written beside its place and renamed; one that is there already with its size is left as it is.

    Raises:
        GitError: the repository is damaged.
        OutputError: a file cannot be written.
    """
    missing = [(file, place) for file, place in files if not _is_there(place, file.size)]
    if missing:
        _write_missing(clone, missing)
    return [(file, "is kept in Git LFS, which is not fetched") for file, place in files if _is_pointer(place)]


def _is_there(place: Path, size: int) -> bool:
    return place.is_file() and not place.is_symlink() and place.stat().st_size == size


def _is_pointer(place: Path) -> bool:
    with place.open("rb") as opened:
        return opened.read(len(_LFS)) == _LFS


def _write_missing(clone: Clone, missing: Sequence[tuple[TreeFile, Path]]) -> None:
    command = bounded(git_command("--git-dir=.", "cat-file", "--batch"), _READING)
    with subprocess.Popen(  # noqa: S603 -- the arguments are fixed
        command, cwd=clone.folder, env=git_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as git:
        asked, answers = cast("IO[bytes]", git.stdin), cast("IO[bytes]", git.stdout)
        for file, place in missing:
            try:
                asked.write(f"{file.blob}\n".encode())
                asked.flush()
                header = answers.readline().split()
            except BrokenPipeError:
                header = []
            if header[1:] != [b"blob", str(file.size).encode()]:
                raise GitError(f"{file.path} cannot be read: the repository is damaged")
            try:
                _write(answers, file.size, place)
            except OSError as error:
                raise OutputError(f"{place}: cannot be written: {error.strerror}") from error
            answers.read(1)  # a newline


def _write(stream: IO[bytes], size: int, place: Path) -> None:
    """Copy ``size`` bytes into a file, which appears when it is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name[:200]}.partial")
    with partial.open("wb") as opened:
        while size:
            piece = stream.read(min(size, _PIECE))
            if not piece:
                raise GitError("git ended before a file did")
            opened.write(piece)
            size -= len(piece)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(place)
