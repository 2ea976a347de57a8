"""Where documents may come from: a qna.yaml is data, and data must not choose what runs or what is read.

Git addresses can name programs (``ext::``), this machine's files, and options of git. So an address is a
plain ``https`` URL or, where the caller allows it, a repository on this machine; a commit is a hash or a name
without signs that mean something to git; patterns are relative and never lead upwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from .leaf import DocumentSource

__all__ = ["is_hash", "protocols_for", "vet"]

_HASH = re.compile(r"[0-9a-f]{40}")
_REF = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._+#=,/-]*")
_HOST = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]*|\[[0-9A-Fa-f:.]+\]")
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
_LONGEST = 1000  # characters


def is_hash(commit: str) -> bool:
    """Whether a commit is named by its whole hash, so that it is the same for ever."""
    return _HASH.fullmatch(commit) is not None


def protocols_for(*, local_repos: bool) -> tuple[str, ...]:
    """The transports that git may use."""
    return ("https", "file") if local_repos else ("https",)


def vet(source: DocumentSource, *, local_repos: bool = False) -> Iterator[tuple[str, str]]:
    """What is wrong with a source: the key, and why."""
    repo = _wrong_repo(source.repo, local_repos=local_repos)
    if repo:
        yield "repo", repo
    if not _is_ref(source.commit):
        yield "commit", f"{source.commit[:80]!r} is no commit: give the 40 hexadecimal digits of one"
    for number, pattern in enumerate(source.patterns):
        wrong = _wrong_pattern(pattern)
        if wrong:
            yield f"patterns[{number}]", wrong


def _wrong_repo(repo: str, *, local_repos: bool) -> str:
    if len(repo) > _LONGEST or _UNSEEN.search(repo):
        return "holds characters that no address has, or is too long"
    if repo.startswith(("/", "file:///")):
        return "" if local_repos else "is on this machine: allow that with --allow-local-repos"
    if not repo.startswith("https://"):
        return "only https:// addresses are fetched"
    try:
        parts = urlsplit(repo)
        parts.port  # noqa: B018 -- raises if it is no port
    except ValueError as error:
        return f"is no address: {error}"
    if "@" in parts.netloc:
        return "holds a user's name or password; keep them with git (git help credentials)"
    if not _HOST.fullmatch(re.sub(r":\d*$", "", parts.netloc)) or not parts.path.strip("/"):
        return "is no address of a repository: https://HOST/PATH"
    return ""


def _is_ref(commit: str) -> bool:
    """A hash, whole or not, or the plain name of a branch or tag."""
    odd = ".." in commit or "//" in commit or commit.endswith(("/", ".", ".lock"))
    return len(commit) <= _LONGEST and _REF.fullmatch(commit) is not None and not odd


def _wrong_pattern(pattern: str) -> str:
    if len(pattern) > _LONGEST or "\0" in pattern:
        return "is too long" if len(pattern) > _LONGEST else "holds a character that no file name has"
    if pattern.startswith("/"):
        return "must be relative: patterns are looked for in the repository only"
    if ".." in pattern.split("/"):
        return "must not lead upwards with '..': patterns are looked for in the repository only"
    return ""
