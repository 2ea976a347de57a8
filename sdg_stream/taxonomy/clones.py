"""Commits of other people's repositories, fetched once and kept.

Only the commit asked for is fetched, into a bare repository that is put in its place by renaming when it is
whole. Nothing is ever checked out: files are read out of git's objects (:mod:`.trees`), so that links, hooks,
filters and odd names of a repository never touch the file system.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
from anyio.to_thread import run_sync as in_thread

from ..errors import ConfigError
from ..io.folders import made_folder
from .git import GitError, GitMissing, git_command, git_environment, git_output, said
from .leaf import DocumentSource
from .processes import NOT_FOUND, Bounds, Exceeded, run_bounded
from .sources import is_hash, protocols_for, vet

__all__ = ["Clone", "FetchBounds", "Fetcher"]

_PARTIAL = ".fetching-"
_ABANDONED_SECONDS = 24 * 3600.0
_PART_OF_HASH = re.compile(r"[0-9a-f]{7,39}")
_NEEDS_ALL = re.compile(r"not our ref|unadvertised object|dumb http|does not support shallow")
_TOO_LARGE = re.compile(r"File too large|died of signal (24|25|31)|maximum allowed size")
_MEMORY = 4 * 1024**3
_LISTING = 4 * 1024**2


class FetchBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What fetching may cost.

    Attributes:
        seconds: for one commit.
        size: bytes of one commit, packed as git does.
        at_once: how many are fetched side by side.
    """

    seconds: float = 600.0
    size: int = 2 * 1024**3
    at_once: int = 4


class Clone(msgspec.Struct, frozen=True):
    """A bare repository that holds a commit whole."""

    folder: Path
    commit: str


class Fetcher:
    """Fetches commits into a folder that runs share; what is there already is not fetched again."""

    def __init__(self, cache: Path, *, local_repos: bool = False, bounds: FetchBounds | None = None) -> None:
        self._cache = cache
        self._local_repos = local_repos
        self._bounds = bounds or FetchBounds()
        self._slots = anyio.CapacityLimiter(self._bounds.at_once)
        self._one_at_a_time: dict[tuple[str, str], anyio.Lock] = {}

    async def fetch(self, source: DocumentSource) -> Clone:
        """The commit that a source names.

        Raises:
            ConfigError: the source is not one to fetch from.
            GitError: it cannot be fetched; the text is git's.
            OutputError: the cache cannot be written.
        """
        wrong = [f"{key}: {words}" for key, words in vet(source, local_repos=self._local_repos)]
        if wrong:
            raise ConfigError(f"documents are not fetched: {'; '.join(wrong)}")
        lock = self._one_at_a_time.setdefault((source.repo, source.commit), anyio.Lock())
        async with lock, self._slots:
            await in_thread(made_folder, self._cache, 0o700)
            commit = source.commit if is_hash(source.commit) else await self._find(source)
            key = hashlib.sha256(f"{source.repo}\n{commit}".encode()).hexdigest()[:32]
            place = self._cache / key
            return await self._kept(place, commit) or await self._fetch(source.repo, commit, place)

    async def _find(self, source: DocumentSource) -> str:
        """The hash of the commit that a branch or tag is at now, or the part of a hash that was given."""
        branch, tag = f"refs/heads/{source.commit}", f"refs/tags/{source.commit}"
        names = ["HEAD"] if source.commit == "HEAD" else [branch, f"{tag}^{{}}", tag]
        listed = await self._git(self._cache, "ls-remote", "--", source.repo, *names)
        pairs = (line.partition("\t") for line in listed.decode().splitlines())
        hashes = {name: found for found, _, name in pairs}
        found = next((hashes[name] for name in names if name in hashes), None)
        if found is not None:
            return found
        if _PART_OF_HASH.fullmatch(source.commit):
            return source.commit
        raise GitError(f"there is no branch, tag or commit {source.commit!r}")

    async def _kept(self, place: Path, commit: str) -> Clone | None:
        """What is there already, unless it is damaged: then it goes."""
        try:
            return Clone(place, await in_thread(_whole_hash, place, commit))
        except GitMissing:
            raise
        except GitError:
            await in_thread(shutil.rmtree, place, True)
            return None

    async def _fetch(self, repo: str, commit: str, place: Path) -> Clone:
        partial = await in_thread(_make_partial, self._cache)
        try:
            await self._git(partial, "init", "--quiet", "--bare", ".")
            await self._fetch_into(partial, repo, commit)
            whole = await in_thread(_whole_hash, partial, commit)
            await in_thread(_publish, partial, place)
            return Clone(place, whole)
        finally:
            with anyio.CancelScope(shield=True):
                await in_thread(shutil.rmtree, partial, True)

    async def _fetch_into(self, folder: Path, repo: str, commit: str) -> None:
        """The commit alone, or, where the server does not give it alone, all branches and tags."""
        options = ("--git-dir=.", "fetch", "--quiet", "--no-tags", "--no-recurse-submodules")
        if is_hash(commit):
            try:
                await self._git(folder, *options, "--depth=1", "--", repo, f"{commit}:refs/sdg-stream/asked")
                return
            except GitError as error:
                if not _NEEDS_ALL.search(str(error)):
                    raise
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        await self._git(folder, *options, "--", repo, *refs)

    async def _git(self, folder: Path, *arguments: str) -> bytes:
        """Run a git command that may go out, in its bounds."""
        protocols, size = protocols_for(local_repos=self._local_repos), self._bounds.size
        bounds = Bounds(seconds=self._bounds.seconds, memory=_MEMORY, file_size=size, output=_LISTING)
        command, env = git_command(*arguments, protocols=protocols), git_environment(protocols)
        env["GIT_CEILING_DIRECTORIES"] = str(folder.parent)  # the cache may lie in a repository of the user
        try:
            done = await run_bounded(command, bounds, env=env, folder=folder)
        except Exceeded as error:
            raise GitError(f"fetching {error}") from error
        except OSError as error:
            raise GitMissing from error
        if done.code == 0:
            return done.stdout
        words = said(done.stderr)
        if _TOO_LARGE.search(done.stderr.decode("utf-8", "replace")):
            raise GitError(f"the commit is larger than {size} bytes ({words})")
        raise GitMissing if done.code == NOT_FOUND else GitError(words or f"git ended with code {done.code}")


def _whole_hash(folder: Path, commit: str) -> str:
    """The whole hash of a commit that the repository has, with its tree.

    Raises:
        GitError: it has not.
    """
    found = git_output(folder, "--git-dir=.", "rev-parse", "--verify", f"{commit}^{{commit}}")
    whole = found.decode().strip()
    git_output(folder, "--git-dir=.", "cat-file", "-e", f"{whole}^{{tree}}")
    return whole


def _make_partial(cache: Path) -> Path:
    """A folder for a fetch under way; those of processes that were killed go after a day."""
    for left in cache.glob(f"{_PARTIAL}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=cache))


def _publish(partial: Path, place: Path) -> None:
    try:
        partial.rename(place)
    except OSError:
        if not place.is_dir():  # no other process was first
            raise
