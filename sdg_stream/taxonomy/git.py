"""The git program: how it is called, and what it is kept from doing.

It is called with fixed arguments, never through a shell, and nothing that a file says becomes an option.
Hooks, templates, submodules, filters (Git LFS is one), prompts, and every transport but those asked for are
off, whatever the configuration of the user, of the machine or of a repository says. What remains in force of
the user's configuration is how a host is reached: proxies, certificates, credential helpers.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["GitError", "GitMissing", "git_command", "git_environment", "git_output", "said"]

SETTINGS = (
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "core.askPass=true",
    "init.templateDir=",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",  # always one pack: its size can be bounded
    "transfer.bundleURI=false",
    "core.bigFileThreshold=32m",  # what is larger goes through in pieces, not through memory
    "core.fsync=committed",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "advice.detachedHead=false",
    "color.ui=never",
)

_KEPT = re.compile(r"GIT_(CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)|EXEC_PATH|(PROXY_)?SSL_\w+|HTTP_USER_AGENT)")
_SECONDS = 120.0
_SHOWN = 500  # characters of what git said


class GitError(Exception):
    """Git could not do it; the text is what git said."""


class GitMissing(GitError):
    """There is no git."""

    def __init__(self) -> None:
        super().__init__("git is not installed, or not on the PATH")


def git_command(*arguments: str, protocols: Sequence[str] = ()) -> list[str]:
    """The command line for git with ``arguments``; ``protocols`` are the transports that it may use."""
    settings = [*SETTINGS, *(f"protocol.{name}.allow=always" for name in protocols)]
    return ["git", "--no-pager", *(part for setting in settings for part in ("-c", setting)), *arguments]


def git_environment(protocols: Sequence[str] = ()) -> dict[str, str]:
    """What a git process finds in its environment: this process's, less what leads git elsewhere.

    GIT_DIR and the like are set inside of hooks, and would make git work on another repository.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "SSH_ASKPASS")) or _KEPT.fullmatch(name)
    }
    return {
        **inherited,
        "GIT_ALLOW_PROTOCOL": ":".join(protocols),
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }


def git_output(folder: Path, *arguments: str) -> bytes:
    """Run git in ``folder``, without any transport; what it wrote.

    Raises:
        GitError: it failed, took too long, or is not installed.
    """
    try:
        done = subprocess.run(  # noqa: S603 -- the arguments are fixed
            git_command(*arguments),
            cwd=folder,
            env=git_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except OSError as error:
        if isinstance(error, FileNotFoundError) and folder.is_dir():
            raise GitMissing from error
        raise GitError(f"{folder}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]} took longer than {_SECONDS:.0f} s") from error
    if done.returncode != 0:
        raise GitError(said(done.stderr) or f"git {arguments[0]} ended with exit code {done.returncode}")
    return done.stdout


def said(stderr: bytes) -> str:
    """What git complained about, on one line, without passwords in URLs."""
    lines = stderr.decode("utf-8", "replace").splitlines()
    wrong = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines[-1:]
    words = " ".join(" ".join(wrong).replace("fatal: ", "").replace("error: ", "").split())
    return re.sub(r"(\w+://)[^/\s@]*@", r"\1", words)[:_SHOWN]
